//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
)

// slash is the extractor of session.py.
type slash struct{}

func (slash) Name() string { return "slash" }
func (slash) PrefixLen(b []byte, _ bool) (int, bool) {
	i := bytes.IndexByte(b, '/')
	return i + 1, i >= 0
}

func prefixPolicies() []slatedb.FilterPolicy {
	return []slatedb.FilterPolicy{
		slatedb.BloomFilter(10, slatedb.BloomOptions{}),
		slatedb.BloomFilter(12, slatedb.BloomOptions{Extractor: slash{}, NoWholeKeys: true}),
	}
}

// A database with prefix filters, with and without segments, goes from engine to engine: each
// writes tables, the other one reads them by key, by prefix and as a whole, and its filters turn
// away what is not there.
func TestFiltersAndSegments(t *testing.T) {
	for _, segments := range []bool{false, true} {
		t.Run(fmt.Sprintf("segments=%v", segments), func(t *testing.T) {
			ctx, dir := t.Context(), t.TempDir()
			flags := []string{"filters=1"}
			o := setup{codec: "none", blockKB: 1, filterKeys: 1, l0KB: 64}.options()
			o.FilterPolicies = prefixPolicies()
			ro := slatedb.ReaderOptions{Mode: slatedb.FollowLatest, FilterPolicies: o.FilterPolicies}
			if segments {
				flags = append(flags, "segments=1")
				o.SegmentExtractor, ro.SegmentExtractor = slash{}, slash{}
			}
			want := map[string]string{}
			keys := func(turn int) (out []string) {
				for p := range 4 {
					for i := range 5 {
						out = append(out, fmt.Sprintf("t%d/%d-%d", (turn+p)%6, turn, i))
					}
				}
				return out
			}
			check := func(turn int) {
				t.Helper()
				r := openReaderIn(t, dir, "db", ro)
				py := openSession(t, "reader", dir, flags...)
				mine, theirs := scanRows(t, r, slatedb.Ascending), py.must("scan", nil, nil).Rows
				requireSame(t, mine, theirs, "go", "python")
				requireSame(t, reversed(scanRows(t, r, slatedb.Descending)), theirs, "go, downwards", "python")
				require.Len(t, mine, len(want))
				for _, row := range mine {
					require.Equal(t, want[string(row.K)], string(row.V))
				}
				for _, p := range []string{"t0/", "t1/", "t2/", "t2-/", "t3/", "t4/", "t5/", "t6/"} {
					prefix := []byte(p)
					n := 0
					it, err := r.ScanPrefix(ctx, prefix)
					require.NoError(t, err)
					for k := range it.All() {
						require.True(t, bytes.HasPrefix(k, prefix))
						n++
					}
					require.NoError(t, it.Close())
					require.Len(t, py.must("prefix", prefix, nil).Rows, n, "turn %d, prefix %s", turn, prefix)
				}
				for k, v := range want {
					got, err := r.Get(ctx, []byte(k))
					require.NoError(t, err)
					require.Equal(t, v, string(got))
				}
				for _, k := range keys(turn)[:4] {
					require.NotNil(t, py.must("get", []byte(k), nil).V)
					require.Nil(t, py.must("get", []byte(k+"-none"), nil).V)
					_, err := r.Get(ctx, []byte(k+"-none"))
					require.ErrorIs(t, err, slatedb.ErrNotFound)
				}
				negatives, _ := r.Metrics().Value("slatedb.db.sst_filter_negative_count", "kind", "point")
				require.Positive(t, negatives, "points that are turned away")
				if !segments { // a segment that is not there has no tables to ask
					negatives, _ = r.Metrics().Value("slatedb.db.sst_filter_negative_count", "kind", "prefix")
					require.Positive(t, negatives, "prefixes that are turned away")
				}
				require.NoError(t, r.Close(ctx))
				py.must("close", nil, nil)
			}
			for turn := range 4 {
				byGo := turn%2 == 0
				if byGo {
					db, err := slatedb.Open(ctx, at(dir), o)
					require.NoError(t, err)
					for _, k := range keys(turn) {
						v := "go " + k
						require.NoError(t, db.Put(ctx, []byte(k), []byte(v)))
						want[k] = v
					}
					require.NoError(t, db.Close(ctx))
				} else {
					py := openSession(t, "writer", dir, flags...)
					for _, k := range keys(turn) {
						v := "python " + k
						py.must("put", []byte(k), []byte(v))
						want[k] = v
					}
					py.must("memtable", nil, nil)
					py.must("close", nil, nil)
				}
				check(turn)
			}
			// Compaction and, of a segment, draining by this engine.
			c := *o
			c.DisableCompactor = false
			db, err := slatedb.Open(ctx, at(dir), &c)
			require.NoError(t, err)
			require.NoError(t, db.Compact(ctx))
			if segments {
				a := admin(t, dir, "db")
				job, err := a.SubmitCompaction(ctx, slatedb.CompactionRequest{Kind: slatedb.DrainSegment, Segment: []byte("t1/")})
				require.NoError(t, err)
				job, err = a.AwaitCompaction(ctx, job.ID)
				require.NoError(t, err)
				require.Equal(t, "Completed", job.State)
				for k := range want {
					if k[:3] == "t1/" {
						delete(want, k)
					}
				}
			}
			require.NoError(t, db.Close(ctx))
			check(3)

			// The wrong extractor is refused by both.
			if segments {
				_, err := slatedb.Open(ctx, at(dir), setup{codec: "none", blockKB: 1, l0KB: 64}.options())
				require.ErrorIs(t, err, slatedb.ErrInvalid)
			}
		})
	}
}
