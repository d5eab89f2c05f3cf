package slatedb

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// Back-pressure of memory and of L0: it begins gently, stalls at the limit, says so, honours
// ctx and ends with a flush, Close or a fence. Reads are never held back.

// stallLog counts events; it is safe for concurrent use.
type stallLog struct {
	mu     sync.Mutex
	writes []StallInfo
	l0     []StallInfo
	closed []error
}

func (l *stallLog) listener() EventListener {
	return EventListener{
		WriteStall: func(i StallInfo) { l.mu.Lock(); l.writes = append(l.writes, i); l.mu.Unlock() },
		L0Stall:    func(i StallInfo) { l.mu.Lock(); l.l0 = append(l.l0, i); l.mu.Unlock() },
		Closed:     func(err error) { l.mu.Lock(); l.closed = append(l.closed, err); l.mu.Unlock() },
	}
}

func (l *stallLog) count() (writes, l0 int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.writes), len(l.l0)
}

// stalled opens a database whose table uploads hang until release is called. It is used in a
// bubble.
func stalledDB(t *testing.T, o *Options) (db *DB, store *faulty.Store, log *stallLog, release func()) {
	inner := objstore.NewMemory()
	store, log = faulty.New(inner, nil), &stallLog{}
	ch := make(chan struct{})
	store.Script(faulty.Rule{Method: "put", Key: "/compacted/", Kind: faulty.Block, Release: ch})
	o.Store, o.EventListener, o.Logger = store, log.listener(), quiet
	o.BlockCacheBytes, o.MetaCacheBytes = 1<<20, 1<<20
	db, err := Open(context.Background(), "db", o)
	require.NoError(t, err)
	return db, store, log, sync.OnceFunc(func() { close(ch) })
}

func metric(t testing.TB, m Metrics, name string, labels ...string) float64 {
	t.Helper()
	v, ok := m.Value(name, labels...)
	require.True(t, ok, "metric %s %v", name, labels)
	return v
}

func TestBackpressureGrowsFromHalfAndStallsAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		const limit = 64 << 20
		db, _, log, release := stalledDB(t, &Options{DisableCompactor: true, DisableGC: true, L0SSTSizeBytes: 2 << 20, MaxUnflushedBytes: limit, L0MaxSSTs: 1000, L0MaxSSTsPerKey: 1000})
		val := bytes.Repeat([]byte{'v'}, 1<<20)
		took := make([]time.Duration, 0, 64)
		for i := range 63 {
			s := time.Now()
			_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "%03d", i), val, &PutOptions{NoWait: true})
			require.NoError(t, err)
			took = append(took, time.Since(s))
			if w, _ := log.count(); w > 0 {
				t.Fatalf("stalled at %d MiB of %d", i+1, limit>>20)
			}
		}
		for i, d := range took {
			if i < 30 {
				require.Zero(t, d, "no delay below half, write %d", i)
			}
		}
		require.Positive(t, took[40])
		require.Greater(t, took[50], took[40])
		require.Greater(t, took[60], took[50])
		require.LessOrEqual(t, took[62], maxDelayPerMiB+minSleep)
		require.Zero(t, metric(t, db.Metrics(), "slatedb.db.backpressure_count"))
		require.GreaterOrEqual(t, metric(t, db.Metrics(), "slatedb.db.total_mem_size_bytes"), float64(63<<20))

		// The limit: the write waits, its ctx is honoured, nothing is written.
		before := db.Status().CommittedSeq
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		s := time.Now()
		_, err := db.PutWithOptions(short, []byte("late"), val, &PutOptions{NoWait: true})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(s))
		cancel()
		require.Equal(t, before, db.Status().CommittedSeq)
		w, _ := log.count()
		require.Equal(t, 1, w, "one event a stalled write")
		log.mu.Lock()
		require.Equal(t, "unflushed bytes", log.writes[0].Reason)
		require.EqualValues(t, limit, log.writes[0].Limit)
		require.Greater(t, log.writes[0].Have, int64(limit/2))
		log.mu.Unlock()
		require.EqualValues(t, 1, metric(t, db.Metrics(), "slatedb.db.backpressure_count"))

		// Reads go on, also of a key that is not there.
		v, err := db.Get(ctx, []byte("001"))
		require.NoError(t, err)
		require.Len(t, v, 1<<20)
		_, err = db.Get(ctx, []byte("late"))
		require.ErrorIs(t, err, ErrNotFound)
		require.Len(t, scanRows(t, db, All, &ScanOptions{KeysOnly: true}), 63)

		// A flush that comes through wakes the waiters, all of them.
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "woken-%d", i), val, &PutOptions{NoWait: true})
				require.NoError(t, err)
			})
		}
		synctest.Wait()
		w, _ = log.count()
		require.Equal(t, 4, w)
		release()
		wg.Wait()
		require.NoError(t, db.Close(ctx))
		require.Zero(t, db.pressure.used.Load(), "every byte charged is given back")
		require.Zero(t, db.pressure.waiting.Load())
	})
}

// Stalled writers end at once when the handle ends, by Close or by a fence.
func TestA9_StalledWritersWakeWhenTheHandleEnds(t *testing.T) {
	for _, end := range []string{"close", "fence", "failure"} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			db, store, log, release := stalledDB(t, &Options{DisableCompactor: true, DisableGC: true, L0SSTSizeBytes: 1 << 20, MaxUnflushedBytes: 4 << 20, L0MaxSSTs: 1000, L0MaxSSTsPerKey: 1000, ManifestPollInterval: time.Second})
			val := bytes.Repeat([]byte{'v'}, 1<<20)
			errs := make([]error, 6)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() {
					_, errs[i] = db.PutWithOptions(ctx, fmt.Appendf(nil, "%d", i), val, &PutOptions{NoWait: true})
				})
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			w, _ := log.count()
			require.Positive(t, w, "nobody stalled")
			s := time.Now()
			var want error = ErrClosed
			switch end {
			case "close":
				go func() { _ = db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}) }()
			case "fence":
				o := testOptions()
				o.Store = store
				db2, err := Open(ctx, "db", o)
				require.NoError(t, err)
				defer func() { require.NoError(t, db2.Close(ctx)) }()
				want = ErrFenced
			case "failure":
				store.Crash()
				go func() { _ = db.RefreshManifest(ctx) }()
				_, _ = db.DeleteWithOptions(ctx, []byte("x"), &WriteOptions{NoWait: true})
				want = ErrUnavailable
			}
			wg.Wait()
			require.Less(t, time.Since(s), 2*time.Second, end)
			failed := 0
			for _, err := range errs {
				if err != nil {
					require.ErrorIs(t, err, want, end)
					require.ErrorIs(t, err, ErrClosed, end)
					failed++
				}
			}
			require.Positive(t, failed, end)
			release()
			require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))
		})
	}
}

// Options whose memtable size lies just below the limit cannot deadlock, whatever the rows
// look like: a stalled writer has the memtable flushed that it waits for (B9).
func TestB9_TightLimitsNeverDeadlock(t *testing.T) {
	for _, size := range []int{200, 1000, 64 << 10} {
		for _, value := range []int{0, 1, 100, 3000} {
			for _, walOff := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
					defer cancel()
					o := testOptions()
					o.L0SSTSizeBytes, o.MaxUnflushedBytes, o.DisableWAL = size, size+1, walOff
					o.FlushInterval = -1
					db, err := Open(ctx, "db", o)
					require.NoError(t, err)
					rows := min(2000, 20*size/(value+30)+20)
					var wg sync.WaitGroup
					for w := range 3 {
						wg.Go(func() {
							for i := range rows {
								_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "%d/%d", w, i), make([]byte, value), &PutOptions{NoWait: true})
								require.NoError(t, err, "size %d value %d", size, value)
							}
						})
					}
					wg.Wait()
					require.NoError(t, db.Close(ctx))
					require.Zero(t, db.pressure.used.Load())
				})
			}
		}
	}
}

// A write that is larger than the limit goes alone instead of never.
func TestBackpressureAdmitsAnOversizeWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.L0SSTSizeBytes, o.MaxUnflushedBytes = 1<<10, 4<<10
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		for i := range 5 {
			require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "small-%d", i), make([]byte, 500)))
			require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "%d", i), make([]byte, 20<<10)))
		}
		require.Len(t, scanRows(t, db, All, nil), 10)
		require.NoError(t, db.Close(ctx))
		require.Zero(t, db.pressure.used.Load())
	})
}

func fullL0(t *testing.T, o *Options) (*DB, *stallLog) {
	log := &stallLog{}
	o.EventListener = log.listener()
	db, err := Open(context.Background(), "db", o)
	require.NoError(t, err)
	for i := range 2 {
		_, err := db.PutWithOptions(context.Background(), fmt.Appendf(nil, "l0-%d", i), []byte("v"), &PutOptions{NoWait: true})
		require.NoError(t, err)
		require.NoError(t, db.FlushWithOptions(context.Background(), &FlushOptions{Type: FlushMemtable}))
	}
	_, l0 := log.count()
	require.Zero(t, l0)
	return db, log
}

// L0 full: the flush waits with its ctx, tells it once, reads and logged writes go on, and the
// flush ends when another process has drained L0.
func TestL0FullStallsFlushesOnly(t *testing.T) {
	for _, perKey := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			o := testOptions()
			o.L0MaxSSTs, o.FlushInterval = 2, 10*time.Millisecond
			label, reason := "num_ssts", "l0 tables"
			if perKey {
				o.L0MaxSSTs, o.L0MaxSSTsPerKey = 100, 2
				label, reason = "num_ssts_per_key", "l0 tables per key"
			}
			db, log := fullL0(t, o)
			if perKey { // the two tables so far do not overlap: make them
				for range 1 {
					_, err := db.PutWithOptions(ctx, []byte("l0-0"), []byte("v"), &PutOptions{NoWait: true})
					require.NoError(t, err)
					require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
				}
			}
			require.NoError(t, db.Put(ctx, []byte("l0-0"), []byte("newest")), "a logged write does not need L0")
			short, cancel := context.WithTimeout(ctx, time.Minute)
			s := time.Now()
			require.ErrorIs(t, db.FlushWithOptions(short, &FlushOptions{Type: FlushMemtable}), context.DeadlineExceeded)
			require.Equal(t, time.Minute, time.Since(s))
			cancel()
			_, l0 := log.count()
			require.Equal(t, 1, l0, "one event for one wait")
			log.mu.Lock()
			require.Equal(t, reason, log.l0[0].Reason)
			require.EqualValues(t, 2, log.l0[0].Have)
			require.EqualValues(t, 2, log.l0[0].Limit)
			log.mu.Unlock()
			require.EqualValues(t, 1, metric(t, db.Metrics(), "slatedb.db.l0_stall_count", "type", label))
			v, err := db.Get(ctx, []byte("l0-0"))
			require.NoError(t, err)
			require.Equal(t, "newest", string(v))
			require.NotEmpty(t, scanRows(t, db, All, nil))
			require.NoError(t, db.Flush(ctx), "a WAL flush does not need L0")

			// A compactor elsewhere takes the tables away.
			flushed := make(chan error)
			go func() { flushed <- db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}) }()
			synctest.Wait()
			drainL0(t, o.Store)
			s = time.Now()
			require.NoError(t, <-flushed)
			require.LessOrEqual(t, time.Since(s), 2*time.Second)
			require.NoError(t, db.Close(ctx))
			db, err = Open(ctx, "db", o)
			require.NoError(t, err)
			v, err = db.Get(ctx, []byte("l0-0"))
			require.NoError(t, err)
			require.Equal(t, "newest", string(v))
			require.NoError(t, db.Close(ctx))
		})
	}
}

// Close with a WAL does not wait for a full L0: the rows are in the log. Without one it waits
// with its ctx, stops everything and says what happened (C1).
func TestC1_CloseWithFullL0(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.L0MaxSSTs = 2
		db, _ := fullL0(t, o)
		_, err := db.PutWithOptions(ctx, []byte("k"), []byte("v"), &PutOptions{NoWait: true})
		require.NoError(t, err)
		s := time.Now()
		require.NoError(t, db.Close(ctx))
		require.Less(t, time.Since(s), 2*time.Second)
		// Again with the stall begun before.
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		v, err := db.Get(ctx, []byte("k"))
		require.NoError(t, err, "error or data, never neither")
		require.Equal(t, "v", string(v))
		short, cancel := context.WithTimeout(ctx, time.Second)
		require.Error(t, db.FlushWithOptions(short, &FlushOptions{Type: FlushMemtable}))
		cancel()
		s = time.Now()
		require.NoError(t, db.Close(ctx))
		require.Less(t, time.Since(s), 2*time.Second)

		o = testOptions()
		o.L0MaxSSTs, o.DisableWAL = 2, true
		db, _ = fullL0(t, o)
		h, err := db.PutWithOptions(ctx, []byte("k"), []byte("v"), &PutOptions{NoWait: true})
		require.NoError(t, err)
		waiter := make(chan error)
		go func() { waiter <- h.Await(ctx) }()
		short, cancel = context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		s = time.Now()
		require.ErrorIs(t, db.Close(short), context.DeadlineExceeded)
		require.Less(t, time.Since(s), 7*time.Second)
		require.ErrorIs(t, <-waiter, ErrClosed, "the row was never durable")
		require.ErrorIs(t, h.Await(ctx), ErrClosed)
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		_, err = db.Get(ctx, []byte("k"))
		require.ErrorIs(t, err, ErrNotFound)
		require.NoError(t, db.Close(ctx))
	})
}

// MinFlushGap is a ceiling on uploads, FlushInterval is not: an explicit Flush waits for
// neither.
func TestMinFlushGapBoundsUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		inner := objstore.NewMemory()
		store := faulty.New(delay.New(inner, delay.Options{Put: 5 * time.Millisecond}), nil)
		o := testOptions()
		o.Store, o.MinFlushGap, o.ManifestPollInterval = store, time.Second, -1
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		start, puts := time.Now(), store.Count("put")
		var wg sync.WaitGroup
		var done atomic.Int64
		stop := make(chan struct{})
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "%d/%d", w, i), nil))
					done.Add(1)
				}
			})
		}
		time.Sleep(30 * time.Second)
		close(stop)
		wg.Wait()
		n := store.Count("put") - puts
		require.LessOrEqual(t, n, int(time.Since(start)/time.Second)+1)
		require.GreaterOrEqual(t, n, 28)
		require.GreaterOrEqual(t, done.Load(), int64(28*4))
		_, err = db.PutWithOptions(ctx, []byte("k"), nil, &PutOptions{NoWait: true})
		require.NoError(t, err)
		s := time.Now()
		require.NoError(t, db.Flush(ctx))
		require.Less(t, time.Since(s), 100*time.Millisecond, "Flush does not wait for the gap")
		require.NoError(t, db.Close(ctx))
	})
}

// An idle database costs next to nothing: at most 300 requests in an hour; a set interval is
// kept, and a negative one means none at all.
func TestIdleRequestBill(t *testing.T) {
	for _, c := range []struct {
		name  string
		poll  time.Duration
		most  int
		least int
	}{{"adaptive", 0, 300, 200}, {"set", time.Minute, 130, 59}, {"never", -1, 0, 0}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				store := faulty.New(objstore.NewMemory(), nil)
				o := testOptions()
				o.Store, o.ManifestPollInterval = store, c.poll
				db, err := Open(ctx, "db", o)
				require.NoError(t, err)
				require.NoError(t, db.Put(ctx, []byte("k"), []byte("v")))
				require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
				_, err = db.Get(ctx, []byte("k"))
				require.NoError(t, err)
				before := store.Requests()
				store.Record(true)
				time.Sleep(time.Hour)
				n := store.Requests() - before
				kinds := map[string]int{}
				for _, r := range store.Log() {
					kinds[r.Method]++
				}
				t.Logf("%d requests in an idle hour: %v", n, kinds)
				require.LessOrEqual(t, n, c.most)
				require.GreaterOrEqual(t, n, c.least)
				require.Zero(t, kinds["put"])
				require.Zero(t, kinds["list"], "a listing is the dearest request")

				// Idle or not, a change elsewhere is seen within the promised time.
				if c.poll == 0 {
					id := db.Status().ManifestID
					s := time.Now()
					o2 := *o
					drainL0(t, o2.Store)
					for range db.Watch(ctx) {
						if db.Status().ManifestID > id {
							break
						}
					}
					require.LessOrEqual(t, time.Since(s), pollWhenIdle+time.Second)
				}
				require.NoError(t, db.Close(ctx))
			})
		})
	}
}

// drainL0 does to the manifest what a compactor does: it moves the L0 tables into one run, or
// into several where they overlap.
func drainL0(t *testing.T, s objstore.Store) {
	t.Helper()
	env := seam.New(seam.Env{})
	st := manifest.NewStore(s, "db", env)
	_, err := st.Latest(context.Background())
	require.NoError(t, err)
	_, err = st.Update(context.Background(), func(m *manifest.Manifest) error {
		l0 := m.Root.L0
		next, ok := m.NextRunID()
		require.True(t, ok)
		var runs []sst.SortedRun
		for i, v := range l0 {
			runs = append(runs, sst.SortedRun{ID: next + uint32(len(l0)-1-i), Views: []sst.View{v}})
		}
		m.Root.Runs = append(runs, m.Root.Runs...)
		m.Root.CutL0(l0[0].ID)
		return nil
	})
	require.NoError(t, err)
}

// hookClock calls a function once, at the next look at the time.
type hookClock struct {
	Clock
	hook atomic.Pointer[func()]
}

func (c *hookClock) Now() time.Time {
	if f := c.hook.Swap(nil); f != nil {
		(*f)()
	}
	return c.Clock.Now()
}

// A flush that is asked for while the dispatcher decides about an earlier one is not lost:
// who waits for it would sleep until somebody else asks.
func TestFlushAskedForWhileFreezingIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		clock := &hookClock{Clock: seam.SystemClock{}}
		o := testOptions()
		o.Clock, o.ManifestPollInterval = clock, -1
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		require.NoError(t, db.Put(ctx, []byte("a"), nil))
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		synctest.Wait()
		hook := func() { // runs in the dispatcher, between its look at what is wanted and its freeze
			h, err := db.PutWithOptions(ctx, []byte("b"), nil, &PutOptions{NoWait: true})
			require.NoError(t, err)
			require.EqualValues(t, 2, h.Seq())
			db.flusher.relieve()
		}
		clock.hook.Store(&hook)
		db.flusher.relieve()
		time.Sleep(time.Second)
		require.EqualValues(t, 2, db.flusher.l0Seq.Load(), "the second request was lost")
		require.NoError(t, db.Close(ctx))
	})
}
