package cache

// Stats are counters since New and gauges of now. Hits are not counted: a hit touches
// nothing that belongs to the cache.
type Stats struct {
	Blocks, Meta PartStats
	Tables       int // names registered, those of tables no longer in use included
}

// PartStats are the figures of one of the two budgets.
type PartStats struct {
	Misses    uint64 // loads begun by Join
	Joins     uint64 // waited for another's load instead of beginning one
	Errors    uint64 // loads that failed
	Admits    uint64 // things stored
	Evictions uint64 // things pushed out to make room; dropped tables do not count
	Rejected  uint64 // things larger than their part of the budget

	Bytes   int64 // held now, never more than Budget
	Budget  int64
	Entries int // things held now
	Loading int // loads in flight
}

// Stats returns the figures. Parts are read one after another, not at one instant.
func (c *Cache) Stats() Stats {
	st := Stats{Tables: c.tables.len()}
	for i := range c.blocks {
		c.blocks[i].addTo(&st.Blocks)
	}
	c.meta.addTo(&st.Meta)
	return st
}

func (s *shard) addTo(p *PartStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Misses += s.stats.Misses
	p.Joins += s.stats.Joins
	p.Errors += s.stats.Errors
	p.Admits += s.stats.Admits
	p.Evictions += s.stats.Evictions
	p.Rejected += s.stats.Rejected
	p.Bytes += s.mu.bytes
	p.Budget += s.budget
	p.Entries += len(s.mu.ring) - s.mu.stale
	p.Loading += len(s.mu.flights)
}
