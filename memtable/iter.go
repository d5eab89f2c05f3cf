package memtable

import (
	"bytes"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// An Iter walks the versions with Seq <= max of the keys in a range, keys in its direction and
// within a key by seq descending. It belongs to one goroutine; rows added while it walks may
// or may not appear (they do not when max was a committed seq). Entry's slices alias the
// table and stay valid as long as somebody holds them.
type Iter struct {
	c    cursor
	rng  kv.Range
	max  kv.Seq
	e    kv.Entry
	desc bool
	at   state

	unbounded bool // ascending: the whole leaf lies below the range's end

	// Descending: the versions of one key are walked forward, then the cursor goes back to head,
	// the newest of them.
	head   cursor
	inside bool // head is set and c may stand on an older version
}

type state uint8

const (
	before state = iota
	on
	done
)

var _ kv.Iterator = (*Iter)(nil)

// Iter returns an iterator over the rows in r. It keeps r's bounds.
func (t *Table) Iter(r kv.Range, max kv.Seq, desc bool) *Iter {
	it := &Iter{}
	t.IterInto(it, r, max, desc)
	return it
}

// IterInto is Iter in memory of the caller's: it is overwritten.
func (t *Table) IterInto(it *Iter, r kv.Range, max kv.Seq, desc bool) {
	*it = Iter{rng: r, max: max, desc: desc}
	it.c.t = t
	if r.Empty() {
		it.at = done
	}
}

// Entry returns the current row.
func (it *Iter) Entry() *kv.Entry { return &it.e }

// Err returns nil: memory does not fail.
func (it *Iter) Err() error { return nil }

// Close ends the walk.
func (it *Iter) Close() error {
	it.at = done
	return nil
}

// Next moves to the next row.
func (it *Iter) Next() bool {
	switch {
	case it.at == done:
		return false
	case it.desc:
		if it.at == before {
			return it.settleDesc(it.startDesc())
		}
		return it.nextDesc()
	case it.at == before:
		return it.settle(it.start())
	}
	return it.settle(it.c.next())
}

// Seek moves forward to the first row at or past key.
func (it *Iter) Seek(key []byte) bool {
	if it.at == done {
		return false
	}
	if !it.desc {
		switch {
		case it.at == on && bytes.Compare(key, it.e.Key) <= 0:
			return true
		case !it.rng.AboveStart(key):
			return it.Next() // nothing was read yet, or key would be behind
		}
		return it.settle(it.c.seekGE(key, it.max))
	}
	switch {
	case it.at == on && bytes.Compare(key, it.e.Key) >= 0:
		return true
	case !it.rng.BelowEnd(key):
		return it.Next()
	}
	it.inside = false
	return it.settleDesc(it.c.seekLT(append(bytes.Clone(key), 0), kv.MaxSeq))
}

func (it *Iter) start() bool {
	if len(it.rng.Start) == 0 {
		return it.c.first()
	}
	if !it.rng.StartExclusive {
		return it.c.seekGE(it.rng.Start, kv.MaxSeq)
	}
	ok := it.c.seekGE(it.rng.Start, 0)
	if ok && bytes.Equal(it.key(), it.rng.Start) { // its seq is 0
		ok = it.c.next()
	}
	return ok
}

// settle makes the first row from the cursor on that may be seen the current one. ok is false when
// the cursor found nothing.
func (it *Iter) settle(ok bool) bool {
	for ; ok; ok = it.c.next() {
		if it.c.newLeaf {
			it.c.newLeaf = false
			it.c.warm()
			it.unbounded = it.rng.End == nil || it.leafBelowEnd()
		}
		it.c.t.arena.entry(it.c.cell(), &it.e)
		if !it.unbounded && !it.rng.BelowEnd(it.e.Key) {
			break
		}
		if it.e.Seq <= it.max {
			it.at = on
			return true
		}
	}
	it.at = done
	return false
}

func (it *Iter) leafBelowEnd() bool {
	if it.c.hi == 0 {
		return false
	}
	key, _ := it.c.t.arena.separator(it.c.hi)
	return bytes.Compare(key, it.rng.End) <= 0 && it.c.hi&wholeKey != 0
}

// startDesc puts the cursor on the last row of the range, which is the oldest version of its key.
func (it *Iter) startDesc() bool {
	switch {
	case it.rng.End == nil:
		return it.c.last()
	case it.rng.EndInclusive:
		// key+0x00 is the next byte string after key.
		return it.c.seekLT(append(bytes.Clone(it.rng.End), 0), kv.MaxSeq)
	}
	return it.c.seekLT(it.rng.End, kv.MaxSeq)
}

// nextDesc goes to the next older version of the current key, or to the next smaller key.
func (it *Iter) nextDesc() bool {
	if it.inside {
		if it.c.next() && bytes.Equal(it.key(), it.e.Key) {
			it.c.t.arena.entry(it.c.cell(), &it.e)
			return true
		}
		it.c, it.inside = it.head, false
	}
	return it.settleDesc(it.c.prev())
}

// settleDesc finds the cursor on the oldest version of some key. It makes the newest version of
// that key that may be seen the current row, or goes on to smaller keys.
func (it *Iter) settleDesc(ok bool) bool {
	for ; ok; ok = it.c.prev() {
		if it.c.newLeaf {
			it.c.newLeaf = false
			it.c.warm()
		}
		it.c.t.arena.entry(it.c.cell(), &it.e)
		if !it.rng.AboveStart(it.e.Key) {
			break
		}
		seen := it.e.Seq <= it.max // the oldest is not: none is
		if it.alone() {
			if seen {
				it.at = on
				return true
			}
			continue
		}
		for p := it.c; p.prev(); {
			if !bytes.Equal(it.c.t.arena.key(p.cell()), it.e.Key) {
				break
			}
			it.c = p
		}
		if !seen {
			continue
		}
		it.head, it.inside = it.c, true
		for it.c.t.arena.seq(it.c.cell()) > it.max {
			if !it.c.next() { // not before the version seen above
				it.at = done
				return false
			}
		}
		it.c.t.arena.entry(it.c.cell(), &it.e)
		it.at = on
		return true
	}
	it.at = done
	return false
}

// alone reports whether the row before the cursor's surely has another key.
func (it *Iter) alone() bool {
	c := &it.c
	if c.rank == 0 {
		return c.lo == 0 || c.lo&wholeKey != 0
	}
	s, p := c.order.slot(c.rank), c.order.slot(c.rank-1)
	return c.leaf.pfx[s] != c.leaf.pfx[p] || !bytes.Equal(c.t.arena.key(c.leaf.cell(p)), it.e.Key)
}

func (it *Iter) key() []byte { return it.c.t.arena.key(it.c.cell()) }
