package gc

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// A verdict is what a plan is expected to say of one object.
type verdict struct {
	name   string
	size   int64
	age    time.Duration // at epoch
	delete bool
	reason string
	due    time.Duration // after epoch, 0 = never
}

func run(t *testing.T, plan func([]objstore.Attributes) []Decision, vs []verdict) {
	t.Helper()
	listed := make([]objstore.Attributes, len(vs))
	for i, v := range vs {
		listed[i] = objstore.Attributes{Key: v.name, Size: v.size, Modified: epoch.Add(-v.age)}
	}
	ds := plan(listed)
	require.Len(t, ds, len(vs))
	for i, v := range vs {
		d := ds[i]
		assert.Equal(t, v.name, d.Name)
		assert.Equal(t, v.size, d.Size, v.name)
		assert.Equal(t, v.delete, d.Delete, "%s: %s", v.name, d.Reason)
		assert.Equal(t, v.reason, d.Reason, v.name)
		if v.due == 0 {
			assert.True(t, d.Due.IsZero(), "%s is due %s", v.name, d.Due)
		} else {
			assert.WithinDuration(t, epoch.Add(v.due), d.Due, 0, v.name)
		}
	}
}

func tid(ms uint64, n byte) ulid.ULID {
	var u ulid.ULID
	_ = u.SetTime(ms)
	u[15] = n
	return u
}

// ago returns a table id that is so old at epoch.
func ago(d time.Duration, n byte) ulid.ULID { return tid(uint64(epoch.Add(-d).UnixMilli()), n) }

var fiveMinutes = Rules{Now: epoch, MinAge: 5 * time.Minute}

func TestPlanManifests(t *testing.T) {
	c := uuid.MustParse("5d82df03-e7eb-4697-ab69-07d322ff49b7")
	m := &manifest.Manifest{ID: 9, Checkpoints: []manifest.Checkpoint{{ID: c, ManifestID: 3}, {ID: uuid.New(), ManifestID: 9}}}
	s := NewState("p/db", m, nil)
	name := func(id int) string { return fmt.Sprintf("p/db/manifest/%020d.manifest", id) }
	run(t, func(l []objstore.Attributes) []Decision { return PlanManifests(s, fiveMinutes, l) }, []verdict{
		{name: name(1), size: 7, age: time.Hour, delete: true, reason: "superseded by manifest 9"},
		{name: name(2), age: 5*time.Minute + 1, delete: true, reason: "superseded by manifest 9"},
		{name: name(3), age: time.Hour, reason: "checkpoint " + c.String()},
		{name: name(4), age: 5*time.Minute - 1, reason: "younger than min age 5m0s", due: 1},
		{name: name(5), age: 4 * time.Minute, reason: "younger than min age 5m0s", due: time.Minute},
		{name: name(6), age: -time.Hour, reason: "younger than min age 5m0s", due: 65 * time.Minute},
		{name: name(9), age: time.Hour, reason: "latest"},
		{name: name(10), age: time.Hour, reason: "newer than manifest 9"},
		{name: name(11), age: time.Hour, reason: "newer than manifest 9"},
		{name: name(0), age: time.Hour, reason: "not ours"},
		{name: "p/db/manifest/0000000000000000001.manifest", age: time.Hour, reason: "not ours"},
		{name: "p/db/manifest/000000000000000000001.manifest", age: time.Hour, reason: "not ours"},
		{name: "p/db/manifest/+0000000000000000001.manifest", age: time.Hour, reason: "not ours"},
		{name: "p/db/manifest/99999999999999999999.manifest", age: time.Hour, reason: "not ours"},
		{name: "p/db/manifest/00000000000000000001.manifest.bak", age: time.Hour, reason: "not ours"},
		{name: "p/db/manifest/00000000000000000001.manifest#1", age: time.Hour, reason: "not ours"},
		{name: "p/db/manifest/old/00000000000000000001.manifest", age: time.Hour, reason: "not ours"},
		{name: "p/db/manifest/00000000000000000001.compactions", age: time.Hour, reason: "not ours"},
		{name: "q/db/manifest/00000000000000000001.manifest", age: time.Hour, reason: "not ours"},
	})
	ds := PlanManifests(s, Rules{Now: epoch}, []objstore.Attributes{{Key: name(1), Modified: epoch.Add(time.Hour)}, {Key: name(2)}})
	assert.True(t, ds[0].Delete && ds[1].Delete, "no minimum age")
	ds = PlanManifests(s, fiveMinutes, []objstore.Attributes{{Key: name(2)}})
	assert.Equal(t, "age unknown", ds[0].Reason, "a store that does not say when it stored the object")
	assert.False(t, ds[0].Delete)
}

func TestPlanCompactions(t *testing.T) {
	name := func(id int) string { return fmt.Sprintf("compactions/%020d.compactions", id) }
	s := NewState("", &manifest.Manifest{ID: 1}, &manifest.Compactions{ID: 4})
	run(t, func(l []objstore.Attributes) []Decision { return PlanCompactions(s, fiveMinutes, l) }, []verdict{
		{name: name(1), age: time.Hour, delete: true, reason: "superseded by compactions 4"},
		{name: name(3), age: time.Minute, reason: "younger than min age 5m0s", due: 4 * time.Minute},
		{name: name(4), age: time.Hour, reason: "latest"},
		{name: name(5), age: time.Hour, reason: "newer than compactions 4"},
		{name: "compactions/readme.txt", age: time.Hour, reason: "not ours"},
	})
	s = NewState("", &manifest.Manifest{ID: 1}, nil)
	run(t, func(l []objstore.Attributes) []Decision { return PlanCompactions(s, fiveMinutes, l) }, []verdict{
		{name: name(1), age: time.Hour, reason: "newer than compactions 0"},
	})
}

func TestPlanCompacted(t *testing.T) {
	var (
		live      = ago(50*time.Minute, 1)
		inRun     = ago(55*time.Minute, 2)
		inSegment = ago(20*time.Minute, 3)
		pinned    = ago(59*time.Minute, 4)
		output    = ago(58*time.Minute, 5) // older than its job, as old releases may make them
		partial   = ago(58*time.Minute, 6)
		finished  = ago(57*time.Minute, 7)
		job       = ago(30*time.Minute, 8)
		doneJob   = ago(25*time.Minute, 9)
	)
	m := &manifest.Manifest{ID: 9, Checkpoints: []manifest.Checkpoint{{ID: uuid.New(), ManifestID: 3}}}
	m.Root = manifest.Tree{L0: []sst.View{viewOf(live)}, Runs: []sst.SortedRun{{ID: 1, Views: []sst.View{{ID: tid(1, 1), Table: table(inRun)}}}, {ID: 0}}}
	m.Segments = []manifest.Segment{{Prefix: []byte("s"), Tree: manifest.Tree{L0: []sst.View{viewOf(inSegment)}}}}
	old := &manifest.Manifest{ID: 3, Root: manifest.Tree{L0: []sst.View{viewOf(pinned), viewOf(live)}}}
	c := &manifest.Compactions{ID: 5, Jobs: []manifest.Compaction{
		{ID: job, Status: manifest.Running, Outputs: []*sst.Handle{table(output)},
			Context: &manifest.Context{Ranges: []manifest.Subcompaction{{Outputs: []*sst.Handle{table(partial)}}}}},
		{ID: doneJob, Status: manifest.Completed, Outputs: []*sst.Handle{table(finished)}},
	}}
	name := func(id ulid.ULID) string { return "db/compacted/" + id.String() + ".sst" }
	common := []verdict{
		{name: name(live), size: 5, reason: "in use by manifest 9"},
		{name: name(inRun), reason: "in use by manifest 9"},
		{name: name(inSegment), reason: "in use by manifest 9"},
		{name: "db/compacted/x.sst", reason: "not ours"},
		{name: "db/compacted/01m83h9zkdw4wzg8rvx7jjvgzr.sst", reason: "not ours"},
		{name: "db/compacted/81M83H9ZKDW4WZG8RVX7JJVGZR.sst", reason: "not ours"},
		{name: "db/compacted/01M83H9ZKDW4WZG8RVX7JJVGZU.sst", reason: "not ours"},
		{name: "db/compacted/a/" + ago(time.Hour, 1).String() + ".sst", reason: "not ours"},
		{name: name(ago(time.Hour, 1)) + "#2", reason: "not ours"},
	}
	for _, tt := range []struct {
		name  string
		m     *manifest.Manifest
		c     *manifest.Compactions
		unpin bool
		rules Rules
		want  []verdict
	}{
		{"ordinary", m, c, false, fiveMinutes, []verdict{
			{name: name(pinned), reason: "in use by manifest 3"},
			{name: name(output), reason: "output of job " + job.String()},
			{name: name(partial), reason: "output of job " + job.String()},
			{name: name(finished), delete: true, reason: "in use by no manifest"},
			{name: name(ago(31*time.Minute, 20)), delete: true, reason: "in use by no manifest"},
			{name: name(ago(30*time.Minute, 21)), reason: "job " + job.String() + " may write it"},
			{name: name(ago(21*time.Minute, 22)), reason: "job " + job.String() + " may write it"},
			{name: name(ago(20*time.Minute, 23)), reason: "not older than newest L0"},
			{name: name(ago(-time.Hour, 24)), reason: "not older than newest L0"},
			{name: name(tid(0, 1)), delete: true, reason: "in use by no manifest"},
		}},
		{"minimum age", m, c, false, Rules{Now: epoch, MinAge: 40 * time.Minute}, []verdict{
			{name: name(ago(41*time.Minute, 20)), delete: true, reason: "in use by no manifest"},
			{name: name(ago(40*time.Minute, 21)), reason: "younger than min age 40m0s", due: 1}, // exactly: not older
			{name: name(ago(35*time.Minute, 22)), reason: "younger than min age 40m0s", due: 5 * time.Minute},
			{name: name(ago(30*time.Minute, 23)), reason: "job " + job.String() + " may write it"},
		}},
		{"a pinned manifest was not read", m, c, true, fiveMinutes, []verdict{
			{name: name(pinned), reason: "manifest 3 is pinned and was not read"},
			{name: name(ago(31*time.Minute, 20)), reason: "manifest 3 is pinned and was not read"},
		}},
		{"no compactions object", m, nil, false, fiveMinutes, []verdict{
			{name: name(ago(31*time.Minute, 20)), reason: "no compaction job on record"},
		}},
		{"no job", m, &manifest.Compactions{ID: 5}, false, fiveMinutes, []verdict{
			{name: name(ago(31*time.Minute, 20)), reason: "no compaction job on record"},
		}},
		{"all compacted", &manifest.Manifest{ID: 9, Root: manifest.Tree{LastCompactedL0: ago(45*time.Minute, 30)}}, c, false, fiveMinutes, []verdict{
			{name: name(ago(46*time.Minute, 20)), delete: true, reason: "in use by no manifest"},
			{name: name(ago(45*time.Minute, 21)), reason: "not older than newest L0"},
		}},
		{"never an L0", &manifest.Manifest{ID: 9}, c, false, fiveMinutes, []verdict{
			{name: name(ago(31*time.Minute, 20)), reason: "no L0 table on record"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := NewState("db", tt.m, tt.c)
			want := tt.want
			if tt.m == m {
				assert.Equal(t, []uint64{3}, s.Pinned())
				want = append(want, common...)
			}
			if !tt.unpin && tt.m == m {
				s.Pin(old)
				assert.Empty(t, s.Pinned())
			}
			listed := make([]objstore.Attributes, len(want))
			for i, v := range want {
				listed[i] = objstore.Attributes{Key: v.name, Size: v.size, Modified: epoch}
			}
			ds := PlanCompacted(s, tt.rules, listed)
			require.Len(t, ds, len(want))
			for i, v := range want {
				assert.Equal(t, v.delete, ds[i].Delete, "%s: %s", v.name, ds[i].Reason)
				assert.Equal(t, v.reason, ds[i].Reason, v.name)
				if v.due != 0 {
					assert.WithinDuration(t, epoch.Add(v.due), ds[i].Due, time.Millisecond)
				}
			}
		})
	}
}

func TestPlanWAL(t *testing.T) {
	m := &manifest.Manifest{ID: 9, ReplayAfterWAL: 12, WALLastSeen: 14, Checkpoints: []manifest.Checkpoint{
		{ID: uuid.New(), ManifestID: 3}, {ID: uuid.New(), ManifestID: 4}, {ID: uuid.New(), ManifestID: 9},
	}}
	name := func(id int) string { return fmt.Sprintf("wal/%020d.sst", id) }
	full := func() *State {
		s := NewState("", m, nil)
		s.Pin(&manifest.Manifest{ID: 3, ReplayAfterWAL: 4, WALLastSeen: 6})
		s.Pin(&manifest.Manifest{ID: 4, ReplayAfterWAL: 8, WALLastSeen: 8}) // nothing to replay
		return s
	}
	want := []verdict{
		{name: name(1), size: 9, age: time.Hour, delete: true, reason: "below replay point 12"},
		{name: name(4), size: 9, age: time.Hour, delete: true, reason: "below replay point 12"},
		{name: name(5), size: 9, age: time.Hour, reason: "in use by manifest 3"},
		{name: name(6), size: 9, age: time.Hour, reason: "in use by manifest 3"},
		{name: name(7), size: 9, age: time.Hour, delete: true, reason: "below replay point 12"},
		{name: name(8), size: 9, age: time.Hour, delete: true, reason: "below replay point 12"},
		{name: name(9), size: 114, age: time.Hour, delete: true, reason: "below replay point 12"}, // a fence of 0.12
		{name: name(11), size: 9, age: time.Minute, reason: "younger than min age 5m0s", due: 4 * time.Minute},
		{name: name(12), size: 9, age: time.Hour, reason: "at or above replay point"},
		{name: name(13), size: 9, age: time.Hour, reason: "at or above replay point"},
		{name: name(99), size: 9, age: time.Hour, reason: "at or above replay point"},
		{name: "wal/1.sst", size: 9, age: time.Hour, reason: "not ours"},
		{name: "wal/empty", size: 0, age: time.Hour, reason: "not ours"},
	}
	run(t, func(l []objstore.Attributes) []Decision { return PlanWAL(full(), fiveMinutes, l) }, want)
	for _, d := range PlanWAL(full(), fiveMinutes, []objstore.Attributes{{Key: name(1), Size: 0}}) {
		t.Errorf("a fence is not this plan's: %v", d)
	}

	var fences []verdict
	for _, v := range want[:11] {
		v.size = 0
		if v.delete {
			v.reason = "fence " + v.reason
		}
		fences = append(fences, v)
	}
	r := fiveMinutes
	r.DeleteWALFences = true
	run(t, func(l []objstore.Attributes) []Decision { return PlanWALFences(full(), r, l) }, fences)
	for i := range fences {
		if fences[i].delete || fences[i].due != 0 {
			fences[i].delete, fences[i].reason, fences[i].due = false, "fence", 0
		}
	}
	run(t, func(l []objstore.Attributes) []Decision { return PlanWALFences(full(), fiveMinutes, l) }, fences)
	assert.Empty(t, PlanWALFences(full(), r, []objstore.Attributes{{Key: name(1), Size: 1}, {Key: "wal/empty"}}))

	blind := NewState("", m, nil)
	run(t, func(l []objstore.Attributes) []Decision { return PlanWAL(blind, fiveMinutes, l) }, []verdict{
		{name: name(1), size: 9, age: time.Hour, reason: "manifest 3 is pinned and was not read"},
		{name: name(12), size: 9, age: time.Hour, reason: "at or above replay point"},
	})
	fresh := NewState("", &manifest.Manifest{ID: 1}, nil)
	run(t, func(l []objstore.Attributes) []Decision { return PlanWAL(fresh, fiveMinutes, l) }, []verdict{
		{name: name(1), size: 9, age: time.Hour, reason: "at or above replay point"},
	})
}

func TestPlanDetach(t *testing.T) {
	a, b, c, d := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	tables := []ulid.ULID{tid(1, 1)}
	m := &manifest.Manifest{ID: 9, Checkpoints: []manifest.Checkpoint{{ID: uuid.New(), ManifestID: 5}}, External: []manifest.ExternalDB{
		{Path: "used", FinalCheckpoint: a, Tables: tables},
		{Path: "pinned", FinalCheckpoint: b},
		{Path: "free", FinalCheckpoint: c},
		{Path: "half", FinalCheckpoint: uuid.Nil},
		{Path: "twice", FinalCheckpoint: d},
		{Path: "twice", FinalCheckpoint: d, Tables: tables},
	}}
	check := func(s *State, want ...string) {
		t.Helper()
		ds := PlanDetach(s)
		require.Len(t, ds, len(want))
		for i, w := range want {
			assert.Equal(t, w, ds[i].Reason, ds[i].Name)
			assert.Equal(t, w == "no table of it in use", ds[i].Delete)
		}
	}
	s := NewState("db", m, nil)
	blind := "manifest 5 is pinned and was not read"
	check(s, "in use by manifest 9", blind, blind, "no final checkpoint", "in use by manifest 9", "in use by manifest 9")
	s.Pin(&manifest.Manifest{ID: 5, External: []manifest.ExternalDB{
		{Path: "pinned", FinalCheckpoint: b, Tables: tables}, {Path: "free", FinalCheckpoint: c},
	}})
	check(s, "in use by manifest 9", "in use by manifest 5", "no table of it in use", "no final checkpoint", "in use by manifest 9", "in use by manifest 9")
	assert.Equal(t, "free checkpoint "+c.String(), PlanDetach(s)[2].Name)
}

func TestPlanCheckpoints(t *testing.T) {
	id := uuid.New()
	for _, tt := range []struct {
		name   string
		expire time.Time
		delete bool
		reason string
	}{
		{"never", time.Time{}, false, "never expires"},
		{"now", epoch, true, "expired 2026-01-02T03:04:05Z"},
		{"past", epoch.Add(-time.Hour), true, "expired 2026-01-02T02:04:05Z"},
		{"future", epoch.Add(time.Second), false, "expires 2026-01-02T03:04:06Z"},
	} {
		ds := PlanCheckpoints(&manifest.Manifest{Checkpoints: []manifest.Checkpoint{{ID: id, ManifestID: 3, ExpireTime: tt.expire}}}, epoch)
		require.Len(t, ds, 1)
		assert.Equal(t, tt.delete, ds[0].Delete, tt.name)
		assert.Equal(t, tt.reason, ds[0].Reason, tt.name)
		assert.Equal(t, id.String(), ds[0].Name)
	}
}
