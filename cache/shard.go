package cache

import (
	"sync"

	"github.com/slatedb/slatedb-go/sst"
)

// A shard is a part of the budget with a ring of its own.
type shard struct {
	budget int64
	stats  shardStats // guarded by mu

	mu struct {
		sync.Mutex
		// bytes <= budget, always. It is the sum of the charges of the things that hang in
		// cells of this shard.
		bytes int64
		// ring has an entry for each of them, and stale ones of dropped tables.
		ring []entry
		// stale counts entries of dropped tables, whose cell is empty already. When they are
		// more than half, the ring is packed, so that it cannot grow by filling and dropping.
		stale   int
		hand    int
		closed  bool
		flights map[flightKey]*sst.Load
	}
	_ [64]byte // shards stand side by side; their locks shall not share a cache line
}

// An entry names a cell. It holds no pointer to what hangs there, so that a dropped table
// is garbage at once.
type entry struct {
	cells *sst.Cells
	i     int
}

type flightKey struct {
	cells *sst.Cells
	i     int
}

type shardStats struct {
	Misses, Joins, Errors       uint64
	Admits, Evictions, Rejected uint64
}

func (s *shard) init(budget int64) {
	s.budget = budget
	s.mu.flights = map[flightKey]*sst.Load{}
}

// load returns what hangs in a cell.
func load(c *sst.Cells, i int) sst.Loaded {
	if i == sst.MetaBlock {
		return sst.Loaded{Meta: c.Meta.Load()}
	}
	if b := c.Blocks(); i < len(b) {
		return sst.Loaded{Block: b[i].Load()}
	}
	return sst.Loaded{}
}

// store changes a cell. A block beyond the cells has no place.
func store(c *sst.Cells, i int, v sst.Loaded) {
	if i == sst.MetaBlock {
		c.Meta.Store(v.Meta)
		return
	}
	c.Blocks()[i].Store(v.Block)
}

func charge(v sst.Loaded) int64 {
	switch {
	case v.Block != nil:
		return v.Block.Bytes()
	case v.Meta != nil:
		return v.Meta.Bytes()
	}
	return 0
}

// used clears the second-chance bit and reports whether it was set.
func used(v sst.Loaded) bool {
	if v.Block != nil {
		return v.Block.Used.Clear()
	}
	return v.Meta.Used.Clear()
}

// admitLocked stores v into its cell unless there is something already, or no room can be
// made.
func (s *shard) admitLocked(c *sst.Cells, i int, v sst.Loaded) {
	n := charge(v)
	if n == 0 || s.mu.closed || c.Dropped.Load() || load(c, i) != (sst.Loaded{}) {
		return
	}
	if i >= 0 && i >= len(c.Blocks()) {
		return
	}
	if n > s.budget {
		s.stats.Rejected++
		return
	}
	m := &s.mu
	// slot is the first entry that became free on the way. The newcomer takes it, which puts
	// it just behind the hand, so that it has a full round before it is looked at.
	slot := -1
	for m.bytes+n > s.budget { // then bytes > 0, so there is something to evict
		if m.hand >= len(m.ring) {
			m.hand = 0
		}
		e := m.ring[m.hand]
		w := load(e.cells, e.i)
		if m.hand == slot || (w != (sst.Loaded{}) && used(w)) {
			m.hand++
			continue
		}
		if w == (sst.Loaded{}) {
			m.stale--
		} else {
			store(e.cells, e.i, sst.Loaded{})
			m.bytes -= charge(w)
			s.stats.Evictions++
		}
		if slot < 0 {
			slot = m.hand
			m.hand++
		} else {
			s.removeLocked(m.hand, &slot)
		}
	}
	if slot < 0 {
		m.ring = append(m.ring, entry{})
		slot = len(m.ring) - 1
	}
	m.ring[slot] = entry{c, i}
	m.bytes += n
	store(c, i, v)
	s.stats.Admits++
}

// removeLocked takes entry at out of the ring by putting the last one there. slot is kept
// pointing at its entry.
func (s *shard) removeLocked(at int, slot *int) {
	m := &s.mu
	last := len(m.ring) - 1
	m.ring[at] = m.ring[last]
	m.ring[last] = entry{}
	m.ring = m.ring[:last]
	if *slot == last {
		*slot = at
	}
}

// drop empties the cells first, first+step, ... of a table.
func (s *shard) drop(c *sst.Cells, first, step int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.mu
	end := max(len(c.Blocks()), first+1)
	for i := first; i < end; i += step {
		if v := load(c, i); v != (sst.Loaded{}) {
			store(c, i, sst.Loaded{})
			m.bytes -= charge(v)
			m.stale++
		}
		if i == sst.MetaBlock {
			break
		}
	}
	if 2*m.stale > len(m.ring) {
		s.packLocked()
	}
}

// packLocked removes stale entries. The order stays, so the hand keeps its place.
func (s *shard) packLocked() {
	m := &s.mu
	kept, hand := m.ring[:0], 0
	for at, e := range m.ring {
		if load(e.cells, e.i) == (sst.Loaded{}) {
			continue
		}
		if at < m.hand {
			hand++
		}
		kept = append(kept, e)
	}
	clear(m.ring[len(kept):])
	m.ring, m.hand, m.stale = kept, hand, 0
	if cap(kept) > 64 && len(kept) < cap(kept)/4 {
		m.ring = append(make([]entry, 0, 2*len(kept)), kept...)
	}
}

// clear empties every cell of the shard and keeps it empty.
func (s *shard) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.mu
	m.closed = true
	for _, e := range m.ring {
		store(e.cells, e.i, sst.Loaded{})
	}
	m.ring, m.hand, m.stale, m.bytes = nil, 0, 0, 0
}
