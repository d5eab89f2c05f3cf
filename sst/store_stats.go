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

	// Cache counts what reads looked for, nothing when there is no cache.
	Cache CacheStats
}

// CacheStats count accesses of reads to what a cache keeps, once for each table (or block of a
// table) that a read looked at. Filters, index and statistics of a table are one entry; a read
// that finds it looked for the index, and for the filters when it asked them. Statistics nobody
// looks for.
type CacheStats struct {
	Index, Filter, Block CacheAccess
	// Errors are loads for the cache that failed, or brought damaged bytes.
	Errors uint64
}

// CacheAccess counts accesses. A miss is what the read had to wait for, also when somebody else
// was fetching it already. A point read that fails counts nothing.
type CacheAccess struct{ Hits, Misses uint64 }

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
	loadErrors                        atomic.Uint64
	// lookups are of point reads alone, scans of everything else.
	lookups [tallyShards]tallyShard
	scans   scanCounters
}

// Every point read counts, so its counters are spread: a Lookup keeps to one shard.
const tallyShards = 16

type tallyShard struct {
	n    [3]atomic.Uint64 // filters: positive, negative, false positive
	more [moreCounts]atomic.Uint64
	_    [128 - 64]byte // to its own pair of cache lines
}

// What a point read counts beside the answers of filters. It looks once at the metadata of each
// table, and once at one block of each that the filters let through. That need not be counted: it
// follows from the filters' counters, with what is counted here.
const (
	unfiltered   = iota // tables whose filters said nothing
	extraBlocks         // blocks looked at beyond one for each table let through; may be negative
	metaMissed          // what the read had to fetch
	filterMissed        // the same, when filters were asked
	blockMissed
	moreCounts
)

type scanCounters struct {
	filters [3][3]atomic.Uint64 // by kind, then positive, negative, false positive
	index   [2]atomic.Uint64    // hits, misses
	filter  [2]atomic.Uint64
	block   [2]atomic.Uint64
}

// Stats returns the figures.
func (s *Store) Stats() StoreStats {
	c := &s.counters
	st := StoreStats{
		Requests: c.requests.Load(), Bytes: c.bytes.Load(), Rereads: c.rereads.Load(), Damaged: c.damaged.Load(),
		ReadAhead: c.readAhead.Load(),
	}
	for kind := range st.Filters {
		n := &c.scans.filters[kind]
		st.Filters[kind] = FilterStats{n[0].Load(), n[1].Load(), n[2].Load()}
	}
	load := func(n *[2]atomic.Uint64) CacheAccess { return CacheAccess{n[0].Load(), n[1].Load()} }
	cache := CacheStats{Index: load(&c.scans.index), Filter: load(&c.scans.filter), Block: load(&c.scans.block), Errors: c.loadErrors.Load()}
	for i := range c.lookups {
		sh := &c.lookups[i]
		// Against the order in which they are added: no miss without its access.
		var more [moreCounts]uint64
		for k := moreCounts - 1; k >= 0; k-- {
			more[k] = sh.more[k].Load()
		}
		f := FilterStats{FalsePositive: sh.n[2].Load(), Negative: sh.n[1].Load(), Positive: sh.n[0].Load()}
		p := &st.Filters[QueryPoint]
		p.Positive, p.Negative, p.FalsePositive = p.Positive+f.Positive, p.Negative+f.Negative, p.FalsePositive+f.FalsePositive
		asked := f.Positive + f.Negative
		cache.Filter.add(asked, more[filterMissed])
		cache.Index.add(asked+more[unfiltered], more[metaMissed])
		cache.Block.add(f.Positive+more[unfiltered]+more[extraBlocks], more[blockMissed])
	}
	if s.cache != nil {
		st.Cache = cache
	}
	return st
}

func (a *CacheAccess) add(accesses, misses uint64) {
	a.Hits += accesses - misses
	a.Misses += misses
}

// A tally counts for one Lookup before it adds to the shared counters.
type tally struct {
	s     *Store
	shard uint32
	n     [3]uint32
	more  [moreCounts]uint32
}

// nextTally deals shards to tallies.
var nextTally atomic.Uint32

// of makes t count for s.
func (t *tally) of(s *Store) {
	if t.s != s {
		t.flush()
		t.s, t.shard = s, nextTally.Add(1)%tallyShards
	}
}

// looked counts a table that the filters let through, and the blocks looked at there.
func (t *tally) looked(verdict filterVerdict, blocks int) {
	if verdict == filterMaybe {
		t.n[0]++
	} else {
		t.more[unfiltered]++
	}
	t.more[extraBlocks] += uint32(blocks - 1)
}

// clear forgets what was not added yet.
func (t *tally) clear() { t.n, t.more = [3]uint32{}, [moreCounts]uint32{} }

func (t *tally) flush() {
	if t.s == nil {
		return
	}
	c := &t.s.counters.lookups[t.shard]
	if t.n != [3]uint32{} {
		for i, n := range t.n {
			if n != 0 {
				c.n[i].Add(uint64(n))
			}
		}
		t.n = [3]uint32{}
	}
	if m := &t.more; m[0]|m[1]|m[2]|m[3]|m[4] != 0 {
		for i, n := range t.more {
			if n != 0 {
				c.more[i].Add(uint64(int64(int32(n))))
			}
		}
		t.more = [moreCounts]uint32{}
	}
}

// countWrong counts a table that a filter let through for nothing.
func (s *Store) countWrong(kind QueryKind) { s.counters.scans.filters[kind][2].Add(1) }

func (s *Store) countFilter(kind QueryKind, verdict filterVerdict) {
	c := &s.counters.scans.filters[kind]
	switch verdict {
	case filterMaybe:
		c[0].Add(1)
	case filterNo:
		c[1].Add(1)
	}
}

// A scanTally counts the accesses of one scan before it adds them to the shared counters; each
// pair is hits and misses.
type scanTally struct{ index, filter, block [2]uint32 }

func (t *scanTally) flush(s *Store) {
	if *t == (scanTally{}) {
		return
	}
	c := &s.counters.scans
	for i := range 2 {
		for _, x := range []struct {
			n  uint32
			to *atomic.Uint64
		}{{t.index[i], &c.index[i]}, {t.filter[i], &c.filter[i]}, {t.block[i], &c.block[i]}} {
			if x.n != 0 {
				x.to.Add(uint64(x.n))
			}
		}
	}
	*t = scanTally{}
}
