package sst

import (
	"bytes"
	"sort"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A ViewReader is a table cut to the range of a view. It is immutable and safe for
// concurrent use.
type ViewReader struct {
	r *Reader
	// rng is the effective range: where the table has keys, cut to what the view shows.
	rng kv.Range
	// visible is the cut alone. Rows are checked against it, not against rng, since the
	// table has none outside its physical range.
	visible kv.Range
	cut     bool // visible is not everything
}

// NewViewReader cuts r to v.
func NewViewReader(r *Reader, v *View) *ViewReader {
	vr := &ViewReader{r: r}
	info := &r.h.Info
	vr.rng = kv.Range{Start: info.First, End: info.Last, EndInclusive: true}
	if v.Visible != nil {
		vr.visible, vr.cut = *v.Visible, true
		vr.rng = vr.rng.Intersect(vr.visible)
	}
	return vr
}

// Reader returns the table.
func (v *ViewReader) Reader() *Reader { return v.r }

// Range is where the view may have keys. An end of nil also stands for an unknown last key.
func (v *ViewReader) Range() kv.Range { return v.rng }

// Covers reports whether the view may hold key.
func (v *ViewReader) Covers(key []byte) bool {
	return v.rng.AboveStart(key) && v.rng.BelowEnd(key)
}

// Overlaps reports whether the view may hold keys of r.
func (v *ViewReader) Overlaps(r kv.Range) bool {
	if len(r.Start) > 0 && !r.StartExclusive && r.BelowEnd(r.Start) && v.Covers(r.Start) {
		return true // the usual case: the range begins inside
	}
	x := v.rng.Intersect(r)
	return !x.Empty()
}

// Verdict is the outcome of a point read in one table.
type Verdict uint8

// The outcomes.
const (
	Absent  Verdict = iota // the table holds no visible version
	Found                  // dst is set
	Missing                // something is not cached; the Lookup knows what
)

// Get looks for the newest version of l's key with seq <= max, in what is cached or pinned in
// l. dst's key is l's key; its value aliases a block that stays valid as long as it is
// referred to. It allocates nothing unless it returns Missing or an error.
func (v *ViewReader) Get(l *Lookup, max kv.Seq, dst *kv.Entry) (Verdict, error) {
	key := l.q.Key
	if !v.rng.AboveStart(key) || !v.rng.BelowEnd(key) {
		return Absent, nil
	}
	r := v.r
	m := r.meta()
	if m == nil {
		if m = l.pinned(r, MetaBlock).Meta; m == nil {
			l.need(r, nil, MetaBlock)
			return Missing, nil
		}
	}
	verdict, _, err := r.mayContain(m, &l.q)
	if err != nil {
		return Absent, err
	}
	l.tally.of(r.s)
	if len(l.pins) != 0 {
		l.noteMeta(r, verdict)
	}
	if verdict == filterNo {
		l.tally.n[1]++
		return Absent, nil
	}
	x := &m.Index
	n := x.Len()
	first := x.lookupStart(key)
	i := first
	for ; i < n; i++ {
		b := r.cells.Block(i)
		if b == nil {
			if b = l.pinned(r, i).Block; b == nil {
				l.need(r, m, i)
				// The next candidate lies side by side with this one: it costs no request.
				if i+1 < n && bytes.Compare(x.Key(i+1), key) <= 0 {
					l.need(r, m, i+1)
				}
				return Missing, nil
			}
		}
		if len(l.pins) != 0 {
			l.noteBlock(r, i)
		}
		found, past, err := b.get(key, max, dst)
		if err != nil {
			return Absent, r.damage("block", x.Offset(i), err)
		}
		if found {
			l.tally.looked(verdict, i-first+1)
			return Found, nil
		}
		if past || i+1 >= n || bytes.Compare(x.Key(i+1), key) > 0 {
			break
		}
	}
	l.tally.looked(verdict, min(i, n-1)-first+1)
	if verdict == filterMaybe {
		l.tally.n[2]++
	}
	return Absent, nil
}

// FindInRun returns the views of a sorted run that may hold key, in the order in which they
// hold its versions, newest first: usually one, several when key is their boundary.
func FindInRun(run []*ViewReader, key []byte) []*ViewReader {
	// end is behind the last view that begins at or below key.
	end := sort.Search(len(run), func(i int) bool { return !run[i].rng.AboveStart(key) })
	first := end
	for first > 0 && run[first-1].holdsBefore(run, first-1, key) {
		first--
	}
	return run[first:end]
}

// holdsBefore reports whether view i of a run may hold key. Without a known last key a view
// ends where the next one begins, that key included.
func (v *ViewReader) holdsBefore(run []*ViewReader, i int, key []byte) bool {
	if !v.rng.Contains(key) {
		return false
	}
	return v.rng.End != nil || i+1 == len(run) || !run[i+1].rng.AboveStart(key) || bytes.Equal(key, run[i+1].rng.Start)
}

// FindRangeInRun returns the views of a sorted run that may hold keys of r.
func FindRangeInRun(run []*ViewReader, r kv.Range) []*ViewReader {
	first := 0
	if r.Start != nil {
		// Ends ascend, as far as they are known; an unknown one is the next view's start.
		first = sort.Search(len(run), func(i int) bool {
			if end := run[i].rng; end.End != nil {
				return end.BelowEnd(r.Start)
			}
			return i+1 == len(run) || bytes.Compare(run[i+1].rng.Start, r.Start) >= 0
		})
	}
	last := first
	for last < len(run) && (r.End == nil || r.BelowEnd(run[last].rng.Start)) {
		last++
	}
	return run[first:last]
}
