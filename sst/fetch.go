package sst

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// FetchOptions say what to do with what is fetched.
type FetchOptions struct {
	// Fill puts data blocks into the cache. Metadata is always put there.
	Fill bool
}

// Fetch reads what the lookups miss, in one wave of parallel requests, and pins it in them.
// Neighbouring blocks of a table come in one request, and what somebody else is reading
// already is waited for. When it returns an error, the lookups hold what arrived before it;
// asking the tables again records anew what is missing.
func (s *Store) Fetch(ctx context.Context, o FetchOptions, ls ...*Lookup) error {
	for _, l := range ls {
		l.tally.clear() // every table is asked again, and counts then
	}
	if len(ls) == 1 && len(ls[0].needs) == 1 {
		l, n := ls[0], ls[0].needs[0]
		l.needs = l.needs[:0]
		v, err := s.loadOne(ctx, n.r, n.m, n.i, o.Fill)
		if err == nil {
			l.pins = append(l.pins, pin{n.r.cells, n.i, v})
		}
		return err
	}
	type owned struct {
		need
		l *Lookup
	}
	var all []owned
	for _, l := range ls {
		for _, n := range l.needs {
			all = append(all, owned{n, l})
		}
		l.needs = l.needs[:0]
	}
	slices.SortStableFunc(all, func(a, b owned) int {
		if c := strings.Compare(a.r.object, b.r.object); c != 0 {
			return c
		}
		return cmp.Compare(a.i, b.i)
	})
	w := wave{s: s, fill: o.Fill}
	for k := range all {
		if n := all[k].need; k == 0 || n.i != all[k-1].i || n.r.object != all[k-1].r.object {
			if err := w.add(n.r, n.m, n.i); err != nil {
				return err // nothing is under way yet
			}
		}
	}
	w.start(ctx)
	k := 0
	for i := range w.wants {
		v, err := w.wait(ctx, i)
		if err != nil {
			return err
		}
		for first := k; k < len(all) && all[k].i == all[first].i && all[k].r.object == all[first].r.object; k++ {
			all[k].l.pins = append(all[k].l.pins, pin{all[k].r.cells, all[k].i, v})
		}
	}
	return nil
}

// loadOne reads one part of a table through the cache.
func (s *Store) loadOne(ctx context.Context, r *Reader, m *Meta, i int, fill bool) (Loaded, error) {
	w := wave{s: s, fill: fill}
	if err := w.add(r, m, i); err != nil {
		return Loaded{}, err
	}
	w.start(ctx)
	return w.wait(ctx, 0)
}

// A wave is a set of parts that are read at once. add all, sorted by object and part; start;
// then wait for each.
type wave struct {
	s     *Store
	fill  bool
	wants []want
}

// A want is one part, a block or the metadata, that somebody waits for.
type want struct {
	r      *Reader
	m      *Meta
	i      int
	off, n uint64
	admit  bool

	load   *Load // nil: v is there
	shared bool  // load is known to the cache, which must be told the outcome
	v      Loaded
	to     *Iter // the source of a scan that asked, if one did
}

func (w *wave) add(r *Reader, m *Meta, i int) error {
	off, n, err := r.section(m, i)
	if err != nil {
		return err
	}
	w.wants = append(w.wants, want{r: r, m: m, i: i, off: off, n: n, admit: w.fill || i == MetaBlock})
	return nil
}

// join finds out whether the part is there, is being read, or is for us to read.
func (w *want) join(s *Store) (lead bool) {
	w.load, w.shared = nil, false
	if s.cache == nil || s.stopped() {
		w.load = NewLoad()
		return true
	}
	w.load, lead = s.cache.Join(w.r.cells, w.i)
	w.shared = lead
	return lead
}

// cached looks into the cell.
func (w *want) cached() bool {
	if w.i == MetaBlock {
		w.v.Meta = w.r.meta()
		return w.v.Meta != nil
	}
	w.v.Block = w.r.cells.Block(w.i)
	return w.v.Block != nil
}

// maxGap: blocks of a table that lie no further apart come in one request; what lies between
// is read for nothing, which is cheaper than a request.
const maxGap = 8 << 10

// maxSpan bounds such a request. Larger ones would only delay the first block.
const maxSpan = 1 << 20

// start sends the requests for what is neither cached nor under way.
func (w *wave) start(ctx context.Context) {
	for _, q := range w.requests() {
		w.s.launch(ctx, q, len(w.wants) == 1)
	}
}

// launch runs a request: inline when nobody could tell the difference, otherwise detached
// from ctx's end, since others may wait for it as well.
func (s *Store) launch(ctx context.Context, q *request, alone bool) {
	switch {
	case s.stopped():
		q.run(ctx)
	case alone && ctx.Done() == nil:
		q.run(s.detached(ctx))
	default:
		d := s.detached(ctx)
		s.env.Spawn("sst.fetch", func() { q.run(d) })
	}
}

// requests joins all parts and groups those that are ours.
func (w *wave) requests() (qs []*request) {
	var q *request
	for i := range w.wants {
		t := &w.wants[i]
		if t.load != nil || t.cached() || !t.join(w.s) {
			continue
		}
		if q != nil && t.i != MetaBlock && q.wants[0].i != MetaBlock && q.wants[0].r.object == t.r.object &&
			t.off >= q.off+q.n && t.off-(q.off+q.n) <= maxGap && t.off+t.n-q.off <= maxSpan {
			q.n = t.off + t.n - q.off
		} else {
			q = &request{s: w.s, off: t.off, n: t.n}
			qs = append(qs, q)
		}
		// A copy: the request goes on when the caller, and with it the wave, has left.
		q.wants = append(q.wants, *t)
	}
	return qs
}

// wait returns part i. A request that the end of some store's lifetime cut off is made
// again: by the next one that shares the cache, or by ourselves when it was ours that ended.
func (w *wave) wait(ctx context.Context, i int) (Loaded, error) {
	t := &w.wants[i]
	for range maxRejoins {
		if t.load == nil {
			return t.v, nil
		}
		v, err := t.load.Wait(ctx)
		if err == nil {
			return v, nil
		}
		if ctx.Err() != nil && (err == ctx.Err() || errors.Is(err, errStopped)) {
			return Loaded{}, fmt.Errorf("read %s: %w", t.r.object, ctx.Err())
		}
		if !errors.Is(err, errStopped) {
			return Loaded{}, err
		}
		t.load = nil
		again := wave{s: w.s, wants: []want{*t}}
		again.start(ctx)
		*t = again.wants[0]
	}
	return Loaded{}, fmt.Errorf("read %s: %w: cut off %d times", t.r.object, kv.ErrUnavailable, maxRejoins)
}

// maxRejoins is arbitrary: each time a store that shared the cache was closed in the middle of
// a request.
const maxRejoins = 16
