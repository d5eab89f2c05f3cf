package slatedb

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

func lookAdmin(t testing.TB, o *AdminOptions) *Admin {
	t.Helper()
	o.Logger = quiet
	a, err := NewAdmin("db", o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// lookCheck holds statistics and index of a table against all its rows.
func lookCheck(t testing.TB, s *SSTReader) (rows []RawRow) {
	t.Helper()
	ctx := context.Background()
	x, err := s.Index(ctx)
	require.NoError(t, err)
	st, ok, err := s.Stats(ctx)
	require.NoError(t, err)
	var sum SSTStats
	for i := range x.Len() {
		block, err := s.BlockRows(ctx, i)
		require.NoError(t, err)
		require.NotEmpty(t, block)
		var b sst.BlockStats
		for _, r := range block {
			switch r.Kind {
			case ValueRow:
				b.Puts++
			case TombstoneRow:
				b.Deletes++
			case OperandRow:
				b.Merges++
			}
			sum.RawKeyBytes += uint64(len(r.Key))
			sum.RawValueBytes += uint64(len(r.Value))
		}
		sum.Puts, sum.Deletes, sum.Merges = sum.Puts+uint64(b.Puts), sum.Deletes+uint64(b.Deletes), sum.Merges+uint64(b.Merges)
		sum.Blocks = append(sum.Blocks, b)
		require.LessOrEqual(t, string(x.Key(i)), string(block[0].Key))
		if i > 0 {
			require.Less(t, x.Offset(i-1), x.Offset(i))
			require.GreaterOrEqual(t, string(x.Key(i)), string(rows[len(rows)-1].Key))
		}
		rows = append(rows, block...)
	}
	if ok {
		require.Equal(t, sum, st)
	}
	info := s.Info()
	require.Equal(t, string(info.First), string(rows[0].Key))
	if info.Last != nil {
		require.Equal(t, string(info.Last), string(rows[len(rows)-1].Key))
	}
	n := 0
	for r, err := range s.Rows(ctx, nil) {
		require.NoError(t, err)
		require.Equal(t, rows[n], r)
		n++
	}
	require.Equal(t, len(rows), n)
	for _, i := range []int{0, len(rows) / 2, len(rows) - 1} {
		key := rows[i].Key
		at := x.Search(key)
		found := false
		for b := at; b < x.Len() && bytes.Compare(x.Key(b), key) <= 0 && !found; b++ {
			block, err := s.BlockRows(ctx, b)
			require.NoError(t, err)
			for _, r := range block {
				found = found || bytes.Equal(r.Key, key)
			}
		}
		require.True(t, found, "the search leads to the block of %q", key)
		for r, err := range s.Rows(ctx, key) {
			require.NoError(t, err)
			require.Equal(t, string(key), string(r.Key))
			break
		}
	}
	for _, i := range []int{-1, x.Len()} {
		_, err = s.BlockRows(ctx, i)
		require.ErrorIs(t, err, ErrInvalid)
	}
	return rows
}

// The inspection of tables that this engine wrote: each codec, a transformer, rows of every
// kind, tables in L0 and in a sorted run, and one that no manifest names any more.
func TestSSTReaderAgreesWithAFullScan(t *testing.T) {
	ctx := context.Background()
	for _, codec := range []Codec{NoCompression, Snappy, Zlib, LZ4, Zstd} {
		for _, tr := range []BlockTransformer{nil, goldenTransform{}} {
			t.Run(fmt.Sprintf("%s/%v", codec, tr != nil), func(t *testing.T) {
				o := estOptions()
				o.Compression, o.BlockTransformer, o.MergeOperator = codec, tr, concatOp
				o.MinFilterKeys = -1
				db := openTest(t, o)
				rnd := rand.New(rand.NewPCG(5, 5))
				for range 2 {
					for range 400 {
						k := estKey(rnd.IntN(200))
						var err error
						switch rnd.IntN(3) {
						case 0:
							_, err = db.DeleteWithOptions(ctx, k, &WriteOptions{NoWait: true})
						case 1:
							_, err = db.MergeWithOptions(ctx, k, []byte("m"), &PutOptions{NoWait: true})
						default:
							_, err = db.PutWithOptions(ctx, k, []byte("value"), &PutOptions{NoWait: true})
						}
						require.NoError(t, err)
					}
					estFlush(t, db)
				}
				a := lookAdmin(t, &AdminOptions{Store: o.Store, BlockTransformer: tr})
				m, err := a.ReadManifest(ctx, 0)
				require.NoError(t, err)
				seen := 0
				for v := range m.Views() {
					s, err := a.OpenSST(ctx, v.Table.ID.String()+".sst")
					require.NoError(t, err)
					lookCheck(t, s)
					require.Equal(t, v.Table.Info, s.Info())
					require.Equal(t, codec, s.Info().Codec)
					require.Equal(t, a.SSTPath(v.Table), s.Object())
					at, err := s.Stat(ctx)
					require.NoError(t, err)
					require.Equal(t, s.Object(), at.Object)
					require.Greater(t, at.Size, int64(s.Info().IndexOffset))
					fs, err := s.Filters(ctx)
					require.NoError(t, err)
					require.Len(t, fs, 1)

					byHandle, err := a.OpenSSTHandle(v.Table)
					require.NoError(t, err)
					require.Equal(t, s.Object(), byHandle.Object())

					// The same table when no manifest names it.
					other := ulid.MustNew(uint64(seen+1), bytes.NewReader(make([]byte, 16)))
					body, err := o.Store.Get(ctx, s.Object())
					require.NoError(t, err)
					_, err = o.Store.Put(ctx, sst.TableID(other).Object("db"), body.Body, objstore.Always)
					require.NoError(t, err)
					loose, err := a.OpenSST(ctx, other.String())
					require.NoError(t, err)
					require.Equal(t, lookCheck(t, s), lookCheck(t, loose))
					require.Equal(t, s.Info(), loose.Info())
					seen++
				}
				require.Equal(t, 2, seen)
			})
		}
	}
}

// A table that a clone borrows is found in the parent.
func TestSSTReaderOfAClone(t *testing.T) {
	ctx := context.Background()
	o := estOptions()
	db := openTest(t, o)
	estFill(t, db, rand.New(rand.NewPCG(6, 6)), 0, 300)
	estFlush(t, db)
	parent := lookAdmin(t, &AdminOptions{Store: o.Store})
	require.NoError(t, parent.CreateClone(ctx, "copy", CloneSource{Range: Prefix([]byte("b/"))}))
	a, err := NewAdmin("copy", &AdminOptions{Store: o.Store, Logger: quiet})
	require.NoError(t, err)
	m, err := a.ReadManifest(ctx, 0)
	require.NoError(t, err)
	n := 0
	for v := range m.Views() {
		s, err := a.OpenSST(ctx, v.Table.ID.String())
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(s.Object(), "db/compacted/"), s.Object())
		require.Equal(t, s.Object(), a.SSTPath(v.Table))
		require.Len(t, lookCheck(t, s), 300, "the whole table, not the view's part")
		require.NoError(t, a.Close())
		_, err = s.Index(ctx)
		require.Equal(t, ErrClosed, err)
		n++
	}
	require.Equal(t, 1, n)

	// Estimates of the projection count its part alone.
	r, err := OpenReader(ctx, "copy", &ReaderOptions{Store: o.Store, PollInterval: -1, Logger: quiet, BlockCacheBytes: -1, MetaCacheBytes: -1})
	require.NoError(t, err)
	defer r.Close(ctx)
	estCheck(t, r, estRanges(rand.New(rand.NewPCG(6, 6)), 300))
}

func TestSSTReaderRefusals(t *testing.T) {
	ctx := context.Background()
	o := estOptions()
	db := openTest(t, o)
	estFill(t, db, rand.New(rand.NewPCG(6, 6)), 0, 300)
	estFlush(t, db)
	a := lookAdmin(t, &AdminOptions{Store: o.Store})
	_, err := a.OpenSST(ctx, "nonsense")
	require.ErrorIs(t, err, ErrInvalid)
	_, err = a.OpenSST(ctx, ulid.MustNew(1, nil).String())
	require.ErrorIs(t, err, ErrNotFound)
	_, err = a.OpenSSTHandle(nil)
	require.ErrorIs(t, err, ErrInvalid)
	_, err = a.OpenSSTHandle(&sst.Handle{ID: sst.WALID(1)})
	require.ErrorIs(t, err, ErrInvalid)
	none := lookAdmin(t, &AdminOptions{Store: objstore.NewMemory()})
	_, err = none.OpenSST(ctx, ulid.MustNew(1, nil).String())
	require.ErrorIs(t, err, ErrNoDatabase)

	// No cut of a table and no flipped byte makes it panic, or is read as something else.
	var table *sst.Handle
	for v := range db.state.Load().man.Views() {
		table = v.Table
	}
	body, err := o.Store.Get(ctx, table.ID.Object("db"))
	require.NoError(t, err)
	whole, err := a.OpenSST(ctx, table.ID.String())
	require.NoError(t, err)
	want := lookCheck(t, whole)
	loose := ulid.MustNew(9, nil)
	key := sst.TableID(loose).Object("db")
	rnd := rand.New(rand.NewPCG(8, 8))
	try := func(bad []byte) {
		_, err := o.Store.Put(ctx, key, bad, objstore.Always)
		require.NoError(t, err)
		s, err := a.OpenSST(ctx, loose.String())
		if err == nil {
			_, _, err = s.Stats(ctx)
		}
		i := 0
		if err == nil {
			for r, rerr := range s.Rows(ctx, nil) {
				if err = rerr; err == nil {
					require.Equal(t, want[i], r)
				}
				i++
			}
		}
		if err == nil {
			_, err = s.Filters(ctx)
		}
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
		}
	}
	for range 60 {
		try(body.Body[:rnd.IntN(len(body.Body))])
		bad := bytes.Clone(body.Body)
		bad[len(bad)-1-rnd.IntN(min(len(bad), 800))] ^= 1 << rnd.IntN(8)
		try(bad)
		bad = bytes.Clone(body.Body)
		bad[rnd.IntN(len(bad))] ^= 1 << rnd.IntN(8)
		try(bad)
	}
}

// Tables of the reference engine since 0.10, with what an independent program says about them.
func TestSSTReaderGoldenTables(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	require.NoError(t, openTest(t, o).Close(ctx))
	a := lookAdmin(t, &AdminOptions{Store: o.Store})
	var names []string
	for _, dir := range []string{"", "v1", "v2-legacy-filter", "synthetic"} {
		more, err := filepath.Glob(filepath.Join("testdata/golden/sst", dir, "*.sst.json"))
		require.NoError(t, err)
		names = append(names, more...)
	}
	done := 0
	for i, name := range names {
		var want struct {
			Kind   string
			Format uint16 `json:"format_version"`
			Blocks []struct {
				Offset   uint64
				IndexKey string `json:"index_key"`
				Rows     int
			}
			Stats *struct {
				Puts uint64 `json:"num_puts"`
				Keys uint64 `json:"raw_key_size"`
			}
			Rows []json.RawMessage
		}
		side, err := os.ReadFile(name)
		require.NoError(t, err)
		if json.Unmarshal(side, &want) != nil || want.Kind != "compacted" || strings.Contains(name, "transform") || strings.Contains(string(side), "transformer") {
			continue
		}
		body, err := os.ReadFile(strings.TrimSuffix(name, ".json"))
		require.NoError(t, err)
		id := ulid.MustNew(uint64(i+1), nil)
		_, err = o.Store.Put(ctx, sst.TableID(id).Object("db"), body, objstore.Always)
		require.NoError(t, err)
		t.Run(strings.TrimPrefix(name, "testdata/golden/sst/"), func(t *testing.T) {
			s, err := a.OpenSST(ctx, id.String())
			require.NoError(t, err)
			require.Equal(t, want.Format, s.Format())
			require.Len(t, lookCheck(t, s), len(want.Rows))
			x, err := s.Index(ctx)
			require.NoError(t, err)
			require.Equal(t, len(want.Blocks), x.Len())
			for i, b := range want.Blocks {
				key, err := base64.StdEncoding.DecodeString(b.IndexKey)
				require.NoError(t, err)
				require.Equal(t, string(key), string(x.Key(i)))
				require.Equal(t, b.Offset, x.Offset(i))
				rows, err := s.BlockRows(ctx, i)
				require.NoError(t, err)
				require.Len(t, rows, b.Rows)
			}
			st, ok, err := s.Stats(ctx)
			require.NoError(t, err)
			require.Equal(t, want.Stats != nil, ok)
			if ok {
				require.Equal(t, want.Stats.Puts, st.Puts)
				require.Equal(t, want.Stats.Keys, st.RawKeyBytes)
			}
		})
		done++
	}
	require.Greater(t, done, 20)
}
