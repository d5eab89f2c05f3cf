package main

import (
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that are a 16th apart, so that a bench of any
// length takes the same memory. The zero value is empty.
type histogram struct {
	counts [64 * 16]int
	total  int
	max    time.Duration
}

// bucket of a duration: below 16 ns each has its own, above that each power of two has 16.
func bucket(d time.Duration) int {
	n := uint64(max(d, 0))
	shift := max(bits.Len64(n)-5, 0)
	return shift*16 + int(n>>shift)
}

// upper is the largest duration of a bucket.
func upper(i int) time.Duration {
	if i < 32 {
		return time.Duration(i)
	}
	shift := i/16 - 1
	return time.Duration(uint64(i-shift*16+1)<<shift - 1)
}

func (h *histogram) record(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
	h.max = max(h.max, d)
}

func (h *histogram) add(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// quantile is the duration that a share q of all do not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	left := int(q*float64(h.total) + 0.5)
	for i, n := range h.counts {
		if left -= n; left <= 0 && n > 0 {
			return min(upper(i), h.max)
		}
	}
	return h.max
}

func (h *histogram) report(seconds float64) opReport {
	us := func(d time.Duration) float64 { return float64(d) / 1000 }
	return opReport{
		Count: h.total, PerSecond: float64(h.total) / max(seconds, 1e-9),
		P50: us(h.quantile(0.5)), P90: us(h.quantile(0.9)), P99: us(h.quantile(0.99)), Max: us(h.max),
	}
}
