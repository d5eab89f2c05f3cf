//go:build interop

package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
)

// part is what a model has in a range.
func (m model) part(start, end string) model {
	out := model{}
	for k, v := range m {
		if k >= start && k < end {
			out[k] = v
		}
	}
	return out
}

// This engine clones what the original one wrote; the original one reads the clone, writes to it
// and compacts it, and the source stays as it was.
func TestPythonUsesGosClone(t *testing.T) {
	const start, end = "user/0050", "user/0150"
	for _, c := range []struct {
		name    string
		r       slatedb.Range
		cut     bool
		keepWAL bool
	}{
		{name: "of everything", keepWAL: true},
		{name: "of a range", r: slatedb.Range{Start: []byte(start), End: []byte(end)}, cut: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &gen{r: seed(t), keys: 250, long: true, merges: true}
			dir, m := place(t), model{}
			s := setup{codec: "Zstd", blockKB: 4, filterKeys: 1, l0KB: 1024, keepWAL: c.keepWAL}
			ops := chunks(g, 3)
			if c.keepWAL {
				ops = append(ops, g.history(40)...)
			}
			m.apply(ops)
			pyApply(t, dir, s, ops)
			if c.keepWAL {
				// Only a manifest says how far the log goes for those who do not follow it: a
				// writer that opens and closes leaves one.
				goApply(t, dir, s, nil)
			}
			a := admin(t, dir, "db")
			require.NoError(t, a.CreateClone(t.Context(), pathIn(dir, "clone"), slatedb.CloneSource{Range: c.r}))
			cm := m.clone()
			if c.cut {
				cm = m.part(start, end)
			}
			require.NotEmpty(t, cm)
			both := func(when string) {
				t.Helper()
				rows := goRowsOf(t, dir, "clone", slatedb.ReaderOptions{Mode: slatedb.FollowLatest}, slatedb.Ascending)
				requireModel(t, cm, rows, when+", the clone, go")
				requireSame(t, rows, pyRows(t, dir, false, "path=clone"), "go", when+", the clone, python")
			}
			both("just made")

			// Both go on, on either side.
			ops = chunks(g, 4)
			if c.cut {
				ops = keysIn(ops, start, end)
			}
			cm.apply(ops)
			s.compact, s.keepWAL = true, false // python's compactor, then this engine's
			pyApply(t, dir, s, ops, "path=clone")
			both("written and compacted by python")

			ops = chunks(g, 2)
			m.apply(ops)
			goCompact(t, dir, s, ops)
			report, err := a.RunGCOnce(t.Context(), &slatedb.GCOptions{MinAge: -1})
			require.NoError(t, err)
			require.NotEmpty(t, report.Deleted)
			requireBoth(t, dir, m, "the source")
			both("the source was compacted and collected")
			db, err := slatedb.Open(t.Context(), in(dir, "clone"), s.options())
			require.NoError(t, err)
			require.NoError(t, db.Compact(t.Context()))
			require.NoError(t, db.Close(t.Context()))
			both("compacted by go")
		})
	}
}

// keysIn drops the operations on keys outside of a range.
func keysIn(ops []op, start, end string) (out []op) {
	for _, o := range ops {
		switch {
		case o.Op == "batch":
			if o.Ops = keysIn(o.Ops, start, end); len(o.Ops) == 0 {
				continue
			}
		case len(o.K) > 0 && (string(o.K) < start || string(o.K) >= end):
			continue
		}
		out = append(out, o)
	}
	return out
}
