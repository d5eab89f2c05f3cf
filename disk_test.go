package slatedb

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/memfs"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/internal/testkit"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// diskWorld is a database on a store that counts, with a local disk.
type diskWorld struct {
	t     *testing.T
	store *faulty.Store
	fs    *memfs.FS
	disk  DiskCacheOptions
	rows  map[string]string
	db    *DB
}

func newDiskWorld(t *testing.T, disk DiskCacheOptions) *diskWorld {
	disk.Dir = "/disk"
	return &diskWorld{t: t, store: faulty.New(objstore.NewMemory(), nil), fs: memfs.New(), disk: disk, rows: map[string]string{}}
}

// options have no cache in memory, so that every read goes to the disk or the store.
func (w *diskWorld) options() *Options {
	o := testOptions()
	o.Store, o.BlockCacheBytes, o.MetaCacheBytes = w.store, -1, -1
	o.BlockSize, o.MinFilterKeys, o.DisableGC, o.DisableCompactor = 1<<10, -1, true, true
	o.DiskCache, o.diskFS = &w.disk, w.fs
	return o
}

func (w *diskWorld) open() {
	w.t.Helper()
	db, err := Open(w.t.Context(), "db", w.options())
	require.NoError(w.t, err)
	w.db = db
}

func (w *diskWorld) close() {
	w.t.Helper()
	require.NoError(w.t, w.db.Close(context.Background()))
}

// fill writes some rows and flushes them into a table of about n KiB.
func (w *diskWorld) fill(name string, n int) {
	w.t.Helper()
	rows := map[string]string{}
	for i := range n {
		rows[fmt.Sprintf("%s-%05d", name, i)] = strings.Repeat(string(rune('a'+i%26)), 1000)
	}
	fillDB(w.t, w.db, rows)
	for k, v := range rows {
		w.rows[k] = v
	}
}

// tableReads returns how many requests and bytes of tables f reads from the store.
func (w *diskWorld) tableReads(f func()) (requests, most int) {
	w.store.Record(true)
	f()
	for _, r := range w.store.Log() {
		if r.Method == "read" && strings.Contains(r.Key, "/compacted/") {
			requests++
			most = max(most, r.Len)
		}
	}
	w.store.Record(false)
	return requests, most
}

func (w *diskWorld) check(r ReadOps) func() {
	return func() { w.t.Helper(); checkRows(w.t, r, w.rows, "with a disk") }
}

func (w *diskWorld) figure(m Metrics, name string, labels ...string) float64 {
	w.t.Helper()
	v, ok := m.Value("slatedb.object_store_cache."+name, labels...)
	require.True(w.t, ok, name)
	return v
}

// settled waits until what the disk cache does in the background is done.
func (w *diskWorld) settled() {
	if w.db.preloads() {
		<-w.db.disk.loaded
	}
	w.db.disk.parts.Drain()
}

// TestDiskCacheWarmSetSurvivesARestart: the second opening reads no byte of a table from the
// store, and no figure counts a hit as a request.
func TestDiskCacheWarmSetSurvivesARestart(t *testing.T) {
	testkit.NoLeaks(t)
	w := newDiskWorld(t, DiskCacheOptions{MaxBytes: 8 << 20})
	w.open()
	for i := range 3 {
		w.fill(fmt.Sprint("t", i), 300)
	}
	w.check(w.db)()
	w.settled()
	cold := w.figure(w.db.Metrics(), "part_hit_count")
	require.Positive(t, cold)
	w.close()
	w.fs = w.fs.Again()
	w.open()
	requests, _ := w.tableReads(w.check(w.db))
	require.Zero(t, requests)
	m := w.db.Metrics()
	require.Equal(t, w.figure(m, "part_access_count"), w.figure(m, "part_hit_count"))
	_, counted := m.Value("slatedb.object_store.request_count", "cause", "read", "api", "get_range")
	require.False(t, counted, "no request was made")

	// A reader of the same process shares the directory.
	r, err := OpenReader(t.Context(), "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: w.store, DiskCache: &w.disk, diskFS: w.fs, BlockCacheBytes: -1, MetaCacheBytes: -1, Logger: quiet})
	require.NoError(t, err)
	requests, _ = w.tableReads(w.check(r))
	require.Zero(t, requests)
	require.NoError(t, r.Close(t.Context()))
	w.check(w.db)()
	w.close()
	require.Zero(t, w.fs.OpenFiles())
}

// TestDiskCacheMissIsSmall: with the default part a get that misses fetches at most 256 KiB,
// in one request.
func TestDiskCacheMissIsSmall(t *testing.T) {
	w := newDiskWorld(t, DiskCacheOptions{})
	w.open()
	w.fill("a", 4000)
	w.close()
	o := w.options()
	o.MetaCacheBytes = 8 << 20 // the table's metadata is read once
	db, err := Open(t.Context(), "db", o)
	require.NoError(t, err)
	w.db = db
	_, err = db.Get(t.Context(), []byte("a-00000"))
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 1))
	most, sum, n := 0, 0, 200
	for range n {
		requests, bytes := w.tableReads(func() {
			_, err := db.Get(t.Context(), fmt.Appendf(nil, "a-%05d", r.IntN(4000)))
			require.NoError(t, err)
		})
		require.LessOrEqual(t, requests, 1)
		require.LessOrEqual(t, bytes, 256<<10)
		most, sum = max(most, bytes), sum+bytes
	}
	t.Logf("%d gets fetched %d KiB, the largest %d KiB", n, sum>>10, most>>10)
	w.close()
}

// TestDiskCacheAdmission: flush and compaction output is there before the first read; what
// compaction replaced makes room.
func TestDiskCacheAdmission(t *testing.T) {
	w := newDiskWorld(t, DiskCacheOptions{MaxBytes: 16 << 20, OnFlush: true, OnCompaction: true})
	o := w.options()
	o.DisableCompactor = false
	db, err := Open(t.Context(), "db", o)
	require.NoError(t, err)
	w.db = db
	w.fill("a", 300)
	w.fill("b", 300)
	requests, _ := w.tableReads(w.check(db))
	require.Zero(t, requests, "after the flush")
	before := w.figure(db.Metrics(), "cache_bytes")
	require.NoError(t, db.Compact(t.Context()))
	require.Empty(t, db.state.Load().man.Root.L0)
	requests, _ = w.tableReads(func() { checkRows(t, db, w.rows, "compacted") })
	require.Zero(t, requests, "after the compaction")
	require.Less(t, w.figure(db.Metrics(), "cache_bytes"), 1.5*before, "the tables that are gone are dropped")
	w.close()
}

// TestDiskCachePreload: after it, no read of the chosen tables needs the store.
func TestDiskCachePreload(t *testing.T) {
	for _, c := range []struct {
		mode  PreloadMode
		small bool
	}{{PreloadNone, false}, {PreloadL0, false}, {PreloadAll, false}, {PreloadAll, true}} {
		t.Run(fmt.Sprintf("%d/small=%v", c.mode, c.small), func(t *testing.T) {
			w := newDiskWorld(t, DiskCacheOptions{MaxBytes: 16 << 20})
			o := w.options()
			o.DisableCompactor = false
			db, err := Open(t.Context(), "db", o)
			require.NoError(t, err)
			w.db = db
			w.fill("run", 300)
			require.NoError(t, db.Compact(t.Context()))
			w.fill("l0", 300)
			w.close()
			w.fs = memfs.New()
			if w.disk.Preload = c.mode; c.small {
				w.disk.MaxBytes = 512 << 10
			}
			w.open()
			w.settled()
			bytes := w.figure(w.db.Metrics(), "cache_bytes")
			evicted := w.figure(w.db.Metrics(), "evicted_keys")
			requests, _ := w.tableReads(w.check(w.db))
			switch {
			case c.mode == PreloadNone:
				require.Zero(t, bytes)
			case c.small:
				require.InDelta(t, 300<<10, bytes, 100<<10, "one of the two tables")
				require.Zero(t, evicted)
			case c.mode == PreloadL0:
				require.NotZero(t, requests)
				require.InDelta(t, 300<<10, bytes, 100<<10)
			default:
				require.Zero(t, requests)
			}
			w.close()
		})
	}
}

// TestDiskCacheRefetchesCorruption: a block that came damaged is kept by the disk as it came;
// the read that finds out drops it and fetches it once more.
func TestDiskCacheRefetchesCorruption(t *testing.T) {
	w := newDiskWorld(t, DiskCacheOptions{MaxBytes: 8 << 20})
	w.open()
	w.fill("a", 100)
	w.close()
	w.open()
	rule := w.store.Script(faulty.Rule{Method: "read", Key: "/compacted/", Kind: faulty.Alter, Nth: 1, Times: 1, Change: func(b []byte) []byte {
		b = bytes.Clone(b)
		for i := range b {
			b[i] ^= 0x55
		}
		return b
	}})
	w.check(w.db)()
	require.Equal(t, 1, rule.Hits())
	require.Positive(t, w.figure(w.db.Metrics(), "corrupt_keys"))
	w.settled()
	requests, _ := w.tableReads(w.check(w.db))
	require.Zero(t, requests)
	w.close()

	// Damage that stays in the store is told, and what is well is still read.
	for a, err := range w.store.List(t.Context(), "db/compacted/", "") {
		require.NoError(t, err)
		obj, err := w.store.Get(t.Context(), a.Key)
		require.NoError(t, err)
		body := bytes.Clone(obj.Body)
		body[10] ^= 1
		_, err = w.store.Put(t.Context(), a.Key, body, objstore.Always)
		require.NoError(t, err)
	}
	w.fs = memfs.New()
	w.open()
	_, err := w.db.Get(t.Context(), []byte("a-00000"))
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = w.db.Get(t.Context(), []byte("a-00099"))
	require.NoError(t, err)
	w.close()
}

// TestI5_RecreatedDatabaseOnTheOldDisk: a database that is wiped and made again in its place,
// with table ids that repeat, sees nothing of the old one.
func TestI5_RecreatedDatabaseOnTheOldDisk(t *testing.T) {
	w := newDiskWorld(t, DiskCacheOptions{MaxBytes: 8 << 20, OnFlush: true})
	for round := range 3 {
		o := w.options()
		o.Rand, o.Clock = newSeededRand(), stillClock{seam.SystemClock{}, time.UnixMilli(1_700_000_000_000)}
		w.store = faulty.New(objstore.NewMemory(), nil)
		o.Store = w.store
		db, err := Open(t.Context(), "db", o)
		require.NoError(t, err)
		w.db, w.rows = db, cacheRows(fmt.Sprint("round ", round))
		fillDB(t, db, w.rows)
		w.check(db)()
		w.close()
		w.fs = w.fs.Again()
		w.disk.OnFlush = round%2 == 0
	}
}

// TestI6_DatabaseOverABrokenDisk: the answers of a database do not depend on its disk.
func TestI6_DatabaseOverABrokenDisk(t *testing.T) {
	for _, mirror := range []bool{false, true} {
		t.Run(fmt.Sprintf("mirror=%v", mirror), func(t *testing.T) {
			w := newDiskWorld(t, DiskCacheOptions{MaxBytes: 1 << 20, PartBytes: 4 << 10, OnFlush: true, Mirror: mirror})
			w.open()
			dice, lock := rand.New(rand.NewPCG(6, 6)), make(chan struct{}, 1)
			w.fs.Hook(func(op memfs.Op) memfs.Verdict {
				lock <- struct{}{}
				n := dice.IntN(30)
				<-lock
				if n == 0 {
					return memfs.Verdict{Err: memfs.ErrIO, Short: true}
				}
				return memfs.Verdict{}
			})
			for i := range 4 {
				w.fill(fmt.Sprint("t", i), 60)
				w.check(w.db)()
			}
			m := w.db.Metrics()
			require.Positive(t, w.figure(m, "error_count", "op", "read")+w.figure(m, "error_count", "op", "write"))
			w.close()
		})
	}
}

// TestJ4_AStoreThatCannotRefuse: a store without create-if-absent is refused before anything
// is written or the disk is used, with and without a disk in front of it.
func TestJ4_AStoreThatCannotRefuse(t *testing.T) {
	for _, mirror := range []bool{false, true} {
		w := newDiskWorld(t, DiskCacheOptions{MaxBytes: 8 << 20, Mirror: mirror})
		w.store.SetProperties(func(p *objstore.Properties) { p.IfAbsent = false })
		_, err := Open(t.Context(), "db", w.options())
		require.ErrorIs(t, err, ErrInvalid)
		require.Zero(t, w.store.Requests())
		require.Empty(t, w.fs.Names())
		w.store.SetProperties(func(p *objstore.Properties) { p.IfAbsent = true })
		w.open() // the directory's lock was given back
		w.close()
	}
}

// TestJ7_ZeroFilledWAL: a store on a disk that lost power without a sync hands out an object
// of zeros. That is corruption, told by name, never an end of the log.
func TestJ7_ZeroFilledWAL(t *testing.T) {
	w := newDiskWorld(t, DiskCacheOptions{})
	o := w.options()
	o.DiskCache = nil
	db, err := Open(t.Context(), "db", o)
	require.NoError(t, err)
	require.NoError(t, db.Put(t.Context(), []byte("k"), []byte("v")))
	require.NoError(t, db.CloseWithOptions(t.Context(), &CloseOptions{Flush: CloseNoFlush}))
	name := ""
	for a, err := range w.store.List(t.Context(), "db/wal/", "") {
		require.NoError(t, err)
		if a.Size > 0 {
			name = a.Key
			_, err = w.store.Put(t.Context(), a.Key, make([]byte, a.Size), objstore.Always)
			require.NoError(t, err)
		}
	}
	require.NotEmpty(t, name)
	_, err = Open(t.Context(), "db", o)
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, name)
}
