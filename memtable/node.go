package memtable

import (
	"bytes"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/slatedb/slatedb-go/internal/kv"
)

const (
	leafSlots  = 14 // three cache lines
	innerSlots = 15 // four cache lines, and what an order word can name

	// wholeKey marks a separator before all versions of the key of its cell. Without it the
	// separator is the very version, since versions of one key lie on both sides.
	wholeKey ref = 1 << refBits
)

// Layout promises: a node begins on a cache line.
var (
	_ [0]struct{} = [unsafe.Sizeof(leaf{}) - 192]struct{}{}
	_ [0]struct{} = [unsafe.Sizeof(inner{}) - 256]struct{}{}
)

// An order says which slot of a node holds which rank: 4 bits of count, then 4 bits a rank.
type order uint64

func (o order) count() int         { return int(o & 15) }
func (o order) slot(rank int) uint { return uint(o>>(4*uint(rank)+4)) & 15 }

// insert puts slot at rank and moves the higher ranks up.
func (o order) insert(rank int, slot uint) order {
	at := 4*uint(rank) + 4
	low := o & (1<<at - 1)
	return (low | order(slot)<<at | o>>at<<at<<4) + 1
}

// inOrder is the order of a node whose n slots were filled by rank.
func inOrder(n int) order {
	const all = 0xEDCBA98765432100
	return all&(1<<(4*uint(n)+4)-1) | order(n)
}

// A leaf holds rows. order is its publication: slots it names are written, and never again but
// for a replaced reference.
type leaf struct {
	order atomic.Uint64
	skip  uint32 // all keys between the leaf's fences share this many bytes
	tail  uint32 // 1: versions of the last key may go on in the next leaf
	pfx   [leafSlots]uint64
	cells [leafSlots]ref // loaded atomically: an equal (key, seq) replaces
	_     [8]byte
}

// An inner node sends (key, seq) to the child of its last separator at or before them. The separator of
// rank 0 is the node's lower fence, 0 when it has none.
type inner struct {
	order atomic.Uint64
	skip  uint32
	_     uint32
	pfx   [innerSlots]uint64
	seps  [innerSlots]ref
	child [innerSlots]uint32 // loaded atomically
}

// rank counts the pieces below p. The borrow of the subtraction is the comparison: no branch,
// since each would be taken by chance.
func rank(pfx []uint64, p uint64) int {
	var below uint64
	for _, q := range pfx {
		_, b := bits.Sub64(q, p, 0)
		below += b
	}
	return int(below)
}

// find returns the rank of the child for (key, seq). strict takes the last separator below
// them instead of at or below.
func (n *inner) find(a *arena, o order, key []byte, seq kv.Seq, strict bool) int {
	p := prefixAt(key, n.skip)
	count := o.count()
	r := rank(n.pfx[:count], p)
	for r < count {
		s := o.slot(r)
		if n.pfx[s] != p {
			break
		}
		if r > 0 && !sepBefore(a, n.seps[s], key, seq, strict) {
			break
		}
		r++
	}
	return max(r-1, 0)
}

// step returns the child for (key, seq) as one reader may use it: see Publication.
func (n *inner) step(a *arena, key []byte, seq kv.Seq) uint32 {
	o := order(n.order.Load())
	for {
		c := atomic.LoadUint32(&n.child[o.slot(n.find(a, o, key, seq, false))])
		again := order(n.order.Load())
		if again == o {
			return c
		}
		o = again
	}
}

// separator returns the key and seq at which a separator stands.
func (a *arena) separator(sep ref) ([]byte, kv.Seq) {
	if sep&wholeKey != 0 {
		return a.key(sep &^ wholeKey), kv.MaxSeq
	}
	return a.key(sep), a.seq(sep)
}

// sepBefore reports whether the separator is at or (not strict) before (key, seq).
func sepBefore(a *arena, sep ref, key []byte, seq kv.Seq, strict bool) bool {
	k, s := a.separator(sep)
	switch c := bytes.Compare(k, key); {
	case c != 0:
		return c < 0
	case s == seq:
		return !strict
	}
	return s > seq
}

// lowerBound returns the rank of the first row at or after (key, seq); equal tells that it is at.
func (l *leaf) lowerBound(a *arena, o order, key []byte, seq kv.Seq) (r int, equal bool) {
	p := prefixAt(key, l.skip)
	count := o.count()
	r = rank(l.pfx[:count], p)
	for ; r < count; r++ {
		s := o.slot(r)
		if l.pfx[s] != p {
			break
		}
		if c := a.compare(l.cell(s), key, seq); c >= 0 {
			return r, c == 0
		}
	}
	return r, false
}

func (l *leaf) cell(slot uint) ref { return ref(atomic.LoadUint32((*uint32)(&l.cells[slot]))) }

// A pool holds nodes of one kind in chunks, named by number. Number 0 is not used.
type pool[T any] struct {
	dir  atomic.Pointer[[][]T]
	used uint32 // in the last chunk; the writer's own
	held atomic.Int64
}

const (
	firstNodes = 16
	nodeBits   = 12 // 4,096 nodes at most in a chunk
)

func (p *pool[T]) at(n uint32) *T {
	return &(*p.dir.Load())[n>>nodeBits][n&(1<<nodeBits-1)]
}

// alloc returns a zero node.
func (p *pool[T]) alloc() (*T, uint32) {
	var list [][]T
	if d := p.dir.Load(); d != nil {
		list = *d
	}
	if last := len(list) - 1; last < 0 || int(p.used) == len(list[last]) {
		size := firstNodes
		if last >= 0 {
			size = min(2*len(list[last]), 1<<nodeBits)
		}
		list = append(list, make([]T, size))
		p.dir.Store(&list)
		p.used = 0
		if last < 0 {
			p.used = 1
		}
		var t T
		p.held.Add(int64(size) * int64(unsafe.Sizeof(t)))
	}
	c := len(list) - 1
	n := &list[c][p.used]
	name := uint32(c)<<nodeBits | p.used
	p.used++
	return n, name
}
