package compactor

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
)

// A Scheduler decides what to merge. Its methods are called by one goroutine at a time, with no lock
// held; they should depend on their arguments alone and change nothing.
type Scheduler interface {
	// Propose returns the jobs to add now. Those that clash with an unfinished job are dropped,
	// and no more are started than v.MaxConcurrent.
	Propose(v View) []manifest.Spec
	// Validate may refuse a job, its own or one submitted by hand, beyond what is refused
	// anyway because it would damage the database.
	Validate(v View, s *manifest.Spec) error
}

// SizeTiered returns the default scheduler: it merges L0 into a new run when it has MinSources tables,
// and neighbouring runs of similar size into one.
func SizeTiered(o SizeTieredOptions) Scheduler { return &sizeTiered{o.withDefaults()} }

type sizeTiered struct{ o SizeTieredOptions }

// tier is one tree as the scheduler works on it.
type tier struct {
	prefix []byte
	tree   *manifest.Tree
	l0     []source
	runs   []source // newest first
}

type source struct {
	l0   ulid.ULID // or
	run  uint32
	size uint64
}

// Propose goes round the trees, those with most L0 first, and takes one job of each until
// the slots are used up or nothing is left to do.
func (s *sizeTiered) Propose(v View) []manifest.Spec {
	var tiers []*tier
	for prefix, t := range v.Manifest.Trees() {
		x := &tier{prefix: prefix, tree: t}
		for i := range t.L0 {
			x.l0 = append(x.l0, source{l0: t.L0[i].ID, size: ViewBytes(&t.L0[i])})
		}
		for i := range t.Runs {
			x.runs = append(x.runs, source{run: t.Runs[i].ID, size: runBytes(&t.Runs[i])})
		}
		tiers = append(tiers, x)
	}
	slices.SortStableFunc(tiers, func(a, b *tier) int { return cmp.Compare(len(b.l0), len(a.l0)) })

	v.Jobs = slices.Clone(v.Jobs)
	var out []manifest.Spec
	free := v.MaxConcurrent - v.inUse()
	for added := true; added; {
		added = false
		for _, t := range tiers {
			if len(out) >= free {
				return out
			}
			if spec, ok := s.pick(&v, t); ok {
				out = append(out, spec)
				v.Jobs = append(v.Jobs, manifest.Compaction{Spec: spec})
				added = true
			}
		}
	}
	return out
}

// pick finds one job in a tree.
func (s *sizeTiered) pick(v *View, t *tier) (manifest.Spec, bool) {
	b := newBusy(v.Jobs)
	if b.drained[string(t.prefix)] {
		return manifest.Spec{}, false
	}
	if spec, ok := s.pickL0(v, t, b); ok {
		return spec, true
	}
	if spec, ok := s.pickRuns(t, b); ok {
		return spec, true
	}
	return s.consolidate(v, t, b)
}

// pickL0 takes the oldest tables of L0 into a new run.
func (s *sizeTiered) pickL0(v *View, t *tier, b *busy) (manifest.Spec, bool) {
	if len(t.l0) < s.o.MinSources {
		return manifest.Spec{}, false
	}
	from := t.l0[max(0, len(t.l0)-s.o.MaxSources):]
	spec := manifest.Spec{Segment: bytes.Clone(t.prefix)}
	var size uint64
	for _, x := range from {
		spec.L0Views = append(spec.L0Views, x.l0)
		size += x.size
	}
	var ok bool
	if spec.Destination, ok = v.nextRun(); !ok {
		return spec, false
	}
	return spec, !b.hits(&spec) && s.roomBelow(size, t.runs)
}

// pickRuns takes the newest series of runs that are of similar size.
func (s *sizeTiered) pickRuns(t *tier, b *busy) (manifest.Spec, bool) {
	for i := range t.runs {
		n := s.series(t.runs[i:], b)
		if n >= s.o.MinSources {
			return s.join(t, t.runs[i:i+n], s.o.MaxSources), true
		}
	}
	return manifest.Spec{}, false
}

// consolidate bounds the number of runs whatever their sizes.
func (s *sizeTiered) consolidate(v *View, t *tier, b *busy) (manifest.Spec, bool) {
	most := s.o.ConsolidationThreshold
	projected := projectedRuns(v.Jobs, t)
	if most == 0 || projected <= most {
		return manifest.Spec{}, false
	}
	limit := min(s.o.MaxSources, projected-most+1)
	for i := range t.runs {
		n := 0
		for _, x := range t.runs[i:] {
			if b.runs[x.run] {
				break
			}
			n++
		}
		if min(n, limit) >= 2 {
			return s.join(t, t.runs[i:i+n], limit), true
		}
	}
	return manifest.Spec{}, false
}

// projectedRuns is how many runs the tree will have when its jobs are done.
func projectedRuns(jobs []manifest.Compaction, t *tier) int {
	ids := map[uint32]bool{}
	for _, r := range t.runs {
		ids[r.run] = true
	}
	for i := range jobs {
		if j := &jobs[i]; !j.Status.Finished() && bytes.Equal(j.Spec.Segment, t.prefix) {
			for _, id := range j.Spec.Runs {
				delete(ids, id)
			}
			if !j.Spec.Drain {
				ids[j.Spec.Destination] = true
			}
		}
	}
	return len(ids)
}

// join merges runs into the oldest of them, leaving out newest ones beyond limit.
func (s *sizeTiered) join(t *tier, runs []source, limit int) manifest.Spec {
	runs = runs[max(0, len(runs)-limit):]
	spec := manifest.Spec{Segment: bytes.Clone(t.prefix)}
	for _, r := range runs {
		spec.Runs = append(spec.Runs, r.run)
		spec.Destination = r.run
	}
	return spec
}

// series is how many runs from the first on are of similar size. Without b neither jobs nor
// the room below are looked at.
func (s *sizeTiered) series(runs []source, b *busy) int {
	var least, sum uint64
	for i, r := range runs {
		if i > 0 && r.size > s.times(least) {
			return i
		}
		if b != nil && (b.runs[r.run] || !s.roomBelow(sum+r.size, runs[i+1:])) {
			return i
		}
		if i == 0 || r.size < least {
			least = r.size
		}
		sum += r.size
	}
	return len(runs)
}

// roomBelow is the back-pressure of a size class: a run of about size bytes is not put on top
// of runs that are similar and wait in full number to be merged themselves.
func (s *sizeTiered) roomBelow(size uint64, below []source) bool {
	if len(below) == 0 || below[0].size > s.times(size) {
		return true
	}
	return s.series(below, nil) < s.o.MaxSources
}

// times is n times the threshold, computed as the Rust engine does, so that both pick the same.
func (s *sizeTiered) times(n uint64) uint64 {
	x := float32(n) * s.o.IncludeSizeThreshold
	if x >= math.MaxUint64 {
		return math.MaxUint64
	}
	return uint64(x)
}

// Validate demands the oldest source run as destination.
func (s *sizeTiered) Validate(_ View, spec *manifest.Spec) error {
	if spec.Drain {
		return nil
	}
	if n := len(spec.Runs); n > 0 && spec.Destination != spec.Runs[n-1] {
		return fmt.Errorf("%w: destination %d is not the oldest source run %d", kv.ErrInvalid, spec.Destination, spec.Runs[n-1])
	}
	return nil
}
