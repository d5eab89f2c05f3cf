package sst

import (
	"context"
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
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

// filterVerdict is what a table's filters say about a query.
type filterVerdict uint8

const (
	filterNone  filterVerdict = iota // no filter fits the query's policies
	filterMaybe                      // the table may hold it
	filterNo                         // it does not
)

// filterError says what a policy's error means: the filter is damaged, unless its code failed.
func (r *Reader) filterError(name string, err error) error {
	var panicked *seam.PanicError
	if errors.As(err, &panicked) {
		return fmt.Errorf("read %s: %w: %w", r.object, kv.ErrInternal, err)
	}
	return r.damage("filter "+name, r.h.Info.FilterOffset, err)
}

// mayContain asks every filter that one of the store's policies built: one "no" is enough. A
// damaged filter is an error, not a "maybe".
func (r *Reader) mayContain(m *Meta, q *Query) (filterVerdict, error) {
	verdict := filterNone
	for i := range m.Filters {
		f := &m.Filters[i]
		for j := range r.s.policies {
			p := &r.s.policies[j]
			if p.name != f.Name {
				continue
			}
			maybe, err := p.ask(f.Data, q)
			if err != nil {
				return verdict, r.filterError(f.Name, err)
			}
			if !maybe {
				return filterNo, nil
			}
			verdict = filterMaybe
		}
	}
	return verdict, nil
}
