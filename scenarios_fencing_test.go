package slatedb

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// The fencing scenarios A1-A12 on the level of the engine. Their parts that concern one
// package alone are tested there under the same ids.

// A1: the write of a stalled writer lands behind the replay point of its successor, where no
// replay would ever look for it.
func TestA1_PausedWriterIsFencedNotAcked(t *testing.T) {
	ctx := context.Background()
	for _, kind := range []faulty.Kind{faulty.Block, faulty.BlockAfter} {
		inner := objstore.NewMemory()
		s := faulty.New(inner, nil)
		w1 := openScene(t, sceneOptions(s))
		require.NoError(t, w1.Put(ctx, []byte("before"), []byte("1")))
		release := make(chan struct{})
		r := s.Script(faulty.Rule{Method: "put", Key: "db/wal/", Nth: 1, Kind: kind, Release: release})
		acked := make(chan error, 1)
		go func() { acked <- w1.Put(ctx, []byte("k"), []byte("1")) }()
		awaitScene(t, r.Reached(), "the WAL PUT")

		w2 := openScene(t, sceneOptions(inner))
		for i := range 5 {
			require.NoError(t, w2.Put(ctx, fmt.Appendf(nil, "w2/%d", i), nil))
			require.NoError(t, w2.FlushWithOptions(ctx, memtableFlush))
		}
		require.Positive(t, sceneCollectWAL(t, inner, false))
		close(release)
		err := <-acked
		if kind == faulty.Block {
			require.ErrorIs(t, err, ErrFenced)
			_, err = w2.Get(ctx, []byte("k"))
			require.ErrorIs(t, err, ErrNotFound)
		} else { // it had landed before the second writer came: an ack is true then
			require.NoError(t, err)
			_, err = w2.Get(ctx, []byte("k"))
			require.NoError(t, err)
		}
		require.ErrorIs(t, w1.Put(ctx, []byte("k2"), nil), ErrFenced)
		want := sceneRows(t, w2)
		require.Contains(t, want, "before")
		require.NoError(t, w2.Close(ctx))
		require.Equal(t, want, sceneRows(t, openScene(t, sceneOptions(inner))))
	}
}

// A2: two writers open at the same time. One is stopped at each point of its opening while
// the other runs to its end; either may be the first to begin. One usable writer results.
func TestA2_TwoOpensInEveryOrder(t *testing.T) {
	ctx := context.Background()
	for _, fresh := range []bool{true, false} {
		c := zombieCase{fresh: fresh}
		record := newPointGate()
		s, _ := c.store(t)
		sceneAbandon(openScene(t, sceneOptions(s).with(func(o *Options) { o.onPoint = record.point })))
		trace := record.passed()
		require.Greater(t, len(trace), 6)
		// i: where a is stopped first; j: where b is stopped while a runs to its end (len =
		// nowhere, b runs to its end first).
		for i := range trace {
			for j := range len(trace) + 1 {
				s, acked := c.store(t)
				ga, gb := newPointGate(), newPointGate()
				ga.stop = func(n int, _ string) bool { return n == i }
				gb.stop = func(n int, _ string) bool { return n == j }
				var db [2]*DB
				var err [2]error
				var done [2]chan struct{}
				open := func(k int, g *pointGate) {
					done[k] = make(chan struct{})
					go func() {
						defer close(done[k])
						db[k], err[k] = Open(ctx, "db", sceneOptions(s).with(func(o *Options) { o.onPoint = g.point }))
					}()
				}
				where := fmt.Sprintf("fresh=%v, a stopped at %d, b at %d of %v", fresh, i, j, trace)
				open(0, ga)
				awaitScene(t, ga.hit, where)
				open(1, gb)
				awaitScene(t, firstOf(gb.hit, done[1]), where)
				ga.release()
				awaitScene(t, done[0], where)
				gb.release()
				awaitScene(t, done[1], where)

				usable := 0
				for k := range db {
					if err[k] != nil {
						require.ErrorIs(t, err[k], ErrFenced, where)
						continue
					}
					key := fmt.Sprintf("by/%d", k)
					if perr := db[k].Put(ctx, []byte(key), []byte("v")); perr == nil {
						usable++
						acked[key] = "v"
					} else {
						require.ErrorIs(t, perr, ErrFenced, where)
					}
				}
				require.Equal(t, 1, usable, where)
				sceneAbandon(db[0])
				sceneAbandon(db[1])
				last := openScene(t, sceneOptions(s))
				require.Equal(t, acked, sceneRows(t, last), where)
				sceneAbandon(last)
			}
		}
	}
}

// A3: between the look at the end of the log and the fence the old writer flushes and the
// log below its new replay point is collected. A fence in that hole would stop nobody.
func TestA3_FenceIsAboveAReplayPointThatMoved(t *testing.T) {
	ctx := context.Background()
	for _, at := range []string{"open.before-claim", "open.after-claim", "wal.fence.before-put"} {
		s := objstore.NewMemory()
		w1 := openScene(t, sceneOptions(s))
		acked := map[string]string{}
		work := func() (err error) {
			for i := range 3 {
				k := fmt.Sprintf("%s/%d", at, i)
				if err = w1.Put(ctx, []byte(k), []byte("v")); err == nil {
					acked[k] = "v"
				}
				err = errors.Join(err, w1.FlushWithOptions(ctx, memtableFlush))
			}
			sceneCollectWAL(t, s, false)
			return err
		}
		g := newPointGate()
		g.do = func(_ int, name string) {
			if name != at {
				return
			}
			before := sceneManifest(t, s).ReplayAfterWAL
			err := work()
			if at == "open.before-claim" {
				require.NoError(t, err)
				require.Greater(t, sceneManifest(t, s).ReplayAfterWAL, before+2)
			} else {
				require.ErrorIs(t, err, ErrFenced, "the epoch is claimed: nothing moves the replay point")
				require.Equal(t, before, sceneManifest(t, s).ReplayAfterWAL)
			}
		}
		w2 := openScene(t, sceneOptions(s).with(func(o *Options) { o.onPoint = g.point }))
		require.Greater(t, w2.fence, sceneManifest(t, s).ReplayAfterWAL, at)
		requireRows(t, acked, sceneRows(t, w2), "at %s", at)
		require.ErrorIs(t, w1.Put(ctx, []byte("late"), nil), ErrFenced)
		require.NoError(t, w2.Put(ctx, []byte("w2"), []byte("v")))
		acked["w2"] = "v"
		sceneAbandon(w2)
		require.Equal(t, acked, sceneRows(t, openScene(t, sceneOptions(s))), at)
	}
}

// A4: the old writer goes on writing while a new one opens, at each of its points and next
// to it. Every durable acknowledgement is in the new one.
func TestA4_EveryDurableAckSurvivesATakeover(t *testing.T) {
	ctx := context.Background()
	s := objstore.NewMemory()
	acked := map[string]string{}
	n := 0
	db := openScene(t, sceneOptions(s))
	for round := range 10 {
		old := db
		put := func() {
			for range 2 {
				n++
				k := fmt.Sprintf("%04d", n)
				if err := old.Put(ctx, []byte(k), []byte("v")); err == nil {
					acked[k] = "v"
				} else {
					require.ErrorIs(t, err, ErrFenced)
				}
			}
		}
		// In odd rounds the old writer runs beside the opener, in even ones in its steps.
		g := newPointGate()
		started, ended := make(chan struct{}), make(chan struct{})
		if round%2 == 0 {
			put()
			close(started)
			close(ended)
			g.do = func(int, string) { put() }
		} else {
			go func() {
				defer close(ended)
				put()
				close(started)
				for old.Status().Err == nil {
					put()
				}
			}()
		}
		<-started
		db = openScene(t, sceneOptions(s).with(func(o *Options) { o.onPoint = g.point }))
		g.mu.Lock()
		g.do = nil
		g.mu.Unlock()
		<-ended
		require.ErrorIs(t, old.Put(ctx, []byte("late"), nil), ErrFenced)
		require.NotEmpty(t, acked)
		requireRows(t, acked, sceneRows(t, db), "round %d", round)
		require.NotContains(t, sceneRows(t, db), "late")
		sceneAbandon(old)
	}
}

// A5: a third writer opens, flushes and has the log collected while the second one replays
// it. The second is fenced; the log is not corrupt and nothing is "not found".
func TestA5_ReplayOfACollectedLogIsFenced(t *testing.T) {
	ctx := context.Background()
	const logs = 12
	prepare := func() objstore.Store {
		inner := objstore.NewMemory()
		w1 := openScene(t, sceneOptions(inner))
		for i := range logs {
			require.NoError(t, w1.Put(ctx, fmt.Appendf(nil, "%02d", i), []byte("v")))
		}
		sceneAbandon(w1)
		return inner
	}
	for nth := 1; nth <= logs; nth++ {
		inner := prepare()
		s := faulty.New(inner, nil)
		release := make(chan struct{})
		r := s.Script(faulty.Rule{Method: "get", Key: "db/wal/", Nth: nth, Times: 100, Kind: faulty.Block, Release: release})
		second, fenced := make(chan error, 1), make(chan struct{})
		go func() {
			db, err := Open(ctx, "db", sceneOptions(s).with(func(o *Options) {
				o.onPoint = func(name string) {
					if name == "open.after-fence" {
						close(fenced)
					}
				}
			}))
			sceneAbandon(db)
			second <- err
		}()
		// The log is fetched from before the claim on.
		awaitScene(t, fenced, "the fence")
		awaitScene(t, r.Reached(), "the replay")
		w3 := openScene(t, sceneOptions(inner))
		require.NoError(t, w3.FlushWithOptions(ctx, memtableFlush))
		require.Greater(t, sceneCollectWAL(t, inner, false), logs-3)
		close(release)
		err := <-second
		require.ErrorIs(t, err, ErrFenced, "get %d", nth)
		require.NotErrorIs(t, err, ErrNotFound)
		require.Len(t, sceneRows(t, w3), logs)
		require.NoError(t, w3.Put(ctx, []byte("on"), nil))
		sceneAbandon(w3)
	}
}

// A6: an incumbent that writes the manifest before each attempt of the opener. The opener
// ends with a typed error within its bound, and has fenced nobody.
func TestA6_ABusyIncumbentMakesTheOpenerGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := objstore.NewMemory()
		w1 := openScene(t, sceneOptions(s))
		require.NoError(t, w1.Put(ctx, []byte("k"), []byte("v")))
		busy, rounds := true, 0
		g := newPointGate()
		g.do = func(_ int, name string) {
			if name == "manifest.before-put" && busy {
				rounds++
				require.NoError(t, w1.Put(ctx, fmt.Appendf(nil, "%d", rounds), nil))
				require.NoError(t, w1.FlushWithOptions(ctx, memtableFlush))
			}
		}
		o := sceneOptions(s).with(func(o *Options) { o.onPoint, o.ManifestUpdateTimeout = g.point, 5*time.Second })
		start := time.Now()
		_, err := Open(ctx, "db", o)
		require.ErrorIs(t, err, ErrUnavailable)
		require.NotErrorIs(t, err, ErrFenced)
		require.LessOrEqual(t, time.Since(start), 6*time.Second)
		require.Greater(t, rounds, 5)
		require.NoError(t, w1.Put(ctx, []byte("still"), []byte("v")))
		require.NoError(t, w1.RefreshManifest(ctx))

		busy = false
		w2 := openScene(t, o)
		require.Len(t, sceneRows(t, w2), rounds+2)
		require.ErrorIs(t, w1.Put(ctx, []byte("late"), nil), ErrFenced)
		sceneAbandon(w1)
		sceneAbandon(w2)
	})
}

// eachPoint runs a script of open, put, flush and close once for each named point that it
// passes, and calls event there.
func eachPoint(t *testing.T, event func(s objstore.Store, i int)) {
	ctx := context.Background()
	script := func(o *Options) {
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		for i := range 3 {
			require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "%d", i), []byte("v")))
			require.NoError(t, db.FlushWithOptions(ctx, memtableFlush))
		}
		require.NoError(t, db.Put(ctx, []byte("last"), []byte("v")))
		require.NoError(t, db.Close(ctx))
	}
	for _, noWAL := range []bool{false, true} {
		prepare := func() *Options {
			s := objstore.NewMemory()
			_, err := sceneManifests(s).Create(ctx, manifest.New(""))
			require.NoError(t, err)
			return sceneOptions(s).with(func(o *Options) { o.DisableWAL = noWAL })
		}
		record := newPointGate()
		script(prepare().with(func(o *Options) { o.onPoint = record.point }))
		trace := record.passed()
		require.Greater(t, len(trace), 20)
		for i := range trace {
			o := prepare()
			g := newPointGate()
			g.do = func(n int, _ string) {
				if n == i {
					event(o.Store, i)
				}
			}
			o.onPoint = g.point
			script(o)
			o.onPoint = nil
			db := openScene(t, o)
			require.Equal(t, map[string]string{"0": "v", "1": "v", "2": "v", "last": "v"}, sceneRows(t, db), "%s", trace[i])
			sceneAbandon(db)
		}
	}
}

// A7: another process writes checkpoints at each step of open, flush and close. No conflict
// reaches the user, and no checkpoint gets lost in a merge.
func TestA7_CheckpointsOfOthersNeverDisturb(t *testing.T) {
	n := 0
	eachPoint(t, func(s objstore.Store, i int) {
		n++
		ms := sceneManifests(s)
		a, b := uuid.New(), uuid.New()
		scenePin(t, ms, a)
		scenePin(t, ms, b)
		t.Cleanup(func() {
			m := sceneManifest(t, s)
			require.NotNil(t, m.Checkpoint(a), "point %d", i)
			require.NotNil(t, m.Checkpoint(b), "point %d", i)
			require.Len(t, m.Checkpoints, 2)
		})
	})
	require.Greater(t, n, 40)
}

// A8: a compactor starts beside the running writer, and then another one. The writer stays
// usable, and of the compactors the newest wins.
func TestA8_ASecondCompactorLeavesTheWriterAlone(t *testing.T) {
	ctx := context.Background()
	eachPoint(t, func(s objstore.Store, i int) {
		before := sceneManifest(t, s)
		first, err := sceneManifests(s).AcquireCompactor(ctx, manifest.AcquireOptions{})
		require.NoError(t, err)
		second, err := sceneManifests(s).AcquireCompactor(ctx, manifest.AcquireOptions{})
		require.NoError(t, err)
		_, err = first.Refresh(ctx)
		require.ErrorIs(t, err, ErrFenced)
		_, err = first.Update(ctx, func(*manifest.Manifest) error { return nil })
		require.ErrorIs(t, err, ErrFenced)
		m, err := second.Refresh(ctx)
		require.NoError(t, err)
		require.Equal(t, before.CompactorEpoch+2, m.CompactorEpoch)
		require.Equal(t, before.WriterEpoch, m.WriterEpoch)
		t.Cleanup(func() {
			m, err := second.Refresh(ctx)
			require.NoError(t, err, "point %d: the writer has fenced a compactor", i)
			require.Equal(t, second.Epoch(), m.CompactorEpoch)
		})
	})
}

// A9: callers that wait for room in memory, for L0 or for durability get a typed error
// within a second when the handle is fenced, and at once when it is closed.
func TestA9_BlockedCallsWakeUpAtAFence(t *testing.T) {
	for _, noWAL := range []bool{false, true} {
		for _, closed := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				inner := objstore.NewMemory()
				o := sceneOptions(inner).with(func(o *Options) {
					o.DisableWAL, o.L0MaxSSTs, o.L0SSTSizeBytes, o.MaxUnflushedBytes = noWAL, 1, 4<<10, 16<<10
					o.ManifestPollInterval, o.FlushInterval = 0, 0
				})
				db := openScene(t, o)
				require.NoError(t, db.Put(ctx, []byte("k"), nil))
				require.NoError(t, db.FlushWithOptions(ctx, memtableFlush)) // L0 is full now
				full, cancel := context.WithTimeout(ctx, time.Minute)
				for full.Err() == nil {
					_, err := db.PutWithOptions(full, []byte("fill"), make([]byte, 1000), noWait)
					if err != nil {
						require.ErrorIs(t, err, context.DeadlineExceeded, "nothing is ever refused")
					}
				}
				cancel()
				calls := map[string]func() error{
					"put": func() error { return db.Put(ctx, []byte("a"), make([]byte, 1000)) },
					"put nowait": func() error {
						_, err := db.PutWithOptions(ctx, []byte("a"), make([]byte, 1000), noWait)
						return err
					},
					"delete": func() error { return db.Delete(ctx, make([]byte, 1000)) },
					"write": func() error {
						var b WriteBatch
						b.Put([]byte("b"), make([]byte, 2000))
						return db.Write(ctx, &b)
					},
					"flush memtable": func() error { return db.FlushWithOptions(ctx, memtableFlush) },
				}
				type end struct {
					name string
					err  error
					at   time.Time
				}
				ends := make(chan end, len(calls))
				for name, f := range calls {
					go func() { err := f(); ends <- end{name, err, time.Now()} }()
				}
				synctest.Wait()
				time.Sleep(20 * time.Second) // let every poll back off
				synctest.Wait()
				require.Empty(t, ends, "all of them wait")

				start := time.Now()
				if closed {
					cctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
					defer cancel()
					err := db.Close(cctx)
					if noWAL {
						require.ErrorIs(t, err, context.DeadlineExceeded, "rows are lost, and Close says so")
					} else {
						require.NoError(t, err, "the rows are in the log")
					}
				} else {
					w2 := openScene(t, sceneOptions(inner))
					defer sceneAbandon(w2)
				}
				for range calls {
					e := <-ends
					require.ErrorIs(t, e.err, ErrClosed, e.name)
					if !closed {
						require.ErrorIs(t, e.err, ErrFenced, e.name)
					}
					require.LessOrEqual(t, e.at.Sub(start), time.Second, e.name)
				}
				sceneAbandon(db)
			})
		}
	}
}

// A10: after a takeover every call of the old handle says so, once it has touched the store.
func TestA10_EveryCallOfAFencedHandleSaysSo(t *testing.T) {
	ctx := context.Background()
	k := []byte("k")
	var b WriteBatch
	b.Put(k, nil)
	calls := []struct {
		name    string
		touches bool // it needs the store, so it is the first to find out
		f       func(db *DB) error
	}{
		{"Put", true, func(db *DB) error { return db.Put(ctx, k, nil) }},
		{"PutWithOptions", true, func(db *DB) error { _, err := db.PutWithOptions(ctx, k, nil, nil); return err }},
		{"Delete", true, func(db *DB) error { return db.Delete(ctx, k) }},
		{"DeleteWithOptions", true, func(db *DB) error { _, err := db.DeleteWithOptions(ctx, k, nil); return err }},
		{"Write", true, func(db *DB) error { return db.Write(ctx, &b) }},
		{"WriteWithOptions, Await", true, func(db *DB) error {
			h, err := db.WriteWithOptions(ctx, &b, &WriteOptions{NoWait: true})
			if err != nil {
				return err
			}
			return h.Await(ctx)
		}},
		{"Flush behind a NoWait put", true, func(db *DB) error {
			if _, err := db.PutWithOptions(ctx, k, nil, noWait); err != nil {
				return err
			}
			return db.Flush(ctx)
		}},
		{"memtable flush", true, func(db *DB) error { return db.FlushWithOptions(ctx, memtableFlush) }},
		{"RefreshManifest", true, func(db *DB) error { return db.RefreshManifest(ctx) }},
		{"Flush", false, func(db *DB) error { return db.Flush(ctx) }},
		{"empty Write", false, func(db *DB) error { return db.Write(ctx, &WriteBatch{}) }},
		{"Get", false, func(db *DB) error { _, err := db.Get(ctx, k); return err }},
		{"GetWithOptions", false, func(db *DB) error {
			_, err := db.GetWithOptions(ctx, k, &ReadOptions{Durability: DurabilityRemote})
			return err
		}},
		{"AppendGet", false, func(db *DB) error { _, err := db.AppendGet(ctx, nil, k, nil); return err }},
		{"GetEntry", false, func(db *DB) error { _, err := db.GetEntry(ctx, k, nil); return err }},
		{"Has", false, func(db *DB) error { _, err := db.Has(ctx, k); return err }},
		{"MultiGet", false, func(db *DB) error { _, err := db.MultiGet(ctx, [][]byte{k}, nil); return err }},
		{"Scan", false, func(db *DB) error { _, err := db.Scan(ctx, nil, nil); return err }},
		{"ScanPrefix", false, func(db *DB) error { _, err := db.ScanPrefix(ctx, k); return err }},
		{"ScanWithOptions", false, func(db *DB) error { _, err := db.ScanWithOptions(ctx, All, nil); return err }},
		{"Entries", false, func(db *DB) (last error) {
			for _, err := range db.Entries(ctx, All, nil) {
				last = err
			}
			return last
		}},
		{"Status", false, func(db *DB) error { return db.Status().Err }},
		{"Watch", false, func(db *DB) (last error) {
			for s := range db.Watch(ctx) { // ends by itself after a Status with Err
				last = s.Err
			}
			return last
		}},
	}
	for _, noWAL := range []bool{false, true} {
		for _, first := range calls {
			if !first.touches {
				continue
			}
			inner := objstore.NewMemory()
			o := sceneOptions(inner).with(func(o *Options) { o.DisableWAL = noWAL })
			old := openScene(t, o)
			require.NoError(t, old.Put(ctx, k, []byte("v")))
			pending, err := old.PutWithOptions(ctx, []byte("pending"), []byte("v"), noWait) // for the memtable flush
			require.NoError(t, err)
			watched := make(chan error, 1)
			go func() {
				var last Status
				for s := range old.Watch(ctx) {
					last = s
				}
				watched <- last.Err
			}()
			w2 := openScene(t, o)
			require.ErrorIs(t, first.f(old), ErrFenced, "first: %s", first.name)
			for _, c := range calls {
				err := c.f(old)
				require.ErrorIs(t, err, ErrFenced, "%s after %s", c.name, first.name)
				require.ErrorIs(t, err, ErrClosed, "%s after %s", c.name, first.name)
			}
			require.ErrorIs(t, pending.Await(ctx), ErrFenced, "a write that got lost")
			require.ErrorIs(t, <-watched, ErrFenced)
			require.NoError(t, old.Close(ctx), "there is nothing to flush")
			require.ErrorIs(t, old.Put(ctx, k, nil), ErrFenced, "the reason stays")
			require.Equal(t, map[string]string{"k": "v"}, sceneRows(t, w2))
			sceneAbandon(w2)
		}
	}
}

// A11: the id that a stopped process wants to write was used and collected meanwhile, so its
// create-if-absent succeeds. The boundary file says that the id is dead.
func TestA11_AReusedManifestIDIsAConflict(t *testing.T) {
	ctx := context.Background()
	for _, opener := range []bool{false, true} {
		s := objstore.NewMemory()
		acked := map[string]string{"base": "v"}
		base := openScene(t, sceneOptions(s))
		require.NoError(t, base.Put(ctx, []byte("base"), []byte("v")))
		require.NoError(t, base.Close(ctx))

		g := parkAtPoint("manifest.before-put", 1) // the claim
		if !opener {
			g = parkAtPoint("manifest.before-put", 2) // the install of the first flush
		}
		var w1 *DB
		var openErr, flushErr error
		done := make(chan struct{})
		go func() {
			defer close(done)
			if w1, openErr = Open(ctx, "db", sceneOptions(s).with(func(o *Options) { o.onPoint = g.point })); openErr != nil || opener {
				return
			}
			if err := w1.Put(ctx, []byte("w1"), []byte("v")); err == nil {
				acked["w1"] = "v"
			}
			flushErr = w1.FlushWithOptions(ctx, memtableFlush)
		}()
		awaitScene(t, g.hit, "the manifest PUT")
		wanted := sceneManifest(t, s).ID + 1
		w2 := openScene(t, sceneOptions(s))
		for i := range 3 {
			k := fmt.Sprintf("w2/%d", i)
			require.NoError(t, w2.Put(ctx, []byte(k), []byte("v")))
			acked[k] = "v"
			require.NoError(t, w2.FlushWithOptions(ctx, memtableFlush))
		}
		sceneCollectManifests(t, s)
		sceneCollectWAL(t, s, false)
		require.NotContains(t, sceneObjects(t, s, "manifest"), wanted)
		require.GreaterOrEqual(t, sceneManifest(t, s).ID, wanted+3)
		g.release()
		awaitScene(t, done, "the stopped writer")
		require.NoError(t, openErr)
		require.Contains(t, sceneObjects(t, s, "manifest"), wanted, "the PUT of the dead id did succeed")
		alive := w2
		if opener {
			alive = w1
			require.ErrorIs(t, w2.Put(ctx, []byte("late"), nil), ErrFenced, "the opener claimed later, on the newest version")
			require.Equal(t, w2.fenced.Epoch()+1, w1.fenced.Epoch())
		} else {
			require.ErrorIs(t, flushErr, ErrFenced)
			require.ErrorIs(t, w1.Put(ctx, []byte("late"), nil), ErrFenced)
		}
		require.Equal(t, acked, sceneRows(t, alive))
		// The dead version misleads no newcomer, and a boundary file that went missing does
		// not make it valid for a process that has seen the file.
		require.NoError(t, s.Delete(ctx, sceneManifests(s).Boundary().Key()))
		require.NoError(t, alive.RefreshManifest(ctx))
		require.NoError(t, alive.Put(ctx, []byte("on"), []byte("v")))
		acked["on"] = "v"
		require.NoError(t, alive.FlushWithOptions(ctx, memtableFlush))
		require.NoError(t, alive.Close(ctx))
		last := openScene(t, sceneOptions(s))
		require.Equal(t, acked, sceneRows(t, last))
		sceneAbandon(last)
	}
}

// A12: fences are collected too, and a writer comes back after that. Its PUT succeeds at an
// id that no replay will ever read, so the PUT alone must not be an acknowledgement. It stood
// still before the write began, in front of its PUT, or behind it; and the collector may have deleted the manifests
// of the successor without a trace.
func TestA12_AWriterThatSleptPastTheFencesLooksAgain(t *testing.T) {
	for _, asleep := range []string{"", "wal.before-put", "wal.after-put"} {
		for _, boundaries := range []bool{true, false} {
			t.Run(fmt.Sprintf("%q, boundary files %t", asleep, boundaries), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { sleepPastTheFences(t, asleep, boundaries) })
			})
		}
	}
}

func sleepPastTheFences(t *testing.T, asleep string, boundaries bool) {
	ctx := context.Background()
	s := objstore.NewMemory()
	g := newPointGate()
	late := false
	g.stop = func(_ int, name string) bool { return late && name == asleep }
	w1 := openScene(t, sceneOptions(s).with(func(o *Options) { o.onPoint = g.point })) // it polls nothing, as if it slept
	require.NoError(t, w1.Put(ctx, []byte("early"), nil))
	wanted := w1.walPosition() + 1
	late = true
	done := make(chan error, 1)
	put := func() { done <- w1.Put(ctx, []byte("late"), nil) }
	if asleep != "" {
		go put()
		awaitScene(t, g.hit, asleep)
	}
	if asleep == "wal.after-put" {
		wanted++ // its own object is there, and the fence behind it
	}

	w2 := openScene(t, sceneOptions(s))
	for i := range 3 {
		require.NoError(t, w2.Put(ctx, fmt.Appendf(nil, "w2/%d", i), nil))
		require.NoError(t, w2.FlushWithOptions(ctx, memtableFlush))
	}
	require.Contains(t, sceneObjects(t, s, "wal"), wanted, "the fence")
	time.Sleep(10 * time.Minute)
	a, err := NewAdmin("db", &AdminOptions{Store: s, Logger: quiet})
	require.NoError(t, err)
	_, err = a.RunGCOnce(ctx, &GCOptions{DeleteWALFences: true, DisableBoundaryFiles: !boundaries})
	require.NoError(t, err)
	require.NotContains(t, sceneObjects(t, s, "wal"), wanted, "the fence is gone")
	require.NotContains(t, sceneObjects(t, s, "manifest"), w1.fenced.Current().ID+1, "and what it would ask for first")

	if asleep == "" {
		go put()
	} else {
		g.release()
	}
	err = <-done
	got := sceneRows(t, w2)
	require.Contains(t, got, "early")
	if asleep == "wal.after-put" {
		// Its PUT came before the fence, and the successor has replayed it. It is not vouched for all the same.
		require.Contains(t, got, "late")
	} else {
		require.Contains(t, sceneObjects(t, s, "wal"), wanted, "its PUT did succeed")
		require.NotContains(t, got, "late")
	}
	require.ErrorIs(t, err, ErrFenced)
	require.ErrorIs(t, w1.Put(ctx, []byte("later"), nil), ErrFenced)
	require.NoError(t, w2.Close(ctx))
	require.Equal(t, got, sceneRows(t, openScene(t, sceneOptions(s))), "the stray object is below the replay point")
}
