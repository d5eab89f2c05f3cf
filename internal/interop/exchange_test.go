//go:build interop

package interop

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
)

// setups covers every codec, with small, usual and large blocks, and both ends.
func setups() (out []setup) {
	for i, c := range codecs {
		for j, b := range []int{1, 4, 64} {
			for _, keep := range []bool{false, true} {
				out = append(out, setup{codec: c, blockKB: b, filterKeys: 1 + 20*((i+j)%2), l0KB: 64, keepWAL: keep})
			}
		}
	}
	return out
}

// What this engine writes, the original one reads: scans in both directions, with all
// metadata, and point reads, which go through our filters.
func TestGoWritesPythonReads(t *testing.T) {
	for _, s := range setups() {
		t.Run(s.String(), func(t *testing.T) {
			g := &gen{r: seed(t), keys: 300, long: true, flush: 25, merges: true, txns: true}
			dir, m := place(t), model{}
			ops := g.history(250)
			m.apply(ops)
			goApply(t, dir, s, ops)

			down := pyRows(t, dir, true)
			requireModel(t, m, reversed(down), "python, downwards")
			up := pyRows(t, dir, false)
			requireModel(t, m, up, "python")
			requireSame(t, goRows(t, dir, slatedb.Ascending), up, "go", "python")
			if s.blockKB != 4 {
				return
			}
			py := openSession(t, "reader", dir)
			for i, k := range m.keys() {
				if i%5 == 0 {
					r := py.do("get", []byte(k), nil)
					require.True(t, r.OK, "get %q: %s %s", k, r.Error, r.Text)
					require.NotNil(t, r.V, "get %q", k)
					require.Equal(t, string(m[k].value), string(*r.V), "get %q", k)
				}
			}
			for _, k := range absentKeys(g, m)[:20] {
				r := py.do("get", k, nil)
				require.True(t, r.OK)
				require.Nil(t, r.V, "get %q", k)
			}
		})
	}
}

// What the original engine writes, merge operands and sorted runs included, this one reads.
func TestPythonWritesGoReads(t *testing.T) {
	all := setups()
	for _, c := range codecs {
		all = append(all, setup{codec: c, blockKB: 4, filterKeys: 1, l0KB: 1024, compact: true})
	}
	for _, s := range all {
		t.Run(s.String(), func(t *testing.T) {
			g := &gen{r: seed(t), keys: 300, long: true, flush: 25, merges: true, txns: true}
			dir, m := place(t), model{}
			ops := g.history(250)
			if s.compact {
				ops, g.flush = nil, 0
				for range 6 {
					ops = append(append(ops, g.history(80)...), op{Op: "flush", Type: "memtable"})
				}
			}
			empty := op{Op: "merge", K: hexBytes("empty, merged")} // the operator itself returns nil here
			ops = append(ops, empty, empty, op{Op: "put", K: hexBytes("\x00")})
			m.apply(ops)
			pyApply(t, dir, s, ops)

			want := pyRows(t, dir, false)
			requireModel(t, m, want, "python reads its own")
			requireSame(t, goRows(t, dir, slatedb.Ascending), want, "go", "python")
			requireSame(t, goRows(t, dir, slatedb.Descending), reversed(want), "go, downwards", "python")
			r := openReader(t, dir)
			requireGets(t, r, m, absentKeys(g, m))
			requireEntries(t, r, want)
			require.NoError(t, r.Close(t.Context()))

			db, err := slatedb.Open(t.Context(), at(dir), s.options())
			require.NoError(t, err)
			requireSame(t, scanRows(t, db, slatedb.Ascending), want, "a go writer", "python")
			requireGets(t, db, m, absentKeys(g, m))
			requireEntries(t, db, want)
			require.NoError(t, db.Close(t.Context()))
		})
	}
}

// The engines take turns on one database, each finding what the other left: in tables, or
// in the log only.
func TestTurns(t *testing.T) {
	for i, codec := range codecs {
		t.Run(codec, func(t *testing.T) {
			g := &gen{r: seed(t), keys: 200, long: true, flush: 30}
			dir, m := place(t), model{}
			for turn := range 8 {
				s := setup{
					codec: codecs[(i+turn/2)%len(codecs)], blockKB: []int{4, 1, 16}[turn%3], filterKeys: 10, l0KB: 32,
					keepWAL: g.r.IntN(2) == 0,
				}
				inGo := (turn+i)%2 == 0
				g.merges, g.txns = true, true
				ops := g.history(60 + g.r.IntN(60))
				m.apply(ops)
				who := fmt.Sprintf("turn %d, written by ", turn)
				compact := g.r.IntN(3) == 0
				if inGo {
					s.compact = compact
					goApply(t, dir, s, ops)
					rows := pyRows(t, dir, turn%4 == 1)
					if turn%4 == 1 {
						rows = reversed(rows)
					}
					requireModel(t, m, rows, who+"go, read by python")
				} else {
					pyApply(t, dir, s, ops)
					if compact && len(latest(t, dir, "db").Root.L0) > 1 {
						pyCompact(t, dir, "db")
					}
					requireModel(t, m, goRows(t, dir, slatedb.Ascending), who+"python, read by go")
				}
			}
			requireSame(t, goRows(t, dir, slatedb.Ascending), pyRows(t, dir, false), "go", "python")
		})
	}
}

// Rows that are past their time are hidden by this engine, whoever wrote them, and still
// seen by the original one: its reads do not look at the clock.
func TestExpiry(t *testing.T) {
	for _, writer := range []string{"go", "python"} {
		t.Run("written by "+writer, func(t *testing.T) {
			dir := place(t)
			s := setup{codec: "none", blockKB: 4, filterKeys: 1000, l0KB: 64}
			ops := []op{
				{Op: "put", K: hexBytes("gone"), V: hexBytes("1"), TTLms: 1},
				{Op: "put", K: hexBytes("later"), V: hexBytes("2"), TTLms: 3_600_000},
				{Op: "put", K: hexBytes("never"), V: hexBytes("3")},
			}
			s.keepWAL = true // a flush would purge what its newest create time has passed
			if writer == "go" {
				goApply(t, dir, s, ops)
			} else {
				pyApply(t, dir, s, ops)
			}
			py := pyRows(t, dir, false)
			require.Len(t, py, 3)
			for i, want := range []int64{1, 3_600_000} {
				require.NotNil(t, py[i].Expire)
				assert.Equal(t, want, *py[i].Expire-py[i].Create, "%s", py[i].K)
			}
			require.Nil(t, py[2].Expire)
			requireSame(t, goRows(t, dir, slatedb.Ascending), py[1:], "go", "python without the expired row")
			r := openReader(t, dir)
			_, err := r.Get(t.Context(), []byte("gone"))
			require.ErrorIs(t, err, slatedb.ErrNotFound)
			require.NoError(t, r.Close(t.Context()))
		})
	}
}
