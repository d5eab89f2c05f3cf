package hedge_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/objstore/hedge"
	"github.com/slatedb/slatedb-go/objstore/metered"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store { return hedge.New(objstore.NewMemory(), hedge.Options{}) })
}

// slow delays reads as its test says, and counts those that were cancelled.
type slow struct {
	objstore.Store
	delay     func(n int64) time.Duration
	reads     atomic.Int64
	cancelled atomic.Int64
}

func (s *slow) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	t := time.NewTimer(s.delay(s.reads.Add(1)))
	defer t.Stop()
	select {
	case <-t.C:
		return s.Store.ReadAt(ctx, key, p, off)
	case <-ctx.Done():
		s.cancelled.Add(1)
		return 0, ctx.Err()
	}
}

func world(t *testing.T, o hedge.Options, delay func(n int64) time.Duration) (*slow, *metered.Ledger, func() time.Duration) {
	t.Helper()
	mem := objstore.NewMemory()
	_, err := mem.Put(t.Context(), "k", []byte("0123456789"), objstore.Always)
	require.NoError(t, err)
	inner := &slow{Store: mem, delay: delay}
	l := metered.NewLedger()
	o.Second = metered.New(inner, "hedge", l)
	s := hedge.New(metered.New(inner, "read", l), o)
	return inner, l, func() time.Duration {
		t.Helper()
		start := time.Now()
		p := make([]byte, 4)
		n, err := s.ReadAt(t.Context(), "k", p, 3)
		require.NoError(t, err)
		require.Equal(t, "3456", string(p[:n]))
		return time.Since(start)
	}
}

func requests(l *metered.Ledger, cause string) (n int64) {
	for _, r := range l.Snapshot() {
		if r.Cause == cause {
			n += r.Requests
		}
	}
	return n
}

func TestTheFirstAnswerWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, l, read := world(t, hedge.Options{}, func(n int64) time.Duration {
			if n == 101 {
				return time.Minute // stuck
			}
			return 20 * time.Millisecond
		})
		for range 100 {
			assert.Equal(t, 20*time.Millisecond, read())
		}
		assert.Equal(t, 42500*time.Microsecond, read(), "the delay of 20 ms and an eighth, then the second's 20 ms")
		synctest.Wait()
		assert.EqualValues(t, 1, inner.cancelled.Load(), "the loser")
		assert.EqualValues(t, 1, requests(l, "hedge"))
		assert.EqualValues(t, 101, requests(l, "read"))
	})
}

func TestTheFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l, read := world(t, hedge.Options{MinDelay: 50 * time.Millisecond}, func(n int64) time.Duration {
			if n > 100 {
				return 45 * time.Millisecond
			}
			return time.Millisecond
		})
		for range 110 {
			read()
		}
		assert.Zero(t, requests(l, "hedge"))
	})
}

// TestTheShare: when everything becomes slow, second requests stay within their share.
func TestTheShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, share := range []float64{0, 0.2} {
			_, l, read := world(t, hedge.Options{MaxShare: share, Quantile: 0.5}, func(n int64) time.Duration {
				return time.Duration(20+n%40) * time.Millisecond
			})
			const reads = 1000
			for range reads {
				read()
			}
			if share == 0 {
				share = 0.05
			}
			n := float64(requests(l, "hedge"))
			assert.LessOrEqual(t, n, share*reads)
			assert.Greater(t, n, share*reads/2, "and are used")
		}
	})
}

func TestErrorsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := faulty.New(objstore.NewMemory(), nil)
		s := hedge.New(f, hedge.Options{})
		_, err := f.Put(t.Context(), "k", make([]byte, 100), objstore.Always)
		require.NoError(t, err)
		p := make([]byte, 10)
		f.Script(faulty.Rule{Method: "read", Kind: faulty.Delay, Delay: 20 * time.Millisecond, Nth: 1, Times: 64})
		for range 64 {
			_, err := s.ReadAt(t.Context(), "k", p, 0)
			require.NoError(t, err)
		}
		_, err = s.ReadAt(t.Context(), "none", p, 0)
		require.ErrorIs(t, err, objstore.ErrNotFound)
		n, err := s.ReadAt(t.Context(), "k", p, 95)
		require.ErrorIs(t, err, objstore.ErrRange)
		assert.Equal(t, 5, n)

		// Both hang: the caller's ctx ends it, and nobody writes p afterwards.
		f.Script(faulty.Rule{Method: "read", Kind: faulty.Hang})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.ReadAt(ctx, "k", p, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		f.Clear()

		// The first fails, the second has the answer.
		f.Script(faulty.Rule{Method: "read", Nth: 1, Kind: faulty.Call, Do: func(ctx context.Context, _ faulty.Request) error {
			time.Sleep(30 * time.Millisecond)
			return faulty.ErrInjected
		}})
		f.Script(faulty.Rule{Method: "read", Nth: 1, Kind: faulty.Delay, Delay: 100 * time.Millisecond})
		_, err = s.ReadAt(t.Context(), "k", p, 0)
		require.NoError(t, err)
	})
}
