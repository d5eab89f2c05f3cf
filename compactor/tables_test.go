package compactor

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// id is the ULID with this number as its time.
func id(n int) ulid.ULID {
	var u ulid.ULID
	_ = u.SetTime(uint64(n))
	return u
}

func ids(ns ...int) (out []ulid.ULID) {
	for _, n := range ns {
		out = append(out, id(n))
	}
	return out
}

// view is a table of a size with the keys from first to last.
func view(n int, size uint64, first, last string) sst.View {
	return sst.View{ID: id(n), Table: &sst.Handle{ID: sst.TableID(id(n)), Format: sst.FormatV2, Info: sst.Info{First: []byte(first), Last: []byte(last), IndexOffset: size}}}
}

// tree makes a tree of L0 views, newest first, given as numbers, and runs "id:size".
func tree(l0 []int, runs ...string) manifest.Tree {
	var t manifest.Tree
	for _, n := range l0 {
		t.L0 = append(t.L0, view(n, 100, "a", "z"))
	}
	for _, r := range runs {
		var n uint32
		var size uint64
		_, _ = fmt.Sscanf(r, "%d:%d", &n, &size)
		t.Runs = append(t.Runs, sst.SortedRun{ID: n, Views: []sst.View{view(1000+int(n), size, "a", "z")}})
	}
	return t
}

func root(l0 []int, runs ...string) *manifest.Manifest {
	m := manifest.New("")
	m.Root = tree(l0, runs...)
	return m
}

func job(n int, s manifest.Status, spec manifest.Spec) manifest.Compaction {
	return manifest.Compaction{ID: id(n), Status: s, Spec: spec}
}

// show writes a spec as "seg: 3,2,1+5,4->4".
func show(s manifest.Spec) string {
	var l0, runs []string
	for _, x := range s.L0Views {
		l0 = append(l0, fmt.Sprint(x.Time()))
	}
	for _, x := range s.Runs {
		runs = append(runs, fmt.Sprint(x))
	}
	out := strings.Join(l0, ",")
	if len(runs) > 0 {
		out += "+" + strings.Join(runs, ",")
	}
	if len(s.Segment) > 0 {
		out = string(s.Segment) + ": " + out
	}
	return fmt.Sprintf("%s->%d", out, s.Destination)
}

func TestSizeTieredPropose(t *testing.T) {
	segmented := manifest.New("x")
	segmented.Segments = []manifest.Segment{
		{Prefix: []byte("a/"), Tree: tree([]int{4, 3, 2, 1})},
		{Prefix: []byte("b/"), Tree: tree([]int{9, 8, 7, 6, 5}, "3:1")},
		{Prefix: []byte("c/"), Tree: tree([]int{11, 10})},
	}
	seven := []int{7, 6, 5, 4, 3, 2, 1}
	for _, c := range []struct {
		name  string
		m     *manifest.Manifest
		jobs  []manifest.Compaction
		slots int
		o     SizeTieredOptions
		want  []string
	}{
		{name: "nothing", m: root(nil)},
		{name: "too few L0", m: root([]int{3, 2, 1})},
		{name: "first run is 0", m: root([]int{4, 3, 2, 1}), want: []string{"4,3,2,1->0"}},
		{name: "next id", m: root([]int{4, 3, 2, 1}, "5:1000", "2:9000"), want: []string{"4,3,2,1->6"}},
		{name: "next id is above those to come", m: root([]int{4, 3, 2, 1}, "5:100"), jobs: []manifest.Compaction{job(1, manifest.Compacted, manifest.Spec{Segment: []byte("q"), Destination: 9})}, want: []string{"4,3,2,1->10"}},
		{name: "newest are left out", m: root(seven), o: SizeTieredOptions{MaxSources: 5}, want: []string{"5,4,3,2,1->0"}},
		{name: "L0 in use", m: root(seven), jobs: []manifest.Compaction{job(1, manifest.Running, manifest.Spec{L0Views: ids(4, 3, 2, 1)})}},
		{name: "finished job holds nothing", m: root(seven), jobs: []manifest.Compaction{job(1, manifest.Failed, manifest.Spec{L0Views: ids(4, 3, 2, 1)})}, want: []string{"7,6,5,4,3,2,1->0"}},
		{name: "no slot", m: root(seven), slots: 1, jobs: []manifest.Compaction{job(1, manifest.Submitted, manifest.Spec{Destination: 8})}},
		{name: "runs of similar size", m: root(nil, "9:100", "8:390", "7:110", "6:120"), want: []string{"+9,8,7,6->6"}},
		{name: "too different", m: root(nil, "9:100", "8:401", "7:110", "6:120")},
		{name: "smallest counts", m: root(nil, "9:100", "8:110", "7:120", "6:401")},
		{name: "later series", m: root(nil, "9:10", "8:1000", "7:1000", "6:900", "5:1100"), want: []string{"+8,7,6,5->5"}},
		{name: "run in use", m: root(nil, "9:100", "8:100", "7:100", "6:100"), jobs: []manifest.Compaction{job(1, manifest.Running, manifest.Spec{Runs: []uint32{6, 5}, Destination: 5})}},
		{name: "oldest of a long series", m: root(nil, "9:1", "8:1", "7:1", "6:1", "5:1", "4:1"), o: SizeTieredOptions{MaxSources: 4, MinSources: 2}, want: []string{"+7,6,5,4->4"}},
		{name: "L0 waits for a full class below", m: root([]int{4, 3, 2, 1}, "9:400", "8:400", "7:400", "6:400"), o: SizeTieredOptions{MaxSources: 4}, want: []string{"+9,8,7,6->6"}},
		{name: "smaller run below does hold L0 back", m: root([]int{4, 3, 2, 1}, "9:1", "8:1", "7:1", "6:1"), o: SizeTieredOptions{MaxSources: 4}, want: []string{"+9,8,7,6->6"}},
		{name: "much larger run below does not", m: root([]int{4, 3, 2, 1}, "9:9000", "8:9000", "7:9000", "6:9000"), o: SizeTieredOptions{MaxSources: 4}, want: []string{"4,3,2,1->10", "+9,8,7,6->6"}},
		{name: "segments, most L0 first", m: segmented, want: []string{"b/: 9,8,7,6,5->4", "a/: 4,3,2,1->5"}},
		{name: "round robin ends with the slots", m: segmented, slots: 1, want: []string{"b/: 9,8,7,6,5->4"}},
		{name: "drained segment", m: segmented, jobs: []manifest.Compaction{job(1, manifest.Submitted, manifest.Spec{Drain: true, Segment: []byte("b/")})}, want: []string{"a/: 4,3,2,1->4"}},
		{name: "consolidation off", m: root(nil, "2:1", "1:100", "0:10000"), o: SizeTieredOptions{ConsolidationThreshold: 1}},
		{name: "consolidation", m: root(nil, "2:1", "1:100", "0:10000"), o: SizeTieredOptions{ConsolidationThreshold: 2}, want: []string{"+1,0->0"}},
		{name: "consolidation counts what is under way", m: root(nil, "2:1", "1:100", "0:10000"), o: SizeTieredOptions{ConsolidationThreshold: 2}, jobs: []manifest.Compaction{job(1, manifest.Running, manifest.Spec{Runs: []uint32{1, 0}})}},
		{name: "consolidation of several", m: root(nil, "9:1", "2:10", "1:100", "0:10000"), o: SizeTieredOptions{ConsolidationThreshold: 2, MinSources: 9}, want: []string{"+2,1,0->0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.slots == 0 {
				c.slots = 4
			}
			s := SizeTiered(c.o)
			v := View{Manifest: c.m, Jobs: c.jobs, MaxConcurrent: c.slots}
			var got []string
			for _, spec := range s.Propose(v) {
				require.NoError(t, check(c.m, &spec, manifest.Submitted, true))
				require.NoError(t, s.Validate(v, &spec))
				got = append(got, show(spec))
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestCheckSpec(t *testing.T) {
	m := root([]int{4, 3, 2, 1}, "9:1", "5:1", "3:1")
	m.Segments = []manifest.Segment{{Prefix: []byte("s/"), Tree: tree([]int{13, 12, 11}, "20:1")}}
	seg := []byte("s/")
	for _, c := range []struct {
		name string
		s    manifest.Spec
		bad  string // "" = fine
	}{
		{"L0", manifest.Spec{L0Views: ids(4, 3, 2, 1), Destination: 21}, ""},
		{"old end of L0", manifest.Spec{L0Views: ids(2, 1), Destination: 21}, ""},
		{"all", manifest.Spec{L0Views: ids(4, 3, 2, 1), Runs: []uint32{9, 5, 3}, Destination: 3}, ""},
		{"runs", manifest.Spec{Runs: []uint32{5, 3}, Destination: 3}, ""},
		{"runs to a new id between", manifest.Spec{Runs: []uint32{5, 3}, Destination: 4}, ""},
		{"one run again", manifest.Spec{Runs: []uint32{5}, Destination: 5}, ""},
		{"no source", manifest.Spec{Destination: 21}, "no sources"},
		{"unknown L0", manifest.Spec{L0Views: ids(8), Destination: 21}, "no L0 view"},
		{"unknown run", manifest.Spec{Runs: []uint32{7}, Destination: 7}, "no run"},
		{"unknown segment", manifest.Spec{Segment: []byte("q"), L0Views: ids(1), Destination: 21}, "no segment"},
		{"repeated L0", manifest.Spec{L0Views: ids(1, 1), Destination: 21}, "given twice"},
		{"repeated run", manifest.Spec{Runs: []uint32{5, 5}, Destination: 5}, "given twice"},
		{"L0 oldest first", manifest.Spec{L0Views: ids(1, 2), Destination: 21}, "not neighbours"},
		{"gap in L0", manifest.Spec{L0Views: ids(3, 1), Destination: 21}, "not neighbours"},
		{"gap in runs", manifest.Spec{Runs: []uint32{9, 3}, Destination: 3}, "not neighbours"},
		{"L0 past a run", manifest.Spec{L0Views: ids(4, 3, 2, 1), Runs: []uint32{5, 3}, Destination: 3}, "not neighbours"},
		{"newest L0 and runs", manifest.Spec{L0Views: ids(4, 3), Runs: []uint32{9}, Destination: 9}, "not neighbours"},
		{"middle of L0", manifest.Spec{L0Views: ids(3, 2), Destination: 21}, "oldest L0"},
		{"destination below a run", manifest.Spec{L0Views: ids(4, 3, 2, 1), Destination: 7}, "not above"},
		{"destination below a run of another tree", manifest.Spec{L0Views: ids(4, 3, 2, 1), Destination: 19}, "not above"},
		{"destination is a run but no source", manifest.Spec{Runs: []uint32{5, 3}, Destination: 9}, "no source"},
		{"L0 and run into another id", manifest.Spec{L0Views: ids(4, 3, 2, 1), Runs: []uint32{9}, Destination: 4}, "other side"},
		{"drain", manifest.Spec{Drain: true, Segment: seg, L0Views: ids(13, 12, 11), Runs: []uint32{20}}, ""},
		{"drain of the old part", manifest.Spec{Drain: true, Segment: seg, L0Views: ids(12, 11), Runs: []uint32{20}}, ""},
		{"drain leaves an older one", manifest.Spec{Drain: true, Segment: seg, L0Views: ids(13, 11)}, "stays"},
		{"drain of the root", manifest.Spec{Drain: true, L0Views: ids(4, 3, 2, 1)}, "root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := check(m, &c.s, manifest.Submitted, true)
			if c.bad == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, kv.ErrInvalid)
			require.ErrorContains(t, err, c.bad)
		})
	}
	mid := manifest.Spec{L0Views: ids(3, 2), Destination: 21}
	require.NoError(t, check(m, &mid, manifest.Submitted, false), "without operands two copies do no harm")
	other := manifest.Spec{L0Views: ids(4, 3, 2, 1), Destination: 19}
	require.NoError(t, check(m, &other, manifest.Compacted, true), "when it was scheduled the other tree had no such run")
	require.ErrorIs(t, SizeTiered(SizeTieredOptions{}).Validate(View{Manifest: m}, &manifest.Spec{Runs: []uint32{5, 3}, Destination: 5}), kv.ErrInvalid)
}

// shape writes a tree as "4,3|9:[t..],5 w2".
func shape(t *manifest.Tree) string {
	var l0, runs []string
	for i := range t.L0 {
		l0 = append(l0, fmt.Sprint(t.L0[i].ID.Time()))
	}
	for i := range t.Runs {
		var vs []string
		for j := range t.Runs[i].Views {
			vs = append(vs, fmt.Sprint(t.Runs[i].Views[j].ID.Time()))
		}
		runs = append(runs, fmt.Sprintf("%d[%s]", t.Runs[i].ID, strings.Join(vs, ",")))
	}
	return fmt.Sprintf("%s | %s | %d", strings.Join(l0, ","), strings.Join(runs, " "), t.LastCompactedL0.Time())
}

func TestApply(t *testing.T) {
	done := func(spec manifest.Spec, outputs ...int) manifest.Compaction {
		j := job(50, manifest.Compacted, spec)
		for _, n := range outputs {
			v := view(n, 1, fmt.Sprintf("%04d", n), fmt.Sprintf("%04d", n))
			j.Outputs = append(j.Outputs, v.Table)
		}
		return j
	}
	for _, c := range []struct {
		name string
		m    *manifest.Manifest
		jobs []manifest.Compaction
		want string
		got  []manifest.Status
		same bool
	}{
		{"L0", root([]int{4, 3, 2, 1}), []manifest.Compaction{done(manifest.Spec{L0Views: ids(3, 2, 1)}, 60, 61)}, "4 | 0[60,61] | 3", []manifest.Status{manifest.Completed}, false},
		{"above runs", root([]int{2, 1}, "4:1", "3:1"), []manifest.Compaction{done(manifest.Spec{L0Views: ids(2, 1), Destination: 7}, 60)}, " | 7[60] 4[1004] 3[1003] | 2", []manifest.Status{manifest.Completed}, false},
		{"middle of the runs", root(nil, "5:1", "4:1", "3:1", "2:1"), []manifest.Compaction{done(manifest.Spec{Runs: []uint32{4, 3}, Destination: 3}, 60)}, " | 5[1005] 3[60] 2[1002] | 0", []manifest.Status{manifest.Completed}, false},
		{"without output", root([]int{2, 1}), []manifest.Compaction{done(manifest.Spec{L0Views: ids(2, 1)})}, " | 0[] | 2", []manifest.Status{manifest.Completed}, false},
		{"middle of L0 stays", root([]int{4, 3, 2, 1}), []manifest.Compaction{done(manifest.Spec{L0Views: ids(3, 2)}, 60)}, "4,3,2,1 | 0[60] | 0", []manifest.Status{manifest.Completed}, false},
		{"two at once", root([]int{2, 1}, "5:1", "4:1", "3:1"), []manifest.Compaction{done(manifest.Spec{L0Views: ids(2, 1), Destination: 6}, 60), done(manifest.Spec{Runs: []uint32{4, 3}, Destination: 3}, 61)}, " | 6[60] 5[1005] 3[61] | 2", []manifest.Status{manifest.Completed, manifest.Completed}, false},
		{"second has lost its sources", root([]int{2, 1}, "4:1", "3:1"), []manifest.Compaction{done(manifest.Spec{Runs: []uint32{4, 3}, Destination: 3}, 60), done(manifest.Spec{Runs: []uint32{4}, Destination: 4}, 61)}, "2,1 | 3[60] | 0", []manifest.Status{manifest.Completed, manifest.Failed}, false},
		{"was in already", root([]int{9}, "1060:1"), []manifest.Compaction{done(manifest.Spec{L0Views: ids(2, 1), Destination: 1060}, 2060)}, "9 | 1060[2060] | 0", []manifest.Status{manifest.Completed}, true},
		{"another output is in", root([]int{9}, "6:1"), []manifest.Compaction{done(manifest.Spec{L0Views: ids(2, 1), Destination: 6}, 60)}, "9 | 6[1006] | 0", []manifest.Status{manifest.Failed}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, changed := applyAll(c.m, c.jobs, false)
			require.Equal(t, c.want, shape(&c.m.Root))
			require.Equal(t, !c.same, changed)
			for i := range out {
				require.Equal(t, c.got[i], out[i].status, "%v", out[i].err)
			}
			require.NoError(t, c.m.Validate())
		})
	}
}

func TestApplyDrain(t *testing.T) {
	m := manifest.New("x")
	m.Segments = []manifest.Segment{{Prefix: []byte("s/"), Tree: tree([]int{3, 2, 1}, "7:1", "6:1")}}
	out, changed := applyAll(m, []manifest.Compaction{job(9, manifest.Submitted, manifest.Spec{Drain: true, Segment: []byte("s/"), L0Views: ids(2, 1), Runs: []uint32{7, 6}})}, true)
	require.True(t, changed)
	require.Equal(t, manifest.Completed, out[0].status)
	require.Equal(t, "3 |  | 2", shape(&m.Segments[0].Tree))
	applyAll(m, []manifest.Compaction{job(9, manifest.Submitted, manifest.Spec{Drain: true, Segment: []byte("s/"), L0Views: ids(3)})}, true)
	require.Equal(t, " |  | 3", shape(&m.Segments[0].Tree), "the writer removes it")
}

func TestTrivialMove(t *testing.T) {
	m := manifest.New("")
	m.Root.L0 = []sst.View{view(3, 1, "m", "p"), view(2, 1, "a", "b"), view(1, 1, "q", "z")}
	m.Root.Runs = []sst.SortedRun{{ID: 4, Views: []sst.View{view(8, 1, "c", "d"), view(9, 1, "e", "k")}}}
	spec := manifest.Spec{L0Views: ids(3, 2, 1), Runs: []uint32{4}, Destination: 4}
	require.True(t, movable(m, &spec))
	out, _ := applyAll(m, []manifest.Compaction{job(5, manifest.Submitted, spec)}, true)
	require.Equal(t, manifest.Completed, out[0].status)
	require.Equal(t, " | 4[2,8,9,3,1] | 3", shape(&m.Root))

	m.Root.L0 = []sst.View{view(3, 1, "m", "q"), view(1, 1, "q", "z")}
	require.False(t, movable(m, &manifest.Spec{L0Views: ids(3, 1)}), "one key is shared")
	m.Root.L0[0].Visible = &kv.Range{End: []byte("q")}
	require.True(t, movable(m, &manifest.Spec{L0Views: ids(3, 1)}), "but not shown")
	m.Root.L0[0] = view(3, 1, "a", "b")
	m.Root.L0[0].Table.Info.Last = nil
	require.False(t, movable(m, &manifest.Spec{L0Views: ids(3, 1)}), "an unknown end")
}

func TestMergeJobs(t *testing.T) {
	all := []manifest.Status{manifest.Submitted, manifest.Running, manifest.Completed, manifest.Failed, manifest.Compacted, manifest.Scheduled}
	follows := map[[2]manifest.Status]bool{
		{manifest.Submitted, manifest.Compacted}: true,
		{manifest.Scheduled, manifest.Running}:   true, {manifest.Scheduled, manifest.Compacted}: true,
		{manifest.Running, manifest.Scheduled}: true, {manifest.Running, manifest.Running}: true, {manifest.Running, manifest.Compacted}: true,
		{manifest.Compacted, manifest.Compacted}: true,
	}
	for _, to := range all {
		out, odd := mergeJobs(nil, []manifest.Compaction{job(1, to, manifest.Spec{})})
		known := to != manifest.Scheduled && to != manifest.Running
		require.Equal(t, known, len(out) == 1, "unknown %s", to)
		require.Equal(t, !known, len(odd) == 1)
		for _, from := range all {
			stored := job(1, to, manifest.Spec{})
			stored.Context = &manifest.Context{RetentionMinSeq: 7}
			out, _ := mergeJobs([]manifest.Compaction{job(1, from, manifest.Spec{})}, []manifest.Compaction{stored})
			require.Len(t, out, 1)
			want := from
			if follows[[2]manifest.Status{from, to}] {
				want = to
				require.NotNil(t, out[0].Context, "%s to %s", from, to)
			}
			require.Equal(t, want, out[0].Status, "%s to %s", from, to)
		}
	}
	out, _ := mergeJobs([]manifest.Compaction{job(1, manifest.Running, manifest.Spec{})}, nil)
	require.Len(t, out, 1, "what somebody left out is kept")
}

func TestDecide(t *testing.T) {
	jobs := []manifest.Compaction{
		job(1, manifest.Compacted, manifest.Spec{}), job(2, manifest.Submitted, manifest.Spec{}), job(3, manifest.Submitted, manifest.Spec{}),
		job(4, manifest.Running, manifest.Spec{}), job(5, manifest.Running, manifest.Spec{}), job(6, manifest.Completed, manifest.Spec{}),
	}
	jobs[3].Context = &manifest.Context{RetentionMinSeq: 3}
	jobs[3].Worker = &manifest.Worker{ID: "w"}
	d := &decisions{
		settled:  map[ulid.ULID]manifest.Status{id(1): manifest.Completed, id(99): manifest.Failed},
		promoted: ids(2, 5), added: []addition{{spec: manifest.Spec{Destination: 8}, status: manifest.Scheduled}},
	}
	lost := func(j *manifest.Compaction) bool { return j.ID == id(4) }
	out, changed := decide(jobs, d, lost, func([]manifest.Compaction) ulid.ULID { return id(10) })
	require.True(t, changed)
	var got []string
	for _, j := range out {
		got = append(got, fmt.Sprintf("%d %s", j.ID.Time(), j.Status))
	}
	require.Equal(t, []string{"1 Completed", "2 Scheduled", "3 Submitted", "4 Scheduled", "5 Running", "6 Completed", "10 Scheduled"}, got)
	require.NotNil(t, out[3].Context, "what was done of a lost job is kept")
	require.Nil(t, out[3].Worker)
	require.Equal(t, manifest.Running, jobs[3].Status, "the argument is not touched")
	_, changed = decide(jobs[:3], &decisions{}, func(*manifest.Compaction) bool { return false }, nil)
	require.False(t, changed)

	require.Equal(t, manifest.Submitted, begin([]manifest.Compaction{job(1, manifest.Scheduled, manifest.Spec{})})[0].Status)
	require.Len(t, begin(jobs), 6)
	require.Len(t, trimmed(out), 6, "of the finished ones the newest stays")
}

// What a coordinator adds is one job, however often it has to be applied, and is known when it
// turns out to be stored.
func TestAddedOnce(t *testing.T) {
	quiet := func(*manifest.Compaction) bool { return false }
	n := 9
	mint := func([]manifest.Compaction) ulid.ULID { n++; return id(n) }
	d := &decisions{added: []addition{{spec: manifest.Spec{L0Views: ids(2, 1), Destination: 8}, status: manifest.Scheduled}}}
	out, changed := decide(nil, d, quiet, mint)
	require.True(t, changed)
	require.Equal(t, id(10), out[0].ID)
	again, changed := decide(nil, d, quiet, mint)
	require.True(t, changed)
	require.Equal(t, out, again)
	require.False(t, d.storedIn(&manifest.Compactions{}))

	// A worker has done it meanwhile. Ids of one millisecond come in any order.
	c := &Compactor{conf: Config{Logger: slog.New(slog.DiscardHandler)}, known: []manifest.Compaction{job(20, manifest.Running, manifest.Spec{})}}
	for _, st := range []manifest.Status{manifest.Running, manifest.Compacted} {
		stored := manifest.Compactions{Jobs: cloneJobs(out)}
		stored.Jobs[0].Status = st
		stored.Put(c.known[0].Clone())
		out, changed := decide(c.merge(stored.Jobs, d.added...), d, quiet, mint)
		require.False(t, changed)
		require.True(t, d.storedIn(&stored))
		require.Equal(t, stored.Jobs, out)
	}
}

func TestMakePlan(t *testing.T) {
	m := root([]int{9, 8, 7, 6, 5, 4, 3, 2, 1}, "7:1", "5:1", "3:1")
	full := manifest.Spec{Runs: []uint32{7, 5, 3}, Destination: 3}
	l0 := manifest.Spec{L0Views: ids(2, 1), Destination: 8}
	bad := manifest.Spec{Runs: []uint32{6}, Destination: 6}
	for _, c := range []struct {
		name     string
		jobs     []manifest.Compaction
		slots    int
		promoted []ulid.ULID
		rejected []ulid.ULID
		added    int
	}{
		{"good and bad", []manifest.Compaction{job(1, manifest.Submitted, full), job(2, manifest.Submitted, bad), job(3, manifest.Submitted, l0)}, 4, ids(1, 3), ids(2), 0},
		{"no slot", []manifest.Compaction{job(1, manifest.Running, full), job(3, manifest.Submitted, l0)}, 1, nil, nil, 0},
		{"waits for a common source", []manifest.Compaction{job(1, manifest.Running, full), job(3, manifest.Submitted, manifest.Spec{Runs: []uint32{7, 5}, Destination: 5})}, 4, nil, nil, 1},
		{"first come", []manifest.Compaction{job(1, manifest.Submitted, full), job(3, manifest.Submitted, full)}, 4, ids(1), nil, 1},
		{"one L0 job a segment", []manifest.Compaction{job(1, manifest.Running, l0), job(3, manifest.Submitted, manifest.Spec{L0Views: ids(9, 8, 7, 6, 5, 4, 3), Destination: 9})}, 4, nil, nil, 0},
		{"scheduler only", nil, 4, nil, nil, 1},
		{"scheduled, and no worker can do it", []manifest.Compaction{job(1, manifest.Scheduled, manifest.Spec{L0Views: ids(42), Destination: 8}), job(3, manifest.Scheduled, bad)}, 2, nil, ids(1, 3), 1},
		{"its worker will say so", []manifest.Compaction{job(1, manifest.Running, bad)}, 2, nil, nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := makePlan(View{m, c.jobs, c.slots}, SizeTiered(SizeTieredOptions{}), false, true)
			require.NoError(t, p.err)
			require.Equal(t, c.promoted, p.promoted)
			require.Len(t, p.rejected, len(c.rejected))
			for _, x := range c.rejected {
				require.ErrorIs(t, p.rejected[x], kv.ErrInvalid)
			}
			require.Len(t, p.added, c.added, "%v", p.added)
		})
	}
	p := makePlan(View{m, []manifest.Compaction{job(1, manifest.Submitted, full)}, 4}, panicky{}, false, true)
	require.Error(t, p.err)
	require.Empty(t, p.rejected, "a broken scheduler says nothing about a job")
}

type panicky struct{}

func (panicky) Propose(View) []manifest.Spec        { panic("no") }
func (panicky) Validate(View, *manifest.Spec) error { panic(errors.New("no")) }

func TestWork(t *testing.T) {
	none := func(ulid.ULID) bool { return false }
	list := func() *manifest.Compactions {
		c := &manifest.Compactions{Jobs: []manifest.Compaction{
			job(1, manifest.Running, manifest.Spec{}), job(2, manifest.Running, manifest.Spec{}), job(3, manifest.Scheduled, manifest.Spec{}),
			job(4, manifest.Scheduled, manifest.Spec{}), job(5, manifest.Scheduled, manifest.Spec{Drain: true, Segment: []byte("s")}), job(6, manifest.Submitted, manifest.Spec{}),
		}}
		c.Jobs[0].Worker, c.Jobs[1].Worker = &manifest.Worker{ID: "me"}, &manifest.Worker{ID: "other"}
		return c
	}
	x := &manifest.Context{RetentionMinSeq: 4}

	c := list()
	r := work(c, "me", 77, []report{{id: id(1), context: x}}, false, 1, none)
	require.Len(t, r.claimed, 1)
	require.Equal(t, id(3), r.claimed[0].ID)
	require.EqualValues(t, 77, c.Jobs[0].Worker.HeartbeatMillis, "a write that happens anyway is a sign of life")
	require.Equal(t, x, c.Jobs[0].Context)

	r = work(list(), "me", 77, []report{{id: id(1), context: x}}, false, 0, none)
	require.False(t, r.changed)
	r = work(list(), "me", 77, []report{{id: id(1), context: x}}, true, 0, none)
	require.True(t, r.changed)

	c = list()
	r = work(c, "me", 77, []report{{id: id(2)}, {id: id(1), state: doneState, outputs: []*sst.Handle{{}}}}, false, 9, func(u ulid.ULID) bool { return u == id(4) })
	require.Equal(t, ids(2), r.lost)
	require.Equal(t, ids(1), r.settled)
	require.True(t, r.handed)
	require.Equal(t, manifest.Compacted, c.Jobs[0].Status)
	require.Len(t, c.Jobs[0].Outputs, 1)
	require.Nil(t, c.Jobs[0].Context)
	require.Len(t, r.claimed, 1, "drains, jobs of others and shunned ones are not claimed")

	c = list()
	r = work(c, "me", 77, []report{{id: id(1), state: releasedState, context: x}}, false, 0, none)
	require.Equal(t, manifest.Scheduled, c.Jobs[0].Status)
	require.Nil(t, c.Jobs[0].Worker)
	require.Equal(t, x, c.Jobs[0].Context)
	r = work(c, "me", 77, []report{{id: id(1), state: releasedState, context: x}}, false, 0, none)
	require.Equal(t, ids(1), r.settled, "our own write, whose answer was lost")
	require.False(t, r.changed)
}

func TestPulses(t *testing.T) {
	const timeout = 30 * time.Second
	t0 := time.UnixMilli(1_000_000_000)
	running := func(beat time.Time) *manifest.Compaction {
		j := job(1, manifest.Running, manifest.Spec{})
		j.Worker = &manifest.Worker{ID: "w", HeartbeatMillis: uint64(beat.UnixMilli())}
		return &j
	}
	for _, c := range []struct {
		name  string
		beat  time.Time // stored
		quiet time.Duration
		lost  bool
	}{
		{"fresh", t0, 10 * time.Second, false},
		{"quiet for the timeout", t0, timeout, true},
		{"an old one is given half of it", t0.Add(-time.Hour), 14 * time.Second, false},
		{"and no more", t0.Add(-time.Hour), 15 * time.Second, true},
		{"from the future", t0.Add(time.Hour), 29 * time.Second, false},
		{"from the future, dead", t0.Add(time.Hour), timeout, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pulses{}
			j := running(c.beat)
			p.note([]manifest.Compaction{*j}, t0)
			p.note([]manifest.Compaction{*j}, t0.Add(c.quiet/2))
			require.Equal(t, c.lost, p.lost(j, t0.Add(c.quiet), timeout))
			require.False(t, p.lost(running(c.beat.Add(time.Second)), t0.Add(c.quiet), timeout), "it has moved")
		})
	}
	j := running(t0)
	j.Worker = nil
	require.True(t, pulses{}.lost(j, t0, timeout), "nobody's")
}

func TestSplitAt(t *testing.T) {
	even := func(n int, weight uint64) (out []anchor) {
		for i := range n {
			out = append(out, anchor{[]byte(fmt.Sprintf("%03d", i)), weight})
		}
		return out
	}
	for _, c := range []struct {
		name    string
		a       []anchor
		largest uint64
		most    int
		want    []string
	}{
		{"nothing", nil, 0, 4, nil},
		{"off", even(8, 10), 10, 1, nil},
		{"four equal parts", even(8, 10), 10, 4, []string{"002", "004", "006"}},
		{"no range smaller than a table", even(8, 10), 40, 4, []string{"004"}},
		{"one table", even(8, 10), 80, 4, nil},
		{"equal keys are not cut", []anchor{{[]byte("a"), 10}, {[]byte("a"), 10}, {[]byte("a"), 10}, {[]byte("b"), 10}}, 10, 4, []string{"b"}},
		{"heavy start", []anchor{{[]byte("a"), 90}, {[]byte("b"), 5}, {[]byte("c"), 5}}, 10, 4, []string{"b", "c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rs := splitAt(c.a, c.largest, c.most)
			require.Len(t, rs, len(c.want)+1)
			require.Nil(t, rs[0].Start)
			require.Nil(t, rs[len(rs)-1].End)
			for i, k := range c.want {
				require.Equal(t, k, string(rs[i].End))
				require.Equal(t, k, string(rs[i+1].Start))
			}
		})
	}
}

func TestViewBytes(t *testing.T) {
	v := view(1, 1000, "k00", "k99")
	require.EqualValues(t, 1000, ViewBytes(&v))
	v.Visible = &kv.Range{Start: []byte("k50")}
	require.InDelta(t, 490, float64(ViewBytes(&v)), 50)
	v.Visible = &kv.Range{Start: []byte("k50"), End: []byte("k50\x10")}
	require.Less(t, ViewBytes(&v), uint64(10))
	v.Visible = &kv.Range{Start: []byte("k50"), End: []byte("k50\x00")}
	require.EqualValues(t, 1000, ViewBytes(&v), "no length computes to the whole")
	v.Table.Info.Last = nil
	require.EqualValues(t, 1000, ViewBytes(&v))
}

func TestSpecs(t *testing.T) {
	m := root([]int{2, 1}, "7:1", "5:1")
	m.Segments = []manifest.Segment{
		{Prefix: []byte("a/"), Tree: tree([]int{4, 3})}, {Prefix: []byte("b/")}, {Prefix: []byte("c/"), Tree: tree(nil, "9:1")},
	}
	var full, all []string
	for _, s := range FullSpecs(m) {
		full = append(full, show(s))
	}
	for _, s := range AllSpecs(m, []manifest.Compaction{job(1, manifest.Running, manifest.Spec{Destination: 30})}) {
		all = append(all, show(s))
	}
	require.Equal(t, []string{"+7,5->5", "c/: +9->9"}, full)
	require.Equal(t, []string{"2,1+7,5->5", "a/: 4,3->31"}, all)
}

func TestBottom(t *testing.T) {
	for _, c := range []struct {
		name string
		t    manifest.Tree
		s    manifest.Spec
		want bool
	}{
		{"no runs", tree([]int{3, 2, 1}), manifest.Spec{L0Views: ids(2, 1)}, true},
		{"older L0 stays", tree([]int{3, 2, 1}), manifest.Spec{L0Views: ids(3, 2)}, false},
		{"runs below", tree([]int{1}, "4:1"), manifest.Spec{L0Views: ids(1), Destination: 5}, false},
		{"into the oldest run", tree(nil, "4:1", "3:1"), manifest.Spec{Runs: []uint32{4, 3}, Destination: 3}, true},
		{"into a newer run", tree(nil, "5:1", "4:1", "3:1"), manifest.Spec{Runs: []uint32{5, 4}, Destination: 4}, false},
	} {
		require.Equal(t, c.want, bottom(&c.t, &c.s), c.name)
	}
}
