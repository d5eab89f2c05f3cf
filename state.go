package slatedb

import (
	"bytes"
	"sort"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/memtable"
	"github.com/slatedb/slatedb-go/sst"
)

// state is everything a read needs, immutable, behind one atomic pointer. A read loads it
// first and a watermark second: the other way round a flush in between could have dropped
// the version that the older watermark needs.
type state struct {
	mem  *memTable
	imm  []*memTable // frozen, newest first
	man  *manifest.Manifest
	use  *tableUse // open iterators on the tables of man; nil in a reader
	root tree      // of a database without segments
	segs []tree    // ascending by prefix
}

// memTable is a memtable and what must be known to publish it.
type memTable struct {
	*memtable.Table
	firstSeq kv.Seq // smallest number in it
	// lastSeq and maxCreate belong to the commit section while the table is active and are
	// fixed when it is frozen.
	lastSeq   kv.Seq
	maxCreate int64
	times     manifest.Tracker // seq ↔ time points of its commits
	// prefixes are the segments of its rows, under commitMu; prefixList is a copy for others.
	prefixes   map[string]struct{}
	prefixList atomic.Pointer[[]string]

	// replayAfter is the newest WAL object that was durable at the freeze: every later one
	// holds only rows of this memtable or of later ones, or rows at or below its last seq.
	replayAfter uint64
	charged     int64 // bytes that back-pressure counts for it
	frozen      atomic.Bool
}

// tree is the tables of one segment, or of the whole database.
type tree struct {
	prefix []byte
	l0     []*sst.ViewReader // newest first
	runs   []run             // newest first
}

// run is a sorted run: views in ascending key order.
type run []*sst.ViewReader

// tables opens the manifest's views. It does no I/O. Readers of tables that old already had
// are taken over, so that their decoded metadata stays.
func (db *handle) tables(st *state) {
	opened := make(map[sst.ID]*sst.Reader)
	if old := db.state.Load(); old != nil {
		old.eachView(func(v *sst.ViewReader) { opened[v.Reader().Handle().ID] = v.Reader() })
	}
	view := func(v *sst.View) *sst.ViewReader {
		r := opened[v.Table.ID]
		if r == nil {
			r = db.ssts.Open(v.Table)
			opened[v.Table.ID] = r
		}
		return sst.NewViewReader(r, v)
	}
	build := func(prefix []byte, t *manifest.Tree) tree {
		out := tree{prefix: prefix}
		for i := range t.L0 {
			out.l0 = append(out.l0, view(&t.L0[i]))
		}
		for i := range t.Runs {
			var r run
			for j := range t.Runs[i].Views {
				r = append(r, view(&t.Runs[i].Views[j]))
			}
			if len(r) > 0 {
				out.runs = append(out.runs, r)
			}
		}
		return out
	}
	st.root = build(nil, &st.man.Root)
	st.segs = nil
	for i := range st.man.Segments {
		s := &st.man.Segments[i]
		st.segs = append(st.segs, build(s.Prefix, &s.Tree))
	}
}

func (st *state) eachView(f func(*sst.ViewReader)) {
	for _, t := range st.trees() {
		for _, v := range t.l0 {
			f(v)
		}
		for _, r := range t.runs {
			for _, v := range r {
				f(v)
			}
		}
	}
}

// trees returns the root tree and the segments.
func (st *state) trees() []*tree {
	out := make([]*tree, 0, 1+len(st.segs))
	out = append(out, &st.root)
	for i := range st.segs {
		out = append(out, &st.segs[i])
	}
	return out
}

// segment returns the segment that can hold key, or nil. Prefixes form an antichain, so it
// is the last one that is not above the key.
func (st *state) segment(key []byte) *tree {
	i := sort.Search(len(st.segs), func(i int) bool { return bytes.Compare(st.segs[i].prefix, key) > 0 })
	if i > 0 && bytes.HasPrefix(key, st.segs[i-1].prefix) {
		return &st.segs[i-1]
	}
	return nil
}

// The transitions below are pure: they take a state and return the next one.

// freeze moves the active memtable to the front of the frozen ones.
func (st *state) freeze(next *memTable) *state {
	n := *st
	n.imm = append([]*memTable{st.mem}, st.imm...)
	n.mem = next
	return &n
}

// dropImm removes the oldest k frozen memtables, which are in the manifest now.
func (st *state) dropImm(k int) *state {
	n := *st
	n.imm = append([]*memTable(nil), st.imm[:len(st.imm)-k]...)
	return &n
}

// maxOverlap returns the largest number of L0 views of the tree that cover one key.
func (t *tree) maxOverlap() int {
	best := 0
	for _, v := range t.l0 {
		// A point of deepest overlap is the start of some view.
		r := v.Range()
		n := 0
		for _, w := range t.l0 {
			o := w.Range()
			if startBelow(o, r) && endAbove(o, r) {
				n++
			}
		}
		best = max(best, n)
	}
	return best
}

// startBelow reports whether a starts at or below b's start.
func startBelow(a, b kv.Range) bool { return bytes.Compare(a.Start, b.Start) <= 0 }

// endAbove reports whether a ends at or above b's start.
func endAbove(a, b kv.Range) bool {
	if a.End == nil {
		return true
	}
	c := bytes.Compare(a.End, b.Start)
	return c > 0 || c == 0 && a.EndInclusive
}
