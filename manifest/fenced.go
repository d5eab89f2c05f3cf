package manifest

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/sst"
)

// role is a part of which there must be one at a time.
type role struct {
	name  string
	epoch func(*Manifest) *uint64
}

var (
	writerRole    = role{"writer", func(m *Manifest) *uint64 { return &m.WriterEpoch }}
	compactorRole = role{"compactor", func(m *Manifest) *uint64 { return &m.CompactorEpoch }}
)

// A Fenced is a claimed role. It works until another process claims the same role; from then
// on every call returns kv.ErrFenced.
type Fenced struct {
	store *Store
	role  role
	epoch uint64
	lost  atomic.Bool
	proof proof
}

// AcquireOptions of AcquireWriter and AcquireCompactor.
type AcquireOptions struct {
	// ExpectedEpoch, when set, refuses with kv.ErrFenced unless the stored epoch is exactly
	// this one. The claim then has the next one.
	ExpectedEpoch *uint64
	// Check, when set, looks at the version that the claim is made on, each time it is tried
	// (options that do not fit, a half-made clone). Its error ends the claim and is returned.
	Check func(*Manifest) error
}

// AcquireWriter claims the writer's role. It writes one version. Against processes that are
// always faster it gives up after the claim timeout with kv.ErrUnavailable.
func (s *Store) AcquireWriter(ctx context.Context, o AcquireOptions) (*Fenced, error) {
	return s.acquireRole(ctx, writerRole, o)
}

// AcquireCompactor claims the compactor's role, as AcquireWriter does the writer's.
func (s *Store) AcquireCompactor(ctx context.Context, o AcquireOptions) (*Fenced, error) {
	return s.acquireRole(ctx, compactorRole, o)
}

func (s *Store) acquireRole(ctx context.Context, r role, o AcquireOptions) (*Fenced, error) {
	f := &Fenced{store: s, role: r, proof: proof{at: s.env.Clock.Now()}}
	caller := ctx
	ctx, stop := withTimeout(ctx, s.env, "manifest.claim-timeout", s.claimTimeout)
	defer stop()
	var err error
	if o.ExpectedEpoch != nil {
		// A wrong epoch is only said of what is stored now. A claim without that condition
		// may start from what is cached: its PUT meets a conflict when that is old.
		_, err = s.seq.latest(ctx)
	}
	if err == nil {
		_, err = s.seq.update(ctx, func(next *Manifest) error {
			epoch := r.epoch(next)
			if o.ExpectedEpoch != nil && *epoch != *o.ExpectedEpoch {
				return fmt.Errorf("%s epoch is %d, want %d: %w", r.name, *epoch, *o.ExpectedEpoch, kv.ErrFenced)
			}
			if o.Check != nil {
				if err := o.Check(next); err != nil {
					return err
				}
			}
			if *epoch == math.MaxUint64 {
				return sst.Corrupt(s.seq.key(next.ID), -1, contentf("no %s epoch is left", r.name))
			}
			*epoch++
			f.epoch = *epoch
			next.TrimExternal()
			s.env.Point("manifest.claim")
			return nil
		})
	}
	if err != nil {
		if caller.Err() == nil && ctx.Err() != nil {
			// The caller has cancelled nothing, so no error may say so: only the text of the
			// last one is kept.
			err = fmt.Errorf("%w: %v", context.Cause(ctx), err)
		}
		return nil, fmt.Errorf("claim %s: %w", r.name, err)
	}
	return f, nil
}

// Epoch returns the claimed epoch.
func (f *Fenced) Epoch() uint64 { return f.epoch }

// Store returns the store on which the role was claimed.
func (f *Fenced) Store() *Store { return f.store }

// Current returns the newest version known to this process, without a request. It holds the
// updates of both roles of the same Store, and is never nil.
func (f *Fenced) Current() *Manifest { return f.store.Known() }

// Refresh reads the newest version and proves that the role is still ours.
func (f *Fenced) Refresh(ctx context.Context) (*Manifest, error) {
	if f.lost.Load() {
		return nil, f.fenced()
	}
	return f.ask(ctx, f.store.seq.latest)
}

// ask checks what a look finds.
func (f *Fenced) ask(ctx context.Context, look func(context.Context) (*Manifest, error)) (*Manifest, error) {
	begin := f.store.env.Clock.Now()
	m, err := look(ctx)
	if err == nil {
		err = f.check(m)
	}
	if err != nil {
		return nil, err
	}
	f.proof.extend(begin, f.store.env.Clock.Now())
	return m, nil
}

// Look is a cheaper Refresh for polls: one request when there is nothing new. It asks for the
// version behind the newest one known only, so it misses what was written and collected
// between two looks; a Refresh now and then finds that too. Nothing that is written depends
// on either.
func (f *Fenced) Look(ctx context.Context) (*Manifest, error) {
	if f.lost.Load() {
		return nil, f.fenced()
	}
	return f.ask(ctx, f.store.seq.look)
}

// Update applies mutate to the newest version and stores the result, as Store.Update does,
// as long as the role is ours. Tables that nobody uses any more are removed from the lists of
// the external databases.
func (f *Fenced) Update(ctx context.Context, mutate func(*Manifest) error) (*Manifest, error) {
	if f.lost.Load() {
		return nil, f.fenced()
	}
	return f.store.seq.update(ctx, func(next *Manifest) error {
		if err := f.check(next); err != nil {
			return err
		}
		writer, compactor := next.WriterEpoch, next.CompactorEpoch
		if err := mutate(next); err != nil {
			return err
		}
		next.TrimExternal()
		return sameEpochs(next, writer, compactor)
	})
}

// check compares the stored epoch with ours.
func (f *Fenced) check(m *Manifest) error {
	switch stored := *f.role.epoch(m); {
	case stored > f.epoch:
		f.lost.Store(true)
		return f.fenced()
	case stored < f.epoch:
		return sst.Corrupt(f.store.seq.key(m.ID), -1, contentf("%s epoch fell from %d to %d", f.role.name, f.epoch, stored))
	}
	return nil
}

func (f *Fenced) fenced() error {
	return fmt.Errorf("%s epoch %d: %w", f.role.name, f.epoch, kv.ErrFenced)
}

// withTimeout is context.WithTimeout on the clock of env. stop must be called; the watcher
// has returned after it.
func withTimeout(ctx context.Context, env *seam.Env, name string, d time.Duration) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if d <= 0 {
		return ctx, func() { cancel(nil) }
	}
	done := make(chan struct{})
	env.Spawn(name, func() {
		defer close(done)
		if env.Sleep(ctx, d) == nil {
			cancel(fmt.Errorf("no success within %s: %w", d, kv.ErrUnavailable))
		}
	})
	return ctx, func() { cancel(nil); <-done }
}
