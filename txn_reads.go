package slatedb

import (
	"context"
	"iter"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// The reads of a transaction. Under SerializableSnapshot each is noted before it is made: a
// key whether it is found or not, a scan by the whole range that was asked for, however far
// it is walked. Own writes are returned under every Durability.

// point begins the read of one key. own is nil when the transaction has not written it.
func (tx *Txn) point(ctx context.Context, key []byte, o *ReadOptions) (v view, own *ownWrites, err error) {
	if err := tx.db.startPoint(ctx, key); err != nil {
		return view{}, nil, err
	}
	if v, err = tx.db.viewAt(tx.pin.reg.seq, o.durability()); err != nil {
		return view{}, nil, err
	}
	if tx.level == SerializableSnapshot {
		addKey(&tx.reads, key)
	}
	return v, tx.own.on(&tx.w, key, tx.db.conf.MergeOperator), nil
}

// ownEntry reads a key that the transaction has written.
func ownEntry(ctx context.Context, v *view, own *ownWrites, o *ReadOptions) (Entry, error) {
	e, err := own.row(own.order)
	switch {
	case err != nil:
		return Entry{}, err
	case e.Kind == kv.Tombstone:
		return Entry{}, ErrNotFound
	case e.Kind == kv.Put:
		return publicEntry(&e).Clone(), nil
	}
	if o == nil {
		o = &defaultRead
	}
	v.own = own
	return v.fold(ctx, e.Key, o)
}

// Get returns the value of key, as DB.Get does.
func (tx *Txn) Get(ctx context.Context, key []byte) ([]byte, error) {
	return tx.AppendGet(ctx, nil, key, nil)
}

// GetWithOptions is Get with options.
func (tx *Txn) GetWithOptions(ctx context.Context, key []byte, o *ReadOptions) ([]byte, error) {
	return tx.AppendGet(ctx, nil, key, o)
}

// AppendGet appends the value of key to dst, as DB.AppendGet does.
func (tx *Txn) AppendGet(ctx context.Context, dst, key []byte, o *ReadOptions) ([]byte, error) {
	if err := tx.enter(); err != nil {
		return nil, err
	}
	defer tx.leave()
	v, own, err := tx.point(ctx, key, o)
	if err != nil {
		return nil, err
	}
	if own == nil {
		return v.appendGet(ctx, dst, key, o)
	}
	e, err := ownEntry(ctx, &v, own, o)
	if err != nil {
		return nil, err
	}
	return append(nonNilDst(dst), e.Value...), nil
}

// GetEntry returns the value of key with its metadata.
func (tx *Txn) GetEntry(ctx context.Context, key []byte, o *ReadOptions) (Entry, error) {
	if err := tx.enter(); err != nil {
		return Entry{}, err
	}
	defer tx.leave()
	v, own, err := tx.point(ctx, key, o)
	if err != nil {
		return Entry{}, err
	}
	if own == nil {
		return v.getEntry(ctx, key, o)
	}
	return ownEntry(ctx, &v, own, o)
}

// Has reports whether key has a value.
func (tx *Txn) Has(ctx context.Context, key []byte) (bool, error) {
	if err := tx.enter(); err != nil {
		return false, err
	}
	defer tx.leave()
	v, own, err := tx.point(ctx, key, nil)
	if err != nil {
		return false, err
	}
	if own == nil {
		return v.has(ctx, key)
	}
	if _, err = ownEntry(ctx, &v, own, nil); err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// MultiGet returns the values of keys, as DB.MultiGet does.
func (tx *Txn) MultiGet(ctx context.Context, keys [][]byte, o *ReadOptions) ([][]byte, error) {
	if err := tx.enter(); err != nil {
		return nil, err
	}
	defer tx.leave()
	if err := tx.db.startMulti(ctx, len(keys)); err != nil {
		return nil, err
	}
	for _, k := range keys {
		if err := checkReadKey(k); err != nil {
			return nil, err
		}
	}
	v, err := tx.db.viewAt(tx.pin.reg.seq, o.durability())
	if err != nil {
		return nil, err
	}
	if tx.level == SerializableSnapshot {
		for _, k := range keys {
			addKey(&tx.reads, k)
		}
	}
	if len(tx.w.ops) == 0 {
		return v.multiGet(ctx, keys, o)
	}
	out := make([][]byte, len(keys))
	var at []int // where the stored ones go
	var stored [][]byte
	for i, k := range keys {
		own := tx.own.on(&tx.w, k, tx.db.conf.MergeOperator)
		if own == nil {
			at, stored = append(at, i), append(stored, k)
			continue
		}
		switch e, err := ownEntry(ctx, &v, own, o); {
		case err == nil:
			out[i] = nonNil(e.Value)
		case err != ErrNotFound:
			return nil, err
		}
	}
	v.own = nil
	values, err := v.multiGet(ctx, stored, o)
	if err != nil {
		return nil, err
	}
	for i, val := range values {
		out[at[i]] = val
	}
	return out, nil
}

// Scan walks [start, end); nil end = to the last key.
func (tx *Txn) Scan(ctx context.Context, start, end []byte) (*Iterator, error) {
	return tx.ScanWithOptions(ctx, Range{Start: start, End: end}, nil)
}

// ScanPrefix walks the keys that begin with prefix.
func (tx *Txn) ScanPrefix(ctx context.Context, prefix []byte) (*Iterator, error) {
	return tx.ScanWithOptions(ctx, Prefix(prefix), nil)
}

// ScanWithOptions walks a range. What the iterator sees is fixed here: writes of the
// transaction after the call do not appear. It stays usable when the transaction has ended.
func (tx *Txn) ScanWithOptions(ctx context.Context, r Range, o *ScanOptions) (*Iterator, error) {
	if err := tx.enter(); err != nil {
		return nil, err
	}
	defer tx.leave()
	rng, o, err := tx.db.startScan(ctx, r, o)
	if err != nil {
		return nil, err
	}
	v, err := tx.db.viewAt(tx.pin.reg.seq, o.Durability)
	if err != nil {
		return nil, err
	}
	if tx.level == SerializableSnapshot && !rng.Empty() {
		tx.db.watchRanges(tx.pin.window)
		tx.ranges = append(tx.ranges, rng)
	}
	if len(tx.w.ops) > 0 {
		v.own = tx.own.all(&tx.w, tx.db.conf.MergeOperator)
	}
	return v.scan(ctx, rng, o, nil)
}

// Entries walks a range in one loop, as DB.Entries does.
func (tx *Txn) Entries(ctx context.Context, r Range, o *ScanOptions) iter.Seq2[Entry, error] {
	return entriesOf(func() (*Iterator, error) { return tx.ScanWithOptions(ctx, r, o) })
}
