package sst_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// TestScanWaves counts dependent round trips of a short scan: metadata of all tables, then
// their first blocks.
func TestScanWaves(t *testing.T) {
	for _, desc := range []bool{false, true} {
		t.Run(fmt.Sprintf("desc=%t", desc), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				objects := newCounting()
				objects.delay = 20 * time.Millisecond
				s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{})
				var vs []*sst.ViewReader
				for range 5 {
					vs = append(vs, view(s, objects.addTable(t, "db", numbered(20000, 50), sst.WriterOptions{}), nil))
				}
				seek10 := func() time.Duration {
					start := time.Now()
					g := sst.NewGroup(t.Context(), s, sst.GroupOptions{})
					its := []kv.Iterator{}
					for _, v := range vs[:3] {
						its = append(its, g.Iter(v, kv.Range{Start: []byte("key000700"), End: []byte("key007000")}, desc))
					}
					its = append(its, g.RunIter(vs[3:], kv.Range{Start: []byte("key000700"), End: []byte("key007000")}, desc))
					for range 10 {
						for _, it := range its {
							require.True(t, it.Next())
						}
					}
					d := time.Since(start)
					for _, it := range its {
						require.NoError(t, it.Close())
					}
					return d
				}
				require.Equal(t, 40*time.Millisecond, seek10())
				require.EqualValues(t, 8, objects.requests.Load())
				require.Equal(t, 20*time.Millisecond, seek10(), "metadata is cached")
				require.EqualValues(t, 12, objects.requests.Load())
				require.Zero(t, s.Stats().ReadAhead)
			})
		})
	}
}

// TestFullScanReadsAhead: the time of a long scan is far below one round trip per request.
func TestFullScanReadsAhead(t *testing.T) {
	for _, desc := range []bool{false, true} {
		t.Run(fmt.Sprintf("desc=%t", desc), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				objects := newCounting()
				objects.delay = 20 * time.Millisecond
				s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{})
				var run []*sst.ViewReader
				rows := numbered(120_000, 100) // 15 MB
				for i := range 6 {
					run = append(run, view(s, objects.addTable(t, "db", rows[i*20_000:(i+1)*20_000], sst.WriterOptions{}), nil))
				}
				start := time.Now()
				it := sst.NewGroup(t.Context(), s, sst.GroupOptions{}).RunIter(run, kv.Range{}, desc)
				n := 0
				for it.Next() {
					n++
				}
				require.NoError(t, it.Err())
				require.Equal(t, len(rows), n)
				t.Logf("%v, %d requests", time.Since(start), objects.requests.Load())
				require.Less(t, time.Since(start), 500*time.Millisecond)
				require.Less(t, objects.requests.Load(), int64(60))
				require.Zero(t, s.Stats().ReadAhead)
			})
		})
	}
}

func TestReadAheadIsBounded(t *testing.T) {
	objects := newCounting()
	s := objects.open(nil, sst.StoreOptions{})
	v := view(s, objects.addTable(t, "db", numbered(50_000, 100), sst.WriterOptions{}), nil)
	for _, limit := range []int{1, 20_000, 500_000} {
		it := sst.NewGroup(t.Context(), s, sst.GroupOptions{ReadAhead: limit}).Iter(v, kv.Range{}, false)
		most := int64(0)
		for it.Next() {
			most = max(most, s.Stats().ReadAhead)
		}
		require.NoError(t, it.Err())
		require.LessOrEqual(t, most, int64(2*limit+8200))
		if limit > 8200 {
			require.Greater(t, most, int64(limit/2))
		}
	}
}

// TestH5_ErrorsAreStickyAndSkipNothing fails each request of a scan in turn: what was given
// before is a prefix of the truth, the error stays, and it never looks like the end.
func TestH5_ErrorsAreStickyAndSkipNothing(t *testing.T) {
	rows := numbered(3000, 60)
	boom := errors.New("boom")
	for _, desc := range []bool{false, true} {
		want := inOrder(rows, kv.Range{}, desc)
		for fail := int64(1); ; fail++ {
			objects := newCounting()
			s := objects.open(cache.New(cache.Options{BlockBytes: 10_000}), sst.StoreOptions{})
			var run []*sst.ViewReader
			for i := range 3 {
				run = append(run, view(s, objects.addTable(t, "db", rows[i*1000:(i+1)*1000], sst.WriterOptions{}), nil))
			}
			objects.hook = func(n int64, _ string, _ []byte, _ int64) (bool, error) { return n == fail, boom }
			it := sst.NewGroup(t.Context(), s, sst.GroupOptions{Fill: true}).RunIter(run, kv.Range{}, desc)
			n := 0
			for it.Next() {
				require.Equal(t, want[n], rowOf(it.Entry()))
				n++
			}
			if it.Err() == nil {
				require.Equal(t, len(want), n)
				require.Greater(t, fail, int64(5))
				break
			}
			require.Less(t, n, len(want))
			require.ErrorIs(t, it.Err(), boom)
			require.ErrorIs(t, it.Err(), kv.ErrUnavailable)
			require.False(t, it.Next())
			require.False(t, it.Seek([]byte("key002999")))
			require.ErrorIs(t, it.Err(), boom)
			require.ErrorIs(t, it.Close(), boom)
		}
	}
}

func TestDamagedBlockOfAScan(t *testing.T) {
	for _, times := range []int{1, 2} {
		objects := newCounting()
		h := objects.addTable(t, "db", numbered(3000, 60), sst.WriterOptions{})
		good := objects.objects[h.ID.Object("db")]
		const at = 40_000 // inside some block
		left := times
		objects.hook = func(_ int64, _ string, p []byte, off int64) (bool, error) {
			copy(p, good[off:])
			if off <= at && at < off+int64(len(p)) && left > 0 {
				left--
				p[at-off] ^= 1
			}
			return true, nil
		}
		s := objects.open(nil, sst.StoreOptions{})
		it := sst.NewGroup(t.Context(), s, sst.GroupOptions{}).Iter(view(s, h, nil), kv.Range{}, false)
		n := 0
		for it.Next() {
			n++
		}
		if times == 1 {
			require.NoError(t, it.Err())
			require.Equal(t, 3000, n)
		} else {
			var ce *sst.CorruptionError
			require.ErrorAs(t, it.Err(), &ce)
			require.Equal(t, h.ID.Object("db"), ce.Object)
			require.InDelta(t, at, ce.Offset, 4200)
		}
	}
}

func TestScanHearsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects := newCounting()
		objects.delay = time.Second
		s := objects.open(nil, sst.StoreOptions{})
		v := view(s, objects.addTable(t, "db", numbered(3000, 60), sst.WriterOptions{}), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		it := sst.NewGroup(ctx, s, sst.GroupOptions{}).Iter(v, kv.Range{}, false)
		start := time.Now()
		for it.Next() {
		}
		require.ErrorIs(t, it.Err(), context.DeadlineExceeded)
		require.Equal(t, 2500*time.Millisecond, time.Since(start))
	})
}

// TestH1_ThousandVersions spreads one key over many blocks and looks at it from all sides.
func TestH1_ThousandVersions(t *testing.T) {
	rows := []row{{key: "a", value: "x", seq: 5000}, {key: "z", value: "y", seq: 5001}}
	for i := range 1000 {
		rows = append(rows, row{key: "hot", value: strings.Repeat("v", 100), seq: kv.Seq(i + 1)})
	}
	sortRows(rows)
	for _, size := range []int{1024, 4096, 65536} {
		objects := newCounting()
		s := objects.open(nil, sst.StoreOptions{})
		v := view(s, objects.addTable(t, "db", rows, sst.WriterOptions{BlockSize: size}), nil)
		for _, desc := range []bool{false, true} {
			before := objects.requests.Load()
			it := sst.NewGroup(t.Context(), s, sst.GroupOptions{}).Iter(v, kv.Range{}, desc)
			require.Equal(t, inOrder(rows, kv.Range{}, desc), drain(t, it))
			require.Less(t, objects.requests.Load()-before, int64(14))
			for _, seek := range []string{"hot", "hos", "hou"} {
				it := sst.NewGroup(t.Context(), s, sst.GroupOptions{}).Iter(v, kv.Range{}, desc)
				require.True(t, it.Seek([]byte(seek)))
				var want string
				switch {
				case seek == "hot", seek == "hos" && !desc, seek == "hou" && desc:
					want = "hot"
					require.EqualValues(t, 1000, it.Entry().Seq)
				case desc:
					want = "a"
				default:
					want = "z"
				}
				require.Equal(t, want, string(it.Entry().Key))
				require.NoError(t, it.Close())
			}
		}
		for _, limit := range []kv.Seq{0, 1, 500, 999, 1000, 9999} {
			e, found, _, err := get(t.Context(), s, []*sst.ViewReader{v}, "hot", limit, true)
			require.NoError(t, err)
			require.Equal(t, limit > 0, found)
			if found {
				require.Equal(t, min(limit, 1000), e.Seq)
			}
		}
	}
}

// TestFiltersSkipTables asks a prefix of tables that do not hold it: their metadata is read,
// no block is.
func TestFiltersSkipTables(t *testing.T) {
	objects := newCounting()
	s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{Policies: bloom10})
	v := view(s, objects.addTable(t, "db", numbered(3000, 60), sst.WriterOptions{Policies: bloom10}), nil)
	r := kv.Range{Start: []byte("key000100x"), End: []byte("key000100x"), EndInclusive: true}
	q := &sst.Query{Kind: sst.QueryPoint, Key: []byte("key000100x")}
	it := sst.NewGroup(t.Context(), s, sst.GroupOptions{Query: q}).Iter(v, r, false)
	require.False(t, it.Next())
	require.NoError(t, it.Err())
	require.EqualValues(t, 1, objects.requests.Load())
	require.EqualValues(t, 1, s.Stats().Filters[sst.QueryPoint].Negative)
}

func TestScanFillsOnlyWhenAsked(t *testing.T) {
	objects := newCounting()
	c := cache.New(cache.Options{})
	s := objects.open(c, sst.StoreOptions{})
	v := view(s, objects.addTable(t, "db", numbered(3000, 60), sst.WriterOptions{}), nil)
	drain(t, sst.NewGroup(t.Context(), s, sst.GroupOptions{}).Iter(v, kv.Range{}, false))
	require.Zero(t, c.Stats().Blocks.Entries)
	require.Equal(t, 1, c.Stats().Meta.Entries)
	drain(t, sst.NewGroup(t.Context(), s, sst.GroupOptions{Fill: true}).Iter(v, kv.Range{}, false))
	require.Greater(t, c.Stats().Blocks.Entries, 50)
	before := objects.requests.Load()
	drain(t, sst.NewGroup(t.Context(), s, sst.GroupOptions{}).Iter(v, kv.Range{}, true))
	require.Equal(t, before, objects.requests.Load())
}

// TestGoldenTablesThroughReader reads the Rust engine's compacted tables by ranges and
// compares with the whole-object decoder.
func TestGoldenTablesThroughReader(t *testing.T) {
	files, err := filepath.Glob("../testdata/golden/sst/*-compacted.sst")
	require.NoError(t, err)
	more, err := filepath.Glob("../testdata/golden/sst/v*/*compacted*.sst")
	require.NoError(t, err)
	require.Greater(t, len(files), 5)
	for _, f := range append(files, more...) {
		body, err := os.ReadFile(f)
		require.NoError(t, err)
		o, err := sst.OpenObject(f, body, nil)
		require.NoError(t, err, f)
		var rows []row
		walk := o.Rows()
		for walk.Next() {
			rows = append(rows, rowOf(walk.Entry()))
		}
		require.NoError(t, walk.Err())
		objects := newCounting()
		h := &sst.Handle{ID: sst.TableID(nextULID()), Format: o.Format(), Info: *o.Info()}
		objects.objects[h.ID.Object("db")] = body
		s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{Policies: bloom10})
		v := view(s, h, nil)
		for _, desc := range []bool{false, true} {
			it := sst.NewGroup(t.Context(), s, sst.GroupOptions{}).Iter(v, kv.Range{}, desc)
			require.Equal(t, inOrder(rows, kv.Range{}, desc), drain(t, it), f)
		}
		for _, r := range rows {
			e, found, _, err := get(t.Context(), s, []*sst.ViewReader{v}, r.key, r.seq, true)
			require.NoError(t, err, f)
			require.True(t, found, "%s: %s", f, r.key)
			require.Equal(t, r, rowOf(&e))
		}
	}
}

func TestNextAndGetDoNotAllocate(t *testing.T) {
	objects := newCounting()
	s := objects.open(cache.New(cache.Options{}), sst.StoreOptions{Policies: bloom10})
	var vs []*sst.ViewReader
	for range 3 {
		vs = append(vs, view(s, objects.addTable(t, "db", numbered(5000, 60), sst.WriterOptions{Policies: bloom10}), nil))
	}
	for _, v := range vs {
		drain(t, sst.NewGroup(t.Context(), s, sst.GroupOptions{Fill: true}).Iter(v, kv.Range{}, false))
	}
	for _, desc := range []bool{false, true} {
		it := sst.NewGroup(t.Context(), s, sst.GroupOptions{}).Iter(vs[0], kv.Range{}, desc)
		for range 500 { // buffers reach their size
			require.True(t, it.Next())
		}
		require.Zero(t, testing.AllocsPerRun(4000, func() { it.Next() }), "desc=%t", desc)
	}
	var l sst.Lookup
	var e kv.Entry
	for _, key := range []string{"key000100", "key000100x", "nothing"} {
		k := []byte(key)
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			l.Reset(k, nil)
			for _, v := range vs {
				if verdict, err := v.Get(&l, kv.MaxSeq, &e); err != nil || verdict == sst.Missing {
					panic(key)
				}
			}
		}))
	}
}
