package sst

import (
	"bytes"
	"sort"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// Rows of a block can be decoded forward only, since keys are stored against the one before.
// So a descending walk decodes a whole block into a list and goes through it from the end,
// group by group: a group is the versions of one key, which are given newest first, that is
// in stored order.
//
// The first group of a block may begin in an earlier block. This is so only if the index key
// of the block is the very key of the group (see Index.Key), and then the walk steps to the
// earliest block that may hold the key, gives the versions from there on in stored order,
// and goes on downward in that earliest block.

// A descent is the state of a descending walk.
type descent struct {
	cur *kv.Entry

	ents  []kv.Entry // rows of the current block
	keys  []byte     // their keys
	it    blockIter  // decodes a block; later walks the blocks of a spread group
	at    int        // cur is ents[at] while spread is not set
	start int        // where the group of at begins
	end   int        // where it ends

	// spread: the versions of key are spread over blocks next..last; it walks one of them.
	spread      bool
	key         []byte
	first       int // the block where the walk goes on below key
	next, last  int
	firstBlock  *Block
	lastBlock   *Block
	middle      *span
	haveCurrent *Block // the block that ents were decoded from
}

func (it *Iter) nextDesc() bool {
	d := it.d
	if d.spread {
		return it.nextSpread()
	}
	if d.at+1 < d.end {
		d.at++
		d.cur = &d.ents[d.at]
		return true
	}
	return it.groupBelow(d.start)
}

// groupBelow stands on the newest version of the last key among rows [0, end) of the current
// block, or in a block below it.
func (it *Iter) groupBelow(end int) bool {
	d := it.d
	for end == 0 {
		if it.bi <= it.lo {
			return it.finish(nil)
		}
		if !it.decode(it.bi-1, nil) {
			return false
		}
		end = len(d.ents)
	}
	key := d.ents[end-1].Key
	if !it.rng.AboveStart(key) {
		return it.finish(nil)
	}
	start := end - 1
	for start > 0 && bytes.Equal(d.ents[start-1].Key, key) {
		start--
	}
	if start == 0 && it.bi > 0 && bytes.Equal(it.m.Index.Key(it.bi), key) {
		return it.beginSpread(key)
	}
	d.start, d.end, d.at = start, end, start
	d.cur = &d.ents[start]
	return true
}

// decode makes block i the current one. b is given when it is at hand.
func (it *Iter) decode(i int, b *Block) bool {
	if b == nil {
		var err error
		if b, err = it.block(i); err != nil {
			return it.finish(err)
		}
	}
	it.bi = i
	d := it.d
	d.haveCurrent = b
	d.ents, d.keys = d.ents[:0], d.keys[:0]
	d.it.reset(b)
	for d.it.next() {
		d.keys = append(d.keys, d.it.e.Key...)
		d.ents = append(d.ents, d.it.e)
	}
	if err := d.it.err(); err != nil {
		return it.finish(it.rowError(i, err))
	}
	// The buffer may have moved while it grew: the keys are cut out of it at the end.
	at := 0
	for k := range d.ents {
		n := len(d.ents[k].Key)
		d.ents[k].Key = d.keys[at : at+n : at+n]
		at += n
	}
	return true
}

// beginSpread turns to a group that begins in an earlier block. The current block is decoded
// and begins with key.
func (it *Iter) beginSpread(key []byte) bool {
	d := it.d
	d.key = append(d.key[:0], key...)
	d.last, d.lastBlock = it.bi, d.haveCurrent
	d.first = it.m.Index.lookupStart(d.key)
	b, err := it.block(d.first)
	if err != nil {
		return it.finish(err)
	}
	d.firstBlock, d.next = b, d.first
	d.spread = true
	d.it.reset(b)
	it.bi = d.first
	if d.it.seekGE(d.key) && bytes.Equal(d.it.e.Key, d.key) {
		d.cur = &d.it.e
		return true
	}
	return it.nextSpread()
}

// nextSpread gives the next version of a spread group, or what is below it.
func (it *Iter) nextSpread() bool {
	d := it.d
	for {
		if err := d.it.err(); err != nil {
			return it.finish(it.rowError(d.next, err))
		}
		if d.it.next() {
			if !bytes.Equal(d.it.e.Key, d.key) {
				// Only behind the last version: rows ascend.
				return it.endSpread(d.key, true)
			}
			d.cur = &d.it.e
			return true
		}
		if err := d.it.err(); err != nil {
			return it.finish(it.rowError(d.next, err))
		}
		if d.next++; d.next > d.last {
			return it.endSpread(d.key, true)
		}
		b := d.lastBlock
		if d.next < d.last {
			var err error
			if b, err = it.middleBlock(d.next); err != nil {
				return it.finish(err)
			}
		}
		d.it.reset(b)
	}
}

// endSpread goes on in the group's first block, with the rows below key (below or at it,
// unless before is set).
func (it *Iter) endSpread(key []byte, before bool) bool {
	d := it.d
	b := d.firstBlock
	d.spread, d.firstBlock, d.lastBlock = false, nil, nil
	it.dropMiddle()
	if !it.decode(d.first, b) {
		return false
	}
	return it.groupBelow(it.upper(key, before, len(d.ents)))
}

// middleBlock reads the blocks between the first and the last of a spread group, which lie
// against the direction of the walk.
func (it *Iter) middleBlock(i int) (*Block, error) {
	r := it.v.r
	if b := r.cells.Block(i); b != nil {
		it.g.seen.block[0]++
		return b, nil
	}
	d := it.d
	if d.middle == nil || !d.middle.holds(i) {
		sp := &span{r: r, first: i, last: i - 1}
		for j := i; j < d.last; j++ {
			off, n, err := r.section(it.m, j)
			if err != nil {
				return nil, err
			}
			if j == i {
				sp.off = off
			} else if off+n-sp.off > maxSpan {
				break
			}
			sp.last, sp.n = j, off+n-sp.off
		}
		it.dropMiddle()
		d.middle = sp
		it.g.s.counters.readAhead.Add(int64(sp.n))
		sp.read(it.g.ctx, it.g)
	}
	if err := d.middle.wait(it.g); err != nil {
		return nil, err
	}
	return it.openHeld(d.middle, i)
}

func (it *Iter) dropMiddle() {
	if sp := it.d.middle; sp != nil {
		it.g.s.counters.readAhead.Add(-int64(sp.n))
		it.d.middle = nil
	}
}

// upper returns how many of the first n rows of the current block have keys < key (before) or
// <= key.
func (it *Iter) upper(key []byte, before bool, n int) int {
	ents := it.d.ents
	return sort.Search(n, func(i int) bool {
		c := bytes.Compare(ents[i].Key, key)
		return c > 0 || (c == 0 && before)
	})
}

// beginDesc stands on the last key of the range, or the last one at or below key.
func (it *Iter) beginDesc(key []byte) bool {
	it.d = &descent{}
	before := false
	end := it.rng.End
	if end != nil && (key == nil || !it.rng.BelowEnd(key)) {
		key, before = end, !it.rng.EndInclusive
	}
	i := it.hi
	if key != nil {
		i = min(i, it.m.Index.lastLE(key))
	}
	if i < it.lo {
		return it.finish(nil)
	}
	if !it.decode(i, nil) {
		return false
	}
	n := len(it.d.ents)
	if key != nil {
		n = it.upper(key, before, n)
	}
	return it.groupBelow(n)
}

func (it *Iter) seekDesc(key []byte) bool {
	d := it.d
	if bytes.Compare(d.cur.Key, key) <= 0 {
		return true
	}
	i := it.m.Index.lastLE(key)
	if i < it.lo {
		return it.finish(nil)
	}
	if d.spread {
		// key is below the group's, so what is wanted lies in its first block or below.
		if i >= d.first {
			return it.endSpread(key, false)
		}
		d.spread, d.firstBlock, d.lastBlock = false, nil, nil
		it.dropMiddle()
	}
	n := d.start
	if i < it.bi {
		if !it.decode(i, nil) {
			return false
		}
		n = len(d.ents)
	}
	return it.groupBelow(it.upper(key, false, n))
}
