package wal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStartAt(t *testing.T) {
	t0 := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	ms := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Millisecond) }
	const interval, gap = 100 * time.Millisecond, 30 * time.Millisecond
	never := time.Time{}
	for _, c := range []struct {
		name     string
		d        demand
		interval time.Duration
		gap      time.Duration
		want     time.Time // with now = 10
	}{
		{"nothing", demand{waited: true, flush: true}, interval, 0, never},
		{"row nobody waits for", demand{rows: true, firstRow: ms(5)}, interval, 0, ms(105)},
		{"no timer", demand{rows: true, firstRow: ms(5)}, -1, 0, never},
		{"waiter", demand{rows: true, waited: true, firstRow: ms(5)}, interval, 0, ms(10)},
		{"waiter without timer", demand{rows: true, waited: true}, -1, 0, ms(10)},
		{"gathering", demand{rows: true, waited: true, back: 1, gather: 2, gatherUntil: ms(12)}, interval, 0, ms(12)},
		{"all back", demand{rows: true, waited: true, back: 2, gather: 2, gatherUntil: ms(12)}, interval, 0, ms(10)},
		{"gathering over", demand{rows: true, waited: true, back: 1, gather: 2, gatherUntil: ms(10)}, interval, 0, ms(10)},
		{"gathering is for waiters", demand{rows: true, gather: 2, gatherUntil: ms(12), firstRow: ms(9)}, interval, 0, ms(109)},
		{"gap holds a waiter", demand{rows: true, waited: true, lastStart: ms(0)}, interval, gap, ms(30)},
		{"gap over", demand{rows: true, waited: true, lastStart: ms(-25)}, interval, gap, ms(10)},
		{"gap holds the timer", demand{rows: true, firstRow: ms(-95), lastStart: ms(0)}, interval, gap, ms(30)},
		{"first upload has no gap", demand{rows: true, waited: true}, interval, gap, ms(10)},
		{"flush ignores the gap", demand{rows: true, waited: true, flush: true, lastStart: ms(0)}, interval, gap, ms(10)},
		{"flush gathers", demand{rows: true, waited: true, flush: true, gather: 2, gatherUntil: ms(12), lastStart: ms(0)}, interval, gap, ms(12)},
		{"full ignores gap", demand{rows: true, full: true, lastStart: ms(0)}, interval, gap, ms(10)},
		{"full ignores gathering", demand{rows: true, full: true, waited: true, gather: 2, gatherUntil: ms(12)}, interval, 0, ms(10)},
		{"full without timer", demand{rows: true, full: true}, -1, 0, ms(10)},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, ok := c.d.startAt(ms(10), c.interval, c.gap)
			require.Equal(t, !c.want.IsZero(), ok)
			if ok {
				require.Equal(t, c.want, at)
			}
		})
	}
}

func TestUsualPutTimeIgnoresAnOutlier(t *testing.T) {
	var p putTimes
	require.Zero(t, p.usual())
	for range 5 {
		p.add(40 * time.Millisecond)
	}
	p.add(time.Minute)
	require.Equal(t, 40*time.Millisecond, p.usual())
	for range 30 {
		p.add(20 * time.Millisecond)
	}
	require.Equal(t, 20*time.Millisecond, p.usual())
}
