package slatedb

import (
	"iter"
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

// Value returns one figure; labels alternate name and value and must be given in the
// figure's own order.
func (m Metrics) Value(name string, labels ...string) (float64, bool) {
	for _, x := range m.all {
		if x.Name != name || len(x.Labels) != len(labels) {
			continue
		}
		same := true
		for i := range labels {
			same = same && labels[i] == x.Labels[i]
		}
		if same {
			return x.Value, true
		}
	}
	return 0, false
}

// A MetricsRecorder receives every change of a figure as it happens, from several goroutines
// and on hot paths: it must be quick. No lock of the handle is held around a call; a panic
// in it is dropped.
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
	all                                       []*counter
	gauges                                    []gauge
}

type gauge struct {
	name   string
	labels []string
	value  func() float64
}

func (s *stats) init(rec MetricsRecorder) {
	reg := func(c *counter, name string, labels ...string) {
		c.name, c.labels, c.rec = name, labels, rec
		s.all = append(s.all, c)
	}
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
	for _, g := range s.gauges {
		m.all = append(m.all, Metric{g.name, g.labels, g.value()})
	}
	return m
}
