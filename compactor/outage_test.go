package compactor

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	storeretry "github.com/slatedb/slatedb-go/objstore/retry"
)

// An outage pauses the role and does not end it, also one that begins before the role is
// claimed and lasts longer than a claim does against other processes.
func TestStartsInAnOutage(t *testing.T) {
	for name, kind := range map[string]faulty.Kind{"errors": faulty.ErrorBefore, "hangs": faulty.Hang} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				for range 4 {
					w.flush(w.batch(50, true)...)
				}
				f := faulty.New(w.store, w.env)
				f.Script(faulty.Rule{Kind: kind})
				conf := w.config(f, 2)
				s := storeretry.New(f, storeretry.Options{Env: conf.Env, Health: storeretry.NewHealth(conf.Env, nil)})
				stop := w.start(New(w.config(s, 2), Options{}).Run)
				stopW := w.start(NewWorker(w.config(s, 3), WorkerOptions{}).Run)
				time.Sleep(20 * time.Minute)
				require.Empty(t, w.latest().Root.Runs)
				f.Clear()
				eventually(t, 10*time.Minute, func() bool { return len(w.latest().Root.Runs) == 1 })
				require.NoError(t, stop())
				require.NoError(t, stopW())
				w.check()
			})
		})
	}
}

// A PUT of which nobody can find out whether it was written ends nothing: what turns out to be
// there is recognised, and what is not is done again.
func TestUnknownOutcomes(t *testing.T) {
	for _, kind := range []faulty.Kind{faulty.ErrorBefore, faulty.ErrorAfter} {
		for nth := 1; ; nth++ {
			acted := true
			bubble(t, func(t *testing.T, w *world) {
				for range 4 {
					w.flush(w.batch(50, true)...)
				}
				f := faulty.New(w.store, w.env)
				r := f.Script(faulty.Rule{Method: "put", Nth: nth, Kind: kind, Err: objstore.ErrOutcomeUnknown,
					Match: func(r faulty.Request) bool { return !strings.HasSuffix(r.Key, ".sst") }})
				stop := w.start(New(w.config(f, 2), Options{}).Run)
				time.Sleep(10 * time.Minute)
				require.NoError(t, stop(), "%s of put %d", kind, nth)
				require.Len(t, w.latest().Root.Runs, 1, "%s of put %d", kind, nth)
				w.check()
				acted = r.Hits() > 0
			})
			if !acted {
				require.Greater(t, nth, 5)
				break
			}
		}
	}
}

// The claim of a job is on the network when its worker ends, and arrives after the worker has
// looked what it holds: nobody may be left with the job.
func TestCutOffClaimIsGivenBack(t *testing.T) {
	for _, when := range []string{"with the claim", "a moment later"} {
		t.Run(when, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				for range 4 {
					w.flush(w.batch(50, true)...)
				}
				stopC := w.start(New(w.config(w.store, 2), Options{DisableWorker: true}).Run)
				eventually(t, time.Minute, func() bool { return len(w.list().Jobs) == 1 })
				f := faulty.New(w.store, w.env)
				conf := w.config(f, 3)
				claim := f.Script(faulty.Rule{Method: "put", Key: "compactions/", Nth: 1, Kind: faulty.ErrorThenEffect, Delay: 500 * time.Millisecond})
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if when == "with the claim" {
					conf.Env.OnPoint = func(name string) {
						if name == "compactions.before-put" {
							cancel()
						}
					}
				}
				late := &lateStore{Store: f}
				conf.Objects, conf.Manifests = late, manifest.NewStore(late, "db", conf.Env)
				done := make(chan error, 1)
				go func() { done <- NewWorker(conf, WorkerOptions{}).Run(ctx) }()
				<-claim.Reached()
				time.Sleep(10 * time.Millisecond)
				cancel()
				require.NoError(t, <-done)
				f.Wait()
				require.Equal(t, manifest.Scheduled, w.list().Jobs[0].Status)
				require.NoError(t, stopC())
			})
		})
	}
}

// lateStore sends a request although its ctx has ended in between, as a network does.
type lateStore struct{ objstore.Store }

func (s *lateStore) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	v, err := s.Store.Put(context.WithoutCancel(ctx), key, body, c)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return v, err
}
