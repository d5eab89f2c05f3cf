package memtable

import (
	"bytes"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A cursor stands on a row of the tree, as it was when the cursor came to the leaf. It goes to
// the neighbouring leaf through the parent while that is unchanged, and from the root by the fence
// between the two otherwise.
//
// Of a node it uses what lies below the node's upper fence: count and upCount. That is
// all of it, but when the node was split and its parent names the right half already and, for the
// moment between two stores, the old node in place of the left one. See Publication.
type cursor struct {
	t      *Table
	leaf   *leaf
	order  order
	rank   int
	count  int // rows of the leaf that count, by rank
	lo, hi ref // the leaf's fences, 0: none

	up      *inner // nil: the leaf is the root
	upOrder order
	upCount int // children of up that count
	upRank  int
	upHi    ref
	upOld   bool // up may be an old node in the place of its left half
	newLeaf bool // set when the leaf changes; who looks at it clears it
	warmed  byte // keeps the loads of warm alive
}

// cell returns the row's reference.
func (c *cursor) cell() ref { return c.leaf.cell(c.order.slot(c.rank)) }

// descend goes to the leaf that (key, seq) belongs to; strict: to the leaf of what lies before it.
func (c *cursor) descend(key []byte, seq kv.Seq, strict bool) bool {
	root := c.t.root.Load()
	if root == 0 {
		return false
	}
	a := &c.t.arena
	c.lo, c.hi, c.up, c.upHi = 0, 0, nil, 0
	name := uint32(root >> 8)
	for range root & 0xFF {
		n := c.t.inners.at(name)
		o := order(n.order.Load())
		count := o.count()
		old := count == innerSlots && c.maybeOld()
		if old {
			count = c.below(o, count, func(slot uint) (kv.Seq, []byte) {
				k, s := a.separator(n.seps[slot])
				return s, k
			})
		}
		var r int
		for {
			r = n.find(a, o, key, seq, strict)
			name = atomic.LoadUint32(&n.child[o.slot(r)])
			again := order(n.order.Load())
			if again == o {
				break
			}
			o, count = again, again.count()
		}
		c.up, c.upOrder, c.upCount, c.upRank, c.upHi, c.upOld = n, o, count, r, c.hi, old
		c.fence()
	}
	c.enter(name)
	return true
}

// maybeOld reports whether the parent's child may be an old node whose right half stands beside
// it: that half is then what the parent was told of last. When the parent is old itself, the
// fence of its last child may be younger than the child.
func (c *cursor) maybeOld() bool {
	if c.up == nil {
		return false
	}
	if r := c.upRank + 1; r < c.upCount {
		return c.upOrder.slot(r) == uint(c.upOrder.count()-1)
	}
	return c.upOld
}

// below returns how many of the first count slots of o, by rank, lie below the upper fence.
func (c *cursor) below(o order, count int, at func(slot uint) (kv.Seq, []byte)) int {
	hi, hiSeq := c.t.arena.separator(c.hi)
	for ; count > 0; count-- {
		seq, key := at(o.slot(count - 1))
		if d := bytes.Compare(key, hi); d < 0 || d == 0 && seq > hiSeq {
			break
		}
	}
	return count
}

// fence sets the fences of the parent's child.
func (c *cursor) fence() {
	c.lo, c.hi = c.up.seps[c.upOrder.slot(c.upRank)], c.upHi
	if r := c.upRank + 1; r < c.upCount {
		c.hi = c.up.seps[c.upOrder.slot(r)]
	}
}

func (c *cursor) enter(name uint32) {
	c.leaf = c.t.leaves.at(name)
	c.order = order(c.leaf.order.Load())
	c.count = c.order.count()
	if c.count == leafSlots && c.maybeOld() {
		a := &c.t.arena
		c.count = c.below(c.order, c.count, func(slot uint) (kv.Seq, []byte) {
			r := c.leaf.cell(slot)
			return a.seq(r), a.key(r)
		})
	}
	c.newLeaf = true
}

// warm fetches the leaf's cells all at once. They lie all over the arena, and loads that do not
// depend on one another overlap, while a walk would wait for each in turn.
func (c *cursor) warm() {
	chunks := *c.t.arena.chunks.Load()
	var x byte
	for i := range c.order.count() {
		r := c.leaf.cell(uint(i)) // slots are filled from 0 on
		x ^= chunks[r>>unitBits][uint64(r&(1<<unitBits-1))<<3]
	}
	c.warmed ^= x
}

// sibling goes to the parent's next or previous child, if it has one and has not changed.
func (c *cursor) sibling(d int) bool {
	if c.up == nil {
		return false
	}
	r := c.upRank + d
	if r < 0 || r >= c.upCount {
		return false
	}
	name := atomic.LoadUint32(&c.up.child[c.upOrder.slot(r)])
	if order(c.up.order.Load()) != c.upOrder {
		return false
	}
	c.upRank = r
	c.fence()
	c.enter(name)
	return true
}

// seekGE goes to the first row at or after (key, seq).
func (c *cursor) seekGE(key []byte, seq kv.Seq) bool {
	if !c.descend(key, seq, false) {
		return false
	}
	c.rank, _ = c.leaf.lowerBound(&c.t.arena, c.order, key, seq)
	return c.rank < c.count || c.nextLeaf()
}

// seekLT goes to the last row before (key, seq).
func (c *cursor) seekLT(key []byte, seq kv.Seq) bool {
	if !c.descend(key, seq, true) {
		return false
	}
	c.rank, _ = c.leaf.lowerBound(&c.t.arena, c.order, key, seq)
	c.rank = min(c.rank, c.count)
	return c.prev()
}

// first and last go to the ends.
func (c *cursor) first() bool {
	c.rank = 0
	return c.descend(nil, kv.MaxSeq, false) && (c.count > 0 || c.nextLeaf())
}

func (c *cursor) last() bool {
	root := c.t.root.Load()
	if root == 0 {
		return false
	}
	c.lo, c.hi, c.up, c.upHi = 0, 0, nil, 0
	name := uint32(root >> 8)
	for range root & 0xFF {
		n := c.t.inners.at(name)
		o := order(n.order.Load())
		for {
			name = atomic.LoadUint32(&n.child[o.slot(o.count()-1)])
			again := order(n.order.Load())
			if again == o {
				break
			}
			o = again
		}
		c.up, c.upOrder, c.upCount, c.upRank, c.upOld = n, o, o.count(), o.count()-1, false
		c.fence()
	}
	c.enter(name)
	c.rank = c.count - 1
	return true
}

// next goes to the next row. After false the cursor must be placed anew.
func (c *cursor) next() bool {
	c.rank++
	return c.rank < c.count || c.nextLeaf()
}

func (c *cursor) nextLeaf() bool {
	c.rank = 0
	for {
		if !c.sibling(1) {
			if c.hi == 0 {
				return false
			}
			// A leaf that begins at a fence has no row before it.
			key, seq := c.t.arena.separator(c.hi)
			if !c.descend(key, seq, false) {
				return false
			}
		}
		// No leaf is ever empty, but an old one may have nothing below the row that split it.
		if c.count > 0 {
			return true
		}
	}
}

// prev goes to the previous row. After false the cursor must be placed anew.
func (c *cursor) prev() bool {
	c.rank--
	return c.rank >= 0 || c.prevLeaf()
}

func (c *cursor) prevLeaf() bool {
	for {
		if !c.sibling(-1) {
			if c.lo == 0 {
				return false
			}
			key, seq := c.t.arena.separator(c.lo)
			if !c.descend(key, seq, true) {
				return false
			}
		}
		if c.count > 0 {
			c.rank = c.count - 1
			return true
		}
	}
}
