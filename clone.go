package slatedb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// A CloneSource says what a clone is made of.
type CloneSource struct {
	// Path of the source in the Admin's store; "" is the Admin's own database.
	Path string
	// CheckpointID is the version to clone; zero: the newest manifest.
	CheckpointID uuid.UUID
	// Range of keys to take; the zero Range is all.
	Range Range
}

// CreateClone makes a database at dstPath (a path in the same store) that begins as a copy of
// its sources and then lives on its own. Tables are shared, not copied: the clone keeps a
// checkpoint without end in each source until it uses none of its tables any more.
//
// One source gives a clone, one with a range a projection, several a union: their keys must
// not overlap. Only a clone of a whole source takes over rows that are in the source's WAL
// alone (as of the pinned manifest); the others refuse sources whose WAL holds rows, with
// ErrInvalid: flush the WAL and then the memtable first.
//
// It may be called again: after a crash it goes on where it was, and when the clone is made it
// only verifies that the sources still hold it. ErrCorrupt when dstPath holds something else,
// ErrNotFound when there is no such checkpoint.
func (a *Admin) CreateClone(ctx context.Context, dstPath string, sources ...CloneSource) error {
	c := &cloning{a: a, dst: dstPath}
	if err := c.init(sources); err != nil {
		return err
	}
	ctx, end, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := c.run(ctx); err != nil {
		err = a.done("clone", err)
		return fmt.Errorf("create %q: %w", dstPath, err)
	}
	return nil
}

// cloning is one run of CreateClone. Its steps and what a crash leaves after each:
//
//	1 checkpoint in each source (300 s)     an expiring checkpoint
//	2 manifest 1, not initialized           the next run goes on with the sources that it names
//	3 final checkpoint in each parent       the same
//	4 copy of the WAL (one source)          the same, objects are overwritten
//	5 manifest 2, initialized               nothing to do
type cloning struct {
	a       *Admin
	dst     string
	sources []cloneSource
	store   *manifest.Store // of the clone
}

type cloneSource struct {
	path       string
	checkpoint uuid.UUID
	r          kv.Range
	cut        bool // r is not everything
	store      *manifest.Store
}

// sourceHold is the life of the checkpoint that holds a source while it is being cloned.
const sourceHold = 300 * time.Second

// init checks the arguments.
func (c *cloning) init(sources []CloneSource) error {
	if err := clonePath("clone path", c.dst); err != nil {
		return err
	}
	if len(sources) == 0 {
		return invalidf("a clone needs a source")
	}
	for i, s := range sources {
		path := s.Path
		if path == "" {
			path = c.a.h.path
		}
		if err := clonePath("source path", path); err != nil {
			return err
		}
		if path == c.dst {
			return invalidf("source %q is the clone itself", path)
		}
		if slices.ContainsFunc(c.sources, func(o cloneSource) bool { return o.path == path }) {
			return invalidf("source %q is named twice", path)
		}
		r, err := s.Range.clone()
		if err == nil && r.Empty() {
			err = invalidf("an empty range")
		}
		if err != nil {
			return fmt.Errorf("source %d: %w", i, err)
		}
		store := c.a.manifests()
		if path != c.a.h.path {
			store = c.a.manifestsOf(path)
		}
		c.sources = append(c.sources, cloneSource{path: path, checkpoint: s.CheckpointID, r: r, cut: r.Start != nil || r.End != nil, store: store})
	}
	c.store = c.a.manifestsOf(c.dst)
	return nil
}

func (a *Admin) manifestsOf(path string) *manifest.Store {
	return manifest.NewStore(a.h.component("clone", a.h.raw), path, a.h.conf.env)
}

func clonePath(what, path string) error {
	if err := objstore.ValidPath(path); err != nil {
		return invalidf("%s %q: %v", what, path, err)
	}
	if path == "" {
		return invalidf("%s: a database at the store's root has no path that a manifest could name", what)
	}
	return nil
}

func (c *cloning) run(ctx context.Context) error {
	if err := c.prove(ctx); err != nil {
		return err
	}
	for range 2 {
		m, err := c.store.Latest(ctx)
		switch {
		case err == nil && m.Initialized:
			return c.verify(ctx, m)
		case err == nil:
			return c.resume(ctx, m)
		case !errors.Is(err, ErrNoDatabase):
			return err
		}
		if m, err = c.begin(ctx); err == nil {
			return c.finish(ctx, m)
		} else if !errors.Is(err, manifest.ErrExists) {
			return err
		}
		// Another run was faster: go on with what it made.
	}
	return fmt.Errorf("%w: manifest 1 of %q comes and goes", ErrUnavailable, c.dst)
}

// prove tries the stores where the sources are databases.
func (c *cloning) prove(ctx context.Context) error {
	var paths []string
	for _, s := range c.sources {
		paths = append(paths, s.path)
	}
	return c.a.h.prove(ctx, true, paths...)
}

// begin takes hold of the sources and writes manifest 1.
func (c *cloning) begin(ctx context.Context) (*manifest.Manifest, error) {
	if err := c.checkEmpty(ctx); err != nil {
		return nil, err
	}
	var ins []cloneInput
	for i := range c.sources {
		s := &c.sources[i]
		in, err := c.hold(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("source %q: %w", s.path, err)
		}
		ins = append(ins, in)
	}
	if err := c.refuseWAL(ctx, ins); err != nil {
		return nil, err
	}
	m, err := c.build(ins)
	if err != nil {
		return nil, err
	}
	c.a.h.conf.env.Point("clone.before-create")
	return c.store.Create(ctx, m)
}

// build is the clone's first manifest. The inputs are not cut yet.
func (c *cloning) build(ins []cloneInput) (*manifest.Manifest, error) {
	env := c.a.h.conf.env
	for i, s := range c.sources {
		if s.cut {
			ins[i].m = project(ins[i].m, s.r, env.ULID)
		}
	}
	if len(ins) == 1 {
		return cloneOne(ins[0], env.UUID), nil
	}
	return union(ins, env.UUID, env.ULID)
}

// hold makes sure that a checkpoint pins the source, and reads what it pins.
func (c *cloning) hold(ctx context.Context, s *cloneSource) (cloneInput, error) {
	m, err := s.store.Latest(ctx)
	if err == nil {
		err = c.a.h.namesWALStore(m, "AdminOptions")
	}
	if err != nil {
		return cloneInput{}, err
	}
	if !m.Initialized {
		return cloneInput{}, errHalfMade
	}
	if s.checkpoint != uuid.Nil {
		return c.pinned(ctx, s, m, s.checkpoint)
	}
	ck, err := newCheckpoint(c.a.h.conf.env, &CheckpointOptions{Lifetime: sourceHold})
	if err != nil {
		return cloneInput{}, err
	}
	if m, err = s.store.Update(ctx, func(m *manifest.Manifest) error { return addCheckpoint(m, ck, uuid.Nil) }); err != nil {
		return cloneInput{}, err
	}
	return cloneInput{path: s.path, checkpoint: ck.ID, m: m}, nil
}

// pinned reads what a checkpoint of latest pins.
func (c *cloning) pinned(ctx context.Context, s *cloneSource, latest *manifest.Manifest, id uuid.UUID) (cloneInput, error) {
	ck := latest.Checkpoint(id)
	if ck == nil {
		return cloneInput{}, noCheckpoint(id)
	}
	m, err := s.store.Read(ctx, ck.ManifestID)
	if err == nil && !m.Initialized {
		err = errHalfMade
	}
	return cloneInput{path: s.path, checkpoint: id, m: m}, err
}

// checkEmpty refuses a place with remains of another database, which the clone would take for
// its own. A clone under way leaves nothing before its manifest.
func (c *cloning) checkEmpty(ctx context.Context) error {
	for _, s := range c.a.stores() {
		for o, err := range s.List(ctx, c.dst+"/", "") {
			if err != nil {
				return err
			}
			if databaseObject(strings.TrimPrefix(o.Key, c.dst+"/")) {
				return invalidf("%q is not empty: it has %s", c.dst, o.Key)
			}
		}
	}
	return nil
}

// refuseWAL refuses a projection or union of sources whose WAL holds rows: these would need to
// be cut too.
func (c *cloning) refuseWAL(ctx context.Context, ins []cloneInput) error {
	var bad []string
	for i, in := range ins {
		if len(ins) == 1 && !c.sources[i].cut {
			continue
		}
		for id := in.m.ReplayAfterWAL + 1; id <= in.m.WALLastSeen; id++ {
			at, err := c.walStore().Head(ctx, sst.WALID(id).Object(in.path))
			if errors.Is(err, objstore.ErrNotFound) {
				return sst.Corrupt(sst.WALID(id).Object(in.path), -1, err)
			}
			if err != nil {
				return err
			}
			if at.Size > 0 {
				bad = append(bad, fmt.Sprintf("%q", in.path))
				break
			}
		}
	}
	if len(bad) > 0 {
		return invalidf("the WAL of %s holds rows, which a projection or union cannot take over; flush the WAL and then the memtable", strings.Join(bad, ", "))
	}
	return nil
}

func (c *cloning) walStore() objstore.Store { return c.a.h.component("clone", c.a.h.rawWAL) }

// resume goes on with a clone that another run began.
func (c *cloning) resume(ctx context.Context, m *manifest.Manifest) error {
	direct, err := c.match(m)
	if err != nil {
		return err
	}
	var ins []cloneInput
	for i := range c.sources {
		s := &c.sources[i]
		latest, err := s.store.Latest(ctx)
		if err != nil {
			return fmt.Errorf("source %q: %w", s.path, err)
		}
		// The final checkpoint, when it is there already, pins the same version and does not
		// expire.
		id := direct[i].FinalCheckpoint
		if latest.Checkpoint(id) == nil {
			id = direct[i].SourceCheckpoint
		}
		in, err := c.pinned(ctx, s, latest, id)
		if err != nil {
			return fmt.Errorf("source %q: %w (what the clone was begun from is gone: delete %q and start anew)", s.path, err, c.dst)
		}
		ins = append(ins, in)
	}
	want, err := c.build(ins)
	if err != nil {
		return err
	}
	if !sameContent(want, m) {
		return c.elsewhere("the ranges are not those that it was begun with")
	}
	return c.finish(ctx, m)
}

// match finds the entries of the direct sources in a clone's manifest, in their order.
func (c *cloning) match(m *manifest.Manifest) ([]manifest.ExternalDB, error) {
	var out []manifest.ExternalDB
	for i := range c.sources {
		s := &c.sources[i]
		at := -1
		for j, e := range m.External {
			if e.Path == s.path && (s.checkpoint == uuid.Nil || s.checkpoint == e.SourceCheckpoint) {
				at = j
			}
		}
		// The entry of a single source stands last, behind those of its ancestors.
		if at < 0 || len(c.sources) == 1 && at != len(m.External)-1 {
			return nil, c.elsewhere(fmt.Sprintf("it is no clone of %q at that checkpoint", s.path))
		}
		out = append(out, m.External[at])
	}
	return out, nil
}

func (c *cloning) elsewhere(why string) error {
	return fmt.Errorf("%w: %q holds another database: %s", ErrCorrupt, c.dst, why)
}

// verify checks a finished clone.
func (c *cloning) verify(ctx context.Context, m *manifest.Manifest) error {
	if _, err := c.match(m); err != nil {
		return err
	}
	for _, e := range m.External {
		p, err := c.a.manifestsOf(e.Path).Latest(ctx)
		if err != nil {
			return fmt.Errorf("parent %q: %w", e.Path, err)
		}
		if p.Checkpoint(e.FinalCheckpoint) == nil {
			return fmt.Errorf("%w: parent %q does not hold the clone any more: checkpoint %s is gone", ErrCorrupt, e.Path, e.FinalCheckpoint)
		}
	}
	return nil
}

// finish does the steps behind manifest 1. Each can be repeated.
func (c *cloning) finish(ctx context.Context, m *manifest.Manifest) error {
	env := c.a.h.conf.env
	for _, e := range m.External {
		env.Point("clone.before-final")
		if err := c.attach(ctx, e); err != nil {
			return fmt.Errorf("parent %q: %w", e.Path, err)
		}
	}
	if len(c.sources) == 1 {
		env.Point("clone.before-wal")
		if err := c.copyWAL(ctx, c.sources[0].path, m); err != nil {
			return err
		}
	}
	env.Point("clone.before-initialize")
	_, err := update(ctx, c.store, func(m *manifest.Manifest) error {
		if m.Initialized {
			return manifest.ErrUnchanged
		}
		m.Initialized = true
		return nil
	})
	return err
}

// attach puts the clone's own checkpoint into a parent.
func (c *cloning) attach(ctx context.Context, e manifest.ExternalDB) error {
	_, err := update(ctx, c.a.manifestsOf(e.Path), func(m *manifest.Manifest) error {
		if m.Checkpoint(e.FinalCheckpoint) != nil {
			return manifest.ErrUnchanged
		}
		ck := Checkpoint{ID: e.FinalCheckpoint, CreateTime: second(c.a.h.conf.env.Clock.Now())}
		return addCheckpoint(m, ck, e.SourceCheckpoint)
	})
	return err
}

// walCopies is how many WAL objects are copied at once.
const walCopies = 8

// copyWAL copies the part of the log that the pinned manifest counts in.
func (c *cloning) copyWAL(ctx context.Context, from string, m *manifest.Manifest) error {
	s := c.walStore()
	for id := m.ReplayAfterWAL + 1; id <= m.WALLastSeen; {
		g, gctx := c.a.h.conf.env.Group(ctx)
		for range walCopies {
			if id > m.WALLastSeen {
				break
			}
			name := sst.WALID(id)
			id++
			g.Go("clone-wal", func() error {
				o, err := s.Get(gctx, name.Object(from))
				if errors.Is(err, objstore.ErrNotFound) {
					return sst.Corrupt(name.Object(from), -1, err)
				}
				if err != nil {
					return err
				}
				_, err = s.Put(gctx, name.Object(c.dst), o.Body, objstore.Always)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("copy the WAL: %w", err)
		}
	}
	return nil
}
