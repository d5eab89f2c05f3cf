package main

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// padded keeps the counters of two goroutines out of one cache line.
type padded struct {
	n atomic.Int64
	_ [56]byte
}

// measured is what spread has seen.
type measured struct {
	lat       []int64 // sorted, in ns
	ops       int
	minWindow int // operations in the worst whole second, -1 when none has passed
}

// spread runs f over 0..n on the given number of goroutines, the way the other drivers do:
// goroutine t takes t, t+threads, ... With a limit, it goes on behind n until the time is up.
func spread(threads, n int, limit time.Duration, f func(i uint64)) measured {
	all := make([][]int64, threads)
	done := make([]padded, threads)
	begun := time.Now()
	stopWatch, watched := make(chan struct{}), make(chan int)
	go watch(done, stopWatch, watched)
	var wg sync.WaitGroup
	for t := range threads {
		wg.Go(func() {
			lat := make([]int64, 0, n/threads+1)
			for i := t; ; i += threads {
				s := time.Now()
				if limit > 0 && s.Sub(begun) >= limit || limit == 0 && i >= n {
					break
				}
				f(uint64(i))
				lat = append(lat, time.Since(s).Nanoseconds())
				done[t].n.Add(1)
			}
			all[t] = lat
		})
	}
	wg.Wait()
	close(stopWatch)
	m := measured{minWindow: <-watched}
	for _, l := range all {
		m.lat = append(m.lat, l...)
	}
	m.ops = len(m.lat)
	slices.Sort(m.lat)
	return m
}

// watch finds the whole second in which the fewest operations ended.
func watch(done []padded, stop chan struct{}, result chan int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	worst, last := -1, int64(0)
	for {
		select {
		case <-stop:
			result <- worst
			return
		case <-tick.C:
			sum := int64(0)
			for i := range done {
				sum += done[i].n.Load()
			}
			if w := int(sum - last); worst < 0 || w < worst {
				worst = w
			}
			last = sum
		}
	}
}

// us returns a quantile in microseconds.
func (m measured) us(q float64) float64 {
	if len(m.lat) == 0 {
		return 0
	}
	return float64(m.lat[int(float64(len(m.lat)-1)*q)]) / 1000
}
