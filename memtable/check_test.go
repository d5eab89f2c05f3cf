package memtable

import (
	"bytes"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// checkInvariants walks the live tree: order, fences, pieces, skips, tails, counts.
func (t *Table) checkInvariants() error {
	root := t.root.Load()
	if root == 0 {
		if t.Len() != 0 {
			return fmt.Errorf("no root, %d rows", t.Len())
		}
		return nil
	}
	var prev *kv.Entry
	rows := 0
	var bytesSum int64
	var walk func(name uint32, h int, lo, hi ref) error
	walk = func(name uint32, h int, lo, hi ref) error {
		within := func(r ref) error {
			k, s := t.arena.separator(r)
			if lo != 0 && !sepBefore(&t.arena, lo, k, s, false) {
				return fmt.Errorf("height %d: %q@%d below the lower fence", h, k, s)
			}
			if hi != 0 && sepBefore(&t.arena, hi, k, s, false) {
				return fmt.Errorf("height %d: %q@%d at or above the upper fence", h, k, s)
			}
			return nil
		}
		if h > 0 {
			n := t.inners.at(name)
			o := order(n.order.Load())
			if o.count() < 1 || n.skip > 0 && n.skip > t.shared(lo, hi) {
				return fmt.Errorf("inner: count %d, skip %d of %d", o.count(), n.skip, t.shared(lo, hi))
			}
			for r := range o.count() {
				s := o.slot(r)
				sep, next := n.seps[s], hi
				if r == 0 && sep != lo {
					return fmt.Errorf("height %d: first separator %x is not the fence %x", h, sep, lo)
				}
				if r > 0 {
					if err := within(sep); err != nil {
						return err
					}
				}
				if sep != 0 && n.pfx[s] != prefixAt(t.arena.key(sep&^wholeKey), n.skip) {
					return fmt.Errorf("height %d: wrong piece", h)
				}
				if r+1 < o.count() {
					next = n.seps[o.slot(r+1)]
				}
				if err := walk(n.child[s], h-1, sep, next); err != nil {
					return err
				}
			}
			return nil
		}
		l := t.leaves.at(name)
		o := order(l.order.Load())
		if o.count() < 1 || l.skip > t.shared(lo, hi) {
			return fmt.Errorf("leaf: count %d, skip %d of %d", o.count(), l.skip, t.shared(lo, hi))
		}
		if straddles := hi != 0 && hi&wholeKey == 0; straddles != (l.tail == 1) {
			return fmt.Errorf("leaf: tail %d, upper fence %x", l.tail, hi)
		}
		for r := range o.count() {
			s := o.slot(r)
			if err := within(l.cells[s]); err != nil {
				return err
			}
			e := new(kv.Entry)
			t.arena.entry(l.cells[s], e)
			if l.pfx[s] != prefixAt(e.Key, l.skip) {
				return fmt.Errorf("leaf: wrong piece of %q", e.Key)
			}
			if prev != nil && kv.Compare(prev, e) >= 0 {
				return fmt.Errorf("%q@%d before %q@%d", prev.Key, prev.Seq, e.Key, e.Seq)
			}
			if prev != nil && !bytes.Equal(prev.Key, e.Key) && r == 0 && lo != 0 && lo&wholeKey == 0 {
				return fmt.Errorf("fence inside %q but no version before", e.Key)
			}
			prev = e
			rows++
			bytesSum += encodedBytes(e)
		}
		return nil
	}
	if err := walk(uint32(root>>8), int(root&0xFF), 0, 0); err != nil {
		return err
	}
	if rows != t.Len() || bytesSum != t.EncodedBytes() {
		return fmt.Errorf("%d rows of %d bytes counted, want %d of %d", t.Len(), t.EncodedBytes(), rows, bytesSum)
	}
	return nil
}
