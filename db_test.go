package slatedb

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/invariants"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
)

// testOptions are quiet, with caches of their own and no limit on L0, on a memory store.
func testOptions() *Options {
	return &Options{
		DisableCompactor: true, DisableGC: true,
		Store: objstore.NewMemory(), Logger: quiet, BlockCacheBytes: 8 << 20, MetaCacheBytes: 8 << 20,
		L0MaxSSTs: 1 << 20, L0MaxSSTsPerKey: 1 << 20,
	}
}

func openTest(t testing.TB, o *Options) *DB {
	t.Helper()
	db, err := Open(context.Background(), "db", o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.CloseWithOptions(context.Background(), &CloseOptions{Flush: CloseNoFlush}) })
	return db
}

func TestPutGetDeleteReopen(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	db := openTest(t, o)
	_, err := db.Get(ctx, []byte("a"))
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, db.Put(ctx, []byte("a"), []byte("1")))
	require.NoError(t, db.Put(ctx, []byte("b"), nil))
	require.NoError(t, db.Delete(ctx, []byte("none")))
	check := func(db *DB) {
		v, err := db.Get(ctx, []byte("a"))
		require.NoError(t, err)
		require.Equal(t, "1", string(v))
		v, err = db.Get(ctx, []byte("b"))
		require.NoError(t, err)
		require.NotNil(t, v)
		require.Empty(t, v)
		v, err = db.AppendGet(ctx, []byte("x"), []byte("a"), nil)
		require.NoError(t, err)
		require.Equal(t, "x1", string(v))
		ok, err := db.Has(ctx, []byte("none"))
		require.NoError(t, err)
		require.False(t, ok)
	}
	check(db)
	for _, kind := range []CloseFlush{CloseFlushWAL, CloseNoFlush, CloseFlushMemtable, CloseFlushMemtable} {
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: kind}))
		require.NoError(t, db.Close(ctx), "a second Close is no error")
		_, err = db.Get(ctx, []byte("a"))
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, db.Put(ctx, []byte("a"), nil), ErrClosed)
		db = openTest(t, o)
		check(db)
	}
}

func TestBatchOrderAndReplace(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, testOptions())
	var b WriteBatch
	h, err := db.WriteWithOptions(ctx, &b, nil)
	require.NoError(t, err)
	require.Zero(t, h.Seq())
	require.NoError(t, h.Await(ctx))
	b.Put([]byte("c"), []byte("1"))
	b.Put([]byte("a"), []byte("2"))
	b.Delete([]byte("c"))
	b.Put([]byte("b"), []byte("3"))
	b.Put([]byte("a"), []byte("4"))
	require.Equal(t, 5, b.Len())
	require.NoError(t, db.Write(ctx, &b))
	require.NoError(t, db.Write(ctx, &b), "a batch can be written again")
	require.Equal(t, []string{`"a"="4"@2`, `"b"="3"@2`}, entryStrings(scanRows(t, db, All, nil)))
	b.Put(nil, nil)
	require.ErrorIs(t, db.Write(ctx, &b), ErrInvalid)
	b.Reset()
	b.Put([]byte("z"), nil)
	require.NoError(t, db.Write(ctx, &b))
}

func TestExplicitSeq(t *testing.T) {
	ctx := context.Background()
	db := openTest(t, testOptions())
	h, err := db.PutWithOptions(ctx, []byte("a"), nil, &PutOptions{Seq: 1000})
	require.NoError(t, err)
	require.EqualValues(t, 1000, h.Seq())
	h, err = db.PutWithOptions(ctx, []byte("a"), nil, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1001, h.Seq())
	_, err = db.PutWithOptions(ctx, []byte("a"), nil, &PutOptions{Seq: 1001})
	require.ErrorIs(t, err, ErrInvalid)
	_, err = db.PutWithOptions(ctx, []byte("a"), nil, &PutOptions{Seq: 1<<64 - 1})
	require.ErrorIs(t, err, ErrInvalid)
	h, err = db.PutWithOptions(ctx, []byte("a"), nil, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1002, h.Seq(), "a refused number takes none")
	_, err = db.PutWithOptions(ctx, []byte("a"), nil, &PutOptions{Seq: 1<<64 - 2})
	require.NoError(t, err)
	_, err = db.PutWithOptions(ctx, []byte("a"), nil, nil)
	require.ErrorIs(t, err, ErrInvalid, "the number space is used up")
}

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.DefaultTTL = time.Hour
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		put := func(k string, p *PutOptions) {
			_, err := db.PutWithOptions(ctx, []byte(k), []byte("v"), p)
			require.NoError(t, err)
		}
		put("default", nil)
		put("minute", &PutOptions{TTL: time.Minute})
		put("never", &PutOptions{TTL: -1})
		put("at", &PutOptions{ExpireAt: time.Now().Add(2 * time.Minute), TTL: time.Hour})
		put("past", &PutOptions{ExpireAt: time.Now().Add(-time.Hour)})
		has := func() (out []string) {
			for _, e := range scanRows(t, db, All, nil) {
				v, err := db.Get(ctx, e.Key)
				require.NoError(t, err)
				require.Equal(t, "v", string(v))
				out = append(out, string(e.Key))
			}
			return out
		}
		require.Equal(t, []string{"at", "default", "minute", "never"}, has())
		time.Sleep(time.Minute)
		require.Equal(t, []string{"at", "default", "never"}, has())
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		require.Equal(t, []string{"at", "default", "never"}, has())
		time.Sleep(time.Minute)
		require.Equal(t, []string{"default", "never"}, has())
		time.Sleep(time.Hour)
		require.Equal(t, []string{"never"}, has())
		_, err = db.Get(ctx, []byte("default"))
		require.ErrorIs(t, err, ErrNotFound)
		require.NoError(t, db.Close(ctx))
	})
}

// The first milestone's latencies, in fake time: 64 waiters in a closed loop on a store with
// 40 ms puts, and one waiter alone.
func TestGroupCommitLatency(t *testing.T) {
	for _, waiters := range []int{64, 1} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			o := testOptions()
			o.Store = delay.New(o.Store, delay.Options{Put: 40 * time.Millisecond})
			db, err := Open(ctx, "db", o)
			require.NoError(t, err)
			const rounds = 30
			var mu sync.Mutex
			var lat []time.Duration
			var wg sync.WaitGroup
			start := time.Now()
			for w := range waiters {
				wg.Go(func() {
					for i := range rounds {
						s := time.Now()
						require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "%d/%d", w, i), []byte("v")))
						mu.Lock()
						lat = append(lat, time.Since(s))
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			rate := float64(waiters*rounds) / time.Since(start).Seconds()
			p50 := median(lat)
			t.Logf("%d waiters: p50 %v, %.0f/s", waiters, p50, rate)
			if waiters == 64 {
				require.LessOrEqual(t, p50, 46*time.Millisecond)
				require.GreaterOrEqual(t, rate, 1400.0)
			} else {
				require.LessOrEqual(t, p50, 44*time.Millisecond)
			}
			require.NoError(t, db.Close(ctx))
		})
	}
}

func median(d []time.Duration) time.Duration {
	s := append([]time.Duration(nil), d...)
	for i := range s { // insertion sort: a few thousand
		for j := i; j > 0 && s[j] < s[j-1]; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
	return s[len(s)/2]
}

// Promises about allocations (BENCH.md's rules).
func TestAllocations(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.FlushInterval = -1
	db := openTest(t, o)
	val := make([]byte, 100)
	key := make([]byte, 16)
	mk := func(i int) []byte { copy(key, fmt.Sprintf("%016x", i*7919)); return key }
	keys := make([][]byte, 1000)
	for i := range keys {
		keys[i] = append([]byte(nil), mk(i)...)
	}
	nowait := &PutOptions{NoWait: true}
	i := 0
	put := func() {
		if _, err := db.PutWithOptions(ctx, keys[i%len(keys)], val, nowait); err != nil {
			t.Fatal(err)
		}
		i++
	}
	require.LessOrEqual(t, testing.AllocsPerRun(20000, put), 1.0, "Put with NoWait")
	dst := make([]byte, 0, 200)
	hit := func() {
		if _, err := db.AppendGet(ctx, dst, keys[i%len(keys)], nil); err != nil {
			t.Fatal(err)
		}
		i++
	}
	require.Zero(t, testing.AllocsPerRun(5000, hit), "AppendGet from the memtable")
	require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	for range keys {
		hit() // warm
	}
	require.Zero(t, testing.AllocsPerRun(5000, hit), "AppendGet from cached blocks")
	require.LessOrEqual(t, testing.AllocsPerRun(5000, func() {
		if _, err := db.Get(ctx, keys[i%len(keys)]); err != nil {
			t.Fatal(err)
		}
		i++
	}), 1.0, "Get from cached blocks")
	it, err := db.ScanWithOptions(ctx, All, &ScanOptions{CacheBlocks: true})
	require.NoError(t, err)
	require.True(t, it.Next())
	require.Zero(t, testing.AllocsPerRun(900, func() { it.Next() }), "Next")
	require.NoError(t, it.Close())

	seek10 := func() {
		it, err := db.Scan(ctx, keys[i%900], nil)
		for n := 0; n < 10 && it.Next(); n++ {
		}
		if err != nil || it.Close() != nil {
			t.Fatal(err)
		}
		i++
	}
	require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	seek10()
	least := func() float64 { // the race detector makes pools forget now and then
		n := testing.AllocsPerRun(1, seek10)
		for range 200 {
			n = min(n, testing.AllocsPerRun(1, seek10))
		}
		return n
	}
	limit := 2.0
	if invariants.Enabled {
		limit = 10 // its checks allocate
	}
	require.LessOrEqual(t, least(), limit, "a short scan of one table")
	put()
	require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	put()
	seek10()
	require.LessOrEqual(t, least(), limit, "a short scan of two tables and the memtable")
}
