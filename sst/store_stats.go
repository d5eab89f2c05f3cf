package sst

import "sync/atomic"

// StoreStats are counters since NewStore and gauges of now.
type StoreStats struct {
	Requests  uint64 // ranged reads sent
	Bytes     uint64 // read by them
	Rereads   uint64 // requests repeated because what came was damaged
	Damaged   uint64 // sections still damaged then
	ReadAhead int64  // bytes that open iterators hold or have asked for, now

	Filters [3]FilterStats // by QueryKind
}

// FilterStats count what the filters of tables answered, per table asked. A table without a
// filter that fits the query is not counted.
type FilterStats struct {
	Positive      uint64 // may contain
	Negative      uint64 // does not
	FalsePositive uint64 // said may, but the table held nothing that was asked for
}

type storeCounters struct {
	requests, bytes, rereads, damaged atomic.Uint64
	readAhead                         atomic.Int64
	filters                           [filterShards]filterShard
}

// Every point read counts, so the counters of filters are spread: a Lookup keeps to one
// shard.
const filterShards = 16

type filterShard struct {
	n [3][3]atomic.Uint64 // by kind, then positive, negative, false positive
	_ [128 - 72]byte      // to its own pair of cache lines
}

// Stats returns the figures.
func (s *Store) Stats() StoreStats {
	c := &s.counters
	st := StoreStats{
		Requests: c.requests.Load(), Bytes: c.bytes.Load(), Rereads: c.rereads.Load(), Damaged: c.damaged.Load(),
		ReadAhead: c.readAhead.Load(),
	}
	for i := range c.filters {
		for kind := range st.Filters {
			n := &c.filters[i].n[kind]
			st.Filters[kind].Positive += n[0].Load()
			st.Filters[kind].Negative += n[1].Load()
			st.Filters[kind].FalsePositive += n[2].Load()
		}
	}
	return st
}

// A filterTally counts for one reader before it adds to the shared counters.
type filterTally struct {
	s     *Store
	shard uint32
	n     [3]uint32
}

// nextTally deals shards to tallies.
var nextTally atomic.Uint32

// of makes t count for s.
func (t *filterTally) of(s *Store) {
	if t.s != s {
		t.flush(QueryPoint)
		t.s, t.shard = s, nextTally.Add(1)%filterShards
	}
}

func (t *filterTally) flush(kind QueryKind) {
	if t.s == nil || t.n == [3]uint32{} {
		return
	}
	c := &t.s.counters.filters[t.shard].n[kind]
	for i, n := range t.n {
		if n != 0 {
			c[i].Add(uint64(n))
		}
	}
	t.n = [3]uint32{}
}

// countWrong counts a table that a filter let through for nothing.
func (s *Store) countWrong(kind QueryKind) { s.counters.filters[0].n[kind][2].Add(1) }

func (s *Store) countFilter(kind QueryKind, verdict filterVerdict) {
	c := &s.counters.filters[0].n[kind]
	switch verdict {
	case filterMaybe:
		c[0].Add(1)
	case filterNo:
		c[1].Add(1)
	}
}
