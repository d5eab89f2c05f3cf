// Package limit bounds how many requests run at once, so that a burst of the engine (a
// wide scan, a compaction) opens neither a thousand connections nor a thousand buffers.
package limit

import (
	"context"
	"io"
	"iter"

	"github.com/slatedb/slatedb-go/objstore"
)

// New returns inner with at most n requests at a time; n <= 0 is no limit. Who waits leaves
// with his ctx. A listing holds a place while the store works on it, not while the caller
// looks at an object, so the loop may use the store. The body of an Upload must not: with
// every place taken by uploads that wait for reads, none would go on.
func New(inner objstore.Store, n int) objstore.Store {
	if n <= 0 {
		return inner
	}
	return &store{inner, make(chan struct{}, n)}
}

type store struct {
	objstore.Store
	places chan struct{}
}

func (s *store) enter(ctx context.Context) error {
	// An ended ctx never gets a place, whichever case select would draw.
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *store) leave() { <-s.places }

func (s *store) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := s.enter(ctx); err != nil {
		return objstore.Object{}, err
	}
	defer s.leave()
	return s.Store.Get(ctx, key)
}

func (s *store) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.leave()
	return s.Store.ReadAt(ctx, key, p, off)
}

func (s *store) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	if err := s.enter(ctx); err != nil {
		return objstore.Attributes{}, err
	}
	defer s.leave()
	return s.Store.Head(ctx, key)
}

func (s *store) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	if err := s.enter(ctx); err != nil {
		return "", err
	}
	defer s.leave()
	return s.Store.Put(ctx, key, body, c)
}

func (s *store) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	if err := s.enter(ctx); err != nil {
		return "", err
	}
	defer s.leave()
	return s.Store.Upload(ctx, key, body, c)
}

func (s *store) Delete(ctx context.Context, key string) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.Store.Delete(ctx, key)
}

func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		if err := s.enter(ctx); err != nil {
			yield(objstore.Attributes{}, err)
			return
		}
		inside := true
		defer func() {
			if inside {
				s.leave()
			}
		}()
		for a, err := range s.Store.List(ctx, prefix, after) {
			s.leave()
			inside = false
			if !yield(a, err) || err != nil {
				return
			}
			if err := s.enter(ctx); err != nil {
				yield(objstore.Attributes{}, err)
				return
			}
			inside = true
		}
	}
}
