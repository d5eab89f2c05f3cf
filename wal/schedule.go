package wal

import (
	"slices"
	"time"
)

// A demand is what the flusher knows when it asks whether an upload is due. No upload runs
// at that moment.
type demand struct {
	rows   bool // something to upload
	full   bool // a whole object's worth, or more
	flush  bool // Flush wants rows that are not stored
	waited bool // Wait or Flush wants rows that are not stored
	back   int  // waiters that came since the last upload released some

	firstRow    time.Time // when the oldest row was seen
	lastStart   time.Time // of the last upload; zero: none yet
	gather      int       // waiters the last upload released; 0: nothing to gather for
	gatherUntil time.Time
}

// startAt returns when the next upload begins, and false when only a new row or a new
// waiter can make one due. A time that has passed means now.
//
// The order of the rules is the contract: a full buffer waits for nothing, a waiter for the
// gathering alone, a row that nobody waits for for the interval; and the gap holds back all
// but a full buffer and Flush.
func (d *demand) startAt(now time.Time, interval, gap time.Duration) (at time.Time, ok bool) {
	switch {
	case !d.rows:
		return time.Time{}, false
	case d.full:
		return now, true
	case d.gathering(now):
		at = d.gatherUntil
	case d.waited:
		at = now
	case interval > 0:
		at = d.firstRow.Add(interval)
	default:
		return time.Time{}, false
	}
	if !d.flush && gap > 0 && !d.lastStart.IsZero() {
		if least := d.lastStart.Add(gap); least.After(at) {
			at = least
		}
	}
	return at, true
}

// gathering reports whether the upload leaves room for the waiters that the last one
// released. Without it n clients in a closed loop fall into two groups that wait for each
// other's uploads, and each write pays two PUTs.
func (d *demand) gathering(now time.Time) bool {
	return d.waited && d.back < d.gather && now.Before(d.gatherUntil)
}

// gatherShare of the usual PUT time is what gathering may cost at most.
const gatherShare = 20 // 5 %

// maxGather bounds it besides: a PUT that took the minutes of an outage is no usual one, but
// of the first few it may be the median.
const maxGather = 50 * time.Millisecond

// putTimes remembers recent PUTs. Their median is the usual time: an average would let one
// stalled request stretch the gathering of many uploads.
type putTimes struct {
	recent [15]time.Duration
	n      int // ever added
}

func (p *putTimes) add(d time.Duration) {
	p.recent[p.n%len(p.recent)] = d
	p.n++
}

func (p *putTimes) usual() time.Duration {
	if p.n == 0 {
		return 0
	}
	s := p.recent
	kept := s[:min(p.n, len(s))]
	slices.Sort(kept)
	return kept[len(kept)/2]
}
