package slatedb

import (
	"strings"
	"sync"
)

// The figures that are computed when Metrics asks for them (gauges, and the counters that the
// table store and the request ledger keep) are not changed in one place where the recorder
// could be told. It is told what has changed of them at certain moments: when a flush or a
// compaction has changed the tables, when the writer polls the manifest, when a reader
// refreshes, and at Close.

// reporter remembers what the recorder knows.
type reporter struct {
	mu    sync.Mutex
	busy  bool // somebody is at it
	again bool // and should look once more, since somebody else came meanwhile
	known map[string]float64
}

// report tells the recorder what has changed of the computed figures. One call at a time tells,
// so that no gauge goes back to an older value; no lock is held while it does.
func (h *handle) report() {
	if h.stats.rec == nil {
		return
	}
	r := &h.reported
	r.mu.Lock()
	r.again = r.busy
	if r.busy {
		r.mu.Unlock()
		return
	}
	r.busy = true
	r.mu.Unlock()
	// A few times at most: a recorder that refreshes the database asks for more by being told.
	for n := 1; ; n++ {
		h.tellChanged()
		r.mu.Lock()
		if !r.again || n == maxReports {
			// Under the lock that again was looked at with: whoever comes next must not find
			// somebody busy who does not look again.
			r.busy = false
			r.mu.Unlock()
			return
		}
		r.again = false
		r.mu.Unlock()
	}
}

const maxReports = 8

// tellChanged belongs to whoever has set busy.
func (h *handle) tellChanged() {
	r := &h.reported
	if r.known == nil {
		r.known = make(map[string]float64)
	}
	changed := func(m *Metric) (delta float64, ok bool) {
		key := m.Name + "\x00" + strings.Join(m.Labels, "\x00")
		last, told := r.known[key]
		if told && last == m.Value {
			return 0, false
		}
		r.known[key] = m.Value
		return m.Value - last, true
	}
	for _, m := range h.stats.gaugeValues() {
		if _, ok := changed(&m); ok {
			h.stats.tellGauge(&m)
		}
	}
	for _, m := range h.derived() {
		if d, ok := changed(&m); ok && d > 0 {
			h.stats.tellCount(&m, uint64(d))
		}
	}
}

func (s *stats) tellGauge(m *Metric) {
	defer func() { _ = recover() }() // a user's callback never stops the engine
	s.rec.Gauge(m.Name, m.Value, m.Labels...)
}

func (s *stats) tellCount(m *Metric, d uint64) {
	defer func() { _ = recover() }()
	s.rec.Count(m.Name, d, m.Labels...)
}
