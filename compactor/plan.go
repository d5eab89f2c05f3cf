package compactor

import (
	"errors"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
)

// A plan is what a look at list and manifest leads to.
type plan struct {
	promoted []ulid.ULID         // Submitted, found good, and a slot is free
	rejected map[ulid.ULID]error // Submitted, found bad, or Scheduled, with sources that are gone
	// moves are done in the manifest alone: drains and trivial moves. A job without an id is
	// a proposal and not in the list.
	moves []manifest.Compaction
	added []addition // proposals for workers
	err   error      // of the scheduler, which is somebody else's code
}

// makePlan validates what was submitted and asks the scheduler for more. It changes nothing.
func makePlan(v View, s Scheduler, moves, operator bool) plan {
	p := plan{rejected: map[ulid.ULID]error{}}
	v.Jobs = cloneJobs(v.Jobs)
	running := 0
	for i := range v.Jobs {
		if st := v.Jobs[i].Status; st == manifest.Scheduled || st == manifest.Running {
			running++
		}
	}
	for i := range v.Jobs {
		j := &v.Jobs[i]
		if j.Status == manifest.Scheduled && !j.Spec.Drain {
			// No worker could ever do it, and its place would never be free.
			if _, err := sourceTree(v.Manifest, &j.Spec); err != nil {
				p.fail(j, err)
				running--
			}
		}
		if j.Status != manifest.Submitted {
			continue
		}
		// In this order: a job whose sources another one works on fails when they are gone, and waits
		// for that, so that who submits again does so against what is new.
		waits := clash(v.Jobs, j.ID, &j.Spec)
		err := refuse(v, s, &j.Spec, operator)
		switch {
		case err != nil && !waits, errors.Is(err, errScheduler):
			if errors.Is(err, errScheduler) {
				p.err = err // says nothing about the job
			} else {
				p.fail(j, err)
			}
		case waits:
		case j.Spec.Drain || moves && movable(v.Manifest, &j.Spec):
			p.moves = append(p.moves, j.Clone())
			j.Status = manifest.Compacted // in use, takes no slot
		case running < v.MaxConcurrent:
			p.promoted = append(p.promoted, j.ID)
			j.Status = manifest.Scheduled
			running++
		}
	}
	var specs []manifest.Spec
	if err := seam.Guard("compaction scheduler", func() error { specs = s.Propose(v); return nil }); err != nil {
		p.err = err
		return p
	}
	used := newBusy(v.Jobs)
	for _, spec := range specs {
		if used.hits(&spec) || clash(v.Jobs, ulid.ULID{}, &spec) || refuse(v, s, &spec, operator) != nil {
			continue
		}
		a := addition{spec: spec, status: manifest.Scheduled}
		switch {
		case spec.Drain || moves && movable(v.Manifest, &spec):
			p.moves = append(p.moves, manifest.Compaction{Spec: spec})
			a.status = manifest.Compacted
		case running < v.MaxConcurrent:
			p.added = append(p.added, a)
			running++
		default:
			continue
		}
		used.add(&spec)
		v.Jobs = append(v.Jobs, manifest.Compaction{Spec: spec, Status: a.status, ID: ulid.ULID{1}})
	}
	return p
}

func (p *plan) fail(j *manifest.Compaction, err error) {
	p.rejected[j.ID] = err
	j.Status = manifest.Failed
}

var errScheduler = errors.New("compactor: the scheduler failed")

// refuse is why a job must not be scheduled.
func refuse(v View, s Scheduler, spec *manifest.Spec, operator bool) error {
	if err := check(v.Manifest, spec, manifest.Submitted, operator); err != nil {
		return err
	}
	var err error
	if p := seam.Guard("compaction scheduler", func() error { err = s.Validate(v, spec); return nil }); p != nil {
		return errors.Join(errScheduler, p)
	}
	return err
}
