package diskcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/memfs"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/internal/testkit"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// TestWarmRestart: what is on disk is served by the next process without a request, and the
// start itself reads only the heads and tables of the files.
func TestWarmRestart(t *testing.T) {
	testkit.NoLeaks(t)
	w := newWorld(t, 20, 256)
	w.all()
	w.check()
	require.EqualValues(t, w.parts(), w.c.Stats().Parts)
	w.reopen()
	require.EqualValues(t, w.parts(), w.c.Stats().Parts)
	requests, bytes := w.reads(w.all)
	require.Zero(t, requests)
	require.Zero(t, bytes)
	require.Equal(t, w.counts.Access.Load(), w.counts.Hit.Load())
	w.check()
	w.c.Close()
	require.Zero(t, w.fs.OpenFiles())
}

// TestMissFetchesOnlyWhatItMust: a block that lies across two parts costs one request of two
// parts; a wide read joins its missing neighbours and leaves out what is there.
func TestMissFetchesOnlyWhatItMust(t *testing.T) {
	w := newWorld(t, 0, 64)
	key := "db/compacted/x.sst"
	w.put(key, make([]byte, 10*testPart))
	requests, bytes := w.reads(func() { w.get(key, testPart-10, 20) })
	require.Equal(t, 1, requests)
	require.Equal(t, 2*testPart, bytes)
	w.settle()
	w.get(key, 5*testPart, 1)
	w.settle()
	w.store.Record(true)
	w.get(key, 0, 10*testPart)
	var offs []int64
	for _, r := range w.store.Log() {
		offs = append(offs, r.Off/testPart, int64(r.Len/testPart))
	}
	assert.ElementsMatch(t, []int64{2, 3, 6, 4}, offs, "parts 2-4 and 6-9")
	w.check()
	w.c.Close()
}

func TestEndOfObject(t *testing.T) {
	w := newWorld(t, 0, 64)
	key := "db/compacted/x.sst"
	w.put(key, make([]byte, testPart+100))
	for range 2 { // from the store, then past what the disk has
		p := make([]byte, 200)
		n, err := w.read.ReadAt(context.Background(), key, p, testPart)
		require.ErrorIs(t, err, objstore.ErrRange)
		require.Equal(t, 100, n)
		w.settle()
	}
	n, err := w.read.ReadAt(context.Background(), key, make([]byte, 1), 3*testPart)
	require.ErrorIs(t, err, objstore.ErrRange)
	require.Zero(t, n)
	_, err = w.read.ReadAt(context.Background(), "db/compacted/none.sst", make([]byte, 1), 0)
	require.ErrorIs(t, err, objstore.ErrNotFound)
	w.check()
	w.c.Close()
}

// TestOnlyTablesAreKept: manifests, WAL objects and huge reads pass.
func TestOnlyTablesAreKept(t *testing.T) {
	w := newWorld(t, 0, 64)
	for _, key := range []string{"db/manifest/1.manifest", "db/wal/1.sst", "compacted.sst", "db/compacted/x.sst"} {
		w.put(key, make([]byte, 10))
		w.get(key, 0, 10)
	}
	w.put("db/compacted/y.sst", make([]byte, maxRead+1))
	w.get("db/compacted/y.sst", 0, maxRead+1)
	w.settle()
	require.EqualValues(t, 1, w.c.Stats().Parts)
	w.c.Close()
}

// TestMissesShareARequest: concurrent misses are one request; each waiter leaves with its own
// ctx; when the last has left the request is cut off and the next one asks anew.
func TestMissesShareARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0, 64)
		key := "db/compacted/x.sst"
		w.put(key, make([]byte, testPart))
		release := make(chan struct{})
		rule := w.store.Script(faulty.Rule{Method: "read", Kind: faulty.Block, Release: release})
		ctx, cancel := context.WithCancel(context.Background())
		errs := make(chan error, 8)
		read := func(ctx context.Context) {
			n, err := w.read.ReadAt(ctx, key, make([]byte, 10), 0)
			if err == nil && n != 10 {
				err = errors.New("short")
			}
			errs <- err
		}
		for range 4 {
			go read(ctx)
		}
		go read(context.Background())
		synctest.Wait()
		require.Equal(t, 1, w.store.Count("read"))
		cancel()
		synctest.Wait()
		for range 4 {
			require.ErrorIs(t, <-errs, context.Canceled)
		}
		close(release)
		require.NoError(t, <-errs)
		w.settle()
		require.Equal(t, 1, w.store.Count("read"))
		rule.Remove()

		// The only waiter leaves: the request ends, and its end harms nobody who comes later.
		w.put("db/compacted/y.sst", make([]byte, testPart))
		key = "db/compacted/y.sst"
		hang := w.store.Script(faulty.Rule{Method: "read", Kind: faulty.Hang, Nth: 1, Times: 1})
		ctx, cancel = context.WithCancel(context.Background())
		go read(ctx)
		synctest.Wait()
		require.Equal(t, 1, hang.Hits())
		cancel()
		require.ErrorIs(t, <-errs, context.Canceled)
		go read(context.Background())
		require.NoError(t, <-errs)
		w.check()
		w.c.Close()
	})
}

// TestASlowDiskStallsNoRead: while the disk hangs in a write, reads are answered, and no more
// than the queue's length waits in memory.
func TestASlowDiskStallsNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40, 512)
		release := make(chan struct{})
		w.fs.Hook(func(op memfs.Op) memfs.Verdict {
			if op.Kind == "write" {
				<-release
			}
			return memfs.Verdict{}
		})
		for range 2 {
			for _, k := range w.keys {
				w.get(k, 0, len(w.tables[k]))
			}
		}
		w.c.mu.Lock()
		require.Len(t, w.c.mu.queue, maxQueue)
		require.LessOrEqual(t, len(w.c.mu.flights), maxQueue+1)
		w.c.mu.Unlock()
		require.NotZero(t, w.c.Stats().Dropped)
		close(release)
		w.check()
		w.c.Close()
	})
}

// TestI3_CapHoldsAtEveryWrite: the sizes of all files together stay under MaxBytes after each
// single write, over sizes of caches and restarts with others; an object is kept once,
// whoever reads it.
func TestI3_CapHoldsAtEveryWrite(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	w := newWorld(t, 30, 17)
	for _, slots := range []int{17, 5, 40, 1} {
		w.c.Close()
		w.opts.MaxBytes = slabBytes(slots, testPart) + int64(r.IntN(testPart))
		w.fs = w.fs.Again()
		w.open()
		other, _ := w.c.Reads(w.store, "s", new(Counts))
		fsys, most := w.fs, w.opts.MaxBytes
		over := make(chan string, 1)
		w.fs.Hook(func(op memfs.Op) memfs.Verdict {
			if used := fsys.Used(); used > most {
				select {
				case over <- fmt.Sprintf("%d of %d bytes before %+v", used, most, op):
				default:
				}
			}
			return memfs.Verdict{}
		})
		for range 300 {
			w.random(r)
			k := w.keys[r.IntN(len(w.keys))]
			_, err := other.ReadAt(t.Context(), k, make([]byte, 1), 0)
			require.NoError(t, err)
		}
		w.check()
		select {
		case s := <-over:
			t.Fatal(s)
		default:
		}
		require.LessOrEqual(t, w.c.Stats().Parts, int64(slots))
		if slots < w.parts() {
			require.NotZero(t, w.c.Stats().Evicted)
		}
	}
	w.c.Close()
}

// TestHotPartsSurviveAScan is what the policy is for.
func TestHotPartsSurviveAScan(t *testing.T) {
	w := newWorld(t, 200, 100)
	hot := w.keys[:5]
	for range 4 {
		for _, k := range hot {
			w.get(k, 0, len(w.tables[k]))
			w.settle()
		}
	}
	for _, k := range w.keys[5:] {
		w.get(k, 0, len(w.tables[k]))
		w.settle()
	}
	requests, _ := w.reads(func() {
		for _, k := range hot {
			w.get(k, 0, len(w.tables[k]))
		}
	})
	require.Zero(t, requests)
	w.check()
	w.c.Close()
}

// TestDirectoryIsShared: handles of a process share a directory, and must agree on its size;
// another process works without the disk until it is free; files of others stay.
func TestDirectoryIsShared(t *testing.T) {
	w := newWorld(t, 5, 64)
	strangers := []string{"/disk/slatedb-parts/notes.txt", "/disk/slatedb-parts/7.slab", "/disk/slatedb-parts/000001.slab", "/disk/_part4mb-000000000", "/disk/slatedb-parts/000000.slab.bak"}
	w.c.Close()
	for _, s := range strangers {
		w.fs.Change(s, func([]byte) []byte { return []byte("mine") })
	}
	w.opts.MaxOpenFiles, w.opts.MaxBytes = 10, 3*slabBytes(int(slabTarget/testPart), testPart)
	w.open()
	again, err := Open(Config{Options: w.opts, FS: w.fs, Env: w.env()})
	require.NoError(t, err)
	require.Same(t, w.c, again)
	bad := w.opts
	bad.MaxBytes *= 2
	_, err = Open(Config{Options: bad, FS: w.fs, Env: w.env()})
	require.ErrorIs(t, err, kv.ErrInvalid)

	// Two stores that hold objects of one name in one directory.
	two := faulty.New(objstore.NewMemory(), nil)
	other := make([]byte, len(w.tables[w.keys[0]]))
	_, err = two.Put(t.Context(), w.keys[0], other, objstore.Always)
	require.NoError(t, err)
	w.all()
	read, _ := again.Reads(two, "two", new(Counts))
	for range 2 {
		p := make([]byte, len(other))
		_, err = read.ReadAt(t.Context(), w.keys[0], p, 0)
		require.NoError(t, err)
		require.Equal(t, other, p)
		w.settle()
	}
	again.Close()
	w.all() // the last handle still has it

	second := w.fs.Again()
	c2, err := Open(Config{Options: w.opts, FS: second, Env: w.env()})
	require.NoError(t, err)
	require.True(t, c2.Stats().Off)
	read2, _ := c2.Reads(w.store, "s", new(Counts))
	p := make([]byte, len(other))
	_, err = read2.ReadAt(t.Context(), w.keys[0], p, 0)
	require.NoError(t, err)
	require.Equal(t, w.tables[w.keys[0]], p)
	held := w.c.Stats().Parts
	w.c.Close()
	w.skip(2 * time.Second)
	first := w.c
	w.c, w.read = c2, read2
	w.get(w.keys[1], 0, 1)
	w.settle()
	require.False(t, c2.Stats().Off, "the directory is free now")
	require.EqualValues(t, held, c2.Stats().Parts)
	c2.Close()
	require.True(t, first.Stats().Off)
	for _, s := range strangers {
		require.Contains(t, w.fs.Names(), s)
		w.fs.Change(s, func(b []byte) []byte { require.Equal(t, "mine", string(b)); return b })
	}
}

// TestRefusedPartIsFetchedAgain: damage that only the reader of the block can see.
func TestRefusedPartIsFetchedAgain(t *testing.T) {
	w := newWorld(t, 1, 64)
	key := w.keys[0]
	rule := w.store.Script(faulty.Rule{Method: "read", Kind: faulty.Alter, Nth: 1, Times: 1, Change: func(b []byte) []byte { b[0] ^= 1; return b }})
	p := make([]byte, 1)
	_, err := w.read.ReadAt(t.Context(), key, p, 0)
	require.NoError(t, err)
	require.NotEqual(t, w.tables[key][0], p[0])
	require.Equal(t, 1, rule.Hits())
	w.settle()
	_, err = w.read.ReadAt(t.Context(), key, p, 0)
	require.NoError(t, err)
	require.NotEqual(t, w.tables[key][0], p[0], "the disk keeps what came")
	n := w.store.Count("read")
	_, err = w.fresh.ReadAt(t.Context(), key, p, 0)
	require.NoError(t, err)
	require.Equal(t, w.tables[key][0], p[0])
	require.Equal(t, n+1, w.store.Count("read"))
	require.EqualValues(t, 1, w.c.Stats().Corrupt)
	w.settle()
	w.reopen()
	requests, _ := w.reads(func() { w.get(key, 0, 1) })
	require.Zero(t, requests, "the good one is kept")
	w.check()
	w.c.Close()
}

// TestWrittenTablesAreKept: with admission, and never what was there under the key before.
func TestWrittenTablesAreKept(t *testing.T) {
	w := newWorld(t, 1, 64)
	key := w.keys[0]
	w.all()
	body := make([]byte, 3*testPart+7)
	for _, admit := range []bool{false, true} {
		for i := range body {
			body[i]++
		}
		_, err := w.c.Writes(w.store, "s", admit).Put(t.Context(), key, body, objstore.Always)
		require.NoError(t, err)
		w.tables[key] = append([]byte(nil), body...)
		w.reopen() // what was there has not come back
		requests, _ := w.reads(w.all)
		require.Equal(t, admit, requests == 0)
		w.check()
	}
	w.read.Release(key)
	w.check()
	require.Zero(t, w.c.Stats().Parts)
	w.c.Close()
}

// TestPreload stays inside the budget, in order, and reads nothing twice.
func TestPreload(t *testing.T) {
	w := newWorld(t, 20, 40)
	var tables []Table
	for _, k := range w.keys {
		tables = append(tables, Table{k, int64(len(w.tables[k]))})
	}
	w.store.Script(faulty.Rule{Method: "read", Key: w.keys[1], Kind: faulty.ErrorBefore, Times: 1, Nth: 1})
	w.read.Preload(t.Context(), w.c.conf.Env, tables)
	w.check()
	require.Zero(t, w.c.Stats().Evicted)
	require.NotZero(t, w.c.Stats().Parts)
	requests, _ := w.reads(func() { w.get(w.keys[0], 0, len(w.tables[w.keys[0]])) })
	require.Zero(t, requests)
	w.get(w.keys[1], 0, len(w.tables[w.keys[1]])) // was skipped
	w.settle()
	requests, _ = w.reads(func() { w.read.Preload(t.Context(), w.c.conf.Env, tables) })
	require.Zero(t, requests)
	w.c.Close()
}

// TestOptions: what is refused, and that the files follow from the options.
func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{}, {Dir: "d", PartBytes: 5000}, {Dir: "d", PartBytes: 1 << 30}, {Dir: "d", MaxBytes: 1000}, {Dir: "d", MaxOpenFiles: -1}, {Dir: "d", Preload: 9},
	} {
		_, err := Open(Config{Options: o, FS: memfs.New(), Env: seam.New(seam.Env{})})
		require.ErrorIs(t, err, kv.ErrInvalid, "%+v", o)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		o := Options{Dir: "d", PartBytes: minPartBytes << r.IntN(11), MaxOpenFiles: 1 + r.IntN(1000)}
		o.MaxBytes = slabBytes(1, o.PartBytes) + r.Int64N(1<<(20+r.IntN(25)))
		o, err := o.Resolve()
		require.NoError(t, err)
		g := o.geometry()
		total := int64(0)
		for i := range g.slabs {
			require.Positive(t, g.slots(i))
			total += slabBytes(g.slots(i), g.part)
		}
		require.LessOrEqual(t, total, o.MaxBytes)
		require.LessOrEqual(t, g.slabs, o.MaxOpenFiles)
		require.Positive(t, g.capacity())
		if o.MaxBytes > 100*o.PartBytes && o.MaxOpenFiles > 1 && g.slabs < o.MaxOpenFiles {
			require.Greater(t, total, o.MaxBytes-o.MaxBytes/8, "most of the room is used: %+v", o)
		}
	}
}

// TestCloseUnderReads: Close at any moment fails no read.
func TestCloseUnderReads(t *testing.T) {
	testkit.NoLeaks(t)
	w := newWorld(t, 20, 64)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := rand.New(rand.NewPCG(uint64(i), 9))
			for range 200 {
				k := w.keys[r.IntN(len(w.keys))]
				p := make([]byte, len(w.tables[k]))
				_, err := w.read.ReadAt(context.Background(), k, p, 0)
				if !assert.NoError(t, err) || !assert.Equal(t, w.tables[k], p) {
					return
				}
			}
		}()
	}
	w.c.Close()
	wg.Wait()
}
