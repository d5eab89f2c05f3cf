package diskcache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/memfs"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// world is a store with some tables, a disk, and a cache between them.
type world struct {
	t      testing.TB
	store  *faulty.Store
	fs     *memfs.FS
	clock  *hand
	tables map[string][]byte
	keys   []string
	opts   Options
	c      *Cache
	read   *Cached
	fresh  *Cached
	counts *Counts
}

// hand is a clock that a test moves. Its timers are those of the system.
type hand struct {
	seam.SystemClock
	at atomic.Pointer[time.Time]
}

func (h *hand) Now() time.Time { return *h.at.Load() }

const testPart = 4 << 10

// newWorld makes n tables of random bytes, up to 10 parts long. slots is the cache's size.
func newWorld(t testing.TB, n, slots int) *world {
	w := &world{
		t: t, store: faulty.New(objstore.NewMemory(), nil), fs: memfs.New(), tables: map[string][]byte{},
		opts: Options{Dir: "/disk", PartBytes: testPart, MaxBytes: slabBytes(slots, testPart)},
	}
	now := time.Unix(1_700_000_000, 0)
	w.clock = &hand{}
	w.clock.at.Store(&now)
	r, bytes := rand.New(rand.NewPCG(1, uint64(n))), rand.NewChaCha8([32]byte{byte(n)})
	for i := range n {
		body := make([]byte, 1+r.IntN(10*testPart))
		_, _ = bytes.Read(body)
		w.put(fmt.Sprintf("db/compacted/%026d.sst", i), body)
	}
	w.open()
	return w
}

func (w *world) put(key string, body []byte) {
	_, err := w.store.Put(context.Background(), key, body, objstore.Always)
	require.NoError(w.t, err)
	w.tables[key] = body
	w.keys = append(w.keys, key)
}

func (w *world) env() *seam.Env { return seam.New(seam.Env{Clock: w.clock}) }

// skip moves the clock.
func (w *world) skip(d time.Duration) {
	at := w.clock.Now().Add(d)
	w.clock.at.Store(&at)
}

func (w *world) open() {
	var err error
	w.c, err = Open(Config{Options: w.opts, FS: w.fs, Env: w.env()})
	require.NoError(w.t, err)
	w.counts = new(Counts)
	w.read, w.fresh = w.c.Reads(w.store, "s", w.counts)
}

// reopen is a new process on the same disk.
func (w *world) reopen() {
	w.c.Close()
	w.fs = w.fs.Again()
	w.open()
}

// settle waits until the writer has nothing to do.
func (w *world) settle() { w.c.Drain() }

// get reads a range of a table and compares it with what the table is.
func (w *world) get(key string, off, n int) {
	w.t.Helper()
	p := make([]byte, n)
	got, err := w.read.ReadAt(context.Background(), key, p, int64(off))
	require.NoError(w.t, err, "%s at %d", key, off)
	require.Equal(w.t, n, got)
	require.Equal(w.t, w.tables[key][off:off+n], p, "%s at %d, %d bytes", key, off, n)
}

// all reads every table in full, some pages at a time.
func (w *world) all() {
	w.t.Helper()
	for _, k := range w.keys {
		for off := 0; off < len(w.tables[k]); off += 5000 {
			w.get(k, off, min(5000, len(w.tables[k])-off))
		}
		w.settle()
	}
}

// random reads a random range.
func (w *world) random(r *rand.Rand) {
	w.t.Helper()
	k := w.keys[r.IntN(len(w.keys))]
	off := r.IntN(len(w.tables[k]))
	w.get(k, off, 1+r.IntN(len(w.tables[k])-off))
}

// reads returns how many requests and bytes f reads from the store.
func (w *world) reads(f func()) (requests, bytes int) {
	w.store.Record(true)
	f()
	for _, r := range w.store.Log() {
		if r.Method == "read" {
			requests++
			bytes += r.Len
		}
	}
	w.store.Record(false)
	return requests, bytes
}

// parts is the number of parts of all tables.
func (w *world) parts() (n int) {
	for _, b := range w.tables {
		n += (len(b) + testPart - 1) / testPart
	}
	return n
}

// check holds the index against the slots, the policy and the free list.
func (w *world) check() {
	w.t.Helper()
	w.settle()
	m := &w.c.mu
	m.Lock()
	defer m.Unlock()
	var bytes int64
	for k, id := range m.index {
		require.True(w.t, m.slots[id].used)
		require.Equal(w.t, k, m.slots[id].key)
		require.NotEqual(w.t, queueNone, int(m.policy.nodes[id].queue))
		bytes += int64(m.slots[id].n)
	}
	require.Equal(w.t, bytes, m.bytes)
	require.Equal(w.t, len(m.index), m.policy.len())
	seen := map[int32]bool{}
	for _, id := range append(append([]int32{}, m.free...), m.dead...) {
		require.False(w.t, seen[id], "slot %d is free twice", id)
		require.False(w.t, m.slots[id].used)
		seen[id] = true
	}
	require.Empty(w.t, m.flights)
	require.LessOrEqual(w.t, w.fs.Used(), w.opts.MaxBytes)
}
