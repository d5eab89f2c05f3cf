package slatedb

import (
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore/metered"
)

// The background task of a reader: it looks for news and keeps the lease alive.

const (
	defaultReaderPoll = 10 * time.Second // and of a reader that was given no interval, while something happens
	idleReaderPoll    = time.Minute      // of such a reader when nothing does
	quickLooks        = 6                // of it that find nothing before it slows down
	// A lease is renewed when half of its life is left, and a look may be late: with so many
	// looks in a lifetime that takes no more writes than with more of them.
	pollsPerLease = 6
)

// pollsFor is the wait before the next look when idle looks in a row have found nothing;
// 0 = there is nothing to do.
func (r *Reader) pollsFor(idle int) time.Duration {
	switch {
	case r.mode == PinnedCheckpoint:
		return 0
	case r.poll > 0:
		return r.poll
	case r.poll == 0:
		return min(defaultReaderPoll<<min(max(idle-quickLooks, 0), 3), r.slowest())
	case r.mode == ManagedCheckpoint:
		return r.leases.life / 2
	}
	return 0
}

// slowest is the longest wait between two looks.
func (r *Reader) slowest() time.Duration {
	if r.poll != 0 {
		return r.pollsFor(0)
	}
	if r.mode == ManagedCheckpoint {
		return max(defaultReaderPoll, min(idleReaderPoll, r.leases.life/pollsPerLease))
	}
	return idleReaderPoll
}

// seen is what tells whether anything has happened.
type seen struct {
	manifest uint64
	seq      kv.Seq
}

func (r *Reader) seen() seen { return seen{r.state.Load().man.ID, r.durable.Load()} }

func (r *Reader) follow() {
	ctx := metered.Rebook(r.open, "manifest", "poll")
	idle, last := 0, r.seen()
	for r.conf.env.Sleep(r.open, r.pollsFor(idle)) == nil {
		err := seam.Guard("reader poll", func() error {
			if r.poll < 0 {
				return r.refreshWith(ctx, r.keepLease)
			}
			return r.Refresh(ctx)
		})
		if err != nil {
			if r.open.Err() == nil {
				r.conf.Logger.Warn("slatedb: reader refresh", "path", r.path, "err", err)
			}
			continue
		}
		idle++
		if now := r.seen(); now != last { // also news that a Refresh of the user's brought
			idle, last = 0, now
		}
	}
}
