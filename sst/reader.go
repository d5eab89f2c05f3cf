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

// filterVerdict is what a table's filters say about a query.
type filterVerdict uint8

const (
	filterNone  filterVerdict = iota // no filter fits the query's policies
	filterMaybe                      // the table may hold it
	filterNo                         // it does not
)

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
			maybe, err := p.MayContain(f.Data, q)
			if err != nil {
				return verdict, r.damage("filter "+f.Name, r.h.Info.FilterOffset, err)
			}
			if !maybe {
				return filterNo, nil
			}
			verdict = filterMaybe
		}
	}
	return verdict, nil
}
