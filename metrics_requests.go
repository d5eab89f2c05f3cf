package slatedb

import (
	"slices"
	"strconv"
	"time"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/metered"
)

// The figures of the object store, under the names and labels of the Rust engine. Its labels say
// who asked which store for what; cause, which is ours, says why.

const (
	requestCount    = "slatedb.object_store.request_count"
	requestErrors   = "slatedb.object_store.error_count"
	requestBytesIn  = "slatedb.object_store.bytes_read"
	requestBytesOut = "slatedb.object_store.bytes_written"
	requestDuration = "slatedb.object_store.request_duration_seconds"
)

// A HistogramRecorder is a MetricsRecorder that takes histograms as well. Options.MetricsRecorder
// may be one.
type HistogramRecorder interface {
	MetricsRecorder
	// Observe adds one value. bounds are the histogram's upper boundaries, ascending, without
	// the infinite one; they are the same at each call for a name, and not to be changed. The
	// one histogram is slatedb.object_store.request_duration_seconds, in seconds, which is told
	// at the end of each call to the store, in the goroutine that made it; a call that a handle
	// gave up, such as the slower one of a hedged read, may end after the handle was closed.
	Observe(name string, value float64, bounds []float64, labels ...string)
}

// durationBounds are those of the ledger in seconds, durationLabels as le says them.
var durationBounds, durationLabels = func() (bounds []float64, labels []string) {
	for _, b := range metered.Bounds {
		bounds = append(bounds, b.Seconds())
		labels = append(labels, strconv.FormatFloat(b.Seconds(), 'g', -1, 64))
	}
	return bounds, append(labels, "+Inf")
}()

// meter books the requests to s, which is raw or rawWAL, under cause.
func (h *handle) meter(cause string, s objstore.Store) objstore.Store {
	name := "main"
	if sameStore(s, h.rawWAL) && !sameStore(s, h.raw) {
		name = "wal"
	}
	return metered.NewNamed(s, name, cause, h.ledger)
}

// observeCalls tells the recorder how long calls take, when it wants to know.
func (h *handle) observeCalls(rec MetricsRecorder) {
	hr, ok := rec.(HistogramRecorder)
	if !ok {
		return
	}
	h.ledger.OnCall(func(c metered.Call) {
		defer func() { _ = recover() }() // a user's callback never stops the engine
		hr.Observe(requestDuration, c.Duration.Seconds(), durationBounds, h.requestLabels(c.Cause, c.Store, timedAPI(c.Method))...)
	})
}

// requestLabels are those of a request: three that say who asked for what, as the Rust engine
// names it, and its cause.
func (h *handle) requestLabels(cause, store, api string) []string {
	component := h.role
	switch cause {
	case "gc", "compactor":
		component = cause
	}
	op := "get"
	switch api {
	case "put", "multipart_init", "multipart_part", "multipart_complete":
		op = "put"
	case "delete":
		op = "delete"
	}
	return []string{"component", component, "store_type", store, "op", op, "api", api, "cause", cause}
}

// timedAPI is the api under which a call is timed, and its failures and bytes are counted.
func timedAPI(method string) string {
	switch method {
	case "read":
		return "get_range"
	case "upload":
		return "put"
	case "multipart":
		return "multipart_complete"
	}
	return method
}

// requestFigures are the counters of the ledger.
func (h *handle) requestFigures() (out []Metric) {
	at := make(map[string]int)
	add := func(r *metered.Row, api, name string, n int64) {
		key := name + " " + r.Store + " " + r.Cause + " " + api
		i, known := at[key]
		if !known {
			i = len(out)
			at[key] = i
			out = append(out, Metric{Name: name, Labels: h.requestLabels(r.Cause, r.Store, api)})
		}
		out[i].Value += float64(n)
	}
	rows := h.ledger.Snapshot()
	for i := range rows {
		r := &rows[i]
		api := timedAPI(r.Method)
		if r.Method == "multipart" {
			// Two requests stand around the parts of each.
			around := (r.Requests - r.Parts) / 2
			add(r, "multipart_init", requestCount, around)
			add(r, "multipart_part", requestCount, r.Parts)
			add(r, "multipart_complete", requestCount, r.Requests-r.Parts-around)
		} else {
			add(r, api, requestCount, r.Requests)
		}
		add(r, api, requestErrors, r.Errors)
		add(r, api, requestBytesIn, r.BytesIn)
		add(r, api, requestBytesOut, r.BytesOut)
	}
	return out
}

// requestDurations are the histograms of the ledger in the manner of Prometheus: how many calls
// took at most le seconds, their number and the sum of their seconds.
func (h *handle) requestDurations() (out []Metric) {
	type histogram struct {
		labels []string
		n      [len(metered.Bounds) + 1]int64
		sum    time.Duration
	}
	var all []*histogram
	at := make(map[string]*histogram)
	rows := h.ledger.Snapshot()
	for i := range rows {
		r := &rows[i]
		api := timedAPI(r.Method)
		key := r.Store + " " + r.Cause + " " + api
		x := at[key]
		if x == nil {
			x = &histogram{labels: h.requestLabels(r.Cause, r.Store, api)}
			at[key] = x
			all = append(all, x)
		}
		for i, n := range r.Durations {
			x.n[i] += n
		}
		x.sum += r.Duration
	}
	for _, x := range all {
		var n int64
		for i, le := range durationLabels {
			n += x.n[i]
			out = append(out, Metric{Name: requestDuration + "_bucket", Labels: append(slices.Clone(x.labels), "le", le), Value: float64(n)})
		}
		out = append(out, Metric{Name: requestDuration + "_count", Labels: x.labels, Value: float64(n)},
			Metric{Name: requestDuration + "_sum", Labels: x.labels, Value: x.sum.Seconds()})
	}
	return out
}
