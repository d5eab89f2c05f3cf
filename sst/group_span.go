package sst

import (
	"context"
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

// A span is a row of neighbouring blocks of one table that a source holds or has asked for.
// The blocks are opened one by one when the source comes to them.
type span struct {
	r           *Reader
	first, last int    // blocks
	off, n      uint64 // in the object
	entered     bool   // the source has been in it

	done chan struct{} // nil: read by the source itself, so it is there
	buf  []byte        // set before done is closed
	err  error
}

// read fills the span.
func (sp *span) read(ctx context.Context, g *Group) {
	err := seam.Guard("sst.scan", func() error {
		if g.slots != nil {
			if err := acquire(ctx, g.slots); err != nil {
				return g.s.readError(ctx, sp.r, sp.off, err)
			}
			defer func() { <-g.slots }()
		}
		if err := acquire(ctx, g.s.slots); err != nil {
			return g.s.readError(ctx, sp.r, sp.off, err)
		}
		defer func() { <-g.s.slots }()
		buf, err := g.s.readSpan(ctx, g.s.objects, sp.r, sp.off, sp.n, nil)
		sp.buf = buf
		return err
	})
	if _, ok := err.(*seam.PanicError); ok {
		err = fmt.Errorf("read %s: %w: %w", sp.r.object, kv.ErrInternal, err)
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, kv.ErrCorrupt) {
		// Cut off. By whom decides what the waiter does.
		if err = errStopped; g.ctx.Err() != nil {
			err = fmt.Errorf("read %s: %w", sp.r.object, g.ctx.Err())
		}
	}
	sp.err = err
}

// wait returns when the span is there. A request cut off by the end of the store's lifetime,
// or by Group.Close, is made again by the waiter itself.
func (sp *span) wait(g *Group) error {
	if sp.done != nil {
		select {
		case <-sp.done:
		default:
			select {
			case <-sp.done:
			case <-g.ctx.Done():
				return fmt.Errorf("read %s: %w", sp.r.object, g.ctx.Err())
			}
		}
	}
	if sp.err == errStopped {
		sp.done = nil
		sp.read(g.ctx, g)
	}
	return sp.err
}

func (sp *span) holds(i int) bool { return sp.first <= i && i <= sp.last }

// find returns the span that has block i.
func (it *Iter) find(i int) *span {
	for _, sp := range it.spans {
		if sp.holds(i) {
			return sp
		}
	}
	return nil
}

// release lets go of spans that lie behind block i.
func (it *Iter) release(i int) {
	n := 0
	for _, sp := range it.spans {
		if (!it.desc && sp.last < i) || (it.desc && sp.first > i) {
			it.g.s.counters.readAhead.Add(-int64(sp.n))
			continue
		}
		it.spans[n] = sp
		n++
	}
	clear(it.spans[n:])
	it.spans = it.spans[:n]
}

// releaseAll lets go of every span.
func (it *Iter) releaseAll() {
	for _, sp := range it.spans {
		it.g.s.counters.readAhead.Add(-int64(sp.n))
	}
	it.spans = nil
	if it.d != nil {
		it.dropMiddle()
	}
}

// aheadOf returns how many bytes are held or asked for beyond span sp, and the first block
// behind all of them.
func (it *Iter) aheadOf(sp *span) (bytes int, next int) {
	next = sp.last + 1
	if it.desc {
		next = sp.first - 1
	}
	for _, o := range it.spans {
		switch {
		case !it.desc && o.first > sp.last:
			bytes, next = bytes+int(o.n), max(next, o.last+1)
		case it.desc && o.last < sp.first:
			bytes, next = bytes+int(o.n), min(next, o.first-1)
		}
	}
	return bytes, next
}

// widen sets the window of the next demand: a start block and its neighbour first, then
// twice as much each time, while the scan keeps going.
func (it *Iter) widen() {
	if it.window == 0 {
		it.window, it.demands = 1, 0 // a neighbour is added in issue
		if h := it.g.o.RowsHint; h > 0 {
			it.window = max(1, min(h*rowGuess/max(1, len(it.g.members)), it.g.limit()))
		}
		return
	}
	it.demands++
	it.window = max(1, min(2*max(it.window, it.lastIssue), it.g.limit()))
	if it.g.o.RowsHint > 0 && it.sent >= int64(it.g.o.RowsHint)*2*rowGuess {
		it.window = 1 // more than what the scan was announced to need has been read
	}
}

// issue adds requests for blocks from i on, in the scan's direction, until they amount to
// window bytes. Blocks that are cached or held are not asked for, unless they lie in a short
// gap; must says that block i is asked for even so.
func (it *Iter) issue(b *batch, i, window int, must bool) error {
	dir, x := 1, &it.m.Index
	if it.desc {
		dir = -1
	}
	cells := it.v.r.cells.Blocks()
	has := func(i int) bool {
		return (i < len(cells) && cells[i].Load() != nil) || it.find(i) != nil
	}
	chunk := uint64(it.g.chunk(window))
	var sp *span
	var covered uint64 // bytes passed, whether asked for or there already
	least := 1
	if must && it.demands == 0 && it.g.o.ReadAhead >= 0 {
		least = 2 // the neighbour comes in the same request
	}
	issued := 0
	for n := 0; i >= it.lo && i <= it.hi; i, n = i+dir, n+1 {
		if covered >= uint64(max(window, 1)) && n >= least {
			break
		}
		off, size, err := blockSpan(&it.v.r.h.Info, x, i)
		if err != nil {
			if issued > 0 {
				break // reported when the scan comes here
			}
			return it.v.r.damage("index", it.v.r.h.Info.IndexOffset, err)
		}
		if n > 0 && covered >= uint64(max(window, 1)) && size > maxNeighbour {
			break
		}
		covered += size
		if has(i) && !(must && n == 0) {
			continue
		}
		if sp != nil {
			start, end := min(sp.off, off), max(sp.off+sp.n, off+size)
			if gap := end - start - sp.n - size; end-start <= chunk && gap <= maxGap {
				sp.first, sp.last, sp.off, sp.n = min(sp.first, i), max(sp.last, i), start, end-start
				continue
			}
		}
		sp = &span{r: it.v.r, first: i, last: i, off: off, n: size}
		b.spans = append(b.spans, sp)
		issued++
	}
	for _, sp := range b.spans[len(b.spans)-issued:] {
		it.spans = append(it.spans, sp)
		it.g.s.counters.readAhead.Add(int64(sp.n))
		it.sent += int64(sp.n)
	}
	it.lastIssue = int(min(covered, uint64(it.g.limit())))
	return nil
}

// maxNeighbour: a larger block is not read on the chance that the scan comes to it.
const maxNeighbour = 64 << 10

// topUpIfNear asks for more when the source has nothing behind its current block: it would
// be the next to wait.
func (it *Iter) topUpIfNear(b *batch) {
	if it.done {
		return
	}
	if !it.takeMeta() {
		if it.metaWant == nil && !it.done {
			_ = it.askMeta(b) // an error shows again when the source itself asks
		}
		return
	}
	next := it.nextBlock()
	if next < it.lo || next > it.hi || it.find(next) != nil {
		return
	}
	if cells := it.v.r.cells.Blocks(); next < len(cells) && cells[next].Load() != nil {
		return
	}
	it.widen()
	_ = it.issue(b, next, it.window, true)
}

// readAhead is called when the source enters a span: it keeps a window's worth of requests
// under way once the scan has shown that it goes on.
func (it *Iter) readAhead(sp *span) {
	g := it.g
	if it.demands < syncDemands || g.s.stopped() || g.o.ReadAhead < 0 {
		return
	}
	ahead, next := it.aheadOf(sp)
	if ahead >= it.window/2 {
		return
	}
	g.asked = true
	it.widen()
	b := batch{metas: wave{s: g.s, fill: true}}
	if next >= it.lo && next <= it.hi {
		if it.issue(&b, next, it.window-ahead, false) != nil {
			return // reported when the scan comes there
		}
	} else if it.run != nil {
		it.run.ahead(&b, it)
	}
	for _, q := range b.metas.requests() {
		g.s.launch(g.ctx, q, false)
	}
	b.deal()
	g.spawn(b.spans)
}

// syncDemands is how often a source waits before it reads ahead of its need: a short scan
// shall not pay for blocks it does not come to.
const syncDemands = 2
