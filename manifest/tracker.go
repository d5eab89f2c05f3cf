package manifest

import (
	"math"
	"slices"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// The insert rule. Neither number is stored, a reader accepts any.
const (
	trackInterval = 60   // seconds between recorded pairs
	trackCapacity = 8192 // pairs; one more and every second one goes
)

// A Tracker relates sequence numbers to the time of their commit by a bounded list of pairs.
// The zero value is empty. It is a value: Clone before changing a copy.
type Tracker struct {
	points []TrackPoint
}

// A TrackPoint says that Seq was committed at a time (Unix seconds).
type TrackPoint struct {
	Seq  kv.Seq
	Unix int64
}

// NewTracker returns a tracker that holds exactly these pairs.
func NewTracker(points ...TrackPoint) Tracker { return Tracker{points: slices.Clone(points)} }

// Clone returns a copy that shares nothing.
func (t *Tracker) Clone() Tracker { return Tracker{points: slices.Clone(t.points)} }

// Len returns the number of pairs.
func (t *Tracker) Len() int { return len(t.points) }

// Points returns a copy of the pairs in order.
func (t *Tracker) Points() []TrackPoint { return slices.Clone(t.points) }

// Insert records a pair when a minute has passed since the last recorded one, and reports
// whether it did. Pairs come in the order of commits.
func (t *Tracker) Insert(seq kv.Seq, unix int64) bool {
	if n := len(t.points); n > 0 {
		// In unsigned arithmetic the difference cannot overflow.
		last := t.points[n-1].Unix
		if unix < last || uint64(unix)-uint64(last) < trackInterval {
			return false
		}
	}
	t.points = append(t.points, TrackPoint{Seq: seq, Unix: unix})
	if len(t.points) > trackCapacity {
		thin := make([]TrackPoint, 0, trackCapacity)
		for i := 0; i < len(t.points); i += 2 {
			thin = append(thin, t.points[i])
		}
		t.points = thin
	}
	return true
}

// Merge inserts the pairs of o, which are newer, in order. The writer does so when a memtable
// with a tracker of its own is published.
func (t *Tracker) Merge(o *Tracker) {
	for _, p := range o.points {
		t.Insert(p.Seq, p.Unix)
	}
}

// TimeOf returns the time of seq: that of the first pair at or above it when up, else of the
// last pair at or below it. ok is false when there is no pair on that side. Searches are
// linear, since trackers damaged by old releases need not be sorted.
func (t *Tracker) TimeOf(seq kv.Seq, up bool) (at time.Time, ok bool) {
	p := t.find(up, func(p TrackPoint) int { return cmp3(uint64(p.Seq), uint64(seq)) })
	if p == nil {
		return time.Time{}, false
	}
	return time.Unix(p.Unix, 0).UTC(), true
}

// SeqAt returns the seq that was current at a time, rounded as in TimeOf. Parts of a second
// are ignored.
func (t *Tracker) SeqAt(at time.Time, up bool) (seq kv.Seq, ok bool) {
	const flip = math.MaxInt64 + 1 // signed order as unsigned order
	want := uint64(at.Unix()) ^ flip
	p := t.find(up, func(p TrackPoint) int { return cmp3(uint64(p.Unix)^flip, want) })
	if p == nil {
		return 0, false
	}
	return p.Seq, true
}

func (t *Tracker) find(up bool, compare func(TrackPoint) int) *TrackPoint {
	n := len(t.points)
	for i := range n {
		j := i
		if !up {
			j = n - 1 - i
		}
		if c := compare(t.points[j]); c == 0 || (c > 0) == up {
			return &t.points[j]
		}
	}
	return nil
}

func cmp3(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
