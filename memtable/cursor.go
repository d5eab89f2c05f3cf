package memtable

import (
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A cursor stands on a row of the tree, as it was when the cursor came to the leaf. It goes to
// the neighbouring leaf through the parent while that is unchanged, and from the root by the fence
// between the two otherwise.
type cursor struct {
	t      *Table
	leaf   *leaf
	order  order
	rank   int
	lo, hi ref // the leaf's fences, 0: none

	up      *inner // nil: the leaf is the root
	upOrder order
	upRank  int
	upHi    ref
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
		var r int
		for {
			r = n.find(a, o, key, seq, strict)
			name = atomic.LoadUint32(&n.child[o.slot(r)])
			again := order(n.order.Load())
			if again == o {
				break
			}
			o = again
		}
		c.up, c.upOrder, c.upRank, c.upHi = n, o, r, c.hi
		c.fence()
	}
	c.enter(name)
	return true
}

// fence sets the fences of the parent's child.
func (c *cursor) fence() {
	c.lo, c.hi = c.up.seps[c.upOrder.slot(c.upRank)], c.upHi
	if r := c.upRank + 1; r < c.upOrder.count() {
		c.hi = c.up.seps[c.upOrder.slot(r)]
	}
}

func (c *cursor) enter(name uint32) {
	c.leaf = c.t.leaves.at(name)
	c.order = order(c.leaf.order.Load())
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
	if r < 0 || r >= c.upOrder.count() {
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
	return c.rank < c.order.count() || c.nextLeaf()
}

// seekLT goes to the last row before (key, seq).
func (c *cursor) seekLT(key []byte, seq kv.Seq) bool {
	if !c.descend(key, seq, true) {
		return false
	}
	c.rank, _ = c.leaf.lowerBound(&c.t.arena, c.order, key, seq)
	return c.prev()
}

// first and last go to the ends.
func (c *cursor) first() bool {
	c.rank = 0
	return c.descend(nil, kv.MaxSeq, false)
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
		c.up, c.upOrder, c.upRank = n, o, o.count()-1
		c.fence()
	}
	c.enter(name)
	c.rank = c.order.count() - 1
	return true
}

// next goes to the next row. After false the cursor must be placed anew.
func (c *cursor) next() bool {
	c.rank++
	return c.rank < c.order.count() || c.nextLeaf()
}

func (c *cursor) nextLeaf() bool {
	c.rank = 0
	if c.sibling(1) {
		return true
	}
	if c.hi == 0 {
		return false
	}
	// No leaf is ever empty, and a leaf that begins at a fence has no row before it.
	key, seq := c.t.arena.separator(c.hi)
	return c.descend(key, seq, false)
}

// prev goes to the previous row. After false the cursor must be placed anew.
func (c *cursor) prev() bool {
	c.rank--
	return c.rank >= 0 || c.prevLeaf()
}

func (c *cursor) prevLeaf() bool {
	if !c.sibling(-1) {
		if c.lo == 0 {
			return false
		}
		key, seq := c.t.arena.separator(c.lo)
		if !c.descend(key, seq, true) {
			return false
		}
	}
	c.rank = c.order.count() - 1
	return true
}
