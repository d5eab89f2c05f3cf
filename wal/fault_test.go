package wal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/retry"
	"github.com/slatedb/slatedb-go/sst"
)

var errRefused = errors.New("refused")

// C6: whichever PUT fails for good, every waiter learns it, present and future, and what was
// acknowledged is in the log.
func TestC6_AFailedPutReachesAllWaiters(t *testing.T) {
	kinds := []struct {
		name   string
		before error
		after  error
		want   []error
		not    error
	}{
		{"error before effect", errRefused, nil, []error{kv.ErrUnavailable, errRefused}, kv.ErrClosed},
		{"error after effect", nil, errRefused, []error{kv.ErrUnavailable, errRefused}, kv.ErrClosed},
		{"outcome unknown", nil, fmt.Errorf("settle: %w", objstore.ErrOutcomeUnknown), []error{kv.ErrOutcomeUnknown, kv.ErrClosed}, kv.ErrFenced},
		{"taken", fmt.Errorf("put: %w", objstore.ErrPrecondition), nil, []error{kv.ErrFenced, kv.ErrClosed}, kv.ErrUnavailable},
	}
	for _, k := range kinds {
		for n := 1; n <= 20; n++ {
			t.Run(fmt.Sprintf("%s/put=%d", k.name, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStub(putTime)
					at := func(err error) func(context.Context, int, string) error {
						return func(_ context.Context, i int, _ string) error {
							if i == n {
								return err
							}
							return nil
						}
					}
					s.before, s.after = at(k.before), at(k.after)
					l := start(t, s, 1, Options{FlushInterval: -1})
					var mu sync.Mutex
					acked := kv.Seq(0)
					var wg sync.WaitGroup
					for range 3 {
						wg.Go(func() {
							for {
								seq := l.write(1)
								err := l.Wait(t.Context(), seq)
								if err != nil {
									for _, w := range k.want {
										require.ErrorIs(t, err, w)
									}
									require.NotErrorIs(t, err, k.not)
									return
								}
								mu.Lock()
								acked = max(acked, seq)
								mu.Unlock()
							}
						})
					}
					wg.Wait()
					<-l.ended
					require.ErrorIs(t, l.err, k.want[0])
					require.ErrorIs(t, l.Err(), k.want[0])
					require.ErrorIs(t, l.Wait(t.Context(), l.write(1)), k.want[0], "a later write")
					require.ErrorIs(t, l.Flush(t.Context()), k.want[0])
					require.NoError(t, l.Wait(t.Context(), l.Durable().Load()), "what is durable stays so")
					require.Zero(t, l.BufferedBytes(), "a failed log holds no rows")
					require.Equal(t, n, s.puts(), "no PUT after the failed one")
					id, seq := l.Position()
					require.Equal(t, uint64(n-1), id)
					require.Equal(t, l.Durable().Load(), seq)
					got := replay(t, s, "", 1)
					got.whole(t, l)
					require.GreaterOrEqual(t, len(got.seqs), int(acked))
				})
			})
		}
	}
}

// P4: a lost reply is no fence. Under the retry decorator the PUT is settled by its put-id;
// but an object of somebody else at the id is one.
func TestP4_ALostReplyIsNoFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(putTime)
		s.after = func(_ context.Context, n int, _ string) error {
			if n%2 == 1 {
				return errRefused
			}
			return nil
		}
		l := start(t, retry.New(s, retry.Options{}), 1, Options{})
		for range 10 {
			require.NoError(t, l.Wait(t.Context(), l.write(2)))
		}
		id, _ := l.Position()
		require.Equal(t, uint64(10), id)
		// The newer writer's fence, as empty as ours would be.
		_, err := Fence(t.Context(), s.Store, env, "", 11, nil)
		require.NoError(t, err)
		require.ErrorIs(t, l.Wait(t.Context(), l.write(2)), kv.ErrFenced)
		<-l.ended
		got := replay(t, s, "", 1)
		require.Len(t, got.seqs, 10)
		got.whole(t, l)
	})
}

func TestAHangingPutEndsWithTheHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(0)
		s.before = func(ctx context.Context, n int, _ string) error {
			if n < 3 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		l := start(t, s, 1, Options{})
		require.NoError(t, l.Wait(t.Context(), l.write(1)))
		require.NoError(t, l.Wait(t.Context(), l.write(1)))
		stuck := l.write(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, l.Wait(ctx, stuck), context.DeadlineExceeded, "a waiter's ctx ends its waiting")
		time.Sleep(time.Hour)
		got := make(chan error, 2)
		go func() { got <- l.Wait(t.Context(), stuck) }()
		go func() { got <- l.Wait(t.Context(), l.write(1)) }()
		synctest.Wait()
		require.NoError(t, l.stop(), "the end of ctx is no failure")
		for range 2 {
			err := <-got
			require.ErrorIs(t, err, kv.ErrClosed)
			require.ErrorIs(t, err, kv.ErrOutcomeUnknown, "the PUT may have been stored")
			require.NotErrorIs(t, err, kv.ErrUnavailable)
		}
	})
}

// The handle may end at every named step of an upload. Nobody hangs, Run has returned, and
// what was acknowledged is there.
func TestStopAtEveryPoint(t *testing.T) {
	how := map[string]func(*log){
		"cancel":     func(l *log) { l.cancel(nil) },
		"with cause": func(l *log) { l.cancel(kv.ErrFenced) },
		"fail":       func(l *log) { l.Fail(kv.ErrFenced) },
	}
	for name, end := range how {
		for _, point := range []string{"wal.before-put", "wal.after-put", "wal.before-ack"} {
			for n := 1; n <= 3; n++ {
				t.Run(fmt.Sprintf("%s/%s/%d", name, point, n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := newStub(putTime)
						var l *log
						ready := make(chan struct{})
						seen := 0
						env := seam.New(seam.Env{OnPoint: func(p string) {
							<-ready
							if p == point {
								if seen++; seen == n {
									end(l)
								}
							}
						}})
						l = start(t, s, 1, Options{Env: env, FlushInterval: -1})
						close(ready)
						var acked kv.Seq
						var err error
						for err == nil {
							seq := l.write(2)
							if err = l.Wait(t.Context(), seq); err == nil {
								acked = seq
							}
						}
						<-l.ended
						require.ErrorIs(t, err, kv.ErrClosed)
						switch name {
						case "cancel":
							require.NoError(t, l.err)
						case "with cause":
							require.NoError(t, l.err)
							require.ErrorIs(t, err, kv.ErrFenced, "the owner's reason")
						case "fail":
							require.ErrorIs(t, err, kv.ErrFenced)
							require.ErrorIs(t, l.err, kv.ErrFenced)
						}
						got := replay(t, s, "", 1)
						got.whole(t, l)
						require.GreaterOrEqual(t, len(got.seqs), int(acked))
						// A PUT that was stored counts, even if the handle ended meanwhile.
						require.Equal(t, l.Durable().Load(), acked+boolSeq(l.Durable().Load() > acked))
					})
				})
			}
		}
	}
}

func boolSeq(b bool) kv.Seq {
	if b {
		return 1
	}
	return 0
}

func TestConfirmBeforeAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(putTime)
		var l *log
		calls := 0
		confirm := func(context.Context) error {
			calls++
			if require.Equal(t, calls, s.puts(), "after the PUT"); calls == 3 {
				return fmt.Errorf("epoch 2 holds: %w", kv.ErrFenced)
			}
			require.Equal(t, kv.Seq(calls-1), l.Durable().Load(), "before the ack")
			return nil
		}
		l = start(t, s, 1, Options{ConfirmBeforeAck: confirm, OnUploaded: func(u Uploaded) {
			require.Equal(t, u.LastSeq, l.Durable().Load(), "told after the mark rose")
			require.Equal(t, putTime, u.Duration)
			require.Positive(t, u.Bytes)
			require.Equal(t, uint64(calls), u.ID)
		}})
		require.NoError(t, l.Wait(t.Context(), l.write(1)))
		require.NoError(t, l.Wait(t.Context(), l.write(1)))
		require.ErrorIs(t, l.Wait(t.Context(), l.write(1)), kv.ErrFenced)
		<-l.ended
		require.ErrorIs(t, l.err, kv.ErrFenced)
		require.Equal(t, kv.Seq(2), l.Durable().Load())
	})
}

type badTransformer struct{ encode func() }

func (b badTransformer) Encode([]byte) ([]byte, error) { b.encode(); return nil, errRefused }
func (badTransformer) Decode(p []byte) ([]byte, error) { return p, nil }

func TestATransformerThatFailsOrPanicsStopsTheLog(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func()
		want error
	}{
		{"error", func() {}, errRefused},
		{"panic", func() { panic("no key") }, kv.ErrInternal},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStub(0)
			l := start(t, s, 1, Options{Transformer: badTransformer{c.f}})
			require.ErrorIs(t, l.Wait(t.Context(), l.write(1)), c.want)
			<-l.ended
			require.ErrorIs(t, l.err, c.want)
			require.Zero(t, s.puts())
		})
	}
}

func TestAPanicInTheFlusherReachesWaiters(t *testing.T) {
	l := start(t, newStub(0), 1, Options{OnUploaded: func(Uploaded) { panic("hook") }})
	require.NoError(t, l.Wait(t.Context(), l.write(1)), "it was stored and acknowledged before")
	<-l.ended
	require.ErrorIs(t, l.err, kv.ErrInternal)
	require.ErrorIs(t, l.Wait(t.Context(), l.write(1)), kv.ErrInternal)
}

// C2: a wait is answered whatever the options are, before Run, after Run, without a timer.
func TestC2_EveryWaitIsAnswered(t *testing.T) {
	for _, o := range []Options{
		{}, {FlushInterval: -1}, {FlushInterval: time.Hour}, {MinFlushGap: time.Minute},
		{FlushInterval: -1, MinFlushGap: time.Minute, MaxObjectBytes: 1}, {FlushInterval: time.Nanosecond, MinFlushGap: -1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStub(putTime)
			w := NewWriter(s, 1, 0, o)
			bound := putTime + max(o.MinFlushGap, 0)
			answers := make(chan error, 3)
			w.Append(batch(1, 1, 1))
			go func() { answers <- w.Wait(t.Context(), 1) }()
			synctest.Wait() // waits before the flusher exists
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			begin := time.Now()
			go func() { defer close(ended); _ = w.Run(ctx) }()
			require.NoError(t, <-answers)
			require.LessOrEqual(t, time.Since(begin), bound)
			begin = time.Now()
			w.Append(batch(2, 1, 1))
			require.NoError(t, w.Wait(t.Context(), 2))
			require.LessOrEqual(t, time.Since(begin), bound)
			cancel()
			<-ended
			w.Append(batch(3, 1, 1))
			require.ErrorIs(t, w.Wait(t.Context(), 3), kv.ErrClosed)
			require.ErrorIs(t, w.Flush(t.Context()), kv.ErrClosed)
		})
	}
}

// Random appends, waits and flushes; the process dies at a random PUT, before or after its
// effect. What a new owner replays is a prefix of the batches, whole, and holds every
// acknowledged one.
func TestReplayIsAPrefixAtOrBehindTheLastAck(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		crashAt := rapid.IntRange(1, 8).Draw(rt, "put of the crash")
		effect := rapid.Bool().Draw(rt, "with effect")
		limit := rapid.SampledFrom([]int{1, 500, 5000, 1 << 20}).Draw(rt, "limit")
		// Not Zstd: its shared encoder keeps a channel, which a bubble must not share.
		codec := rapid.SampledFrom([]sst.Codec{sst.NoCompression, sst.Snappy, sst.LZ4}).Draw(rt, "codec")
		ops := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 60).Draw(rt, "ops")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 30), 5, 5).Draw(rt, "batch sizes")
		synctest.Test(t, func(t *testing.T) {
			s := newStub(time.Millisecond)
			crash := func(on bool) func(context.Context, int, string) error {
				return func(_ context.Context, n int, _ string) error {
					if on && n == crashAt {
						return errRefused
					}
					return nil
				}
			}
			s.before, s.after = crash(!effect), crash(effect)
			l := start(t, s, 1, Options{MaxObjectBytes: limit, Codec: codec, FlushInterval: 20 * time.Millisecond})
			acked := kv.Seq(0)
			for i, op := range ops {
				seq := l.writeValue(sizes[i%len(sizes)], i%90)
				switch op {
				case 0, 1:
					if l.Wait(t.Context(), seq) == nil {
						acked = max(acked, seq)
					}
				case 2:
					if l.Flush(t.Context()) == nil {
						acked = max(acked, seq)
					}
				case 3:
					time.Sleep(7 * time.Millisecond)
				case 4:
					l.writeValue(1, 3000)
				}
			}
			_ = l.stop()
			got := replay(t, s, "", 1)
			got.whole(t, l)
			if n := kv.Seq(len(got.seqs)); n < max(acked, l.Durable().Load()) || n > l.seq {
				rt.Fatalf("replayed %d batches, acknowledged %d, mark %d, written %d", n, acked, l.Durable().Load(), l.seq)
			}
		})
	})
}
