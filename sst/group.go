package sst

import (
	"context"
	"slices"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// GroupOptions are what the sources of one scan have in common.
type GroupOptions struct {
	// Fill admits the blocks that are read to the cache. Metadata always is.
	Fill bool
	// ReadAhead bounds the bytes that one source reads ahead, in one or several requests. 0
	// is adaptive: it grows with the scan, up to 8 MiB (less with many sources). Negative:
	// one block at a time.
	ReadAhead int
	// MaxTasks bounds the group's requests for blocks that run at once (metadata, which others
	// may wait for, is bounded by the Store alone). The default is 8 for each source, and
	// what the Store allows for all.
	MaxTasks int
	// RowsHint is how many rows the scan will read, 0 when that is not known.
	RowsHint int
	// Query, when set, is asked of each table's filters: tables that cannot hold what it asks
	// for are skipped.
	Query *Query
}

const (
	maxReadAhead   = 8 << 20  // of one source, adaptive
	groupReadAhead = 32 << 20 // of all sources together, adaptive
	sourceTasks    = 8
	// rowGuess is a row's size before one was seen, on the small side of usual.
	rowGuess = 128
)

// A Group is the set of sources of one scan. It belongs to the goroutine of that scan.
//
// Its purpose is that sources wait together: when one must wait for the store, all that have
// nothing left behind their current block ask for more in the same wave. So a scan over n
// tables costs as many round trips as one over a single table.
//
// ctx governs everything the group reads. What a group reads for itself alone is cut off
// when its sources are closed; metadata, which others may wait for, is read to the end.
type Group struct {
	ctx     context.Context
	s       *Store
	o       GroupOptions
	members []*Iter
	slots   chan struct{} // nil: the store's are enough
	seen    scanTally     // what its sources looked at

	own    context.Context // ends with ctx, with the store's lifetime, and at close; made on first use
	cancel context.CancelFunc
	unhook func() bool

	begun  bool     // warm was called
	asked  bool     // something was not cached
	warmed byte     // keeps the loads of warm alive
	few    [8]*Iter // first array of members

	keep bool    // begun by Begin
	kept []*Iter // sources of this scan and of those before it
	used int     // of kept, by this scan
}

// NewGroup begins a scan. It keeps ctx and does no I/O.
func NewGroup(ctx context.Context, s *Store, o GroupOptions) *Group {
	g := &Group{}
	g.begin(ctx, s, o)
	return g
}

func (g *Group) begin(ctx context.Context, s *Store, o GroupOptions) {
	g.ctx, g.s, g.o = ctx, s, o
	g.members = g.few[:0]
	if o.MaxTasks > 0 {
		g.slots = make(chan struct{}, o.MaxTasks)
	}
}

// Begin begins a scan with a group that is zero or was recycled. It keeps ctx and does no I/O.
// What the group allocates it keeps for the scans after this one.
func (g *Group) Begin(ctx context.Context, s *Store, o GroupOptions) {
	g.keep = true
	g.begin(ctx, s, o)
}

// Recycle lets go of everything but memory for the next Begin; the group's sources must not be
// used any more. After false the group must be left alone: it has sent requests, and they may
// still refer to it.
func (g *Group) Recycle() bool {
	if g.asked {
		return false
	}
	for _, it := range g.kept[:g.used] {
		*it = Iter{}
	}
	*g = Group{kept: g.kept}
	return true
}

// Iter adds a source: the rows of v in r.
func (g *Group) Iter(v *ViewReader, r kv.Range, desc bool) *Iter {
	return g.newIter(v, r, desc)
}

func (g *Group) newIter(v *ViewReader, r kv.Range, desc bool) *Iter {
	it := g.source()
	it.g, it.v, it.rng, it.desc = g, v, r, desc
	if v.cut {
		it.rng = r.Intersect(v.visible)
	}
	it.rows.key = it.keyBuf[:0]
	if !v.Overlaps(r) || it.rng.Empty() {
		it.done = true
		return it
	}
	g.members = append(g.members, it)
	return it
}

// source returns a zero Iter.
func (g *Group) source() *Iter {
	if !g.keep || g.used == maxKept {
		return &Iter{}
	}
	if g.used == len(g.kept) {
		g.kept = append(g.kept, &Iter{})
	}
	g.used++
	return g.kept[g.used-1]
}

// maxKept bounds what a group keeps for later scans. A scan over long runs opens many more
// sources, one after another.
const maxKept = 16

// leave takes a finished source out of the group.
func (g *Group) leave(it *Iter) {
	if i := slices.Index(g.members, it); i >= 0 {
		g.members = slices.Delete(g.members, i, i+1)
		if len(g.members) == 0 {
			g.Close()
		}
	}
}

// Close cuts off what is being read ahead. Closing every source does the same. Sources that
// are still open go on.
func (g *Group) Close() {
	g.seen.flush(g.s)
	if g.cancel != nil {
		g.unhook()
		g.cancel()
		g.own, g.cancel = nil, nil
	}
}

// context is what the group's own requests run on.
func (g *Group) context() context.Context {
	if g.own == nil {
		g.own, g.cancel = context.WithCancel(g.ctx)
		g.unhook = context.AfterFunc(g.s.life, g.cancel)
	}
	return g.own
}

// limit is how much one source may read ahead.
func (g *Group) limit() int {
	switch {
	case g.o.ReadAhead > 0:
		return g.o.ReadAhead
	case g.o.ReadAhead < 0:
		return 1
	}
	return min(maxReadAhead, max(maxSpan, groupReadAhead/max(1, len(g.members))))
}

// chunk is how much of a window goes into one request: with a wide window there are several
// requests in flight, since one request's bandwidth is not the network's.
func (g *Group) chunk(window int) int {
	tasks := g.o.MaxTasks
	if tasks <= 0 {
		tasks = sourceTasks
	}
	return max(maxSpan, window/tasks)
}

// A batch is what one wave of a group sends.
type batch struct {
	metas wave
	spans []*span
}

// demand makes it hold what it cannot go on without, its metadata or (with i >= 0) block i,
// and tops up the others that would have to wait soon. It does not wait.
func (g *Group) demand(it *Iter, i int) error {
	g.asked = true
	b := batch{metas: wave{s: g.s, fill: true}}
	if i >= 0 {
		it.widen()
		if err := it.issue(&b, i, it.window, true); err != nil {
			return err
		}
	} else if err := it.askMeta(&b); err != nil {
		return err
	}
	// After the end of the store's lifetime nothing is spawned, so nothing is read that is
	// not needed yet.
	if !g.s.stopped() {
		for _, m := range slices.Clone(g.members) {
			if m != it {
				m.topUpIfNear(&b)
			}
		}
	}
	g.send(&b)
	return nil
}

// send starts the requests of a wave. A single one runs here: the caller has to wait for it
// anyway.
func (g *Group) send(b *batch) {
	qs := b.metas.requests()
	b.deal()
	alone := len(qs)+len(b.spans) == 1
	for _, q := range qs {
		g.s.launch(g.ctx, q, alone)
	}
	if alone || g.s.stopped() {
		for _, sp := range b.spans {
			sp.read(g.ctx, g)
		}
		return
	}
	g.spawn(b.spans)
}

// spawn starts the requests of spans.
func (g *Group) spawn(spans []*span) {
	for _, sp := range spans {
		sp.done = make(chan struct{})
		ctx := g.context()
		g.s.env.Spawn("sst.scan", func() {
			defer close(sp.done)
			sp.read(ctx, g)
		})
	}
}

// gather waits for the metadata that the other sources asked for in the same wave, so that
// all can ask for their first blocks in the next one. A scan needs each of them before its
// first row, and without this a source whose answer came a moment later would begin its
// blocks a round trip later. An error is left for the source that it belongs to.
func (g *Group) gather(it *Iter) {
	for _, m := range g.members {
		if w := m.metaWant; m != it && w != nil && !m.early && w.load != nil {
			select {
			case <-w.load.Done():
			case <-g.ctx.Done():
				return
			}
		}
	}
}

// deal gives the joined loads of metadata to the sources that asked for them.
func (b *batch) deal() {
	for i := range b.metas.wants {
		b.metas.wants[i].to.metaWant = &b.metas.wants[i]
	}
}
