package slatedb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// calls are the calls of a handle that its Close cuts off. The zero value is ready.
type calls struct {
	mu struct {
		sync.Mutex
		next    int
		cancels map[int]context.CancelFunc
		ended   bool
	}
}

// begin returns a ctx that ends with the caller's and with end. stop must be called.
func (c *calls) begin(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.ended {
		cancel()
		return ctx, cancel
	}
	if c.mu.cancels == nil {
		c.mu.cancels = make(map[int]context.CancelFunc)
	}
	id := c.mu.next
	c.mu.next++
	c.mu.cancels[id] = cancel
	return ctx, func() {
		cancel()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.mu.cancels, id)
	}
}

// end cuts off all calls, also those to come.
func (c *calls) end() {
	c.mu.Lock()
	c.mu.ended = true
	cancels := c.mu.cancels
	c.mu.cancels = nil
	c.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
}

// A session is what calls of an Admin and of a WALReader have in common: each is bounded by the
// life of the whole.
type session struct {
	h     *handle
	calls calls
}

func (s *session) close() error {
	s.h.fail(ErrClosed)
	s.calls.end()
	s.h.cancel()
	return nil
}

// begin checks that the session is open and bounds ctx by its life.
func (s *session) begin(ctx context.Context) (context.Context, func(), error) {
	if err := s.h.latched(); err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	ctx, stop := s.calls.begin(ctx)
	return ctx, func() { stop(); s.h.report() }, nil
}

// reportEvery is how often the recorder is told the figures of a job that goes on for good.
const reportEvery = time.Minute

// reporting tells them until stop is called, and has returned then.
func (s *session) reporting(ctx context.Context) (stop func()) {
	if s.h.stats.rec == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	env, done := s.h.conf.env, make(chan struct{})
	env.Spawn("metrics-report", func() {
		defer close(done)
		for env.Sleep(ctx, reportEvery) == nil {
			s.h.report()
		}
	})
	return func() { cancel(); <-done }
}

// done is the end of every call: ErrClosed when Close has ended it.
func (s *session) done(op string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		if closed := s.h.latched(); closed != nil {
			return closed
		}
	}
	return fmt.Errorf("%s of %q: %w", op, s.h.path, unavailable(err))
}
