package wal

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

const putTime = 40 * time.Millisecond

// closedLoop runs n clients that each write, wait, and write again, for 4 s of virtual time.
func closedLoop(t *testing.T, n int, o Options, noGather bool) (p50 time.Duration, perSecond float64, puts int) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(putTime)
		ctx, cancel := context.WithCancel(context.Background())
		l := &log{Writer: NewWriter(s, 1, 0, o), sizes: map[kv.Seq]int{}}
		l.noGather = noGather
		ended := make(chan struct{})
		go func() { _ = l.Run(ctx); close(ended) }()
		const run = 4 * time.Second
		begin := time.Now()
		var mu sync.Mutex
		var took []time.Duration
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				// Clients do not start at the same moment, or they would be one group from the
				// start.
				time.Sleep(time.Duration(i) * putTime / time.Duration(n))
				for time.Since(begin) < run {
					at := time.Now()
					if l.Wait(ctx, l.write(1)) != nil {
						return
					}
					mu.Lock()
					took = append(took, time.Since(at))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		cancel()
		<-ended
		slices.Sort(took)
		p50, perSecond, puts = took[len(took)/2], float64(len(took))/run.Seconds(), s.puts()
		require.False(t, s.overlap, "two uploads at once")
	})
	t.Logf("%d clients, gathering %v: p50 %v, %.0f/s, %d PUTs", n, !noGather, p50, perSecond, puts)
	return p50, perSecond, puts
}

func TestGroupCommit(t *testing.T) {
	t.Run("64 waiters", func(t *testing.T) {
		p50, rate, puts := closedLoop(t, 64, Options{}, false)
		naive50, naiveRate, naivePuts := closedLoop(t, 64, Options{}, true)
		require.LessOrEqual(t, p50, 41*time.Millisecond, "they come back at once, so the gathering ends at once")
		require.GreaterOrEqual(t, rate, 1400.0)
		require.Greater(t, naive50, 70*time.Millisecond, "the rule that gathering is compared with")
		require.InDelta(t, 0.5, (float64(puts)/rate)/(float64(naivePuts)/naiveRate), 0.1, "PUTs a write against the naive rule")
	})
	t.Run("one waiter never gathers", func(t *testing.T) {
		p50, _, _ := closedLoop(t, 1, Options{}, false)
		require.LessOrEqual(t, p50, 44*time.Millisecond)
	})
	t.Run("not even one that thinks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := start(t, newStub(putTime), 1, Options{})
			for range 20 {
				begin := time.Now()
				require.NoError(t, l.Wait(t.Context(), l.write(1)))
				require.Equal(t, putTime, time.Since(begin))
				time.Sleep(time.Millisecond)
			}
			require.NoError(t, l.stop())
		})
	})
	t.Run("two waiters", func(t *testing.T) {
		p50, _, _ := closedLoop(t, 2, Options{}, false)
		require.LessOrEqual(t, p50, 46*time.Millisecond)
	})
	t.Run("no timer needed", func(t *testing.T) {
		p50, _, _ := closedLoop(t, 16, Options{FlushInterval: -1}, false)
		require.LessOrEqual(t, p50, 46*time.Millisecond)
	})
}

func TestRowsNobodyWaitsForAreDurableWithinTheInterval(t *testing.T) {
	for _, every := range []time.Duration{time.Millisecond, 37 * time.Millisecond, 130 * time.Millisecond, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := newStub(putTime)
			var mu sync.Mutex
			var written []time.Time // by seq
			var worst time.Duration
			seen := kv.Seq(0)
			l := start(t, s, 1, Options{OnUploaded: func(u Uploaded) {
				mu.Lock()
				defer mu.Unlock()
				for ; seen < u.LastSeq; seen++ {
					worst = max(worst, time.Since(written[seen]))
				}
			}})
			begin := time.Now()
			for range 200 {
				mu.Lock()
				written = append(written, time.Now())
				mu.Unlock()
				l.write(1)
				time.Sleep(every)
			}
			time.Sleep(time.Second)
			require.NoError(t, l.stop())
			require.Equal(t, l.seq, l.Durable().Load())
			require.LessOrEqual(t, worst, DefaultFlushInterval+putTime, "every %v", every)
			require.LessOrEqual(t, s.puts(), int(time.Since(begin)/DefaultFlushInterval)+1, "more than one PUT an interval, every %v", every)
		})
	}
}

func TestTimerStartsWithTheFirstRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(putTime)
		l := start(t, s, 1, Options{})
		time.Sleep(time.Hour)
		require.Zero(t, s.puts(), "nothing to upload")
		begin := time.Now()
		l.write(1)
		time.Sleep(90 * time.Millisecond)
		l.write(1)
		require.Zero(t, s.puts())
		time.Sleep(11 * time.Millisecond)
		require.Equal(t, 1, s.puts())
		require.Equal(t, DefaultFlushInterval, s.starts[0].Sub(begin))
		require.NoError(t, l.stop())
	})
}

func TestMinFlushGap(t *testing.T) {
	const gap = 250 * time.Millisecond
	t.Run("holds back waiters", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStub(putTime)
			l := start(t, s, 1, Options{MinFlushGap: gap})
			for range 8 {
				require.NoError(t, l.Wait(t.Context(), l.write(1)))
			}
			for i := range s.starts[1:] {
				require.Equal(t, gap, s.starts[i+1].Sub(s.starts[i]))
			}
			require.NoError(t, l.stop())
		})
	})
	t.Run("holds back the timer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStub(putTime)
			l := start(t, s, 1, Options{MinFlushGap: gap})
			for range 300 {
				l.write(1)
				time.Sleep(10 * time.Millisecond)
			}
			require.Greater(t, s.puts(), 5)
			for i := range s.starts[1:] {
				require.GreaterOrEqual(t, s.starts[i+1].Sub(s.starts[i]), gap)
			}
			require.NoError(t, l.stop())
		})
	})
	t.Run("not Flush", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStub(putTime)
			l := start(t, s, 1, Options{MinFlushGap: time.Hour})
			for range 3 {
				l.write(1)
				begin := time.Now()
				require.NoError(t, l.Flush(t.Context()))
				require.Equal(t, putTime, time.Since(begin))
			}
			require.NoError(t, l.stop())
		})
	})
	t.Run("not Flush among those who gather", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStub(putTime)
			l := start(t, s, 1, Options{MinFlushGap: time.Hour})
			seq := l.write(1)
			for range 3 {
				go func() { _ = l.Wait(context.Background(), seq) }()
			}
			synctest.Wait()
			require.NoError(t, l.Wait(t.Context(), seq))
			back := l.write(1)
			go func() { _ = l.Wait(context.Background(), back) }()
			synctest.Wait()
			begin := time.Now()
			require.NoError(t, l.Flush(t.Context()))
			require.LessOrEqual(t, time.Since(begin), putTime+putTime/gatherShare)
			require.NoError(t, l.stop())
		})
	})
	t.Run("not an oversized batch", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStub(putTime)
			l := start(t, s, 1, Options{MinFlushGap: time.Hour, FlushInterval: -1, MaxObjectBytes: 1000})
			for range 2 {
				l.writeValue(1, 5000)
				time.Sleep(putTime + time.Millisecond)
				require.Equal(t, l.seq, l.Durable().Load())
			}
			require.NoError(t, l.stop())
		})
	})
	t.Run("not a full buffer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStub(putTime)
			l := start(t, s, 1, Options{MinFlushGap: time.Hour, FlushInterval: -1, MaxObjectBytes: 10_000})
			for range 100 {
				l.writeValue(1, 1000)
			}
			time.Sleep(time.Minute)
			require.GreaterOrEqual(t, s.puts(), 100/9)
			require.Less(t, l.BufferedBytes(), int64(10_000))
			require.NoError(t, l.stop())
		})
	})
}

// C8: without any timer, Flush still works, and so does waiting.
func TestC8_NoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(putTime)
		l := start(t, s, 1, Options{FlushInterval: -1})
		l.write(1)
		time.Sleep(time.Hour)
		require.Zero(t, s.puts())
		require.NoError(t, l.Flush(t.Context()))
		require.Equal(t, kv.Seq(1), l.Durable().Load())
		require.NoError(t, l.Wait(t.Context(), l.write(1)))
		require.NoError(t, l.stop())
	})
}

// Waiters that give up take nothing with them.
func TestAbandonedWaitersHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(putTime)
		l := start(t, s, 1, Options{})
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), putTime/4)
			seq := l.write(1)
			require.ErrorIs(t, l.Wait(ctx, seq), context.DeadlineExceeded)
			cancel()
			begin := time.Now()
			require.NoError(t, l.Wait(t.Context(), seq), "the upload goes on")
			require.LessOrEqual(t, time.Since(begin), 2*putTime)
		}
		require.NoError(t, l.stop())
	})
}
