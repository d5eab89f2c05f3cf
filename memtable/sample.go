package memtable

import (
	"bytes"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// Sample walks the pieces of the table that overlap r, ascending, without looking at each row:
// f gets the first key of r in the piece and how many rows the piece holds in r. Keys stay
// valid. It costs a node of some ten rows a step, and stops when f returns false.
func (t *Table) Sample(r kv.Range, f func(first []byte, rows int) bool) {
	var c cursor
	c.t = t
	ok := false
	if len(r.Start) == 0 {
		ok = c.first()
	} else {
		ok = c.seekGE(r.Start, kv.MaxSeq)
		for ok && r.StartExclusive && bytes.Equal(t.arena.key(c.cell()), r.Start) {
			ok = c.next()
		}
	}
	for ok {
		first := t.arena.key(c.cell())
		if !r.BelowEnd(first) {
			return
		}
		n := c.count - c.rank
		last := t.arena.key(c.leaf.cell(c.order.slot(c.count - 1)))
		if end := !r.BelowEnd(last); end {
			n = 0
			for i := c.rank; i < c.count && r.BelowEnd(t.arena.key(c.leaf.cell(c.order.slot(i)))); i++ {
				n++
			}
			f(first, n)
			return
		}
		if !f(first, n) {
			return
		}
		ok = c.nextLeaf()
	}
}
