package sst

import (
	"context"
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

// A request reads one span of a table for the parts in it and tells the outcome to all who
// wait. It knows nothing of its callers.
type request struct {
	s      *Store
	off, n uint64
	wants  []want // of one table, ascending: blocks, or the metadata alone
	done   int    // how many of them have their outcome
}

// run reads and finishes every part, whatever happens on the way.
func (q *request) run(ctx context.Context) {
	err := seam.Guard("sst.fetch", func() error { return q.read(ctx) })
	if err == nil {
		return
	}
	if _, ok := err.(*seam.PanicError); ok {
		err = fmt.Errorf("read %s: %w: %w", q.wants[0].r.object, kv.ErrInternal, err)
	}
	for q.done < len(q.wants) {
		q.finish(Loaded{}, err)
	}
}

func (q *request) read(ctx context.Context) error {
	s, r := q.s, q.wants[0].r
	if err := acquire(ctx, s.slots); err != nil {
		return s.readError(ctx, r, q.off, err)
	}
	defer func() { <-s.slots }()
	var p *[]byte
	if q.n <= maxPooledBuffer {
		p = s.buffer(int(q.n))
		defer s.putBuffer(p)
	} else {
		p = new([]byte)
	}
	span, err := s.readSpan(ctx, s.objects, r, q.off, q.n, *p)
	if err != nil {
		return err
	}
	for q.done < len(q.wants) {
		t := &q.wants[q.done]
		// The buffer goes back, so blocks own their bytes.
		v, err := r.open(ctx, t.i, t.off, span[t.off-q.off:][:t.n], true)
		q.finish(v, err)
	}
	return nil
}

// finish tells the outcome of the next part.
func (q *request) finish(v Loaded, err error) {
	t := &q.wants[q.done]
	q.done++
	if err != nil && t.shared && !errors.Is(err, errStopped) {
		q.s.counters.loadErrors.Add(1)
	}
	if !t.shared {
		t.load.Resolve(v, err)
		return
	}
	if v.Meta != nil {
		t.r.cells.Size(v.Meta.Index.Len())
	}
	q.s.cache.Finish(t.r.cells, t.i, t.load, v, err, t.admit)
}

// Warm reads the metadata of many tables, in parallel, as far as the cache has room for it;
// earlier readers come first. Without a cache it does nothing.
func (s *Store) Warm(ctx context.Context, rs []*Reader) error {
	if s.cache == nil {
		return nil
	}
	var todo []*Reader
	room := int64(-1)
	if c, ok := s.cache.(interface{ MetaBudget() int64 }); ok {
		room = c.MetaBudget()
	}
	for _, r := range rs {
		if room >= 0 {
			_, n, err := r.section(nil, MetaBlock)
			if err != nil {
				return err
			}
			// Decoded it is about as large as stored; compressed tables will be a bit more.
			if room -= int64(n); room < 0 {
				break
			}
		}
		if r.meta() == nil {
			todo = append(todo, r)
		}
	}
	// In portions, so that a database of very many tables does not start a goroutine for
	// each at once.
	for portion := 2 * cap(s.slots); len(todo) > 0; {
		n := min(portion, len(todo))
		w := wave{s: s}
		for _, r := range todo[:n] {
			if err := w.add(r, nil, MetaBlock); err != nil {
				return err
			}
		}
		w.start(ctx)
		for i := range w.wants {
			if _, err := w.wait(ctx, i); err != nil {
				return err
			}
		}
		todo = todo[n:]
	}
	return nil
}
