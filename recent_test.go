package slatedb

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func recentText(r RawRow) string { return fmt.Sprintf("%s@%d %s %q", r.Key, r.Seq, r.Kind, r.Value) }

func recentAll(t *testing.T, db *DB, r Range, o *RecentOptions) (out []string) {
	t.Helper()
	for row, err := range db.RecentRows(context.Background(), r, o) {
		require.NoError(t, err)
		out = append(out, recentText(row))
	}
	return out
}

// The rows of every place, newest place first, each as a reader of that one table sees it.
func TestRecentRowsAreTheSourcesFromTheNewestOn(t *testing.T) {
	ctx := context.Background()
	o := estOptions()
	o.MergeOperator = concatOp
	o.DisableCompactor, o.Compactor = false, &CompactorOptions{PollInterval: 5 * time.Millisecond}
	db := openTest(t, o)
	rnd := rand.New(rand.NewPCG(3, 3))
	var inMemory []RawRow
	write := func(n int) {
		inMemory = nil
		for range n {
			k := estKey(rnd.IntN(120))
			var h WriteHandle
			var err error
			row := RawRow{Entry: Entry{Key: k}}
			switch rnd.IntN(4) {
			case 0:
				row.Kind = TombstoneRow
				h, err = db.DeleteWithOptions(ctx, k, &WriteOptions{NoWait: true})
			case 1:
				row.Kind, row.Value = OperandRow, []byte("m")
				h, err = db.MergeWithOptions(ctx, k, row.Value, &PutOptions{NoWait: true})
			default:
				row.Kind, row.Value = ValueRow, bytes.Repeat([]byte("v"), rnd.IntN(50))
				h, err = db.PutWithOptions(ctx, k, row.Value, &PutOptions{NoWait: true})
			}
			require.NoError(t, err)
			row.Seq = h.Seq()
			inMemory = append(inMemory, row)
		}
	}
	write(300)
	snap, err := db.Snapshot() // the compaction keeps versions
	require.NoError(t, err)
	defer snap.Close()
	write(300)
	require.NoError(t, db.Compact(ctx))
	for range 2 {
		write(300)
		estFlush(t, db)
	}
	write(200)

	a := lookAdmin(t, &AdminOptions{Store: o.Store})
	m, err := a.ReadManifest(ctx, 0)
	require.NoError(t, err)
	var tables [][]RawRow
	for v := range m.Views() { // L0 newest first, then the run
		s, err := a.OpenSSTHandle(v.Table)
		require.NoError(t, err)
		var rows []RawRow
		for r, err := range s.Rows(ctx, nil) {
			require.NoError(t, err)
			rows = append(rows, r.Clone())
		}
		tables = append(tables, rows)
	}
	require.GreaterOrEqual(t, len(tables), 3)

	order := func(rows []RawRow, desc bool) []RawRow {
		rows = slices.Clone(rows)
		slices.SortStableFunc(rows, func(a, b RawRow) int {
			c := bytes.Compare(a.Key, b.Key)
			if desc {
				c = -c
			}
			if c == 0 {
				c = int(b.Seq) - int(a.Seq)
			}
			return c
		})
		return rows
	}
	for _, rng := range append(estRanges(rnd, 120), All) {
		for _, desc := range []bool{false, true} {
			opts := &RecentOptions{}
			if desc {
				opts.Order = Descending
			}
			kr, err := rng.clone()
			require.NoError(t, err)
			var want []string
			for _, place := range append([][]RawRow{inMemory}, tables...) {
				for _, r := range order(place, desc) {
					if kr.Contains(r.Key) {
						want = append(want, recentText(r))
					}
				}
			}
			require.Equal(t, want, recentAll(t, db, rng, opts), "%+v desc=%v", rng, desc)
		}
	}

	// What is durable: the rows of the memtable are not yet.
	for _, line := range recentAll(t, db, All, &RecentOptions{Durability: DurabilityRemote}) {
		for _, r := range inMemory {
			if r.Seq > db.Status().DurableSeq {
				require.NotEqual(t, recentText(r), line)
			}
		}
	}
}

func TestRecentRowsStopEarlyAndRefuse(t *testing.T) {
	ctx := context.Background()
	o := estOptions()
	o.SegmentExtractor = slash("slash")
	db := openTest(t, o)
	for range 2 {
		estFill(t, db, rand.New(rand.NewPCG(3, 3)), 0, 300)
		estFlush(t, db)
	}
	b := Prefix([]byte("b/"))
	require.Zero(t, db.requestsOf(t, func() {
		require.NoError(t, db.Put(ctx, []byte("b/new"), []byte("v")))
		for r, err := range db.RecentRows(ctx, b, nil) {
			require.NoError(t, err)
			require.Equal(t, "b/new", string(r.Key))
			break
		}
	}), "who stops in the memtable asks the store for nothing")
	one := db.requestsOf(t, func() {
		n := 0
		for _, err := range db.RecentRows(ctx, b, nil) {
			require.NoError(t, err)
			if n++; n == 50 {
				break
			}
		}
	})
	require.Positive(t, one)
	require.Less(t, one, db.requestsOf(t, func() { require.Len(t, recentAll(t, db, b, nil), 201) }), "one table of two")

	last := func(r Range, o *RecentOptions, ctx context.Context) (err error) {
		for _, err = range db.RecentRows(ctx, r, o) {
		}
		return err
	}
	require.ErrorIs(t, last(All, nil, ctx), ErrInvalid, "more than one segment")
	require.ErrorIs(t, last(Range{Start: []byte("b"), End: []byte("a")}, nil, ctx), ErrInvalid)
	require.ErrorIs(t, last(b, &RecentOptions{Order: 9}, ctx), ErrInvalid)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, last(b, nil, gone), context.Canceled)
	require.Empty(t, recentAll(t, db, kvRange(kv.PrefixRange([]byte("zz/"))), nil))
	require.NoError(t, db.Close(ctx))
	require.ErrorIs(t, last(b, nil, ctx), ErrClosed)
}

func kvRange(r kv.Range) Range { return Range(r) }
