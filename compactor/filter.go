package compactor

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/sst"
)

// A Filter decides about every row that a compaction is about to write: keep it, drop it, or
// put something else in its place. It is made for one piece of work and called by one
// goroutine at a time, with the rows in stored order (keys ascending, the versions of a key
// newest first), after operands were combined, rows that nobody needs or that have expired
// were taken away, and tombstones with nothing below them were dropped. So it sees values,
// operands and the tombstones that stay.
//
// It does not run when a memtable is flushed, nor when a compaction only moves tables: a row
// may be read unfiltered for as long as no compaction has rewritten it, and a row may come by
// several times, once in each compaction. Nor does it know of snapshots: what it drops or
// changes is gone from them too, unless it leaves rows above FilterContext.MinSnapshotSeq alone.
//
// An error or a panic ends the work: nothing of what it wrote becomes visible, the database
// goes on, and the job is tried again, with a new filter, after a growing pause.
type Filter interface {
	// Filter decides about one row, which is lent for the call.
	Filter(row *sst.Row) (Decision, error)
	// OnEnd is called once, when all rows were seen and what is left of them was stored; not
	// when the work failed. Its error fails the work.
	OnEnd() error
}

// FilterContext is what a filter is made for.
type FilterContext struct {
	// JobID is the compaction's ULID. A job that is split, or taken up by another worker, makes
	// several filters.
	JobID string
	// Segment is the prefix of the segment that is compacted, nil where there are no segments.
	Segment []byte
	// Destination is the number of the run that is written.
	Destination uint32
	// LastRun: nothing older than the output exists in the tree, so what is dropped is gone
	// for good. Otherwise an older version of the key may show in its place.
	LastRun bool
	// Now is the data time that expiry goes by, the newest create time in the flushed tables:
	// the zero time when there is none.
	Now time.Time
	// MinSnapshotSeq is the oldest number that a snapshot or transaction may read at. Of each
	// key, they need the newest row at or below it and those above.
	MinSnapshotSeq uint64
	// Resumed: an earlier worker has written a part, and the filter sees only what is left.
	Resumed bool
}

// A FilterSupplier makes the filter for one piece of work: a whole job, or each of the key
// ranges that a large one is split into. It is called from several goroutines at once, and
// the filters it makes run side by side. nil without an error: no filter.
type FilterSupplier func(FilterContext) (Filter, error)

// A Decision of a Filter. The zero value keeps the row.
type Decision struct {
	do    action
	value []byte
}

type action uint8

const (
	keep action = iota
	drop
	toValue
	toOperand
	toTombstone
)

// Keep keeps the row as it is.
func Keep() Decision { return Decision{} }

// Drop removes the row. It leaves no tombstone: older versions of the key, here or in older
// runs, may show again.
func Drop() Decision { return Decision{do: drop} }

// SetValue makes the row a value. Like SetOperand it keeps key, number, create time and expiry,
// and v belongs to the filter again when it is called next.
func SetValue(v []byte) Decision { return Decision{do: toValue, value: v} }

// SetOperand makes the row a merge operand, on what older versions the key still has. The
// database must have a merge operator.
func SetOperand(v []byte) Decision { return Decision{do: toOperand, value: v} }

// SetTombstone makes the row a tombstone without an expiry. It stays, also in the oldest run,
// until a compaction there takes it away.
func SetTombstone() Decision { return Decision{do: toTombstone} }

// A rowFilter is a Filter at work on one range of a job; nil keeps everything.
type rowFilter struct {
	f       Filter
	job     string
	row     kv.Entry
	key     []byte // a copy: the filter must not be able to change the order of keys
	dropped uint64
	changed uint64
}

// newFilter makes the filter of a range, or none.
func (t *task) newFilter(resumed bool) (*rowFilter, error) {
	if t.w.conf.Filter == nil {
		return nil, nil
	}
	_, minSeq := t.rangeAt(0)
	c := FilterContext{
		JobID: t.job.ID.String(), Segment: bytes.Clone(t.job.Spec.Segment), Destination: t.job.Spec.Destination,
		LastRun: t.bottom, MinSnapshotSeq: uint64(minSeq), Resumed: resumed,
	}
	if t.now != kv.NoTS {
		c.Now = time.UnixMilli(t.now)
	}
	r := &rowFilter{job: c.JobID}
	err := seam.Guard("compaction filter supplier", func() (err error) { r.f, err = t.w.conf.Filter(c); return err })
	if err != nil {
		return nil, fmt.Errorf("make the filter of compaction %s: %w: %w", r.job, kv.ErrInternal, err)
	}
	if r.f == nil {
		return nil, nil
	}
	return r, nil
}

// apply returns what is to be written of e, nil for nothing.
func (r *rowFilter) apply(e *kv.Entry) (*kv.Entry, error) {
	if r == nil {
		return e, nil
	}
	d, err := r.ask(e)
	if err != nil {
		return nil, fmt.Errorf("filter row %q of compaction %s: %w: %w", e.Key, r.job, kv.ErrInternal, err)
	}
	if d.do == keep {
		return e, nil
	}
	if d.do == drop {
		r.dropped++
		return nil, nil
	}
	r.changed++
	r.row = *e
	switch d.do {
	case toValue:
		r.row.Kind, r.row.Value = kv.Put, d.value
	case toOperand:
		r.row.Kind, r.row.Value = kv.Merge, d.value
	default:
		r.row.Kind, r.row.Value, r.row.ExpireTS = kv.Tombstone, nil, kv.NoTS
	}
	return &r.row, nil
}

// ask lends the row to the filter.
func (r *rowFilter) ask(e *kv.Entry) (d Decision, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &seam.PanicError{Where: "compaction filter", Value: v, Stack: debug.Stack()}
		}
	}()
	r.row = *e
	r.key = append(r.key[:0], e.Key...)
	r.row.Key = r.key[:len(r.key):len(r.key)]
	r.row.Value = e.Value[:len(e.Value):len(e.Value)]
	return r.f.Filter(&r.row)
}

// end tells the filter that everything is stored.
func (r *rowFilter) end() error {
	if r == nil {
		return nil
	}
	if err := seam.Guard("compaction filter", r.f.OnEnd); err != nil {
		return fmt.Errorf("end the filter of compaction %s: %w: %w", r.job, kv.ErrInternal, err)
	}
	return nil
}
