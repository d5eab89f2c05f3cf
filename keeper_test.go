package slatedb

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// D1: an iterator is held over many checkpoint lifetimes while everything under it is
// compacted and collected with no minimum age; the scan completes. Its checkpoint goes with
// it.
func TestD1_ScanOutlivesCompactionAndCollection(t *testing.T) {
	for _, order := range []Order{Ascending, Descending} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			o := testOptions()
			o.DisableCompactor, o.DisableGC = false, false
			o.Compactor = &CompactorOptions{CheckpointLifetime: time.Minute, SizeTiered: SizeTieredOptions{MinSources: 2}}
			o.GC = &GCOptions{MinAge: -1, Interval: 10 * time.Second}
			o.BlockCacheBytes, o.MetaCacheBytes = -1, -1 // every block comes from the store
			db, err := Open(ctx, "db", o)
			require.NoError(t, err)
			fill := func(round int) {
				for i := range 400 {
					_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "key-%04d", i), fmt.Appendf(nil, "%d", round), &PutOptions{NoWait: true})
					require.NoError(t, err)
				}
				require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			}
			fill(0)
			it, err := db.ScanWithOptions(ctx, All, &ScanOptions{Order: order, ReadAheadBytes: 1})
			require.NoError(t, err)
			for n := range 400 {
				require.True(t, it.Next(), "row %d: %v", n, it.Err())
				require.Equal(t, "0", string(it.Value()))
				if n%40 == 0 {
					fill(1 + n)
					require.NoError(t, db.Compact(ctx))
					time.Sleep(3 * time.Minute) // three lifetimes, 18 collections
				}
			}
			require.False(t, it.Next())
			require.NoError(t, it.Close())
			time.Sleep(3 * time.Minute)
			own := 0
			for _, c := range db.state.Load().man.Checkpoints {
				if c.ExpireTime.After(time.Now()) {
					own++
				}
			}
			require.Zero(t, own, "checkpoints are left over")
			require.Equal(t, "361", string(mustGet(t, db, "key-0000")))
			require.NoError(t, db.Close(ctx))
		})
	}
}

func mustGet(t testing.TB, r ReadOps, key string) []byte {
	t.Helper()
	v, err := r.Get(context.Background(), []byte(key))
	require.NoError(t, err)
	return v
}

// Compact leaves one run a tree and no L0, and the rows are the same.
func TestCompact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.DisableCompactor = false
		o.SegmentExtractor = PrefixUntil('/')
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		for round := range 3 {
			for i := range 100 {
				k := fmt.Appendf(nil, "%c/%04d", 'a'+i%3, i)
				if round == 2 && i%5 == 0 {
					_, err = db.DeleteWithOptions(ctx, k, &WriteOptions{NoWait: true})
				} else {
					_, err = db.PutWithOptions(ctx, k, fmt.Appendf(nil, "%d", round), &PutOptions{NoWait: true})
				}
				require.NoError(t, err)
			}
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		}
		want := entryStrings(scanRows(t, db, All, nil))
		require.Len(t, want, 80)
		require.NoError(t, db.Compact(ctx))
		require.Equal(t, want, entryStrings(scanRows(t, db, All, nil)))
		trees := 0
		for p, tr := range db.state.Load().man.Trees() {
			require.Empty(t, tr.L0, "%q", p)
			require.LessOrEqual(t, len(tr.Runs), 1)
			trees += len(tr.Runs)
		}
		require.Equal(t, 3, trees)
		require.NoError(t, db.Compact(ctx), "nothing to do")
		require.NoError(t, db.Close(ctx))
		require.ErrorIs(t, db.Compact(ctx), ErrClosed)

		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		require.Equal(t, want, entryStrings(scanRows(t, db, All, nil)))
		require.NoError(t, db.Close(ctx))
	})
}

// The embedded compactor keeps L0 small by itself, and a full L0 drains.
func TestEmbeddedCompactorDrainsL0(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.DisableCompactor = false
		o.L0MaxSSTs, o.L0MaxSSTsPerKey = 4, 4
		o.L0SSTSizeBytes = 4 << 10
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		for i := range 5000 {
			_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "key-%05d", i*7919%5000), make([]byte, 50), &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		require.Len(t, scanRows(t, db, All, nil), 5000)
		n, ok := db.Metrics().Value("slatedb.db.l0_sst_count")
		require.True(t, ok)
		require.LessOrEqual(t, n, 4.0)
		require.NoError(t, db.Close(ctx))
	})
}

// A second coordinator takes compaction over; the writer stays in use.
func TestEmbeddedCompactorTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.DisableCompactor = false
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		require.NoError(t, db.Put(ctx, []byte("a"), []byte("1")))
		_, err = manifest.NewStore(o.Store, "db", db.conf.env).AcquireCompactor(ctx, manifest.AcquireOptions{})
		require.NoError(t, err)
		for range 3 {
			require.NoError(t, db.Put(ctx, []byte("b"), []byte("2")))
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
			time.Sleep(time.Minute)
		}
		require.NoError(t, db.Status().Err)
		require.NoError(t, db.Close(ctx))
	})
}

// An idle database with every role on, as the defaults are, costs at most 300 requests an
// hour, none of them a listing or a put.
func TestIdleRequestBillOfAllRoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		store := faulty.New(objstore.NewMemory(), nil)
		o := testOptions()
		o.Store, o.DisableCompactor, o.DisableGC = store, false, false
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		require.NoError(t, db.Put(ctx, []byte("k"), []byte("v")))
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		require.NoError(t, db.Compact(ctx))
		time.Sleep(2 * time.Hour) // what the first passes of the collector find to do is done
		before := store.Requests()
		store.Record(true)
		time.Sleep(time.Hour)
		kinds := map[string]int{}
		for _, r := range store.Log() {
			kinds[r.Method]++
		}
		t.Logf("%d requests in an idle hour: %v", store.Requests()-before, kinds)
		require.LessOrEqual(t, store.Requests()-before, 300)
		require.Zero(t, kinds["put"])
		require.Zero(t, kinds["list"])
		require.NoError(t, db.Close(ctx))
	})
}
