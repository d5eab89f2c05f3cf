package compactor

import (
	"context"
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
)

// Submit adds a job and wakes this coordinator, which must run.
func (c *Compactor) Submit(ctx context.Context, spec manifest.Spec) (manifest.Compaction, error) {
	j, err := Submit(ctx, c.jobs, c.conf.Env, spec)
	if err == nil {
		post(c.mail)
	}
	return j, err
}

// Jobs returns the store of the job list that this process uses.
func (c *Compactor) Jobs() *manifest.CompactionsStore { return c.jobs }

// keptResults is how many ended jobs are remembered for Await (arbitrary).
const keptResults = 256

// Await waits until a job, submitted here, has ended. It returns nil when it has completed and
// kv.ErrInvalid when it was refused: its sources may be gone by then, merged by another job. After the end of Run it returns kv.ErrClosed.
func (c *Compactor) Await(ctx context.Context, id ulid.ULID) error {
	for {
		c.mu.Lock()
		status, ok := c.mu.ended[id]
		changed := c.mu.changed
		c.mu.Unlock()
		switch {
		case ok && status == manifest.Completed:
			return nil
		case ok:
			return fmt.Errorf("%w: compaction %s was refused", kv.ErrInvalid, id)
		}
		select {
		case <-changed:
		case <-c.over:
			return fmt.Errorf("compaction %s: the compactor has stopped: %w", id, kv.ErrClosed)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// notify tells waiters what has been settled and stored.
func (c *Compactor) notify() {
	if len(c.settled) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, status := range c.settled {
		if _, ok := c.mu.ended[id]; !ok {
			c.mu.order = append(c.mu.order, id)
		}
		c.mu.ended[id] = status
	}
	for len(c.mu.order) > keptResults {
		delete(c.mu.ended, c.mu.order[0])
		c.mu.order = c.mu.order[1:]
	}
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
}
