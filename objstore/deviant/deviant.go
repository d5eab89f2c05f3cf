// Package deviant makes a good store misbehave as stores in the field do, for tests: one
// that ignores a condition, lists late, cuts bodies. Scripted faults of single requests are
// package faulty; what is here is a trait that never goes away.
package deviant

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"

	"github.com/slatedb/slatedb-go/objstore"
)

// Kind is a trait.
type Kind uint8

// The traits.
const (
	// Honest has none.
	Honest Kind = iota
	// IgnoresIfAbsent overwrites where it should refuse.
	IgnoresIfAbsent
	// IgnoresIfVersion overwrites whatever version is there.
	IgnoresIfVersion
	// UpdatesMissing takes an update of an object that is not there.
	UpdatesMissing
	// ShortBodies returns the first half of a body, and tells the whole size.
	ShortBodies
	// StaleList leaves out of a listing the objects that were put since the one before.
	StaleList
	// WholeForRange answers every range with the beginning of the object.
	WholeForRange
	// NoMetadata drops the put-id, and says in Properties that it keeps it.
	NoMetadata
	// Conflicts refuses with "conflict, try again" instead of "precondition failed".
	Conflicts
)

// Kinds are all traits but Honest.
func Kinds() []Kind {
	return []Kind{
		IgnoresIfAbsent, IgnoresIfVersion, UpdatesMissing, ShortBodies, StaleList, WholeForRange, NoMetadata, Conflicts,
	}
}

func (k Kind) String() string {
	return [...]string{
		"honest", "ignores If-None-Match", "ignores If-Match", "accepts If-Match on a missing key", "short bodies", "stale list",
		"whole body for a range", "no metadata", "409 instead of 412",
	}[k]
}

// New returns inner with a trait. It says that it is not local, so that it is probed.
func New(inner objstore.Store, k Kind) objstore.Store {
	return &store{Store: inner, kind: k, fresh: make(map[string]bool)}
}

type store struct {
	objstore.Store
	kind Kind

	mu    sync.Mutex
	fresh map[string]bool // put since the last listing
}

// ErrConflict is the answer of Conflicts.
var ErrConflict error = conflict{}

type conflict struct{}

func (conflict) Error() string  { return "409 conditional request conflict" }
func (conflict) Conflict() bool { return true }

func (s *store) Properties() objstore.Properties {
	p := s.Store.Properties()
	p.Local, p.Name = false, "deviant "+p.Name
	return p
}

func (s *store) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	return s.write(ctx, key, c, func(c objstore.Condition) (objstore.Version, error) { return s.Store.Put(ctx, key, body, c) })
}

func (s *store) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	return s.write(ctx, key, c, func(c objstore.Condition) (objstore.Version, error) { return s.Store.Upload(ctx, key, body, c) })
}

func (s *store) write(ctx context.Context, key string, c objstore.Condition, send func(objstore.Condition) (objstore.Version, error)) (objstore.Version, error) {
	_, update := c.OldVersion()
	id := c.PutID()
	switch {
	case s.kind == IgnoresIfAbsent && c.IsAbsent(), s.kind == IgnoresIfVersion && update:
		c = objstore.Always.WithPutID(id)
	case s.kind == UpdatesMissing && update:
		if _, err := s.Store.Head(ctx, key); errors.Is(err, objstore.ErrNotFound) {
			c = objstore.Always.WithPutID(id)
		}
	case s.kind == NoMetadata:
		c = c.WithPutID("")
	}
	v, err := send(c)
	if s.kind == Conflicts && errors.Is(err, objstore.ErrPrecondition) {
		return "", objstore.NoEffect(ErrConflict)
	}
	if err == nil && s.kind == StaleList {
		s.mu.Lock()
		s.fresh[key] = true
		s.mu.Unlock()
	}
	return v, err
}

func (s *store) Get(ctx context.Context, key string) (objstore.Object, error) {
	o, err := s.Store.Get(ctx, key)
	if s.kind == ShortBodies && len(o.Body) > 1 {
		o.Body = o.Body[: len(o.Body)/2 : len(o.Body)/2]
	}
	return o, err
}

func (s *store) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if s.kind == WholeForRange {
		off = 0
	}
	n, err := s.Store.ReadAt(ctx, key, p, off)
	if s.kind == ShortBodies && n > 1 {
		n /= 2
	}
	return n, err
}

func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		s.mu.Lock()
		hidden := s.fresh
		s.fresh = make(map[string]bool)
		s.mu.Unlock()
		for a, err := range s.Store.List(ctx, prefix, after) {
			if err == nil && hidden[a.Key] {
				continue
			}
			if !yield(a, err) {
				return
			}
		}
	}
}
