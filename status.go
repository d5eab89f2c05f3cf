package slatedb

import (
	"context"
	"iter"
	"sync"
)

// Status is what a handle is at one moment. Its numbers never go back.
type Status struct {
	// CommittedSeq is the newest number that reads see, DurableSeq the newest that the object
	// store has. DurableSeq <= CommittedSeq.
	CommittedSeq, DurableSeq uint64
	// ManifestID is the newest manifest the handle knows.
	ManifestID uint64
	// Segments are the prefixes of the segments that hold data, ascending; nil without a
	// segment extractor.
	Segments [][]byte
	// Store tells how the object store has answered lately. While it is down, background work
	// waits and so do calls, each until its ctx ends.
	Store StoreState
	// Err is nil while the handle works, then what closed it: ErrClosed after Close,
	// ErrFenced, or the failure of a background task.
	Err error
}

// broadcast wakes everybody who watches a handle. The zero value is ready.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that is closed at the next signal.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) signal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// watch yields the status now and after each change, coalesced, until ctx ends or the
// handle does.
func watch(ctx context.Context, b *broadcast, status func() Status) iter.Seq[Status] {
	return func(yield func(Status) bool) {
		var last Status
		for first := true; ; first = false {
			changed := b.wait() // before the look, so that no change is missed
			if s := status(); first || !s.equal(&last) {
				if !yield(s) || s.Err != nil {
					return
				}
				last = s
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}
}

func (s *Status) equal(o *Status) bool {
	if s.CommittedSeq != o.CommittedSeq || s.DurableSeq != o.DurableSeq || s.ManifestID != o.ManifestID ||
		(s.Err == nil) != (o.Err == nil) || s.Store.State != o.Store.State || len(s.Segments) != len(o.Segments) {
		return false
	}
	for i := range s.Segments {
		if string(s.Segments[i]) != string(o.Segments[i]) {
			return false
		}
	}
	return true
}
