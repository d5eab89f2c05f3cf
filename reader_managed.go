package slatedb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// A lease is a checkpoint of a managed reader. The current one protects the state that reads
// use; older ones stay for the iterators that were opened on their state.
type lease struct {
	id       uuid.UUID
	manifest uint64    // the version it pins
	expire   time.Time // as stored
	open     int       // iterators on it
	lost     bool      // it is gone while it was needed
}

// leases are the checkpoints of one reader.
type leases struct {
	life time.Duration
	mu   struct {
		sync.Mutex
		list    []*lease // also those of which it is not known whether they were stored
		current *lease   // nil before the first
	}
}

// acquire counts an iterator on the state of a manifest.
func (s *leases) acquire(manifest uint64) *lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.mu.list {
		if l.manifest == manifest {
			l.open++
			return l
		}
	}
	return &lease{lost: true, open: 1} // the state was replaced this very moment
}

func (s *leases) release(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.open--
}

// current returns the id of the checkpoint that protects the state, zero before the first.
func (s *leases) current() uuid.UUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.current == nil {
		return uuid.Nil
	}
	return s.mu.current.id
}

// wanted reports whether the manifest must be written: a lease is past half of its life (or
// would be too close to its end at the next look), or one is left that nobody uses.
func (s *leases) wanted(now time.Time, every time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.mu.list {
		left := l.expire.Sub(now)
		if l != s.mu.current && l.open == 0 || !l.lost && (left <= s.life/2 || left <= every+every/2) {
			return true
		}
	}
	return false
}

// add remembers a lease before it is asked for, so that Close removes it whatever came of it.
func (s *leases) add(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.list = append(s.mu.list, l)
}

// write brings the checkpoints of m in line: next, when not nil, is added and takes the place
// of the current one; what is in use is renewed; the rest goes.
func (s *leases) write(m *manifest.Manifest, now time.Time, next *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.mu.list {
		c := m.Checkpoint(l.id)
		switch {
		case l == next || c == nil:
		case l.open > 0 || next == nil && l == s.mu.current:
			c.ExpireTime = expireTime(now, s.life)
		default:
			_ = removeCheckpoint(m, l.id)
		}
	}
	if next != nil {
		m.Checkpoints = append(m.Checkpoints, Checkpoint{
			ID: next.id, ManifestID: m.ID + 1, CreateTime: second(now), ExpireTime: expireTime(now, s.life),
		})
	}
}

// learn takes over what the stored manifest m says. next, when not nil and in it, becomes the
// current lease.
func (s *leases) learn(m *manifest.Manifest, next *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.mu.list {
		if c := m.Checkpoint(l.id); c != nil {
			l.manifest, l.expire = c.ManifestID, c.ExpireTime
			if l == next {
				s.mu.current = l
			}
		} else {
			l.lost = true
		}
	}
	s.mu.list = slices.DeleteFunc(s.mu.list, func(l *lease) bool { return l.lost && l.open == 0 && l != s.mu.current })
}

// refreshManaged moves the state and its checkpoint to the latest tables, or, when these are
// the same, along the log. The state is ready before the checkpoint is written, and swapped
// after it; when the lease was lost this is also how the reader comes back.
func (r *Reader) refreshManaged(ctx context.Context) error {
	for range refreshRounds {
		m, err := r.manifests.Latest(ctx)
		if err != nil {
			return err
		}
		r.leases.learn(m, nil)
		old := r.state.Load()
		if old != nil && m.Checkpoint(r.leases.current()) != nil && sameTables(old.man, m) {
			if err := r.tendLeases(ctx); errors.Is(err, errMoved) {
				continue
			} else if err != nil {
				return err
			}
			p, err := r.prepare(ctx, old.man, 0)
			if err != nil {
				return err
			}
			if p.last > r.durable.Load() || p.consumed > r.consumed {
				r.show(p)
			}
			return nil
		}
		p, err := r.prepare(ctx, m, 0)
		if err != nil {
			return err
		}
		if old != nil && p.last < r.durable.Load() {
			continue // the log was collected while we read it: a newer manifest has its rows
		}
		if p.st.man, err = r.pin(ctx, m); errors.Is(err, errMoved) {
			continue
		} else if err != nil {
			return err
		}
		r.show(p)
		return nil
	}
	if r.state.Load() == nil {
		return fmt.Errorf("%w: the database changes faster than a checkpoint can be written", ErrUnavailable)
	}
	return r.behind()
}

// pin writes a new checkpoint in place of the current one, on a manifest with the tables of
// base; errMoved when these are not the newest any more.
func (r *Reader) pin(ctx context.Context, base *manifest.Manifest) (*manifest.Manifest, error) {
	next := &lease{id: r.conf.env.UUID()}
	r.leases.add(next)
	m, err := r.manifests.Update(ctx, func(m *manifest.Manifest) error {
		if !sameTables(base, m) {
			return errMoved
		}
		r.leases.write(m, r.conf.env.Clock.Now(), next)
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.leases.learn(m, next)
	return m, nil
}

// tendLeases renews the leases when that is due; errMoved when the current one is gone.
func (r *Reader) tendLeases(ctx context.Context) error {
	if !r.leases.wanted(r.conf.env.Clock.Now(), r.slowest()) {
		return nil
	}
	m, err := r.manifests.Update(ctx, func(m *manifest.Manifest) error {
		if m.Checkpoint(r.leases.current()) == nil {
			return errMoved
		}
		r.leases.write(m, r.conf.env.Clock.Now(), nil)
		return nil
	})
	if err == nil {
		r.leases.learn(m, nil)
	}
	return err
}

// keepLease is what a managed reader without polling does in the background.
func (r *Reader) keepLease(ctx context.Context) error {
	m, err := r.manifests.Latest(ctx)
	if err != nil {
		return err
	}
	r.leases.learn(m, nil)
	if err := r.tendLeases(ctx); !errors.Is(err, errMoved) {
		return err
	}
	return r.refreshManaged(ctx)
}

// dropLeases removes the checkpoints at Close.
func (r *Reader) dropLeases(ctx context.Context) error {
	r.leases.mu.Lock()
	list := slices.Clone(r.leases.mu.list)
	r.leases.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	tctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	_, err := update(tctx, r.manifests, func(m *manifest.Manifest) error {
		err := manifest.ErrUnchanged
		for _, l := range list {
			if removeCheckpoint(m, l.id) == nil {
				err = nil
			}
		}
		return err
	})
	r.leases.mu.Lock()
	for _, l := range list {
		l.lost = true
	}
	r.leases.mu.Unlock()
	switch {
	case err == nil, errors.Is(err, ErrNoDatabase):
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("remove the reader's checkpoint: %w", notWithin(ctx, closeTimeout, err))
}

// missing reports whether a read met an object that is not there.
func missing(err error) bool {
	return err != nil && err != ErrNotFound && errors.Is(err, objstore.ErrNotFound)
}

// leaseLost says of a read that met a missing object whether the checkpoint that should have
// kept the object is gone; then it is ErrLeaseLost, else the object is really missing.
func (r *Reader) leaseLost(ctx context.Context, l *lease, err error) error {
	r.leases.mu.Lock()
	lost := l.lost || !l.expire.After(r.conf.env.Clock.Now())
	r.leases.mu.Unlock()
	if !lost {
		m, merr := r.manifests.Latest(ctx)
		lost = merr == nil && m.Checkpoint(l.id) == nil
	}
	if !lost {
		return err
	}
	return fmt.Errorf("%w: %v", ErrLeaseLost, err)
}
