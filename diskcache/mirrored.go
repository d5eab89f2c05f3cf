package diskcache

import (
	"context"
	"io"

	"github.com/slatedb/slatedb-go/objstore"
)

// A Mirrored store is a store with a mirror in front of it: tables are read from their
// copies, and what is written is written to both.
type Mirrored struct {
	objstore.Store
	m      *Mirror
	fresh  bool
	counts *Counts
}

// Reads returns inner with the mirror in front of it. The second store does not trust the
// copy: it drops it, reads from the store, and has it fetched anew.
func (m *Mirror) Reads(inner objstore.Store, n *Counts) (mirrored, fresh *Mirrored) {
	return &Mirrored{inner, m, false, n}, &Mirrored{inner, m, true, n}
}

// Writes returns inner for a component that writes tables. Its reads use the mirror too.
func (m *Mirror) Writes(inner objstore.Store) *Mirrored {
	return &Mirrored{inner, m, false, new(Counts)}
}

// ReadAt implements objstore.Store.
func (s *Mirrored) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if len(p) == 0 || off < 0 || !isTable(key) {
		return s.Store.ReadAt(ctx, key, p, off)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	o := identify(s.m.scope, key)
	if s.fresh {
		s.m.stats.corrupt.Add(1)
		s.m.lose(o)
		return s.Store.ReadAt(ctx, key, p, off)
	}
	s.counts.Access.Add(1)
	if s.m.read(o, p, off) {
		s.counts.Hit.Add(1)
		return len(p), nil
	}
	return s.Store.ReadAt(ctx, key, p, off)
}

// Put implements objstore.Store. The copy is made after the store has the object; when that
// fails the object is read from the store.
func (s *Mirrored) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	v, err := s.Store.Put(ctx, key, body, c)
	if err == nil && isTable(key) {
		_ = s.m.store(identify(s.m.scope, key), int64(len(body)), true, func(p []byte, off int64) error {
			copy(p, body[off:])
			return nil
		})
	}
	return v, err
}

// Upload implements objstore.Store. A body that cannot be read again (a bytes.Reader can) is
// copied when a manifest names it.
func (s *Mirrored) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	v, err := s.Store.Upload(ctx, key, body, c)
	again, ok := body.(interface {
		io.ReaderAt
		Size() int64
	})
	if err == nil && ok && isTable(key) {
		_ = s.m.store(identify(s.m.scope, key), again.Size(), true, func(p []byte, off int64) error {
			if n, err := again.ReadAt(p, off); n < len(p) {
				return err
			}
			return nil
		})
	}
	return v, err
}
