package merging_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/merging"
	"github.com/slatedb/slatedb-go/memtable"
	"github.com/slatedb/slatedb-go/sst"
)

const golden = "../../testdata/golden"

type appending struct{}

func (appending) Merge(_, existing, operand []byte) ([]byte, error) {
	return append(existing, operand...), nil
}

// load reads the rows of an object into a memtable, and the newest create time in it.
func load(t *testing.T, path string) (*memtable.Table, int64) {
	body, err := os.ReadFile(filepath.Join(golden, path))
	require.NoError(t, err)
	o, err := sst.OpenObject(path, body, nil)
	require.NoError(t, err)
	tab, tick := memtable.New(), kv.NoTS
	rows := o.Rows()
	for rows.Next() {
		tab.Add(rows.Entry())
		tick = max(tick, rows.Entry().CreateTS)
	}
	require.NoError(t, rows.Err())
	require.NotZero(t, tab.Len())
	return tab, tick
}

func iter(tab *memtable.Table) kv.Iterator { return tab.Iter(kv.Range{}, kv.MaxSeq, false) }

func drain(t *testing.T, it kv.Iterator) []string {
	var out []string
	for it.Next() {
		e := it.Entry()
		out = append(out, fmt.Sprintf("%q@%d %v %q create %d expire %d", e.Key, e.Seq, e.Kind, e.Value, e.CreateTS, e.ExpireTS))
	}
	require.NoError(t, it.Err())
	require.NoError(t, it.Close())
	return out
}

// TestGoldenFlush makes from each WAL object of a database with snapshots the rows that the
// Rust engine put into the L0 table of the same memtable. The numbers are recent_snapshot_min_seq
// of the manifests that added the tables.
func TestGoldenFlush(t *testing.T) {
	const dir = "db018/retention-l0/store/db/"
	for _, tt := range []struct {
		wal, l0 string
		minSeq  kv.Seq
	}{
		{"00000000000000000002", "01M83H9ZVQRYBYK39VTT5AX5EV", 3},
		{"00000000000000000003", "01M83H9ZVRB16H8M4P2Q6VTVNN", 7},
		{"00000000000000000004", "01M83H9ZVS4NHDVD0DKAYB2SWF", 25},
		{"00000000000000000005", "01M83HA066W5NW2G0Q48E2MNHN", 27},
	} {
		t.Run(tt.wal, func(t *testing.T) {
			rows, tick := load(t, dir+"wal/"+tt.wal+".sst")
			want, _ := load(t, dir+"compacted/"+tt.l0+".sst")
			got := merging.Retain(iter(rows), merging.RetainOptions{MinSeq: tt.minSeq, Now: tick, Operator: appending{}})
			assert.Equal(t, drain(t, iter(want)), drain(t, got))
		})
	}
}

// TestGoldenCompaction merges inputs of the Rust engine's compactions and compares with its
// outputs.
func TestGoldenCompaction(t *testing.T) {
	const dir = "db018/retention/store/db/compacted/"
	for _, tt := range []struct {
		name   string
		inputs []string
		output string
		minSeq kv.Seq
	}{
		{"snapshots", []string{
			dir + "01M83HA066W5NW2G0Q48E2MNHN.sst", dir + "01M83H9ZVS4NHDVD0DKAYB2SWF.sst",
			dir + "01M83H9ZVRB16H8M4P2Q6VTVNN.sst", dir + "01M83H9ZVQRYBYK39VTT5AX5EV.sst",
		}, dir + "01M83HA08X6JGR9G0669PNKSBP.sst", 27},
		{"sorted run", []string{
			"sst/compact-l0-4.sst", "sst/compact-l0-3.sst", "sst/compact-l0-2.sst", "sst/compact-l0-1.sst", "sst/compact-l0-0.sst",
		}, "sst/compact-sorted-run.sst", 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sources []kv.Iterator
			now := kv.NoTS
			for _, name := range tt.inputs {
				tab, tick := load(t, name)
				now = max(now, tick)
				sources = append(sources, iter(tab))
			}
			want, _ := load(t, tt.output)
			got := merging.Retain(merging.New(false, sources...), merging.RetainOptions{
				MinSeq: tt.minSeq, Now: now, Operator: appending{}, RequireOperator: true, Bottom: true,
			})
			assert.Equal(t, drain(t, iter(want)), drain(t, got))
		})
	}
}
