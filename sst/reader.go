package sst

import (
	"context"
)

// A Reader is an open table. It is cheap, holds no file, needs no Close, and is safe for
// concurrent use.
type Reader struct {
	s      *Store
	h      *Handle
	object string
	cells  *Cells
}

// Handle returns what the reader was opened with.
func (r *Reader) Handle() *Handle { return r.h }

// Object is the key of the table's object.
func (r *Reader) Object() string { return r.object }

// meta returns the cached metadata or nil, and marks it as used.
func (r *Reader) meta() *Meta {
	m := r.cells.Meta.Load()
	if m != nil {
		m.Used.Touch()
	}
	return m
}

// Meta returns the table's metadata, reading it when it is not cached.
func (r *Reader) Meta(ctx context.Context) (*Meta, error) {
	if m := r.meta(); m != nil {
		return m, nil
	}
	v, err := r.s.loadOne(ctx, r, nil, MetaBlock, true)
	return v.Meta, err
}
