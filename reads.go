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
	return v.has(ctx, key)
}

// has reports whether key has a value.
func (v *view) has(ctx context.Context, key []byte) (bool, error) {
	l := lookups.Get().(*lookup)
	defer func() { l.e = kv.Entry{}; l.Done(); lookups.Put(l) }()
	now := nowMaybe{h: v.h}
	ok, err := v.get(ctx, key, &defaultRead, l, &now)
	if err != nil || !ok || l.e.Kind != kv.Merge {
		return ok, err
	}
	if _, err = v.fold(ctx, key, &defaultRead); err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// viewAt returns what a read bounded by a pinned number sees now: the state of the moment,
// in which everything that the number needs is kept.
func (h *handle) viewAt(seq kv.Seq, d Durability) (view, error) {
	v, err := h.view(d, true)
	v.max = min(v.max, seq)
	return v, err
}

func (o *ReadOptions) durability() Durability {
	if o == nil {
		return DurabilityMemory
	}
	return o.Durability
}

// startPoint checks a point read's arguments and counts it.
func (h *handle) startPoint(ctx context.Context, key []byte) error {
	if err := checkReadKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	h.stats.gets.add(1)
	return nil
}

// startMulti is startPoint for many keys.
func (h *handle) startMulti(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h.stats.gets.add(uint64(n))
	return nil
}

// pointView checks a point read's arguments and returns what it sees.
func (h *handle) pointView(ctx context.Context, key []byte, o *ReadOptions) (view, error) {
	if err := h.startPoint(ctx, key); err != nil {
		return view{}, err
	}
	if o == nil {
		return h.view(DurabilityMemory, false)
	}
	return h.view(o.Durability, o.Dirty)
}

func (h *handle) multiGetWith(ctx context.Context, keys [][]byte, o *ReadOptions) ([][]byte, error) {
	if err := h.startMulti(ctx, len(keys)); err != nil {
		return nil, err
	}
	if o == nil {
		o = &ReadOptions{}
	}
	v, err := h.view(o.Durability, o.Dirty)
	if err != nil {
		return nil, err
	}
	return v.multiGet(ctx, keys, o)
}

func (h *handle) scanWith(ctx context.Context, r Range, o *ScanOptions) (*Iterator, error) {
	rng, o, err := h.startScan(ctx, r, o)
	if err != nil {
		return nil, err
	}
	v, err := h.view(o.Durability, o.Dirty)
	if err != nil {
		return nil, err
	}
	return v.scan(ctx, rng, o, nil)
}

// startScan checks a scan's arguments and counts it. The range it returns is private, the
// options are never nil.
func (h *handle) startScan(ctx context.Context, r Range, o *ScanOptions) (kv.Range, *ScanOptions, error) {
	if o == nil {
		o = &defaultScan
	}
	if o.Limit < 0 || o.ReadAheadBytes < 0 || o.MaxFetchTasks < 0 || o.Order > Descending {
		return kv.Range{}, nil, invalidf("scan options: Limit %d, ReadAheadBytes %d, MaxFetchTasks %d, Order %d: want none below 0 and a known order",
			o.Limit, o.ReadAheadBytes, o.MaxFetchTasks, o.Order)
	}
	rng, err := r.clone()
	if err != nil {
		return kv.Range{}, nil, err
	}
	if o.PageToken != "" {
		if rng, err = o.PageToken.narrow(rng, o.Order == Descending); err != nil {
			return kv.Range{}, nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return kv.Range{}, nil, err
	}
	h.stats.scans.add(1)
	return rng, o, nil
}

// defaultScan stands for nil options; nobody writes to it.
var defaultScan ScanOptions

func (h *handle) entriesWith(ctx context.Context, r Range, o *ScanOptions) iter.Seq2[Entry, error] {
	return entriesOf(func() (*Iterator, error) { return h.scanWith(ctx, r, o) })
}

// entriesOf walks the scan that open makes.
func entriesOf(open func() (*Iterator, error)) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		it, err := open()
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
