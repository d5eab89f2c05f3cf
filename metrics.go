package slatedb

import (
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A Metric is one figure of a Metrics snapshot. Labels alternate name and value.
type Metric struct {
	Name   string
	Labels []string
	Value  float64
}

// Metrics is a snapshot of a handle's figures.
type Metrics struct{ all []Metric }

// All yields every figure.
func (m Metrics) All() iter.Seq[Metric] {
	return func(yield func(Metric) bool) {
		for _, x := range m.all {
			if !yield(x) {
				return
			}
		}
	}
}

// Value returns the sum of the figures of this name that have all these labels, which alternate
// name and value, in any order; false when there is none. So with all its labels it is one figure,
// and with fewer those that differ in the others: all requests of a component, for example.
func (m Metrics) Value(name string, labels ...string) (sum float64, ok bool) {
	for i := range m.all {
		if x := &m.all[i]; x.Name == name && x.has(labels) {
			sum, ok = sum+x.Value, true
		}
	}
	return sum, ok
}

// has reports whether m has all these labels.
func (m *Metric) has(labels []string) bool {
	if len(labels)%2 != 0 {
		return false
	}
	for i := 0; i < len(labels); i += 2 {
		if v, ok := m.label(labels[i]); !ok || v != labels[i+1] {
			return false
		}
	}
	return true
}

// label returns the value of one label.
func (m *Metric) label(name string) (string, bool) {
	for i := 0; i+1 < len(m.Labels); i += 2 {
		if m.Labels[i] == name {
			return m.Labels[i+1], true
		}
	}
	return "", false
}

// A MetricsRecorder receives every change of a counter as it happens, from several goroutines
// and on hot paths: it must be quick. Figures that are computed, which are the gauges and the
// counters sst_filter_*, db_cache.*, object_store_cache.* and object_store.*, it receives when
// they have changed and the writer has flushed, taken over a compaction or polled the manifest
// (at least every 20s unless ManifestPollInterval says otherwise), when a reader has refreshed,
// and at Close. No lock of the handle is held around a call; a panic in it is dropped. One that
// is a HistogramRecorder receives histograms as well.
type MetricsRecorder interface {
	// Count adds to a counter.
	Count(name string, delta uint64, labels ...string)
	// Gauge sets a gauge.
	Gauge(name string, value float64, labels ...string)
}

// counter is a figure that only rises.
type counter struct {
	n      atomic.Uint64
	name   string
	labels []string
	rec    MetricsRecorder
}

func (c *counter) add(d uint64) {
	c.n.Add(d)
	if c.rec != nil {
		c.tell(d)
	}
}

func (c *counter) tell(d uint64) {
	defer func() { _ = recover() }() // a user's callback never stops the engine
	c.rec.Count(c.name, d, c.labels...)
}

// stats are the counters of one handle, under the names that SlateDB uses.
type stats struct {
	gets, scans, flushes                      counter
	writeOps, writeBatches                    counter
	backpressure, stallSSTs, stallPerKey      counter
	memtableFlushes, l0FlushBytes, memtableIn counter
	walUploads, walFlushRequests, walBytes    counter
	freezes, flushRequests, l0Uploads         counter
	l0Installs, manifestRefreshes             counter
	foldRead, foldFlush                       counter
	txnConflicts, checkpoints                 counter
	foldReads                                 func(operands int) // adds to foldRead
	all                                       []*counter
	gauges                                    []gauge
	named                                     namedFigures
	rec                                       MetricsRecorder
}

type gauge struct {
	name   string
	labels []string
	value  func() float64
}

func (s *stats) init(rec MetricsRecorder) {
	s.rec = rec
	reg := func(c *counter, name string, labels ...string) {
		c.name, c.labels, c.rec = name, labels, rec
		s.all = append(s.all, c)
	}
	s.foldReads = func(n int) { s.foldRead.add(uint64(n)) }
	reg(&s.gets, "slatedb.db.request_count", "op", "get")
	reg(&s.scans, "slatedb.db.request_count", "op", "scan")
	reg(&s.flushes, "slatedb.db.request_count", "op", "flush")
	reg(&s.writeOps, "slatedb.db.write_ops")
	reg(&s.writeBatches, "slatedb.db.write_batch_count")
	reg(&s.backpressure, "slatedb.db.backpressure_count")
	reg(&s.stallSSTs, "slatedb.db.l0_stall_count", "type", "num_ssts")
	reg(&s.stallPerKey, "slatedb.db.l0_stall_count", "type", "num_ssts_per_key")
	reg(&s.memtableFlushes, "slatedb.db.immutable_memtable_flushes")
	reg(&s.l0FlushBytes, "slatedb.db.l0_flush_bytes")
	reg(&s.memtableIn, "slatedb.db.memtable_write_bytes")
	reg(&s.foldRead, "slatedb.merge_operator_operands", "path", "read")
	reg(&s.foldFlush, "slatedb.merge_operator_operands", "path", "flush")
	reg(&s.txnConflicts, "slatedb.db.transaction_conflict_count")
	reg(&s.checkpoints, "slatedb.memtable_flush.checkpoint_request_count")
	reg(&s.walUploads, "slatedb.wal.wal_buffer_flushes")
	reg(&s.walFlushRequests, "slatedb.wal.wal_buffer_flush_requests")
	reg(&s.walBytes, "slatedb.wal.wal_flush_bytes")
	reg(&s.freezes, "slatedb.memtable_flush.memtable_freeze_count")
	reg(&s.flushRequests, "slatedb.memtable_flush.flush_request_count")
	reg(&s.l0Uploads, "slatedb.memtable_flush.l0_upload_count")
	reg(&s.l0Installs, "slatedb.memtable_flush.l0_flush_count")
	reg(&s.manifestRefreshes, "slatedb.memtable_flush.manifest_refresh_count")
}

func (s *stats) gauge(name string, value func() float64, labels ...string) {
	s.gauges = append(s.gauges, gauge{name, labels, value})
}

func (s *stats) snapshot() Metrics {
	m := Metrics{all: make([]Metric, 0, len(s.all)+len(s.gauges))}
	for _, c := range s.all {
		m.all = append(m.all, Metric{c.name, c.labels, float64(c.n.Load())})
	}
	m.all = append(m.all, s.gaugeValues()...)
	m.all = append(m.all, s.named.all()...)
	return m
}

func (s *stats) gaugeValues() []Metric {
	out := make([]Metric, 0, len(s.gauges))
	for _, g := range s.gauges {
		out = append(out, Metric{g.name, g.labels, g.value()})
	}
	return out
}

// count and set are for roles that name their figures as they go.
func (s *stats) count(name string, delta uint64, labels ...string) {
	s.named.add(name, labels, float64(delta))
	if s.rec != nil {
		defer func() { _ = recover() }() // a user's callback never stops the engine
		s.rec.Count(name, delta, labels...)
	}
}

func (s *stats) set(name string, v float64, labels ...string) {
	s.named.set(name, labels, v)
	if s.rec != nil {
		defer func() { _ = recover() }()
		s.rec.Gauge(name, v, labels...)
	}
}

// namedFigures are figures that are made on first use.
type namedFigures struct {
	mu sync.Mutex
	m  map[string]*Metric
}

func (n *namedFigures) at(name string, labels []string) *Metric {
	key := name + "\x00" + strings.Join(labels, "\x00")
	f := n.m[key]
	if f == nil {
		f = &Metric{Name: name, Labels: slices.Clone(labels)}
		if n.m == nil {
			n.m = make(map[string]*Metric)
		}
		n.m[key] = f
	}
	return f
}

func (n *namedFigures) add(name string, labels []string, d float64) {
	n.mu.Lock()
	n.at(name, labels).Value += d
	n.mu.Unlock()
}

func (n *namedFigures) set(name string, labels []string, v float64) {
	n.mu.Lock()
	n.at(name, labels).Value = v
	n.mu.Unlock()
}

func (n *namedFigures) all() []Metric {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]Metric, 0, len(n.m))
	for _, f := range n.m {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b Metric) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return slices.Compare(a.Labels, b.Labels)
	})
	return out
}
