package slatedb

import (
	"context"
	"iter"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// RecentOptions configure RecentRows. The zero value of every field is its default.
type RecentOptions struct {
	// Order of the keys inside one source.
	Order Order
	// Durability and Dirty bound what is seen, as in ScanOptions.
	Durability Durability
	Dirty      bool
	// FilterContext is handed to filter policies.
	FilterContext []byte
}

// RecentRows walks the stored rows of a range by how recent their place is: first those of
// the memtable that is being written, then of frozen memtables from the newest on, of the L0
// tables from the newest on, and of the sorted runs from the newest on. Inside one of these
// places rows come in key order, versions of a key newest first. Nothing is merged, hidden or
// taken out because it has expired, so a key comes as often as it is stored.
//
// A place is opened when the walk comes to it: who stops early pays for nothing below. A row
// lives until the next step (RawRow.Clone keeps it). An error is the last pair. In a database
// with segments, r must not touch more than one: ErrInvalid.
func (db *DB) RecentRows(ctx context.Context, r Range, o *RecentOptions) iter.Seq2[RawRow, error] {
	return func(yield func(RawRow, error) bool) {
		if err := db.recent(ctx, r, o, yield); err != nil {
			yield(RawRow{}, err)
		}
	}
}

func (db *DB) recent(ctx context.Context, r Range, o *RecentOptions, yield func(RawRow, error) bool) error {
	if o == nil {
		o = &RecentOptions{}
	}
	rng, scan, err := db.startScan(ctx, r, &ScanOptions{Order: o.Order})
	if err != nil || rng.Empty() {
		return err
	}
	v, err := db.view(o.Durability, o.Dirty)
	if err != nil {
		return err
	}
	segs := v.st.overlapping(rng)
	if len(segs) > 1 {
		return invalidf("the range touches %d segments, want one", len(segs))
	}
	v.st.use.begin()
	defer v.st.use.end()
	w := recentWalk{max: v.max, yield: yield}
	desc := scan.Order == Descending
	for _, m := range append([]*memTable{v.st.mem}, v.st.imm...) {
		if m.Len() == 0 {
			continue
		}
		if more, err := w.source(m.Iter(rng, v.max, desc)); err != nil || !more {
			return err
		}
	}
	query := rangeQuery(&rng, o.FilterContext)
	group := sst.GroupOptions{Query: &query}
	for _, t := range append([]*tree{&v.st.root}, segs...) {
		for _, x := range t.l0 {
			if !x.Overlaps(rng) {
				continue
			}
			if more, err := w.source(sst.NewGroup(ctx, db.ssts, group).Iter(x, rng, desc)); err != nil || !more {
				return err
			}
		}
		for _, run := range t.runs {
			if more, err := w.source(sst.NewGroup(ctx, db.ssts, group).RunIter(run, rng, desc)); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

type recentWalk struct {
	max   kv.Seq
	yield func(RawRow, error) bool
}

// source yields the rows of one place; more tells whether the consumer wants those below.
func (w *recentWalk) source(it kv.Iterator) (more bool, err error) {
	for it.Next() {
		e := it.Entry()
		if e.Seq > w.max {
			continue
		}
		if !w.yield(rawRow(e), nil) {
			return false, it.Close()
		}
	}
	err = it.Err()
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	return true, err
}
