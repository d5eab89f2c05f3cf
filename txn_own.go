package slatedb

import (
	"bytes"
	"slices"
	"sort"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// ownIndex finds the operations of a transaction's batch by key. Points go through head and
// prev; a scan needs sorted, which is made when the first scan after a write asks for it.
//
// The batch is only appended to, and cut so that what comes next does not overwrite what was
// cut off (see cut). So a slice of it that an iterator holds never changes.
type ownIndex struct {
	head map[string]int32 // newest operation on a key
	prev []int32          // of each operation: the one before on the same key, or -1
	// sorted has the operations below len(sorted), by key, then newest first. It is replaced,
	// never changed: iterators hold it.
	sorted []int32
}

// added enters the newest operation.
func (x *ownIndex) added(b *WriteBatch) {
	i := len(b.ops) - 1
	key := b.key(i)
	before, ok := x.head[string(key)]
	if !ok {
		before = -1
	}
	if x.head == nil {
		x.head = make(map[string]int32)
	}
	x.prev = append(x.prev, before)
	x.head[string(key)] = int32(i)
}

// cut forgets the operations from n on.
func (x *ownIndex) cut(b *WriteBatch, n int) {
	if n == len(b.ops) {
		return
	}
	for i := len(b.ops) - 1; i >= n; i-- {
		if x.prev[i] < 0 {
			delete(x.head, string(b.key(i)))
		} else {
			x.head[string(b.key(i))] = x.prev[i]
		}
	}
	x.prev = x.prev[:n]
	end := 0
	if n > 0 {
		last := &b.ops[n-1]
		end = last.off + int(last.keyLen) + int(last.valLen)
	}
	// Clipped: the next append copies, and open iterators keep what they saw.
	b.buf, b.ops = b.buf[:end:end], b.ops[:n:n]
	if len(x.sorted) > n {
		keep := make([]int32, 0, n)
		for _, i := range x.sorted {
			if int(i) < n {
				keep = append(keep, i)
			}
		}
		x.sorted = keep
	}
}

// all returns every operation as a source of a scan.
func (x *ownIndex) all(b *WriteBatch, op kv.MergeOperator) *ownWrites {
	if have := len(x.sorted); have < len(b.ops) {
		fresh := make([]int32, 0, len(b.ops)-have)
		for i := have; i < len(b.ops); i++ {
			fresh = append(fresh, int32(i))
		}
		less := func(i, j int32) int {
			if c := bytes.Compare(b.key(int(i)), b.key(int(j))); c != 0 {
				return c
			}
			return int(j) - int(i)
		}
		slices.SortFunc(fresh, less)
		next := make([]int32, 0, len(b.ops))
		rest := x.sorted
		for _, i := range fresh {
			n := sort.Search(len(rest), func(k int) bool { return less(rest[k], i) > 0 })
			next = append(append(next, rest[:n]...), i)
			rest = rest[n:]
		}
		x.sorted = append(next, rest...)
	}
	return &ownWrites{b: WriteBatch{buf: b.buf, ops: b.ops}, order: x.sorted, op: op}
}

// on returns the operations on one key, or nil.
func (x *ownIndex) on(b *WriteBatch, key []byte, op kv.MergeOperator) *ownWrites {
	i, ok := x.head[string(key)]
	if !ok {
		return nil
	}
	w := &ownWrites{b: WriteBatch{buf: b.buf, ops: b.ops}, op: op}
	for i >= 0 {
		w.order = append(w.order, i)
		if b.ops[i].kind != kv.Merge {
			break // what is below does not count
		}
		i = x.prev[i]
	}
	return w
}

// ownWrites are writes of a transaction, fixed at one moment.
type ownWrites struct {
	b     WriteBatch
	order []int32 // by key, then newest first
	op    kv.MergeOperator
}

// row makes one row of the operations on a key, newest first. Its seq is above every stored
// one; it has no times.
func (w *ownWrites) row(order []int32) (kv.Entry, error) {
	last := int(order[0])
	e := kv.Entry{
		Key: w.b.key(last), Value: w.b.value(last), Kind: w.b.ops[last].kind,
		Seq: kv.MaxSeq, CreateTS: kv.NoTS, ExpireTS: kv.NoTS,
	}
	if e.Kind != kv.Merge {
		return e, nil
	}
	var base []byte
	var operands [][]byte
	for _, i := range order {
		if kind := w.b.ops[i].kind; kind != kv.Merge {
			if e.Kind = kv.Put; kind == kv.Put {
				base = nonNil(w.b.value(int(i)))
			}
			break
		}
		operands = append(operands, w.b.value(int(i)))
	}
	if e.Kind == kv.Merge && len(operands) == 1 {
		return e, nil
	}
	slices.Reverse(operands)
	v, err := foldOperands(w.op, e.Key, base, operands)
	e.Value = v
	return e, err
}

// over returns the stored versions up to max with the own rows of the range above them.
func (w *ownWrites) over(stored kv.Iterator, r kv.Range, desc bool, max kv.Seq) kv.Iterator {
	lo := sort.Search(len(w.order), func(i int) bool { return r.AboveStart(w.b.key(int(w.order[i]))) })
	hi := lo + sort.Search(len(w.order)-lo, func(i int) bool { return !r.BelowEnd(w.b.key(int(w.order[lo+i]))) })
	m := &overlay{stored: stored, max: max, desc: desc, own: ownIter{w: w, order: w.order[lo:hi], desc: desc}}
	return m
}

// ownIter walks the rows of ownWrites.
type ownIter struct {
	w     *ownWrites
	order []int32 // what is left
	desc  bool
	group []int32 // operations on the next key, not folded yet
}

// peek returns the next key without folding it.
func (it *ownIter) peek() []byte {
	if len(it.group) == 0 {
		n := len(it.order)
		if n == 0 {
			return nil
		}
		at := 0
		if it.desc {
			at = n - 1
		}
		key := it.w.b.key(int(it.order[at]))
		if it.desc {
			i := n - 1
			for i > 0 && bytes.Equal(it.w.b.key(int(it.order[i-1])), key) {
				i--
			}
			it.group, it.order = it.order[i:], it.order[:i]
		} else {
			i := 1
			for i < n && bytes.Equal(it.w.b.key(int(it.order[i])), key) {
				i++
			}
			it.group, it.order = it.order[:i], it.order[i:]
		}
	}
	return it.w.b.key(int(it.group[0]))
}

func (it *ownIter) take() (kv.Entry, error) {
	g := it.group
	it.group = nil
	return it.w.row(g)
}

// seek leaves out the keys before key.
func (it *ownIter) seek(key []byte) {
	if k := it.peek(); k == nil || !before(k, key, it.desc) {
		return
	}
	it.group = nil
	if it.desc {
		n := sort.Search(len(it.order), func(i int) bool { return bytes.Compare(it.w.b.key(int(it.order[i])), key) > 0 })
		it.order = it.order[:n]
	} else {
		n := sort.Search(len(it.order), func(i int) bool { return bytes.Compare(it.w.b.key(int(it.order[i])), key) >= 0 })
		it.order = it.order[n:]
	}
}

func before(a, b []byte, desc bool) bool {
	c := bytes.Compare(a, b)
	return c < 0 && !desc || c > 0 && desc
}

// overlay merges a transaction's own rows with the stored versions that it may see. The
// stored ones are cut at max here, since own rows are above it.
type overlay struct {
	own    ownIter
	stored kv.Iterator
	max    kv.Seq
	desc   bool

	head  *kv.Entry // of stored, not yet given; nil when it has to be fetched
	ended bool      // stored has no more
	e     kv.Entry  // the own row given last
	cur   *kv.Entry
	err   error
}

// fill brings the next visible stored version into head.
func (o *overlay) fill() {
	for o.head == nil && !o.ended {
		if !o.stored.Next() {
			o.ended, o.err = true, o.stored.Err()
			return
		}
		o.show()
	}
}

func (o *overlay) show() {
	if e := o.stored.Entry(); e.Seq <= o.max {
		o.head = e
	}
}

func (o *overlay) Next() bool {
	o.cur = nil
	if o.err != nil {
		return false
	}
	o.fill()
	if o.err != nil {
		return false
	}
	key := o.own.peek()
	switch {
	case key == nil && o.head == nil:
		return false
	case o.head == nil || key != nil && !before(o.head.Key, key, o.desc):
		if o.e, o.err = o.own.take(); o.err != nil {
			return false
		}
		o.cur = &o.e
	default:
		o.cur, o.head = o.head, nil // valid until stored moves, in the next fill
	}
	return true
}

func (o *overlay) Seek(key []byte) bool {
	if o.cur != nil && !before(o.cur.Key, key, o.desc) {
		return true
	}
	if o.err != nil {
		return false
	}
	o.own.seek(key)
	if !o.ended && (o.head == nil || before(o.head.Key, key, o.desc)) {
		o.head = nil
		if !o.stored.Seek(key) {
			o.ended, o.err = true, o.stored.Err()
		} else {
			o.show()
		}
	}
	return o.Next()
}

func (o *overlay) Entry() *kv.Entry { return o.cur }
func (o *overlay) Err() error       { return o.err }

func (o *overlay) Close() error {
	o.ended, o.head, o.cur = true, nil, nil
	o.own.order, o.own.group = nil, nil
	if err := o.stored.Close(); o.err == nil {
		o.err = err
	}
	return o.err
}
