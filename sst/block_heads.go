package sst

import (
	"bytes"
	"math/bits"
	"sort"
)

// A search in a block first finds where to walk from. The restarts are a poor guide: reading
// their keys touches a far cache line for each, and sixteen rows lie between two of them; those
// waits were half of a cached read. So a block that goes to the cache keeps, beside its header,
// places in its rows that are a few hundred bytes apart. Each is one number: six bytes of the
// key that stands before the place, those after the prefix that all such keys share, and in the
// low sixteen bits where the row behind it begins.
//
// Rows store what differs from the row before, so a walk that begins in the middle must know
// what the key sought has in common with the key before: for a place whose six bytes differ
// from those of the key sought, the bytes tell. Only a run of places that tie is left to
// the restarts.

// maxCommon bounds the shared prefix that is taken off; beyond it, ties are left to the restarts.
const maxCommon = 24

const (
	offsetBits = 16
	offsetMask = 1<<offsetBits - 1

	inlineHeads = 13
	// headStep is the least distance between two places in bytes, in a block too large for
	// inlineHeads.
	headStep = 512
)

// A place is one of heads while the common prefix is not known.
type place struct {
	key [maxCommon + 8]byte // of the key before it
	n   uint8               // bytes of it
	pos uint16
}

// refine fills heads, unless the rows are damaged: who walks them there will see it.
func (b *Block) refine() {
	step := b.rowsEnd/(inlineHeads+1) + 1
	var few [inlineHeads]place
	places := few[:]
	if step > headStep {
		step = headStep
		places = make([]place, min(b.rowsEnd, offsetMask)/step)
	}
	var it blockIter
	var buf [128]byte
	it.key = buf[:0]
	it.reset(b)
	n, last := 0, 0
	for it.next() {
		if it.pos-last >= step && it.pos <= offsetMask && n < len(places) {
			p := &places[n]
			p.n, p.pos = uint8(copy(p.key[:], it.key)), uint16(it.pos)
			n, last = n+1, it.pos
		}
	}
	places = places[:n]
	if n == 0 || it.err() != nil {
		return
	}
	// Over all of them: nothing here relies on their order.
	first := &places[0]
	common := min(int(first.n), maxCommon)
	for i := range places {
		p := &places[i]
		common = matchLen(first.key[:common], p.key[:p.n])
	}
	b.common = uint8(copy(b.prefix[:], first.key[:common]))
	if n <= len(b.inline) {
		b.heads = b.inline[:n:n]
	} else {
		b.heads = make([]uint64, n)
	}
	for i := range places {
		p := &places[i]
		b.heads[i] = headOf(p.key[common:p.n])&^offsetMask | uint64(p.pos)
	}
}

// seekStart returns where to walk from to find key: a row such that all rows before it are
// smaller than key. matched is how many leading bytes key has in common with the key before
// that row (more than that, where that key ends first; never more than key has).
func (b *Block) seekStart(key []byte) (pos, matched int) {
	heads := b.heads
	if len(heads) == 0 {
		return b.restartBelow(key), 0
	}
	common := int(b.common)
	if n := matchLen(b.prefix[:common], key); n < common {
		if n == len(key) || key[n] < b.prefix[n] {
			return 0, 0
		}
		return int(heads[len(heads)-1] & offsetMask), n
	}
	head := headOf(key[common:]) &^ offsetMask
	base := 0
	for size := len(heads); size > 1; {
		half := size >> 1
		if heads[base+half-1]&^offsetMask < head {
			base += half
		}
		size -= half
	}
	if heads[base]&^offsetMask < head {
		base++
	}
	if base > 0 {
		h := heads[base-1]
		pos = int(h & offsetMask)
		matched = common + bits.LeadingZeros64(h&^offsetMask^head)>>3
	}
	if base+1 < len(heads) && heads[base+1]&^offsetMask == head {
		// Several places tie with key. All restarts up to that one are smaller, too.
		if p := b.restartBelow(key); p > pos {
			return p, 0
		}
	}
	return pos, matched
}

// restartBelow returns where the row of the last restart begins whose key is smaller than
// key, or 0. It must be smaller, not equal: versions of key may begin before a restart that
// holds one.
func (b *Block) restartBelow(key []byte) (pos int) {
	// Restart 0 is where the rows begin, whatever its key.
	n := sort.Search(int(b.restarts)-1, func(i int) bool {
		k, _ := b.restartKey(i + 1)
		return bytes.Compare(k, key) >= 0
	})
	return b.restartOffset(n)
}
