package slatedb

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// A RangeEstimate is about how much a database holds in a range of keys. It counts what is
// stored: older versions of a key that no compaction has dropped yet, and what they were
// deleted by, count too. So on a database that was just compacted it is close to what a scan
// finds, and on one that overwrites and deletes much it lies above that.
//
// Tables that lie in the range count by their size in the manifest. Of those at its edges the
// index is read, and the block at each edge counts half: the error is at most a block for each
// edge of each table. Memtables are counted by rows; their bytes are those rows' share.
type RangeEstimate struct {
	// Bytes as stored, after compression, indexes and filters included. What is in memory only
	// counts as the table it will become, before compression.
	Bytes uint64
	// Rows are versions: puts, merge operands and Deletes. They are known from statistics,
	// which tables of releases before 0.12 lack. Of tables whose statistics are not in memory
	// the largest few are asked, and the others are taken to be like them.
	Rows    uint64
	Deletes uint64
	// Tables is how many tables of the object store hold keys of the range.
	Tables int
}

// Bounds on the requests of an estimate beyond the edges of the range.
const (
	sampledMetas  = 8 // tables whose statistics are read
	sampledBlocks = 4 // tables without statistics of which a block is read
)

// estimate adds up what lies in r. Without rows it reads no statistics.
func (v *view) estimate(ctx context.Context, r kv.Range, rows bool) (e RangeEstimate, err error) {
	if r.Empty() {
		return e, nil
	}
	v.sampleMemory(r, 0, func(_ []byte, n, size uint64) { e.Rows += n; e.Bytes += size })
	var whole, edge []*sst.ViewReader
	for _, t := range v.tablesIn(r) {
		e.Tables++
		if coversTable(r, t) {
			whole = append(whole, t)
		} else {
			edge = append(edge, t)
		}
	}
	metas, err := v.metas(ctx, edge)
	if err != nil {
		return e, err
	}
	known, unknown := sst.Share{}, uint64(0) // with row counts and without
	var blind []*sst.Reader                  // without statistics
	add := func(s sst.Share, t *sst.Reader) {
		e.Bytes += s.Bytes
		if s.Counted {
			known.Bytes, known.Rows, known.Deletes = known.Bytes+s.Bytes, known.Rows+s.Rows, known.Deletes+s.Deletes
			return
		}
		unknown += s.Bytes
		blind = append(blind, t)
	}
	for i, t := range edge {
		add(t.Reader().Share(metas[i], t.Range().Intersect(r)), t.Reader())
	}
	if !rows {
		for _, t := range whole {
			e.Bytes += t.Reader().Handle().Info.EstimatedSize()
		}
		e.Rows = 0
		return e, nil
	}
	// The statistics of whole tables: what is cached, and of the others the largest.
	slices.SortStableFunc(whole, func(a, b *sst.ViewReader) int {
		return cmp.Compare(b.Reader().Handle().Info.EstimatedSize(), a.Reader().Handle().Info.EstimatedSize())
	})
	var ask []*sst.ViewReader
	for _, t := range whole {
		switch m := t.Reader().Cached(); {
		case m != nil:
			add(t.Reader().Share(m, kv.Range{}), t.Reader())
		case len(ask) < sampledMetas:
			ask = append(ask, t)
		default:
			size := t.Reader().Handle().Info.EstimatedSize()
			e.Bytes += size
			unknown += size
		}
	}
	if metas, err = v.metas(ctx, ask); err != nil {
		return e, err
	}
	for i, t := range ask {
		add(t.Reader().Share(metas[i], kv.Range{}), t.Reader())
	}
	e.Rows, e.Deletes = e.Rows+known.Rows, e.Deletes+known.Deletes
	if unknown == 0 {
		return e, nil
	}
	if known.Rows == 0 {
		if known, err = v.sampleRows(ctx, blind); err != nil {
			return e, err
		}
	}
	if known.Bytes > 0 {
		e.Rows += uint64(float64(unknown) / float64(known.Bytes) * float64(known.Rows))
		e.Deletes += uint64(float64(unknown) / float64(known.Bytes) * float64(known.Deletes))
	}
	return e, nil
}

// sampleRows counts the rows of a block in the middle of some tables.
func (v *view) sampleRows(ctx context.Context, ts []*sst.Reader) (s sst.Share, err error) {
	for _, t := range ts[:min(len(ts), sampledBlocks)] {
		m, err := t.Meta(ctx)
		if err != nil {
			return s, err
		}
		i := m.Index.Len() / 2
		_, n, err := t.BlockSpan(m, i)
		if err != nil {
			return s, err
		}
		rows, err := t.Rows(ctx, m, i)
		if err != nil {
			return s, err
		}
		s.Bytes += n
		s.Rows += uint64(len(rows))
		for k := range rows {
			if rows[k].Kind == kv.Tombstone {
				s.Deletes++
			}
		}
	}
	return s, nil
}

// coversTable reports whether a view shows the whole of its table and all of it lies in r.
func coversTable(r kv.Range, t *sst.ViewReader) bool {
	info := &t.Reader().Handle().Info
	cut := t.Range().Intersect(r)
	if !cut.AboveStart(info.First) {
		return false
	}
	if info.Last == nil {
		return cut.End == nil
	}
	return cut.BelowEnd(info.Last)
}

// tablesIn returns the views that overlap r.
func (v *view) tablesIn(r kv.Range) (out []*sst.ViewReader) {
	trees := append([]*tree{&v.st.root}, v.st.overlapping(r)...)
	for _, t := range trees {
		for _, x := range t.l0 {
			if x.Overlaps(r) {
				out = append(out, x)
			}
		}
		for _, run := range t.runs {
			out = append(out, sst.FindRangeInRun(run, r)...)
		}
	}
	return out
}

func (v *view) metas(ctx context.Context, ts []*sst.ViewReader) ([]*sst.Meta, error) {
	rs := make([]*sst.Reader, len(ts))
	for i, t := range ts {
		rs[i] = t.Reader()
	}
	return v.h.ssts.Metas(ctx, rs)
}

// sampleMemory calls f with keys of the memtables, the rows that follow each and their bytes;
// of each table at least least bytes together, but for its last call.
func (v *view) sampleMemory(r kv.Range, least uint64, f func(first []byte, rows, size uint64)) {
	for _, m := range append([]*memTable{v.st.mem}, v.st.imm...) {
		n := m.Len()
		if n == 0 {
			continue
		}
		perRow := float64(m.EncodedBytes()) / float64(n)
		var first []byte
		rows := 0
		flush := func() {
			if rows > 0 {
				f(first, uint64(rows), uint64(float64(rows)*perRow))
			}
			first, rows = nil, 0
		}
		m.Sample(r, func(key []byte, n int) bool {
			if rows == 0 {
				first = key
			}
			if rows += n; float64(rows)*perRow >= float64(least) {
				flush()
			}
			return true
		})
		flush()
	}
}

// splitDetail: a table larger than this part of a share is looked into.
const splitDetail = 8

// splitPoints cuts r into n parts of about equal size.
func (v *view) splitPoints(ctx context.Context, r kv.Range, n int) ([][]byte, error) {
	if r.Empty() || n == 1 {
		return nil, nil
	}
	total, err := v.estimate(ctx, r, false)
	if err != nil {
		return nil, err
	}
	type cut struct {
		key  []byte
		size uint64
	}
	var cuts []cut
	add := func(key []byte, size uint64) { cuts = append(cuts, cut{key, size}) }
	fine := total.Bytes / uint64(n) / splitDetail
	v.sampleMemory(r, fine, func(key []byte, _, size uint64) { add(key, size) })
	var big []*sst.ViewReader
	for _, t := range v.tablesIn(r) {
		if size := t.Reader().Handle().Info.EstimatedSize(); size > fine || !coversTable(r, t) {
			big = append(big, t)
		} else {
			add(t.Reader().Handle().Info.First, size)
		}
	}
	metas, err := v.metas(ctx, big)
	if err != nil {
		return nil, err
	}
	for i, t := range big {
		t.Reader().Cuts(metas[i], t.Range().Intersect(r), n*splitDetail, add)
	}
	slices.SortStableFunc(cuts, func(a, b cut) int { return bytes.Compare(a.key, b.key) })
	sum := uint64(0)
	for _, c := range cuts {
		sum += c.size
	}
	var out [][]byte
	at, next := uint64(0), 1
	for _, c := range cuts {
		// c.key is where a share ends when what lies below it is nearer to the goal than what
		// lies below the cut behind it.
		for next < n && at+c.size/2 >= share(sum, next, n) {
			next++
			if bytes.Compare(c.key, r.Start) > 0 && r.BelowEnd(c.key) && (len(out) == 0 || bytes.Compare(c.key, out[len(out)-1]) > 0) {
				out = append(out, bytes.Clone(c.key))
			}
		}
		at += c.size
	}
	return out, nil
}

// share is i/n of sum, without overflow.
func share(sum uint64, i, n int) uint64 { return uint64(float64(sum) / float64(n) * float64(i)) }

func (h *handle) estimateIn(ctx context.Context, r Range, rows bool, see func() (view, error)) (RangeEstimate, error) {
	rng, err := r.clone()
	if err != nil {
		return RangeEstimate{}, err
	}
	if err := ctx.Err(); err != nil {
		return RangeEstimate{}, err
	}
	v, err := see()
	if err != nil {
		return RangeEstimate{}, err
	}
	return v.estimate(ctx, rng, rows)
}

// maxSplits bounds the work of SplitPoints.
const maxSplits = 1 << 16

func (h *handle) splitIn(ctx context.Context, r Range, n int, see func() (view, error)) ([][]byte, error) {
	if n < 1 || n > maxSplits {
		return nil, invalidf("%d parts, want 1 to %d", n, maxSplits)
	}
	rng, err := r.clone()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v, err := see()
	if err != nil {
		return nil, err
	}
	return v.splitPoints(ctx, rng, n)
}

func (h *handle) seeAll() (view, error)   { return h.view(DurabilityMemory, false) }
func (s *Snapshot) seeAll() (view, error) { return s.view(DurabilityMemory) }
