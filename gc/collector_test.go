package gc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// littered makes a database with garbage of every kind but detached parents.
func littered(w *world) *fake {
	f := w.database("p/db")
	f.fence()
	for range 4 {
		f.clock.add(time.Minute)
		f.flush(2)
	}
	f.orphan(epoch)
	f.compact()
	f.clock.add(time.Minute)
	f.flush(3)
	f.clock.add(time.Hour)
	f.flush(1)
	f.clock.add(time.Minute)
	f.compact()
	f.clock.add(time.Minute)
	f.flush(1)
	return f
}

func TestRunOnceDeletesTheGarbageAndNothingElse(t *testing.T) {
	w := newWorld(t)
	f := littered(w)
	young := f.orphan(w.clock.Now().Add(time.Second))
	w.put("p/db/compacted/notes.txt", "mine")
	w.put("p/db2/compacted/"+f.at(epoch).String()+".sst", "another database")
	w.clock.add(time.Hour)
	versions := len(w.names("p/db/compactions/"))
	var counts sync.Map
	count := func(name string, n uint64, labels ...string) {
		counts.Store(name+" "+strings.Join(labels, "="), n)
	}
	var log bytes.Buffer
	gauge := func(name string, v float64, labels ...string) {
		counts.Store(name+" "+strings.Join(labels, "="), int(v))
	}
	w.put("p/db/manifest/notes.txt", "mine")
	dry, err := New(Config{Objects: w.mem, Root: f.root, Env: w.env, Logger: quiet(), Gauge: gauge}, Options{DryRun: true}).RunOnce(w.ctx)
	require.NoError(t, err)
	require.NotEmpty(t, dry.Deleted)
	v, _ := counts.Load("slatedb.gc.version_count resource=compactions")
	require.EqualValues(t, versions, v, "a dry run leaves all of them")
	c := New(Config{Objects: w.mem, Root: f.root, Env: w.env, Count: count, Gauge: gauge,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, Options{})
	rep, err := c.RunOnce(w.ctx)
	require.NoError(t, err)

	need := w.reachable(f.root)
	stored := w.stored(f.root)
	for n := range need {
		assert.Contains(t, stored, n)
	}
	var rest []string
	for _, n := range sortedKeys(stored) {
		if !need[n] {
			rest = append(rest, n+": "+reason(rep, n))
		}
	}
	last := f.latest()
	assert.Equal(t, []string{
		"p/db/compacted/" + young.String() + ".sst: not older than newest L0",
		"p/db/compacted/notes.txt: not ours",
		"p/db/manifest/notes.txt: not ours",
		"p/db/wal/00000000000000000001.sst: fence",
	}, rest)
	assert.Len(t, w.names("p/db2/"), 1)
	for _, o := range rep.Deleted {
		if o.Kind != KindCheckpoint {
			assert.False(t, w.exists(o.Name), o.Name)
		}
		assert.NotEmpty(t, o.Reason)
		assert.Contains(t, log.String(), o.Name, "every deletion is logged")
	}
	assert.Empty(t, last.Checkpoints, "both compactor checkpoints have expired")
	for k, n := range map[string]int{
		"slatedb.gc.count ": 1, "slatedb.gc.deleted_count resource=manifest": int(last.ID) - 1,
		"slatedb.gc.deleted_count resource=compacted":   1 + 6 + 1,
		"slatedb.gc.deleted_count resource=wal":         int(last.ReplayAfterWAL) - 2, // one is the fence, one the replay point
		"slatedb.gc.deleted_count resource=compactions": versions - 1,
		"slatedb.gc.version_count resource=manifest":    1,
		"slatedb.gc.version_count resource=compactions": 1,
	} {
		v, _ := counts.Load(k)
		assert.EqualValues(t, n, v, k)
	}

	// The fence goes only when asked.
	rep = f.collect(Options{DeleteWALFences: true})
	assert.Equal(t, []string{"p/db/wal/00000000000000000001.sst"}, deletedNames(rep))
}

func TestUnchangedDatabaseIsNotListed(t *testing.T) {
	w := newWorld(t)
	f := littered(w)
	store := faulty.New(w.mem, w.env)
	c := f.collectorOn(store, Options{})
	pass := func() (Report, int, int) {
		t.Helper()
		lists, all := store.Count("list"), store.Requests()
		rep, err := c.RunOnce(w.ctx)
		require.NoError(t, err)
		return rep, store.Count("list") - lists, store.Requests() - all
	}
	_, lists, _ := pass()
	assert.Equal(t, 6, lists, "two to find the latest versions, four directories")
	rep, lists, all := pass()
	assert.Equal(t, [2]int{0, 4}, [2]int{lists, all}, "version + 1 and boundary, twice")
	assert.Empty(t, rep.Deleted)

	// Young objects come of age without any change.
	w.clock.add(5*time.Minute + time.Second)
	rep, lists, _ = pass()
	assert.Positive(t, lists)
	assert.NotEmpty(t, rep.Deleted)
	_, lists, all = pass()
	assert.Equal(t, [2]int{0, 4}, [2]int{lists, all})
	w.clock.add(24 * time.Hour)
	rep, lists, _ = pass()
	assert.Positive(t, lists, "the compactor's checkpoints have expired, a new manifest")
	assert.Equal(t, KindCheckpoint, rep.Deleted[0].Kind)
	w.clock.add(24 * time.Hour)
	pass() // the manifest before that one has come of age
	w.clock.add(24 * time.Hour)
	_, lists, all = pass()
	assert.Equal(t, [2]int{0, 4}, [2]int{lists, all})

	// A change is seen.
	f.flush(1)
	_, lists, _ = pass()
	assert.Equal(t, 3, lists, "manifests, log and tables; the compactions are the same")

	// A failed deletion is tried again though nothing has changed.
	f.flush(1)
	w.clock.add(time.Hour)
	failing := store.Script(faulty.Rule{Method: "delete", Kind: faulty.ErrorBefore})
	rep, err := c.RunOnce(w.ctx)
	require.ErrorIs(t, err, faulty.ErrInjected)
	require.NotEmpty(t, rep.Kept)
	assert.Empty(t, rep.Deleted)
	assert.Contains(t, reason(rep, f.ms.Key(f.latest().ID-1)), "delete failed: ")
	failing.Remove()
	rep, lists, _ = pass()
	assert.Positive(t, lists)
	assert.NotEmpty(t, rep.Deleted)
}

func TestUnchangedDatabaseWithoutCompactorIsNotListed(t *testing.T) {
	w := newWorld(t)
	f := w.database("db")
	f.flush(1)
	store := faulty.New(w.mem, w.env)
	c := f.collectorOn(store, anyAge)
	for i, want := range []int{5, 0, 0} {
		before := store.Count("list")
		_, err := c.RunOnce(w.ctx)
		require.NoError(t, err)
		assert.Equal(t, want, store.Count("list")-before, "pass %d", i)
	}
	// The first job ever is seen together with the first manifest behind it.
	old := f.orphan(epoch.Add(-time.Hour))
	w.clock.add(time.Minute)
	f.compact()
	f.flush(1)
	_, err := c.RunOnce(w.ctx)
	require.NoError(t, err)
	assert.False(t, f.has(old))
}

func TestKindOptions(t *testing.T) {
	for _, k := range kinds {
		if k == KindDetach {
			continue // see TestDetach
		}
		t.Run(k, func(t *testing.T) {
			only := func(ko KindOptions) Options {
				o := Options{MinAge: -1, DeleteWALFences: true}
				for _, x := range kinds {
					v := &KindOptions{Disable: true}
					if x == k {
						v = &ko
					}
					*map[string]**KindOptions{KindManifest: &o.Manifest, KindWAL: &o.WAL, KindWALFence: &o.WALFence,
						KindCompacted: &o.Compacted, KindCompactions: &o.Compactions, KindDetach: &o.Detach}[x] = v
				}
				return o
			}
			w := newWorld(t)
			f := littered(w)
			before := w.names("")
			assert.Empty(t, objects(f.collect(only(KindOptions{Disable: true})).Deleted))
			assert.Empty(t, objects(f.collect(only(KindOptions{MinAge: 1000 * time.Hour})).Deleted))
			would := objects(f.collect(only(KindOptions{DryRun: true})).Deleted)
			assert.NotEmpty(t, would)
			now := w.names("")
			require.Equal(t, len(before), len(now)-1, "only the update that expires the first compactor checkpoint")
			did := objects(f.collect(only(KindOptions{})).Deleted)
			assert.Equal(t, would, did)
			for _, o := range did {
				assert.Equal(t, k, o.Kind)
			}
			assert.Empty(t, objects(f.collect(only(KindOptions{})).Deleted))
		})
	}
}

// objects leaves out the checkpoints.
func objects(os []Object) (out []Object) {
	for _, o := range os {
		if o.Kind != KindCheckpoint {
			out = append(out, o)
		}
	}
	return out
}

func TestDryRunWritesNothing(t *testing.T) {
	w := newWorld(t)
	f := littered(w)
	w.clock.add(time.Hour)
	store := faulty.New(w.mem, w.env)
	store.Record(true)
	c := f.collectorOn(store, Options{MinAge: -1, DryRun: true, DeleteWALFences: true})
	dry, err := c.RunOnce(w.ctx)
	require.NoError(t, err)
	again, err := c.RunOnce(w.ctx)
	require.NoError(t, err)
	assert.Equal(t, dry, again)
	for _, r := range store.Log() {
		assert.NotContains(t, []string{"put", "delete", "upload"}, r.Method, r.Key)
	}
	wet := f.collect(Options{MinAge: -1, DeleteWALFences: true})
	latest := f.ms.Key(f.latest().ID - 1) // the update that expired the checkpoints made this one garbage
	var more []string
	for _, n := range deletedNames(wet) {
		if n != latest {
			more = append(more, n)
		}
	}
	assert.Equal(t, deletedNames(dry), more)
}

func TestSeparateWALStore(t *testing.T) {
	w := newWorld(t)
	f := littered(w)
	logs := objstore.NewMemoryWithClock(w.clock)
	for _, n := range w.names("p/db/wal/") {
		o, err := w.mem.Get(w.ctx, n)
		require.NoError(t, err)
		_, err = logs.Put(w.ctx, n, o.Body, objstore.Always)
		require.NoError(t, err)
	}
	in := len(w.names("p/db/wal/"))
	c := New(Config{Objects: w.mem, WALObjects: logs, Root: f.root, Env: w.env, Logger: quiet()}, anyAge)
	_, err := c.RunOnce(w.ctx)
	require.NoError(t, err)
	assert.Len(t, w.names("p/db/wal/"), in)
	n := 0
	for _, err := range logs.List(w.ctx, "", "") {
		require.NoError(t, err)
		n++
	}
	assert.Less(t, n, in)
}

func TestNothingHappensToADatabaseInTheMaking(t *testing.T) {
	w := newWorld(t)
	f := littered(w)
	f.update(func(m *manifest.Manifest) {
		m.Initialized = false
		m.Checkpoints[0].ExpireTime = epoch
	})
	before := w.names("")
	rep := f.collect(Options{MinAge: -1, DeleteWALFences: true})
	assert.Equal(t, Report{}, rep)
	assert.Equal(t, before, w.names(""))
}

func TestNoDatabase(t *testing.T) {
	w := newWorld(t)
	_, err := w.attach("db").collector(anyAge).RunOnce(w.ctx)
	assert.ErrorIs(t, err, manifest.ErrNoDatabase)
}

func TestMissingPinnedManifestFailsTheKindsThatNeedIt(t *testing.T) {
	w := newWorld(t)
	f := littered(w)
	f.checkpoint("keep", 0)
	pinned := f.latest().ID
	f.compact()
	w.clock.add(time.Minute)
	f.flush(2)
	require.NoError(t, w.mem.Delete(w.ctx, f.ms.Key(pinned)))
	logs, tables := w.names("p/db/wal/"), w.names("p/db/compacted/")
	w.clock.add(time.Hour)
	rep, err := f.collector(Options{MinAge: -1, DeleteWALFences: true}).RunOnce(w.ctx)
	assert.ErrorIs(t, err, kv.ErrCorrupt)
	assert.ErrorContains(t, err, f.ms.Key(pinned))
	assert.Equal(t, logs, w.names("p/db/wal/"))
	assert.Equal(t, tables, w.names("p/db/compacted/"))
	assert.Len(t, w.names("p/db/compactions/"), 1, "numbered objects are judged by number")
	assert.NotEmpty(t, rep.Deleted)
}

func TestHalfAListingIsNoListing(t *testing.T) {
	for _, dir := range []string{"manifest", "compactions", "wal", "compacted"} {
		t.Run(dir, func(t *testing.T) {
			w := newWorld(t)
			f := littered(w)
			store := faulty.New(w.mem, w.env)
			c := f.collectorOn(store, anyAge)
			before := w.names("p/db/" + dir + "/")
			nth := 1
			if dir == "manifest" || dir == "compactions" {
				nth = 2 // the first finds the latest
			}
			store.Script(faulty.Rule{Method: "list", Key: "p/db/" + dir, Nth: nth, Times: 2, Kind: faulty.ErrorAfter})
			_, err := c.RunOnce(w.ctx)
			assert.ErrorIs(t, err, faulty.ErrInjected)
			var kept []string
			for _, n := range w.names("p/db/" + dir + "/") {
				if strings.HasPrefix(n, "p/db/"+dir) {
					kept = append(kept, n)
				}
			}
			if dir == "manifest" {
				before = append(before, f.ms.Key(f.latest().ID)) // expired checkpoints
			}
			assert.Equal(t, before, kept)
			store.Clear()
			_, err = c.RunOnce(w.ctx)
			require.NoError(t, err)
			assert.Less(t, len(w.names("p/db/"+dir+"/")), len(before))
		})
	}
}

func TestDeletionsGoEightAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.env = seam.New(seam.Env{})
		f := w.attach("db")
		_, err := f.ms.Create(w.ctx, manifest.New(""))
		require.NoError(t, err)
		f.update(func(m *manifest.Manifest) { m.ReplayAfterWAL, m.WALLastSeen = 30, 30 })
		for id := range uint64(25) {
			w.put(sst.WALID(id+1).Object("db"), "rows")
		}
		store := faulty.New(w.mem, w.env)
		release := make(chan struct{})
		store.Script(faulty.Rule{Method: "delete", Key: "wal/", Kind: faulty.Block, Release: release})
		done := make(chan error)
		go func() {
			_, err := f.collectorOn(store, anyAge).RunOnce(w.ctx)
			done <- err
		}()
		synctest.Wait()
		assert.Equal(t, 8+1, store.Count("delete"), "eight WAL objects, one manifest before them")
		close(release)
		require.NoError(t, <-done)
		assert.Equal(t, 25+1, store.Count("delete"))
		assert.Empty(t, w.names("db/wal/"))
	})
}

func TestPassEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	f := littered(w)
	ctx, cancel := context.WithCancelCause(w.ctx)
	why := errors.New("enough")
	store := faulty.New(w.mem, w.env)
	var begun atomic.Int32
	store.Script(faulty.Rule{Method: "delete", Kind: faulty.Call, Do: func(ctx context.Context, _ faulty.Request) error {
		if begun.Add(1) == 3 {
			cancel(why)
		}
		<-ctx.Done()
		return ctx.Err()
	}})
	c := f.collectorOn(store, anyAge)
	_, err := c.RunOnce(ctx)
	require.Error(t, err)
	assert.True(t, errors.Is(err, why) || errors.Is(err, context.Canceled), "%v", err)
	assert.LessOrEqual(t, store.Count("delete"), atOnce, "nothing new is begun")
	store.Clear()
	_, err = c.RunOnce(w.ctx)
	require.NoError(t, err)

	c.turn <- struct{}{} // another pass is running
	_, err = c.RunOnce(ctx)
	assert.ErrorIs(t, err, why)
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.env = seam.New(seam.Env{Rand: seeded(3)})
		w.mem = objstore.NewMemory()
		f := w.attach("db")
		begin := time.Now()
		_, err := f.ms.Create(w.ctx, manifest.New(""))
		require.NoError(t, err)
		var mu sync.Mutex
		var lists []string
		var broken error
		store := faulty.New(w.mem, w.env)
		store.Script(faulty.Rule{Method: "list", Kind: faulty.Call, Do: func(_ context.Context, r faulty.Request) error {
			mu.Lock()
			defer mu.Unlock()
			lists = append(lists, fmt.Sprint(time.Since(begin).Truncate(time.Minute), " ", r.Key))
			return broken
		}})
		var log bytes.Buffer
		o := Options{MinAge: -1, WAL: &KindOptions{Interval: 4 * time.Minute}, WALFence: &KindOptions{Interval: -1}, Compactions: &KindOptions{Disable: true}}
		c := New(Config{Objects: store, Root: "db", Env: w.env, Manifests: f.ms, Logger: slog.New(slog.NewTextHandler(&log, nil))}, o)
		ctx, cancel := context.WithCancel(w.ctx)
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		take := func() []string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			l := lists
			lists = nil
			return l
		}
		assert.Empty(t, take())
		time.Sleep(24 * time.Second)
		first := take()
		assert.Equal(t, []string{"0s db/compactions/", "0s db/manifest/", "0s db/wal/", "0s db/compacted/"}, first, "within a tenth of the shortest interval")

		// Each kind has its own interval.
		f.update(func(m *manifest.Manifest) { m.WALLastSeen++ })
		time.Sleep(4 * time.Minute)
		assert.Equal(t, []string{"4m0s db/wal/"}, take())
		time.Sleep(5 * time.Minute)
		assert.Empty(t, take(), "nothing has changed since for the log")
		time.Sleep(time.Minute)
		assert.Equal(t, []string{"10m0s db/compactions/", "10m0s db/manifest/", "10m0s db/compacted/"}, take())

		// A pass that fails is logged; the next tick tries again.
		f.update(func(m *manifest.Manifest) { m.WALLastSeen++ })
		mu.Lock()
		broken = faulty.ErrInjected
		mu.Unlock()
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		assert.Contains(t, log.String(), "garbage collection")
		assert.Contains(t, log.String(), "injected fault")
		mu.Lock()
		broken = nil
		mu.Unlock()
		take()
		time.Sleep(4 * time.Minute)
		assert.Contains(t, take(), "16m0s db/wal/")

		cancel()
		assert.NoError(t, <-done)
	})
}

func TestRunWithoutAnyIntervalWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.env = seam.New(seam.Env{})
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Hour)
		defer cancel()
		assert.NoError(t, w.attach("db").collector(Options{Interval: -1}).Run(ctx))
	})
}

func TestOptionsDefaults(t *testing.T) {
	min, sec := time.Minute, time.Second
	for _, tt := range []struct {
		name string
		o    Options
		want rule
	}{
		{"zero", Options{}, rule{minAge: 5 * min, interval: 10 * min}},
		{"for all kinds", Options{MinAge: sec, Interval: min, DryRun: true}, rule{minAge: sec, interval: min, dry: true}},
		{"negative", Options{MinAge: -1, Interval: -1}, rule{minAge: -1, interval: -1}},
		{"of the kind", Options{MinAge: sec, Interval: sec, WAL: &KindOptions{MinAge: min, Interval: -1, DryRun: true}}, rule{minAge: min, interval: -1, dry: true}},
		{"zero in the kind", Options{MinAge: sec, WAL: &KindOptions{Disable: true}}, rule{minAge: sec, interval: 10 * min, off: true}},
		{"of another kind", Options{WALFence: &KindOptions{MinAge: min}}, rule{minAge: 5 * min, interval: 10 * min}},
	} {
		assert.Equal(t, tt.want, tt.o.rule(KindWAL), tt.name)
	}
}
