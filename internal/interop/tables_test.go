//go:build interop

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// Scenes of two engines that look after one database: one compacts, collects or holds what the
// other has written.

// admin opens an Admin of a database.
func admin(t *testing.T, dir, name string) *slatedb.Admin {
	t.Helper()
	a, err := slatedb.NewAdmin(in(dir, name), &slatedb.AdminOptions{MergeOperator: appendOperator, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

// latest reads the newest manifest.
func latest(t *testing.T, dir, name string) *manifest.Manifest {
	t.Helper()
	m, err := admin(t, dir, name).ReadManifest(t.Context(), 0)
	require.NoError(t, err)
	return m
}

// collect deletes the checkpoints that have no name, which those of compactors are, and all
// that nothing needs, whatever its age.
func collect(t *testing.T, dir string) slatedb.GCReport {
	t.Helper()
	a := admin(t, dir, "db")
	all, err := a.ListCheckpoints(t.Context(), "")
	require.NoError(t, err)
	for _, c := range all {
		if c.Name == "" {
			require.NoError(t, a.DeleteCheckpoint(t.Context(), c.ID))
		}
	}
	report, err := a.RunGCOnce(t.Context(), &slatedb.GCOptions{MinAge: -1})
	require.NoError(t, err)
	return report
}

// requireBoth checks that both engines read the model, and agree on the rest.
func requireBoth(t *testing.T, dir string, m model, when string) {
	t.Helper()
	rows := goRows(t, dir, slatedb.Ascending)
	requireModel(t, m, rows, when+", go")
	requireSame(t, rows, pyRows(t, dir, false), when+", go", when+", python")
}

// chunks is a history that ends in tables, several of them.
func chunks(g *gen, n int) (ops []op) {
	for range n {
		// The log first: else its newest object counts as not yet in a table.
		ops = append(append(ops, g.history(60)...), op{Op: "flush", Type: "wal"}, op{Op: "flush", Type: "memtable"})
	}
	return ops
}

// goCompact opens the database, writes ops while the embedded compactor runs, and merges
// everything.
func goCompact(t *testing.T, dir string, s setup, ops []op) {
	t.Helper()
	s.compact = true
	db, err := slatedb.Open(t.Context(), at(dir), s.options())
	require.NoError(t, err)
	write(t, db, ops)
	require.NoError(t, db.Compact(t.Context()))
	require.NoError(t, db.CloseWithOptions(t.Context(), s.closeOptions()))
	m := latest(t, dir, "db")
	require.Empty(t, m.Root.L0)
	require.Len(t, m.Root.Runs, 1)
	require.Greater(t, len(m.Root.Runs[0].Views), 2, "tables are small here")
}

// The engines write and compact one database in turns, and this one collects what both left.
func TestCompactionInTurns(t *testing.T) {
	for _, codec := range []string{"none", "Zstd"} {
		t.Run(codec, func(t *testing.T) {
			g := &gen{r: seed(t), keys: 250, long: true, merges: true}
			dir, m := place(t), model{}
			s := setup{codec: codec, blockKB: 4, filterKeys: 1, l0KB: 1024}

			ops := chunks(g, 5)
			m.apply(ops)
			pyApply(t, dir, s, ops)
			before := goRows(t, dir, slatedb.Ascending)
			requireModel(t, m, before, "written by python")
			goCompact(t, dir, s, nil)
			requireSame(t, before, pyRows(t, dir, false), "before the compaction", "python, compacted by go")
			requireSame(t, before, goRows(t, dir, slatedb.Ascending), "before the compaction", "go")

			// Python merges its own tables with those of this engine.
			ops = chunks(g, 5)
			m.apply(ops)
			s.compact = true
			pyApply(t, dir, s, ops)
			requireBoth(t, dir, m, "compacted by python")

			report := collect(t, dir)
			require.NotEmpty(t, report.Deleted)
			requireBoth(t, dir, m, "collected")

			// And the other way round, with rows of every kind on top.
			g.txns, s.keepWAL = true, true
			ops = chunks(g, 4)
			m.apply(ops)
			old := tables(t, dir)
			goCompact(t, dir, s, ops)
			collect(t, dir)
			requireBoth(t, dir, m, "compacted by go again")
			for _, name := range tables(t, dir) {
				require.NotContains(t, old, name, "everything was merged, and newer tables and jobs came after it")
			}

			g.txns, s.keepWAL, s.compact = false, false, false
			ops = chunks(g, 2)
			m.apply(ops)
			pyApply(t, dir, s, ops)
			requireBoth(t, dir, m, "python goes on")
			requireNothingMissing(t, dir)
		})
	}
}

// tables lists the objects in compacted/.
func tables(t *testing.T, dir string) (out []string) {
	t.Helper()
	s, err := objstore.Open(t.Context(), at(dir))
	require.NoError(t, err)
	for a, err := range s.List(t.Context(), "compacted/", "") {
		require.NoError(t, err)
		out = append(out, strings.TrimPrefix(a.Key, "compacted/"))
	}
	return out
}

func requireNothingMissing(t *testing.T, dir string) {
	t.Helper()
	have := tables(t, dir)
	for id := range latest(t, dir, "db").Tables() {
		require.Contains(t, have, id.String()+".sst")
	}
}

// Rows that the log alone has, of every kind and codec: the original engine opens the database
// for writing, replays them, and writes on.
func TestPythonReplaysGosLog(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec, func(t *testing.T) {
			g := &gen{r: seed(t), keys: 120, long: true, merges: true, txns: true}
			dir, m := place(t), model{}
			ops := []op{
				{Op: "put", K: hexBytes("a"), V: hexBytes("put")}, {Op: "flush", Type: "wal"},
				{Op: "delete", K: hexBytes("a")}, {Op: "flush", Type: "wal"},
				{Op: "merge", K: hexBytes("a"), V: hexBytes("on a tombstone")}, {Op: "merge", K: hexBytes("b"), V: hexBytes("on nothing")},
				{Op: "batch", Ops: []op{
					{Op: "merge", K: hexBytes("b"), V: hexBytes(", one")}, {Op: "merge", K: hexBytes("b"), V: hexBytes(", two")},
					{Op: "put", K: hexBytes("c"), V: hexBytes("")}, {Op: "merge", K: hexBytes("c"), V: hexBytes("!")}, {Op: "delete", K: hexBytes("d")},
					{Op: "delete", K: hexBytes("e")}, {Op: "merge", K: hexBytes("e"), V: hexBytes("after a delete")},
				}},
				{Op: "merge", K: hexBytes("f"), V: hexBytes("1"), TTLms: 3_600_000}, {Op: "merge", K: hexBytes("f"), V: hexBytes("2"), TTLms: 7_200_000},
			}
			ops = append(ops, g.history(150)...)
			m.apply(ops)
			goApply(t, dir, setup{codec: codec, blockKB: 4, filterKeys: 1, l0KB: 4096, keepWAL: true}, ops)
			require.Empty(t, latest(t, dir, "db").Root.L0, "the rows are in tables")
			want := goRows(t, dir, slatedb.Ascending)

			py := openSession(t, "writer", dir)
			rows := py.must("scan", nil, nil).Rows
			requireModel(t, m, rows, "python, as the writer")
			requireSame(t, want, rows, "go", "python")
			more := []op{
				{Op: "merge", K: hexBytes("a"), V: hexBytes(", and more")}, {Op: "delete", K: hexBytes("b")}, {Op: "merge", K: hexBytes("f"), V: hexBytes("3")},
			}
			m.apply(more)
			for _, o := range more {
				py.must(o.Op, o.K, o.V)
			}
			requireModel(t, m, goRows(t, dir, slatedb.Ascending), "go, of both logs")
			py.must("memtable", nil, nil)
			py.must("close", nil, nil)
			require.NotEmpty(t, latest(t, dir, "db").Root.L0)
			requireModel(t, m, goRows(t, dir, slatedb.Ascending), "go, of python's table")
		})
	}
}

// A checkpoint of either engine is what the other reads, whatever becomes of the database.
func TestCheckpointsOfTheOtherEngine(t *testing.T) {
	g := &gen{r: seed(t), keys: 200, long: true, merges: true}
	dir, m := place(t), model{}
	s := setup{codec: "Lz4", blockKB: 4, filterKeys: 1, l0KB: 1024}
	ops := chunks(g, 3)
	m.apply(ops)
	byPython := m.clone()
	var printed struct {
		Checkpoint uuid.UUID `json:"checkpoint"`
	}
	out := pyApply(t, dir, s, append(ops, op{Op: "checkpoint"}))
	require.NoError(t, json.NewDecoder(bytes.NewReader(out)).Decode(&printed), "%s", out)
	a := admin(t, dir, "db")
	all, err := a.ListCheckpoints(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, printed.Checkpoint, all[0].ID)

	// A named one on the same version, since collect deletes those without a name.
	held, err := a.CreateCheckpoint(t.Context(), &slatedb.CheckpointOptions{Name: "go's", Source: printed.Checkpoint})
	require.NoError(t, err)

	db, err := slatedb.Open(t.Context(), at(dir), s.options())
	require.NoError(t, err)
	ops = chunks(g, 2)
	ops = append(ops, g.history(30)...) // these are in the memtable
	m.apply(ops)
	write(t, db, ops)
	byGo := m.clone()
	ck, err := db.CreateCheckpoint(t.Context(), slatedb.CheckpointAll, &slatedb.CheckpointOptions{Name: "go's own"})
	require.NoError(t, err)
	require.NoError(t, db.Close(t.Context()))

	check := func(when string) {
		t.Helper()
		for id, want := range map[uuid.UUID]model{held.ID: byPython, ck.ID: byGo} {
			rows := goRowsOf(t, dir, "db", slatedb.ReaderOptions{CheckpointID: id}, slatedb.Ascending)
			requireModel(t, want, rows, when+", the checkpoint, go")
			requireSame(t, rows, pyRows(t, dir, false, "checkpoint="+id.String()), "go", when+", python")
		}
	}
	rows := goRowsOf(t, dir, "db", slatedb.ReaderOptions{CheckpointID: printed.Checkpoint}, slatedb.Ascending)
	requireModel(t, byPython, rows, "python's checkpoint")
	check("before")

	ops = chunks(g, 3)
	m.apply(ops)
	s.compact = true
	pyApply(t, dir, s, ops)
	ops = chunks(g, 2)
	m.apply(ops)
	goCompact(t, dir, s, ops)
	require.NotEmpty(t, collect(t, dir).Deleted)
	check("compacted and collected")
	requireBoth(t, dir, m, "the database itself")

	n := len(tables(t, dir))
	require.NoError(t, a.DeleteCheckpoint(t.Context(), held.ID))
	require.NoError(t, a.DeleteCheckpoint(t.Context(), ck.ID))
	collect(t, dir)
	require.Less(t, len(tables(t, dir)), n, "what only the checkpoints held stays")
	requireBoth(t, dir, m, "without checkpoints")
	requireNothingMissing(t, dir)
}

// A managed reader of this engine holds a checkpoint in a database that the original one
// writes, compacts and flushes.
func TestManagedReaderFollowsPython(t *testing.T) {
	g := &gen{r: seed(t), keys: 60, merges: true}
	dir, m := place(t), model{}
	py := openSession(t, "writer", dir)
	step := func(n int) {
		for range n {
			o := g.one()
			m.apply([]op{o})
			py.must(o.Op, o.K, o.V)
		}
	}
	step(5)
	r := openReaderIn(t, dir, "db", slatedb.ReaderOptions{})
	held := func() int {
		all, err := admin(t, dir, "db").ListCheckpoints(t.Context(), "")
		require.NoError(t, err)
		return len(all)
	}
	require.Equal(t, 1, held())
	requireModel(t, m, scanRows(t, r, slatedb.Ascending), "at first")
	for round := range 6 {
		old := m.clone()
		step(4)
		if round%2 == 1 {
			py.must("memtable", nil, nil)
		}
		requireModel(t, old, scanRows(t, r, slatedb.Ascending), "not refreshed")
		require.NoError(t, r.Refresh(t.Context()))
		requireModel(t, m, scanRows(t, r, slatedb.Ascending), "refreshed")
		require.Equal(t, 1, held())
	}
	requireModel(t, m, py.must("scan", nil, nil).Rows, "python")
	require.NoError(t, r.Close(t.Context()))
	require.Zero(t, held())
	step(3)
	py.must("close", nil, nil)
	requireModel(t, m, goRows(t, dir, slatedb.Ascending), "the end")
}

// A writer of the original engine without a compactor goes on reading and writing while this
// one's compactor and collector work beside it.
func TestGoLooksAfterPythonsWriter(t *testing.T) {
	g := &gen{r: seed(t), keys: 80, long: true, merges: true}
	dir, m := place(t), model{}
	py := openSession(t, "writer", dir)
	a := admin(t, dir, "db")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- a.RunCompactor(ctx, &slatedb.CompactorOptions{
			PollInterval: 20 * time.Millisecond, SizeTiered: slatedb.SizeTieredOptions{MinSources: 2},
			Worker: &slatedb.WorkerOptions{MaxSSTBytes: 8 << 10},
		})
	}()
	var deleted int
	for range 8 {
		for range 8 {
			o := g.one()
			m.apply([]op{o})
			py.must(o.Op, o.K, o.V)
		}
		py.must("memtable", nil, nil)
		report, err := a.RunGCOnce(t.Context(), &slatedb.GCOptions{MinAge: -1})
		require.NoError(t, err)
		deleted += len(report.Deleted)
		requireModel(t, m, py.must("scan", nil, nil).Rows, "python, the writer")
	}
	require.Positive(t, deleted)
	require.Eventually(t, func() bool { return len(latest(t, dir, "db").Root.L0) < 2 }, 5*time.Minute, 50*time.Millisecond)
	require.NotEmpty(t, latest(t, dir, "db").Root.Runs)
	rows := py.must("scan", nil, nil).Rows
	requireModel(t, m, rows, "python, the writer")
	requireSame(t, goRows(t, dir, slatedb.Ascending), rows, "go", "python")
	cancel()
	require.NoError(t, <-ended)
	py.must("close", nil, nil)
	requireBoth(t, dir, m, "the end")
	requireNothingMissing(t, dir)
}
