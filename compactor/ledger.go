package compactor

import (
	"fmt"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/manifest"
)

// The coordinator's memory of the job list, as pure functions. What is stored is written by
// workers and submitters too, so it is merged into the memory rather than believed: a step that
// no worker may take is not followed, and what was finished here cannot come back.

// mergeJobs returns known brought up to date with stored. odd says what was refused.
func mergeJobs(known, stored []manifest.Compaction) (out []manifest.Compaction, odd []string) {
	list := manifest.Compactions{Jobs: cloneJobs(known)}
	for i := range stored {
		s := &stored[i]
		k := list.Job(s.ID)
		switch {
		case k == nil && (s.Status == manifest.Scheduled || s.Status == manifest.Running):
			odd = append(odd, fmt.Sprintf("unknown job %s is %s", s.ID, s.Status))
		case k == nil:
			list.Put(s.Clone())
		case mayBecome(k.Status, s.Status):
			*k = s.Clone()
		case !k.Status.Finished() && k.Status != s.Status && !(k.Status == manifest.Scheduled && s.Status == manifest.Submitted):
			odd = append(odd, fmt.Sprintf("job %s went from %s to %s", s.ID, k.Status, s.Status))
		}
	}
	return list.Jobs, odd
}

// mayBecome lists the steps that a worker takes, and staying where new facts come with it.
func mayBecome(from, to manifest.Status) bool {
	switch from {
	case manifest.Submitted:
		return to == manifest.Compacted
	case manifest.Scheduled:
		return to == manifest.Running || to == manifest.Compacted
	case manifest.Running:
		return to == manifest.Scheduled || to == manifest.Running || to == manifest.Compacted
	case manifest.Compacted:
		return to == manifest.Compacted
	}
	return false
}

// begin is the list as a new coordinator leaves it: what was free to claim is looked at again.
func begin(jobs []manifest.Compaction) []manifest.Compaction {
	out := cloneJobs(jobs)
	for i := range out {
		if out[i].Status == manifest.Scheduled {
			out[i].Status, out[i].Worker = manifest.Submitted, nil
		}
	}
	return trimmed(out)
}

// decisions are what a coordinator wants in the list. They are applied to whatever is stored.
type decisions struct {
	settled  map[ulid.ULID]manifest.Status // Completed, Failed: nothing changes that
	promoted []ulid.ULID                   // Submitted, validated
	added    []addition                    // new jobs
}

// addition is a job that a coordinator adds. Its id is given when it is first applied: applied
// to a later version of the list it is still the same job, which may be stored already.
type addition struct {
	id     ulid.ULID
	spec   manifest.Spec
	status manifest.Status
}

func (a *addition) job() manifest.Compaction {
	return manifest.Compaction{ID: a.id, Spec: a.spec, Status: a.status}
}

// storedIn reports whether list has all that is added.
func (d *decisions) storedIn(list *manifest.Compactions) bool {
	for i := range d.added {
		if list.Job(d.added[i].id) == nil {
			return false
		}
	}
	return true
}

// decide applies d to jobs, and takes lost jobs from their workers. mint makes the id of a
// new job. changed tells whether there is anything to write.
func decide(jobs []manifest.Compaction, d *decisions, lost func(*manifest.Compaction) bool, mint func([]manifest.Compaction) ulid.ULID) (_ []manifest.Compaction, changed bool) {
	list := manifest.Compactions{Jobs: cloneJobs(jobs)}
	for i := range list.Jobs {
		j := &list.Jobs[i]
		if to, ok := d.settled[j.ID]; ok {
			if j.Status != to {
				settle(j, to)
				changed = true
			}
			continue
		}
		switch {
		case j.Status == manifest.Submitted && slices.Contains(d.promoted, j.ID):
			j.Status, j.Worker, j.Outputs = manifest.Scheduled, nil, nil
			changed = true
		case lost(j):
			j.Status, j.Worker = manifest.Scheduled, nil
			changed = true
		}
	}
	for i := range d.added {
		a := &d.added[i]
		if a.id == (ulid.ULID{}) {
			a.id = mint(list.Jobs)
		}
		if list.Job(a.id) == nil {
			list.Put(a.job())
			changed = true
		}
	}
	return list.Jobs, changed
}

func settle(j *manifest.Compaction, to manifest.Status) {
	j.Status, j.Worker, j.Context = to, nil, nil
	if to == manifest.Failed {
		j.Outputs = nil
	}
}

// trimmed keeps all unfinished jobs and the newest finished one.
func trimmed(jobs []manifest.Compaction) []manifest.Compaction {
	c := manifest.Compactions{Jobs: cloneJobs(jobs)}
	c.Trim()
	return c.Jobs
}

func cloneJobs(jobs []manifest.Compaction) []manifest.Compaction {
	out := make([]manifest.Compaction, len(jobs))
	for i := range jobs {
		out[i] = jobs[i].Clone()
	}
	return out
}

// A pulse is the last heartbeat seen of a job, and since when it is the last.
type pulse struct {
	worker string
	beat   uint64
	since  time.Time
}

// pulses remember heartbeats by job. A job is lost when its worker has shown no life for
// the timeout by the clock of this process, whatever the worker's clock says; half of it is
// enough when the stored time is that old too (a new coordinator finds the job of a dead
// worker). So a worker whose clock is off keeps its job, as long as it beats twice per timeout.
type pulses map[ulid.ULID]pulse

// note records what jobs show at time now.
func (p pulses) note(jobs []manifest.Compaction, now time.Time) {
	running := map[ulid.ULID]bool{}
	for i := range jobs {
		j := &jobs[i]
		if j.Status != manifest.Running || j.Worker == nil {
			continue
		}
		running[j.ID] = true
		if old, ok := p[j.ID]; !ok || old.worker != j.Worker.ID || old.beat != j.Worker.HeartbeatMillis || now.Before(old.since) {
			p[j.ID] = pulse{j.Worker.ID, j.Worker.HeartbeatMillis, now}
		}
	}
	for id := range p {
		if !running[id] {
			delete(p, id)
		}
	}
}

// lost reports whether the worker of j has lost it.
func (p pulses) lost(j *manifest.Compaction, now time.Time, timeout time.Duration) bool {
	if j.Status != manifest.Running {
		return false
	}
	if j.Worker == nil {
		return true
	}
	seen, ok := p[j.ID]
	if !ok || seen.worker != j.Worker.ID || seen.beat != j.Worker.HeartbeatMillis {
		return false // shows life
	}
	quiet := now.Sub(seen.since)
	// Compared as numbers: a heartbeat of another clock may be anything.
	old := float64(now.UnixMilli())-float64(j.Worker.HeartbeatMillis) > float64(timeout.Milliseconds())
	return quiet >= timeout || old && quiet >= timeout/2
}
