package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// A viewKey names a table and the range that a view shows of it.
type viewKey struct{ object, visible string }

// viewFacts are what the rows say that a view shows.
type viewFacts struct {
	rows           int
	first, last    []byte
	minSeq, maxSeq kv.Seq
	firstSeq       kv.Seq // newest version of the first key
	lastSeq        kv.Seq // oldest version of the last key
}

func visibleKey(r *kv.Range) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%x %v %x %v %v %v", r.Start, r.StartExclusive, r.End, r.EndInclusive, r.Start == nil, r.End == nil)
}

// checkTables reads all tables that anything needs.
func (v *verifier) checkTables(ctx context.Context, p *plan) error {
	sizes := int64(0)
	for _, key := range p.order {
		sizes += p.listed[key].Size
	}
	v.expect(len(p.order), sizes)
	return v.each(ctx, len(p.order), func(ctx context.Context, i int) error {
		key := p.order[i]
		n := p.tables[key]
		body, err := v.get(ctx, key, p.listed[key].Size)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			if now := v.planAgain(ctx, p); now != nil && now.tables[key] == nil {
				return nil
			}
			v.damage(key, -1, "missing, but needed by %s", strings.Join(n.by, ", "))
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", key, err)
		}
		v.count(func(r *verifyReport) { r.Checked.Tables++ })
		if v.opaque {
			v.checkSections(key, body, &n.handle.Info)
			return nil
		}
		facts := v.checkTable(key, n, body)
		v.mu.Lock()
		defer v.mu.Unlock()
		for j, r := range n.views {
			if facts != nil {
				p.scanned[viewKey{key, visibleKey(r)}] = &facts[j]
			}
		}
		return nil
	})
}

// checkTable checks one table and returns the facts of its views; nil when its rows could not
// be read.
func (v *verifier) checkTable(key string, n *tableNeed, body []byte) []viewFacts {
	o, err := sst.OpenObject(key, body, nil)
	if err != nil {
		v.damaged(key, err)
		return nil
	}
	info := o.Info()
	if o.Format() != n.handle.Format {
		v.damage(key, -1, "has format %d, %s says %d", o.Format(), n.by[0], n.handle.Format)
	}
	if diff := infoDiff(info, &n.handle.Info); diff != "" {
		v.damage(key, -1, "its metadata and %s differ: %s", n.by[0], diff)
	}
	meta, err := o.Meta()
	if err != nil {
		v.damaged(key, err)
	}
	t := &tableCheck{v: v, key: key, o: o, facts: make([]viewFacts, len(n.views)), views: n.views, maxSeq: n.maxSeq, by: n.by[0]}
	if meta != nil {
		t.useFilters(meta)
	}
	if stats, ok, err := o.Stats(); err != nil {
		v.damaged(key, err)
	} else if ok {
		t.stats = &stats
	}
	if !t.rows() {
		return nil
	}
	return t.facts
}

// A tableCheck walks the rows of one table.
type tableCheck struct {
	v      *verifier
	key    string
	by     string
	o      *sst.Object
	views  []*kv.Range
	facts  []viewFacts
	maxSeq kv.Seq
	stats  *sst.Stats

	filters []sst.NamedFilter
	query   sst.Query
	seen    sst.Stats
	missed  bool // a filter has denied a key: said once
}

// wholeKeys is the policy whose filters hold every key. Others cut keys in ways that only
// their owner knows.
var wholeKeys = sst.Bloom(10, sst.BloomOptions{})

func (t *tableCheck) useFilters(m *sst.Meta) {
	for _, f := range m.Filters {
		known := f.Name == wholeKeys.Name()
		t.v.count(func(r *verifyReport) {
			if known {
				r.Checked.Filters++
			} else {
				r.FiltersUnknown++
			}
		})
		if known {
			t.filters = append(t.filters, f)
		}
	}
}

// at is the offset of the block where a key belongs.
func (t *tableCheck) at(key []byte) int64 {
	x := t.o.Index()
	i := sort.Search(x.Len(), func(i int) bool { return bytes.Compare(x.Key(i), key) > 0 })
	if x.Len() == 0 {
		return -1
	}
	return int64(x.Offset(max(i-1, 0)))
}

// rows walks all rows; false when a block could not be read.
func (t *tableCheck) rows() bool {
	it := t.o.Rows()
	var prev kv.Entry
	n := 0
	for it.Next() {
		e := it.Entry()
		t.row(e, &prev, n)
		prev.Key, prev.Seq = e.Key, e.Seq
		n++
	}
	blocks := t.o.Index().Len()
	t.v.count(func(r *verifyReport) { r.Checked.Rows += n; r.Checked.Blocks += blocks })
	if it.Err() != nil {
		t.v.damaged(t.key, it.Err())
		t.v.allBlocks(t.key, t.o)
		return false
	}
	info := t.o.Info()
	switch {
	case n == 0:
		t.v.damage(t.key, 0, "holds no row")
	case info.Last != nil && !bytes.Equal(prev.Key, info.Last):
		t.v.damage(t.key, t.at(prev.Key), "ends with key %s, its metadata says %s", showKey(prev.Key), showKey(info.Last))
	}
	t.compareStats()
	return true
}

func (t *tableCheck) row(e, prev *kv.Entry, n int) {
	c := bytes.Compare(prev.Key, e.Key)
	info := t.o.Info()
	switch {
	case n == 0 && !bytes.Equal(e.Key, info.First):
		t.v.damage(t.key, t.at(e.Key), "begins with key %s, its metadata says %s", showKey(e.Key), showKey(info.First))
	case n > 0 && c > 0:
		t.v.damage(t.key, t.at(e.Key), "key %s stands behind key %s", showKey(e.Key), showKey(prev.Key))
	case n > 0 && c == 0 && e.Seq >= prev.Seq:
		t.v.damage(t.key, t.at(e.Key), "key %s: seq %d stands behind seq %d", showKey(e.Key), e.Seq, prev.Seq)
	}
	if e.Seq > t.maxSeq {
		t.v.damage(t.key, t.at(e.Key), "key %s has seq %d, but tables of %s end at %d", showKey(e.Key), e.Seq, t.by, t.maxSeq)
	}
	switch e.Kind {
	case kv.Put:
		t.seen.Puts++
	case kv.Tombstone:
		t.seen.Deletes++
	case kv.Merge:
		t.seen.Merges++
	}
	t.seen.RawKeyBytes += uint64(len(e.Key))
	t.seen.RawValueBytes += uint64(len(e.Value))
	if n == 0 || c != 0 {
		t.ask(e.Key)
	}
	for i, r := range t.views {
		if r == nil || r.Contains(e.Key) {
			t.facts[i].add(e)
		}
	}
}

// ask asks the filters for a key that is there.
func (t *tableCheck) ask(key []byte) {
	for _, f := range t.filters {
		t.query = sst.Query{Kind: sst.QueryPoint, Key: key}
		maybe, err := wholeKeys.MayContain(f.Data, &t.query)
		if (err != nil || !maybe) && !t.missed {
			t.missed = true
			if err == nil {
				err = fmt.Errorf("denies key %s, which the table holds", showKey(key))
			}
			t.v.damage(t.key, int64(t.o.Info().FilterOffset), "filter %s: %v", f.Name, err)
		}
	}
}

func (f *viewFacts) add(e *kv.Entry) {
	if f.rows == 0 {
		f.first, f.firstSeq, f.minSeq = e.Key, e.Seq, e.Seq
	}
	f.rows++
	f.last, f.lastSeq = e.Key, e.Seq
	f.minSeq, f.maxSeq = min(f.minSeq, e.Seq), max(f.maxSeq, e.Seq)
}

func (t *tableCheck) compareStats() {
	if t.stats == nil {
		return
	}
	at := int64(t.o.Info().StatsOffset)
	for _, c := range []struct {
		what      string
		said, got uint64
	}{
		{"puts", t.stats.Puts, t.seen.Puts}, {"deletes", t.stats.Deletes, t.seen.Deletes}, {"merges", t.stats.Merges, t.seen.Merges},
		{"key bytes", t.stats.RawKeyBytes, t.seen.RawKeyBytes}, {"value bytes", t.stats.RawValueBytes, t.seen.RawValueBytes},
		{"blocks", uint64(len(t.stats.Blocks)), uint64(t.o.Index().Len())},
	} {
		if c.said != c.got {
			t.v.damage(t.key, at, "statistics say %d %s, there are %d", c.said, c.what, c.got)
		}
	}
}

// allBlocks names every damaged block of an object in which one was found.
func (v *verifier) allBlocks(key string, o *sst.Object) {
	for i := range o.Index().Len() {
		if _, err := o.Block(i); err != nil {
			v.damaged(key, err)
		}
	}
}

// checkSections checks what can be checked of a transformed table: footer, metadata, and the
// checksums of the sections whose place the metadata knows.
func (v *verifier) checkSections(key string, body []byte, info *sst.Info) {
	const footer = 10
	if len(body) <= footer {
		v.damage(key, 0, "object of %d bytes", len(body))
		return
	}
	end := uint64(len(body) - footer)
	start := binary.BigEndian.Uint64(body[end:])
	if f := binary.BigEndian.Uint16(body[end+8:]); f != sst.FormatV1 && f != sst.FormatV2 {
		v.damage(key, int64(end), "unsupported table format version %d", f)
	}
	v.checkSum(key, "metadata", body, start, end-min(start, end))
	if info == nil {
		return
	}
	v.checkSum(key, "index", body, info.IndexOffset, info.IndexLen)
	if info.FilterLen > 0 {
		v.checkSum(key, "filter", body, info.FilterOffset, info.FilterLen)
	}
	if info.StatsLen > 0 {
		v.checkSum(key, "statistics", body, info.StatsOffset, info.StatsLen)
	}
}

func (v *verifier) checkSum(key, what string, body []byte, off, n uint64) {
	if size := uint64(len(body)); off > size || n > size-off || n <= 4 {
		v.damage(key, int64(min(off, size)), "%s of %d bytes at %d, object of %d bytes", what, n, off, size)
		return
	}
	s := body[off : off+n]
	if got, want := crc32.ChecksumIEEE(s[:n-4]), binary.BigEndian.Uint32(s[n-4:]); got != want {
		v.damage(key, int64(off), "%s: checksum mismatch: got %08x, want %08x", what, got, want)
	}
}

// checkTrees checks what only the rows of several tables can tell.
func (v *verifier) checkTrees(p *plan) {
	for _, m := range p.needed {
		for prefix, t := range m.Trees() {
			v.checkPrefix(p, prefix, t)
			v.checkL0(p, t)
			for i := range t.Runs {
				v.checkRun(p, &t.Runs[i])
			}
		}
	}
}

func (v *verifier) facts(p *plan, view *sst.View) *viewFacts {
	f := p.scanned[viewKey{v.tableKey(view.Table), visibleKey(view.Visible)}]
	if f == nil || f.rows == 0 {
		return nil
	}
	return f
}

// checkPrefix: the rows of a segment have its prefix.
func (v *verifier) checkPrefix(p *plan, prefix []byte, t *manifest.Tree) {
	for view := range t.Views() {
		f := v.facts(p, view)
		if f == nil {
			continue
		}
		for _, k := range [][]byte{f.first, f.last} {
			if !bytes.HasPrefix(k, prefix) {
				v.damage(v.tableKey(view.Table), -1, "key %s is in segment %s", showKey(k), showKey(prefix))
			}
		}
	}
}

// checkL0: of two L0 views that may hold the same key, the one in front is newer throughout.
func (v *verifier) checkL0(p *plan, t *manifest.Tree) {
	for i := range t.L0 {
		newer := v.facts(p, &t.L0[i])
		for j := i + 1; j < len(t.L0) && newer != nil; j++ {
			older := v.facts(p, &t.L0[j])
			if older == nil || bytes.Compare(newer.last, older.first) < 0 || bytes.Compare(older.last, newer.first) < 0 {
				continue
			}
			if newer.minSeq <= older.maxSeq {
				v.damage(v.tableKey(t.L0[i].Table), -1, "L0 table with seqs from %d on stands before %s, which goes up to %d",
					newer.minSeq, v.tableKey(t.L0[j].Table), older.maxSeq)
			}
		}
	}
}

// checkRun: the views of a run follow each other. Neighbours may share a key; then the first
// has its newer versions.
func (v *verifier) checkRun(p *plan, r *sst.SortedRun) {
	var before *viewFacts
	var name string
	for i := range r.Views {
		f := v.facts(p, &r.Views[i])
		if f == nil {
			continue
		}
		key := v.tableKey(r.Views[i].Table)
		if before != nil {
			switch c := bytes.Compare(before.last, f.first); {
			case c > 0:
				v.damage(key, -1, "run %d: begins with key %s, %s before it goes up to %s", r.ID, showKey(f.first), name, showKey(before.last))
			case c == 0 && before.lastSeq <= f.firstSeq:
				v.damage(key, -1, "run %d: key %s has seq %d, %s before it ends with seq %d", r.ID, showKey(f.first), f.firstSeq, name, before.lastSeq)
			}
		}
		before, name = f, key
	}
}

// parseTableID reads the name of a table.
func parseTableID(s string) (ulid.ULID, error) { return ulid.ParseStrict(s) }
