package compactor

import (
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// check refuses what would damage the database. stage is Submitted, for a job about to be scheduled, or
// Compacted, for one whose outputs are about to replace its sources.
func check(m *manifest.Manifest, s *manifest.Spec, stage manifest.Status, operator bool) error {
	switch {
	case len(s.L0Views)+len(s.Runs) == 0:
		return invalidf("no sources")
	case s.Drain && len(s.Segment) == 0:
		return invalidf("drain of the root tree")
	}
	t, err := sourceTree(m, s)
	if err != nil {
		return err
	}
	if s.Drain {
		return checkDrain(t, s)
	}
	if !neighbours(t, s) {
		return invalidf("the sources are not neighbours, newest first")
	}
	if len(s.L0Views) > 0 {
		// Rows of a middle part of L0 would be there twice, since only the old end of L0 can be
		// cut off. A later fold of operands would then count some of them twice, or, hidden
		// behind a copy that was not folded, lose them.
		if operator && s.L0Views[len(s.L0Views)-1] != t.L0[len(t.L0)-1].ID {
			return invalidf("the oldest L0 table is not among the sources, which merge operands do not survive")
		}
	}
	if len(s.Runs) == 0 {
		for _, x := range m.Trees() {
			if stage == manifest.Compacted && x != t {
				continue
			}
			for i := range x.Runs {
				if x.Runs[i].ID >= s.Destination {
					return invalidf("destination %d is not above run %d", s.Destination, x.Runs[i].ID)
				}
			}
		}
	}
	if runExists(m, s.Destination) {
		for _, id := range s.Runs {
			if id == s.Destination {
				return nil
			}
		}
		return invalidf("destination %d is a run but no source", s.Destination)
	}
	if len(s.Runs) > 0 {
		return checkPlace(t, s)
	}
	return nil
}

// neighbours reports whether the sources stand side by side in the order of precedence. Otherwise data
// would move past the newer or older data between them.
func neighbours(t *manifest.Tree, s *manifest.Spec) bool {
	if n := len(s.L0Views); n > 0 {
		at := findL0(t, s.L0Views[0])
		if at < 0 || at+n > len(t.L0) || !slices.EqualFunc(t.L0[at:at+n], s.L0Views, func(v sst.View, id ulid.ULID) bool { return v.ID == id }) {
			return false
		}
		if len(s.Runs) == 0 {
			return true
		}
		if at+n != len(t.L0) || t.Runs[0].ID != s.Runs[0] {
			return false
		}
	}
	n := len(s.Runs)
	at := slices.IndexFunc(t.Runs, func(r sst.SortedRun) bool { return r.ID == s.Runs[0] })
	return at >= 0 && at+n <= len(t.Runs) && slices.EqualFunc(t.Runs[at:at+n], s.Runs, func(r sst.SortedRun, id uint32) bool { return r.ID == id })
}

// checkPlace refuses a new id that would move data past the runs between.
func checkPlace(t *manifest.Tree, s *manifest.Spec) error {
	source := map[uint32]bool{}
	for _, id := range s.Runs {
		source[id] = true
	}
	for i := range t.Runs {
		id := t.Runs[i].ID
		if !source[id] && (id > s.Destination) != (id > s.Runs[0]) {
			return invalidf("destination %d is on the other side of run %d", s.Destination, id)
		}
	}
	return nil
}

// sourceTree is the tree of a job, with all that the job merges in it.
func sourceTree(m *manifest.Manifest, s *manifest.Spec) (*manifest.Tree, error) {
	t := treeOf(m, s.Segment)
	if t == nil {
		return nil, invalidf("no segment %q", s.Segment)
	}
	return t, sourcesExist(t, s)
}

func sourcesExist(t *manifest.Tree, s *manifest.Spec) error {
	l0 := map[ulid.ULID]int{}
	for i := range t.L0 {
		l0[t.L0[i].ID]++
	}
	for _, id := range s.L0Views {
		switch l0[id] {
		case 0:
			return invalidf("no L0 view %s, or given twice", id)
		case 1:
			l0[id] = 0
		default:
			return invalidf("L0 view %s is there more than once", id)
		}
	}
	seen := map[uint32]bool{}
	for _, id := range s.Runs {
		if seen[id] || findRun(t, id) == nil {
			return invalidf("no run %d, or given twice", id)
		}
		seen[id] = true
	}
	return nil
}

// checkDrain: what is cut off is the old end of L0.
func checkDrain(t *manifest.Tree, s *manifest.Spec) error {
	drained := map[ulid.ULID]bool{}
	for _, id := range s.L0Views {
		drained[id] = true
	}
	inside := false
	for i := range t.L0 { // newest first
		id := t.L0[i].ID
		inside = inside || drained[id]
		if inside && !drained[id] {
			return invalidf("L0 view %s is older than a drained one and stays", id)
		}
	}
	return nil
}

// clash reports whether s must wait for a job that runs: one with a common source or
// destination, one with L0 sources in the same segment, or a drain of it. self is left out.
func clash(jobs []manifest.Compaction, self ulid.ULID, s *manifest.Spec) bool {
	for i := range jobs {
		j := &jobs[i]
		if j.ID == self {
			continue
		}
		switch j.Status {
		case manifest.Scheduled, manifest.Running, manifest.Compacted:
		default:
			continue
		}
		same := string(j.Spec.Segment) == string(s.Segment)
		if same && (s.Drain || len(s.L0Views) > 0 && len(j.Spec.L0Views) > 0) || newBusy(jobs[i:i+1]).hits(s) {
			return true
		}
	}
	return false
}

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{kv.ErrInvalid}, args...)...)
}
