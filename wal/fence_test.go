package wal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

var env = seam.New(seam.Env{})

func putFence(t testing.TB, s objstore.Store, id uint64) {
	t.Helper()
	_, err := s.Put(t.Context(), sst.WALID(id).Object("db"), nil, objstore.IfAbsent())
	require.NoError(t, err)
}

// ceiling is a store whose log reaches up to an id, without objects.
type ceiling struct {
	objstore.Store
	from, tail uint64
	mu         sync.Mutex
	heads      int
}

func (c *ceiling) Head(_ context.Context, key string) (objstore.Attributes, error) {
	c.mu.Lock()
	c.heads++
	c.mu.Unlock()
	var id uint64
	if _, err := fmt.Sscanf(key, "wal/%d.sst", &id); err != nil {
		return objstore.Attributes{}, err
	}
	if id > c.tail || id <= c.from {
		return objstore.Attributes{}, fmt.Errorf("head: %w", objstore.ErrNotFound)
	}
	return objstore.Attributes{Key: key}, nil
}

func TestFindTail(t *testing.T) {
	for _, after := range []uint64{0, 1, 77, 1 << 40} {
		for _, n := range []uint64{0, 1, 2, 3, 4, 5, 63, 64, 127, 128, 129, 255, 256, 257, 1000, 70_000, 1<<40 + 12345, 1<<48 - 1} {
			c := &ceiling{from: after, tail: after + n}
			got, err := FindTail(t.Context(), c, env, "", after)
			require.NoError(t, err)
			require.Equal(t, after+n, got)
			if n == 0 {
				require.Equal(t, 8, c.heads, "one round")
			}
			if n < 100 {
				require.LessOrEqual(t, c.heads, 8+2*8, "two more round trips")
			}
		}
	}
	t.Run("a failed probe is no miss", func(t *testing.T) {
		s := &headFails{newStub(0)}
		_, err := FindTail(t.Context(), s, env, "", 0)
		require.ErrorIs(t, err, kv.ErrUnavailable)
		require.ErrorIs(t, err, errRefused)
	})
	t.Run("ctx", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := FindTail(ctx, objstore.NewMemory(), env, "", 0)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, kv.ErrUnavailable)
	})
	t.Run("no id above", func(t *testing.T) {
		_, err := FindTail(t.Context(), objstore.NewMemory(), env, "", ^uint64(0)-5)
		require.ErrorIs(t, err, kv.ErrCorrupt)
	})
}

type headFails struct{ objstore.Store }

func (headFails) Head(_ context.Context, key string) (objstore.Attributes, error) {
	if key == sst.WALID(8).Object("") {
		return objstore.Attributes{}, errRefused
	}
	return objstore.Attributes{}, nil
}

func TestFence(t *testing.T) {
	never := func(context.Context) error { return errors.New("not asked") }
	t.Run("free id", func(t *testing.T) {
		s := newStub(0)
		id, err := Fence(t.Context(), s, env, "db", 3, never)
		require.NoError(t, err)
		require.Equal(t, uint64(3), id)
		o, err := s.Store.Get(t.Context(), "db/wal/00000000000000000003.sst")
		require.NoError(t, err)
		require.Empty(t, o.Body)
	})
	t.Run("A3 taken ids are passed, one confirmation each", func(t *testing.T) {
		s := newStub(0)
		for id := uint64(1); id <= 20; id++ {
			putFence(t, s.Store, id)
		}
		asked := 0
		id, err := Fence(t.Context(), s, env, "db", 1, func(context.Context) error { asked++; return nil })
		require.NoError(t, err)
		require.Equal(t, uint64(21), id)
		require.Equal(t, 20, asked)
	})
	t.Run("overtaken", func(t *testing.T) {
		s := newStub(0)
		putFence(t, s.Store, 1)
		_, err := Fence(t.Context(), s, env, "db", 1, func(context.Context) error { return kv.ErrFenced })
		require.ErrorIs(t, err, kv.ErrFenced)
		require.Equal(t, 1, s.puts(), "no fence against the successor")
	})
	t.Run("errors", func(t *testing.T) {
		for answer, want := range map[error]error{
			errRefused:                  kv.ErrUnavailable,
			objstore.ErrOutcomeUnknown:  kv.ErrOutcomeUnknown,
			objstore.ErrNotSupported:    kv.ErrUnavailable,
			context.DeadlineExceeded:    kv.ErrUnavailable, // the store's own deadline
			objstore.Permanent(errFull): kv.ErrUnavailable,
		} {
			s := newStub(0)
			s.before = func(context.Context, int, string) error { return answer }
			_, err := Fence(t.Context(), s, env, "db", 1, never)
			require.ErrorIs(t, err, want)
		}
	})
	t.Run("ctx ends an endless race", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newStub(0)
		s.before = func(_ context.Context, n int, _ string) error {
			if n == 50 {
				cancel()
			}
			return objstore.ErrPrecondition
		}
		_, err := Fence(ctx, s, env, "db", 1, func(context.Context) error { return nil })
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 50, s.puts())
	})
}

var errFull = errors.New("quota")

// epochs is the manifest's part of opening: claims by compare-and-swap.
type epochs struct {
	mu   sync.Mutex
	last int
}

func (e *epochs) claim() int { e.mu.Lock(); defer e.mu.Unlock(); e.last++; return e.last }
func (e *epochs) holds(mine int) func(context.Context) error {
	return func(context.Context) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.last != mine {
			return kv.ErrFenced
		}
		return nil
	}
}

// A2: two writers open at once; whichever order their steps take, one owns the log and the
// other cannot store a row behind it. Steps of an open: tail, claim, fence, confirm.
func TestA2_TwoOpenersInEveryOrder(t *testing.T) {
	type opener struct {
		tail, fence uint64
		epoch       int
		err         error
	}
	var run func(order []int, left [2]int)
	total := 0
	run = func(order []int, left [2]int) {
		if left[0]+left[1] > 0 {
			for w := range left {
				if left[w] > 0 {
					next := left
					next[w]--
					run(append(order[:len(order):len(order)], w), next)
				}
			}
			return
		}
		total++
		s, e := objstore.NewMemory(), &epochs{}
		putFence(t, s, 1)
		var o [2]opener
		var step [2]int
		for _, w := range order {
			p := &o[w]
			if p.err == nil {
				switch step[w] {
				case 0:
					p.tail, p.err = FindTail(t.Context(), s, env, "db", 0)
				case 1:
					p.epoch = e.claim()
				case 2:
					p.fence, p.err = Fence(t.Context(), s, env, "db", p.tail+1, e.holds(p.epoch))
				case 3:
					p.err = e.holds(p.epoch)(t.Context())
				}
			}
			step[w]++
		}
		// Both may have got through one after the other; then the older must fail at its
		// first PUT, since the newer's fence stands there.
		opened := 0
		for w := range o {
			if o[w].err != nil {
				require.ErrorIs(t, o[w].err, kv.ErrFenced, "order %v", order)
				continue
			}
			l := start(t, s, o[w].fence+1, Options{Root: "db", FlushInterval: -1})
			err := l.Wait(t.Context(), l.write(1))
			_ = l.stop()
			if err == nil {
				opened++
				require.Equal(t, e.last, o[w].epoch, "order %v: an older epoch stored a row", order)
			} else {
				require.ErrorIs(t, err, kv.ErrFenced, "order %v", order)
			}
		}
		require.LessOrEqual(t, opened, 1, "order %v", order)
		if o[0].epoch > o[1].epoch {
			require.NoError(t, o[0].err, "order %v: the newest claim wins", order)
		} else {
			require.NoError(t, o[1].err, "order %v: the newest claim wins", order)
		}
	}
	run(nil, [2]int{4, 4})
	require.Equal(t, 70, total)
}

// A4: the old writer keeps writing while a new one fences and replays. Every acknowledged
// row is in the replay, and the old one ends as fenced.
func TestA4_EveryAckOfTheOldWriterIsReplayed(t *testing.T) {
	for pause := range 8 {
		synctest.Test(t, func(t *testing.T) {
			s := newStub(putTime)
			l := start(t, s, 1, Options{})
			acked := make(chan kv.Seq, 1000)
			go func() {
				defer close(acked)
				for {
					seq := l.write(2)
					if l.Wait(context.Background(), seq) != nil {
						return
					}
					acked <- seq
				}
			}()
			for range 3 + pause {
				<-acked
			}
			tail, err := FindTail(t.Context(), s, env, "", 0)
			require.NoError(t, err)
			for range pause % 4 {
				<-acked // goes on behind the tail just found
			}
			fence, err := Fence(t.Context(), s, env, "", tail+1, func(context.Context) error { return nil })
			require.NoError(t, err)
			var last kv.Seq
			for seq := range acked {
				last = seq
			}
			<-l.ended
			require.ErrorIs(t, l.err, kv.ErrFenced)
			last = max(last, l.Durable().Load())
			r := NewReplayer(t.Context(), s, ReplayOptions{From: 1, To: fence})
			defer r.Close()
			n := kv.Seq(0)
			for r.Next() {
				n++
				require.Equal(t, n, r.Batch()[0].Seq)
			}
			require.NoError(t, r.Err())
			require.GreaterOrEqual(t, n, last)
		})
	}
}
