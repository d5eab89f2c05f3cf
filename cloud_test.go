package slatedb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
	"github.com/slatedb/slatedb-go/objstore/deviant"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/objstore/prices"
	"github.com/slatedb/slatedb-go/objstore/probe"
)

func cloudQuiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestJ4_OpenRefusesDeviantStores: each is refused with the capability named, or carries a
// database; and a refused one holds nothing of it.
func TestJ4_OpenRefusesDeviantStores(t *testing.T) {
	refused := map[deviant.Kind]probe.Capability{
		deviant.IgnoresIfAbsent: probe.CreateIfAbsent, deviant.IgnoresIfVersion: probe.UpdateIfMatch,
		deviant.UpdatesMissing: probe.UpdateIfMatch, deviant.ShortBodies: probe.WholeBody, deviant.StaleList: probe.ListAfterWrite,
		deviant.WholeForRange: probe.RangeRead, deviant.NoMetadata: probe.Metadata,
	}
	for _, k := range append(deviant.Kinds(), deviant.Honest) {
		t.Run(k.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				t.Cleanup(probe.Forget)
				ctx, inner := t.Context(), objstore.NewMemory()
				s := deviant.New(inner, k)
				o := &Options{Store: s, Logger: cloudQuiet(), MinFilterKeys: -1}
				db, err := Open(ctx, "db", o)
				if want, bad := refused[k]; bad {
					var e *CapabilityError
					require.ErrorAs(t, err, &e)
					assert.Equal(t, want, e.Capability)
					require.ErrorIs(t, err, ErrInvalid)
					for a := range inner.List(ctx, "", "") {
						assert.Fail(t, "left behind", a.Key)
					}
					if k == deviant.NoMetadata || k == deviant.StaleList {
						o.SkipProbe = true // the user vouches: nothing is asked
						db, err = Open(ctx, "db", o)
						require.NoError(t, err)
						require.NoError(t, db.Close(ctx))
					}
					return
				}
				require.NoError(t, err)
				defer db.Close(ctx)
				n, _ := db.Metrics().Value("slatedb.object_store.request_count", "cause", "probe", "api", "put")
				assert.GreaterOrEqual(t, n, 7.0)
				for i := range 20 {
					require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "k%02d", i), []byte("v")))
				}
				require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
				v, err := db.Get(ctx, []byte("k07"))
				require.NoError(t, err)
				assert.Equal(t, "v", string(v))

				// A second writer takes over, and the probe is not run again.
				second, err := Open(ctx, "db", o)
				require.NoError(t, err)
				defer second.Close(ctx)
				_, probed := second.Metrics().Value("slatedb.object_store.request_count", "cause", "probe", "api", "put")
				assert.False(t, probed, "once for each process and store")
				require.ErrorIs(t, db.Put(ctx, []byte("k"), nil), ErrFenced)
				require.NoError(t, second.Put(ctx, []byte("k"), []byte("second")))
			})
		})
	}
}

// TestOutageOfMinutes: writer and reader over ten minutes without a store. Little is sent
// meanwhile, everybody is told, and the end is prompt. In the second run the compactor has not
// yet claimed its role when the outage begins.
func TestOutageOfMinutes(t *testing.T) {
	for _, claimed := range []bool{true, false} {
		t.Run(fmt.Sprintf("compactor claimed %t", claimed), func(t *testing.T) { outageOfMinutes(t, claimed) })
	}
}

func outageOfMinutes(t *testing.T, claimed bool) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		f := faulty.New(objstore.NewMemory(), nil)
		f.SetProperties(func(p *objstore.Properties) { p.NoProbe = true })
		early := &faulty.Active{}
		if !claimed {
			early = f.Script(faulty.Rule{Method: "put", Key: "manifest/00000000000000000003.manifest"})
		}
		o := &Options{Store: f, Logger: cloudQuiet()}
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		defer db.Close(ctx)
		require.NoError(t, db.Put(ctx, []byte("before"), []byte("1")))
		mode := ManagedCheckpoint
		if !claimed {
			mode = FollowLatest // writes no manifest
		}
		r, err := OpenReader(ctx, "db", &ReaderOptions{Store: f, Logger: cloudQuiet(), PollInterval: time.Second, Mode: mode})
		require.NoError(t, err)
		defer r.Close(ctx)
		assert.Equal(t, StoreOK, db.Status().Store.State)

		wctx, stop := context.WithCancel(ctx)
		defer stop()
		seen := make(chan StoreState, 16)
		go func() {
			last := StoreState{}
			for s := range db.Watch(wctx) {
				if s.Store.State != last.State {
					seen <- s.Store
				}
				last = s.Store
			}
			close(seen)
		}()

		synctest.Wait()
		require.Equal(t, !claimed, early.Hits() > 0)
		f.Script(faulty.Rule{Kind: faulty.ErrorBefore})
		const writers = 20
		var acked atomic.Int64
		for i := range writers {
			go func() {
				assert.NoError(t, db.Put(ctx, fmt.Appendf(nil, "during%02d", i), []byte("2")))
				acked.Add(1)
			}()
		}
		time.Sleep(time.Minute)
		assert.Equal(t, StoreDown, db.Status().Store.State)
		assert.Equal(t, StoreDown, r.Status().Store.State, "a reader's too")
		require.ErrorIs(t, db.Status().Store.LastErr, faulty.ErrInjected)
		before := f.Requests()
		time.Sleep(10 * time.Minute)
		assert.LessOrEqual(t, f.Requests()-before, 2*(600+10), "one a second and handle")
		assert.Zero(t, acked.Load())
		v, err := r.Get(ctx, []byte("before"))
		require.NoError(t, err, "what is in memory is read all the same")
		assert.Equal(t, "1", string(v))

		f.Clear()
		time.Sleep(3 * time.Second)
		assert.EqualValues(t, writers, acked.Load(), "acknowledged within seconds")
		assert.Equal(t, StoreOK, db.Status().Store.State)
		require.NoError(t, db.Status().Err, "the writer has not fenced itself")
		require.NotZero(t, acked.Load())
		require.NoError(t, r.WaitForSeq(ctx, db.Status().DurableSeq))
		_, err = r.Get(ctx, []byte("during07"))
		require.NoError(t, err)
		assert.Equal(t, StoreOK, r.Status().Store.State)
		stop()
		var states []string
		for s := range seen {
			states = append(states, string(s.State))
		}
		assert.Equal(t, []string{"ok", "degraded", "down", "ok"}, states)
	})
}

// TestJ1_LostRepliesFenceNobody: the reply of each conditional put in turn is lost, of the
// WAL, of manifests and at open; the writer goes on, and nothing is there twice.
func TestJ1_LostRepliesFenceNobody(t *testing.T) {
	run := func(t *testing.T, nth int) (puts int) {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			f := faulty.New(objstore.NewMemory(), nil)
			if nth > 0 {
				f.Script(faulty.Rule{Method: "put", Nth: nth, Kind: faulty.ErrorAfter})
			}
			db, err := Open(ctx, "db", &Options{Store: f, Logger: cloudQuiet(), DisableGC: true, DisableCompactor: true})
			require.NoError(t, err, "put %d", nth)
			for i := range 5 {
				require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "k%d", i), []byte("v")), "put %d", nth)
			}
			require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}), "put %d", nth)
			require.NoError(t, db.Status().Err)
			puts = f.Count("put")
			require.NoError(t, db.Close(ctx))
			n := 0
			again, err := Open(ctx, "db", &Options{Store: f, Logger: cloudQuiet(), DisableGC: true, DisableCompactor: true})
			require.NoError(t, err)
			for _, err := range again.Entries(ctx, All, nil) {
				require.NoError(t, err)
				n++
			}
			assert.Equal(t, 5, n)
			require.NoError(t, again.Close(ctx))
		})
		return puts
	}
	puts := run(t, 0)
	require.Greater(t, puts, 6)
	for nth := 1; nth <= puts; nth++ {
		run(t, nth)
	}
}

// TestHedgedReads: the option reaches the reads, and the ledger tells them apart.
func TestHedgedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		f := faulty.New(delay.New(objstore.NewMemory(), delay.Options{Get: 20 * time.Millisecond}), nil)
		f.SetProperties(func(p *objstore.Properties) { p.NoProbe = true })
		db, err := Open(ctx, "db", &Options{
			Store: f, Logger: cloudQuiet(), BlockCacheBytes: -1, MetaCacheBytes: -1, HedgedReads: &HedgeOptions{MaxShare: 0.5},
		})
		require.NoError(t, err)
		defer db.Close(ctx)
		require.NoError(t, db.Put(ctx, []byte("k"), []byte("v")))
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		get := func() time.Duration {
			start := time.Now()
			_, err := db.Get(ctx, []byte("k"))
			require.NoError(t, err)
			return time.Since(start)
		}
		for range 100 {
			get()
		}
		usual := get()
		f.Script(faulty.Rule{Method: "read", Nth: 1, Kind: faulty.Delay, Delay: time.Minute})
		assert.Less(t, get(), usual+30*time.Millisecond)
		n, _ := db.Metrics().Value("slatedb.object_store.request_count", "cause", "hedge", "api", "get_range")
		assert.Equal(t, 1.0, n)
	})
}

// TestJ6_NoCallOutlivesItsContext: the store hangs, and then refuses to answer.
func TestJ6_NoCallOutlivesItsContext(t *testing.T) {
	for _, kind := range []faulty.Kind{faulty.Hang, faulty.ErrorBefore, faulty.HangAfter} {
		synctest.Test(t, func(t *testing.T) {
			f := faulty.New(objstore.NewMemory(), nil)
			o := &Options{Store: f, Logger: cloudQuiet(), BlockCacheBytes: -1, MetaCacheBytes: -1}
			db, err := Open(t.Context(), "db", o)
			require.NoError(t, err)
			require.NoError(t, db.Put(t.Context(), []byte("k"), []byte("v")))
			require.NoError(t, db.FlushWithOptions(t.Context(), &FlushOptions{Type: FlushMemtable}))
			f.Script(faulty.Rule{Kind: kind})
			for _, c := range []struct {
				name string
				call func(ctx context.Context) error
			}{
				{"get", func(ctx context.Context) error { _, err := db.Get(ctx, []byte("k")); return err }},
				{"put", func(ctx context.Context) error { return db.Put(ctx, []byte("k"), nil) }},
				{"flush", func(ctx context.Context) error { return db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}) }},
				{"refresh", db.RefreshManifest},
				{"open", func(ctx context.Context) error { _, err := Open(ctx, "db", o); return err }},
				{"reader", func(ctx context.Context) error {
					_, err := OpenReader(ctx, "db", &ReaderOptions{Store: f, Logger: cloudQuiet()})
					return err
				}},
			} {
				name, call := c.name, c.call
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				start := time.Now()
				err := call(ctx)
				cancel()
				require.Error(t, err, name)
				assert.True(t, errors.Is(err, context.DeadlineExceeded), "%s: %v", name, err)
				assert.LessOrEqual(t, time.Since(start), 3*time.Second, name)
			}
			f.Clear()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = db.Close(ctx)
		})
	}
}

func cloudRequests(m Metrics) (byCause map[string]float64, total float64) {
	byCause = map[string]float64{}
	for x := range m.All() {
		if x.Name == "slatedb.object_store.request_count" {
			cause, _ := x.label("cause")
			byCause[cause] += x.Value
			total += x.Value
		}
	}
	return byCause, total
}

// TestTheBillAtThreeLoads measures what docs/guides/costs.md says: a store of 20 ms a put and
// 10 ms a get.
func TestTheBillAtThreeLoads(t *testing.T) {
	s3, _ := prices.For("s3")
	for _, c := range []struct {
		name     string
		gap      time.Duration // between two writes
		span     time.Duration
		noWait   bool
		flushGap time.Duration
		min, max float64 // dollars a month
	}{
		{"idle", 0, time.Hour, false, 0, 0.1, 0.25},
		{"100 a second, waited for", 10 * time.Millisecond, time.Minute, false, 0, 500, 700},
		{"100 a second, waited for, a gap of 1s", 10 * time.Millisecond, time.Minute, false, time.Second, 10, 30},
		{"100 a second, not waited for", 10 * time.Millisecond, time.Minute, true, 0, 110, 160},
		{"10,000 a second, not waited for", 100 * time.Microsecond, 20 * time.Second, true, 0, 110, 180},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				slow := delay.New(objstore.NewMemory(), delay.Options{Get: 10 * time.Millisecond, Put: 20 * time.Millisecond, List: 20 * time.Millisecond})
				db, err := Open(ctx, "db", &Options{Store: slow, Logger: cloudQuiet(), SkipProbe: true, Prices: &s3, MinFlushGap: c.flushGap})
				require.NoError(t, err)
				defer db.Close(ctx)
				_, before := cloudRequests(db.Metrics())
				start := time.Now()
				value := make([]byte, 100)
				for i := 0; time.Since(start) < c.span; i++ {
					if c.gap == 0 {
						time.Sleep(c.span)
						break
					}
					h, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "%08d", i), value, &PutOptions{NoWait: true})
					require.NoError(t, err)
					if !c.noWait {
						go func() { _ = h.Await(ctx) }()
					}
					time.Sleep(c.gap)
				}
				by, total := cloudRequests(db.Metrics())
				usd, ok := db.Metrics().Value("slatedb.object_store.estimated_monthly_cost_usd", "prices", "s3")
				require.True(t, ok)
				for _, name := range prices.Names() {
					p, _ := prices.For(name)
					t.Logf("%s: $%.2f", name, p.Estimate(db.ledger.Snapshot(), time.Since(start)).Requests)
				}
				t.Logf("%s: %.0f requests in %v, by cause %v, $%.2f a month", c.name, total-before, c.span, by, usd)
				assert.Greater(t, usd, c.min)
				assert.Less(t, usd, c.max)
			})
		})
	}
}

// TestIdleReaders: polls are booked as such, and few.
func TestIdleReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := objstore.NewMemory()
		db, err := Open(ctx, "db", &Options{Store: s, Logger: cloudQuiet()})
		require.NoError(t, err)
		require.NoError(t, db.Close(ctx))
		s3, _ := prices.For("s3")
		for mode, most := range map[ReaderMode]float64{ManagedCheckpoint: 300, FollowLatest: 300} {
			r, err := OpenReader(ctx, "db", &ReaderOptions{Store: s, Logger: cloudQuiet(), Mode: mode, Prices: &s3})
			require.NoError(t, err)
			time.Sleep(time.Hour)
			by, total := cloudRequests(r.Metrics())
			usd, _ := r.Metrics().Value("slatedb.object_store.estimated_monthly_cost_usd", "prices", "s3")
			t.Logf("mode %d: %.0f requests in an idle hour, by cause %v, $%.2f a month on S3", mode, total, by, usd)
			assert.Positive(t, by["poll"])
			assert.LessOrEqual(t, total, most)
			require.NoError(t, r.Close(ctx))
		}
	})
}
