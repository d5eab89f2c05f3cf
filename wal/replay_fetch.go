package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

const (
	defaultAhead = 8
	// aheadBytes is the default of ReplayOptions.MaxBytes. Sizes are not known before the bodies are here (asking
	// would cost a request each), so recent ones stand for those to come.
	aheadBytes = 32 << 20
	// firstAhead objects are fetched at once before any size is known.
	firstAhead = 2
)

// A loaded object has been fetched and checked, or could not be.
type loaded struct {
	id       uint64
	err      error
	size     int
	rows     int
	min, max kv.Seq
	object   *sst.Object // nil: a fence
	sorted   []kv.Entry  // set instead when the rows do not stand in commit order
}

// A fetcher loads objects ahead of their use and hands them out in order.
type fetcher struct {
	o      ReplayOptions
	store  objstore.Store
	ctx    context.Context
	cancel context.CancelFunc

	ahead   uint64        // id to begin next
	pending []chan loaded // begun, oldest first
	window  int           // how many may be pending
	largest int           // recent sizes, fading

	primed chan struct{} // closed when prefetch leaves the fetcher alone, nil when it does
}

func (f *fetcher) init(ctx context.Context, s objstore.Store, o ReplayOptions) {
	f.o, f.store, f.ahead = o, s, o.From
	f.ctx, f.cancel = context.WithCancel(ctx)
	f.window = min(firstAhead, o.Ahead)
	if o.Tail {
		f.window = 1
	}
}

// prefetch begins with as many objects as may be held. It learns their sizes from the first.
func (f *fetcher) prefetch() {
	f.settle()
	f.fill()
	if len(f.pending) == 0 {
		return
	}
	primed := make(chan struct{})
	f.primed = primed
	f.o.Env.Spawn("wal prefetch", func() {
		defer close(primed)
		for _, ch := range f.pending {
			l := <-ch
			ch <- l
			if f.largest = max(f.largest, l.size); l.err != nil {
				return
			}
		}
		f.window = max(1, min(f.o.Ahead, aheadBytes/max(1, f.largest)))
		f.fill()
	})
}

// settle waits until prefetch leaves the fetcher alone, which is when the first objects are here.
func (f *fetcher) settle() {
	if f.primed != nil {
		<-f.primed
		f.primed = nil
	}
}

// next waits for the next object. It is not called past the end or after an error.
func (f *fetcher) next() loaded {
	f.settle()
	f.fill()
	l := <-f.pending[0]
	f.pending = slices.Delete(f.pending, 0, 1)
	f.largest = max(l.size, f.largest-f.largest/8)
	grown := 2 * f.window
	if f.o.Tail && l.id == f.o.From {
		grown = 1 // the first one may well be the last
	}
	f.window = max(1, min(f.o.Ahead, grown, f.o.MaxBytes/max(1, f.largest)))
	if l.err == nil {
		f.fill() // while the caller works
	}
	return l
}

func (f *fetcher) fill() {
	for len(f.pending) < f.window && f.ahead <= f.o.To && f.ahead != 0 {
		id, ch := f.ahead, make(chan loaded, 1)
		f.ahead++ // 0 after the last number there is
		f.pending = append(f.pending, ch)
		f.o.Env.Spawn("wal replay", func() {
			l := loaded{id: id}
			if err := seam.Guard("wal replay", func() error { l = f.load(id); return nil }); err != nil {
				l.err = fmt.Errorf("replay object %d: %w: %w", id, kv.ErrInternal, err)
			}
			ch <- l
		})
	}
}

func (f *fetcher) close() {
	f.cancel()
	f.settle()
	for _, ch := range f.pending {
		<-ch
	}
	f.pending = nil
}

// load fetches and checks one object. What is damaged is fetched once more, in case a cache
// or the network did it, before the damage is reported.
func (f *fetcher) load(id uint64) loaded {
	l := f.loadOnce(id)
	if errors.Is(l.err, kv.ErrCorrupt) && l.size >= 0 {
		if again := f.loadOnce(id); again.err == nil || errors.Is(again.err, kv.ErrCorrupt) {
			return again
		}
	}
	return l
}

func (f *fetcher) loadOnce(id uint64) loaded {
	name := sst.WALID(id).Object(f.o.Root)
	l := loaded{id: id}
	obj, err := f.store.Get(f.ctx, name)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		l.err, l.size = &TruncatedError{ID: id, Object: name}, -1
		return l
	case err != nil:
		l.err = requestError(f.ctx, "replay", name, err)
		return l
	}
	l.size = len(obj.Body)
	if int64(l.size) < obj.Size {
		// A short read of a data object must not pass for a fence.
		l.err = sst.Corrupt(name, -1, fmt.Errorf("%w: got %d bytes of %d", kv.ErrCorrupt, l.size, obj.Size))
		return l
	}
	if l.size == 0 {
		return l
	}
	if l.object, l.err = sst.OpenObject(name, obj.Body, f.o.Transformer); l.err == nil {
		l.err = l.check()
	}
	return l
}

// check walks all rows. Releases up to 0.10 sorted them by key; such an object is put into
// commit order here, in memory, the keys of a batch staying in order.
func (l *loaded) check() error {
	ordered, prev := true, kv.Seq(0)
	it := l.object.Rows()
	for it.Next() {
		seq := it.Entry().Seq
		if l.rows == 0 || seq < l.min {
			l.min = seq
		}
		l.max = max(l.max, seq)
		ordered = ordered && seq >= prev
		prev = seq
		l.rows++
	}
	if err := it.Err(); err != nil || ordered {
		return err
	}
	l.sorted = make([]kv.Entry, 0, l.rows)
	for it = l.object.Rows(); it.Next(); {
		l.sorted = append(l.sorted, *it.Entry())
	}
	slices.SortStableFunc(l.sorted, func(a, b kv.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	return it.Err()
}
