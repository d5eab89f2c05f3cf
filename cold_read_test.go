package slatedb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
	"github.com/slatedb/slatedb-go/objstore/metered"
)

// What reads cost on a store whose every request takes 20 ms, in a synctest bubble: there the
// time that passes is nothing but round trips that wait for each other, so both the waves and
// the requests are exact. docs/benchmarks.md shows the figures that -v prints.

const (
	coldRows   = 60_000
	coldTrip   = 20 * time.Millisecond
	coldTables = 4 // tables that overlap, or tables of the run
)

func coldKey(i int) []byte { return fmt.Appendf(nil, "key/%012d", i) }

// coldStore fills a database with rows of 16 and 100 bytes: in tables of L0 that all span all
// keys, or in one sorted run.
func coldStore(t *testing.T, run bool) objstore.Store {
	s := objstore.NewMemory()
	ctx := context.Background()
	db, err := Open(ctx, "db", &Options{
		Store: s, DisableGC: true, DisableCompactor: !run, Logger: quiet, L0SSTSizeBytes: 64 << 20,
		BlockCacheBytes: -1, MetaCacheBytes: -1,
		Compactor: &CompactorOptions{Worker: &WorkerOptions{MaxSSTBytes: 2 << 20, MinSubcompactionBytes: -1}},
	})
	require.NoError(t, err)
	value := make([]byte, 100)
	r := rand.NewChaCha8([32]byte{1})
	for table := range coldTables {
		for i := table; i < coldRows; i += coldTables {
			_, _ = r.Read(value)
			_, err := db.PutWithOptions(ctx, coldKey(i), value, &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	}
	if run {
		require.NoError(t, db.Compact(ctx))
	}
	require.NoError(t, db.Close(ctx))
	return s
}

// coldReader is a reader whose requests are counted and slow. Metadata is cached, blocks are
// not: every read is the first one of its block.
type coldReader struct {
	*Reader
	t      *testing.T
	ledger *metered.Ledger
}

func openCold(t *testing.T, s objstore.Store) coldReader {
	l := metered.NewLedger()
	r, err := OpenReader(t.Context(), "db", &ReaderOptions{
		Store: metered.New(delay.New(s, delay.Options{Get: coldTrip, Put: coldTrip, List: coldTrip}), "all", l),
		Mode:  FollowLatest, PollInterval: -1, Logger: quiet, BlockCacheBytes: -1, MetaCacheBytes: 64 << 20,
	})
	require.NoError(t, err)
	return coldReader{r, t, l}
}

// cost returns the requests of f, and the round trips that waited for each other.
func (c coldReader) cost(f func()) (requests, waves int) {
	before, start := c.ledger.Total().Requests, time.Now()
	f()
	took := time.Since(start)
	require.Zero(c.t, took%coldTrip, "it waited for something else: %v", took)
	return int(c.ledger.Total().Requests - before), int(took / coldTrip)
}

func (c coldReader) get(i int) {
	v, err := c.Get(c.t.Context(), coldKey(i))
	require.NoError(c.t, err)
	require.Len(c.t, v, 100)
}

func (c coldReader) seek(i, rows int) {
	n := 0
	it, err := c.ScanWithOptions(c.t.Context(), Range{Start: coldKey(i)}, &ScanOptions{Limit: rows})
	require.NoError(c.t, err)
	for it.Next() {
		require.Equal(c.t, coldKey(i+n), it.Key())
		n++
	}
	require.NoError(c.t, it.Close())
	require.Equal(c.t, rows, n)
}

func (c coldReader) multiGet(keys [][]byte) {
	vs, err := c.MultiGet(c.t.Context(), keys, nil)
	require.NoError(c.t, err)
	for i, v := range vs {
		require.Len(c.t, v, 100, "%s", keys[i])
	}
}

func TestColdReads(t *testing.T) {
	for _, shape := range []struct {
		name string
		run  bool
	}{{"four tables of L0", false}, {"a sorted run", true}} {
		t.Run(shape.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := coldStore(t, shape.run)
				rnd := rand.New(rand.NewPCG(1, 2))
				fresh := func(name string, maxWaves int, f func(c coldReader)) {
					c := openCold(t, s)
					requests, waves := c.cost(func() { f(c) })
					t.Logf("%-40s %5d requests %3d round trips", "first "+name, requests, waves)
					assert.LessOrEqual(t, waves, maxWaves, "first %s", name)
					require.NoError(t, c.Close(t.Context()))
				}
				// At most 64 requests are under way at once: what needs more has a second wave.
				keys := make([][]byte, 100)
				for i := range keys {
					keys[i] = coldKey(rnd.IntN(coldRows))
				}
				fresh("get", 3, func(c coldReader) { c.get(31_007) })
				fresh("seek of 10 rows", 3, func(c coldReader) { c.seek(31_007, 10) })
				fresh("multi-get of 100 keys", 3, func(c coldReader) { c.multiGet(keys) })

				// All metadata is cached from here on.
				c := openCold(t, s)
				defer func() { require.NoError(t, c.Close(t.Context())) }()
				c.multiGet(keys)
				many := func(name string, n int, f func()) (mean float64, worst int) {
					requests, most := 0, 0
					for range n {
						r, w := c.cost(f)
						requests += r
						worst, most = max(worst, w), max(most, r)
					}
					mean = float64(requests) / float64(n)
					t.Logf("%-40s %8.3f requests (at most %d), at most %d round trips", name, mean, most, worst)
					return mean, worst
				}
				mean, worst := many("get", 1500, func() { c.get(rnd.IntN(coldRows)) })
				assert.LessOrEqual(t, mean, 1.04, "requests of a get")
				assert.GreaterOrEqual(t, mean, 1.0, "a get was answered without its block")
				assert.Equal(t, 1, worst, "round trips of a get")

				mean, _ = many("get of an absent key", 1500, func() {
					_, err := c.Get(t.Context(), append(coldKey(rnd.IntN(coldRows-1)), 'x'))
					require.ErrorIs(t, err, ErrNotFound)
				})
				assert.LessOrEqual(t, mean, 0.04*coldTables, "requests of a get that finds nothing")

				sources := 1
				if !shape.run {
					sources = coldTables
				}
				mean, worst = many("seek of 10 rows", 200, func() { c.seek(rnd.IntN(coldRows-10), 10) })
				assert.Equal(t, 1, worst, "round trips of a seek")
				assert.LessOrEqual(t, mean, 1.5*float64(sources), "requests of a seek")

				for waves, n := range []int{1: 50, 2: 100} {
					if n == 0 {
						continue
					}
					_, worst = many(fmt.Sprintf("multi-get of %d keys", n), 20, func() {
						for i := range n {
							keys[i] = coldKey(rnd.IntN(coldRows))
						}
						c.multiGet(keys[:n])
					})
					assert.Equal(t, waves, worst, "round trips of a multi-get of %d keys", n)
				}
			})
		})
	}
}
