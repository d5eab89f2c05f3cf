package sst

import (
	"bytes"
	"encoding/binary"
	"math"
	"sort"

	"github.com/slatedb/slatedb-go/internal/flatbuf"
)

// An Index finds the block that may hold a key. It holds no pointer per block, so that the
// collector has nothing to walk in a cache full of indexes: key bytes stand back to back in
// one slab.
//
// Searching compares numbers: what stands after the prefix that all keys share, as eight
// big-endian bytes per block. Only blocks that tie are compared in full. It is immutable.
type Index struct {
	slab    []byte
	ends    []uint32 // ends[i] is the end of key i in the slab
	offsets []uint64
	lens    []uint32 // encoded_len, nil when no block has one
	heads   []uint64 // of each key, the eight bytes after the common prefix, padded with zeros
	common  int      // length of the prefix that all non-empty keys share
	empty   int      // number of empty keys at the front
}

// Len is the number of data blocks.
func (x *Index) Len() int { return len(x.ends) }

// Key is the index key of block i, aliasing the index: in a compacted table a byte string
// above every key of block i-1 and at or below every key of block i.
func (x *Index) Key(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = x.ends[i-1]
	}
	return x.slab[start:x.ends[i]:x.ends[i]]
}

// Offset is where block i begins in the object.
func (x *Index) Offset(i int) uint64 { return x.offsets[i] }

// EncodedLen is the stored length of block i with its checksum when padding follows it,
// otherwise 0.
func (x *Index) EncodedLen(i int) uint32 {
	if x.lens == nil {
		return 0
	}
	return x.lens[i]
}

// bytes is the memory the index holds.
func (x *Index) bytes() int64 {
	return int64(cap(x.slab) + 4*cap(x.ends) + 8*cap(x.offsets) + 4*cap(x.lens) + 8*cap(x.heads))
}

// lookupStart is the first block that may hold key, and the block where a range that begins
// at key is entered: one before the first index key >= key, since that block may end with
// the newest versions of key. Candidates go on while Key(i) <= key.
func (x *Index) lookupStart(key []byte) int { return max(x.less(key)-1, 0) }

// lastLE is the last block whose index key is <= key, -1 when there is none: where a
// descending walk from key begins.
func (x *Index) lastLE(key []byte) int {
	i := x.less(key)
	for i < x.Len() && bytes.Equal(x.Key(i), key) {
		i++
	}
	return i - 1
}

// less is the number of index keys smaller than key.
func (x *Index) less(key []byte) int {
	n := len(x.heads)
	if len(key) == 0 || n == x.empty {
		return min(x.empty, len(key)*n)
	}
	if x.common > 0 {
		prefix := x.Key(x.empty)[:x.common]
		if c := bytes.Compare(key[:min(len(key), x.common)], prefix); c > 0 {
			return n
		} else if c < 0 {
			return x.empty
		}
	}
	head := headOf(key[x.common:])
	// Lower bound over heads[empty:]. Halving a length instead of moving two ends lets the
	// compiler do without a branch on the comparison.
	heads := x.heads[x.empty:]
	base := 0
	for size := len(heads); size > 1; {
		half := size >> 1
		if heads[base+half-1] < head {
			base += half
		}
		size -= half
	}
	if heads[base] < head {
		base++
	}
	base += x.empty
	if base == n || x.heads[base] != head {
		return base
	}
	// Ties in eight bytes: compare in full among them.
	ties := sort.Search(n-base, func(i int) bool { return x.heads[base+i] != head })
	lo, hi := base, base+ties
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if bytes.Compare(x.Key(mid)[x.common:], key[x.common:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// headOf is the first eight bytes of b as a number that orders like them.
func headOf(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var h uint64
	for i, c := range b {
		h |= uint64(c) << (56 - 8*uint(i))
	}
	return h
}

// decodeIndex reads the plain bytes of an index section.
func decodeIndex(plain []byte) (Index, error) {
	var x Index
	if err := flatbuf.VerifySsTableIndex(plain); err != nil {
		return x, corruptf("index: %v", err)
	}
	root := flatbuf.GetRootAsSsTableIndex(plain, 0)
	n := root.BlockMetaLength()
	var m flatbuf.BlockMeta
	size := 0
	// A hostile vector may name one key many times; the verifier bounds the sum to a small
	// multiple of the section.
	for i := range n {
		root.BlockMeta(&m, i)
		size += m.FirstKeyLength()
		if size > maxIndexKeys {
			return x, corruptf("index keys of more than %d bytes", maxIndexKeys)
		}
	}
	x.slab = make([]byte, 0, size)
	x.ends = make([]uint32, n)
	x.offsets = make([]uint64, n)
	for i := range n {
		root.BlockMeta(&m, i)
		x.slab = append(x.slab, m.FirstKeyBytes()...)
		x.ends[i] = uint32(len(x.slab))
		x.offsets[i] = m.Offset()
		if l := m.EncodedLen(); l != 0 {
			if x.lens == nil {
				x.lens = make([]uint32, n)
			}
			x.lens[i] = l
		}
		if i > 0 && x.offsets[i] <= x.offsets[i-1] {
			return x, corruptf("index: block %d at %d, the one before at %d", i, x.offsets[i], x.offsets[i-1])
		}
	}
	x.prepare()
	return x, nil
}

// maxIndexKeys: ends are 32 bit, and an int where that has 32 bits.
const maxIndexKeys = math.MaxInt32

// prepare fills what less needs.
func (x *Index) prepare() {
	n := x.Len()
	for x.empty < n && len(x.Key(x.empty)) == 0 {
		x.empty++
	}
	x.heads = make([]uint64, n)
	if x.empty == n {
		return
	}
	// Over all keys, not just the outer two: nothing here relies on their order.
	first := x.Key(x.empty)
	x.common = len(first)
	for i := x.empty; i < n; i++ {
		x.common = matchLen(first[:x.common], x.Key(i))
	}
	for i := x.empty; i < n; i++ {
		x.heads[i] = headOf(x.Key(i)[x.common:])
	}
}

// checkOrder refuses index keys that are not ascending: a search would miss rows without
// saying so. Keys of WAL objects are never searched.
func (x *Index) checkOrder() error {
	for i := 1; i < x.Len(); i++ {
		if bytes.Compare(x.Key(i-1), x.Key(i)) > 0 {
			return corruptf("index key %d is below the one before", i)
		}
	}
	return nil
}
