package retry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/objstore/retry"
)

// TestOutage: however many requests wait, an outage costs one a second, and its end is
// prompt for all of them.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var states []retry.State
		h := retry.NewHealth(nil, func(s retry.Snapshot) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, s.State)
		})
		w := open(retry.Options{Health: h, OnRetry: func(retry.Failure) {}})
		_, err := w.create(t)
		require.NoError(t, err)
		assert.Equal(t, retry.OK, h.Snapshot().State)

		w.f.Script(faulty.Rule{Kind: faulty.ErrorBefore})
		const callers = 50
		var wg sync.WaitGroup
		var done atomic.Int64
		for i := range callers {
			wg.Go(func() {
				var err error
				switch i % 3 {
				case 0:
					_, err = w.s.Get(t.Context(), "k")
				case 1:
					_, err = w.s.Put(t.Context(), fmt.Sprint("new", i), nil, objstore.IfAbsent())
				default:
					for _, lerr := range w.s.List(t.Context(), "", "") {
						err = lerr
					}
				}
				assert.NoError(t, err)
				done.Add(1)
			})
		}
		time.Sleep(30 * time.Second)
		s := h.Snapshot()
		assert.Equal(t, retry.Down, s.State)
		require.ErrorIs(t, s.LastErr, faulty.ErrInjected)
		before := w.f.Requests()
		time.Sleep(10 * time.Minute)
		assert.InDelta(t, 600, w.f.Requests()-before, 10, "one request a second")

		// A call with a deadline gets its error then, with the cause.
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		_, err = w.s.Head(ctx, "k")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, faulty.ErrInjected)
		assert.Equal(t, 5*time.Second, time.Since(start))

		w.f.Clear()
		start = time.Now()
		wg.Wait()
		assert.LessOrEqual(t, time.Since(start), 2*time.Second, "prompt for everybody")
		assert.EqualValues(t, callers, done.Load())
		assert.Equal(t, retry.OK, h.Snapshot().State)
		assert.Zero(t, h.Snapshot().ConsecutiveFailures)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, []retry.State{retry.Degraded, retry.Down, retry.OK}, states)
	})
}

// TestOneBadRequestHoldsNobodyUp: a request that fails for reasons of its own makes the
// store look down when nothing else happens; the next one finds out that it is not.
func TestOneBadRequestHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := retry.NewHealth(nil, nil)
		w := open(retry.Options{Health: h, OnRetry: func(retry.Failure) {}})
		_, err := w.create(t)
		require.NoError(t, err)
		w.f.Script(faulty.Rule{Key: "bad", Kind: faulty.ErrorBefore})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = w.s.Get(ctx, "bad") })
		time.Sleep(time.Minute)
		require.Equal(t, retry.Down, h.Snapshot().State)
		start := time.Now()
		_, err = w.s.Get(t.Context(), "k")
		require.NoError(t, err)
		assert.LessOrEqual(t, time.Since(start), 3*time.Second)
		cancel()
		wg.Wait()
	})
}

// TestBoundedRetriesAreNotHeldBack: who bounds retries wants to be told.
func TestBoundedRetriesAreNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := retry.NewHealth(nil, nil)
		w := open(retry.Options{Health: h, MaxRetries: 2, OnRetry: func(retry.Failure) {}})
		w.f.Script(faulty.Rule{Kind: faulty.ErrorBefore})
		for range 30 {
			start := time.Now()
			_, err := w.s.Get(t.Context(), "k")
			require.ErrorIs(t, err, kv.ErrUnavailable)
			assert.Less(t, time.Since(start), time.Second)
			time.Sleep(time.Second)
		}
		assert.Equal(t, retry.Down, h.Snapshot().State)
	})
}

// TestAnswersAreHealthy: refusals are answers, and a caller who leaves early tells nothing.
func TestAnswersAreHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := retry.NewHealth(nil, nil)
		w := open(retry.Options{Health: h})
		w.f.Script(faulty.Rule{Method: "head", Kind: faulty.Hang})
		for range 100 {
			_, err := w.s.Get(t.Context(), "none")
			require.ErrorIs(t, err, objstore.ErrNotFound)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			_, err = w.s.Head(ctx, "k")
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		assert.Equal(t, retry.OK, h.Snapshot().State)
		for range 20 { // but a second without an answer does
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := w.s.Head(ctx, "k")
			cancel()
			require.Error(t, err)
		}
		assert.Equal(t, retry.Down, h.Snapshot().State)
	})
}

type conflict struct{}

func (conflict) Error() string  { return "409" }
func (conflict) Conflict() bool { return true }

// TestJ3_ConflictsThatStay: 409 is worth another attempt, but not for ever where it stands
// for a refusal.
func TestJ3_ConflictsThatStay(t *testing.T) {
	bubble(t, "the object is there", func(t *testing.T) {
		w := open(retry.Options{})
		w.stranger(t)
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorBefore, Err: objstore.NoEffect(conflict{})})
		_, err := w.create(t)
		require.ErrorIs(t, err, objstore.ErrPrecondition)
		_, err = w.s.Put(t.Context(), "k", nil, objstore.IfVersion("old"))
		require.ErrorIs(t, err, objstore.ErrPrecondition)
		assert.LessOrEqual(t, w.f.Count("put"), 6)
	})
	bubble(t, "it passes", func(t *testing.T) {
		w := open(retry.Options{})
		w.f.Script(faulty.Rule{Method: "put", Nth: 1, Times: 3, Kind: faulty.ErrorBefore, Err: objstore.NoEffect(conflict{})})
		_, err := w.create(t)
		require.NoError(t, err)
		assert.Equal(t, "mine", w.body(t))
	})
	bubble(t, "without put-ids", func(t *testing.T) {
		w := open(retry.Options{})
		w.stranger(t)
		w.f.SetProperties(func(p *objstore.Properties) { p.PutID = false })
		w.f.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorBefore, Err: objstore.NoEffect(conflict{})})
		_, err := w.create(t)
		require.ErrorIs(t, err, objstore.ErrPrecondition)
		assert.False(t, errors.Is(err, objstore.ErrOutcomeUnknown))
	})
}
