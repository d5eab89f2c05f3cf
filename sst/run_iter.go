package sst

import (
	"bytes"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A RunIter walks the views of a sorted run as one source, opening each when the walk comes
// to it (and a little earlier, when the scan reads ahead). It is a kv.Iterator.
//
// Neighbours may share their boundary key, and then the earlier view holds the newer
// versions. Ascending, this is the order of the walk. Descending, the later view comes first;
// when the walk arrives at the key that the earlier views also hold, it takes their versions
// before it goes on.
type RunIter struct {
	g    *Group
	vs   []*ViewReader // those that overlap the range
	rng  kv.Range
	desc bool

	cur  *Iter
	at   int   // cur walks vs[at]
	next *Iter // opened in advance, for vs[nextAt]
	// nextAt is meaningful while next is set.
	nextAt int

	// Descending: versions of the boundary key in earlier views, in order. own tells that cur
	// still has its versions to give after them.
	shared []*Iter
	// below is the key that later tables are cut at, once a shared key was given.
	below   []byte
	isBelow bool

	entry *kv.Entry
	fail  error
	done  bool
}

var _ kv.Iterator = (*RunIter)(nil)

// RunIter adds a source: the rows of a sorted run in r. The views are in ascending order.
func (g *Group) RunIter(vs []*ViewReader, r kv.Range, desc bool) kv.Iterator {
	var kept []*ViewReader
	for _, v := range FindRangeInRun(vs, r) {
		if v.Overlaps(r) {
			kept = append(kept, v)
		}
	}
	if len(kept) == 1 {
		return g.Iter(kept[0], r, desc)
	}
	ri := &RunIter{g: g, vs: kept, rng: r, desc: desc, at: -1}
	if len(kept) == 0 {
		ri.done = true
		return ri
	}
	if desc {
		ri.at = len(kept)
	}
	// The first table takes part in the group's first waves.
	ri.next, ri.nextAt = ri.open(ri.step(ri.at)), ri.step(ri.at)
	return ri
}

func (ri *RunIter) step(i int) int {
	if ri.desc {
		return i - 1
	}
	return i + 1
}

// open makes an iterator over view i.
func (ri *RunIter) open(i int) *Iter {
	it := ri.g.newIter(ri.vs[i], ri.cut(), ri.desc)
	it.run = ri
	return it
}

// cut is the range that is left to walk.
func (ri *RunIter) cut() kv.Range {
	r := ri.rng
	if ri.isBelow {
		r.End, r.EndInclusive = ri.below, false
	}
	return r
}

// advance makes the next view the current one.
func (ri *RunIter) advance() bool {
	i := ri.step(ri.at)
	if i < 0 || i >= len(ri.vs) {
		return ri.finish(nil)
	}
	it := ri.next
	if it == nil || ri.nextAt != i || (ri.isBelow && !bytes.Equal(it.rng.End, ri.below)) {
		if it != nil {
			_ = it.Close()
		}
		it = ri.open(i)
	}
	if ri.cur != nil {
		it.window, it.demands = max(it.window, ri.cur.window), max(it.demands, ri.cur.demands)
		_ = ri.cur.Close()
	}
	it.early = false
	ri.cur, ri.at, ri.next = it, i, nil
	return true
}

// ahead prepares the next table while the current one is at its last blocks. It is called by
// the current table's read-ahead.
func (ri *RunIter) ahead(b *batch, cur *Iter) {
	if cur != ri.cur {
		return
	}
	i := ri.step(ri.at)
	if i < 0 || i >= len(ri.vs) {
		return
	}
	if ri.next == nil {
		ri.next, ri.nextAt = ri.open(i), i
		ri.next.early = true
		if ri.next.done {
			return
		}
	}
	n := ri.next
	if n.window == 0 {
		n.window, n.demands = cur.window, cur.demands
	}
	n.topUpIfNear(b)
}

// Next moves to the next row.
func (ri *RunIter) Next() bool {
	if ri.cur != nil && len(ri.shared) == 0 && ri.cur.Next() {
		ri.entry = ri.cur.Entry()
		if !ri.desc || !ri.atBoundary() {
			return true
		}
		return ri.takeShared()
	}
	return ri.nextSlow()
}

func (ri *RunIter) nextSlow() bool {
	for !ri.done {
		if len(ri.shared) > 0 {
			if it := ri.shared[0]; it.Next() {
				ri.entry = it.Entry()
				return true
			} else if !ri.dropShared() {
				return false
			}
			if len(ri.shared) == 0 {
				// cur stands on its newest version of the key, which comes now.
				ri.entry = ri.cur.Entry()
				return true
			}
			continue
		}
		if ri.cur != nil && ri.cur.Err() != nil {
			return ri.finish(ri.cur.Err())
		}
		if !ri.advance() {
			return false
		}
		if ri.cur.Next() {
			ri.entry = ri.cur.Entry()
			if ri.desc && ri.atBoundary() {
				return ri.takeShared()
			}
			return true
		}
	}
	return false
}

// dropShared closes the first shared iterator, which is at its end, and reports whether it
// ended well.
func (ri *RunIter) dropShared() bool {
	err := ri.shared[0].Close()
	ri.shared = ri.shared[1:]
	if err != nil {
		return ri.finish(err)
	}
	return true
}

// atBoundary reports whether cur has just come to a key that the view before it also holds.
func (ri *RunIter) atBoundary() bool {
	if ri.at == 0 || !bytes.Equal(ri.entry.Key, ri.cur.v.rng.Start) {
		return false
	}
	return !ri.isBelow || !bytes.Equal(ri.below, ri.entry.Key)
}

// takeShared turns to the versions that earlier views hold of the current key, if any.
func (ri *RunIter) takeShared() bool {
	key := ri.entry.Key
	first := ri.at
	for first > 0 && ri.vs[first-1].holdsBefore(ri.vs, first-1, key) {
		first--
	}
	if first == ri.at {
		return true
	}
	// What is below key alone is left for the views before.
	ri.below, ri.isBelow = bytes.Clone(key), true
	if ri.next != nil {
		_ = ri.next.Close()
		ri.next = nil
	}
	point := kv.Range{Start: ri.below, End: ri.below, EndInclusive: true}
	for i := first; i < ri.at; i++ {
		ri.shared = append(ri.shared, ri.g.newIter(ri.vs[i], point, false))
	}
	return ri.nextSlow()
}

// Seek moves forward to the first row at or past key.
func (ri *RunIter) Seek(key []byte) bool {
	if ri.done {
		return false
	}
	if ri.entry != nil {
		c := bytes.Compare(ri.entry.Key, key)
		if (ri.desc && c <= 0) || (!ri.desc && c >= 0) {
			return true
		}
		// A shared key is passed.
		for len(ri.shared) > 0 {
			if !ri.dropShared() {
				return false
			}
		}
	}
	for !ri.done {
		if ri.cur != nil {
			if ri.cur.Seek(key) {
				ri.entry = ri.cur.Entry()
				if ri.desc && ri.atBoundary() {
					return ri.takeShared()
				}
				return true
			}
			if ri.cur.Err() != nil {
				return ri.finish(ri.cur.Err())
			}
		}
		// Skip views that end before key without opening them.
		for i := ri.step(ri.at); i >= 0 && i < len(ri.vs) && ri.passed(i, key); i = ri.step(ri.at) {
			ri.at = i
		}
		if !ri.advance() {
			return false
		}
	}
	return false
}

// passed reports whether all keys of view i lie before key in the direction of the walk.
func (ri *RunIter) passed(i int, key []byte) bool {
	v := ri.vs[i]
	if ri.desc {
		return !v.rng.AboveStart(key)
	}
	if v.rng.End == nil {
		return i+1 < len(ri.vs) && bytes.Compare(ri.vs[i+1].rng.Start, key) < 0
	}
	return !v.rng.BelowEnd(key)
}

// Entry returns the current row.
func (ri *RunIter) Entry() *kv.Entry { return ri.entry }

// Err is sticky.
func (ri *RunIter) Err() error { return ri.fail }

// Close releases what the iterator holds.
func (ri *RunIter) Close() error {
	ri.finish(nil)
	return ri.fail
}

func (ri *RunIter) finish(err error) bool {
	if err != nil && ri.fail == nil {
		ri.fail = err
	}
	ri.done = true
	for _, it := range append(ri.shared, ri.cur, ri.next) {
		if it != nil {
			_ = it.Close()
		}
	}
	ri.shared, ri.cur, ri.next = nil, nil, nil
	return false
}
