package slatedb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// The golden databases have all versions of their manifest and job list, so that every state
// in which their engine could have been killed is there: cut the newer versions away. Each is
// opened here, by a writer with compactor and collector, and brought to an end.

// A goldenCut is a golden database at manifest m and job list c (nil = none yet).
type goldenCut struct {
	db    string
	m     *manifest.Manifest
	c     *manifest.Compactions
	state string
}

// goldenCuts lists the states of a database in which manifest and job list fit together.
func goldenCuts(t *testing.T, s objstore.Store, db string) (out []goldenCut) {
	t.Helper()
	ctx := context.Background()
	var ms []*manifest.Manifest
	cs := []*manifest.Compactions{nil}
	for a, err := range s.List(ctx, db+"/", "") {
		require.NoError(t, err)
		var id uint64
		dir, file := path.Split(a.Key)
		o, err := s.Get(ctx, a.Key)
		require.NoError(t, err)
		switch path.Base(dir) {
		case "manifest":
			_, err = fmt.Sscanf(file, "%d.manifest", &id)
			require.NoError(t, err)
			m, err := manifest.Decode(a.Key, id, o.Body)
			require.NoError(t, err)
			ms = append(ms, m)
		case "compactions":
			_, err = fmt.Sscanf(file, "%d.compactions", &id)
			require.NoError(t, err)
			c, err := manifest.DecodeCompactions(a.Key, id, o.Body)
			require.NoError(t, err)
			cs = append(cs, c)
		}
	}
	for _, m := range ms {
		for _, c := range cs {
			if state := goldenState(m, c); state != "" && m.Initialized {
				out = append(out, goldenCut{db, m, c, state})
			}
		}
	}
	return out
}

// goldenState names the state; "" when the two never were at the same time.
func goldenState(m *manifest.Manifest, c *manifest.Compactions) string {
	if c == nil {
		if m.CompactorEpoch > 0 && m.Root.Empty() && len(m.Segments) == 0 || m.CompactorEpoch == 0 {
			return "no job list"
		}
		return ""
	}
	if c.CompactorEpoch > m.CompactorEpoch {
		return ""
	}
	if len(c.Jobs) == 0 && len(m.Root.Runs) > 0 {
		return ""
	}
	state := "at rest"
	for i := range c.Jobs {
		j := &c.Jobs[i]
		t := &m.Root
		if len(j.Spec.Segment) > 0 {
			if s := m.Segment(j.Spec.Segment); s != nil {
				t = &s.Tree
			} else if t = (&manifest.Tree{}); !j.Spec.Drain {
				return ""
			}
		}
		have, gone := goldenSources(t, j)
		switch {
		case j.Status.Finished() && have == 0, j.Status == manifest.Compacted && (have == 0 || gone == 0), gone == 0:
		default:
			return ""
		}
		if j.Status.Finished() && have > 0 {
			return ""
		}
		if !j.Status.Finished() {
			state = strings.ToLower(j.Status.String())
			if j.Spec.Drain {
				state += " drain"
			} else if j.Status == manifest.Compacted && have == 0 {
				state += " and in the manifest"
			}
		}
	}
	for i := range m.Segments {
		if m.Segments[i].Tree.Empty() {
			state = "drain marker"
		}
	}
	if m.FormatVersion == 1 {
		state += ", v1"
	}
	return state
}

func goldenSources(t *manifest.Tree, j *manifest.Compaction) (have, gone int) {
	l0, runs := map[ulid.ULID]bool{}, map[uint32]bool{}
	for i := range t.L0 {
		l0[t.L0[i].ID] = true
	}
	for i := range t.Runs {
		runs[t.Runs[i].ID] = true
	}
	for _, id := range j.Spec.L0Views {
		if l0[id] {
			have++
		} else {
			gone++
		}
	}
	for _, id := range j.Spec.Runs {
		if runs[id] {
			have++
		} else {
			gone++
		}
	}
	return have, gone
}

// cut returns a copy of the store with the database as it was in the state.
func (c *goldenCut) cut(t *testing.T, dir string) objstore.Store {
	t.Helper()
	ctx := context.Background()
	s := memoryCopy(t, dir)
	var list uint64
	if c.c != nil {
		list = c.c.ID
	}
	for a, err := range s.List(ctx, c.db+"/", "") {
		require.NoError(t, err)
		var id uint64
		d, file := path.Split(a.Key)
		_, _ = fmt.Sscanf(file, "%d.", &id)
		if k := path.Base(d); k == "manifest" && id > c.m.ID || k == "compactions" && id > list {
			require.NoError(t, s.Delete(ctx, a.Key))
		}
	}
	return s
}

type goldenKVs []struct{ Key, Value string }

func (kvs goldenKVs) rows() map[string]string {
	out := map[string]string{}
	for _, kv := range kvs {
		out[kv.Key] = kv.Value
	}
	return out
}

func TestGoldenStatesAreContinued(t *testing.T) {
	seen := map[string]int{}
	for _, d := range []struct {
		dir, db, side string
		extractor     PrefixExtractor
	}{
		{"testdata/golden/db/store", "golden/base", "base", nil},
		{"testdata/golden/db/store", "golden/plain", "plain", nil},
		{"testdata/golden/db/store", "golden/segments", "segments", slash("first-slash")},
		{"testdata/golden/db/store", "golden/v1up", "v1up", nil},
	} {
		raw, err := os.ReadFile("testdata/golden/db/decoded/" + d.side + ".json")
		require.NoError(t, err)
		var side struct {
			Rows goldenKVs `json:"rows_latest"`
		}
		require.NoError(t, json.Unmarshal(raw, &side))
		for _, c := range goldenCuts(t, memoryCopy(t, d.dir), d.db) {
			s := c.cut(t, d.dir)
			r, err := OpenReader(context.Background(), d.db, goldenReaderOptions(d.side, s))
			if d.side == "v1up" && err != nil {
				continue // log objects that it needs were removed by hand
			}
			require.NoError(t, err)
			want := map[string]string{}
			for _, e := range scanAll(t, r, nil) {
				want[string(e.Key)] = string(e.Value)
			}
			require.NoError(t, r.Close(context.Background()))
			if len(want) == 0 {
				continue
			}
			if d.side == "base" || d.side == "segments" {
				// Nothing is lost by going back: the log has it all, and what is drained later.
				got := maps.Clone(want)
				maps.DeleteFunc(got, func(k, _ string) bool { return strings.HasPrefix(k, "b/") })
				require.Equal(t, side.Rows.rows(), got)
			}
			seen[c.state]++
			list := uint64(0)
			if c.c != nil {
				list = c.c.ID
			}
			t.Run(fmt.Sprintf("%s/%d-%d %s", d.side, c.m.ID, list, c.state), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { continueGolden(t, s, d.db, d.extractor, want, strings.Contains(c.state, " drain")) })
			})
		}
	}
	t.Logf("%v", seen)
	for _, state := range []string{"at rest", "at rest, v1", "running", "compacted", "compacted and in the manifest", "drain marker", "submitted drain"} {
		require.Positive(t, seen[state], "no database in state %q", state)
	}
}

// continueGolden opens the database with every role, writes, merges everything and collects.
func continueGolden(t *testing.T, s objstore.Store, path string, x PrefixExtractor, want map[string]string, draining bool) {
	ctx := context.Background()
	time.Sleep(time.Until(time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC))) // a month after the files
	o := &Options{
		Store: s, Logger: quiet, MergeOperator: concatOp, SegmentExtractor: x, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20,
		Compactor: &CompactorOptions{CheckpointLifetime: time.Minute, WorkerHeartbeatTimeout: 10 * time.Second},
		GC:        &GCOptions{MinAge: -1, Interval: 30 * time.Second},
	}
	db, err := Open(ctx, path, o)
	require.NoError(t, err)
	defer func() { _ = db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}) }() // for a test that fails
	check := func(r ReadOps) {
		t.Helper()
		got := map[string]string{}
		for _, e := range scanAll(t, r, nil) {
			got[string(e.Key)] = string(e.Value)
			v, err := r.Get(ctx, e.Key)
			require.NoError(t, err)
			require.True(t, bytes.Equal(e.Value, v))
		}
		require.Equal(t, want, got)
	}
	if !draining { // else it is gone in the middle of it
		check(db)
	}
	time.Sleep(5 * time.Minute) // the job that was left is done by then, and its sources are collected
	if draining {
		maps.DeleteFunc(want, func(k, _ string) bool { return strings.HasPrefix(k, "b/") })
	}
	check(db)
	for i, k := range []string{"a/written by go", "zz/written by go"} {
		want[k] = fmt.Sprint(i)
		require.NoError(t, db.Put(ctx, []byte(k), []byte(want[k])))
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		time.Sleep(time.Second)
	}
	require.NoError(t, db.Compact(ctx))
	check(db)
	list, err := testAdmin(t, s, path).ReadCompactions(ctx, 0)
	require.NoError(t, err)
	require.False(t, slices.ContainsFunc(list.Jobs, func(j manifest.Compaction) bool { return !j.Status.Finished() }))
	time.Sleep(10 * time.Minute)
	require.NoError(t, db.Close(ctx))

	db, err = Open(ctx, path, o)
	require.NoError(t, err)
	check(db)
	for p, tr := range db.state.Load().man.Trees() {
		require.Empty(t, tr.L0, "%q", p)
		require.LessOrEqual(t, len(tr.Runs), 1, "%q", p)
	}
	require.NoError(t, db.Close(ctx))

	// Nothing is there that no checkpoint and no manifest needs: clones pin some for ever.
	a := testAdmin(t, s, path)
	report, err := a.RunGCOnce(ctx, &GCOptions{MinAge: -1, DeleteWALFences: true})
	require.NoError(t, err)
	for _, k := range report.Kept {
		if k.Kind == "compacted" {
			require.Regexp(t, "in use by|checkpoint|not older than", k.Reason, "%s", k.Name)
		}
	}
	check(mustReader(t, s, path))
}

func mustReader(t *testing.T, s objstore.Store, path string) *Reader {
	t.Helper()
	o := goldenReaderOptions("", s)
	o.Clock = nil
	r, err := OpenReader(context.Background(), path, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	return r
}

// What the tracker of sequence numbers and times knows is still known after the writer has
// gone on, merged everything and collected, and new numbers have times.
func TestGoldenTrackersAreContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		time.Sleep(time.Until(time.Date(2027, 12, 24, 0, 0, 0, 0, time.UTC)))
		s := memoryCopy(t, golden018+"/tracker2/store")
		a := testAdmin(t, s, "db")
		type point struct {
			seq uint64
			at  time.Time
		}
		var known []point
		for _, e := range scanAll(t, mustReader(t, s, "db"), nil) {
			if at, err := a.TimeForSeq(ctx, e.Seq, RoundDown); err == nil {
				known = append(known, point{e.Seq, at})
			}
		}
		require.Greater(t, len(known), 3)
		o := testOptions()
		o.Store, o.MergeOperator = s, concatOp
		o.DisableCompactor, o.DisableGC, o.GC = false, false, &GCOptions{MinAge: -1, Interval: time.Minute}
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		var fresh []point
		for i := range 3 {
			h, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "by go %d", i), []byte("v"), nil)
			require.NoError(t, err)
			fresh = append(fresh, point{h.Seq(), h.CreateTime()})
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			time.Sleep(10 * time.Minute)
		}
		require.NoError(t, db.Compact(ctx))
		time.Sleep(time.Hour)
		require.NoError(t, db.Close(ctx))
		for _, p := range known {
			at, err := a.TimeForSeq(ctx, p.seq, RoundDown)
			require.NoError(t, err)
			require.True(t, p.at.Equal(at), "number %d: %v, was %v", p.seq, at, p.at)
		}
		for _, p := range fresh {
			at, err := a.TimeForSeq(ctx, p.seq, RoundDown)
			require.NoError(t, err)
			require.WithinDuration(t, p.at, at, time.Second)
			seq, err := a.SeqForTime(ctx, p.at.Add(time.Second), RoundDown)
			require.NoError(t, err)
			require.Equal(t, p.seq, seq)
		}
	})
}
