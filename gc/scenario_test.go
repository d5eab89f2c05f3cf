package gc

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// A process slept between choosing a manifest's number and writing it, while the number was
// used, superseded and deleted. Its write must be a conflict.
func TestA11_DeletedNumberIsNoFreeNumber(t *testing.T) {
	w := newWorld(t)
	f := w.database("db")
	f.flush(1)
	sleeper := w.attach("db")
	_, err := sleeper.ms.Latest(w.ctx)
	require.NoError(t, err)
	woken := 0
	_, err = sleeper.ms.Update(w.ctx, func(m *manifest.Manifest) error {
		woken++
		if woken == 1 { // others work on
			for range 3 {
				f.flush(1)
			}
			f.collect(anyAge)
			require.Equal(t, []string{f.ms.Key(f.latest().ID)}, w.names("db/manifest/"))
		}
		m.Checkpoints = append(m.Checkpoints, manifest.Checkpoint{ID: w.env.UUID(), ManifestID: m.ID + 1})
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, 2, woken)
	assert.EqualValues(t, 4, f.latest().LastL0Seq, "nothing of the others is lost")
	assert.Len(t, f.latest().Checkpoints, 1)

	// What it wrote in vain below the boundary is garbage like any other.
	rep := f.collect(anyAge)
	assert.NotEmpty(t, rep.Deleted)
	assert.Len(t, w.names("db/manifest/"), 1)
}

// A compaction in another process is slow; passes run after each of its steps.
func TestD2_OutputsOfARunningCompactionStay(t *testing.T) {
	w := newWorld(t)
	f := w.database("db")
	f.skew = -30 * time.Minute // the compactor's host, behind the collector's
	f.compact()                // a finished job on record
	for range 4 {
		w.clock.add(time.Minute)
		f.flush(1)
	}
	job := f.submit()
	f.collect(anyAge)
	var outs []ulid.ULID
	for range 3 {
		outs = append(outs, f.output(job))
		w.clock.add(time.Hour)
		f.flush(1) // newer L0s than all outputs
		f.collect(anyAge)
	}
	f.jobs(func(c *manifest.Compactions) {
		j := c.Job(job)
		j.Status = manifest.Compacted
		for _, o := range outs {
			j.Outputs = append(j.Outputs, table(o))
		}
	})
	f.collect(anyAge)
	for _, o := range outs {
		assert.True(t, f.has(o), "not committed yet")
	}

	// The commit itself: the manifest is written, the job still says Compacted, then Completed.
	// A collector that read the compactions before and the manifest after all of it keeps them.
	jobs, err := f.cs.Latest(w.ctx)
	require.NoError(t, err)
	f.update(func(m *manifest.Manifest) {
		var views []sst.View
		for i, o := range outs {
			v := viewOf(o)
			v.Table.Info.First, v.Table.Info.Last = []byte{'a' + byte(2*i)}, []byte{'b' + byte(2*i)}
			views = append(views, v)
		}
		m.Root.Runs = []sst.SortedRun{{ID: 7, Views: views}}
	})
	f.collect(anyAge)
	f.jobs(func(c *manifest.Compactions) { c.Job(job).Status = manifest.Completed; c.Trim() })
	f.collect(anyAge)
	s := NewState("db", f.latest(), jobs)
	for _, o := range outs {
		assert.True(t, f.has(o))
		d := PlanCompacted(s, Rules{Now: w.clock.Now()}, []objstore.Attributes{{Key: sst.TableID(o).Object("db")}})
		assert.False(t, d[0].Delete)
	}
}

// The collector reads the compactions before the manifest. The other way round it would see a
// manifest without the outputs and a job that no longer protects them.
func TestD2_CompactionsAreReadBeforeTheManifest(t *testing.T) {
	w := newWorld(t)
	f := littered(w)
	for _, warm := range []bool{false, true} {
		store := faulty.New(w.mem, w.env)
		c := f.collectorOn(store, anyAge)
		if warm {
			_, err := c.RunOnce(w.ctx)
			require.NoError(t, err)
			f.flush(1)
			f.compact()
		}
		store.Record(true)
		_, err := c.RunOnce(w.ctx)
		require.NoError(t, err)
		lastJobs, firstManifest := -1, -1
		for i, r := range store.Log() {
			if r.Method == "get" && strings.HasPrefix(r.Key, f.cs.Key(0)[:len("p/db/compactions/")]) {
				lastJobs = i
			}
			if r.Method == "get" && strings.HasPrefix(r.Key, "p/db/manifest/") && firstManifest < 0 {
				firstManifest = i
			}
		}
		require.True(t, lastJobs >= 0 && firstManifest >= 0)
		assert.Less(t, lastJobs, firstManifest, "warm %v", warm)
	}
}

// The same when the first compaction of all comes between two passes of one collector, which knew
// that there was none.
func TestD2_FirstCompactionBetweenTwoPasses(t *testing.T) {
	w := newWorld(t)
	f := w.database("db")
	store := faulty.New(w.mem, w.env)
	c := f.collectorOn(store, anyAge)
	_, err := c.RunOnce(w.ctx)
	require.NoError(t, err)
	f.flush(1)
	store.Record(true)
	// When the collector asks for the compactions, the job is about to be committed; when it has
	// the answer, it is, a newer L0 is there, and the job after that has begun.
	job := f.submit()
	out := f.output(job)
	var once sync.Once
	store.Script(faulty.Rule{Method: "get", Key: "db/gc/compactions.boundary", Kind: faulty.Call, Do: func(context.Context, faulty.Request) error {
		once.Do(func() {
			f.update(func(m *manifest.Manifest) {
				m.Root.LastCompactedL0 = m.Root.L0[0].ID
				m.Root.L0, m.Root.Runs = nil, []sst.SortedRun{{ID: 0, Views: []sst.View{viewOf(out)}}}
			})
			f.jobs(func(c *manifest.Compactions) { c.Job(job).Status = manifest.Completed })
			w.clock.add(time.Minute)
			f.flush(1)
		})
		return nil
	}})
	_, err = c.RunOnce(w.ctx)
	require.NoError(t, err)
	assert.True(t, f.has(out))
	last := ""
	for _, r := range store.Log() {
		if r.Method == "get" && (strings.HasPrefix(r.Key, "db/compactions/") || strings.HasPrefix(r.Key, "db/manifest/")) {
			last = r.Key
		}
	}
	assert.Contains(t, last, "db/manifest/", "the manifest is read last")
}

// Tables are uploaded and not yet in the manifest while passes run, and the clocks of writer and
// compactor differ from the collector's by up to an hour. Neither may lose a table, whatever the
// minimum age.
func TestD3_UploadedTableIsNotDeletedBeforeItIsPublished(t *testing.T) {
	skews := []time.Duration{-time.Hour, -20 * time.Minute, -time.Second, 0, time.Second, 20 * time.Minute, time.Hour}
	for _, first := range skews {
		for _, second := range skews {
			for _, compactor := range []time.Duration{-time.Hour, 0, time.Hour} {
				t.Run(fmt.Sprint(first, second, compactor), func(t *testing.T) {
					w := newWorld(t)
					f := w.database("db")
					w.clock.add(3 * time.Hour)
					f.skew = compactor
					f.compact()
					f.skew = first
					f.flush(1)
					f.flush(1)
					f.skew = compactor
					f.compact()
					f.skew = second // another writer has taken over
					for range 4 {
						id := f.upload()
						w.clock.add(7 * time.Minute)
						f.collect(anyAge)
						f.collect(Options{})
						require.True(t, f.has(id), "%s, newest L0 %s", id, ulid.Time(f.latest().NewestL0Time()))
						f.publish(id, 0)
						f.collect(anyAge)
						require.True(t, f.has(id))
					}
					for n := range w.reachable("db") {
						assert.True(t, w.exists(n), n)
					}
				})
			}
		}
	}
}

// A checkpoint is added while a pass is anywhere.
func TestD4_CheckpointAddedDuringAPass(t *testing.T) {
	// One clean pass tells how many requests there are.
	count := func() int {
		w := newWorld(t)
		f := littered(w)
		store := faulty.New(w.mem, w.env)
		_, err := f.collectorOn(store, anyAge).RunOnce(w.ctx)
		require.NoError(t, err)
		return store.Requests()
	}()
	require.Greater(t, count, 20)
	for n := 1; n <= count; n++ {
		w := newWorld(t)
		f := littered(w)
		w.clock.add(time.Hour) // the compactor's checkpoints are about to be removed
		old := f.latest().Checkpoints[0]
		store := faulty.New(w.mem, w.env)
		var once sync.Once
		store.Script(faulty.Rule{Nth: n, Kind: faulty.Call, Do: func(context.Context, faulty.Request) error {
			once.Do(func() {
				g := w.attach(f.root)
				g.checkpoint("new", 0)
				// From another one, which may just have expired and be gone.
				id := w.env.UUID()
				_, err := g.ms.Update(w.ctx, func(m *manifest.Manifest) error {
					if m.Checkpoint(old.ID) == nil {
						return manifest.ErrUnchanged
					}
					m.Checkpoints = append(m.Checkpoints, manifest.Checkpoint{ID: id, ManifestID: old.ManifestID})
					return nil
				})
				assert.NoError(t, err)
				g.compact()
				g.flush(2)
			})
			return nil
		}})
		_, err := f.collectorOn(store, anyAge).RunOnce(w.ctx)
		require.NoError(t, err, "at request %d", n)
		f.collect(anyAge)
		stored := w.stored(f.root)
		for o := range w.reachable(f.root) {
			require.True(t, stored[o], "%s is gone, checkpoint added at request %d", o, n)
		}
	}
}

// The version that a listing showed as the latest is deleted before it is read, and a manifest
// pinned by an old checkpoint is deleted by another collector together with the checkpoint.
func TestD5_WhatWasListedIsDeletedBeforeItIsRead(t *testing.T) {
	t.Run("latest", func(t *testing.T) {
		w := newWorld(t)
		f := littered(w)
		store := faulty.New(w.mem, w.env)
		var once sync.Once
		store.Script(faulty.Rule{Method: "get", Key: f.ms.Key(f.latest().ID), Kind: faulty.Call, Do: func(context.Context, faulty.Request) error {
			once.Do(func() {
				g := w.attach(f.root)
				g.flush(1)
				g.collect(anyAge)
			})
			return nil
		}})
		_, err := f.collectorOn(store, anyAge).RunOnce(w.ctx)
		require.NoError(t, err)
		for o := range w.reachable(f.root) {
			assert.True(t, w.exists(o), o)
		}
	})
	t.Run("pinned", func(t *testing.T) {
		w := newWorld(t)
		f := littered(w)
		c := f.checkpoint("c", 0)
		pinned := f.ms.Key(f.latest().ID)
		f.flush(1)
		store := faulty.New(w.mem, w.env)
		var once sync.Once
		store.Script(faulty.Rule{Method: "get", Key: pinned, Kind: faulty.Call, Do: func(context.Context, faulty.Request) error {
			once.Do(func() {
				g := w.attach(f.root)
				g.drop(c)
				g.collect(anyAge)
			})
			return nil
		}})
		_, err := f.collectorOn(store, anyAge).RunOnce(w.ctx)
		require.NoError(t, err)
		assert.False(t, w.exists(pinned))
		for o := range w.reachable(f.root) {
			assert.True(t, w.exists(o), o)
		}
	})
}

// Eight stores by what they can do. Collection works, or says why not; nothing dies silently.
func TestD6_CapabilityMatrix(t *testing.T) {
	for i := range 8 {
		absent, version, putID := i&1 == 0, i&2 == 0, i&4 == 0
		t.Run(fmt.Sprintf("IfAbsent=%v IfVersion=%v PutID=%v", absent, version, putID), func(t *testing.T) {
			w := newWorld(t)
			f := littered(w)
			store := faulty.New(w.mem, w.env)
			store.SetProperties(func(p *objstore.Properties) { p.IfAbsent, p.IfVersion, p.PutID = absent, version, putID })
			var log bytes.Buffer
			o := anyAge
			collector := func() *Collector {
				return New(Config{Objects: store, Root: f.root, Env: w.env, Logger: slog.New(slog.NewTextHandler(&log, nil))}, o)
			}
			versions := func() int { return len(w.names("p/db/manifest/")) + len(w.names("p/db/compactions/")) }
			rest := func() int { return len(w.names("p/db/wal/")) + len(w.names("p/db/compacted/")) }
			if !absent {
				// Expiring a checkpoint needs a manifest, so the pass fails. Open refuses such a store.
				_, err := collector().RunOnce(w.ctx)
				require.ErrorIs(t, err, objstore.ErrNotSupported)
				return
			}
			c := collector()
			before, beforeRest := versions(), rest()
			_, err := c.RunOnce(w.ctx)
			require.NoError(t, err)
			assert.Less(t, versions(), before, "the first advance creates the file")
			assert.Less(t, rest(), beforeRest)
			assert.Empty(t, log.String())

			for range 3 {
				f.flush(1)
				w.clock.add(time.Minute)
				f.compact()
				w.clock.add(time.Hour)
				f.flush(1)
			}
			before, beforeRest = versions(), rest()
			rep, err := c.RunOnce(w.ctx)
			require.NoError(t, err)
			assert.Less(t, rest(), beforeRest, "tables and log need no boundary")
			if version {
				assert.Equal(t, 2, versions())
				assert.Empty(t, log.String())
				return
			}
			assert.Equal(t, before, versions(), "one more by the update of expired checkpoints, one less that they pinned below the boundary")
			assert.Contains(t, reason(rep, f.ms.Key(f.latest().ID-1)), "boundary not advanced: the store cannot overwrite conditionally")
			f.flush(1)
			_, err = c.RunOnce(w.ctx)
			require.NoError(t, err)
			assert.Equal(t, 2, strings.Count(log.String(), "boundary"+"="), "one warning for each kind, not for each pass: %s", log.String())

			o.DisableBoundaryFiles = true
			_, err = collector().RunOnce(w.ctx)
			require.NoError(t, err)
			assert.Equal(t, 2, versions())
		})
	}
}

// On a store where the boundary cannot be advanced, what lies below it can still be deleted.
func TestD6_BelowAFixedBoundary(t *testing.T) {
	w := newWorld(t)
	f := w.database("db")
	f.flush(1)
	c := f.checkpoint("c", 0)
	pinned := f.ms.Key(f.latest().ID)
	for range 3 {
		f.flush(1)
	}
	store := faulty.New(w.mem, w.env)
	store.SetProperties(func(p *objstore.Properties) { p.IfVersion = false })
	_, err := f.collectorOn(store, anyAge).RunOnce(w.ctx)
	require.NoError(t, err)
	require.True(t, w.exists(pinned))
	require.Len(t, w.names("db/manifest/"), 2)
	f.drop(c)
	rep, err := f.collectorOn(store, anyAge).RunOnce(w.ctx)
	require.NoError(t, err)
	require.Len(t, objectsOf(rep.Deleted, KindManifest), 1)
	assert.Equal(t, pinned, objectsOf(rep.Deleted, KindManifest)[0].Name)
	assert.Len(t, w.names("db/manifest/"), 2, "the one above the boundary stays")
}

// The outcome of the boundary's write is lost; what matters is what can be read back.
func TestBoundaryOfUnknownOutcome(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind faulty.Kind
		nth  int
		rest int // manifests
		err  error
	}{
		{"it was written", faulty.ErrorAfter, 1, 1, nil},
		{"it was not", faulty.ErrorBefore, 1, 1, nil},
		{"never known, never written", faulty.ErrorBefore, 0, 4, kv.ErrOutcomeUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			f := w.database("db")
			for range 3 {
				f.flush(1)
			}
			store := faulty.New(w.mem, w.env)
			store.Script(faulty.Rule{Method: "put", Key: "manifest.boundary", Nth: tt.nth, Kind: tt.kind, Err: objstore.ErrOutcomeUnknown})
			rep, err := f.collectorOn(store, anyAge).RunOnce(w.ctx)
			require.ErrorIs(t, err, tt.err)
			assert.Len(t, w.names("db/manifest/"), tt.rest)
			if tt.err != nil {
				assert.Contains(t, reason(rep, f.ms.Key(1)), "boundary not advanced: ")
				assert.Empty(t, objectsOf(rep.Deleted, KindManifest))
			}
		})
	}
}

// A fenced writer leaves a table, a crashed compaction leaves another. When all is quiet, one
// more job and one more L0 behind them, only what is reachable remains.
func TestD9_AfterQuiescenceOnlyReachableObjectsRemain(t *testing.T) {
	w := newWorld(t)
	f := littered(w)
	f.upload() // by a writer that is fenced before it publishes
	dead := f.submit()
	f.output(dead)
	f.jobs(func(c *manifest.Compactions) { c.Job(dead).Status = manifest.Failed })
	f.checkpoint("kept", 0)
	w.clock.add(time.Minute)
	f.flush(2)
	w.clock.add(time.Minute)
	f.compact()
	w.clock.add(time.Hour)
	f.flush(1)
	o := Options{MinAge: -1, DeleteWALFences: true}
	f.collect(o)
	f.collect(o) // the manifest before the update that expired checkpoints
	assert.Equal(t, sortedKeys(w.stored(f.root)), sortedKeys(w.both(f.root)))
}

// both returns the reachable objects and the one that is no garbage although nobody needs it:
// the WAL object at the replay point.
func (w *world) both(roots ...string) map[string]bool {
	need := w.reachable(roots...)
	for k := range need {
		if !w.exists(k) {
			delete(need, k) // a log position that never had an object
		}
	}
	return need
}
