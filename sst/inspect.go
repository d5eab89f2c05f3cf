package sst

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
)

// This file is for tools and estimates: a table's parts one by one, below the rows of a scan.

// Find reads a handle of compacted table id under root ("" = the store's own) from the end of
// its object, for a table that no manifest at hand names. objstore.ErrNotFound when there is
// no such object.
func (s *Store) Find(ctx context.Context, id ID, root string) (*Handle, error) {
	h := &Handle{ID: id, Root: root, Format: FormatV2}
	r := s.Open(h)
	a, err := s.objects.Head(ctx, r.object)
	if errors.Is(err, objstore.ErrNotFound) {
		return nil, fmt.Errorf("find table %s: %w", r.object, err)
	} else if err != nil {
		return nil, s.readError(ctx, r, 0, err)
	}
	if a.Size <= footerLen {
		return nil, Corrupt(r.object, 0, corruptf("object of %d bytes", a.Size))
	}
	end := uint64(a.Size) - footerLen
	footer, err := s.readSpan(ctx, s.objects, r, end, footerLen, nil)
	if err != nil {
		return nil, err
	}
	start := binary.BigEndian.Uint64(footer)
	if h.Format = binary.BigEndian.Uint16(footer[8:]); h.Format != FormatV1 && h.Format != FormatV2 {
		return nil, Corrupt(r.object, int64(end), corruptf("unsupported table format version %d", h.Format))
	}
	if start > end || end-start <= crcLen || end-start > maxInfo {
		return nil, Corrupt(r.object, int64(end), corruptf("metadata from %d to %d", start, end))
	}
	stored, err := s.readSpan(ctx, s.objects, r, start, end-start, nil)
	if err != nil {
		return nil, err
	}
	if h.Info, err = decodeInfo(stored); err != nil {
		return nil, Corrupt(r.object, int64(start), err)
	}
	return h, nil
}

// maxInfo bounds the metadata section: two keys and a few numbers.
const maxInfo = 2*math.MaxUint16 + 64<<10

// Metas returns the metadata of several tables; what is not cached is read in parallel.
func (s *Store) Metas(ctx context.Context, rs []*Reader) ([]*Meta, error) {
	out := make([]*Meta, 0, len(rs))
	for len(rs) > 0 {
		part := rs[:min(len(rs), 2*cap(s.slots))]
		rs = rs[len(part):]
		w := wave{s: s}
		for _, r := range part {
			if err := w.add(r, nil, MetaBlock); err != nil {
				return nil, err
			}
		}
		w.start(ctx)
		for i := range w.wants {
			v, err := w.wait(ctx, i)
			if err != nil {
				return nil, err
			}
			out = append(out, v.Meta)
		}
	}
	return out, nil
}

// Cached returns the table's metadata when it is in memory, else nil.
func (r *Reader) Cached() *Meta { return r.meta() }

// Evict removes what the cache holds of the table. What is read later is cached again.
func (r *Reader) Evict() {
	if r.s.cache != nil {
		r.s.cache.Evict(r.cells.Key)
	}
}

// Attributes asks the store about the table's object.
func (r *Reader) Attributes(ctx context.Context) (objstore.Attributes, error) {
	a, err := r.s.objects.Head(ctx, r.object)
	if err != nil {
		return a, r.s.readError(ctx, r, 0, err)
	}
	return a, nil
}

// Stats reads the table's statistics; ok is false for a table that has none, as those of old
// releases. Damage, which Meta passes over, is an error here.
func (r *Reader) Stats(ctx context.Context) (st Stats, ok bool, err error) {
	info := &r.h.Info
	if info.StatsLen == 0 {
		return st, false, nil
	}
	if info.StatsLen <= crcLen || info.StatsLen > maxSection || info.StatsOffset > math.MaxInt64-info.StatsLen {
		return st, false, r.damage("statistics", info.StatsOffset, corruptf("%d bytes at %d", info.StatsLen, info.StatsOffset))
	}
	stored, err := r.s.readSpan(ctx, r.s.objects, r, info.StatsOffset, info.StatsLen, nil)
	if err != nil {
		return st, false, err
	}
	err = r.s.guarded(func() error {
		plain, err := openSection(stored, info.Codec, r.s.transformer, plainLimit)
		if err == nil {
			st, err = DecodeStats(plain)
		}
		return err
	})
	if err != nil {
		return Stats{}, false, r.damage("statistics", info.StatsOffset, err)
	}
	return st, true, nil
}

// BlockSpan says where block i is stored, its checksum included.
func (r *Reader) BlockSpan(m *Meta, i int) (off, n uint64, err error) {
	if i < 0 || i >= m.Index.Len() {
		return 0, 0, fmt.Errorf("%w: block %d of %d of table %s", kv.ErrInvalid, i, m.Index.Len(), r.object)
	}
	return r.section(m, i)
}

// Rows reads block i and returns its rows as they are stored. They share memory with each other
// alone.
func (r *Reader) Rows(ctx context.Context, m *Meta, i int) ([]kv.Entry, error) {
	off, _, err := r.BlockSpan(m, i)
	if err != nil {
		return nil, err
	}
	v, err := r.s.loadOne(ctx, r, m, i, false)
	if err != nil {
		return nil, err
	}
	var it blockIter
	var out []kv.Entry
	for it.reset(v.Block); it.next(); {
		out = append(out, it.e.Clone())
	}
	if err := it.err(); err != nil {
		return nil, r.damage(fmt.Sprintf("block %d", i), off, err)
	}
	return out, nil
}

// Search returns the first block that may hold key: a walk from there goes on while Key(i) <=
// key. It is 0 for a key below the first one too.
func (x *Index) Search(key []byte) int { return x.lookupStart(key) }
