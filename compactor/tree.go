package compactor

import (
	"bytes"
	"math"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// A View is what a Scheduler sees: one version of the manifest and the job list. It is shared
// and not to be changed.
type View struct {
	Manifest *manifest.Manifest
	// Jobs are all unfinished jobs, and perhaps finished ones.
	Jobs          []manifest.Compaction
	MaxConcurrent int
}

// inUse is how many jobs wait or run.
func (v *View) inUse() int {
	n := 0
	for i := range v.Jobs {
		switch v.Jobs[i].Status {
		case manifest.Submitted, manifest.Scheduled, manifest.Running:
			n++
		}
	}
	return n
}

// nextRun is an id above those of all runs and of all outputs to come.
func (v *View) nextRun() (uint32, bool) {
	id, ok := v.Manifest.NextRunID()
	next := uint64(id)
	for i := range v.Jobs {
		if j := &v.Jobs[i]; !j.Status.Finished() && !j.Spec.Drain {
			next = max(next, uint64(j.Spec.Destination)+1)
		}
	}
	return uint32(next), ok && next <= math.MaxUint32
}

// busy is what unfinished jobs use.
type busy struct {
	l0      map[ulid.ULID]bool
	runs    map[uint32]bool // sources and destinations
	drained map[string]bool // segments
}

func newBusy(jobs []manifest.Compaction) *busy {
	b := &busy{map[ulid.ULID]bool{}, map[uint32]bool{}, map[string]bool{}}
	for i := range jobs {
		if !jobs[i].Status.Finished() {
			b.add(&jobs[i].Spec)
		}
	}
	return b
}

func (b *busy) add(s *manifest.Spec) {
	for _, id := range s.L0Views {
		b.l0[id] = true
	}
	for _, id := range s.Runs {
		b.runs[id] = true
	}
	if s.Drain {
		b.drained[string(s.Segment)] = true
	} else {
		b.runs[s.Destination] = true
	}
}

// hits reports whether s uses what another job uses.
func (b *busy) hits(s *manifest.Spec) bool {
	for _, id := range s.L0Views {
		if b.l0[id] {
			return true
		}
	}
	for _, id := range s.Runs {
		if b.runs[id] {
			return true
		}
	}
	return b.drained[string(s.Segment)] || !s.Drain && b.runs[s.Destination]
}

// treeOf returns the tree of a segment, nil when there is none with this prefix.
func treeOf(m *manifest.Manifest, prefix []byte) *manifest.Tree {
	if len(prefix) == 0 {
		return &m.Root
	}
	if s := m.Segment(prefix); s != nil {
		return &s.Tree
	}
	return nil
}

func findL0(t *manifest.Tree, id ulid.ULID) int {
	return slices.IndexFunc(t.L0, func(v sst.View) bool { return v.ID == id })
}

func findRun(t *manifest.Tree, id uint32) *sst.SortedRun {
	for i := range t.Runs {
		if t.Runs[i].ID == id {
			return &t.Runs[i]
		}
	}
	return nil
}

// runExists reports whether any tree has a run with this id.
func runExists(m *manifest.Manifest, id uint32) bool {
	for _, t := range m.Trees() {
		if findRun(t, id) != nil {
			return true
		}
	}
	return false
}

// effective returns the keys that a view shows. An end of nil is unknown.
func effective(v *sst.View) kv.Range {
	r := kv.Range{Start: v.Table.Info.First, End: v.Table.Info.Last, EndInclusive: true}
	if v.Visible != nil {
		r = r.Intersect(*v.Visible)
	}
	return r
}

// disjoint returns the views in key order when no two of them can hold the same key.
func disjoint(views []sst.View) ([]sst.View, bool) {
	views = slices.Clone(views)
	slices.SortStableFunc(views, func(a, b sst.View) int {
		return bytes.Compare(effective(&a).Start, effective(&b).Start)
	})
	for i := 1; i < len(views); i++ {
		before, now := effective(&views[i-1]), effective(&views[i])
		if before.End == nil {
			return nil, false
		}
		if c := bytes.Compare(before.End, now.Start); c > 0 || c == 0 && before.EndInclusive {
			return nil, false
		}
	}
	return views, true
}
