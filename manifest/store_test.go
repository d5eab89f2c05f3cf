package manifest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// scripted calls before and after around every Get, Put and Delete; an error of before is the
// answer, an error of after replaces the answer of a request that took effect.
type scripted struct {
	objstore.Store
	before, after func(op, key string) error
	requests      atomic.Int64
}

func (s *scripted) around(op, key string, call func() error) error {
	s.requests.Add(1)
	if s.before != nil {
		if err := s.before(op, key); err != nil {
			return err
		}
	}
	err := call()
	if s.after != nil {
		if e := s.after(op, key); err == nil {
			err = e
		}
	}
	return err
}

func (s *scripted) Get(ctx context.Context, key string) (o objstore.Object, err error) {
	err = s.around("get", key, func() (err error) { o, err = s.Store.Get(ctx, key); return err })
	return o, err
}

func (s *scripted) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (v objstore.Version, err error) {
	err = s.around("put", key, func() (err error) { v, err = s.Store.Put(ctx, key, body, c); return err })
	return v, err
}

func newEnv() *seam.Env { return seam.New(seam.Env{}) }

// newDatabase returns a database at R with version 1.
func newDatabase(t testing.TB) (objstore.Store, *Store) {
	mem := objstore.NewMemory()
	s := NewStore(mem, "R", newEnv())
	m, err := s.Create(t.Context(), New(""))
	require.NoError(t, err)
	require.EqualValues(t, 1, m.ID)
	return mem, s
}

// bump is an update that can be told from others.
func bump(m *Manifest) error { m.WALLastSeen++; return nil }

func checkpointNamed(name string) func(*Manifest) error {
	return func(m *Manifest) error {
		m.Checkpoints = append(m.Checkpoints, Checkpoint{ID: uuid.New(), ManifestID: m.ID + 1, CreateTime: time.Unix(1, 0).UTC(), Name: name})
		return nil
	}
}

func TestStoreBasics(t *testing.T) {
	ctx := t.Context()
	mem := objstore.NewMemory()
	s := NewStore(mem, "", newEnv())
	_, err := s.Latest(ctx)
	assert.ErrorIs(t, err, ErrNoDatabase)
	assert.ErrorIs(t, err, kv.ErrCorrupt)
	_, err = s.Update(ctx, bump)
	assert.ErrorIs(t, err, ErrNoDatabase)
	assert.Nil(t, s.Known())

	first, err := s.Create(ctx, New("slash"))
	require.NoError(t, err)
	_, err = s.Create(ctx, New(""))
	assert.ErrorIs(t, err, ErrExists)
	_, err = NewStore(mem, "", newEnv()).Create(ctx, New(""))
	assert.ErrorIs(t, err, ErrExists)

	second, err := s.Update(ctx, bump)
	require.NoError(t, err)
	assert.EqualValues(t, 2, second.ID)
	assert.EqualValues(t, 0, first.WALLastSeen, "older versions do not change")
	assert.Same(t, second, s.Known())

	got, err := s.Read(ctx, 1)
	require.NoError(t, err)
	assert.Equal(t, "slash", got.ExtractorName)
	_, err = s.Read(ctx, 9)
	assert.ErrorIs(t, err, kv.ErrCorrupt)
	assert.ErrorIs(t, err, objstore.ErrNotFound)

	vs, err := s.List(ctx, 0, 0)
	require.NoError(t, err)
	require.Len(t, vs, 2)
	assert.EqualValues(t, 1, vs[0].ID)

	plain := objstore.NewMemory()
	must(NewStore(plain, "R", newEnv()).Create(ctx, New("")))
	a, err := plain.Head(ctx, "R/manifest/00000000000000000001.manifest")
	require.NoError(t, err)
	assert.EqualValues(t, 130, a.Size, "as the Rust writer's")
}

func TestListSkipsStrangers(t *testing.T) {
	ctx := t.Context()
	mem, s := newDatabase(t)
	for range 4 {
		must(s.Update(ctx, bump))
	}
	for _, name := range []string{"7.manifest", "00000000000000000009.tmp", "0000000000000000000x.manifest", "sub/00000000000000000009.manifest",
		"99999999999999999999.manifest", "00000000000000000000.manifest", "00000000000000000099.manifest.bak", "+0000000000000000007.manifest"} {
		must(mem.Put(ctx, "R/manifest/"+name, []byte("x"), objstore.Always))
	}
	for _, c := range []struct {
		from, to uint64
		want     []uint64
	}{{0, 0, []uint64{1, 2, 3, 4, 5}}, {2, 4, []uint64{2, 3}}, {5, 0, []uint64{5}}, {6, 0, nil}, {3, 3, nil}} {
		vs, err := s.List(ctx, c.from, c.to)
		require.NoError(t, err)
		var ids []uint64
		for _, v := range vs {
			ids = append(ids, v.ID)
			assert.Positive(t, v.Size)
			assert.False(t, v.Modified.IsZero())
		}
		assert.Equal(t, c.want, ids, c)
	}
	m, err := NewStore(mem, "R", newEnv()).Latest(ctx)
	require.NoError(t, err)
	assert.EqualValues(t, 5, m.ID)
}

func TestLatestProbesThenLists(t *testing.T) {
	for ahead, requests := range map[int]int64{0: 2, 1: 3, 3: 5, 4: 5, 30: 6} { // gets, with the one of the boundary
		ctx := t.Context()
		mem, s := newDatabase(t)
		count := &scripted{Store: mem}
		reader := NewStore(count, "R", newEnv())
		must(reader.Latest(ctx))
		for range ahead {
			must(s.Update(ctx, bump))
		}
		count.requests.Store(0)
		m, err := reader.Latest(ctx)
		require.NoError(t, err)
		assert.EqualValues(t, 1+ahead, m.ID)
		assert.Equal(t, requests, count.requests.Load(), "%d versions ahead", ahead)
	}
}

func TestUpdateMutateErrors(t *testing.T) {
	ctx := t.Context()
	_, s := newDatabase(t)
	boom := errors.New("boom")
	_, err := s.Update(ctx, func(m *Manifest) error { m.WALLastSeen = 99; return boom })
	assert.ErrorIs(t, err, boom)
	m, err := s.Update(ctx, func(m *Manifest) error { m.WALLastSeen = 99; return ErrUnchanged })
	require.NoError(t, err)
	assert.EqualValues(t, 1, m.ID)
	assert.EqualValues(t, 0, m.WALLastSeen, "what mutate saw was a copy")
	_, err = s.Update(ctx, func(m *Manifest) error { m.WriterEpoch++; return nil })
	assert.ErrorIs(t, err, kv.ErrInternal)
	_, err = s.Update(ctx, func(m *Manifest) error { m.Root.Runs = []sst.SortedRun{{ID: 1}, {ID: 1}}; return nil })
	assert.ErrorIs(t, err, kv.ErrInternal, "nothing invalid is written")
	assert.NotErrorIs(t, err, kv.ErrCorrupt)
	assert.EqualValues(t, 1, must(s.Latest(ctx)).ID)
}

// What a conflict loop applies again must not see traces of the first try, and the versions
// handed out must not be reachable through the copy.
func TestCloneIsIndependent(t *testing.T) {
	m := sample()
	before := must(m.Encode())
	c := m.Clone()
	for _, tree := range []*Tree{&c.Root, &c.Segments[0].Tree} {
		tree.LastCompactedL0 = tid(5, 5)
		for i := range tree.L0 {
			tree.L0[i] = view(1, 1, "q", "r")
		}
		for i := range tree.Runs {
			tree.Runs[i].ID = 70
			for j := range tree.Runs[i].Views {
				tree.Runs[i].Views[j] = view(1, 1, "q", "r")
			}
		}
	}
	c.Segments[1].Prefix = []byte("other")
	c.Checkpoints[0].Name = "other"
	c.External[0].Path = "other"
	c.External[0].Tables[0] = tid(6, 6)
	c.Tracker.points[0].Seq = 999
	c.AddL0([]byte("zzz"), view(1, 1, "q", "r"))
	c.AddL0(nil, view(1, 1, "q", "r"))
	c.TrimExternal()
	assert.Equal(t, before, must(m.Encode()))

	j := sampleJobs()
	before = must(j.Encode())
	d := j.Clone()
	d.Jobs[0].Outputs[0] = table(tid(1, 1), "x", "y")
	d.Jobs[0].Spec.L0Views[0] = tid(3, 3)
	d.Jobs[0].Spec.Runs[0] = 99
	d.Jobs[1].Worker.HeartbeatMillis = 1
	d.Jobs[1].Context.RetentionMinSeq = 1
	d.Jobs[1].Context.Ranges[0].Done = false
	d.Jobs[1].Context.Ranges[0].Outputs[0] = table(tid(1, 1), "x", "y")
	d.Jobs[1].Spec.Segment[0] = 'X'
	d.Put(Compaction{ID: tid(1, 1)})
	assert.Equal(t, before, must(j.Encode()))
}

// A7: conflicts with readers that write checkpoints are never the caller's problem.
// D4: no update loses another's checkpoint.
func TestA7_D4_ConcurrentUpdatesAllLand(t *testing.T) {
	ctx := t.Context()
	mem, s := newDatabase(t)
	const procs, each = 4, 12
	w := must(s.AcquireWriter(ctx, AcquireOptions{}))
	c := must(NewStore(mem, "R", newEnv()).AcquireCompactor(ctx, AcquireOptions{}))
	var wg sync.WaitGroup
	for p := range procs {
		wg.Go(func() {
			own := NewStore(mem, "R", newEnv())
			for i := range each {
				_, err := own.Update(ctx, checkpointNamed(fmt.Sprintf("%d/%d", p, i)))
				assert.NoError(t, err)
			}
		})
	}
	for _, f := range []*Fenced{w, c} {
		wg.Go(func() {
			for range each {
				_, err := f.Update(ctx, bump)
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	m, err := w.Refresh(ctx)
	require.NoError(t, err)
	assert.Len(t, m.Checkpoints, procs*each)
	assert.EqualValues(t, 2*each, m.WALLastSeen)
	assert.EqualValues(t, 1+2+(procs+2)*each, m.ID, "one version per update")
	for _, cp := range m.Checkpoints {
		pinned, err := s.Read(ctx, cp.ManifestID)
		require.NoError(t, err)
		assert.NotNil(t, pinned.Checkpoint(cp.ID), "a checkpoint names the version that contains it first")
	}
}

// Both roles of one handle share a store: they queue and never conflict.
func TestRolesOfOneStoreDoNotConflict(t *testing.T) {
	ctx := t.Context()
	mem, _ := newDatabase(t)
	env := newEnv()
	var conflicts atomic.Int64
	env.OnPoint = func(name string) {
		if name == "manifest.conflict" {
			conflicts.Add(1)
		}
	}
	s := NewStore(mem, "R", env)
	w := must(s.AcquireWriter(ctx, AcquireOptions{}))
	c := must(s.AcquireCompactor(ctx, AcquireOptions{}))
	var wg sync.WaitGroup
	for range 20 {
		for _, f := range []*Fenced{w, c} {
			wg.Go(func() { must(f.Update(ctx, bump)) })
		}
	}
	wg.Wait()
	assert.Zero(t, conflicts.Load())
	assert.EqualValues(t, 43, w.Current().ID)
	assert.Same(t, w.Current(), c.Current())
}

func TestQueueHonoursContext(t *testing.T) {
	_, s := newDatabase(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		_, err := s.Update(context.Background(), func(m *Manifest) error { close(inside); <-leave; return nil })
		done <- err
	}()
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Update(ctx, bump)
	assert.ErrorIs(t, err, context.Canceled)
	close(leave)
	assert.NoError(t, <-done)
}

func TestStoreErrorsAreMapped(t *testing.T) {
	ctx := t.Context()
	mem, _ := newDatabase(t)
	lost := errors.New("connection lost")
	for name, c := range map[string]struct {
		err  error
		want []error
	}{
		"transport": {lost, []error{lost}},
		"unknown":   {objstore.ErrOutcomeUnknown, []error{kv.ErrOutcomeUnknown, kv.ErrClosed, objstore.ErrOutcomeUnknown}},
	} {
		f := &scripted{Store: mem}
		s := NewStore(f, "R", newEnv())
		must(s.Latest(ctx))
		f.before = func(op, key string) error {
			if op == "put" {
				return c.err
			}
			return nil
		}
		_, err := s.Update(ctx, bump)
		for _, want := range c.want {
			assert.ErrorIs(t, err, want, name)
		}
		assert.ErrorContains(t, err, "R/manifest/00000000000000000002.manifest", name)
	}
}

// A lost answer: the next try meets its own version, and sees its change in it.
func TestLostAnswerIsSeenByTheNextTry(t *testing.T) {
	lost := errors.New("answer lost")
	install := func(m *Manifest) error {
		if m.LastL0Seq >= 10 {
			return ErrUnchanged
		}
		m.LastL0Seq = 10
		m.AddL0(nil, view(50, 1, "a", "b"))
		return nil
	}
	for name, suffix := range map[string]string{"of the PUT": ".manifest", "of the look at the boundary": ".boundary"} {
		ctx := t.Context()
		mem, _ := newDatabase(t)
		f := &scripted{Store: mem}
		w := must(NewStore(f, "R", newEnv()).AcquireWriter(ctx, AcquireOptions{}))
		must(w.store.Boundary().Read(ctx))
		require.NoError(t, w.store.Boundary().Advance(ctx, 1))
		f.after = func(op, key string) error {
			if strings.HasSuffix(key, suffix) {
				return lost
			}
			return nil
		}
		_, err := w.Update(ctx, install)
		require.ErrorIs(t, err, lost, name)
		f.after = nil
		for range 2 { // the first finds the version stored, or learns of it by its conflict
			m, err := w.Update(ctx, install)
			require.NoError(t, err, name)
			assert.Len(t, m.Root.L0, 1, name)
			assert.EqualValues(t, 3, m.ID, name)
		}
	}
}

func TestNewL0TablesAreNeverOlder(t *testing.T) {
	ctx := t.Context()
	_, s := newDatabase(t)
	w := must(s.AcquireWriter(ctx, AcquireOptions{}))
	add := func(prefix string, ms uint64, n byte) error {
		_, err := w.Update(ctx, func(m *Manifest) error { m.AddL0([]byte(prefix), view(ms, n, "a", "b")); return nil })
		return err
	}
	require.NoError(t, add("", 1000, 1))
	require.NoError(t, add("", 1000, 2), "equal milliseconds are fine")
	assert.EqualValues(t, 1000, w.Current().NewestL0Time())
	require.ErrorIs(t, add("", 999, 3), kv.ErrInternal)
	require.ErrorIs(t, add("seg/", 999, 3), kv.ErrInternal, "all trees count")
	must(w.Update(ctx, func(m *Manifest) error { m.Root.CutL0(m.Root.L0[0].ID); return nil }))
	assert.Empty(t, w.Current().Root.L0)
	require.ErrorIs(t, add("", 999, 3), kv.ErrInternal, "the watermark stands for a tree without L0")
	require.NoError(t, add("", 1001, 3))
}

func TestTreeFunctions(t *testing.T) {
	m := New("slash")
	assert.Nil(t, m.TreeFor([]byte("a/1")), "no such segment yet")
	m.AddL0([]byte("b/"), view(1, 1, "b/1", "b/2"))
	m.AddL0([]byte("a/"), view(2, 2, "a/1", "a/2"))
	m.AddL0([]byte("b/"), view(3, 3, "b/1", "b/2"))
	require.NoError(t, m.Validate())
	require.Len(t, m.Segments, 2)
	assert.Equal(t, "a/", string(m.Segments[0].Prefix))
	assert.Equal(t, tid(3, 3), m.Segments[1].L0[0].ID, "newest first")
	for key, want := range map[string]*Tree{"a/": &m.Segments[0].Tree, "a/zz": &m.Segments[0].Tree, "b/1": &m.Segments[1].Tree, "b": nil, "a0": nil, "c/": nil, "": nil} {
		assert.Same(t, want, m.TreeFor([]byte(key)), key)
	}
	assert.Nil(t, m.Segment([]byte("b")))
	seg := m.Segment([]byte("b/"))
	seg.CutL0(tid(3, 3))
	assert.True(t, seg.Empty())
	assert.Equal(t, tid(3, 3), seg.LastCompactedL0)
	assert.EqualValues(t, 3, m.NewestL0Time())
	m.PruneSegments()
	require.Len(t, m.Segments, 1)

	plain := New("")
	assert.Same(t, &plain.Root, plain.TreeFor([]byte("any")))
	id, ok := plain.NextRunID()
	assert.True(t, ok)
	assert.Zero(t, id)
	plain.Root.Runs = []sst.SortedRun{{ID: 1<<32 - 1}}
	_, ok = plain.NextRunID()
	assert.False(t, ok)

	tree := Tree{L0: []sst.View{view(3, 3, "a", "b"), view(2, 2, "a", "b"), view(1, 1, "a", "b")}}
	tree.CutL0(tid(2, 2))
	require.Len(t, tree.L0, 1)
	assert.Equal(t, tid(3, 3), tree.L0[0].ID)
	tree.CutL0(tid(9, 9))
	assert.Len(t, tree.L0, 1, "an unknown watermark cuts nothing")
}

// D7: after every update of a role the external databases list exactly the borrowed tables in
// use.
func TestD7_ExternalTablesFollowTheViews(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		mem := objstore.NewMemory()
		s := NewStore(mem, "R", newEnv())
		must(s.Create(ctx, genManifest(rt)))
		w := must(s.AcquireWriter(ctx, AcquireOptions{}))
		for range 3 {
			must(w.Update(ctx, func(m *Manifest) error {
				for _, tree := range m.Trees() {
					if len(tree.L0) > 0 && rapid.Bool().Draw(rt, "cut") {
						tree.CutL0(tree.L0[len(tree.L0)-1].ID)
					}
				}
				return nil
			}))
			m := must(NewStore(mem, "R", newEnv()).Latest(ctx))
			used, listed := map[ulid.ULID]bool{}, map[ulid.ULID]bool{}
			for id, h := range m.Tables() {
				if h.Root != "" {
					used[id] = true
				}
			}
			for _, e := range m.External {
				for _, id := range e.Tables {
					listed[id] = true
				}
			}
			require.Equal(rt, used, listed)
		}
	})
}

func TestCompactionsStore(t *testing.T) {
	ctx := t.Context()
	mem := objstore.NewMemory()
	s := NewCompactionsStore(mem, "R", newEnv())
	_, err := s.Latest(ctx)
	assert.ErrorIs(t, err, ErrNoCompactions)
	must(s.Create(ctx, &Compactions{}))
	o, err := mem.Get(ctx, "R/compactions/00000000000000000001.compactions")
	require.NoError(t, err)
	assert.Equal(t, unhex("0002 0c000000 08000800000004000800000004000000 00000000"), o.Body, "the smallest object")

	job := Compaction{ID: tid(100, 1), Spec: Spec{Runs: []uint32{1}}}
	put := func(j Compaction) error {
		_, err := s.Update(ctx, func(c *Compactions) error { c.Put(j); return nil })
		return err
	}
	require.NoError(t, put(job))
	require.ErrorIs(t, put(Compaction{ID: tid(99, 1)}), kv.ErrInternal, "a new job is never older than the newest")
	require.NoError(t, put(Compaction{ID: tid(100, 2)}), "equal milliseconds are fine")
	job.Status, job.Outputs = Compacted, []*sst.Handle{table(tid(99, 1), "a", "b")}
	require.ErrorIs(t, put(job), kv.ErrInternal, "an output is never older than its job")
	job.Outputs = []*sst.Handle{table(tid(100, 0), "a", "b")}
	require.NoError(t, put(job))
	_, err = s.Update(ctx, func(c *Compactions) error { c.CompactorEpoch = 4; return nil })
	require.NoError(t, err)
	_, err = s.Update(ctx, func(c *Compactions) error { c.CompactorEpoch = 3; return nil })
	require.ErrorIs(t, err, kv.ErrInternal)
	c, err := NewCompactionsStore(mem, "R", newEnv()).Latest(ctx)
	require.NoError(t, err)
	assert.EqualValues(t, 5, c.ID)
	assert.Len(t, c.Jobs, 2)
	assert.Equal(t, must(s.Known().Encode()), must(c.Encode()))
	assert.Len(t, must(s.List(ctx, 2, 0)), 4)
	assert.EqualValues(t, 0, must(s.Read(ctx, 2)).CompactorEpoch)
	assert.Equal(t, "R/gc/compactions.boundary", s.Boundary().Key())
}

func TestPointsAreNamed(t *testing.T) {
	ctx := t.Context()
	mem, _ := newDatabase(t)
	env := newEnv()
	var points []string
	env.OnPoint = func(name string) { points = append(points, name) }
	must(NewStore(mem, "R", env).AcquireWriter(ctx, AcquireOptions{}))
	assert.Equal(t, "manifest.claim manifest.before-put manifest.after-put", strings.Join(points, " "))
}

// Nothing is left waiting when an update is cancelled during its pause.
func TestCancelDuringConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		mem, busy := newDatabase(t)
		f := &scripted{Store: mem}
		s := NewStore(f, "R", newEnv())
		must(s.Latest(ctx))
		f.before = func(op, key string) error {
			if op == "put" && strings.Contains(key, "/manifest/") {
				must(busy.Update(context.Background(), bump))
			}
			return nil
		}
		_, err := s.Update(ctx, bump)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
