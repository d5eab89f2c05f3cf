package memtable

import (
	"bytes"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// maxHeight bounds the tree: a node splits into halves of at least 7, so 12 levels hold more
// rows than there are references.
const maxHeight = 16

// rowOverhead is what a row costs in a table beside its key and value: lengths, seq, flags, create
// time, restart points, its share of the block's checksum and index.
const rowOverhead = 24

// A Table is a sorted set of versions. Add belongs to one writer at a time; everything else
// may be called from any goroutine meanwhile.
type Table struct {
	arena  arena
	leaves pool[leaf]
	inners pool[inner]

	root    atomic.Uint64 // name << 8 | height; height 0 is a leaf; 0 is empty
	rows    atomic.Int64
	encoded atomic.Int64

	w finger

	between func() // of tests: called between the two stores of a split
}

// finger is where the writer was last. Runs of ascending keys (batches are sorted) stay there
// without a walk from the root.
type finger struct {
	path   [maxHeight]step // path[h] is the inner node of height h, 1 being just above the leaf
	height int             // -1: path is unknown
	leaf   *leaf
	name   uint32
	hi     ref // upper fence of leaf, 0 when it has none
	last   ref // the row added last, in leaf; 0: the finger is not valid
	lastAt int // its rank
	run    bool
}

type step struct {
	node *inner
	name uint32
	rank int
}

// New returns an empty table. It holds no memory to speak of before the first Add.
func New() *Table { return &Table{} }

// Len returns how many rows the table holds.
func (t *Table) Len() int { return int(t.rows.Load()) }

// EncodedBytes estimates the size of the rows as a table of the object store.
func (t *Table) EncodedBytes() int64 { return t.encoded.Load() }

// MemoryBytes returns the memory held.
func (t *Table) MemoryBytes() int64 {
	return t.arena.held.Load() + t.leaves.held.Load() + t.inners.held.Load()
}

func encodedBytes(e *kv.Entry) int64 {
	n := int64(len(e.Key)) + int64(len(e.Value)) + rowOverhead
	if e.ExpireTS != kv.NoTS {
		n += 8
	}
	return n
}

// Add copies e into the table. A row of the same key and seq is replaced. It never fails; 16
// GiB of rows in one table are a broken promise of the caller, who freezes long before.
func (t *Table) Add(e *kv.Entry) {
	cell := t.arena.write(e)
	w := &t.w
	wasLeaf, after := w.leaf, w.lastAt+1
	if !t.near(e.Key) && !t.descend(e.Key, e.Seq) {
		t.plant(e.Key, cell)
		t.count(1, encodedBytes(e))
		return
	}
	l := w.leaf
	o := order(l.order.Load())
	at, equal := l.lowerBound(&t.arena, o, e.Key, e.Seq)
	if equal {
		s := o.slot(at)
		var old kv.Entry
		t.arena.entry(l.cell(s), &old)
		atomic.StoreUint32((*uint32)(&l.cells[s]), uint32(cell))
		w.last, w.lastAt, w.run = cell, at, false
		t.count(0, encodedBytes(e)-encodedBytes(&old))
		return
	}
	n := o.count()
	w.run = w.leaf == wasLeaf && at == after
	if n == leafSlots {
		if w.height < 0 {
			run := w.run
			t.descend(e.Key, e.Seq)
			w.run = run
		}
		t.split(o, at, cell)
	} else {
		l.pfx[n] = prefixAt(e.Key, l.skip)
		l.cells[n] = cell
		l.order.Store(uint64(o.insert(at, uint(n))))
		w.last, w.lastAt = cell, at
	}
	t.count(1, encodedBytes(e))
}

func (t *Table) count(rows, encoded int64) {
	// One writer: a store of the sum would do, and costs the same.
	if rows != 0 {
		t.rows.Add(rows)
	}
	t.encoded.Add(encoded)
}

// near reports whether key belongs to the finger's leaf, where that is cheap to tell.
func (t *Table) near(key []byte) bool {
	w := &t.w
	if w.last == 0 {
		return false
	}
	last := t.arena.key(w.last)
	if w.hi == 0 || w.run {
		if bytes.Compare(key, last) <= 0 {
			return false
		}
		// Of an upper fence only the key counts here: versions of that key may be beyond it.
		return w.hi == 0 || bytes.Compare(key, t.arena.key(w.hi&^wholeKey)) < 0
	}
	// Between the row added last and the leaf's last row: no cell has to be fetched for that.
	l := w.leaf
	o := order(l.order.Load())
	lo, hi := l.pfx[o.slot(w.lastAt)], l.pfx[o.slot(o.count()-1)]
	skip := int(l.skip)
	if len(key) < skip || len(last) < skip {
		return false
	}
	if p := prefixAt(key, l.skip); p <= lo || p >= hi {
		return false
	}
	return bytes.Equal(key[:skip], last[:skip])
}

// descend moves the finger to the leaf of (key, seq). It returns false when the table is empty.
func (t *Table) descend(key []byte, seq kv.Seq) bool {
	root := t.root.Load()
	if root == 0 {
		return false
	}
	w := &t.w
	w.last, w.hi, w.run = 0, 0, false
	name, h := uint32(root>>8), int(root&0xFF)
	w.height = h
	for ; h > 0; h-- {
		n := t.inners.at(name)
		o := order(n.order.Load())
		r := n.find(&t.arena, o, key, seq, false)
		w.path[h] = step{n, name, r}
		if r+1 < o.count() {
			w.hi = n.seps[o.slot(r+1)]
		}
		name = n.child[o.slot(r)]
	}
	w.leaf, w.name = t.leaves.at(name), name
	return true
}

// plant makes the first leaf.
func (t *Table) plant(key []byte, cell ref) {
	l, name := t.leaves.alloc()
	l.pfx[0] = prefixAt(key, 0)
	l.cells[0] = cell
	l.order.Store(uint64(inOrder(1)))
	t.root.Store(uint64(name) << 8)
}

// Get copies to dst the newest version of key with Seq <= max. dst's slices alias the table.
func (t *Table) Get(key []byte, max kv.Seq, dst *kv.Entry) bool {
	root := t.root.Load()
	if root == 0 {
		return false
	}
	name := uint32(root >> 8)
	for range root & 0xFF {
		name = t.inners.at(name).step(&t.arena, key, max)
	}
	l := t.leaves.at(name)
	o := order(l.order.Load())
	p := prefixAt(key, l.skip)
	count := o.count()
	for r := rank(l.pfx[:count], p); r < count; r++ {
		s := o.slot(r)
		if l.pfx[s] != p {
			return false
		}
		cell := l.cell(s)
		switch c := bytes.Compare(t.arena.key(cell), key); {
		case c > 0:
			return false
		case c == 0 && t.arena.seq(cell) <= max:
			t.arena.entry(cell, dst)
			return true
		}
	}
	if l.tail == 0 {
		return false
	}
	// All the leaf has of the key is too new, and its versions may go on in the next one.
	var c cursor
	c.t = t
	if !c.seekGE(key, max) {
		return false
	}
	t.arena.entry(c.cell(), dst)
	return bytes.Equal(dst.Key, key)
}
