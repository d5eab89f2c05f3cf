// Package hedge cuts the tail of read latencies: a range that is slow in coming is asked for
// a second time, and the first answer wins.
//
//	retry ─▶ hedge ─▶ metered "read"  ─▶ provider
//	            └───▶ metered "hedge" ─▶ provider    after the delay, if there is budget
//
// The delay is a quantile of the latencies seen lately, so that of a thousand reads some
// fifty would be hedged; the budget makes sure of it: when the whole store is slow, a second
// request helps nobody.
//
// A Store made by New is safe for concurrent use.
package hedge

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// Options of New. The zero value of every field is its default.
type Options struct {
	// Quantile of the latencies after which the second request leaves. Default 0.95.
	Quantile float64
	// MinDelay is the least wait before it. Default 10ms: below, a second connection costs
	// more than it wins.
	MinDelay time.Duration
	// MaxShare bounds the second requests to this share of the first. Default 0.05.
	MaxShare float64
	// MaxBytes is the longest range that is hedged; a long one takes its time because it is
	// long. Default 1 MiB.
	MaxBytes int
	// Second is where second requests go. nil: the same store.
	Second objstore.Store
	// Env has the clock and the goroutines. nil: the system's.
	Env *seam.Env
}

// window is how many latencies the quantile is taken of, and learned how many must have been
// seen before anything is hedged. burst bounds the budget that a quiet time saves up.
const (
	window  = 256
	learned = 32
	burst   = 8
)

// New returns inner with hedged ReadAt. Other methods pass. Each hedgeable read costs a
// buffer of the range's size more, since the loser may still be writing into its own.
func New(inner objstore.Store, o Options) objstore.Store {
	if o.Quantile <= 0 || o.Quantile >= 1 {
		o.Quantile = 0.95
	}
	if o.MinDelay <= 0 {
		o.MinDelay = 10 * time.Millisecond
	}
	if o.MaxShare <= 0 {
		o.MaxShare = 0.05
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 1 << 20
	}
	if o.Second == nil {
		o.Second = inner
	}
	if o.Env == nil {
		o.Env = seam.New(seam.Env{})
	}
	return &store{Store: inner, o: o}
}

type store struct {
	objstore.Store
	o Options

	mu struct {
		sync.Mutex
		seen   [window]time.Duration // a ring
		n      int                   // ever seen
		delay  time.Duration         // 0: not learned yet
		budget float64               // second requests that may leave
	}
}

// answer is what one of the two came back with.
type answer struct {
	p   []byte
	n   int
	err error
}

func (a answer) good() bool { return a.err == nil || objstore.IsPermanent(a.err) }

// ReadAt implements objstore.Store.
func (s *store) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if len(p) == 0 || len(p) > s.o.MaxBytes {
		return s.Store.ReadAt(ctx, key, p, off)
	}
	clock := s.o.Env.Clock
	start := clock.Now()
	delay, hedgeable := s.begin()
	if !hedgeable {
		n, err := s.Store.ReadAt(ctx, key, p, off)
		if err == nil {
			s.learn(clock.Now().Sub(start))
		}
		return n, err
	}

	ctx, cancel := context.WithCancel(ctx) // ends the loser
	defer cancel()
	answers := make(chan answer, 2)
	ask := func(name string, from objstore.Store) {
		s.o.Env.Spawn(name, func() {
			a := answer{p: make([]byte, len(p))}
			a.err = seam.Guard(name, func() (err error) {
				a.n, err = from.ReadAt(ctx, key, a.p, off)
				return err
			})
			answers <- a
		})
	}
	ask("read-first", s.Store)
	t := clock.NewTimer(delay)
	defer t.Stop()
	flying := 1
	var bad answer
	for {
		select {
		case a := <-answers:
			flying--
			if a.good() || flying == 0 {
				if !a.good() && bad.err != nil {
					a = bad // the first failure, not the one of its replacement
				}
				if a.err == nil {
					s.learn(clock.Now().Sub(start))
				}
				return copy(p, a.p[:a.n]), a.err
			}
			bad = a
		case <-t.C():
			if s.take() {
				flying++
				ask("read-second", s.o.Second)
			}
		case <-ctx.Done():
			// Both end with it, and write only buffers of their own.
			return 0, ctx.Err()
		}
	}
}

// begin counts a read and says after what delay it may be hedged.
func (s *store) begin() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.budget = min(s.mu.budget+s.o.MaxShare, burst)
	return s.mu.delay, s.mu.delay > 0 && s.mu.budget >= 1
}

// take spends the budget of one second request.
func (s *store) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.budget < 1 {
		return false
	}
	s.mu.budget--
	return true
}

// learn adds the latency of a read that succeeded. That of a hedged one is at least the
// delay, so the quantile does not sink by hedging.
func (s *store) learn(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.seen[s.mu.n%window] = d
	s.mu.n++
	if s.mu.n < learned || s.mu.n%learned != 0 {
		return // sorting each time would cost more than it tells
	}
	sorted := slices.Clone(s.mu.seen[:min(s.mu.n, window)])
	slices.Sort(sorted)
	at := min(int(s.o.Quantile*float64(len(sorted))), len(sorted)-1)
	// An eighth more: where latencies hardly vary, the slowest are no outliers.
	s.mu.delay = max(sorted[at]+sorted[at]/8, s.o.MinDelay)
}
