package sst

import (
	"bytes"
	"math"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A Share is the part of a table that lies in a range, as index and statistics tell it without
// a look at the rows: exact but for the block at each end of the range, of which half counts.
type Share struct {
	Bytes   uint64 // of the table, its index and filters in proportion
	Rows    uint64 // versions, those that delete included; 0 unless Counted
	Deletes uint64
	Counted bool // the table has statistics
}

// Share returns what part of the table lies in rng.
func (r *Reader) Share(m *Meta, rng kv.Range) Share {
	info, x := &r.h.Info, &m.Index
	n := x.Len()
	if n == 0 || rng.Empty() {
		return Share{Counted: true}
	}
	from, to := 0.0, float64(n)
	if len(rng.Start) > 0 && (bytes.Compare(rng.Start, info.First) > 0 || info.First == nil) {
		from = x.place(rng.Start, rng.StartExclusive)
	}
	if rng.End != nil && (info.Last == nil || !rng.BelowEnd(info.Last)) {
		to = x.place(rng.End, rng.EndInclusive)
	}
	if from >= to {
		if to = math.Ceil(from); to == from || int(to) > n {
			return Share{Counted: true}
		}
		// Both ends in one block: of what it holds, a quarter.
		from = to - 0.25
	}
	data := info.dataEnd() - min(info.dataEnd(), x.Offset(0))
	if data == 0 {
		return Share{Counted: true}
	}
	part := r.bytesUpTo(x, to) - r.bytesUpTo(x, from)
	s := Share{Bytes: uint64(part / float64(data) * float64(info.EstimatedSize()))}
	if st, err := DecodeStats(m.Stats); m.Stats != nil && err == nil && len(st.Blocks) == n {
		s.Counted = true
		rows, deletes := 0.0, 0.0
		for i := int(from); i < n && float64(i) < to; i++ {
			w := math.Min(to, float64(i+1)) - math.Max(from, float64(i))
			b := st.Blocks[i]
			rows += w * float64(uint64(b.Puts)+uint64(b.Deletes)+uint64(b.Merges))
			deletes += w * float64(b.Deletes)
		}
		s.Rows, s.Deletes = uint64(rows+0.5), uint64(deletes+0.5)
	}
	return s
}

// place is where key stands among the blocks, in blocks: i when block i begins with it, i+1/2
// when it lies somewhere in block i. behind: where its last version ends.
func (x *Index) place(key []byte, behind bool) float64 {
	if behind {
		return float64(max(x.lastLE(key), 0)) + 0.5
	}
	i := x.less(key)
	if i == 0 || i < x.Len() && bytes.Equal(x.Key(i), key) {
		return float64(i)
	}
	return float64(i) - 0.5
}

// bytesUpTo is the stored size of the blocks below place p.
func (r *Reader) bytesUpTo(x *Index, p float64) float64 {
	i := int(p)
	if i >= x.Len() {
		return float64(r.h.Info.dataEnd() - x.Offset(0))
	}
	end := r.h.Info.dataEnd()
	if i+1 < x.Len() {
		end = x.Offset(i + 1)
	}
	off := x.Offset(i)
	return float64(off-x.Offset(0)) + (p-float64(i))*float64(max(end, off)-off)
}

// Cuts calls f for the blocks of the table in rng, ascending, with a key at which the block's
// part in the range begins and its stored bytes. At most about most calls are made: of a table
// with more blocks, neighbours are taken together.
func (r *Reader) Cuts(m *Meta, rng kv.Range, most int, f func(key []byte, size uint64)) {
	x := &m.Index
	n := x.Len()
	first, last := 0, n
	if len(rng.Start) > 0 {
		first = x.lookupStart(rng.Start)
	}
	if rng.End != nil {
		last = min(x.lastLE(rng.End)+1, n)
	}
	step := max(1, (last-first+most-1)/max(1, most))
	for i := first; i < last; i += step {
		j := min(i+step, last)
		key := x.Key(i)
		if bytes.Compare(key, r.h.Info.First) < 0 {
			key = r.h.Info.First // the index key of the first block may be empty
		}
		if !rng.AboveStart(key) {
			key = rng.Start
		}
		f(key, uint64(r.bytesUpTo(x, float64(j))-r.bytesUpTo(x, float64(i))))
	}
}
