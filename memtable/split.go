package memtable

import (
	"bytes"
	"sync/atomic"
)

// split puts cell at rank at of the full leaf under the finger.
//
// A run of ascending keys leaves full leaves behind: the new row opens a leaf of its own. Otherwise
// both get half. Versions of one key stay together when that is possible.
//
// The pieces of the old leaf are copied when they tell its rows apart: to make them anew would
// fetch a cell a row, and those lie all over the arena.
func (t *Table) split(o order, at int, cell ref) {
	w := &t.w
	old := w.leaf
	var b batch
	for r := range leafSlots {
		s, i := o.slot(r), r+b2i(r >= at)
		b.cells[i], b.pfx[i] = old.cells[s], old.pfx[s]
	}
	b.cells[at], b.pfx[at] = cell, prefixAt(t.arena.key(cell), old.skip)

	m := (leafSlots + 1) / 2
	inRun := at == leafSlots && (w.run || w.hi == 0)
	if inRun {
		m = leafSlots
	} else {
		m = t.cut(&b, m)
	}
	sep := b.cells[m]
	var tail uint32
	if t.sameKey(&b, m) {
		tail = 1
	} else {
		sep |= wholeKey
	}
	lo := w.low()

	r, rightName := t.leaves.alloc()
	r.tail = old.tail
	t.fill(r, &b, m, leafSlots+1, old.skip, sep, w.hi)
	leftName := w.name
	if !inRun || tail != old.tail || (b.ties(0, m) && t.shared(lo, sep) > old.skip) {
		l, name := t.leaves.alloc()
		l.tail = tail
		t.fill(l, &b, 0, m, old.skip, lo, sep)
		leftName = name
	}
	t.raise(1, leftName, sep, rightName, inRun)
	w.last = 0 // the path has changed
	if inRun {
		// Most likely the run goes on in the new leaf. Its path is found again only when that is full.
		w.last, w.lastAt, w.leaf, w.name, w.height = cell, 0, r, rightName, -1
	}
}

// A batch is a full leaf and one row more, by rank.
type batch struct {
	cells [leafSlots + 1]ref
	pfx   [leafSlots + 1]uint64
}

// ties reports whether two neighbours in [from, to) have the same piece.
func (b *batch) ties(from, to int) bool {
	for i := from + 1; i < to; i++ {
		if b.pfx[i] == b.pfx[i-1] {
			return true
		}
	}
	return false
}

// sameKey reports whether rows i-1 and i are versions of one key.
func (t *Table) sameKey(b *batch, i int) bool {
	return b.pfx[i] == b.pfx[i-1] && bytes.Equal(t.arena.key(b.cells[i]), t.arena.key(b.cells[i-1]))
}

// cut looks for the place nearest to the middle at which the key changes.
func (t *Table) cut(b *batch, m int) int {
	for d := range m {
		for _, c := range [2]int{m + d, m - d} {
			if c > 0 && c <= leafSlots && !t.sameKey(b, c) {
				return c
			}
		}
	}
	return m
}

// low returns the lower fence of the finger's leaf.
func (w *finger) low() ref {
	if w.height == 0 {
		return 0
	}
	p := &w.path[1]
	return p.node.seps[order(p.node.order.Load()).slot(p.rank)]
}

// fences returns those of the path's inner node of height h.
func (w *finger) fences(h int) (lo, hi ref) {
	n := w.path[h].node
	lo = n.seps[order(n.order.Load()).slot(0)]
	for h++; h <= w.height; h++ {
		n := w.path[h].node
		o := order(n.order.Load())
		if r := w.path[h].rank + 1; r < o.count() {
			return lo, n.seps[o.slot(r)]
		}
	}
	return lo, 0
}

// shared returns how many bytes all keys between two fences share.
func (t *Table) shared(lo, hi ref) uint32 {
	if lo == 0 || hi == 0 {
		return 0
	}
	return commonPrefix(t.arena.key(lo&^wholeKey), t.arena.key(hi&^wholeKey))
}

// fill writes rows [from, to) of b into the fresh leaf l between the fences lo and hi.
func (t *Table) fill(l *leaf, b *batch, from, to int, skip uint32, lo, hi ref) {
	l.skip = skip
	copy(l.cells[:], b.cells[from:to])
	copy(l.pfx[:], b.pfx[from:to])
	if b.ties(from, to) {
		if s := t.shared(lo, hi); s > skip {
			l.skip = s
			for i, c := range b.cells[from:to] {
				l.pfx[i] = prefixAt(t.arena.key(c), s)
			}
		}
	}
	l.order.Store(uint64(inOrder(to - from)))
}

// raise tells the inner node of height h that its child on the path is now left, and that right
// follows from sep on. The order of the two stores matters: see Publication.
func (t *Table) raise(h int, left uint32, sep ref, right uint32, inRun bool) {
	w := &t.w
	if h > w.height {
		n, name := t.inners.alloc()
		n.pfx[1] = prefixAt(t.arena.key(sep&^wholeKey), 0)
		n.seps[1] = sep
		n.child[0], n.child[1] = left, right
		n.order.Store(uint64(inOrder(2)))
		t.root.Store(uint64(name)<<8 | uint64(h))
		return
	}
	n, at := w.path[h].node, w.path[h].rank
	o := order(n.order.Load())
	count := o.count()
	if count < innerSlots {
		n.pfx[count] = prefixAt(t.arena.key(sep&^wholeKey), n.skip)
		n.seps[count] = sep
		n.child[count] = right
		n.order.Store(uint64(o.insert(at+1, uint(count))))
		if t.between != nil {
			t.between()
		}
		atomic.StoreUint32(&n.child[o.slot(at)], left)
		return
	}
	var seps [innerSlots + 1]ref
	var child [innerSlots + 1]uint32
	for r := range innerSlots {
		i := r + b2i(r > at)
		seps[i], child[i] = n.seps[o.slot(r)], n.child[o.slot(r)]
	}
	child[at] = left
	seps[at+1], child[at+1] = sep, right

	m := (innerSlots + 1) / 2
	inRun = inRun && at == innerSlots-1
	if inRun {
		m = innerSlots
	}
	lo, hi := w.fences(h)
	l, leftName := t.inners.alloc()
	t.fillInner(l, seps[:m], child[:m], lo, seps[m])
	r, rightName := t.inners.alloc()
	t.fillInner(r, seps[m:], child[m:], seps[m], hi)
	t.raise(h+1, leftName, seps[m], rightName, inRun)
}

func (t *Table) fillInner(n *inner, seps []ref, child []uint32, lo, hi ref) {
	n.skip = t.shared(lo, hi)
	for i, s := range seps {
		if s != 0 {
			n.pfx[i] = prefixAt(t.arena.key(s&^wholeKey), n.skip)
		}
		n.seps[i], n.child[i] = s, child[i]
	}
	n.order.Store(uint64(inOrder(len(seps))))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
