package slatedb

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
)

// pressure bounds the bytes that wait for an upload. Up to half the limit it costs an atomic
// add. From there each write is delayed in proportion to what lies above half, so that
// writers slow down before they stop; at the limit they wait for room, with their ctx.
type pressure struct {
	limit int64
	used  atomic.Int64 // memtables, active and frozen, and writes being admitted
	env   *seam.Env
	debt  atomic.Int64 // nanoseconds of delay not slept yet: a timer is coarser than a row
	room  broadcast    // signalled when bytes are given back
	ended func() error
	stall func(have int64) // told once a stalled write, outside locks
	log   func(have int64)
	// relieve has what waits in the active memtable flushed when nothing else is on its way:
	// it may hold all the room there is and still be too small to be frozen.
	relieve func()

	waiting atomic.Int64 // stalled writers
}

// maxDelay is the delay of a mebibyte just below the limit. It bounds the rate there to
// about 10 MiB/s a writer, below what one core can flush; arbitrary otherwise.
const (
	maxDelayPerMiB = 100 * time.Millisecond
	minSleep       = time.Millisecond
	stallLogEvery  = 30 * time.Second
)

// admit charges size, waiting if it must. On an error nothing is charged. A write larger
// than the limit is admitted when nothing else is charged.
func (p *pressure) admit(ctx context.Context, size int64) error {
	used := p.used.Add(size)
	if used <= p.limit/2 {
		return nil
	}
	if used <= p.limit || used == size {
		return p.slow(ctx, used, size)
	}
	return p.wait(ctx, size)
}

// slow delays a write in proportion to how far the charge is above half.
func (p *pressure) slow(ctx context.Context, used, size int64) error {
	over := float64(used-p.limit/2) / float64(p.limit-p.limit/2)
	delay := int64(min(over, 1) * float64(maxDelayPerMiB) * float64(size) / (1 << 20))
	owed := p.debt.Add(delay)
	if owed < int64(minSleep) || !p.debt.CompareAndSwap(owed, 0) {
		return nil
	}
	room := p.room.wait()
	t := p.env.Clock.NewTimer(time.Duration(owed))
	defer t.Stop()
	select {
	case <-t.C():
	case <-room:
	case <-ctx.Done():
		p.release(size)
		return ctx.Err()
	}
	return nil
}

func (p *pressure) wait(ctx context.Context, size int64) error {
	p.release(size)
	first := true
	defer func() {
		if !first {
			p.waiting.Add(-1)
		}
	}()
	for {
		room := p.room.wait() // before the look
		if err := p.ended(); err != nil {
			return err
		}
		used, ok := p.charge(size)
		if ok {
			return nil
		}
		if first {
			first = false
			p.waiting.Add(1)
			p.stall(used)
		}
		p.relieve()
		t := p.env.Clock.NewTimer(stallLogEvery)
		select {
		case <-room:
		case <-t.C():
			p.log(used)
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("waiting for room in memory: %w", ctx.Err())
		}
		t.Stop()
	}
}

// charge charges size if there is room. It never does so for a moment only: another waiter
// that saw the moment would wait on, and nobody would be left to wake it.
func (p *pressure) charge(size int64) (used int64, ok bool) {
	for {
		used = p.used.Load()
		if used > 0 && used+size > p.limit {
			return used, false
		}
		if p.used.CompareAndSwap(used, used+size) {
			return used, true
		}
	}
}

// release gives bytes back and wakes who waits for them.
func (p *pressure) release(size int64) {
	p.used.Add(-size)
	p.room.signal()
}
