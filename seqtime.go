package slatedb

import (
	"context"
	"fmt"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// Rounding tells which neighbour stands for a time or number that was not recorded itself.
type Rounding uint8

// The roundings.
const (
	RoundDown Rounding = iota // the last one at or before
	RoundUp                   // the first one at or after
)

// SeqForTime returns the sequence number that was current at time t, as far as the manifest
// knows: it records about one pair a minute, when memtables are flushed. ErrNotFound when
// there is no pair on the side asked for.
func (a *Admin) SeqForTime(ctx context.Context, t time.Time, r Rounding) (uint64, error) {
	m, err := a.latestFor(ctx, r)
	if err != nil {
		return 0, err
	}
	seq, ok := m.Tracker.SeqAt(t, r == RoundUp)
	if !ok {
		return 0, fmt.Errorf("%w: no sequence number is known for %v", ErrNotFound, t)
	}
	return uint64(seq), nil
}

// TimeForSeq returns the time at which sequence number seq was current; see SeqForTime.
func (a *Admin) TimeForSeq(ctx context.Context, seq uint64, r Rounding) (time.Time, error) {
	m, err := a.latestFor(ctx, r)
	if err != nil {
		return time.Time{}, err
	}
	t, ok := m.Tracker.TimeOf(kv.Seq(seq), r == RoundUp)
	if !ok {
		return time.Time{}, fmt.Errorf("%w: no time is known for sequence number %d", ErrNotFound, seq)
	}
	return t, nil
}
