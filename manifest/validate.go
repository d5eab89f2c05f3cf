package manifest

import (
	"bytes"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// Validate checks what the shape of the bytes cannot: everything that would make another
// process misread the database or stop (the Rust engine aborts on some of it). The format has
// no checksum, so this is also what a flipped bit meets. It runs on everything read and on
// everything about to be written. The error says what is wrong; whoever knows the object
// names it.
func (m *Manifest) Validate() error {
	runs := make(map[uint32]bool)
	for prefix, t := range m.Trees() {
		if err := t.validate(runs); err != nil {
			if prefix != nil {
				return fmt.Errorf("segment %q: %w", prefix, err)
			}
			return err
		}
	}
	for i := range m.Segments {
		p := m.Segments[i].Prefix
		if len(p) == 0 {
			return contentf("segment with an empty prefix")
		}
		if i == 0 {
			continue
		}
		// Sorted, so a prefix that begins with an earlier one stands right behind such a one.
		switch before := m.Segments[i-1].Prefix; {
		case bytes.HasPrefix(p, before):
			return contentf("segment %q begins with segment %q", p, before)
		case bytes.Compare(p, before) < 0:
			return contentf("segments %q and %q are out of order", before, p)
		}
	}
	for i := range m.External {
		if err := checkParentPath(m.External[i].Path); err != nil {
			return err
		}
	}
	return nil
}

// validate checks one tree. runs holds the run ids of the trees before it: ids are unique over
// the whole manifest.
func (t *Tree) validate(runs map[uint32]bool) error {
	for i := range t.L0 {
		if err := validateView(&t.L0[i]); err != nil {
			return fmt.Errorf("l0: %w", err)
		}
	}
	for i := range t.Runs {
		r := &t.Runs[i]
		if i > 0 && r.ID >= t.Runs[i-1].ID {
			return contentf("run %d stands behind run %d, ids must descend", r.ID, t.Runs[i-1].ID)
		}
		if runs[r.ID] {
			return contentf("run %d is in two trees", r.ID)
		}
		runs[r.ID] = true
		if err := validateRun(r); err != nil {
			return fmt.Errorf("run %d: %w", r.ID, err)
		}
	}
	return nil
}

// validateRun checks the views of a run and that they ascend. Neighbours may share one key.
func validateRun(r *sst.SortedRun) error {
	var before kv.Range
	for i := range r.Views {
		v := &r.Views[i]
		if err := validateView(v); err != nil {
			return err
		}
		now := effective(v)
		// The end of a table without a last key is where the next one begins.
		if i > 0 && (bytes.Compare(now.Start, before.Start) < 0 ||
			before.End != nil && bytes.Compare(now.Start, before.End) < 0) {
			return contentf("view %s begins before the end of view %s", v.ID, r.Views[i-1].ID)
		}
		before = now
	}
	return nil
}

func validateView(v *sst.View) error {
	switch {
	case v.Table == nil:
		return contentf("view %s has no table", v.ID)
	case v.Table.ID.WAL() != 0 || v.Table.Info.WAL:
		return contentf("view %s uses a WAL object", v.ID)
	case v.Table.Info.First == nil:
		return contentf("table %s has no first key", v.Table.ID)
	}
	if r := v.Visible; r != nil {
		if r.Start != nil && r.StartExclusive {
			return contentf("visible range of view %s excludes its start", v.ID)
		}
		if e := effective(v); e.Empty() {
			return contentf("visible range of view %s does not meet its table", v.ID)
		}
	}
	return nil
}

// effective returns the keys that a view shows.
func effective(v *sst.View) kv.Range {
	i := &v.Table.Info
	r := kv.Range{Start: i.First, End: i.Last, EndInclusive: true}
	if v.Visible != nil {
		r = r.Intersect(*v.Visible)
	}
	return r
}

// checkParentPath refuses paths that lead out of the object store: a manifest is data that
// somebody else may have written.
func checkParentPath(p string) error {
	if p == "" {
		// A handle with this root could not be told from one of our own tables.
		return contentf("external database without a path")
	}
	if err := objstore.ValidPath(p); err != nil {
		return fmt.Errorf("%w: external database: %w", errContent, err)
	}
	return nil
}

// Validate checks what the shape of the bytes cannot, as Manifest.Validate does.
func (c *Compactions) Validate() error {
	for i := range c.Jobs {
		j := &c.Jobs[i]
		if i > 0 && j.ID.Compare(c.Jobs[i-1].ID) <= 0 {
			return contentf("jobs %s and %s are out of order", c.Jobs[i-1].ID, j.ID)
		}
		if err := j.validate(); err != nil {
			return fmt.Errorf("job %s: %w", j.ID, err)
		}
	}
	return nil
}

func (j *Compaction) validate() error {
	if j.Status > Scheduled {
		return contentf("unknown status %d", j.Status)
	}
	if j.Spec.Drain && len(j.Spec.Segment) == 0 {
		return contentf("drain without a segment")
	}
	if j.Status == Compacted || j.Status == Completed {
		// The only states in which outputs mean something.
		if err := validateOutputs(j.Outputs); err != nil {
			return err
		}
	}
	if j.Context == nil {
		return nil
	}
	rs := j.Context.Ranges
	for i := range rs {
		if err := validateOutputs(rs[i].Outputs); err != nil {
			return fmt.Errorf("range %d: %w", i, err)
		}
		first, last := i == 0, i == len(rs)-1
		r := &rs[i].Range
		switch {
		case (r.Start == nil) != first || (r.End == nil) != last:
			return contentf("range %d of %d is open at the wrong end", i, len(rs))
		case !first && r.StartExclusive || !last && r.EndInclusive || r.Empty():
			return contentf("range %d of %d is not [a, b)", i, len(rs))
		case !first && !bytes.Equal(r.Start, rs[i-1].Range.End):
			return contentf("range %d of %d does not begin where the one before ends", i, len(rs))
		}
	}
	return nil
}

func validateOutputs(hs []*sst.Handle) error {
	for _, h := range hs {
		switch {
		case h == nil:
			return contentf("output without a table")
		case h.Info.First == nil:
			return contentf("output table %s has no first key", h.ID)
		}
	}
	return nil
}
