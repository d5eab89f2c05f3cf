package slatedb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// The scenarios C1-C8: what an acknowledgement says is true, and every wait ends.

// sceneFullL0 opens a database whose L0 takes two tables and has them.
func sceneFullL0(t testing.TB, s objstore.Store, h *ackHistory, change func(*Options)) *DB {
	db := openScene(t, sceneOptions(s).with(func(o *Options) {
		o.L0MaxSSTs, o.L0SSTSizeBytes, o.MaxUnflushedBytes = 2, 2<<10, 8<<10
		change(o)
	}))
	for i := range 2 {
		require.True(t, h.put(db, fmt.Sprintf("in-l0/%d", i), "v"))
		require.NoError(t, h.flush(db))
	}
	return db
}

// C1: with the WAL off and L0 full there is no way to store rows. Flush and Close must not
// say that they did; with the WAL on, they are in the log.
func TestC1_FlushAndCloseOnAFullL0AreHonest(t *testing.T) {
	for _, noWAL := range []bool{true, false} {
		for _, kind := range []CloseFlush{CloseFlushMemtable, CloseFlushWAL, CloseNoFlush} {
			for _, frozen := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					what := fmt.Sprintf("WAL off %v, close %v, memtable frozen %v", noWAL, kind, frozen)
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					defer cancel()
					inner, h := objstore.NewMemory(), &ackHistory{}
					db := sceneFullL0(t, inner, h, func(o *Options) { o.DisableWAL = noWAL })
					rows := 1
					if frozen {
						rows = 4
					}
					for i := range rows {
						require.NotNil(t, h.write(db, modelOp{key: fmt.Sprintf("new/%d", i), value: strings.Repeat("v", 900)}))
					}
					require.Equal(t, frozen, len(db.state.Load().imm) > 0)
					last := h.m.last()

					fctx, fcancel := context.WithTimeout(ctx, time.Second)
					err := db.FlushWithOptions(fctx, memtableFlush)
					fcancel()
					require.ErrorIs(t, err, context.DeadlineExceeded, "%s: the memtable cannot be flushed", what)
					fctx, fcancel = context.WithTimeout(ctx, time.Second)
					err = db.Flush(fctx)
					fcancel()
					if noWAL {
						require.ErrorIs(t, err, context.DeadlineExceeded, what)
						require.Less(t, db.Status().DurableSeq, last, what)
					} else {
						require.NoError(t, err, what)
						h.acked(last)
					}
					err = db.CloseWithOptions(ctx, &CloseOptions{Flush: kind})
					if noWAL && kind != CloseNoFlush {
						require.ErrorIs(t, err, context.DeadlineExceeded, what)
					} else {
						require.NoError(t, err, what)
					}
					db = openScene(t, sceneOptions(inner))
					h.check(t, db, what)
					if noWAL {
						require.Less(t, db.Status().CommittedSeq, last, "the rows are gone, as the error said")
					}
					sceneAbandon(db)
				})
			}
		}
	}
}

// C1: the same with a compactor that makes room in the end: then the flush succeeds and the
// rows are there.
func TestC1_FlushSucceedsWhenL0GetsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		inner, h := objstore.NewMemory(), &ackHistory{}
		db := sceneFullL0(t, inner, h, func(o *Options) { o.DisableWAL = true })
		for i := range 3 {
			h.write(db, modelOp{key: fmt.Sprintf("new/%d", i), value: strings.Repeat("v", 900)})
		}
		done := make(chan error, 1)
		go func() { done <- h.flush(db) }()
		for range 3 {
			time.Sleep(10 * time.Second)
			ms := sceneManifests(inner)
			_, err := ms.Update(ctx, func(m *manifest.Manifest) error { sceneCompact(m); return nil })
			require.NoError(t, err)
		}
		require.NoError(t, <-done)
		require.NoError(t, db.Close(ctx))
		require.Equal(t, h.m.last(), h.m.durable)
		db = openScene(t, sceneOptions(inner))
		h.check(t, db, "reopened")
		sceneAbandon(db)
	})
}

// C2: a durable put ends within its context whatever the options are and whatever is stuck,
// and it is never acknowledged then.
func TestC2_EveryDurableWaitIsBounded(t *testing.T) {
	type stuck struct {
		name string
		rule *faulty.Rule // nil: L0 is full
	}
	for _, why := range []stuck{
		{"l0 full", nil},
		{"tables hang", &faulty.Rule{Method: "put", Key: "db/compacted/", Kind: faulty.Hang}},
		{"manifest hangs", &faulty.Rule{Method: "put", Key: "db/manifest/", Kind: faulty.Hang}},
		{"log hangs", &faulty.Rule{Method: "put", Key: "db/wal/", Kind: faulty.Hang}},
		{"everything hangs", &faulty.Rule{Kind: faulty.Hang}},
		{"everything fails, worth a retry", &faulty.Rule{Kind: faulty.ErrorBefore}},
	} {
		for _, noWAL := range []bool{false, true} {
			for _, timers := range []time.Duration{-1, 0, time.Hour} {
				synctest.Test(t, func(t *testing.T) {
					what := fmt.Sprintf("%s, WAL off %v, intervals %v", why.name, noWAL, timers)
					ctx := context.Background()
					inner, h := objstore.NewMemory(), &ackHistory{}
					s := faulty.New(inner, nil)
					db := sceneFullL0(t, s, h, func(o *Options) {
						o.DisableWAL, o.FlushInterval, o.ManifestPollInterval, o.MaxRetries = noWAL, timers, timers, 0
						if why.rule != nil {
							o.L0MaxSSTs = 100
						}
						if timers > 0 {
							o.MinFlushGap = timers
						}
					})
					if why.rule != nil {
						s.Script(*why.rule)
					}
					var mu sync.Mutex
					ends := map[string]error{}
					var wg sync.WaitGroup
					const bound = 3 * time.Second
					call := func(name string, f func(ctx context.Context) error) {
						wg.Go(func() {
							cctx, cancel := context.WithTimeout(ctx, bound)
							defer cancel()
							start := time.Now()
							err := f(cctx)
							require.LessOrEqual(t, time.Since(start), bound, "%s: %s", what, name)
							mu.Lock()
							defer mu.Unlock()
							ends[name] = err
						})
					}
					big := make([]byte, 3<<10)
					call("put", func(ctx context.Context) error { return db.Put(ctx, []byte("p"), []byte("v")) })
					call("large put", func(ctx context.Context) error { return db.Put(ctx, []byte("l"), big) })
					call("larger put", func(ctx context.Context) error { return db.Put(ctx, []byte("ll"), big) })
					call("delete", func(ctx context.Context) error { return db.Delete(ctx, []byte("d")) })
					call("batch", func(ctx context.Context) error {
						var b WriteBatch
						b.Put([]byte("b"), big)
						return db.Write(ctx, &b)
					})
					call("await", func(ctx context.Context) error {
						w, err := db.PutWithOptions(ctx, []byte("w"), nil, noWait)
						if err != nil {
							return err
						}
						return w.Await(ctx)
					})
					call("flush", func(ctx context.Context) error { return db.Flush(ctx) })
					call("flush memtable", func(ctx context.Context) error { return db.FlushWithOptions(ctx, memtableFlush) })
					wg.Wait()
					logWorks := !noWAL && (why.rule == nil || why.rule.Key == "db/compacted/" || why.rule.Key == "db/manifest/")
					for name, err := range ends {
						switch {
						case err == nil && (name == "flush" || name == "flush memtable"):
							// It may have come before all writes.
						case err == nil:
							mayBe := logWorks || noWAL && why.name == "log hangs" // no log is needed
							require.True(t, mayBe, "%s: %s was acknowledged", what, name)
						default:
							require.True(t, errors.Is(err, context.DeadlineExceeded), "%s: %s: %v", what, name, err)
						}
					}
					if logWorks && timers <= 0 {
						require.NoError(t, ends["put"], what)
					}
					cctx, cancel := context.WithTimeout(ctx, bound)
					defer cancel()
					start := time.Now()
					_ = db.Close(cctx)
					require.LessOrEqual(t, time.Since(start), bound+closeTimeout, "%s: Close", what)
					require.ErrorIs(t, db.Put(ctx, []byte("after"), nil), ErrClosed)

					re := openScene(t, sceneOptions(inner))
					got := sceneRows(t, re)
					for name, key := range map[string]string{"put": "p", "large put": "l", "larger put": "ll", "batch": "b", "await": "w"} {
						if ends[name] == nil {
							require.Contains(t, got, key, "%s: %s was acknowledged", what, name)
						}
					}
					h.mu.Lock()
					for _, e := range h.m.at(h.m.durable) {
						require.Equal(t, string(e.Value), got[string(e.Key)], what)
					}
					h.mu.Unlock()
					sceneAbandon(re)
				})
			}
		}
	}
}

// C3: rows that became durable by way of L0 are visible to reads of durable rows, whichever
// of log and memtable is flushed first.
func TestC3_RowsDurableThroughL0AreVisibleAsDurable(t *testing.T) {
	ctx := context.Background()
	for _, noWAL := range []bool{false, true} {
		inner, h := objstore.NewMemory(), &ackHistory{}
		db := openScene(t, sceneOptions(inner).with(func(o *Options) { o.DisableWAL = noWAL }))
		for round := range 4 {
			k := fmt.Sprintf("%d", round)
			w := h.write(db, modelOp{key: k, value: "v"})
			_, err := db.GetWithOptions(ctx, []byte(k), &ReadOptions{Durability: DurabilityRemote})
			require.ErrorIs(t, err, ErrNotFound, "it is not durable yet")
			if round%2 == 1 && !noWAL {
				require.NoError(t, db.Flush(ctx))
			}
			require.NoError(t, h.flush(db))
			require.GreaterOrEqual(t, db.Status().DurableSeq, w.Seq())
			require.NoError(t, w.Await(ctx))
			v, err := db.GetWithOptions(ctx, []byte(k), &ReadOptions{Durability: DurabilityRemote})
			require.NoError(t, err)
			require.Equal(t, "v", string(v))
			vs, err := db.MultiGet(ctx, [][]byte{[]byte(k)}, &ReadOptions{Durability: DurabilityRemote})
			require.NoError(t, err)
			require.Equal(t, "v", string(vs[0]))
			require.Len(t, scanRows(t, db, All, &ScanOptions{Durability: DurabilityRemote}), round+1)
		}
		sceneAbandon(db)
		db = openScene(t, sceneOptions(inner))
		h.check(t, db, "reopened")
	}
}

// C4: version 1 is durable, version 2 is not; a flush runs. A read of durable rows sees
// version 1 at each step, until version 2 is durable, and never nothing.
func TestC4_AFlushKeepsTheDurableVersion(t *testing.T) {
	ctx := context.Background()
	remote := func(db *DB) string {
		o := &ReadOptions{Durability: DurabilityRemote}
		v, err := db.GetWithOptions(ctx, []byte("k"), o)
		require.NoError(t, err)
		rows := scanRows(t, db, All, &ScanOptions{Durability: DurabilityRemote})
		require.NotEmpty(t, rows)
		return string(v)
	}
	for _, noWAL := range []bool{false, true} {
		for _, sameMemtable := range []bool{true, false} {
			if sameMemtable && noWAL {
				continue // without a log, durable means in L0
			}
			inner := objstore.NewMemory()
			s := faulty.New(inner, nil)
			g := newPointGate()
			db := openScene(t, sceneOptions(s).with(func(o *Options) { o.DisableWAL, o.onPoint = noWAL, g.point }))
			require.NoError(t, db.Put(ctx, []byte("k"), []byte("1")))
			if !sameMemtable {
				require.NoError(t, db.FlushWithOptions(ctx, memtableFlush))
			}
			durable := db.Status().DurableSeq
			_, err := db.PutWithOptions(ctx, []byte("k"), []byte("2"), noWait)
			require.NoError(t, err)
			require.Equal(t, "1", remote(db))
			release := make(chan struct{})
			key := "db/wal/"
			if noWAL {
				key = "db/manifest/"
			}
			rule := s.Script(faulty.Rule{Method: "put", Key: key, Nth: 1, Kind: faulty.Block, Release: release})
			var looked []string
			g.mu.Lock()
			g.do = func(int, string) { // at each step of the flush
				before := db.Status().DurableSeq
				v := remote(db)
				if db.Status().DurableSeq == durable {
					require.Equal(t, "1", v)
				} else if before > durable {
					require.Equal(t, "2", v)
				}
				looked = append(looked, v)
			}
			g.mu.Unlock()
			done := make(chan error, 1)
			go func() { done <- db.FlushWithOptions(ctx, memtableFlush) }()
			awaitScene(t, rule.Reached(), "the flush")
			require.Equal(t, "1", remote(db))
			close(release)
			require.NoError(t, <-done)
			require.Equal(t, "2", remote(db))
			require.NotEmpty(t, looked)
			sceneAbandon(db)
		}
	}
}

// C5: numbers with holes between them, at the border of two memtables too, hold no flush up.
// Refused writes take no number; numbers may be given by the user. (Aborted transactions
// come with the transactions.)
func TestC5_HolesInTheNumbersHoldNoFlushUp(t *testing.T) {
	for _, noWAL := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			inner := objstore.NewMemory()
			o := sceneOptions(inner).with(func(o *Options) {
				o.DisableWAL, o.L0SSTSizeBytes, o.MaxUnflushedBytes = noWAL, 600, 1<<20
			})
			db := openScene(t, o)
			seq, want := uint64(0), map[string]string{}
			for i := range 30 {
				var b WriteBatch
				b.Put(nil, nil)
				require.ErrorIs(t, db.Write(ctx, &b), ErrInvalid)
				_, err := db.PutWithOptions(ctx, []byte("no"), nil, &PutOptions{Seq: max(seq, 1), NoWait: seq == 0})
				if seq > 0 {
					require.ErrorIs(t, err, ErrInvalid)
				} else {
					want["no"] = ""
				}
				gone, cancel := context.WithCancel(ctx)
				cancel()
				require.ErrorIs(t, db.Put(gone, []byte("no"), nil), context.Canceled)
				seq += uint64(2 + i*i)
				k := fmt.Sprintf("%02d", i)
				w, err := db.PutWithOptions(ctx, []byte(k), make([]byte, 150), &PutOptions{Seq: seq, NoWait: i%3 > 0})
				require.NoError(t, err)
				require.Equal(t, seq, w.Seq())
				want[k] = string(make([]byte, 150))
				if i%7 == 6 {
					require.NoError(t, db.FlushWithOptions(ctx, memtableFlush))
					require.Equal(t, seq, db.Status().DurableSeq)
				}
			}
			require.NoError(t, db.Close(ctx))
			db = openScene(t, o)
			require.Equal(t, want, sceneRows(t, db))
			require.Equal(t, seq, db.Status().CommittedSeq)
			sceneAbandon(db)
		})
	}
}

// C6: the nth PUT fails for good, alone or with all behind it. No caller hangs (a hang ends
// the bubble), every later call reports the failure, and a reopen shows a prefix with all
// that was acknowledged.
func TestC6_AFailedPutIsReportedToEveryone(t *testing.T) {
	broken := errors.New("broken for good")
	for _, noWAL := range []bool{false, true} {
		for _, effect := range []faulty.Kind{faulty.ErrorBefore, faulty.ErrorAfter} {
			for _, times := range []int{1, 1 << 20} {
				for n := 1; n <= 20; n++ {
					synctest.Test(t, func(t *testing.T) {
						what := fmt.Sprintf("PUT %d, %d times, %v, WAL off %v", n, times, effect, noWAL)
						ctx := context.Background()
						inner, h := objstore.NewMemory(), &ackHistory{}
						s := faulty.New(inner, nil)
						s.Script(faulty.Rule{Method: "put", Nth: n, Times: times, Kind: effect, Err: objstore.Permanent(broken)})
						o := sceneOptions(s).with(func(o *Options) {
							o.DisableWAL, o.L0SSTSizeBytes, o.MaxUnflushedBytes, o.FlushInterval = noWAL, 600, 3000, 0
						})
						db, err := Open(ctx, "db", o)
						if err != nil {
							require.ErrorIs(t, err, broken, what)
							require.True(t, errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown), "%s: %v", what, err)
						} else {
							c6(t, db, h, what)
						}
						db = openScene(t, o.with(func(o *Options) { o.Store = inner }))
						h.check(t, db, what)
						require.True(t, h.put(db, "on", "v"), what)
						require.NoError(t, h.flush(db), what)
						require.NoError(t, db.Close(ctx))
					})
				}
			}
		}
	}
}

// c6 works on db with several callers until it has failed, and looks at what they are told.
func c6(t *testing.T, db *DB, h *ackHistory, what string) {
	ctx := context.Background()
	watched := make(chan error, 1)
	go func() {
		var last error
		for s := range db.Watch(ctx) {
			last = s.Err
		}
		watched <- last
	}()
	var wg sync.WaitGroup
	failed := func() bool { return db.Status().Err != nil }
	for w := range 3 {
		wg.Go(func() {
			for i := 0; !failed(); i++ {
				h.put(db, fmt.Sprintf("p%d/%d", w, i%9), strings.Repeat("v", 100))
			}
		})
	}
	wg.Go(func() {
		for i := 0; !failed(); i++ {
			if w := h.write(db, modelOp{key: fmt.Sprintf("n/%d", i%9), value: "v"}, modelOp{key: "n", del: true}); w != nil && i%2 == 0 {
				h.await(w)
			}
			_ = db.Flush(ctx)
		}
	})
	wg.Go(func() {
		for !failed() {
			_ = h.flush(db)
			time.Sleep(time.Millisecond)
		}
	})
	lost := h.write(db, modelOp{key: "early", value: "v"})
	wg.Wait()
	err := db.Status().Err
	for name, err := range map[string]error{
		"status": err, "watch": <-watched, "put": db.Put(ctx, []byte("k"), nil), "delete": db.Delete(ctx, []byte("k")),
		"flush": db.Flush(ctx), "flush memtable": db.FlushWithOptions(ctx, memtableFlush), "refresh": db.RefreshManifest(ctx),
		"get":  func() error { _, err := db.Get(ctx, []byte("k")); return err }(),
		"scan": func() error { _, err := db.Scan(ctx, nil, nil); return err }(),
	} {
		require.ErrorIs(t, err, ErrClosed, "%s: %s", what, name)
		require.NotErrorIs(t, err, ErrFenced, "%s: %s: nobody else is there", what, name)
		require.NotErrorIs(t, err, context.Canceled, "%s: %s: that is not the reason", what, name)
		require.True(t, errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown), "%s: %s: %v", what, name, err)
		require.ErrorContains(t, err, "broken for good", "%s: %s: the cause", what, name)
	}
	if lost != nil {
		if err := lost.Await(ctx); err == nil {
			h.acked(lost.Seq())
		} else {
			require.ErrorIs(t, err, ErrClosed, what)
		}
	}
	require.NoError(t, db.Close(ctx), "%s: there is nothing left to flush", what)
}

// C6: two tasks fail at the same moment. Whoever has reported a failure finds one latched:
// waiters that were failed without a reason would take that for an acknowledgement.
func TestC6_TwoFailuresAtOnceLatchAReason(t *testing.T) {
	missed := 0
	for range 3000 {
		h := &handle{}
		start := make(chan struct{})
		var wg sync.WaitGroup
		got := make([]error, 4)
		for i := range got {
			wg.Go(func() {
				<-start
				h.fail(ErrUnavailable)
				got[i] = h.latched()
			})
		}
		close(start)
		wg.Wait()
		for _, err := range got {
			if err == nil {
				missed++
			}
		}
	}
	require.Zero(t, missed)
}

// C6: the PUT that fails is one of the final flush. Close says why.
func TestC6_AFailureInCloseIsReturned(t *testing.T) {
	broken := errors.New("broken for good")
	for _, noWAL := range []bool{false, true} {
		for _, dir := range []string{"db/wal/", "db/compacted/", "db/manifest/"} {
			if noWAL && dir == "db/wal/" {
				continue
			}
			ctx := context.Background()
			inner, h := objstore.NewMemory(), &ackHistory{}
			s := faulty.New(inner, nil)
			db := openScene(t, sceneOptions(s).with(func(o *Options) { o.DisableWAL = noWAL }))
			w := h.write(db, modelOp{key: "k", value: "v"})
			s.Script(faulty.Rule{Method: "put", Key: dir, Err: objstore.Permanent(objstore.NoEffect(broken))})
			err := db.Close(ctx)
			require.ErrorIs(t, err, broken, "%s, WAL off %v", dir, noWAL)
			require.ErrorIs(t, err, ErrUnavailable, "%s, WAL off %v", dir, noWAL)
			durable := !noWAL && dir != "db/wal/"
			if err := w.Await(ctx); durable {
				require.NoError(t, err)
				h.acked(w.Seq())
			} else {
				require.ErrorIs(t, err, broken, "a waiter learns why")
			}
			require.ErrorIs(t, db.Close(ctx), broken, "the second call says the same")
			db = openScene(t, sceneOptions(inner))
			h.check(t, db, dir)
			require.Equal(t, durable, len(sceneRows(t, db)) == 1)
			sceneAbandon(db)
		}
	}
}

// C7: written and durable are two answers. Each kind of call, then a crash at once: what is
// durable survives it, what is only written may be gone and never said otherwise.
func TestC7_WrittenIsNotDurable(t *testing.T) {
	ctx := context.Background()
	k, v := []byte("k"), []byte("v")
	var b WriteBatch
	b.Put(k, v)
	calls := []struct {
		name    string
		durable bool
		f       func(db *DB) (WriteHandle, error)
	}{
		{"Put", true, func(db *DB) (WriteHandle, error) { return WriteHandle{}, db.Put(ctx, k, v) }},
		{"PutWithOptions", true, func(db *DB) (WriteHandle, error) { return db.PutWithOptions(ctx, k, v, nil) }},
		{"PutWithOptions NoWait", false, func(db *DB) (WriteHandle, error) { return db.PutWithOptions(ctx, k, v, noWait) }},
		{"PutWithOptions NoWait, Await", true, func(db *DB) (WriteHandle, error) {
			h, err := db.PutWithOptions(ctx, k, v, noWait)
			return h, errors.Join(err, h.Await(ctx))
		}},
		{"PutWithOptions NoWait, Flush", true, func(db *DB) (WriteHandle, error) {
			h, err := db.PutWithOptions(ctx, k, v, noWait)
			return h, errors.Join(err, db.Flush(ctx))
		}},
		{"Write", true, func(db *DB) (WriteHandle, error) { return WriteHandle{}, db.Write(ctx, &b) }},
		{"WriteWithOptions NoWait", false, func(db *DB) (WriteHandle, error) {
			return db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: true})
		}},
		{"WriteWithOptions NoWait, memtable flush", true, func(db *DB) (WriteHandle, error) {
			h, err := db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: true})
			return h, errors.Join(err, db.FlushWithOptions(ctx, memtableFlush))
		}},
	}
	for _, noWAL := range []bool{false, true} {
		for _, c := range calls {
			inner := objstore.NewMemory()
			s := faulty.New(inner, nil)
			db := openScene(t, sceneOptions(s).with(func(o *Options) { o.DisableWAL = noWAL }))
			w, err := c.f(db)
			require.NoError(t, err, c.name)
			got, err := db.Get(ctx, k)
			require.NoError(t, err, "%s: written means visible here", c.name)
			require.Equal(t, "v", string(got))
			_, err = db.GetWithOptions(ctx, k, &ReadOptions{Durability: DurabilityRemote})
			require.Equal(t, c.durable, err == nil, c.name)
			s.Crash()
			sceneAbandon(db)
			if err := w.Await(ctx); c.durable {
				require.NoError(t, err, "%s: the true outcome, after the end too", c.name)
			} else {
				require.ErrorIs(t, err, ErrClosed, c.name)
			}
			re := openScene(t, sceneOptions(inner))
			require.Equal(t, c.durable, len(sceneRows(t, re)) == 1, "%s, WAL off %v", c.name, noWAL)
			sceneAbandon(re)
		}
	}
}

// C8: no timer at all. What is asked for is done all the same, and only that.
func TestC8_ManualFlushWorksWithoutTimers(t *testing.T) {
	for _, noWAL := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			inner := objstore.NewMemory()
			s := faulty.New(inner, nil)
			o := sceneOptions(s).with(func(o *Options) { o.DisableWAL = noWAL })
			db := openScene(t, o)
			opened := s.Requests()
			w, err := db.PutWithOptions(ctx, []byte("1"), nil, noWait)
			require.NoError(t, err)
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			require.Equal(t, opened, s.Requests(), "nobody asked for anything")
			require.Less(t, db.Status().DurableSeq, w.Seq())
			start := time.Now()
			require.NoError(t, db.Flush(ctx))
			require.NoError(t, w.Await(ctx))
			require.NoError(t, db.Put(ctx, []byte("2"), nil))
			w, err = db.PutWithOptions(ctx, []byte("3"), nil, noWait)
			require.NoError(t, err)
			require.NoError(t, db.FlushWithOptions(ctx, memtableFlush))
			require.NoError(t, w.Await(ctx))
			_, err = db.PutWithOptions(ctx, []byte("4"), nil, noWait)
			require.NoError(t, err)
			require.NoError(t, db.Close(ctx))
			require.Zero(t, time.Since(start), "no timer is waited for")
			db = openScene(t, o)
			require.Len(t, sceneRows(t, db), 4)
			sceneAbandon(db)
		})
	}
}
