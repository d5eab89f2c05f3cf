package gc

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// foreign is the reason of names that are none of this engine's.
const foreign = "not ours"

// PlanCheckpoints decides which checkpoints of a manifest have expired.
func PlanCheckpoints(m *manifest.Manifest, now time.Time) []Decision {
	ds := make([]Decision, len(m.Checkpoints))
	for i := range m.Checkpoints {
		c := &m.Checkpoints[i]
		d := &ds[i]
		d.Kind, d.Name, d.ID = KindCheckpoint, c.ID.String(), c.ManifestID
		switch {
		case c.Expired(now):
			d.remove("expired " + c.ExpireTime.UTC().Format(time.RFC3339))
		case c.ExpireTime.IsZero():
			d.keep("never expires")
		default:
			d.Due = c.ExpireTime
			d.keep("expires " + c.ExpireTime.UTC().Format(time.RFC3339))
		}
	}
	return ds
}

// PlanManifests decides about the objects in manifest/. Versions above the one that was read
// stay, even when the listing shows a still newer one: their checkpoints are not known.
func PlanManifests(s *State, r Rules, listed []objstore.Attributes) []Decision {
	superseded := fmt.Sprintf("superseded by manifest %d", s.Manifest.ID)
	return planVersions(KindManifest, s.Root, s.Manifest.ID, listed, func(d *Decision, a *objstore.Attributes) {
		if c, ok := s.pins[d.ID]; ok {
			d.keep("checkpoint " + c.String())
			return
		}
		r.age(d, a.Modified, superseded)
	})
}

// PlanCompactions decides about the objects in compactions/.
func PlanCompactions(s *State, r Rules, listed []objstore.Attributes) []Decision {
	var latest uint64 // without any known version all are newer
	if s.Compactions != nil {
		latest = s.Compactions.ID
	}
	superseded := fmt.Sprintf("superseded by compactions %d", latest)
	return planVersions(KindCompactions, s.Root, latest, listed, func(d *Decision, a *objstore.Attributes) {
		r.age(d, a.Modified, superseded)
	})
}

// planVersions settles what manifests and compactions have in common; older decides about the
// versions before the latest.
func planVersions(kind, root string, latest uint64, listed []objstore.Attributes, older func(*Decision, *objstore.Attributes)) []Decision {
	prefix := under(root, kind)
	ds := make([]Decision, len(listed))
	for i := range listed {
		a, d := &listed[i], &ds[i]
		d.Object = Object{Kind: kind, Name: a.Key, Size: a.Size}
		id, ok := numberOf(a.Key, prefix, "."+kind)
		d.ID = id
		switch {
		case !ok:
			d.keep(foreign)
		case id == latest:
			d.keep("latest")
		case id > latest:
			d.keep(fmt.Sprintf("newer than %s %d", kind, latest))
		default:
			older(d, a)
		}
	}
	return ds
}

// PlanCompacted decides about the tables in compacted/.
//
// A table that no manifest names yet may be one that is about to be: an L0 table is never
// older than those published before it, and the output of a job never older than the job. So
// what is older than the newest L0 and the oldest job was left behind. Where there is no L0 or
// no job to compare with, nothing is deleted.
func PlanCompacted(s *State, r Rules, listed []objstore.Attributes) []Decision {
	newestL0 := s.Manifest.NewestL0Time()
	var oldestJob ulid.ULID
	jobs := false
	outputs := make(map[ulid.ULID]ulid.ULID) // table -> unfinished job
	if s.Compactions != nil {
		for i := range s.Compactions.Jobs {
			j := &s.Compactions.Jobs[i]
			if !jobs || j.ID.Time() < oldestJob.Time() {
				jobs, oldestJob = true, j.ID
			}
			noteOutputs(outputs, j)
		}
	}
	stop := s.blind()
	prefix := under(s.Root, "compacted")
	ds := make([]Decision, len(listed))
	for i := range listed {
		a, d := &listed[i], &ds[i]
		d.Object = Object{Kind: KindCompacted, Name: a.Key, Size: a.Size}
		id, ok := tableOf(a.Key, prefix)
		if !ok {
			d.keep(foreign)
			continue
		}
		user, used := s.tables[id]
		job, output := outputs[id]
		switch {
		case used:
			d.keep(fmt.Sprintf("in use by manifest %d", user))
		case output:
			d.keep("output of job " + job.String())
		case stop != "":
			d.keep(stop)
		case newestL0 == 0:
			d.keep("no L0 table on record")
		case id.Time() >= newestL0:
			d.keep("not older than newest L0")
		case !jobs:
			d.keep("no compaction job on record")
		case id.Time() >= oldestJob.Time():
			d.keep(fmt.Sprintf("job %s may write it", oldestJob))
		default:
			r.age(d, ulid.Time(id.Time()), "in use by no manifest")
		}
	}
	return ds
}

// noteOutputs adds the tables that an unfinished job has reported. They are younger than the
// job where everybody keeps the rules; releases before 0.18 do not check them.
func noteOutputs(outputs map[ulid.ULID]ulid.ULID, j *manifest.Compaction) {
	if j.Status.Finished() {
		return
	}
	for _, h := range j.Outputs {
		outputs[h.ID.ULID()] = j.ID
	}
	if j.Context == nil {
		return
	}
	for i := range j.Context.Ranges {
		for _, h := range j.Context.Ranges[i].Outputs {
			outputs[h.ID.ULID()] = j.ID
		}
	}
}

// blind says why nothing may be deleted that a pinned manifest might need, "" when all are
// known.
func (s *State) blind() string {
	if ids := s.Pinned(); len(ids) > 0 {
		return fmt.Sprintf("manifest %d is pinned and was not read", ids[0])
	}
	return ""
}

// PlanWAL decides about the WAL objects with rows.
func PlanWAL(s *State, r Rules, listed []objstore.Attributes) []Decision {
	below := fmt.Sprintf("below replay point %d", s.Manifest.ReplayAfterWAL)
	return s.planWAL(KindWAL, listed, func(d *Decision, a *objstore.Attributes) { r.age(d, a.Modified, below) })
}

// PlanWALFences decides about the WAL objects of zero bytes, with which a writer stopped its
// predecessors.
func PlanWALFences(s *State, r Rules, listed []objstore.Attributes) []Decision {
	below := fmt.Sprintf("fence below replay point %d", s.Manifest.ReplayAfterWAL)
	return s.planWAL(KindWALFence, listed, func(d *Decision, a *objstore.Attributes) {
		if !r.DeleteWALFences {
			d.keep("fence")
			return
		}
		r.age(d, a.Modified, below)
	})
}

// planWAL takes the objects of one kind out of the listing (foreign names are KindWAL) and
// settles which are needed; spare decides about the others.
func (s *State) planWAL(kind string, listed []objstore.Attributes, spare func(*Decision, *objstore.Attributes)) []Decision {
	prefix := under(s.Root, "wal")
	stop := s.blind()
	var ds []Decision
	for i := range listed {
		a := &listed[i]
		id, ok := numberOf(a.Key, prefix, ".sst")
		if fence := ok && a.Size == 0; fence != (kind == KindWALFence) {
			continue
		}
		d := Decision{Object: Object{Kind: kind, Name: a.Key, Size: a.Size}, ID: id}
		user, used := s.replayedBy(id)
		switch {
		case !ok:
			d.keep(foreign)
		case id >= s.Manifest.ReplayAfterWAL:
			d.keep("at or above replay point")
		case used:
			d.keep(fmt.Sprintf("in use by manifest %d", user))
		case stop != "":
			d.keep(stop)
		default:
			spare(&d, a)
		}
		ds = append(ds, d)
	}
	return ds
}

func (s *State) replayedBy(id uint64) (user uint64, used bool) {
	for _, w := range s.wal {
		if w.after < id && id <= w.last {
			return w.manifest, true
		}
	}
	return 0, false
}

// PlanDetach decides about the parents of a clone, one Decision for each external database in
// the manifest's order. To delete one is to remove the clone's checkpoint from the parent and
// then the entry from the clone.
func PlanDetach(s *State) []Decision {
	stop := s.blind()
	ds := make([]Decision, len(s.Manifest.External))
	for i := range s.Manifest.External {
		e, d := &s.Manifest.External[i], &ds[i]
		d.Object = Object{Kind: KindDetach, Name: e.Path + " checkpoint " + e.FinalCheckpoint.String()}
		user, used := s.borrowed[e.FinalCheckpoint]
		switch {
		case e.FinalCheckpoint == uuid.Nil:
			d.keep("no final checkpoint")
		case used:
			d.keep(fmt.Sprintf("in use by manifest %d", user))
		case stop != "":
			d.keep(stop)
		default:
			d.remove("no table of it in use")
		}
	}
	return ds
}
