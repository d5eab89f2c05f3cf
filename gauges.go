package slatedb

import "github.com/slatedb/slatedb-go/sst"

// initGauges registers the figures that are computed when asked for.
func (h *handle) initGauges() {
	st := func(f func(*state) int) func() float64 {
		return func() float64 { return float64(f(h.state.Load())) }
	}
	h.stats.gauge("slatedb.db.l0_sst_count", st(func(s *state) int {
		n := 0
		for _, t := range s.trees() {
			n += len(t.l0)
		}
		return n
	}))
	h.stats.gauge("slatedb.db.segment_max_l0_sst_count", st(func(s *state) int {
		n := 0
		for _, t := range s.trees() {
			n = max(n, len(t.l0))
		}
		return n
	}))
	h.stats.gauge("slatedb.db.sorted_run_count", st(func(s *state) int {
		n := 0
		for _, t := range s.trees() {
			n += len(t.runs)
		}
		return n
	}))
	h.stats.gauge("slatedb.db.sst_view_count", st(func(s *state) int {
		n := 0
		for _, t := range s.trees() {
			n += len(t.l0)
			for _, r := range t.runs {
				n += len(r)
			}
		}
		return n
	}))
	h.stats.gauge("slatedb.db.sst_count", st(func(s *state) int {
		seen := make(map[sst.ID]struct{})
		s.eachView(func(v *sst.ViewReader) { seen[v.Reader().Handle().ID] = struct{}{} })
		return len(seen)
	}))
	h.stats.gauge("slatedb.db.external_db_count", st(func(s *state) int { return len(s.man.External) }))
	h.diskGauges()
}

func (db *DB) initGauges() {
	db.handle.initGauges()
	db.stats.gauge("slatedb.db.total_mem_size_bytes", func() float64 {
		n := db.pressure.used.Load()
		if db.wal != nil {
			n += db.wal.BufferedBytes()
		}
		return float64(n)
	})
	db.stats.gauge("slatedb.db.snapshot_count", func() float64 { return float64(db.liveSnapshots.Load()) })
	db.stats.gauge("slatedb.db.transaction_count", func() float64 { return float64(db.liveTxns.Load()) })
	db.stats.gauge("slatedb.db.transaction_tracked_keys", func() float64 {
		db.commitMu.Lock()
		defer db.commitMu.Unlock()
		return float64(db.conflicts.count)
	})
	if db.wal != nil {
		db.stats.gauge("slatedb.wal.wal_buffer_estimated_bytes", func() float64 { return float64(db.wal.BufferedBytes()) })
	}
}

// metrics is the snapshot of the counters, the gauges, the tables' filters and cache, and
// the request ledger.
func (h *handle) metrics() Metrics {
	m := h.stats.snapshot()
	m.all = append(m.all, h.derived()...)
	m.all = append(m.all, h.requestDurations()...)
	h.cost(&m)
	return m
}

// derived are the counters that others keep: the table store and the request ledger.
func (h *handle) derived() (out []Metric) {
	add := func(name string, v float64, labels ...string) {
		out = append(out, Metric{Name: name, Labels: labels, Value: v})
	}
	st := h.ssts.Stats()
	filters := &st.Filters
	for kind, label := range []string{sst.QueryPoint: "point", sst.QueryPrefix: "prefix", sst.QueryRange: "range"} {
		f := &filters[kind]
		add("slatedb.db.sst_filter_positive_count", float64(f.Positive), "kind", label)
		add("slatedb.db.sst_filter_negative_count", float64(f.Negative), "kind", label)
		add("slatedb.db.sst_filter_false_positive_count", float64(f.FalsePositive), "kind", label)
	}
	access := func(kind string, n sst.CacheAccess) {
		add("slatedb.db_cache.access_count", float64(n.Hits), "entry_kind", kind, "result", "hit")
		add("slatedb.db_cache.access_count", float64(n.Misses), "entry_kind", kind, "result", "miss")
	}
	access("filter", st.Cache.Filter)
	access("index", st.Cache.Index)
	access("data_block", st.Cache.Block)
	access("stats", sst.CacheAccess{}) // reads need none
	add("slatedb.db_cache.error_count", float64(st.Cache.Errors))
	h.diskCounters(add)
	out = append(out, h.requestFigures()...)
	return out
}
