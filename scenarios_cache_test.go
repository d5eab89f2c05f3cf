package slatedb

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// The scenarios of section I that exist without a disk cache: one cache for many databases,
// accounting, tiny caches and none.

// seededRand makes the ids of two databases equal, as a simulator with one seed does.
type seededRand struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func newSeededRand() *seededRand { return &seededRand{r: rand.NewChaCha8([32]byte{1})} }

func (s *seededRand) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(p)
}

// stillClock stands still, but its timers run.
type stillClock struct {
	Clock
	at time.Time
}

func (c stillClock) Now() time.Time { return c.at }

func cacheRows(name string) map[string]string {
	out := map[string]string{}
	for i := range 60 {
		out[fmt.Sprintf("key-%03d", i)] = name + strings.Repeat(".", i)
	}
	return out
}

func fillDB(t testing.TB, db *DB, rows map[string]string) {
	t.Helper()
	ctx := context.Background()
	for k, v := range rows {
		_, err := db.PutWithOptions(ctx, []byte(k), []byte(v), &PutOptions{NoWait: true})
		require.NoError(t, err)
	}
	require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
}

func checkRows(t testing.TB, r ReadOps, rows map[string]string, what string) {
	t.Helper()
	ctx := context.Background()
	for k, v := range rows {
		got, err := r.Get(ctx, []byte(k))
		require.NoError(t, err, what)
		require.Equal(t, v, string(got), what)
	}
	for _, order := range []Order{Ascending, Descending} {
		got := scanRows(t, r, All, &ScanOptions{CacheBlocks: true, Order: order})
		require.Len(t, got, len(rows), what)
		for _, e := range got {
			require.Equal(t, rows[string(e.Key)], string(e.Value), what)
		}
	}
}

// One cache serves several databases: under different roots of one store, under equal roots
// of different stores, writers and readers together, also when their ids are equal because
// they share a seed. Nobody sees a block of another.
func TestI1_OneCacheForManyDatabases(t *testing.T) {
	ctx := context.Background()
	for _, seeded := range []bool{false, true} {
		t.Run(fmt.Sprintf("seeded=%v", seeded), func(t *testing.T) {
			c := cache.New(cache.Options{BlockBytes: 4 << 20, MetaBytes: 4 << 20})
			defer c.Close()
			shared := objstore.NewMemory()
			type one struct {
				store objstore.Store
				root  string
				rows  map[string]string
				db    *DB
				r     *Reader
			}
			var all []*one
			for i := range 3 {
				all = append(all, &one{store: objstore.NewMemory(), root: "db", rows: cacheRows(fmt.Sprintf("own-%d", i))})
			}
			for i := range 2 {
				all = append(all, &one{store: shared, root: fmt.Sprintf("db/%d", i), rows: cacheRows(fmt.Sprintf("shared-%d", i))})
			}
			all = append(all, &one{store: shared, root: "db", rows: cacheRows("parent")})
			for _, x := range all {
				o := testOptions()
				o.Store, o.BlockCache, o.BlockCacheBytes, o.MetaCacheBytes = x.store, c, 0, 0
				o.BlockSize, o.MinFilterKeys = 1<<10, -1
				if seeded {
					o.Rand, o.Clock = newSeededRand(), stillClock{seam.SystemClock{}, time.UnixMilli(1_700_000_000_000)}
				}
				var err error
				x.db, err = Open(ctx, x.root, o)
				require.NoError(t, err)
				fillDB(t, x.db, x.rows)
				x.r, err = OpenReader(ctx, x.root, &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: x.store, BlockCache: c, Logger: quiet, Rand: o.Rand, Clock: o.Clock})
				require.NoError(t, err)
			}
			if seeded {
				ids := map[sst.ID]bool{}
				for _, x := range all {
					ids[x.db.state.Load().man.Root.L0[0].Table.ID] = true
				}
				require.Len(t, ids, 1, "this test needs equal ids to mean something")
			}
			var wg sync.WaitGroup
			for i, x := range all {
				wg.Go(func() {
					for range 3 {
						checkRows(t, x.db, x.rows, fmt.Sprintf("writer %d", i))
						checkRows(t, x.r, x.rows, fmt.Sprintf("reader %d", i))
					}
				})
			}
			wg.Wait()
			// Closing some closes nothing for the others: the cache is the caller's.
			for i, x := range all {
				require.NoError(t, x.db.Close(ctx))
				require.NoError(t, x.r.Close(ctx))
				for j := i + 1; j < len(all); j++ {
					checkRows(t, all[j].db, all[j].rows, fmt.Sprintf("writer %d after the end of %d", j, i))
				}
			}
			require.Positive(t, c.Stats().Blocks.Entries, "the caller's cache is still in use")
		})
	}
}

// A database that is wiped and made again at the same place, in the same process and with the
// same cache, shows nothing of the old one (I5), though its table has the same id.
func TestI5_RecreatedDatabaseSeesNothingOld(t *testing.T) {
	ctx := context.Background()
	c := cache.New(cache.Options{BlockBytes: 4 << 20, MetaBytes: 4 << 20})
	store := objstore.NewMemory()
	for round := range 3 {
		o := testOptions()
		o.Store, o.BlockCache, o.BlockCacheBytes, o.MetaCacheBytes = store, c, 0, 0
		o.Rand, o.Clock = newSeededRand(), stillClock{seam.SystemClock{}, time.UnixMilli(1_700_000_000_000)}
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		rows := cacheRows(fmt.Sprintf("life-%d", round))
		fillDB(t, db, rows)
		checkRows(t, db, rows, fmt.Sprint(round))
		require.NoError(t, db.Close(ctx))
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		checkRows(t, db, rows, fmt.Sprint(round))
		require.NoError(t, db.Close(ctx))
		for a, err := range store.List(ctx, "", "") {
			require.NoError(t, err)
			require.NoError(t, store.Delete(ctx, a.Key))
		}
	}
}

// What the cache says it holds is never above its budget, whoever reads and writes, and a
// cache of a byte, of a block, or none gives the same answers.
func TestI2_AccountingAndTinyCaches(t *testing.T) {
	ctx := context.Background()
	for _, budget := range []int64{1, 1 << 10, 5000, 64 << 10} {
		c := cache.New(cache.Options{BlockBytes: budget, MetaBytes: budget})
		o := testOptions()
		o.BlockCache, o.BlockCacheBytes, o.MetaCacheBytes = c, 0, 0
		o.BlockSize, o.MinFilterKeys = 1<<10, -1
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		rows := cacheRows("x")
		for i := range 3 {
			rows[fmt.Sprintf("round-%d", i)] = "r"
			fillDB(t, db, rows)
		}
		stop := make(chan struct{})
		var watch, wg sync.WaitGroup
		watch.Go(func() {
			for {
				st := c.Stats()
				require.LessOrEqual(t, st.Blocks.Bytes, budget)
				require.LessOrEqual(t, st.Meta.Bytes, budget)
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
			}
		})
		for range 3 {
			wg.Go(func() { checkRows(t, db, rows, fmt.Sprintf("budget %d", budget)) })
		}
		wg.Wait()
		close(stop)
		watch.Wait()
		require.NoError(t, db.Close(ctx))
		require.NoError(t, c.Close())
		st := c.Stats()
		require.Zero(t, st.Blocks.Bytes+st.Meta.Bytes)
		require.Zero(t, st.Blocks.Loading+st.Meta.Loading)
	}
	for _, sizes := range [][2]int64{{-1, -1}, {-1, 1 << 20}, {1 << 20, -1}, {1, 1}} {
		o := testOptions()
		o.BlockCacheBytes, o.MetaCacheBytes, o.BlockSize = sizes[0], sizes[1], 1<<10
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		rows := cacheRows("y")
		fillDB(t, db, rows)
		checkRows(t, db, rows, fmt.Sprint(sizes))
		require.NoError(t, db.Close(ctx))
	}
}

// A small value does not keep the block alive that it came from.
func TestI2_SmallValuesPinNoBlocks(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.BlockSize, o.BlockCacheBytes, o.MetaCacheBytes = 64<<10, -1, 1<<20
	db := openTest(t, o)
	const n = 300
	for i := range n {
		_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "%04d/a", i), []byte("small"), &PutOptions{NoWait: true})
		require.NoError(t, err)
		_, err = db.PutWithOptions(ctx, fmt.Appendf(nil, "%04d/b", i), bytes.Repeat([]byte{byte(i)}, 64<<10), &PutOptions{NoWait: true})
		require.NoError(t, err)
	}
	require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	var keep [][]byte
	var entries []Entry
	for i := range n {
		k := fmt.Appendf(nil, "%04d/a", i)
		v, err := db.Get(ctx, k)
		require.NoError(t, err)
		keep = append(keep, v)
		e, err := db.GetEntry(ctx, k, nil)
		require.NoError(t, err)
		entries = append(entries, e)
		vs, err := db.MultiGet(ctx, [][]byte{k}, nil)
		require.NoError(t, err)
		keep = append(keep, vs...)
		for e, err := range db.Entries(ctx, Range{Start: k}, &ScanOptions{Limit: 1}) {
			require.NoError(t, err)
			entries = append(entries, e.Clone())
		}
	}
	grown := heap() - before
	require.Less(t, grown, int64(4<<20), "%d values of 5 bytes hold %d bytes; their blocks are %d", 4*n, grown, n*64<<10)
	runtime.KeepAlive(keep)
	runtime.KeepAlive(entries)
}

// NoCacheFill and a scan without CacheBlocks leave the block cache as it was; a read that
// fills it makes the next one free.
func TestI2_FillOnlyWhenAsked(t *testing.T) {
	ctx := context.Background()
	inner := objstore.NewMemory()
	o := testOptions()
	o.Store, o.BlockSize = inner, 1<<10
	db := openTest(t, o)
	rows := cacheRows("z")
	fillDB(t, db, rows)
	require.NoError(t, db.Close(ctx))

	store := faulty.New(inner, nil)
	c := cache.New(cache.Options{BlockBytes: 1 << 20, MetaBytes: 1 << 20})
	r, err := OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: store, BlockCache: c, Logger: quiet})
	require.NoError(t, err)
	defer r.Close(ctx)
	key := []byte("key-033")
	requests := func(read func()) int {
		n := store.Count("read")
		read()
		return store.Count("read") - n
	}
	get := func(no bool) func() {
		return func() {
			v, err := r.GetWithOptions(ctx, key, &ReadOptions{NoCacheFill: no})
			require.NoError(t, err)
			require.Equal(t, rows[string(key)], string(v))
		}
	}
	scan := func(fill bool) func() {
		return func() {
			require.Len(t, scanRows(t, r, All, &ScanOptions{CacheBlocks: fill}), len(rows))
		}
	}
	requests(get(true)) // metadata
	require.Zero(t, c.Stats().Blocks.Entries)
	require.Positive(t, requests(get(true)))
	require.Positive(t, requests(get(true)))
	require.Zero(t, c.Stats().Blocks.Entries, "NoCacheFill")
	require.Positive(t, requests(scan(false)))
	require.Positive(t, requests(scan(false)))
	require.Zero(t, c.Stats().Blocks.Entries, "a scan does not fill by default")
	require.Positive(t, requests(get(false)))
	require.Equal(t, 1, c.Stats().Blocks.Entries)
	require.Zero(t, requests(get(false)), "the second read is from memory")
	require.Zero(t, requests(get(true)), "NoCacheFill reads what is cached")
	require.Positive(t, requests(scan(true)))
	require.Zero(t, requests(scan(true)))
	require.Zero(t, requests(scan(false)))
	require.Zero(t, requests(func() {
		vs, err := r.MultiGet(ctx, [][]byte{key, []byte("key-001")}, nil)
		require.NoError(t, err)
		require.NotNil(t, vs[0])
	}))
	require.Zero(t, requests(func() {
		_, err := r.Get(ctx, []byte("zzz"))
		require.ErrorIs(t, err, ErrNotFound)
	}), "outside of the table")
}

// Many concurrent misses of one block share one request, and one that gives up does not
// disturb the others.
func TestI2_ConcurrentMissesShareARequest(t *testing.T) {
	ctx := context.Background()
	inner := objstore.NewMemory()
	o := testOptions()
	o.Store = inner
	db := openTest(t, o)
	rows := map[string]string{"a": "1"}
	fillDB(t, db, rows)
	require.NoError(t, db.Close(ctx))
	store := faulty.New(inner, nil)
	r, err := OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: store, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20, Logger: quiet})
	require.NoError(t, err)
	defer r.Close(ctx)
	release := make(chan struct{})
	act := store.Script(faulty.Rule{Method: "read", Kind: faulty.Block, Release: release})
	gone, cancel := context.WithCancel(ctx)
	quitter := make(chan error, 1)
	go func() { _, err := r.Get(gone, []byte("a")); quitter <- err }()
	<-act.Reached()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			v, err := r.Get(ctx, []byte("a"))
			require.NoError(t, err)
			require.Equal(t, "1", string(v))
		})
	}
	cancel()
	require.ErrorIs(t, <-quitter, context.Canceled)
	close(release)
	wg.Wait()
	require.LessOrEqual(t, store.Count("read"), 2, "metadata, then the block (or both at once)")
}
