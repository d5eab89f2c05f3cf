package slatedb

import (
	"bytes"
	"context"
	"iter"
	"sync"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/merging"
	"github.com/slatedb/slatedb-go/memtable"
	"github.com/slatedb/slatedb-go/sst"
)

// An Iterator walks the entries of a scan in its order. What it sees is fixed when the scan
// is made. It belongs to one goroutine; the ctx of the scan governs it for its whole life.
// Close it; Close also reports what stopped a loop.
type Iterator struct {
	src   kv.Iterator // nil when closed
	parts *scanParts  // what src is made of; nil when closed
	use   *tableUse   // nil when nothing is kept for the iterator
	cur   *kv.Entry   // the current entry, nil when not on one
	desc  bool
	rng   kv.Range
	left  int // entries still to yield, < 0 = no limit
	err   error
	seek  error    // of a refused Seek; reported until the next Next or Seek
	last  []byte   // a copy of the last key, for Seek and PageToken after the walk
	small [24]byte // holds it when it is short
	moved bool     // something was returned or sought
	fresh bool     // cur was found by Seek and not yet consumed by Next or All
	done  bool
	close bool
	busy  bool // in src, which may call the user's code
	bare  bool // keys only
	paged pagePlace
}

// Next moves to the next entry. After false, Err tells the end from a failure.
func (it *Iterator) Next() bool {
	it.seek = nil
	it.fresh = false
	if it.done || it.err != nil {
		it.cur = nil
		return false
	}
	if it.left == 0 {
		it.finish()
		it.paged.end = false
		return false
	}
	it.busy = true
	ok := it.src.Next()
	it.busy = false
	if !ok {
		it.finish()
		return false
	}
	it.cur = it.src.Entry()
	it.moved = true
	if it.left > 0 {
		it.left--
	}
	return true
}

// finish ends the walk: with the source's error, or at the end.
func (it *Iterator) finish() {
	if it.cur != nil {
		it.remember(it.cur.Key)
		it.paged.some = true
	}
	it.cur, it.done = nil, true
	it.err = it.src.Err()
	it.paged.end = it.err == nil
	it.release()
}

func (it *Iterator) remember(key []byte) {
	if it.last == nil {
		it.last = it.small[:0]
	}
	it.last = append(it.last[:0], key...)
}

// Key returns the current key, valid until the next Next, Seek or Close; nil when the
// iterator is not on an entry.
func (it *Iterator) Key() []byte {
	if it.cur == nil {
		return nil
	}
	return it.cur.Key
}

// Value returns the current value, as Key. An empty value is non-nil. A scan of keys only has
// none.
func (it *Iterator) Value() []byte {
	if it.cur == nil || it.bare {
		return nil
	}
	return nonNil(it.cur.Value)
}

// Entry returns the current entry; its slices live as Key's do (Clone keeps them).
func (it *Iterator) Entry() Entry {
	if it.cur == nil {
		return Entry{}
	}
	e := publicEntry(it.cur)
	if it.bare {
		e.Value = nil
	}
	return e
}

// Seek moves forward, in the scan's direction, to the first entry at or past key, which may
// be the current one. True means that the iterator stands on it: Key and Value are its, and
// Next moves past it. Seeking behind the current position is ErrInvalid and leaves the
// iterator as it was; Err reports it until the next Next or Seek. A key outside the range is
// the end, or the range's first entry for one before it when nothing was read yet.
func (it *Iterator) Seek(key []byte) bool {
	it.seek = nil
	if it.err != nil || it.close {
		it.cur = nil
		return false
	}
	if behind := it.behind(key); behind {
		it.seek = invalidf("seek to %q goes back: the iterator has passed it", key)
		return false
	}
	if it.done {
		return false
	}
	if it.cur != nil && bytes.Equal(it.cur.Key, key) {
		it.fresh = true
		return true
	}
	if it.left == 0 {
		it.finish()
		it.paged.end = false
		return false
	}
	it.busy = true
	ok := it.src.Seek(key)
	it.busy = false
	if !ok {
		it.finish()
		if it.err == nil {
			it.remember(key)
		}
		return false
	}
	it.cur = it.src.Entry()
	it.moved, it.fresh = true, true
	if it.left > 0 {
		it.left--
	}
	return true
}

// behind reports whether key lies before the position.
func (it *Iterator) behind(key []byte) bool {
	at := it.last
	if it.cur != nil {
		at = it.cur.Key
	} else if !it.moved || !it.done {
		return false
	}
	c := bytes.Compare(key, at)
	if it.desc {
		c = -c
	}
	return c < 0
}

// All yields the rest of the scan as keys and values, which live until the next step. Right
// after a Seek that returned true it begins with the entry found. Leaving the loop closes
// nothing; a new loop goes on behind. Check Err or Close afterwards.
func (it *Iterator) All() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for ok := it.fresh || it.Next(); ok; ok = it.Next() {
			it.fresh = false
			if !yield(it.Key(), it.Value()) {
				return
			}
		}
	}
}

// Err returns what stopped the iterator, nil at the end of the range.
func (it *Iterator) Err() error {
	if it.seek != nil {
		return it.seek
	}
	return it.err
}

// Close releases the iterator and returns what stopped it, if anything. It may be called
// again.
func (it *Iterator) Close() error {
	if it.close {
		return it.err
	}
	it.close, it.done = true, true
	if it.cur != nil {
		it.remember(it.cur.Key)
		it.paged.some = true
	}
	it.cur, it.seek = nil, nil
	it.release()
	if err := it.src.Close(); it.err == nil {
		it.err = err
	}
	if !it.busy {
		it.src = nil
		it.parts.put()
		it.parts = nil
	}
	return it.err
}

// release tells the keeper that the iterator needs its tables no more.
func (it *Iterator) release() {
	it.use.end()
	it.use = nil
}

// scan plans a scan of r, which is private to it. query, when not nil, lets tables be skipped
// by their filters.
func (v *view) scan(ctx context.Context, r kv.Range, o *ScanOptions, query *sst.Query) (*Iterator, error) {
	it := &Iterator{rng: r, desc: o.Order == Descending, left: -1, bare: o.KeysOnly}
	it.paged.from = o.PageToken
	if o.Limit > 0 {
		it.left = o.Limit
	}
	if r.Empty() {
		it.src, it.done, it.paged.end = merging.New(it.desc), true, true
		return it, nil
	}
	p := scans.Get().(*scanParts)
	p.now = nowMaybe{h: v.h}
	if query == nil {
		query = &p.query
		*query = rangeQuery(&r, bytes.Clone(o.FilterContext))
	}
	p.plan = scanPlan{ctx: ctx, ssts: v.h.ssts, r: r, desc: it.desc, opts: sst.GroupOptions{
		Fill: o.CacheBlocks, ReadAhead: o.ReadAheadBytes, MaxTasks: o.MaxFetchTasks, RowsHint: o.Limit, Query: query,
	}}
	var few [8]kv.Iterator
	sources := few[:0]
	for _, m := range v.st.imm {
		sources = append(sources, m.Iter(r, v.max, it.desc))
	}
	if v.st.mem.Len() > 0 {
		v.st.mem.IterInto(&p.mem, r, v.max, it.desc)
		sources = append(sources, &p.mem)
	}
	if len(v.st.root.l0)+len(v.st.root.runs) > 0 {
		p.group.Begin(ctx, p.plan.ssts, p.plan.opts)
		sources = p.plan.tree(&v.st.root, &p.group, sources)
	}
	if segs := v.st.overlapping(r); len(segs) > 0 {
		sources = append(sources, newConcat(segs, &p.plan))
		p.once = true
	}
	it.use = v.st.use
	it.use.begin()
	src, newest := p.stack.Merge(it.desc, sources...), v.max
	if v.own != nil {
		src, newest = v.own.over(src, r, it.desc, v.max), kv.MaxSeq
	}
	it.parts = p
	it.src = p.stack.Resolve(src, merging.ResolveOptions{
		Desc: it.desc, Max: newest, Now: p.nowFn, Operator: v.h.conf.MergeOperator, KeysOnly: o.KeysOnly,
		OnFold: v.h.stats.foldReads,
	})
	return it, nil
}

// scanParts are the innards of a scan. They are large against what a short scan reads, so
// those of a closed iterator serve another scan. The Iterator itself does not: a user may hold
// it for ever.
type scanParts struct {
	plan  scanPlan
	query sst.Query
	now   nowMaybe
	nowFn func() int64  // now.get
	mem   memtable.Iter // over the memtable that takes writes
	group sst.Group
	stack merging.Stack
	once  bool // something else may refer to it
}

var scans = sync.Pool{New: func() any {
	p := new(scanParts)
	p.nowFn = p.now.get
	return p
}}

// put gives the parts of a closed iterator back, with nothing left in them. p may be nil.
func (p *scanParts) put() {
	if p == nil || p.once || !p.group.Recycle() {
		return
	}
	p.plan, p.query, p.now, p.mem = scanPlan{}, sst.Query{}, nowMaybe{}, memtable.Iter{}
	p.stack.Clear()
	scans.Put(p)
}

// rangeQuery asks filters for the longest prefix that every key of the range must have.
func rangeQuery(r *kv.Range, fctx []byte) sst.Query {
	if p := r.CommonPrefix(); len(p) > 0 {
		return sst.Query{Kind: sst.QueryPrefix, Key: p, Range: *r, Context: fctx}
	}
	return sst.Query{Kind: sst.QueryRange, Range: *r, Context: fctx}
}

// scanPlan is what the table sources of one scan have in common.
type scanPlan struct {
	ctx  context.Context
	ssts *sst.Store
	r    kv.Range
	desc bool
	opts sst.GroupOptions
}

// tree appends a tree's table iterators: L0 views newest first, then runs. They share the
// group g, so that what they need goes out together.
func (p *scanPlan) tree(t *tree, g *sst.Group, dst []kv.Iterator) []kv.Iterator {
	for _, v := range t.l0 {
		if v.Overlaps(p.r) {
			dst = append(dst, g.Iter(v, p.r, p.desc))
		}
	}
	for _, run := range t.runs {
		if part := sst.FindRangeInRun(run, p.r); len(part) > 0 {
			dst = append(dst, g.RunIter(part, p.r, p.desc))
		}
	}
	return dst
}

// overlapping returns the segments that the range can touch, ascending.
func (st *state) overlapping(r kv.Range) []*tree {
	var out []*tree
	for i := range st.segs {
		x := r.Intersect(kv.PrefixRange(st.segs[i].prefix))
		if !x.Empty() {
			out = append(out, &st.segs[i])
		}
	}
	return out
}

// concat walks segments one after another, opening each when it is reached: segments hold
// disjoint key ranges.
type concat struct {
	segs []*tree // in walking order
	plan *scanPlan
	cur  kv.Iterator
	e    *kv.Entry
	err  error
}

func newConcat(segs []*tree, plan *scanPlan) *concat {
	if plan.desc {
		rev := make([]*tree, len(segs))
		for i, s := range segs {
			rev[len(segs)-1-i] = s
		}
		segs = rev
	}
	return &concat{segs: segs, plan: plan}
}

func (c *concat) Next() bool {
	for c.err == nil {
		if c.cur == nil && !c.open() {
			return false
		}
		if c.cur.Next() {
			c.e = c.cur.Entry()
			return true
		}
		c.leave()
	}
	return false
}

func (c *concat) Seek(key []byte) bool {
	for c.err == nil {
		if c.cur == nil {
			for len(c.segs) > 0 && c.passed(c.segs[0], key) {
				c.segs = c.segs[1:]
			}
			if !c.open() {
				return false
			}
		}
		if c.cur.Seek(key) {
			c.e = c.cur.Entry()
			return true
		}
		c.leave()
	}
	return false
}

// passed reports whether the whole segment lies before key in walking direction.
func (c *concat) passed(t *tree, key []byte) bool {
	if bytes.HasPrefix(key, t.prefix) {
		return false
	}
	return (bytes.Compare(t.prefix, key) < 0) != c.plan.desc
}

func (c *concat) open() bool {
	if len(c.segs) == 0 {
		return false
	}
	g := sst.NewGroup(c.plan.ctx, c.plan.ssts, c.plan.opts)
	c.cur = merging.New(c.plan.desc, c.plan.tree(c.segs[0], g, nil)...)
	c.segs = c.segs[1:]
	return true
}

func (c *concat) leave() {
	c.err = c.cur.Close()
	c.cur, c.e = nil, nil
}

func (c *concat) Entry() *kv.Entry { return c.e }
func (c *concat) Err() error {
	if c.err == nil && c.cur != nil {
		return c.cur.Err()
	}
	return c.err
}

func (c *concat) Close() error {
	c.segs = nil
	if c.cur != nil {
		c.leave()
	}
	return c.err
}
