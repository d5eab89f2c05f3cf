package diskcache

import "time"

// health decides whether a disk that has failed is tried again. It is pure: times come in.
//
// A failed write stops writing for a second, then two, up to a minute; one that succeeds ends
// that. Reads go on, since what is there may well be readable on a full disk; when so many of
// them in a row have failed, they stop with the writes, because a dying disk answers slowly.
type health struct {
	until time.Time // no writes before
	wait  time.Duration
	reads int // failed reads in a row
}

const (
	firstWait    = time.Second
	longestWait  = time.Minute
	failedInARow = 8 // arbitrary
)

func (h *health) failed(now time.Time) {
	h.wait = min(max(2*h.wait, firstWait), longestWait)
	h.until = now.Add(h.wait)
}

func (h *health) wrote() { h.wait, h.until = 0, time.Time{} }

// mayWrite reports whether a write is due. A clock that went back far ends the wait too.
func (h *health) mayWrite(now time.Time) bool {
	return h.until.IsZero() || !now.Before(h.until) || h.until.Sub(now) > longestWait
}

func (h *health) readFailed(now time.Time) {
	if h.reads++; h.reads >= failedInARow {
		h.failed(now)
	}
}

func (h *health) read() { h.reads = 0 }

// mayRead reports whether the disk is to be asked. After the wait one read is the probe.
func (h *health) mayRead(now time.Time) bool {
	return h.reads < failedInARow || h.mayWrite(now)
}
