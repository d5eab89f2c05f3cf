package slatedb

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// estKey i of a key space without gaps.
func estKey(i int) []byte { return []byte(fmt.Sprintf("%c/%06d", 'a'+i%3, i/3)) }

// estFill writes keys [from, to) in random order, a value of 20 to 80 bytes each.
func estFill(t testing.TB, db *DB, rnd *rand.Rand, from, to int) {
	for _, i := range rnd.Perm(to - from) {
		_, err := db.PutWithOptions(context.Background(), estKey(from+i), bytes.Repeat([]byte("v"), 20+rnd.IntN(60)), &PutOptions{NoWait: true})
		require.NoError(t, err)
	}
}

func estFlush(t testing.TB, db *DB) {
	require.NoError(t, db.FlushWithOptions(context.Background(), &FlushOptions{Type: FlushMemtable}))
}

// estOptions: blocks of about 15 rows.
func estOptions() *Options {
	o := testOptions()
	o.BlockSize = 1 << 10
	return o
}

const estBlockRows = 25 // more than any block of estFill holds

// estRanges are random ranges over the keys of estFill, narrow and wide, and all of them.
func estRanges(rnd *rand.Rand, n int) []Range {
	out := []Range{All, Prefix([]byte("b/")), {Start: estKey(0), End: estKey(0)}, {Start: []byte("zz")}, {End: []byte("a")}}
	for range 150 {
		a, b := estKey(rnd.IntN(n)), estKey(rnd.IntN(n))
		if rnd.IntN(3) == 0 {
			b = estKey(min(n-1, rnd.IntN(n)))
			a = append(bytes.Clone(b[:2]), '0')
		}
		if bytes.Compare(a, b) > 0 {
			a, b = b, a
		}
		out = append(out, Range{Start: a, End: b, StartExclusive: rnd.IntN(2) == 0, EndInclusive: rnd.IntN(2) == 0})
	}
	return out
}

type estimator interface {
	ReadOps
	Estimate(context.Context, Range) (RangeEstimate, error)
	EstimateSize(context.Context, Range) (uint64, error)
	EstimateCount(context.Context, Range) (uint64, error)
	SplitPoints(context.Context, Range, int) ([][]byte, error)
}

var _ = []estimator{(*DB)(nil), (*Reader)(nil), (*Snapshot)(nil)}

// estCheck compares estimates with the truth on a database without old versions.
func estCheck(t testing.TB, r estimator, ranges []Range) {
	t.Helper()
	ctx := context.Background()
	for _, rng := range ranges {
		exact := 0
		for _, err := range r.Entries(ctx, rng, &ScanOptions{KeysOnly: true}) {
			require.NoError(t, err)
			exact++
		}
		e, err := r.Estimate(ctx, rng)
		require.NoError(t, err)
		// Half a block at each edge of each table that is cut.
		bound := float64(e.Tables*2) * estBlockRows / 2
		require.InDelta(t, exact, float64(e.Rows-e.Deletes), bound+1, "rows of %q to %q", rng.Start, rng.End)
		n, err := r.EstimateCount(ctx, rng)
		require.NoError(t, err)
		require.Equal(t, e.Rows-e.Deletes, n)
		size, err := r.EstimateSize(ctx, rng)
		require.NoError(t, err)
		require.Equal(t, e.Bytes, size)
		if exact > 1000 { // rows of 64 bytes on average, and what a table adds
			require.InDelta(t, 90*exact, float64(e.Bytes), 45*float64(exact), "bytes of %q to %q", rng.Start, rng.End)
		}
		if exact == 0 && e.Tables == 0 {
			require.Zero(t, e)
		}
	}
}

func TestEstimatesAreWithinABlockOfTheTruth(t *testing.T) {
	ctx := context.Background()
	const n = 9000
	for _, segments := range []bool{false, true} {
		t.Run(fmt.Sprintf("segments=%v", segments), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(7, 7))
			o := estOptions()
			if segments {
				o.SegmentExtractor = slash("slash")
			}
			db := openTest(t, o)
			estFill(t, db, rnd, 0, 3000)
			estCheck(t, db, estRanges(rnd, n))
			estFlush(t, db)
			estFill(t, db, rnd, 3000, 6000)
			estFlush(t, db)
			estFill(t, db, rnd, 6000, n)
			estCheck(t, db, estRanges(rnd, n))

			snap, err := db.Snapshot()
			require.NoError(t, err)
			estCheck(t, snap, estRanges(rnd, n))
			require.NoError(t, snap.Close())
			_, err = snap.Estimate(ctx, All)
			require.ErrorIs(t, err, ErrClosed)

			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushWAL}))
			reader, err := OpenReader(ctx, "db", &ReaderOptions{Store: o.Store, PollInterval: -1, BlockCacheBytes: -1, MetaCacheBytes: -1, Logger: quiet})
			require.NoError(t, err)
			estCheck(t, reader, estRanges(rnd, n))
			require.NoError(t, reader.Close(ctx))
			_, err = reader.EstimateSize(ctx, All)
			require.ErrorIs(t, err, ErrClosed)
		})
	}
	db := openTest(t, testOptions())
	_, err := db.Estimate(ctx, Range{Start: []byte("b"), End: []byte("a")})
	require.ErrorIs(t, err, ErrInvalid)
	e, err := db.Estimate(ctx, All)
	require.NoError(t, err)
	require.Zero(t, e)
	p, err := db.SplitPoints(ctx, All, 4)
	require.NoError(t, err)
	require.Empty(t, p)
	for _, n := range []int{0, -1, maxSplits + 1} {
		_, err = db.SplitPoints(ctx, All, n)
		require.ErrorIs(t, err, ErrInvalid)
	}
	cctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err = db.EstimateSize(cctx, All)
	require.ErrorIs(t, err, context.Canceled)
}

// Deletes and older versions are counted as the rows that they are.
func TestEstimatesCountVersions(t *testing.T) {
	ctx := context.Background()
	o := estOptions()
	o.DisableCompactor, o.Compactor = false, &CompactorOptions{PollInterval: 5 * time.Millisecond}
	db := openTest(t, o)
	rnd := rand.New(rand.NewPCG(1, 1))
	estFill(t, db, rnd, 0, 900)
	estFlush(t, db)
	for i := range 300 {
		_, err := db.DeleteWithOptions(ctx, estKey(i*3), &WriteOptions{NoWait: true}) // all of a/
		require.NoError(t, err)
	}
	e, err := db.Estimate(ctx, All)
	require.NoError(t, err)
	require.Equal(t, uint64(1200), e.Rows, "a memtable does not tell its deletes apart")
	estFlush(t, db)
	e, err = db.Estimate(ctx, All)
	require.NoError(t, err)
	require.Equal(t, RangeEstimate{Bytes: e.Bytes, Rows: 1200, Deletes: 300, Tables: 2}, e)
	require.NoError(t, db.Compact(ctx))
	e, err = db.Estimate(ctx, All)
	require.NoError(t, err)
	require.Equal(t, uint64(600), e.Rows)
	require.Zero(t, e.Deletes)
}

// The requests of an estimate do not grow with the tables inside the range.
func TestEstimatesAskLittle(t *testing.T) {
	ctx := context.Background()
	o := estOptions()
	rnd := rand.New(rand.NewPCG(2, 2))
	db := openTest(t, o)
	for i := range 30 { // each covers a stretch of its own
		for j := range 400 {
			_, err := db.PutWithOptions(ctx, []byte(fmt.Sprintf("k%03d/%04d", i, j)), bytes.Repeat([]byte("v"), 50+rnd.IntN(30)), &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
		estFlush(t, db)
	}
	require.NoError(t, db.Close(ctx))
	cold := func() *Reader {
		r, err := OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: o.Store, Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
		require.NoError(t, err)
		return r
	}
	wide := Range{Start: []byte("k000/0200"), End: []byte("k029/0200")}
	r := cold()
	size, err := r.EstimateSize(ctx, wide)
	require.NoError(t, err)
	require.Equal(t, uint64(2), r.ssts.Stats().Requests, "the indexes of the two tables at the edges")
	require.NoError(t, r.Close(ctx))
	r = cold()
	e, err := r.Estimate(ctx, wide)
	require.NoError(t, err)
	require.Equal(t, size, e.Bytes)
	require.Equal(t, uint64(2+sampledMetas), r.ssts.Stats().Requests)
	require.InEpsilon(t, 29*400, float64(e.Rows), 0.03, "the tables that were not asked are like the others")
	before := r.ssts.Stats().Requests
	_, err = r.EstimateSize(ctx, wide)
	require.NoError(t, err)
	require.Equal(t, before, r.ssts.Stats().Requests, "what is cached is not asked again")
	require.NoError(t, r.Close(ctx))
	r = cold()
	_, err = r.SplitPoints(ctx, All, 2)
	require.NoError(t, err)
	require.LessOrEqual(t, r.ssts.Stats().Requests, uint64(2*splitDetail))
	require.NoError(t, r.Close(ctx))
}

func TestSplitPointsCutIntoEqualParts(t *testing.T) {
	ctx := context.Background()
	const n = 12_000
	rnd := rand.New(rand.NewPCG(4, 4))
	o := estOptions()
	o.DisableCompactor, o.Compactor = false, &CompactorOptions{PollInterval: 5 * time.Millisecond}
	db := openTest(t, o)
	check := func(what string) {
		for _, rng := range []Range{All, {Start: estKey(600), End: estKey(9001)}, Prefix([]byte("b/"))} {
			total := len(pageKeys(t, db, rng, nil))
			for _, parts := range []int{1, 2, 3, 8, 20} {
				points, err := db.SplitPoints(ctx, rng, parts)
				require.NoError(t, err)
				require.Len(t, points, parts-1)
				from := rng.Start
				kr, err := rng.clone()
				require.NoError(t, err)
				for i := range parts {
					part := Range{Start: from, End: rng.End}
					if i < len(points) {
						require.True(t, kr.Contains(points[i]))
						require.Less(t, string(from), string(points[i]))
						part.End = points[i]
					}
					got := len(pageKeys(t, db, part, nil))
					require.InDelta(t, total/parts, got, 0.35*float64(total/parts)+2*estBlockRows, "%s, part %d of %d", what, i, parts)
					from = part.End
				}
			}
		}
	}
	estFill(t, db, rnd, 0, n/2)
	check("memory")
	estFlush(t, db)
	estFill(t, db, rnd, n/2, n)
	check("a table and memory")
	require.NoError(t, db.Compact(ctx))
	check("a sorted run")
	points, err := db.SplitPoints(ctx, Range{Start: estKey(0), End: estKey(3), EndInclusive: true}, 100)
	require.NoError(t, err)
	require.Less(t, len(points), 100, "there is not enough to split")
}

// Clones with views, segments, formats of old releases: estimates of the reference engine's
// databases are near what they hold, and never fail.
func TestEstimatesOfGoldenDatabases(t *testing.T) {
	ctx := context.Background()
	dirs, err := os.ReadDir(golden018)
	require.NoError(t, err)
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		store := filepath.Join(golden018, d.Name(), "store")
		paths := map[string]bool{}
		for _, row := range readDump(t, filepath.Join(golden018, d.Name(), "dump.jsonl")) {
			paths[row.DB] = true
		}
		for path := range paths {
			if path == "" {
				path = "db"
			}
			t.Run(d.Name()+"/"+path, func(t *testing.T) {
				r, err := OpenReader(ctx, path, goldenReaderOptions(d.Name(), memoryCopy(t, store)))
				require.NoError(t, err)
				defer r.Close(ctx)
				keys := pageKeys(t, r, All, nil)
				whole, err := r.Estimate(ctx, All)
				require.NoError(t, err)
				require.GreaterOrEqual(t, whole.Rows+uint64(estBlockRows*2*whole.Tables), uint64(len(keys)))
				if len(keys) == 0 {
					return
				}
				for _, i := range []int{0, len(keys) / 3, len(keys) - 1} {
					e, err := r.Estimate(ctx, Range{Start: []byte(keys[i])})
					require.NoError(t, err)
					require.LessOrEqual(t, e.Rows, whole.Rows)
					require.LessOrEqual(t, e.Bytes, whole.Bytes)
				}
				_, err = r.SplitPoints(ctx, All, 5)
				require.NoError(t, err)
			})
		}
	}
}
