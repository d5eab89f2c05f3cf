package slatedb

import (
	"context"
	"iter"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// The reads of every handle. DB and Reader forward to them.

func (h *handle) getWith(ctx context.Context, dst, key []byte, o *ReadOptions) ([]byte, error) {
	v, err := h.pointView(ctx, key, o)
	if err != nil {
		return nil, err
	}
	return v.appendGet(ctx, dst, key, o)
}

func (h *handle) getEntryWith(ctx context.Context, key []byte, o *ReadOptions) (Entry, error) {
	v, err := h.pointView(ctx, key, o)
	if err != nil {
		return Entry{}, err
	}
	return v.getEntry(ctx, key, o)
}

func (h *handle) hasWith(ctx context.Context, key []byte) (bool, error) {
	v, err := h.pointView(ctx, key, nil)
	if err != nil {
		return false, err
	}
	l := lookups.Get().(*lookup)
	defer func() { l.e = kv.Entry{}; l.Done(); lookups.Put(l) }()
	now := nowMaybe{h: h}
	ok, err := v.get(ctx, key, &ReadOptions{}, l, &now)
	if err != nil || !ok || l.e.Kind != kv.Merge {
		return ok, err
	}
	if _, err = v.fold(ctx, key, &ReadOptions{}); err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// pointView checks a point read's arguments and returns what it sees.
func (h *handle) pointView(ctx context.Context, key []byte, o *ReadOptions) (view, error) {
	if err := checkReadKey(key); err != nil {
		return view{}, err
	}
	if err := ctx.Err(); err != nil {
		return view{}, err
	}
	h.stats.gets.add(1)
	if o == nil {
		return h.view(DurabilityMemory, false)
	}
	return h.view(o.Durability, o.Dirty)
}

func (h *handle) multiGetWith(ctx context.Context, keys [][]byte, o *ReadOptions) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o == nil {
		o = &ReadOptions{}
	}
	h.stats.gets.add(uint64(len(keys)))
	v, err := h.view(o.Durability, o.Dirty)
	if err != nil {
		return nil, err
	}
	return v.multiGet(ctx, keys, o)
}

func (h *handle) scanWith(ctx context.Context, r Range, o *ScanOptions) (*Iterator, error) {
	if o == nil {
		o = &ScanOptions{}
	}
	if o.Limit < 0 || o.ReadAheadBytes < 0 || o.MaxFetchTasks < 0 || o.Order > Descending {
		return nil, invalidf("scan options: Limit %d, ReadAheadBytes %d, MaxFetchTasks %d, Order %d: want none below 0 and a known order",
			o.Limit, o.ReadAheadBytes, o.MaxFetchTasks, o.Order)
	}
	rng, err := r.clone()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.stats.scans.add(1)
	v, err := h.view(o.Durability, o.Dirty)
	if err != nil {
		return nil, err
	}
	return v.scan(ctx, rng, o, nil)
}

func (h *handle) entriesWith(ctx context.Context, r Range, o *ScanOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		it, err := h.scanWith(ctx, r, o)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer it.Close()
		for it.Next() {
			if !yield(it.Entry(), nil) {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield(Entry{}, err)
		}
	}
}
