package slatedb

import (
	"context"
	"sync"
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
