package manifest

import (
	"bytes"
	"math"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/sst"
)

// The changes that the roles make to a manifest, as functions without effects elsewhere.
// They are applied to the copy that Update hands out, that is to the newest stored version,
// so fields of other roles are kept by not being touched.

// AddL0 puts a freshly flushed view in front of the L0 list of the segment with this prefix
// (empty: the root tree), which is created when it is missing. A writer whose update may be
// applied twice (its first answer was lost) asks LastL0Seq first whether it is in already.
func (m *Manifest) AddL0(prefix []byte, v sst.View) {
	t := &m.Root
	if len(prefix) > 0 {
		i, ok := m.findSegment(prefix)
		if !ok {
			m.Segments = slices.Insert(m.Segments, i, Segment{Prefix: bytes.Clone(prefix)})
		}
		t = &m.Segments[i].Tree
	}
	t.L0 = slices.Insert(t.L0, 0, v)
}

// PruneSegments removes the segments that hold nothing. Only the writer does this: an empty
// segment is the compactor's sign that it was drained.
func (m *Manifest) PruneSegments() {
	m.Segments = slices.DeleteFunc(m.Segments, func(s Segment) bool { return s.Empty() })
}

// CutL0 removes the view with the given id from L0 and everything behind it (older), and
// remembers the id as watermark. An unknown id changes nothing but the watermark.
func (t *Tree) CutL0(watermark ulid.ULID) {
	t.LastCompactedL0 = watermark
	if i := slices.IndexFunc(t.L0, func(v sst.View) bool { return v.ID == watermark }); i >= 0 {
		t.L0 = slices.Delete(t.L0, i, len(t.L0))
	}
}

// TrimExternal removes from every external database the tables that no view uses any more.
// Emptied entries stay until they are detached.
func (m *Manifest) TrimExternal() {
	if len(m.External) == 0 {
		return
	}
	used := m.Tables()
	for i := range m.External {
		e := &m.External[i]
		e.Tables = slices.DeleteFunc(e.Tables, func(id ulid.ULID) bool { return used[id] == nil })
	}
}

// NewestL0Time returns the ULID time (Unix milliseconds) below which no new L0 table may be
// named: over all trees the newest L0 table, or the watermark of a tree without L0. The
// collector deletes unlisted tables below it.
func (m *Manifest) NewestL0Time() uint64 {
	var w uint64
	for _, t := range m.Trees() {
		if len(t.L0) == 0 {
			w = max(w, t.LastCompactedL0.Time())
		}
		for i := range t.L0 {
			w = max(w, t.L0[i].Table.ID.ULID().Time())
		}
	}
	return w
}

// NextRunID returns an id above that of every run, for the output of a new compaction. ok is
// false when there is none left.
func (m *Manifest) NextRunID() (id uint32, ok bool) {
	next := uint64(0)
	for _, t := range m.Trees() {
		for i := range t.Runs {
			next = max(next, uint64(t.Runs[i].ID)+1)
		}
	}
	return uint32(next), next <= math.MaxUint32
}
