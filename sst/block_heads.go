package sst

import (
	"bytes"
	"sort"
)

// A search in a block first finds the restart to walk from. Comparing with the keys in the
// rows would touch a far cache line for each and for the offsets behind the rows; those waits
// were half of a cached point read. So a block keeps, beside its header, one number for each
// restart: six bytes of its key, those after the prefix that all restarts share, and in the
// low sixteen bits where its row begins. Only restarts that tie in six bytes are compared in
// full.

// maxCommon bounds the shared prefix that is taken off; beyond it, ties are compared in full.
const maxCommon = 24

const (
	offsetBits = 16
	offsetMask = 1<<offsetBits - 1
)

// prepare fills heads. It reports false when a restart's key does not fit the block.
func (b *Block) prepare() bool {
	n := int(b.restarts)
	first, ok := b.restartKey(0)
	if !ok {
		return false
	}
	// Over all of them: nothing here relies on their order.
	common := min(len(first), maxCommon)
	for i := 1; i < n; i++ {
		k, ok := b.restartKey(i)
		if !ok {
			return false
		}
		common = matchLen(first[:common], k)
	}
	b.common = uint8(copy(b.prefix[:], first[:common]))
	if n <= len(b.inline) {
		b.heads = b.inline[:n:n]
	} else {
		b.heads = make([]uint64, n)
	}
	for i := range b.heads {
		k, _ := b.restartKey(i)
		b.heads[i] = headOf(k[common:])&^offsetMask | uint64(b.restartOffset(i))
	}
	return true
}

// restartBelow returns where the row of the last restart begins whose key is smaller than
// key, or 0. It must be smaller, not equal: versions of key may begin before a restart that
// holds one.
func (b *Block) restartBelow(key []byte) (pos int) {
	common := int(b.common)
	switch c := bytes.Compare(key[:min(len(key), common)], b.prefix[:common]); {
	case c < 0:
		return 0
	case c > 0:
		return int(b.heads[len(b.heads)-1] & offsetMask)
	}
	head := headOf(key[common:]) &^ offsetMask
	base := 0
	heads := b.heads
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
	if base < len(heads) && heads[base]&^offsetMask == head {
		base = b.untie(base, head, key)
	}
	return int(heads[max(base-1, 0)] & offsetMask)
}

// untie returns the number of restarts whose keys are smaller than key, where those from base
// on tie with it.
func (b *Block) untie(base int, head uint64, key []byte) int {
	ties := sort.Search(len(b.heads)-base, func(i int) bool { return b.heads[base+i]&^offsetMask != head })
	return base + sort.Search(ties, func(i int) bool {
		k, _ := b.restartKey(base + i)
		return bytes.Compare(k, key) >= 0
	})
}
