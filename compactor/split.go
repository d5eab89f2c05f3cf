package compactor

import (
	"bytes"
	"context"
	"slices"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// An anchor is a key at which some blocks of a table begin, and their bytes.
type anchor struct {
	key    []byte
	weight uint64
}

// maxAnchors is into how many groups the blocks of one table are divided.
const maxAnchors = 128

// split plans the ranges of a job over views, whose bytes are total.
func (w *Worker) split(ctx context.Context, views []*sst.ViewReader, total uint64) ([]manifest.Subcompaction, error) {
	most := w.o.MaxSubcompactions
	if least := w.o.MinSubcompactionBytes; least > 0 {
		most = int(min(uint64(most), total/uint64(least)))
	}
	var anchors []anchor
	var largest uint64
	if most > 1 {
		all, err := w.anchors(ctx, views)
		if err != nil {
			return nil, err
		}
		for _, a := range all {
			anchors = append(anchors, a...)
			var n uint64
			for i := range a {
				n += a[i].weight
			}
			largest = max(largest, n)
		}
	}
	var out []manifest.Subcompaction
	for _, r := range splitAt(anchors, largest, most) {
		out = append(out, manifest.Subcompaction{Range: r})
	}
	return out, nil
}

// anchors reads the indexes of all tables, in parallel.
func (w *Worker) anchors(ctx context.Context, views []*sst.ViewReader) ([][]anchor, error) {
	out := make([][]anchor, len(views))
	g, gctx := w.conf.Env.Group(ctx)
	slots := make(chan struct{}, 16) // arbitrary
	for i, v := range views {
		g.Go("compaction-index", func() error {
			select {
			case slots <- struct{}{}:
			case <-gctx.Done():
				return gctx.Err()
			}
			defer func() { <-slots }()
			meta, err := v.Reader().Meta(gctx)
			if err != nil {
				return err
			}
			out[i] = tableAnchors(&meta.Index, v)
			return nil
		})
	}
	return out, g.Wait()
}

// tableAnchors groups the blocks of a table, leaving out what the view does not show.
func tableAnchors(x *sst.Index, v *sst.ViewReader) []anchor {
	n := x.Len()
	info := &v.Reader().Handle().Info
	end := info.FilterOffset
	if info.FilterLen == 0 || end == 0 {
		end = info.IndexOffset
	}
	shown := v.Range()
	per := (n + maxAnchors - 1) / maxAnchors
	var out []anchor
	for i := 0; i < n; i += max(per, 1) {
		to := end
		if i+per < n {
			to = x.Offset(i + per)
		}
		key := x.Key(i)
		if i == 0 {
			key = info.First // the index has nothing before its first block
		}
		if shown.Contains(key) && to > x.Offset(i) {
			out = append(out, anchor{bytes.Clone(key), to - x.Offset(i)})
		}
	}
	return out
}

// splitAt cuts the key space into at most most ranges of about equal weight, none smaller
// than largest, the biggest table.
func splitAt(anchors []anchor, largest uint64, most int) []kv.Range {
	var total uint64
	for _, a := range anchors {
		total += a.weight
	}
	whole := []kv.Range{{}}
	if most <= 1 {
		return whole
	}
	target := max(total/uint64(most), largest)
	if target == 0 || target >= total {
		return whole
	}
	slices.SortStableFunc(anchors, func(a, b anchor) int { return bytes.Compare(a.key, b.key) })
	var cuts [][]byte
	threshold, before := target, uint64(0)
	last := anchors[0].key
	for _, a := range anchors {
		if before >= threshold && len(cuts) < most-1 && bytes.Compare(a.key, last) > 0 {
			cuts = append(cuts, a.key)
			last = a.key
			threshold += target
		}
		before += a.weight
	}
	out := make([]kv.Range, len(cuts)+1)
	for i, k := range cuts {
		out[i].End, out[i+1].Start = k, k
	}
	return out
}
