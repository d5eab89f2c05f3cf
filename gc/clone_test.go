package gc

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// borrow makes a clone of a database as clone creation leaves it.
func (f *fake) borrow(path string) *fake {
	source := f.checkpoint("source of "+path, 0)
	src := f.latest()
	final := f.env.UUID()
	f.update(func(m *manifest.Manifest) {
		m.Checkpoints = append(m.Checkpoints, manifest.Checkpoint{ID: final, ManifestID: src.ID, CreateTime: f.clock.Now()})
	})
	f.drop(source)
	c := f.attach(path)
	m := src.Clone()
	m.Checkpoints, m.SnapshotMinSeq = nil, m.LastL0Seq
	entry := manifest.ExternalDB{Path: f.root, SourceCheckpoint: source, FinalCheckpoint: final}
	inherited := make(map[ulid.ULID]bool)
	var external []manifest.ExternalDB
	for _, e := range m.External {
		if len(e.Tables) == 0 {
			continue
		}
		for _, id := range e.Tables {
			inherited[id] = true
		}
		// An ancestor gets a checkpoint for this clone too.
		mine := f.env.UUID()
		ancestor := f.attach(e.Path)
		ancestor.update(func(m *manifest.Manifest) {
			m.Checkpoints = append(m.Checkpoints, manifest.Checkpoint{ID: mine, ManifestID: m.Checkpoint(e.FinalCheckpoint).ManifestID, CreateTime: f.clock.Now()})
		})
		external = append(external, manifest.ExternalDB{Path: e.Path, SourceCheckpoint: e.FinalCheckpoint, FinalCheckpoint: mine, Tables: slices.Clone(e.Tables)})
	}
	for v := range m.Views() {
		if id := v.Table.ID.ULID(); !inherited[id] {
			entry.Tables = append(entry.Tables, id)
		}
	}
	m.External = append(external, entry)
	_, err := c.ms.Create(f.ctx, m)
	require.NoError(f.t, err)
	for id := m.ReplayAfterWAL + 1; id <= m.WALLastSeen; id++ {
		f.put(sst.WALID(id).Object(path), "rows")
	}
	return c
}

func (f *fake) checkpointIn(id uuid.UUID) bool { return f.latest().Checkpoint(id) != nil }

// refs(manifest) == refs(external_dbs): a parent's tables stay as long as a clone or one of its
// checkpoints uses any of them, and not longer.
func TestD7_ParentIsPinnedExactlyAsLongAsItsTablesAreUsed(t *testing.T) {
	w := newWorld(t)
	par := w.database("par")
	w.clock.add(time.Minute)
	par.compact()
	w.clock.add(time.Minute)
	old := []ulid.ULID{par.flush(1), par.flush(1)}
	clone := par.borrow("clone")
	final := clone.latest().External[0].FinalCheckpoint
	require.Len(t, clone.latest().External[0].Tables, 3)

	all := func() {
		t.Helper()
		for _, f := range []*fake{par, clone} {
			f.collect(anyAge)
		}
		for o := range w.reachable("par", "clone") {
			require.True(t, w.exists(o), o)
		}
	}
	// The parent compacts its tables away; the clone still has them.
	w.clock.add(time.Minute)
	par.compact()
	w.clock.add(time.Hour)
	par.flush(1)
	par.compact()
	w.clock.add(time.Hour)
	par.flush(1)
	all()
	assert.True(t, par.has(old[0]) && par.has(old[1]))

	// A checkpoint of the clone, then the clone compacts: its checkpoint still uses them.
	pin := clone.checkpoint("mine", 0)
	w.clock.add(time.Minute)
	clone.compact()
	w.clock.add(time.Hour)
	require.Empty(t, clone.latest().External[0].Tables)
	all()
	assert.True(t, par.checkpointIn(final))
	rep := clone.collect(anyAge)
	assert.Contains(t, reason(rep, "par checkpoint "+final.String()), "in use by manifest")

	clone.drop(pin)
	rep = clone.collect(Options{MinAge: -1, Detach: &KindOptions{DryRun: true}})
	require.Len(t, objectsOf(rep.Deleted, KindDetach), 1)
	assert.True(t, par.checkpointIn(final))
	clone.collect(Options{MinAge: -1, Detach: &KindOptions{Disable: true}})
	assert.True(t, par.checkpointIn(final))
	rep = clone.collect(anyAge)
	assert.Equal(t, []Object{{Kind: KindDetach, Name: "par checkpoint " + final.String(), Reason: "no table of it in use"}}, objectsOf(rep.Deleted, KindDetach))
	assert.False(t, par.checkpointIn(final))
	assert.Empty(t, clone.latest().External)
	all()
	assert.False(t, par.has(old[0]) || par.has(old[1]), "nobody uses them any more")
}

func objectsOf(os []Object, kind string) (out []Object) {
	for _, o := range os {
		if o.Kind == kind {
			out = append(out, o)
		}
	}
	return out
}

// A chain of clones loses its members' checkpoints in every order; passes over all databases run
// in between. Nothing that a living one reads may go.
func TestE3_ChainOfClonesInEveryOrder(t *testing.T) {
	roots := []string{"a", "b", "c", "d"}
	var orders [][]int
	var permute func([]int)
	permute = func(done []int) {
		if len(done) == len(roots) {
			orders = append(orders, slices.Clone(done))
			return
		}
		for i := range roots {
			if !slices.Contains(done, i) {
				permute(append(done, i))
			}
		}
	}
	permute(nil)
	for _, order := range orders {
		w := newWorld(t)
		dbs := []*fake{w.database("a")}
		dbs[0].compact()
		for i := range 3 {
			w.clock.add(time.Minute)
			dbs[i].flush(1)
			dbs = append(dbs, dbs[i].borrow(roots[i+1]))
		}
		for _, i := range order {
			// This one rewrites all it has: it needs its ancestors no more.
			w.clock.add(time.Minute)
			dbs[i].compact()
			w.clock.add(time.Hour)
			dbs[i].flush(1)
			for _, f := range dbs {
				f.collect(anyAge)
			}
			for o := range w.reachable(roots...) {
				require.True(t, w.exists(o), "%v: %s is gone after %s was compacted", order, o, roots[i])
			}
		}
		for range 2 {
			for _, f := range slices.Backward(dbs) { // clones first: they let go of their parents
				f.collect(anyAge)
			}
		}
		for i, f := range dbs {
			assert.Empty(t, f.latest().External, "%v %s", order, roots[i])
			assert.Empty(t, f.latest().Checkpoints, "%v %s", order, roots[i])
		}
	}
}

// A crash anywhere in a detachment. The parent comes first: in the other order the parent's
// checkpoint would be left to nobody.
func TestE4_CrashBetweenParentAndClone(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			w := newWorld(t)
			par := w.database("par")
			par.compact()
			w.clock.add(time.Minute)
			par.flush(1)
			clone := par.borrow("clone")
			final := clone.latest().External[0].FinalCheckpoint
			clone.compact()
			w.clock.add(time.Hour) // its own checkpoint has expired
			store := faulty.New(w.mem, w.env)
			store.CrashAt(n, after)
			_, err := clone.collectorOn(store, anyAge).RunOnce(w.ctx)
			entry := len(clone.latest().External) > 0
			assert.True(t, entry || !par.checkpointIn(final), "crash at %d: the entry is gone, the checkpoint is not", n)
			if !store.Crashed() {
				require.NoError(t, err)
				require.False(t, entry)
				break
			}
			rep := clone.collect(anyAge)
			assert.False(t, par.checkpointIn(final), "crash at %d", n)
			assert.Empty(t, clone.latest().External, "crash at %d", n)
			assert.Equal(t, entry, len(objectsOf(rep.Deleted, KindDetach)) > 0)
		}
	}
}

func TestDetachFromAParentThatIsGone(t *testing.T) {
	w := newWorld(t)
	par := w.database("par")
	par.flush(1)
	clone := par.borrow("clone")
	clone.compact()
	w.clock.add(time.Hour)
	for _, n := range w.names("par/") {
		require.NoError(t, w.mem.Delete(w.ctx, n))
	}
	clone.collect(anyAge)
	assert.Empty(t, clone.latest().External)
}

func TestDetachThatFails(t *testing.T) {
	w := newWorld(t)
	a, b := w.database("a"), w.database("b")
	a.flush(1)
	b.flush(1)
	clone := a.borrow("clone")
	other := b.borrow("other")
	clone.update(func(m *manifest.Manifest) { m.External = append(m.External, other.latest().External...) })
	clone.compact()
	w.clock.add(time.Hour)
	store := faulty.New(w.mem, w.env)
	store.Script(faulty.Rule{Method: "put", Key: "a/manifest", Kind: faulty.ErrorBefore})
	var detached uint64
	c := New(Config{Objects: store, Root: "clone", Env: w.env, Logger: quiet(), Count: func(name string, n uint64, labels ...string) {
		if name == "slatedb.gc.deleted_count" && labels[1] == "detach" {
			detached += n
		}
	}}, anyAge)
	rep, err := c.RunOnce(w.ctx)
	assert.ErrorIs(t, err, faulty.ErrInjected)
	ext := clone.latest().External
	require.Len(t, ext, 1, "one parent does not keep the other")
	assert.Equal(t, "a", ext[0].Path)
	assert.Contains(t, reason(rep, "a checkpoint "+ext[0].FinalCheckpoint.String()), "checkpoint not removed: ")
	assert.EqualValues(t, 1, detached)
	store.Clear()
	_, err = c.RunOnce(w.ctx)
	require.NoError(t, err)
	assert.Empty(t, clone.latest().External)
	assert.EqualValues(t, 2, detached)
}
