package slatedb

import (
	"sync"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
)

// A leaseClock stands still until it is set. The processes of one test each have one, and the
// parent sets them all, so that hours pass in seconds and a busy machine costs nobody a lease.
type leaseClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*leaseTimer]struct{} // that have not fired
}

type leaseTimer struct {
	clock *leaseClock
	at    time.Time
	c     chan time.Time
}

func newLeaseClock(now time.Time) *leaseClock {
	return &leaseClock{now: now, timers: map[*leaseTimer]struct{}{}}
}

func (c *leaseClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// set moves the clock, never back, and fires what is due.
func (c *leaseClock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.After(c.now) {
		c.now = now
	}
	for t := range c.timers {
		t.fireLocked()
	}
}

func (c *leaseClock) NewTimer(d time.Duration) seam.Timer {
	t := &leaseTimer{clock: c, c: make(chan time.Time, 1)}
	t.Reset(d)
	return t
}

func (t *leaseTimer) fireLocked() {
	if !t.at.After(t.clock.now) {
		delete(t.clock.timers, t)
		t.c <- t.clock.now // has room: a timer fires once after each Reset, which empties it
	}
}

func (t *leaseTimer) C() <-chan time.Time { return t.c }

func (t *leaseTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, on := t.clock.timers[t]
	delete(t.clock.timers, t)
	return on
}

func (t *leaseTimer) Reset(d time.Duration) {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	select {
	case <-t.c:
	default:
	}
	t.at = t.clock.now.Add(d)
	t.clock.timers[t] = struct{}{}
	t.fireLocked()
}
