package slatedb

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// What a clone's manifest says, as functions of its sources' manifests. No I/O. mint makes a
// view id with the given time, since whoever cuts a view gives it a new id.

// A cloneInput is one source: the manifest that its checkpoint pins, cut to the range.
type cloneInput struct {
	path       string
	checkpoint uuid.UUID
	m          *manifest.Manifest
}

// project returns a copy of m cut to the keys of r. Tables are not rewritten: views get a
// visible range, and those without keys go, as do runs and segments that become empty.
func project(m *manifest.Manifest, r kv.Range, mint func(ms uint64) ulid.ULID) *manifest.Manifest {
	if r.StartExclusive && len(r.Start) > 0 {
		// A visible range includes its start.
		r.Start, r.StartExclusive = append(bytes.Clone(r.Start), 0), false
	}
	out := m.Clone()
	projectTree(&out.Root, r, mint)
	for i := range out.Segments {
		projectTree(&out.Segments[i].Tree, r, mint)
	}
	out.Segments = slices.DeleteFunc(out.Segments, func(s manifest.Segment) bool { return s.Empty() })
	out.TrimExternal()
	out.External = slices.DeleteFunc(out.External, func(e manifest.ExternalDB) bool { return len(e.Tables) == 0 })
	return out
}

func projectTree(t *manifest.Tree, r kv.Range, mint func(ms uint64) ulid.ULID) {
	t.L0 = projectViews(t.L0, r, mint, false)
	for i := range t.Runs {
		t.Runs[i].Views = projectViews(t.Runs[i].Views, r, mint, true)
	}
	t.Runs = slices.DeleteFunc(t.Runs, func(r sst.SortedRun) bool { return len(r.Views) == 0 })
}

func projectViews(views []sst.View, r kv.Range, mint func(ms uint64) ulid.ULID, run bool) []sst.View {
	var out []sst.View
	for i, v := range views {
		have := viewRange(&v)
		if run && have.End == nil && i+1 < len(views) {
			// A table of a run whose last key is unknown ends where the next one begins.
			have.End, have.EndInclusive = viewRange(&views[i+1]).Start, true
		}
		want := have.Intersect(r)
		switch {
		case want.Empty():
			continue
		case !sameRange(want, have):
			v.ID, v.Visible = mint(v.ID.Time()), &want
		}
		out = append(out, v)
	}
	return out
}

// viewRange is where a view has keys. An end of nil is an unknown last key.
func viewRange(v *sst.View) kv.Range {
	r := kv.Range{Start: v.Table.Info.First, End: v.Table.Info.Last, EndInclusive: true}
	if v.Visible != nil {
		r = r.Intersect(*v.Visible)
	}
	return r
}

func sameRange(a, b kv.Range) bool {
	return bytes.Equal(a.Start, b.Start) && (a.End == nil) == (b.End == nil) && bytes.Equal(a.End, b.End) &&
		(a.End == nil || a.EndInclusive == b.EndInclusive)
}

// cloneOne returns the first manifest of a clone of one source.
func cloneOne(in cloneInput, newID func() uuid.UUID) *manifest.Manifest {
	m := in.m.Clone()
	m.ID, m.Initialized, m.Checkpoints, m.SnapshotMinSeq = 0, false, nil, m.LastL0Seq
	m.External = borrow(in, newID)
	return m
}

// borrow lists what a clone of in borrows from whom: the ancestors that the source itself
// borrows from, by way of the source's own checkpoints there, then the source.
func borrow(in cloneInput, newID func() uuid.UUID) []manifest.ExternalDB {
	m := in.m.Clone()
	m.TrimExternal()
	var out []manifest.ExternalDB
	foreign := make(map[ulid.ULID]bool)
	for _, e := range m.External {
		if len(e.Tables) == 0 {
			continue
		}
		for _, id := range e.Tables {
			foreign[id] = true
		}
		out = append(out, manifest.ExternalDB{Path: e.Path, SourceCheckpoint: e.FinalCheckpoint, FinalCheckpoint: newID(), Tables: e.Tables})
	}
	own := manifest.ExternalDB{Path: in.path, SourceCheckpoint: in.checkpoint, FinalCheckpoint: newID()}
	for v := range m.Views() {
		if id := v.Table.ID.ULID(); !foreign[id] {
			foreign[id] = true // once is enough
			own.Tables = append(own.Tables, id)
		}
	}
	return append(out, own)
}

// union returns the first manifest of a clone of several sources, whose keys must not
// overlap. The order of the arguments does not matter.
func union(ins []cloneInput, newID func() uuid.UUID, mint func(ms uint64) ulid.ULID) (*manifest.Manifest, error) {
	out := manifest.New(ins[0].m.ExtractorName)
	out.Initialized = false
	for _, in := range ins {
		if in.m.ExtractorName != out.ExtractorName {
			return nil, invalidf("sources %q and %q have different segment extractors, %q and %q",
				ins[0].path, in.path, out.ExtractorName, in.m.ExtractorName)
		}
		out.LastL0Seq, out.LastL0Tick = max(out.LastL0Seq, in.m.LastL0Seq), max(out.LastL0Tick, in.m.LastL0Tick)
	}
	out.SnapshotMinSeq = out.LastL0Seq

	// The trees by prefix, with "" for the root.
	var prefixes []string
	parts := make(map[string][]unionPart)
	for _, in := range ins {
		for prefix, t := range in.m.Trees() {
			if span, ok := treeSpan(t); ok {
				p := string(prefix)
				if parts[p] == nil {
					prefixes = append(prefixes, p)
				}
				parts[p] = append(parts[p], unionPart{in.path, t, span})
			}
		}
	}
	slices.Sort(prefixes)
	set := make(map[string]struct{})
	seen := make(map[ulid.ULID]bool) // L0 view ids
	for _, p := range prefixes {
		t, err := unionTree(parts[p], seen, mint)
		if err != nil {
			return nil, err
		}
		if p == "" {
			out.Root = t
			continue
		}
		set[p] = struct{}{}
		out.Segments = append(out.Segments, manifest.Segment{Prefix: []byte(p), Tree: t})
	}
	if err := checkAntichain(set); err != nil {
		return nil, err
	}
	numberRuns(out)
	out.External = mergeBorrows(ins, newID)
	return out, nil
}

// unionPart is what one source has of a tree.
type unionPart struct {
	path string
	tree *manifest.Tree
	span kv.Range
}

// treeSpan is the smallest range with all keys of a tree; ok is false when it has no tables.
func treeSpan(t *manifest.Tree) (span kv.Range, ok bool) {
	for v := range t.Views() {
		r := viewRange(v)
		if !ok {
			span, ok = r, true
			continue
		}
		if bytes.Compare(r.Start, span.Start) < 0 {
			span.Start = r.Start
		}
		switch c := bytes.Compare(r.End, span.End); {
		case span.End == nil:
		case r.End == nil || c > 0:
			span.End, span.EndInclusive = r.End, r.EndInclusive
		case c == 0:
			span.EndInclusive = span.EndInclusive || r.EndInclusive
		}
	}
	return span, ok
}

// unionTree puts trees with disjoint keys into one. It has no watermark: those are ids of
// lists that no longer exist.
func unionTree(parts []unionPart, seen map[ulid.ULID]bool, mint func(ms uint64) ulid.ULID) (manifest.Tree, error) {
	slices.SortFunc(parts, func(a, b unionPart) int {
		return cmp.Or(bytes.Compare(a.span.Start, b.span.Start), cmp.Compare(a.path, b.path))
	})
	var out manifest.Tree
	for i, p := range parts {
		if i > 0 {
			before := parts[i-1].span
			if both := before.Intersect(p.span); !both.Empty() {
				return out, invalidf("sources %q and %q overlap: %q lies in both", parts[i-1].path, p.path, p.span.Start)
			}
		}
		for _, v := range p.tree.L0 {
			if seen[v.ID] {
				v.ID = mint(v.ID.Time())
			}
			seen[v.ID] = true
			out.L0 = append(out.L0, v)
		}
		for _, r := range p.tree.Runs {
			out.Runs = append(out.Runs, sst.SortedRun{Views: slices.Clone(r.Views)})
		}
	}
	return out, nil
}

// numberRuns gives the runs new ids, descending to 0 over root and segments.
func numberRuns(m *manifest.Manifest) {
	n := uint32(0)
	for _, t := range m.Trees() {
		n += uint32(len(t.Runs))
	}
	for _, t := range m.Trees() {
		for i := range t.Runs {
			n--
			t.Runs[i].ID = n
		}
	}
}

// mergeBorrows lists what a union borrows, by path; what two sources borrow alike is listed
// once, under the entry of the direct source when there is one.
func mergeBorrows(ins []cloneInput, newID func() uuid.UUID) []manifest.ExternalDB {
	var direct, inherited []manifest.ExternalDB
	for _, in := range ins {
		es := borrow(in, newID)
		direct = append(direct, es[len(es)-1])
		inherited = append(inherited, es[:len(es)-1]...)
	}
	var out []manifest.ExternalDB
	seen := make(map[string]bool)
	for _, e := range append(direct, inherited...) {
		slices.SortFunc(e.Tables, ulid.ULID.Compare)
		key := fmt.Sprint(e.Path, e.Tables)
		if !seen[key] {
			seen[key] = true
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b manifest.ExternalDB) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

// sameContent reports whether two manifests show the same keys of the same tables. View ids
// may differ, since cut views get random ones.
func sameContent(a, b *manifest.Manifest) bool {
	view := func(x, y sst.View) bool {
		return x.Table.ID == y.Table.ID && (x.Visible == nil) == (y.Visible == nil) &&
			(x.Visible == nil || sameRange(*x.Visible, *y.Visible))
	}
	tree := func(x, y *manifest.Tree) bool {
		return slices.EqualFunc(x.L0, y.L0, view) && slices.EqualFunc(x.Runs, y.Runs, func(x, y sst.SortedRun) bool {
			return x.ID == y.ID && slices.EqualFunc(x.Views, y.Views, view)
		})
	}
	return tree(&a.Root, &b.Root) && slices.EqualFunc(a.Segments, b.Segments, func(x, y manifest.Segment) bool {
		return bytes.Equal(x.Prefix, y.Prefix) && tree(&x.Tree, &y.Tree)
	})
}
