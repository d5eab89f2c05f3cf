package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// delete deletes what the decisions say. One that fails becomes a kept one.
func (p *pass) delete(ctx context.Context, store objstore.Store, kind string, ds []Decision) error {
	var todo []*Decision
	for i := range ds {
		if ds[i].Delete {
			todo = append(todo, &ds[i])
		}
	}
	errs := make([]error, len(todo))
	done := make([]bool, len(todo))
	err := p.each(ctx, "gc-delete", len(todo), func(ctx context.Context, i int) {
		d := todo[i]
		p.conf.Logger.Debug("slatedb: gc deletes", "path", p.conf.Root, "kind", kind, "object", d.Name, "reason", d.Reason)
		p.conf.Env.Point("gc.before-delete")
		errs[i] = store.Delete(ctx, d.Name)
		done[i] = errs[i] == nil
	})
	var deleted uint64
	for i, d := range todo {
		switch {
		case done[i]:
			deleted++
		case errs[i] != nil:
			d.keep("delete failed: " + errs[i].Error())
			if err == nil {
				err = errs[i]
			}
		default:
			d.keep("the pass ended")
			if err == nil {
				err = context.Cause(ctx)
			}
		}
	}
	p.counted(kind, deleted)
	if err != nil {
		return fmt.Errorf("delete %d of %d %s objects: %w", len(todo)-int(deleted), len(todo), kind, err)
	}
	return nil
}

func (p *pass) counted(kind string, n uint64) {
	if n > 0 {
		p.conf.Count("slatedb.gc.deleted_count", n, "resource", kind)
	}
}

// unsupported is why a kind is not deleted on a store without conditional overwrite.
const unsupported = "boundary not advanced: the store cannot overwrite conditionally (DisableBoundaryFiles works without)"

// raise raises the boundary file to the largest number that is to be deleted. What it does not
// cover stays: a process that slept might write that number again and take it for a success.
func (p *pass) raise(ctx context.Context, kind string, b *manifest.Boundary, ds []Decision) error {
	to := largest(ds, 0)
	if to == 0 {
		return nil
	}
	err := p.advance(ctx, b, to)
	if errors.Is(err, objstore.ErrNotSupported) {
		// The file could be created once. What lies below that may go.
		if !p.warned[kind] {
			p.warned[kind] = true
			p.conf.Logger.Warn("slatedb: gc cannot advance a boundary file on this store; set DisableBoundaryFiles and a MinAge longer than any process may sleep",
				"path", p.conf.Root, "kind", kind, "boundary", b.Key())
		}
		covered := uint64(0)
		dead, rerr := b.Read(ctx)
		if rerr != nil {
			err = rerr
		} else {
			err = nil
			if n := largest(ds, dead); dead > 0 && n > 0 && p.advance(ctx, b, n) == nil {
				covered = n
			}
		}
		keepAbove(ds, covered, unsupported)
	}
	if err != nil {
		keepAbove(ds, 0, "boundary not advanced: "+err.Error())
		return err
	}
	return nil
}

// largest returns the largest number to be deleted, not above limit unless that is 0.
func largest(ds []Decision, limit uint64) (n uint64) {
	for i := range ds {
		if d := &ds[i]; d.Delete && (limit == 0 || d.ID <= limit) {
			n = max(n, d.ID)
		}
	}
	return n
}

func keepAbove(ds []Decision, limit uint64, reason string) {
	for i := range ds {
		if d := &ds[i]; d.Delete && d.ID > limit {
			d.keep(reason)
		}
	}
}

// advance is Boundary.Advance, which reads before it writes: when the outcome of the write is
// unknown, the next one finds out.
func (p *pass) advance(ctx context.Context, b *manifest.Boundary, to uint64) (err error) {
	const tries = 3 // arbitrary
	for range tries {
		if err = b.Advance(ctx, to); !errors.Is(err, kv.ErrOutcomeUnknown) {
			return err
		}
	}
	return err
}

// detach removes, for every parent that is to be detached, first our checkpoint from it and
// then its entry from our manifest. A crash in between repeats the first step, which finds
// nothing to do; the other way round nobody would know of the checkpoint any more.
func (p *pass) detach(ctx context.Context, ds []Decision) error {
	var gone []manifest.ExternalDB
	var firstErr error
	for i := range ds {
		d := &ds[i]
		if !d.Delete {
			continue
		}
		e := p.state.Manifest.External[i]
		p.conf.Logger.Debug("slatedb: gc detaches", "path", p.conf.Root, "parent", e.Path, "checkpoint", e.FinalCheckpoint, "reason", d.Reason)
		if err := p.unpin(ctx, &e); err != nil {
			d.keep("checkpoint not removed: " + err.Error())
			if firstErr == nil {
				firstErr = err
			}
			continue
		}
		gone = append(gone, e)
	}
	if len(gone) == 0 {
		return firstErr
	}
	p.conf.Env.Point("gc.parents-unpinned")
	_, err := p.conf.Manifests.Update(ctx, func(m *manifest.Manifest) error {
		before := len(m.External)
		m.External = slices.DeleteFunc(slices.Clone(m.External), func(e manifest.ExternalDB) bool {
			return len(e.Tables) == 0 && slices.ContainsFunc(gone, func(g manifest.ExternalDB) bool {
				return g.Path == e.Path && g.FinalCheckpoint == e.FinalCheckpoint
			})
		})
		if len(m.External) == before {
			return manifest.ErrUnchanged
		}
		return nil
	})
	if err != nil {
		for i := range ds {
			if ds[i].Delete {
				ds[i].keep("entry not removed: " + err.Error())
			}
		}
		return errors.Join(firstErr, fmt.Errorf("detach parents: %w", err))
	}
	p.counted(KindDetach, uint64(len(gone)))
	return firstErr
}

// unpin removes the clone's checkpoint from a parent. A parent that is gone has none.
func (p *pass) unpin(ctx context.Context, e *manifest.ExternalDB) error {
	// The path was written by somebody else.
	if err := objstore.ValidPath(e.Path); err != nil {
		return fmt.Errorf("parent: %w", err)
	}
	parent := manifest.NewStore(p.conf.Objects, e.Path, p.conf.Env)
	_, err := parent.Update(ctx, func(m *manifest.Manifest) error {
		before := len(m.Checkpoints)
		m.Checkpoints = slices.DeleteFunc(slices.Clone(m.Checkpoints), func(c manifest.Checkpoint) bool { return c.ID == e.FinalCheckpoint })
		if len(m.Checkpoints) == before {
			return manifest.ErrUnchanged
		}
		return nil
	})
	if err != nil && !errors.Is(err, manifest.ErrNoDatabase) {
		return fmt.Errorf("remove checkpoint %s from parent %q: %w", e.FinalCheckpoint, e.Path, err)
	}
	return nil
}
