package compactor

import (
	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// A report is what a worker has to say about a job that it holds.
type report struct {
	id      ulid.ULID
	state   state
	outputs []*sst.Handle     // done
	context *manifest.Context // busy, released: how far it is
}

type state uint8

const (
	busyState state = iota
	doneState
	releasedState // given back, for somebody to go on with
)

// A round is the outcome of a worker's look at the list.
type round struct {
	claimed []manifest.Compaction
	lost    []ulid.ULID // no longer the worker's
	settled []ulid.ULID // done or released, and recorded
	handed  bool        // the coordinator has something to do
	changed bool
}

// work brings the reports of worker me into the list and claims up to free jobs, without
// those that skip names. now is in Unix milliseconds. Unless beat is set, a report that says
// nothing but "busy" is no reason to write.
func work(c *manifest.Compactions, me string, now uint64, reports []report, beat bool, free int, skip func(ulid.ULID) bool) round {
	var r round
	held := map[ulid.ULID]bool{}
	for i := range reports {
		p := &reports[i]
		held[p.id] = true
		j := c.Job(p.id)
		if j == nil || j.Status != manifest.Running || j.Worker == nil || j.Worker.ID != me {
			if p.state == busyState {
				r.lost = append(r.lost, p.id)
			} else {
				// Also when this is our own change, whose answer was lost.
				r.settled = append(r.settled, p.id)
				r.handed = true
			}
			continue
		}
		switch p.state {
		case busyState:
			j.Worker.HeartbeatMillis = now
			if p.context != nil {
				j.Context = p.context
			}
			r.changed = r.changed || beat
			continue
		case doneState:
			j.Status, j.Outputs, j.Context = manifest.Compacted, p.outputs, nil
			j.Worker.HeartbeatMillis = now
		case releasedState:
			j.Status, j.Worker = manifest.Scheduled, nil
			if p.context != nil {
				j.Context = p.context
			}
		}
		r.settled = append(r.settled, p.id)
		r.changed, r.handed = true, true
	}
	for i := range c.Jobs {
		j := &c.Jobs[i]
		if free <= 0 {
			break
		}
		// A job that is this worker's and not begun: the answer to its claim was lost.
		own := j.Status == manifest.Running && j.Worker != nil && j.Worker.ID == me
		if !own && (j.Status != manifest.Scheduled || j.Worker != nil) || j.Spec.Drain || held[j.ID] || skip(j.ID) {
			continue
		}
		j.Status, j.Worker = manifest.Running, &manifest.Worker{ID: me, HeartbeatMillis: now}
		r.claimed = append(r.claimed, j.Clone())
		r.changed = true
		free--
	}
	return r
}
