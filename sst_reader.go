package slatedb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// SSTInfo is the metadata of a table: first and last key, codec, where its sections are.
type SSTInfo = sst.Info

// SSTStats are the counters that a table carries: puts, deletes, merges, raw bytes of keys and
// values, and the rows of each block.
type SSTStats = sst.Stats

// SSTIndex lists the blocks of a table with their first keys and searches them.
type SSTIndex = sst.Index

// An SSTReader looks into one table of the object store, below what reads of the database see:
// every version, tombstone and merge operand, whatever a view of the table shows. It holds
// nothing open and ends with its Admin. All methods are safe for concurrent use.
type SSTReader struct {
	a    *Admin
	r    *sst.Reader
	meta atomic.Pointer[sst.Meta] // once read
}

// OpenSST opens the compacted table with this ULID (with or without ".sst"). One that the newest
// manifest names is found where it is, in a parent of a clone too; another one is looked for
// among the database's own objects and opened from the end of its object. ErrNotFound when
// there is none. What must be undone to read it (AdminOptions.BlockTransformer) is not stored.
func (a *Admin) OpenSST(ctx context.Context, id string) (*SSTReader, error) {
	tid, err := parseTableID(id)
	if err != nil {
		return nil, err
	}
	ctx, end, err := a.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	m, err := a.manifests().Latest(ctx)
	if err != nil {
		return nil, a.done("open a table", err)
	}
	for v := range m.Views() {
		if v.Table.ID == tid {
			return &SSTReader{a: a, r: a.h.ssts.Open(v.Table)}, nil
		}
	}
	h, err := a.h.ssts.Find(ctx, tid, "")
	if errors.Is(err, objstore.ErrNotFound) && !errors.Is(err, ErrCorrupt) {
		return nil, fmt.Errorf("%w: no table %s in %q", ErrNotFound, tid, a.h.path)
	} else if err != nil {
		return nil, a.done("open a table", err)
	}
	return &SSTReader{a: a, r: a.h.ssts.Open(h)}, nil
}

// OpenSSTHandle opens a table by its handle, as a manifest of this database holds it. It sends
// no request.
func (a *Admin) OpenSSTHandle(h *sst.Handle) (*SSTReader, error) {
	if err := a.h.latched(); err != nil {
		return nil, err
	}
	if h == nil || h.ID.WAL() != 0 {
		return nil, invalidf("not a handle of a compacted table")
	}
	return &SSTReader{a: a, r: a.h.ssts.Open(h)}, nil
}

// SSTPath returns the object key of the table that h names: under this database, or under the
// parent that a clone borrows it from.
func (a *Admin) SSTPath(h *sst.Handle) string {
	root := h.Root
	if root == "" {
		root = a.h.path
	}
	return h.ID.Object(root)
}

// ID returns the table's ULID.
func (s *SSTReader) ID() string { return s.r.Handle().ID.String() }

// Object returns the key of the table's object.
func (s *SSTReader) Object() string { return s.r.Object() }

// Format returns the version of the table's blocks, 1 or 2.
func (s *SSTReader) Format() uint16 { return s.r.Handle().Format }

// Info returns the table's metadata. Its keys must not be changed.
func (s *SSTReader) Info() SSTInfo { return s.r.Handle().Info }

// An SSTObject is what the store knows about a table's object.
type SSTObject struct {
	Object   string
	Size     int64
	Modified time.Time
}

// Stat asks the store about the table's object.
func (s *SSTReader) Stat(ctx context.Context) (o SSTObject, err error) {
	err = s.call(ctx, "stat a table", func(ctx context.Context) error {
		at, err := s.r.Attributes(ctx)
		o = SSTObject{Object: s.r.Object(), Size: at.Size, Modified: at.Modified}
		return err
	})
	return o, err
}

// Stats reads the table's counters. ok is false for a table without, as releases before 0.12
// wrote them.
func (s *SSTReader) Stats(ctx context.Context) (st SSTStats, ok bool, err error) {
	err = s.call(ctx, "read a table's statistics", func(ctx context.Context) error {
		st, ok, err = s.r.Stats(ctx)
		return err
	})
	return st, ok, err
}

// Index reads the table's index.
func (s *SSTReader) Index(ctx context.Context) (x *SSTIndex, err error) {
	err = s.withMeta(ctx, func(_ context.Context, m *sst.Meta) error { x = &m.Index; return nil })
	return x, err
}

// An SSTFilter is a filter of a table: the name of the policy that built it, and its bytes.
type SSTFilter = sst.NamedFilter

// Filters reads the table's filters. Their bytes must not be changed.
func (s *SSTReader) Filters(ctx context.Context) (fs []SSTFilter, err error) {
	err = s.withMeta(ctx, func(_ context.Context, m *sst.Meta) error { fs = m.Filters; return nil })
	return fs, err
}

// BlockRows reads the rows of one block, numbered from 0 as in the index, in stored order: keys
// ascending, versions of a key newest first. The rows are the caller's own. ErrInvalid when
// there is no such block.
func (s *SSTReader) BlockRows(ctx context.Context, block int) (rows []RawRow, err error) {
	err = s.withMeta(ctx, func(ctx context.Context, m *sst.Meta) error {
		rows, err = s.block(ctx, m, block)
		return err
	})
	return rows, err
}

func (s *SSTReader) block(ctx context.Context, m *sst.Meta, i int) ([]RawRow, error) {
	es, err := s.r.Rows(ctx, m, i)
	if err != nil {
		return nil, err
	}
	rows := make([]RawRow, len(es))
	for k := range es {
		rows[k] = rawRow(&es[k])
	}
	return rows, nil
}

// Rows walks all rows of the table in stored order, one block at a time, from the first key at
// or above start on; nil begins with the first. An error is the last pair.
func (s *SSTReader) Rows(ctx context.Context, start []byte) iter.Seq2[RawRow, error] {
	from := kv.Range{Start: start}
	return func(yield func(RawRow, error) bool) {
		left := false
		err := s.withMeta(ctx, func(ctx context.Context, m *sst.Meta) error {
			for i := m.Index.Search(start); i < m.Index.Len(); i++ {
				rows, err := s.block(ctx, m, i)
				if err != nil {
					return err
				}
				for _, r := range rows {
					if from.AboveStart(r.Key) && !yield(r, nil) {
						left = true
						return nil
					}
				}
			}
			return nil
		})
		if err != nil && !left {
			yield(RawRow{}, err)
		}
	}
}

func (s *SSTReader) withMeta(ctx context.Context, f func(context.Context, *sst.Meta) error) error {
	return s.call(ctx, "read a table", func(ctx context.Context) error {
		m := s.meta.Load()
		if m == nil {
			var err error
			if m, err = s.r.Meta(ctx); err != nil {
				return err
			}
			s.meta.Store(m)
		}
		return f(ctx, m)
	})
}

func (s *SSTReader) call(ctx context.Context, op string, f func(context.Context) error) error {
	ctx, end, err := s.a.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	return s.a.done(op, f(ctx))
}
