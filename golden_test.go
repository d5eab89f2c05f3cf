package slatedb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
)

// concat is the operator of the golden databases.
var concatOp = MergeFunc(func(_, existing, operand []byte) ([]byte, error) { return append(existing, operand...), nil })

// goldenTransform is the transformer of golden/db018/transform.
type goldenTransform struct{}

var goldenHead = []byte{0xa5, 0x48, 0x44, 0x52, 0x31, 0x32, 0x33, 0x34}

func (goldenTransform) Encode(b []byte) ([]byte, error) {
	out := append([]byte(nil), goldenHead...)
	for _, c := range b {
		out = append(out, c^0x5a)
	}
	return out, nil
}

func (goldenTransform) Decode(b []byte) ([]byte, error) {
	b, ok := bytes.CutPrefix(b, goldenHead)
	if !ok {
		return nil, invalidf("not transformed")
	}
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = c ^ 0x5a
	}
	return out, nil
}

// fixed3 is the extractor of golden/db018/filters.
type fixed3 struct{}

func (fixed3) Name() string                           { return "fixed3" }
func (fixed3) PrefixLen(b []byte, _ bool) (int, bool) { return 3, len(b) >= 3 }

type slash string

func (s slash) Name() string { return string(s) }
func (slash) PrefixLen(b []byte, _ bool) (int, bool) {
	i := bytes.IndexByte(b, '/')
	return i + 1, i >= 0
}

// epochClock stands at the Unix epoch, so that nothing expires by the wall.
type epochClock struct{ Clock }

func (epochClock) Now() time.Time { return time.UnixMilli(0) }

type goldenRow struct {
	DB     string `json:"db"`
	K, V   string
	Seq    uint64
	Create int64  `json:"create_ts"`
	Expire *int64 `json:"expire_ts"`
}

func readDump(t testing.TB, file string) []goldenRow {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	var out []goldenRow
	for s := bufio.NewScanner(f); s.Scan(); {
		var r goldenRow
		require.NoError(t, json.Unmarshal(s.Bytes(), &r))
		out = append(out, r)
	}
	return out
}

// memoryCopy loads a directory into a memory store.
func memoryCopy(t testing.TB, dir string) objstore.Store {
	s := objstore.NewMemory()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		_, err = s.Put(context.Background(), filepath.ToSlash(rel), body, objstore.Always)
		return err
	}))
	return s
}

const golden018 = "testdata/golden/db018"

func goldenReaderOptions(name string, s objstore.Store) *ReaderOptions {
	o := &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: s, MergeOperator: concatOp, Clock: epochClock{},
		BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20}
	switch name {
	case "transform":
		o.BlockTransformer = goldenTransform{}
	case "filters":
		o.FilterPolicies = []FilterPolicy{
			BloomFilter(10, BloomOptions{}),
			BloomFilter(12, BloomOptions{Extractor: fixed3{}}),
			BloomFilter(20, BloomOptions{Extractor: fixed3{}, NoWholeKeys: true}),
			BloomFilter(8, BloomOptions{NoWholeKeys: true}),
		}
	}
	return o
}

func scanAll(t testing.TB, r ReadOps, o *ScanOptions) []Entry {
	var out []Entry
	for e, err := range r.Entries(context.Background(), All, o) {
		require.NoError(t, err)
		out = append(out, e.Clone())
	}
	return out
}

// wantRows turns a dump of the Rust engine, which shows expired rows, into what is shown here.
func wantRows(t testing.TB, rows []goldenRow, now int64) []Entry {
	var out []Entry
	for _, r := range rows {
		if r.Expire != nil && *r.Expire <= now {
			continue
		}
		k, err := hex.DecodeString(r.K)
		require.NoError(t, err)
		v, err := hex.DecodeString(r.V)
		require.NoError(t, err)
		e := Entry{Key: k, Value: v, Seq: r.Seq, CreateTime: time.UnixMilli(r.Create)}
		if r.Expire != nil {
			e.ExpireTime = time.UnixMilli(*r.Expire)
		}
		out = append(out, e)
	}
	return out
}

func requireEntries(t testing.TB, want, got []Entry) {
	t.Helper()
	require.Equal(t, len(want), len(got), "rows")
	for i := range want {
		require.Equal(t, string(want[i].Key), string(got[i].Key), "row %d", i)
		require.Equal(t, string(want[i].Value), string(got[i].Value), "value of %q", want[i].Key)
		require.Equal(t, want[i].Seq, got[i].Seq, "seq of %q", want[i].Key)
		require.True(t, want[i].CreateTime.Equal(got[i].CreateTime), "create time of %q: %v, got %v", want[i].Key, want[i].CreateTime, got[i].CreateTime)
		require.True(t, want[i].ExpireTime.Equal(got[i].ExpireTime), "expire time of %q: %v, got %v", want[i].Key, want[i].ExpireTime, got[i].ExpireTime)
	}
}

// Every golden database of 0.18.0 reads like the Rust reader read it, in both directions and
// by point, from a reader and from a writer that opens a copy.
func TestGoldenDatabases018(t *testing.T) {
	ctx := context.Background()
	dirs, err := os.ReadDir(golden018)
	require.NoError(t, err)
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		t.Run(d.Name(), func(t *testing.T) {
			s := memoryCopy(t, filepath.Join(golden018, d.Name(), "store"))
			byDB := map[string][]goldenRow{}
			for _, r := range readDump(t, filepath.Join(golden018, d.Name(), "dump.jsonl")) {
				if r.DB == "" {
					r.DB = "db"
				}
				byDB[r.DB] = append(byDB[r.DB], r)
			}
			for path, rows := range byDB {
				ro := goldenReaderOptions(d.Name(), s)
				r, err := OpenReader(ctx, path, ro)
				require.NoError(t, err, path)
				checkReads(t, r, wantMerged(t, r, wantRows(t, rows, r.now()), rows, r.now()))
				require.NoError(t, r.Close(ctx))

				o := &Options{DisableCompactor: true, DisableGC: true, Store: s, MergeOperator: concatOp, BlockTransformer: ro.BlockTransformer, FilterPolicies: ro.FilterPolicies,
					Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20, ManifestPollInterval: -1, L0MaxSSTs: 1000, L0MaxSSTsPerKey: 1000}
				if d.Name() == "segments" {
					o.SegmentExtractor = slash("slash")
				}
				db, err := Open(ctx, path, o)
				require.NoError(t, err, path)
				checkReads(t, db, wantMerged(t, db, wantRows(t, rows, db.now()), rows, db.now()))
				key := []byte("zz/written-by-go")
				require.NoError(t, db.Put(ctx, key, []byte("x")))
				require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
				v, err := db.Get(ctx, key)
				require.NoError(t, err)
				require.Equal(t, "x", string(v))
				require.NoError(t, db.Close(ctx))
			}
		})
	}
}

// wantMerged adds to want what is left of merged rows of which an operand has expired: the
// Rust reader shows them with that operand and the smallest expiry, here it counts as absent.
func wantMerged(t testing.TB, r ReadOps, want []Entry, rows []goldenRow, now int64) []Entry {
	for _, row := range rows {
		k, err := hex.DecodeString(row.K)
		require.NoError(t, err)
		if row.Expire == nil || *row.Expire > now {
			continue
		}
		if e, err := r.GetEntry(context.Background(), k, nil); err == nil {
			require.True(t, e.ExpireTime.IsZero() || e.ExpireTime.UnixMilli() > now, "expired row %q is shown", k)
			v, err := hex.DecodeString(row.V)
			require.NoError(t, err)
			require.Less(t, len(e.Value), len(v), "key %q: no operand is missing", k)
			want = append(want, e)
		}
	}
	slices.SortFunc(want, func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) })
	return want
}

func checkReads(t testing.TB, r ReadOps, want []Entry) {
	t.Helper()
	ctx := context.Background()
	requireEntries(t, want, scanAll(t, r, nil))
	back := scanAll(t, r, &ScanOptions{Order: Descending, CacheBlocks: true})
	for i, j := 0, len(back)-1; i < j; i, j = i+1, j-1 {
		back[i], back[j] = back[j], back[i]
	}
	requireEntries(t, want, back)
	keys := make([][]byte, len(want))
	for i, w := range want {
		keys[i] = w.Key
		e, err := r.GetEntry(ctx, w.Key, nil)
		require.NoError(t, err, "get %q", w.Key)
		requireEntries(t, []Entry{w}, []Entry{e})
		_, err = r.Get(ctx, append(bytes.Clone(w.Key), "-none"...))
		require.ErrorIs(t, err, ErrNotFound)
	}
	vs, err := r.MultiGet(ctx, keys, nil)
	require.NoError(t, err)
	for i, w := range want {
		require.Equal(t, string(w.Value), string(vs[i]))
	}
}

// The databases of 0.17.0 and 0.14.1, with clones, projections, segments and a V1 upgrade.
func TestGoldenDatabases017(t *testing.T) {
	ctx := context.Background()
	for _, name := range []string{"base", "clone", "plain", "projected", "segments", "v1up"} {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/golden/db/decoded/" + name + ".json")
			require.NoError(t, err)
			type row struct {
				Key, Value string
				Seq        uint64
			}
			var side struct {
				Rows   []row `json:"rows_latest"`
				Pinned []row `json:"rows_at_checkpoint_golden"`
			}
			require.NoError(t, json.Unmarshal(raw, &side))
			s := memoryCopy(t, "testdata/golden/db/store")
			check := func(r ReadOps, want []row) {
				got := scanAll(t, r, nil)
				require.Equal(t, len(want), len(got))
				for i, w := range want {
					require.Equal(t, w.Key, string(got[i].Key))
					require.Equal(t, w.Value, string(got[i].Value))
					require.Equal(t, w.Seq, got[i].Seq)
					v, err := r.Get(ctx, []byte(w.Key))
					require.NoError(t, err)
					require.Equal(t, w.Value, string(v))
				}
			}
			require.NotEmpty(t, side.Rows)
			r, err := OpenReader(ctx, "golden/"+name, goldenReaderOptions(name, s))
			require.NoError(t, err)
			check(r, side.Rows)
			if side.Pinned != nil {
				var id uuid.UUID
				for _, c := range r.state.Load().man.Checkpoints {
					if c.Name == "golden" {
						id = c.ID
					}
				}
				o := goldenReaderOptions(name, s)
				o.CheckpointID = id
				p, err := OpenReader(ctx, "golden/"+name, o)
				require.NoError(t, err)
				check(p, side.Pinned)
				require.NoError(t, p.Close(ctx))
			}
			require.NoError(t, r.Close(ctx))

			o := &Options{DisableCompactor: true, DisableGC: true, Store: s, Logger: quiet, MergeOperator: concatOp, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20}
			if name == "segments" {
				_, err := Open(ctx, "golden/"+name, o)
				require.ErrorIs(t, err, ErrInvalid)
				o.SegmentExtractor = slash("first-slash")
			}
			db, err := Open(ctx, "golden/"+name, o)
			require.NoError(t, err)
			check(db, side.Rows)
			require.NoError(t, db.Close(ctx))
		})
	}
}

// Checkpoints of both scopes show what the Rust reader saw through them.
func TestGoldenCheckpoints(t *testing.T) {
	ctx := context.Background()
	s := memoryCopy(t, golden018+"/checkpoints/store")
	f, err := os.ReadFile(golden018 + "/checkpoints/dump-checkpoints.jsonl")
	require.NoError(t, err)
	n := 0
	for line := range bytes.Lines(f) {
		var c struct {
			Checkpoint uuid.UUID
			Keys       []string
		}
		require.NoError(t, json.Unmarshal(line, &c))
		o := goldenReaderOptions("checkpoints", s)
		o.CheckpointID = c.Checkpoint
		r, err := OpenReader(ctx, "db", o)
		require.NoError(t, err)
		var keys []string
		for _, e := range scanAll(t, r, nil) {
			keys = append(keys, string(e.Key))
		}
		require.Equal(t, c.Keys, keys)
		require.NoError(t, r.Close(ctx))
		n++
	}
	require.Positive(t, n)
	o := goldenReaderOptions("checkpoints", s)
	o.CheckpointID = uuid.New()
	_, err = OpenReader(ctx, "db", o)
	require.ErrorIs(t, err, ErrNotFound)
}
