package diskcache

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/memfs"
	"github.com/slatedb/slatedb-go/internal/testkit"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// mirrorWorld is a world with a mirror instead of the part cache.
type mirrorWorld struct {
	*world
	m      *Mirror
	cancel context.CancelFunc
	reads2 *Mirrored
	fresh2 *Mirrored
}

func newMirrorWorld(t testing.TB, n int) *mirrorWorld {
	w := &mirrorWorld{world: newWorld(t, n, 1)}
	w.c.Close()
	w.fs = memfs.New()
	w.open(t)
	return w
}

func (w *mirrorWorld) open(t testing.TB) {
	require.NoError(t, w.try())
}

func (w *mirrorWorld) try() error {
	ctx, cancel := context.WithCancel(context.Background())
	m, err := OpenMirror(ctx, Config{Options: w.opts, FS: w.fs, Env: w.env()}, "s", "db")
	if err != nil {
		cancel()
		return err
	}
	w.m, w.cancel, w.counts = m, cancel, new(Counts)
	w.reads2, w.fresh2 = m.Reads(w.store, w.counts)
	return nil
}

func (w *mirrorWorld) close() {
	w.cancel()
	w.m.Close()
}

// manifest lists tables as a manifest would.
func (w *mirrorWorld) manifest(keys ...string) (out []Table) {
	for _, k := range keys {
		out = append(out, Table{k, int64(len(w.tables[k]))})
	}
	return out
}

// checkAll reads every table of keys and returns how many requests that took.
func (w *mirrorWorld) checkAll(keys ...string) int {
	w.t.Helper()
	n := w.store.Count("read")
	for _, k := range keys {
		p := make([]byte, len(w.tables[k]))
		_, err := w.reads2.ReadAt(context.Background(), k, p, 0)
		require.NoError(w.t, err)
		require.Equal(w.t, w.tables[k], p)
	}
	return w.store.Count("read") - n
}

// TestMirrorLifecycle: fill, serve without the store, follow the manifest, survive a restart.
func TestMirrorLifecycle(t *testing.T) {
	testkit.NoLeaks(t)
	w := newMirrorWorld(t, 30)
	w.opts.MaxOpenFiles = 3
	w.close()
	w.open(t)
	first := w.manifest(w.keys[:20]...)
	require.NoError(t, w.m.Ensure(t.Context(), w.store, first))
	w.m.Retain(w.store, first)
	require.Zero(t, w.m.Missing())
	down := w.store.Script(faulty.Rule{Method: "read", Kind: faulty.ErrorBefore})
	require.Zero(t, w.checkAll(w.keys[:20]...))
	require.LessOrEqual(t, w.fs.OpenFiles(), 3)
	require.Equal(t, w.counts.Access.Load(), w.counts.Hit.Load())

	// The store is down: a new manifest cannot be taken over, the old one is still served.
	second := w.manifest(w.keys[10:25]...)
	require.ErrorIs(t, w.m.Ensure(t.Context(), w.store, second), faulty.ErrInjected)
	require.Zero(t, w.checkAll(w.keys[:20]...))
	down.Remove()
	n := w.store.Count("read")
	require.NoError(t, w.m.Ensure(t.Context(), w.store, second))
	require.LessOrEqual(t, w.store.Count("read")-n, 5, "only what is new")
	w.m.Retain(w.store, second)
	require.EqualValues(t, 15, w.m.Stats().Parts)
	require.EqualValues(t, 10, w.m.Stats().Evicted)

	// Written to both sides, and kept although no manifest names it yet.
	body := []byte("new table")
	_, err := w.m.Writes(w.store).Put(t.Context(), "db/compacted/new.sst", body, objstore.Always)
	require.NoError(t, err)
	w.tables["db/compacted/new.sst"] = body
	_, err = w.m.Writes(w.store).Upload(t.Context(), "db/compacted/new2.sst", strings.NewReader("more"), objstore.Always)
	require.NoError(t, err)
	w.tables["db/compacted/new2.sst"] = []byte("more")
	w.m.Retain(w.store, second)
	require.Zero(t, w.checkAll("db/compacted/new.sst", "db/compacted/new2.sst"))
	w.skip(2 * youngLife)
	w.m.Retain(w.store, second)
	require.EqualValues(t, 15, w.m.Stats().Parts, "no manifest ever named them")

	w.fs.Change(w.m.dir+"/notes.table", func([]byte) []byte { return []byte("mine") })
	w.fs.Change(w.m.dir+"/"+strings.Repeat("ab", 16)+".table", func([]byte) []byte { return make([]byte, 100) })
	w.fs.Change(w.m.dir+"/"+strings.Repeat("ab", 24)+".tmp", func([]byte) []byte { return make([]byte, 100) })
	w.close()
	require.Zero(t, w.fs.OpenFiles())
	w.fs = w.fs.Again()
	w.open(t)
	n = w.store.Count("read")
	require.NoError(t, w.m.Ensure(t.Context(), w.store, second))
	require.Equal(t, n, w.store.Count("read"), "a restart fetches nothing")
	require.Zero(t, w.checkAll(w.keys[10:25]...))
	names := strings.Join(w.fs.Names(), " ")
	require.Contains(t, names, "notes.table")
	require.Contains(t, names, strings.Repeat("ab", 16)+".table", "not ours by its content")
	require.NotContains(t, names, ".tmp")

	// A second handle is told so.
	other := &mirrorWorld{world: w.world}
	require.ErrorIs(t, other.try(), kv.ErrInvalid)
	w.close()
}

// TestMirrorRefetchesDamage: what a reader refuses, and what cannot be read, is fetched anew.
func TestMirrorRefetchesDamage(t *testing.T) {
	w := newMirrorWorld(t, 5)
	all := w.manifest(w.keys...)
	require.NoError(t, w.m.Ensure(t.Context(), w.store, all))
	w.m.Retain(w.store, all)
	file := w.m.file(identify("s", w.keys[0]))
	w.fs.Change(file, func(b []byte) []byte { b[0] ^= 1; return b })
	p := make([]byte, 1)
	_, err := w.reads2.ReadAt(t.Context(), w.keys[0], p, 0)
	require.NoError(t, err)
	require.NotEqual(t, w.tables[w.keys[0]][0], p[0])
	_, err = w.fresh2.ReadAt(t.Context(), w.keys[0], p, 0)
	require.NoError(t, err)
	require.Equal(t, w.tables[w.keys[0]][0], p[0])
	w.m.wg.Wait()
	require.Zero(t, w.checkAll(w.keys...))

	w.fs.Change(w.m.file(identify("s", w.keys[1])), func(b []byte) []byte { return b[:0] })
	w.fs.Change(w.m.file(identify("s", w.keys[2])), func([]byte) []byte { return nil })
	w.close()
	w.fs = w.fs.Again()
	w.open(t)
	w.m.Retain(w.store, all)
	require.Equal(t, 2, w.m.Missing())
	w.m.Kick()
	w.m.wg.Wait()
	require.Zero(t, w.checkAll(w.keys...))

	hook := func(op memfs.Op) memfs.Verdict {
		if op.Kind == "read" {
			return memfs.Verdict{Err: memfs.ErrIO}
		}
		return memfs.Verdict{}
	}
	w.fs.Hook(hook)
	require.NotZero(t, w.checkAll(w.keys...))
	require.NotZero(t, w.m.Stats().ReadErrors)
	w.fs.Hook(nil)
	w.m.wg.Wait()
	w.m.Kick()
	w.m.wg.Wait()
	require.Zero(t, w.checkAll(w.keys...))
	w.close()
}

// TestI6_MirrorDiskErrors: a disk that fails while the mirror runs costs speed; what is missing
// shows, is not fetched again and again, and comes when the disk is back. One that fails at
// the start is told: the mirror is a promise.
func TestI6_MirrorDiskErrors(t *testing.T) {
	for _, kind := range []string{"create", "write", "sync", "rename", "syncdir", "lock", "list", "mkdir"} {
		for _, err := range []error{memfs.ErrIO, memfs.ErrFull, fs.ErrPermission} {
			t.Run(kind+"/"+err.Error(), func(t *testing.T) {
				w := newMirrorWorld(t, 20)
				all := w.manifest(w.keys...)
				w.fs.Hook(func(op memfs.Op) memfs.Verdict {
					if op.Kind == kind {
						return memfs.Verdict{Err: err}
					}
					return memfs.Verdict{}
				})
				if kind == "lock" || kind == "list" || kind == "mkdir" {
					w.close()
					require.ErrorIs(t, w.try(), kv.ErrUnavailable)
					return
				}
				require.NoError(t, w.m.Ensure(t.Context(), w.store, all))
				w.m.Retain(w.store, all)
				require.Equal(t, 20, w.m.Missing())
				require.LessOrEqual(t, w.store.Count("read"), downloads, "stops after the first failures")
				n := w.store.Count("read")
				require.NoError(t, w.m.Ensure(t.Context(), w.store, all))
				require.Equal(t, n, w.store.Count("read"))
				w.checkAll(w.keys...)
				for _, name := range w.fs.Names() {
					require.NotContains(t, name, ".tmp")
				}
				w.fs.Hook(nil)
				w.skip(2 * time.Minute)
				require.NoError(t, w.m.Ensure(t.Context(), w.store, all))
				require.Zero(t, w.m.Missing())
				require.Zero(t, w.checkAll(w.keys...))
				w.close()
			})
		}
	}
}

// TestJ7_MirrorPowerCut: a copy that has its name is whole, because it was synced before. With
// only synced content and names left, nothing wrong is served and the rest is fetched again.
func TestJ7_MirrorPowerCut(t *testing.T) {
	for n := 1; ; n++ {
		w := newMirrorWorld(t, 4)
		w.fs.CrashAt(n, n%2 == 0)
		all := w.manifest(w.keys...)
		require.NoError(t, w.m.Ensure(t.Context(), w.store, all))
		w.m.Retain(w.store, all)
		w.checkAll(w.keys...)
		crashed := w.m.Missing() > 0
		disk := w.fs
		w.close()
		if n%3 == 0 {
			disk.PowerCut(nil)
		}
		w.fs = disk.Again()
		w.open(t)
		require.NoError(t, w.m.Ensure(t.Context(), w.store, all))
		w.m.Retain(w.store, all)
		require.Zero(t, w.m.Missing())
		require.Zero(t, w.checkAll(w.keys...))
		for _, name := range w.fs.Names() {
			require.True(t, strings.HasSuffix(name, ".table"), "left behind: %s", name)
		}
		w.close()
		if !crashed {
			require.Greater(t, n, 20)
			return
		}
	}
}

// TestMirrorUnderRandomFaults: answers are those of the store.
func TestMirrorUnderRandomFaults(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	w := newMirrorWorld(t, 12)
	for round := range 60 {
		dice, lock := rand.New(rand.NewPCG(uint64(round), 2)), make(chan struct{}, 1)
		w.fs.Hook(func(memfs.Op) memfs.Verdict {
			lock <- struct{}{}
			n := dice.IntN(15)
			<-lock
			if n == 0 {
				return memfs.Verdict{Err: memfs.ErrIO, Short: true}
			}
			return memfs.Verdict{}
		})
		from := r.IntN(len(w.keys))
		keys := w.keys[from:]
		want := w.manifest(keys...)
		require.NoError(t, w.m.Ensure(t.Context(), w.store, want))
		w.m.Retain(w.store, want)
		w.checkAll(w.keys...)
		w.skip(time.Minute)
		if r.IntN(4) == 0 {
			w.close()
			w.fs.Hook(nil)
			w.fs = w.fs.Again()
			w.open(t)
		}
	}
	w.fs.Hook(nil)
	w.m.wg.Wait()
	want := w.manifest(w.keys...)
	w.skip(time.Hour)
	require.NoError(t, w.m.Ensure(t.Context(), w.store, want))
	require.Zero(t, w.checkAll(w.keys...), fmt.Sprint(w.m.Stats()))
	w.close()
}
