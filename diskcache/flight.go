package diskcache

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// A flight is a part on its way from the store to the disk. Whoever misses the part meanwhile
// waits for the same flight, and finds it in memory until it is written. A waiter leaves when
// its own ctx ends; when all have left, the request is cut off.
type flight struct {
	key  partKey
	run  *run
	done chan struct{} // closed when data and err are set
	data []byte        // fewer bytes than a part only at the end of the object
	err  error

	// Under the cache's mu.
	refused bool // dropped while under way: not to be kept
	landed  bool // neither under way nor waiting for the disk
}

// A run is one request, for neighbouring parts.
type run struct {
	flights []*flight
	waiters int // of all flights, under mu
	cancel  context.CancelFunc
}

// join returns a flight for each part, and starts requests for those that nobody reads yet.
func (c *Cache) join(ctx context.Context, from objstore.Store, key string, o objectID, parts []uint32) []*flight {
	out := make([]*flight, len(parts))
	var runs []*run
	var last *run
	var lctx context.Context
	c.mu.Lock()
	for i, n := range parts {
		k := partKey{o, n}
		if fl := c.mu.flights[k]; fl != nil {
			fl.run.waiters++
			out[i], last = fl, nil
			continue
		}
		if last == nil || parts[i-1]+1 != n {
			last = &run{}
			runs = append(runs, last)
		}
		fl := &flight{key: k, run: last, done: make(chan struct{})}
		last.flights = append(last.flights, fl)
		last.waiters++
		c.mu.flights[k] = fl
		out[i] = fl
	}
	for _, r := range runs {
		// Not the caller's end, but the caller's values: the request serves others as well.
		lctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
		c.launch(lctx, r, from, key)
	}
	c.mu.Unlock()
	return out
}

func (c *Cache) launch(ctx context.Context, r *run, from objstore.Store, key string) {
	c.conf.Env.Spawn("disk-cache.fetch", func() {
		defer r.cancel()
		var data []byte
		err := seam.Guard("disk cache fetch", func() (err error) {
			data, err = c.fetch(ctx, r, from, key)
			return err
		})
		c.arrive(r, data, err)
	})
}

// fetch reads the parts of a run. What it returns is shorter only at the end of the object.
func (c *Cache) fetch(ctx context.Context, r *run, from objstore.Store, key string) ([]byte, error) {
	buf := make([]byte, int64(len(r.flights))*c.geo.part)
	n, err := from.ReadAt(ctx, key, buf, int64(r.flights[0].key.part)*c.geo.part)
	switch {
	case err == nil && n < len(buf):
		return nil, fmt.Errorf("read %s: got %d of %d bytes: %w", key, n, len(buf), io.ErrUnexpectedEOF)
	case errors.Is(err, objstore.ErrRange) && n > 0 && n < len(buf):
		return buf[:n], nil
	case err != nil:
		return nil, err
	}
	return buf, nil
}

// arrive tells the outcome to all who wait, and hands the parts to the writer.
func (c *Cache) arrive(r *run, data []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, fl := range r.flights {
		if fl.err = err; err == nil {
			from := min(int64(i)*c.geo.part, int64(len(data)))
			to := min(from+c.geo.part, int64(len(data)))
			fl.data = data[from:to:to]
		}
		close(fl.done)
		if err != nil || !c.enqueueLocked(fl) {
			c.landLocked(fl)
		}
	}
}

// landLocked ends a flight: the next one who asks looks on disk.
func (c *Cache) landLocked(fl *flight) {
	fl.landed = true
	if c.mu.flights[fl.key] == fl {
		delete(c.mu.flights, fl.key)
	}
}

// wait returns a part, or leaves it.
func (c *Cache) wait(ctx context.Context, fl *flight) ([]byte, error) {
	select {
	case <-fl.done: // also when ctx has ended: it is there
		c.leave(fl)
		return fl.data, fl.err
	default:
	}
	select {
	case <-fl.done:
		c.leave(fl)
		return fl.data, fl.err
	case <-ctx.Done():
		c.leave(fl)
		return nil, ctx.Err()
	}
}

// leave counts a waiter out. The last one cuts off a request that is still under way; its
// flights are taken away first, so that nobody joins what is about to fail.
func (c *Cache) leave(fl *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := fl.run
	if r.waiters--; r.waiters > 0 {
		return
	}
	select {
	case <-fl.done:
		return
	default:
	}
	for _, f := range r.flights {
		if c.mu.flights[f.key] == f {
			delete(c.mu.flights, f.key)
		}
	}
	r.cancel()
}
