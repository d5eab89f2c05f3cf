package compactor

import (
	"cmp"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// A verdict is what became of a job at a commit.
type verdict struct {
	status manifest.Status // Completed or Failed
	err    error           // why Failed
}

// applyAll puts finished jobs into m, in order, and reports whether m changed. A job is what a worker
// has Compacted, a drain, or (Submitted) a trivial move.
func applyAll(m *manifest.Manifest, jobs []manifest.Compaction, operator bool) (_ []verdict, changed bool) {
	out := make([]verdict, len(jobs))
	for i := range jobs {
		j := &jobs[i]
		err := check(m, &j.Spec, manifest.Compacted, operator)
		switch {
		case err == nil:
			if err = apply(m, j); err == nil {
				changed = true
				out[i].status = manifest.Completed
				continue
			}
			fallthrough
		default:
			out[i] = verdict{manifest.Failed, err}
			if j.Status == manifest.Compacted && applied(m, j) {
				out[i] = verdict{status: manifest.Completed}
			}
		}
	}
	return out, changed
}

// apply changes m by one job that check has let through.
func apply(m *manifest.Manifest, j *manifest.Compaction) error {
	t := treeOf(m, j.Spec.Segment)
	s := &j.Spec
	if s.Drain {
		t.Runs = slices.DeleteFunc(t.Runs, func(r sst.SortedRun) bool { return slices.Contains(s.Runs, r.ID) })
		cutL0(t, s.L0Views)
		return nil
	}
	out := sst.SortedRun{ID: s.Destination}
	if j.Status == manifest.Compacted {
		for _, h := range j.Outputs {
			out.Views = append(out.Views, sst.View{ID: h.ID.ULID(), Table: h})
		}
	} else {
		views, ok := disjoint(sourceViews(t, s))
		if !ok {
			return invalidf("the sources overlap")
		}
		out.Views = views
	}
	t.Runs = slices.DeleteFunc(t.Runs, func(r sst.SortedRun) bool { return slices.Contains(s.Runs, r.ID) || r.ID == s.Destination })
	at, _ := slices.BinarySearchFunc(t.Runs, s.Destination, func(r sst.SortedRun, id uint32) int { return cmp.Compare(id, r.ID) })
	t.Runs = slices.Insert(t.Runs, at, out)
	cutL0(t, s.L0Views)
	return nil
}

// cutL0 removes the old end of L0 as far as all of it was compacted. Views in front of one that
// was not stay: what the writer holds is cut at one place only.
func cutL0(t *manifest.Tree, compacted []ulid.ULID) {
	at := len(t.L0)
	for at > 0 && slices.Contains(compacted, t.L0[at-1].ID) {
		at--
	}
	if at < len(t.L0) {
		t.CutL0(t.L0[at].ID)
	}
}

// sourceViews returns the views of all sources in order of precedence.
func sourceViews(t *manifest.Tree, s *manifest.Spec) []sst.View {
	var out []sst.View
	for _, id := range s.L0Views {
		if i := findL0(t, id); i >= 0 {
			out = append(out, t.L0[i])
		}
	}
	for _, id := range s.Runs {
		if r := findRun(t, id); r != nil {
			out = append(out, r.Views...)
		}
	}
	return out
}

// applied reports whether the outputs of j are in m already: its coordinator stopped before
// it could say so in the job list.
func applied(m *manifest.Manifest, j *manifest.Compaction) bool {
	t := treeOf(m, j.Spec.Segment)
	if t == nil {
		return false
	}
	r := findRun(t, j.Spec.Destination)
	if r == nil || len(r.Views) != len(j.Outputs) {
		return false
	}
	for i := range r.Views {
		if r.Views[i].ID != j.Outputs[i].ID.ULID() {
			return false
		}
	}
	for _, id := range j.Spec.Runs {
		if id != j.Spec.Destination && findRun(t, id) != nil {
			return false
		}
	}
	return true
}

// movable reports whether a job needs no worker: the sources become the output as they are.
func movable(m *manifest.Manifest, s *manifest.Spec) bool {
	t := treeOf(m, s.Segment)
	if s.Drain || t == nil {
		return false
	}
	if n := len(s.L0Views); n > 0 && s.L0Views[n-1] != t.L0[len(t.L0)-1].ID {
		return false // those views stay in L0
	}
	if len(s.L0Views) == 0 && len(s.Runs) == 1 && s.Runs[0] == s.Destination {
		return false // nothing would happen: who asks for it wants the run written anew
	}
	_, ok := disjoint(sourceViews(t, s))
	return ok
}

// bottom reports whether nothing older than the output of s exists in its tree.
func bottom(t *manifest.Tree, s *manifest.Spec) bool {
	if n := len(s.L0Views); n > 0 && (len(t.L0) == 0 || s.L0Views[n-1] != t.L0[len(t.L0)-1].ID) {
		return false // older tables stay in L0
	}
	n := len(t.Runs)
	return n == 0 || t.Runs[n-1].ID == s.Destination
}
