package compactor

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// checkHistory reads every manifest version that was ever stored.
func (w *world) checkHistory() {
	w.t.Helper()
	vs, err := w.man.List(context.Background(), 0, 0)
	require.NoError(w.t, err)
	for _, v := range vs {
		m, err := w.man.Read(context.Background(), v.ID)
		require.NoError(w.t, err)
		require.Equal(w.t, w.model(m.LastL0Seq), w.read(m, m.LastL0Seq), "manifest %d", v.ID)
		for _, c := range m.Checkpoints {
			require.LessOrEqual(w.t, c.ManifestID, m.ID)
		}
	}
}

// The process of coordinator and worker dies at each store request of a job, before or after
// it took effect; the next one finishes the work. Every manifest reads like the model.
func TestCrashAtEachRequest(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			if testing.Short() && n%7 != 0 {
				continue
			}
			crashed := false
			t.Run(fmt.Sprintf("after=%v/%d", after, n), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					for range 6 {
						w.flush(w.batch(25, true)...)
						time.Sleep(10 * time.Millisecond)
					}
					w.hold(w.seq - 30)
					dying := faulty.New(w.store, w.env)
					dying.CrashAt(n, after)
					o := Options{Worker: &WorkerOptions{MaxSSTBytes: 700, MinSubcompactionBytes: -1, HeartbeatInterval: 50 * time.Millisecond}}
					dying.Script(faulty.Rule{Method: "put", Key: "compacted/", Kind: faulty.Delay, Delay: 40 * time.Millisecond})
					conf := w.config(dying, 2)
					stop := w.start(New(conf, o).Run)
					time.Sleep(20 * time.Second)
					crashed = dying.Crashed()
					if err := stop(); err != nil {
						require.ErrorIs(t, err, faulty.ErrCrashed)
					}
					w.check()
					w.flush(w.batch(25, true)...)
					w.flush(w.batch(25, true)...)

					o.Worker.MaxSSTBytes = 900
					stop = w.start(New(w.config(w.store, 3), o).Run)
					time.Sleep(time.Minute)
					w.checkHistory()
					w.check()
					require.LessOrEqual(t, len(w.latest().Root.L0), 3)
					require.NoError(t, stop())
				})
			})
			if !crashed || t.Failed() {
				require.Greater(t, n, 20, "the job is longer than that")
				break
			}
		}
	}
}

// slow delays the upload of tables, so that jobs last.
func slow(s *faulty.Store, d time.Duration) *faulty.Active {
	return s.Script(faulty.Rule{Method: "put", Key: "compacted/", Kind: faulty.Delay, Delay: d})
}

// runningJob waits for a job that has recorded at least n outputs and returns it.
func (w *world) runningJob(n int) (j manifest.Compaction) {
	eventually(w.t, time.Minute, func() bool {
		for _, x := range w.list().Jobs {
			if x.Status == manifest.Running && x.Context != nil && len(recorded(&x)) >= n {
				j = x
				return true
			}
		}
		return false
	})
	return j
}

func recorded(j *manifest.Compaction) (ids []ulid.ULID) {
	for _, r := range j.Context.Ranges {
		for _, h := range r.Outputs {
			ids = append(ids, h.ID.ULID())
		}
	}
	return ids
}

// A worker dies in the middle; another one goes on from the last recorded output.
func TestF6_KilledWorkerIsResumed(t *testing.T) {
	for _, parts := range []int{1, 4} {
		t.Run(fmt.Sprintf("subcompactions=%d", parts), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				for range 4 {
					w.flush(w.batch(200, true)...)
				}
				w.hold(w.seq / 2)
				coordinator := w.start(New(w.config(w.store, 2), Options{DisableWorker: true}).Run)
				o := WorkerOptions{MaxSSTBytes: 400, MaxSubcompactions: parts, MinSubcompactionBytes: -1, HeartbeatInterval: 200 * time.Millisecond}
				dying := faulty.New(w.store, w.env)
				slow(dying, 700*time.Millisecond)
				stopA := w.start(NewWorker(w.config(dying, 3), o).Run)
				job := w.runningJob(3)
				dying.Crash()
				w.hold(w.seq) // it moved on: the plan keeps what was sampled
				fresh := countingStore(w.store)
				fresh.Record(true)
				stopB := w.start(NewWorker(w.config(fresh, 4), o).Run)
				eventually(t, 2*time.Minute, func() bool { return len(w.latest().Root.Runs) == 1 })
				require.ErrorIs(t, stopA(), faulty.ErrCrashed)
				run := w.latest().Root.Runs[0]
				have := map[ulid.ULID]bool{}
				for _, v := range run.Views {
					have[v.ID] = true
				}
				for _, id := range recorded(&job) {
					require.True(t, have[id], "recorded output %s was kept", id)
				}
				written := 0
				for _, r := range fresh.Log() {
					if r.Method == "put" && r.Key[:3] == "db/" && r.Key[3:13] == "compacted/" {
						written++
					}
				}
				require.Equal(t, len(run.Views), written+len(recorded(&job)), "nothing was done twice")
				w.snapshot = w.seq / 2 // nothing of the old snapshot was lost
				w.check()
				require.NoError(t, stopB())
				require.NoError(t, coordinator())
			})
		})
	}
}

// F6: whatever table was the last one recorded, and wherever the snapshot is by then, the
// outcome is the same as without an interruption.
func TestF6_ResumeAtEveryOutput(t *testing.T) {
	var want []string
	for cut := -1; ; cut++ {
		more := true
		bubble(t, func(t *testing.T, w *world) {
			for range 4 {
				w.flush(w.batch(120, true)...)
			}
			w.hold(200)
			stop := w.start(New(w.config(w.store, 2), Options{DisableWorker: true}).Run)
			time.Sleep(6 * time.Second)
			s := faulty.New(w.store, w.env)
			o := WorkerOptions{MaxSSTBytes: 500, MaxSubcompactions: 1, HeartbeatInterval: 10 * time.Millisecond}
			if cut >= 0 {
				s.Script(faulty.Rule{Method: "put", Key: "compacted/", Nth: cut + 1, Times: 1, Kind: faulty.Delay, Delay: time.Hour})
			}
			stopA := w.start(NewWorker(w.config(s, 3), o).Run)
			time.Sleep(10 * time.Second)
			require.NoError(t, stopA()) // gives the job back
			if cut >= 0 && len(w.latest().Root.Runs) == 0 {
				require.Len(t, recorded(&w.list().Jobs[0]), cut)
			} else if cut >= 0 {
				more = false
			}
			w.hold(400)
			stopB := w.start(NewWorker(w.config(w.store, 4), o).Run)
			time.Sleep(20 * time.Second)
			w.snapshot = 200 // nothing of the old one was lost
			w.check()
			got := w.versions(w.latest())
			if cut < 0 {
				want = got
			}
			require.Equal(t, want, got, "given back after %d outputs", cut)
			require.NoError(t, stopB())
			require.NoError(t, stop())
		})
		if !more || t.Failed() {
			require.Greater(t, cut, 5)
			break
		}
	}
}

// A worker that was paused past its heartbeat goes on: its job has gone to another one, its
// PUT fails, nothing is lost and nothing is there twice.
func TestF11_PausedWorkerLosesItsJob(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for range 4 {
			w.flush(w.batch(200, true)...)
		}
		coordinator := w.start(New(w.config(w.store, 2), Options{DisableWorker: true}).Run)
		o := WorkerOptions{MaxSSTBytes: 300, MaxSubcompactions: 2, MinSubcompactionBytes: -1}
		paused := faulty.New(w.store, w.env)
		slow(paused, 4*time.Second)
		stopA := w.start(NewWorker(w.config(paused, 3), o).Run)
		first := w.runningJob(1)
		release := make(chan struct{})
		paused.Script(faulty.Rule{Kind: faulty.Block, Release: release}) // after the delay
		hold := faulty.New(w.store, w.env)
		slow(hold, 500*time.Millisecond)
		stopB := w.start(NewWorker(w.config(hold, 4), o).Run)
		eventually(t, time.Minute, func() bool {
			for _, j := range w.list().Jobs {
				if j.Status == manifest.Running && j.Worker.ID != first.Worker.ID {
					return true
				}
			}
			return false
		})
		close(release) // while B is at work
		eventually(t, 2*time.Minute, func() bool { return len(w.latest().Root.Runs) == 1 })
		w.checkHistory()
		require.NoError(t, stopB())
		for range 4 {
			w.flush(w.batch(50, true)...)
		}
		eventually(t, 5*time.Minute, func() bool { return len(w.latest().Root.Runs) == 2 })
		w.checkHistory() // A works on
		require.NoError(t, stopA())
		require.NoError(t, coordinator())
	})
}

// skewed is a clock that is off by some time.
type skewed struct {
	seam.SystemClock
	off time.Duration
}

func (s skewed) Now() time.Time { return time.Now().Add(s.off) }

// A worker whose clock is wrong keeps its job as long as it lives, and loses it when it dies.
func TestF11_WorkersWithWrongClocks(t *testing.T) {
	for _, off := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				for range 4 {
					w.flush(w.batch(200, true)...)
				}
				counts := map[string]uint64{}
				conf := w.config(w.store, 2)
				conf.Count = func(name string, delta uint64, _ ...string) { counts[name] += delta }
				coordinator := w.start(New(conf, Options{DisableWorker: true}).Run)
				s := faulty.New(w.store, w.env)
				slow(s, 20*time.Second)
				wrong := w.config(s, 3)
				wrong.Env = seam.New(seam.Env{Clock: skewed{off: off}, Rand: wrong.Env.Rand})
				o := WorkerOptions{MaxSSTBytes: 300, MaxSubcompactions: 1}
				stopA := w.start(NewWorker(wrong, o).Run)
				time.Sleep(90 * time.Second)
				require.Zero(t, counts["slatedb.compactor.jobs_reclaimed"])
				s.Crash()
				stopB := w.start(NewWorker(w.config(w.store, 4), o).Run)
				eventually(t, 2*time.Minute, func() bool { return len(w.latest().Root.Runs) == 1 })
				require.EqualValues(t, 1, counts["slatedb.compactor.jobs_reclaimed"])
				w.check()
				require.ErrorIs(t, stopA(), faulty.ErrCrashed)
				require.NoError(t, stopB())
				require.NoError(t, coordinator())
			})
		})
	}
}

// A job that always fails at one worker is not tried without a pause, and others get it.
func TestF11_FailingJobIsNotAHotLoop(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for range 4 {
			w.flush(merge("a", "x"))
		}
		s := countingStore(w.store)
		conf := w.config(s, 2)
		conf.MergeOperator = nil
		stop := w.start(New(conf, Options{}).Run)
		time.Sleep(10 * time.Second)
		s.Record(true)
		time.Sleep(10 * time.Minute)
		puts := 0
		for _, r := range s.Log() {
			if r.Method == "put" {
				puts++
			}
		}
		require.Less(t, puts, 60, "two a try, one try each 30s at last")
		require.Equal(t, manifest.Scheduled, w.list().Jobs[0].Status)
		able := w.start(NewWorker(w.config(w.store, 3), WorkerOptions{}).Run)
		eventually(t, time.Minute, func() bool { return len(w.latest().Root.Runs) == 1 })
		w.check()
		require.NoError(t, able())
		require.NoError(t, stop())
	})
}

// F10: the list cannot be written after the manifest was. Whatever workers write meanwhile,
// the job does not come back, and is not committed twice.
func TestF10_FinishedJobDoesNotComeBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for range 4 {
			w.flush(w.batch(20, true)...)
		}
		s := faulty.New(w.store, w.env)
		conf := w.config(s, 2)
		conf.Env.OnPoint = nil
		stop := w.start(New(conf, Options{DisableWorker: true}).Run)
		time.Sleep(time.Second)
		deaf := s.Script(faulty.Rule{Method: "put", Key: "compactions/", Kind: faulty.ErrorBefore})
		stopW := w.start(NewWorker(w.config(w.store, 3), WorkerOptions{}).Run)
		eventually(t, time.Minute, func() bool { return len(w.latest().Root.Runs) == 1 })
		after := w.latest().ID
		time.Sleep(10 * time.Second)
		require.Equal(t, manifest.Compacted, w.list().Jobs[0].Status)
		deaf.Remove()
		eventually(t, time.Minute, func() bool { return w.list().Jobs[0].Status == manifest.Completed })
		require.Equal(t, after, w.latest().ID)
		w.check()
		require.NoError(t, stopW())
		require.NoError(t, stop())
	})
}

// A paused coordinator that was overtaken while a commit was under way writes nothing more.
func TestPausedCoordinatorIsFencedAtItsCommit(t *testing.T) {
	for _, point := range []string{"compactor.before-pin", "compactor.before-commit", "compactor.after-commit"} {
		t.Run(point, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				conf := w.config(w.store, 2)
				reached, release := make(chan struct{}), make(chan struct{})
				conf.Env.OnPoint = func(name string) {
					if name == point {
						select {
						case <-reached:
						default:
							close(reached)
							<-release
						}
					}
				}
				for range 4 {
					w.flush(w.batch(50, true)...)
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				done := make(chan error, 1)
				go func() { done <- New(conf, Options{}).Run(ctx) }()
				<-reached
				stop := w.start(New(w.config(w.store, 3), Options{}).Run)
				time.Sleep(time.Minute)
				w.checkHistory()
				require.Len(t, w.latest().Root.Runs, 1)
				close(release)
				require.ErrorIs(t, <-done, kv.ErrFenced)
				synctest.Wait()
				w.checkHistory()
				require.Len(t, w.latest().Root.Runs, 1)
				require.NoError(t, stop())
			})
		})
	}
}

// D2: what the collector may delete by the rule of protocol 11.3 is never an output that is
// still to be published: outputs are no older than their job, jobs no older than others.
func TestD2_OutputsAreNoOlderThanTheirJobs(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := faulty.New(w.store, w.env)
		slow(s, 300*time.Millisecond)
		conf := w.config(s, 2)
		back := -time.Hour // the worker's clock falls back after the claim
		conf.Env = seam.New(seam.Env{Rand: conf.Env.Rand, Clock: skewed{off: back}})
		stop := w.start(New(w.config(w.store, 4), Options{DisableWorker: true}).Run)
		stopW := w.start(NewWorker(conf, WorkerOptions{MaxSSTBytes: 500, MinSubcompactionBytes: -1, HeartbeatInterval: 100 * time.Millisecond}).Run)
		for range 12 {
			w.flush(w.batch(60, true)...)
			for range 20 {
				time.Sleep(100 * time.Millisecond)
				list := w.list()
				cut := ulid.MaxTime()
				for _, j := range list.Jobs {
					cut = min(cut, j.ID.Time())
				}
				for _, j := range list.Jobs {
					if j.Context != nil && !j.Status.Finished() {
						for _, id := range recorded(&j) {
							require.GreaterOrEqual(t, id.Time(), cut)
						}
					}
				}
			}
		}
		w.check()
		require.NoError(t, stopW())
		require.NoError(t, stop())
	})
}

var _ objstore.Store = (*faulty.Store)(nil)

// F11: a worker that is stopped while the PUT of a claim is under way, which takes effect,
// gives the job back: nobody has to wait for its heartbeat to go stale.
func TestF11_StoppedInTheMiddleOfAClaim(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for range 4 {
			w.flush(w.batch(20, false)...)
		}
		coordinator := w.start(New(w.config(w.store, 2), Options{DisableWorker: true}).Run)
		eventually(t, time.Minute, func() bool {
			l := w.list().Jobs
			return len(l) == 1 && l[0].Status == manifest.Scheduled
		})
		s := faulty.New(w.store, w.env)
		claim := s.Script(faulty.Rule{Method: "put", Key: "compactions/", Nth: 1, Kind: faulty.HangAfter})
		stop := w.start(NewWorker(w.config(s, 3), WorkerOptions{}).Run)
		<-claim.Reached()
		require.NoError(t, stop())
		j := w.list().Jobs[0]
		require.Equal(t, manifest.Scheduled, j.Status, "the claim was not given back")
		require.Nil(t, j.Worker)
		require.NoError(t, coordinator())
	})
}

// Somebody writes between the two writes of a commit: the checkpoint that protects the inputs
// stands on the version directly before the one that lacks them all the same, since that is
// what a reader uses which saw the write in between.
func TestCheckpointOfACommitStandsDirectlyBeforeIt(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		conf := w.config(w.store, 2)
		between := 0
		conf.Env.OnPoint = func(name string) {
			if name == "compactor.before-commit" || name == "compactor.after-repin" && between < 2 {
				between++
				w.flush(w.batch(50, true)...)
			}
		}
		for range 4 {
			w.flush(w.batch(50, true)...)
		}
		stop := w.start(New(conf, Options{}).Run)
		eventually(t, time.Minute, func() bool { return len(w.latest().Root.Runs) == 1 })
		m := w.latest()
		require.Equal(t, 2, between)
		require.Len(t, m.Root.L0, 2)
		require.Len(t, m.Checkpoints, 1)
		require.Equal(t, m.ID-1, m.Checkpoints[0].ManifestID)
		w.check()
		require.NoError(t, stop())
	})
}
