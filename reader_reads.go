package slatedb

import (
	"context"
	"iter"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// The reads of a Reader are those of every handle, and two things more: a point read that
// meets an object which was collected since is done again on newer tables, and an iterator of
// a managed reader holds on to the lease of its state.

// again does a read once more after it met a missing object, on a state newer than st.
func again[T any](ctx context.Context, r *Reader, st *state, err error, f func() (T, error)) (T, error) {
	var none T
	if r.mode == PinnedCheckpoint {
		return none, err
	}
	if r.state.Load() == st {
		if rerr := r.Refresh(ctx); rerr != nil && ctx.Err() != nil {
			return none, ctx.Err()
		}
	}
	if r.state.Load() != st {
		v, err2 := f()
		if !missing(err2) {
			return v, err2
		}
		err = err2
	}
	if r.mode == ManagedCheckpoint {
		l := r.leases.acquire(r.state.Load().man.ID)
		defer r.leases.release(l)
		err = r.leaseLost(ctx, l, err)
	}
	return none, err
}

// Get is DB.Get on durable rows; the other reads likewise.
func (r *Reader) Get(ctx context.Context, key []byte) ([]byte, error) {
	return r.AppendGet(ctx, nil, key, nil)
}

// GetWithOptions is Get with options; Durability and Dirty make no difference here.
func (r *Reader) GetWithOptions(ctx context.Context, key []byte, o *ReadOptions) ([]byte, error) {
	return r.AppendGet(ctx, nil, key, o)
}

// AppendGet is DB.AppendGet.
func (r *Reader) AppendGet(ctx context.Context, dst, key []byte, o *ReadOptions) ([]byte, error) {
	st := r.state.Load()
	v, err := r.getWith(ctx, dst, key, o)
	if missing(err) {
		return again(ctx, r, st, err, func() ([]byte, error) { return r.getWith(ctx, dst, key, o) })
	}
	return v, err
}

// GetEntry is DB.GetEntry.
func (r *Reader) GetEntry(ctx context.Context, key []byte, o *ReadOptions) (Entry, error) {
	st := r.state.Load()
	e, err := r.getEntryWith(ctx, key, o)
	if missing(err) {
		return again(ctx, r, st, err, func() (Entry, error) { return r.getEntryWith(ctx, key, o) })
	}
	return e, err
}

// Has is DB.Has.
func (r *Reader) Has(ctx context.Context, key []byte) (bool, error) {
	st := r.state.Load()
	ok, err := r.hasWith(ctx, key)
	if missing(err) {
		return again(ctx, r, st, err, func() (bool, error) { return r.hasWith(ctx, key) })
	}
	return ok, err
}

// MultiGet is DB.MultiGet.
func (r *Reader) MultiGet(ctx context.Context, keys [][]byte, o *ReadOptions) ([][]byte, error) {
	st := r.state.Load()
	vs, err := r.multiGetWith(ctx, keys, o)
	if missing(err) {
		return again(ctx, r, st, err, func() ([][]byte, error) { return r.multiGetWith(ctx, keys, o) })
	}
	return vs, err
}

// Scan is DB.Scan.
func (r *Reader) Scan(ctx context.Context, start, end []byte) (*Iterator, error) {
	return r.ScanWithOptions(ctx, Range{Start: start, End: end}, nil)
}

// ScanPrefix is DB.ScanPrefix.
func (r *Reader) ScanPrefix(ctx context.Context, prefix []byte) (*Iterator, error) {
	return r.ScanWithOptions(ctx, Prefix(prefix), nil)
}

// ScanWithOptions is DB.ScanWithOptions. The iterator of a managed reader keeps what it reads
// until it is closed. When the reader could not renew its checkpoint and an object was
// collected, the iterator ends with ErrLeaseLost; a new one works on newer tables.
func (r *Reader) ScanWithOptions(ctx context.Context, rng Range, o *ScanOptions) (*Iterator, error) {
	if r.mode != ManagedCheckpoint {
		return r.scanWith(ctx, rng, o)
	}
	for {
		st := r.state.Load()
		l := r.leases.acquire(st.man.ID)
		it, err := r.scanWith(ctx, rng, o)
		if err != nil {
			r.leases.release(l)
			return nil, err
		}
		if now := r.state.Load(); now == st || now.man.ID == st.man.ID {
			it.src = &leased{Iterator: it.src, ctx: ctx, r: r, l: l}
			return it, nil
		}
		// The state was swapped in between: which one the iterator has is not known.
		_ = it.Close()
		r.leases.release(l)
	}
}

// Entries is DB.Entries.
func (r *Reader) Entries(ctx context.Context, rng Range, o *ScanOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		it, err := r.ScanWithOptions(ctx, rng, o)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer it.Close()
		for it.Next() {
			if !yield(it.Entry(), nil) {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield(Entry{}, err)
		}
	}
}

// leased is the source of an iterator that uses a lease.
type leased struct {
	kv.Iterator
	ctx context.Context // of the scan, which governs the iterator
	r   *Reader
	l   *lease // nil after Close
	err error  // what a missing object means
}

// Err is the source's error, with ErrLeaseLost in place of an object that the lease no longer
// kept.
func (i *leased) Err() error { return i.explain(i.Iterator.Err()) }

func (i *leased) explain(err error) error {
	if i.err == nil && i.l != nil && missing(err) {
		i.err = i.r.leaseLost(i.ctx, i.l, err)
	}
	if i.err != nil {
		return i.err
	}
	return err
}

// Close lets go of the lease.
func (i *leased) Close() error {
	err := i.explain(i.Iterator.Close())
	if i.l != nil {
		i.r.leases.release(i.l)
		i.l = nil
	}
	return err
}
