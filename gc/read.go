package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// atOnce is how many requests a pass has under way at most.
const atOnce = 8

// read reads compactions and manifest, in this order, and removes the expired checkpoints.
func (p *pass) read(ctx context.Context, due []string) error {
	var jobs *manifest.Compactions
	var err error
	needed := slices.ContainsFunc(due, readsCompactions)
	// To find out that there are none takes a listing. There can be none as long as the
	// manifest is the same, since a compactor claims its role there first; should a job have
	// been submitted meanwhile, to take it for none keeps more, not less.
	none := p.jobless
	if needed && none == 0 {
		if jobs, err = p.compactions(ctx); err != nil {
			return err
		}
	}
	m, err := p.conf.Manifests.Latest(ctx)
	if err != nil {
		return err
	}
	if needed && none != 0 && m.ID != none {
		if jobs, err = p.compactions(ctx); err != nil {
			return err
		}
		if m, err = p.conf.Manifests.Latest(ctx); err != nil {
			return err
		}
	}
	if m.Initialized {
		if m, err = p.expire(ctx, m); err != nil {
			return err
		}
	}
	if needed {
		p.jobless = 0
		if jobs == nil {
			p.jobless = m.ID
		}
	}
	p.state = NewState(p.conf.Root, m, jobs)
	return nil
}

// compactions returns the latest compactions, nil when there are none.
func (p *pass) compactions(ctx context.Context) (*manifest.Compactions, error) {
	c, err := p.conf.Compactions.Latest(ctx)
	if errors.Is(err, manifest.ErrNoCompactions) {
		return nil, nil
	}
	return c, err
}

// expire removes the expired checkpoints from m, in one update, and returns what is latest
// then. What an update does not remove still protects.
func (p *pass) expire(ctx context.Context, m *manifest.Manifest) (*manifest.Manifest, error) {
	ds := PlanCheckpoints(m, p.now)
	if !slices.ContainsFunc(ds, func(d Decision) bool { return d.Delete }) {
		p.report.add(ds)
		return m, nil
	}
	if p.opts.DryRun {
		m = m.Clone()
		m.Checkpoints = slices.DeleteFunc(m.Checkpoints, func(c manifest.Checkpoint) bool { return c.Expired(p.now) })
		p.report.add(ds)
		return m, nil
	}
	p.conf.Env.Point("gc.before-expire")
	m, err := p.conf.Manifests.Update(ctx, func(m *manifest.Manifest) error {
		ds = PlanCheckpoints(m, p.now)
		live := slices.DeleteFunc(slices.Clone(m.Checkpoints), func(c manifest.Checkpoint) bool { return c.Expired(p.now) })
		if len(live) == len(m.Checkpoints) {
			return manifest.ErrUnchanged
		}
		m.Checkpoints = live
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("expire checkpoints: %w", err)
	}
	for i := range ds {
		if ds[i].Delete {
			p.conf.Logger.Debug("slatedb: gc removes", "path", p.conf.Root, "kind", KindCheckpoint, "object", ds[i].Name, "reason", ds[i].Reason)
		}
	}
	p.report.add(ds)
	return m, nil
}

// needsPins reports whether a kind can be judged only by the content of pinned manifests.
func (p *pass) needsPins(kind string) bool {
	switch kind {
	case KindWAL, KindWALFence, KindCompacted:
		return true
	case KindDetach:
		return len(p.state.Manifest.External) > 0
	}
	return false
}

// pinRounds is how often a pass looks for the pinned manifests when one is gone: another
// collector may just have removed it together with its checkpoint (arbitrary).
const pinRounds = 3

// pin reads the manifests that checkpoints name, if one of the kinds needs them. One that is
// missing though the latest manifest still names it is damage: the kinds that need it fail.
func (p *pass) pin(ctx context.Context, due []string) error {
	if !slices.ContainsFunc(due, p.needsPins) {
		return nil
	}
	for range pinRounds {
		err := p.readPinned(ctx)
		if err == nil || !errors.Is(err, objstore.ErrNotFound) {
			return err
		}
		before := p.state.Manifest.ID
		again := *p
		again.report = Report{}
		if rerr := again.read(ctx, due); rerr != nil {
			return rerr
		}
		if again.state.Manifest.ID == before {
			return err
		}
		p.state = again.state
		p.report.Deleted = append(p.report.Deleted, again.report.Deleted...)
	}
	return p.readPinned(ctx)
}

// readPinned reads what the state still misses, a few at a time, and keeps of each only what
// the plans need.
func (p *pass) readPinned(ctx context.Context) error {
	ids := p.state.Pinned()
	for wave := range slices.Chunk(ids, atOnce) {
		ms := make([]*manifest.Manifest, len(wave))
		g, gctx := p.conf.Env.Group(ctx)
		for i, id := range wave {
			g.Go("gc-read", func() (err error) {
				ms[i], err = p.conf.Manifests.Read(gctx, id)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("read pinned manifests: %w", err)
		}
		for _, m := range ms {
			p.state.Pin(m)
		}
	}
	return nil
}

// each calls f for 0 to n-1, a few at a time, until ctx ends.
func (p *pass) each(ctx context.Context, name string, n int, f func(ctx context.Context, i int)) error {
	var next atomic.Int64
	g, gctx := p.conf.Env.Group(ctx)
	for range min(n, atOnce) {
		g.Go(name, func() error {
			for gctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					break
				}
				f(gctx, i)
			}
			return nil
		})
	}
	return g.Wait()
}
