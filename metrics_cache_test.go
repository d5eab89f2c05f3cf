package slatedb

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// cacheDB is a database of one table of 1,000 rows in many blocks, opened with cold caches.
func cacheDB(t *testing.T, policies ...FilterPolicy) (*DB, *faulty.Store) {
	ctx := context.Background()
	f := faulty.New(objstore.NewMemory(), nil)
	o := testOptions()
	o.Store, o.FilterPolicies, o.MinFilterKeys, o.BlockSize = f, policies, -1, 1<<10
	o.BlockCacheBytes, o.MetaCacheBytes = 8<<20, 8<<20
	if len(policies) == 0 {
		o.MinFilterKeys = 1 << 20 // no table gets a filter
	}
	db, err := Open(ctx, "db", o)
	require.NoError(t, err)
	var b WriteBatch
	for i := range 1000 {
		b.Put(fmt.Appendf(nil, "k%05d", i), make([]byte, 50))
	}
	require.NoError(t, db.Write(ctx, &b))
	flushMem(t, db)
	require.NoError(t, db.Close(ctx))
	db, err = Open(ctx, "db", o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close(ctx) })
	return db, f
}

// cacheAccesses are hits and misses by kind.
func cacheAccesses(t *testing.T, db *DB) map[string][2]float64 {
	t.Helper()
	out := map[string][2]float64{}
	m := db.Metrics()
	for _, kind := range []string{"filter", "index", "data_block", "stats"} {
		const name = "slatedb.db_cache.access_count"
		out[kind] = [2]float64{
			metric(t, m, name, "entry_kind", kind, "result", "hit"), metric(t, m, name, "entry_kind", kind, "result", "miss"),
		}
	}
	return out
}

// What each read adds, by kind: {hits, misses}.
func TestCacheAccessesOfReads(t *testing.T) {
	ctx := context.Background()
	type counts = map[string][2]float64
	none := [2]float64{}
	get := func(k string, found bool) func(t *testing.T, db *DB) {
		return func(t *testing.T, db *DB) {
			_, err := db.Get(ctx, []byte(k))
			if found {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrNotFound)
			}
		}
	}
	scan := func(n, want int, o *ScanOptions) func(t *testing.T, db *DB) {
		return func(t *testing.T, db *DB) {
			require.Len(t, scanRows(t, db, Range{Start: fmt.Appendf(nil, "k%05d", n), End: fmt.Appendf(nil, "k%05d", n+want)}, o), want)
		}
	}
	for _, c := range []struct {
		name   string
		filter bool
		steps  []func(t *testing.T, db *DB)
		want   []counts
	}{
		{
			"get with filters", true,
			[]func(*testing.T, *DB){get("k00500", true), get("k00500", true), get("k00000", true), get("k00500x", false), get("a", false)},
			[]counts{
				{"filter": {0, 1}, "index": {0, 1}, "data_block": {0, 1}, "stats": none}, // all is fetched
				{"filter": {1, 0}, "index": {1, 0}, "data_block": {1, 0}, "stats": none},
				{"filter": {1, 0}, "index": {1, 0}, "data_block": {0, 1}, "stats": none}, // another block
				{"filter": {1, 0}, "index": {1, 0}, "data_block": none, "stats": none},   // the filter says no
				{"filter": none, "index": none, "data_block": none, "stats": none},       // outside the table
			},
		},
		{
			"get without filters", false,
			[]func(*testing.T, *DB){get("k00500", true), get("k00500", true), get("k00500x", false)},
			[]counts{
				{"filter": none, "index": {0, 1}, "data_block": {0, 1}, "stats": none},
				{"filter": none, "index": {1, 0}, "data_block": {1, 0}, "stats": none},
				{"filter": none, "index": {1, 0}, "data_block": {1, 0}, "stats": none},
			},
		},
		{
			"scan", true,
			[]func(*testing.T, *DB){
				scan(0, 5, nil), scan(0, 5, nil), scan(0, 5, &ScanOptions{CacheBlocks: true}), scan(0, 5, nil), scan(0, 5, &ScanOptions{Order: Descending}),
			},
			[]counts{
				{"filter": none, "index": {0, 1}, "data_block": {0, 1}, "stats": none},
				{"filter": none, "index": {1, 0}, "data_block": {0, 1}, "stats": none}, // a scan does not fill
				{"filter": none, "index": {1, 0}, "data_block": {0, 1}, "stats": none},
				{"filter": none, "index": {1, 0}, "data_block": {1, 0}, "stats": none},
				{"filter": none, "index": {1, 0}, "data_block": {1, 0}, "stats": none},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var policies []FilterPolicy
			if c.filter {
				policies = []FilterPolicy{BloomFilter(10, BloomOptions{})}
			}
			db, _ := cacheDB(t, policies...)
			before := cacheAccesses(t, db)
			for i, step := range c.steps {
				step(t, db)
				after := cacheAccesses(t, db)
				for kind, want := range c.want[i] {
					a, b := after[kind], before[kind]
					require.Equal(t, want, [2]float64{a[0] - b[0], a[1] - b[1]}, "step %d, %s", i, kind)
				}
				before = after
			}
		})
	}
}

// A load that fails is an error and no access; without a cache nothing is counted.
func TestCacheErrorsAndNoCache(t *testing.T) {
	ctx := context.Background()
	db, f := cacheDB(t)
	before := cacheAccesses(t, db)
	f.Script(faulty.Rule{Method: "read", Kind: faulty.Alter, Change: func(b []byte) []byte { b[len(b)/2] ^= 1; return b }})
	_, err := db.Get(ctx, []byte("k00500"))
	require.ErrorIs(t, err, ErrCorrupt)
	require.Equal(t, 1.0, metric(t, db.Metrics(), "slatedb.db_cache.error_count"))
	require.Equal(t, before, cacheAccesses(t, db))
	f.Clear()
	require.NoError(t, db.Close(ctx))

	o := testOptions()
	o.Store, o.BlockCacheBytes, o.MetaCacheBytes = f, -1, -1
	db, err = Open(ctx, "db", o)
	require.NoError(t, err)
	defer db.Close(ctx)
	_, err = db.Get(ctx, []byte("k00500"))
	require.NoError(t, err)
	require.Equal(t, map[string][2]float64{"filter": {}, "index": {}, "data_block": {}, "stats": {}}, cacheAccesses(t, db))
}
