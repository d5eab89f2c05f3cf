// Package delay makes a fast store as slow as a far one: every request waits before it
// passes. It is for benchmarks and demonstrations; scripted faults are package faulty.
package delay

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// Options of New. What is 0 does not wait.
type Options struct {
	Get    time.Duration // Get, ReadAt, Head
	Put    time.Duration // Put, Upload
	Delete time.Duration
	List   time.Duration // for each started thousand of objects
	// PerMiB is added for each MiB of a body, in proportion: the inverse of a bandwidth.
	PerMiB time.Duration
	Env    *seam.Env // nil: the system's
}

// New returns inner, slower. It is safe for concurrent use; requests do not wait for each
// other.
func New(inner objstore.Store, o Options) objstore.Store {
	if o.Env == nil {
		o.Env = seam.New(seam.Env{})
	}
	return &store{inner, o}
}

type store struct {
	objstore.Store
	o Options
}

func (s *store) wait(ctx context.Context, d time.Duration, bytes int64) error {
	return s.o.Env.Sleep(ctx, d+time.Duration(float64(s.o.PerMiB)*float64(bytes)/(1<<20)))
}

// Properties says that the store is not local, which is the point of it.
func (s *store) Properties() objstore.Properties {
	p := s.Store.Properties()
	p.Local = false
	return p
}

func (s *store) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := s.wait(ctx, s.o.Get, 0); err != nil {
		return objstore.Object{}, err
	}
	o, err := s.Store.Get(ctx, key)
	if err == nil && s.o.PerMiB > 0 {
		err = s.wait(ctx, 0, o.Size)
	}
	return o, err
}

func (s *store) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if err := s.wait(ctx, s.o.Get, int64(len(p))); err != nil {
		return 0, err
	}
	return s.Store.ReadAt(ctx, key, p, off)
}

func (s *store) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	if err := s.wait(ctx, s.o.Get, 0); err != nil {
		return objstore.Attributes{}, err
	}
	return s.Store.Head(ctx, key)
}

func (s *store) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	if err := s.wait(ctx, s.o.Put, int64(len(body))); err != nil {
		return "", err
	}
	return s.Store.Put(ctx, key, body, c)
}

// Upload waits once; the stream is as fast as its source.
func (s *store) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	if err := s.wait(ctx, s.o.Put, 0); err != nil {
		return "", err
	}
	return s.Store.Upload(ctx, key, body, c)
}

func (s *store) Delete(ctx context.Context, key string) error {
	if err := s.wait(ctx, s.o.Delete, 0); err != nil {
		return err
	}
	return s.Store.Delete(ctx, key)
}

func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		const page = 1000
		n := 0
		if err := s.wait(ctx, s.o.List, 0); err != nil {
			yield(objstore.Attributes{}, err)
			return
		}
		for a, err := range s.Store.List(ctx, prefix, after) {
			if n++; n%page == 1 && n > 1 {
				if err := s.wait(ctx, s.o.List, 0); err != nil {
					yield(objstore.Attributes{}, err)
					return
				}
			}
			if !yield(a, err) {
				return
			}
		}
	}
}
