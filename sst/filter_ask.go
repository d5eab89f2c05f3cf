package sst

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"unicode/utf8"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

// A PrefixFilter is a FilterPolicy that says whether it answers prefix queries. One that does
// not is asked the range instead when it answers those. Asked once, when a store is opened.
type PrefixFilter interface {
	SupportsPrefix() bool
}

// A RangeFilter is a FilterPolicy that says whether it answers range queries, which plain
// scans ask. Asked once, when a store is opened.
type RangeFilter interface {
	SupportsRange() bool
}

// A namedPolicy is a policy as a store asks it.
type namedPolicy struct {
	name string
	FilterPolicy
	trusted bool // no code of the user runs in it
	// as is the kind in which a query of each kind is put to it, or notAsked.
	as [3]QueryKind
}

// notAsked: the policy cannot answer.
const notAsked QueryKind = 0xff

// namePolicies asks policies for what is fixed. One whose name panics is left out: its filters
// are then unknown, and a table is read.
func namePolicies(ps []FilterPolicy) []namedPolicy {
	var out []namedPolicy
	for _, p := range ps {
		n := namedPolicy{FilterPolicy: p, trusted: trusted(p), as: [3]QueryKind{QueryPoint, notAsked, notAsked}}
		err := seam.Guard("filter policy", func() error {
			n.name = p.Name()
			if r, ok := p.(RangeFilter); ok && r.SupportsRange() {
				n.as[QueryPrefix], n.as[QueryRange] = QueryRange, QueryRange
			}
			if r, ok := p.(PrefixFilter); !ok || r.SupportsPrefix() {
				n.as[QueryPrefix] = QueryPrefix
			}
			return nil
		})
		if err == nil {
			out = append(out, n)
		}
	}
	return out
}

// trusted reports whether no code of the user runs in a policy.
func trusted(p FilterPolicy) bool {
	b, ok := p.(*bloom)
	return ok && b.o.Extractor == nil
}

// ask is MayContain; a panic of the user's code is an error.
func (p *namedPolicy) ask(data []byte, q *Query) (maybe bool, err error) {
	if p.trusted {
		return p.MayContain(data, q)
	}
	defer catch(&err, "filter policy ", p.name)
	return p.MayContain(data, q)
}

// catch, deferred, turns a panic into an error.
func catch(err *error, what, name string) {
	if v := recover(); v != nil {
		*err = &seam.PanicError{Where: what + name, Value: v, Stack: debug.Stack()}
	}
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
// damaged filter is an error, not a "maybe". kind is that of the question that was decisive.
func (r *Reader) mayContain(m *Meta, q *Query) (verdict filterVerdict, kind QueryKind, err error) {
	kind = q.Kind
	for i := range m.Filters {
		f := &m.Filters[i]
		for j := range r.s.policies {
			p := &r.s.policies[j]
			if p.name != f.Name || p.as[q.Kind] == notAsked {
				continue
			}
			ask := q
			if p.as[q.Kind] != q.Kind {
				ask = q.asRange()
			}
			maybe, err := p.ask(f.Data, ask)
			if err != nil {
				return verdict, kind, r.filterError(f.Name, err)
			}
			if !maybe {
				return filterNo, ask.Kind, nil
			}
			if verdict == filterNone {
				verdict, kind = filterMaybe, ask.Kind
			}
		}
	}
	return verdict, kind, nil
}

// asRange is a prefix query for a policy that answers only ranges.
func (q *Query) asRange() *Query {
	if q.ranged == nil {
		q.ranged = &Query{Kind: QueryRange, Range: q.Range, Context: q.Context}
	}
	return q.ranged
}

// tableFilters build the filters of one table.
type tableFilters struct {
	names []string
	built []FilterBuilder
	// custom: code of the user runs in them, and may panic or write to what it is lent.
	custom bool
	row    Row
	at     int // the builder at work, for messages
}

func (t *tableFilters) begin(ps []FilterPolicy) error {
	for _, p := range ps {
		var name string
		var b FilterBuilder
		if err := seam.Guard("filter policy", func() error { name, b = p.Name(), p.NewBuilder(); return nil }); err != nil {
			return fmt.Errorf("%w: %w", kv.ErrInternal, err)
		}
		switch {
		case len(name) > math.MaxUint16:
			return fmt.Errorf("%w: filter policy name of %d bytes", kv.ErrInvalid, len(name))
		case !utf8.ValidString(name):
			return fmt.Errorf("%w: filter policy name %q is not UTF-8", kv.ErrInvalid, name)
		case b == nil:
			continue
		}
		t.names, t.built = append(t.names, name), append(t.built, b)
		t.custom = t.custom || !trusted(p)
	}
	return nil
}

func (t *tableFilters) add(e *Row) error {
	if t.custom {
		return t.addCustom(e)
	}
	for _, b := range t.built {
		b.Add(e)
	}
	return nil
}

func (t *tableFilters) addCustom(e *Row) (err error) {
	defer t.guard(&err)
	for i, b := range t.built {
		t.at, t.row = i, *e
		b.Add(&t.row)
	}
	return nil
}

// build returns the filters, those left out that are nil.
func (t *tableFilters) build() (out []NamedFilter, err error) {
	defer t.guard(&err)
	for i, b := range t.built {
		t.at = i
		if data := b.Build(); data != nil {
			out = append(out, NamedFilter{Name: t.names[i], Data: data})
		}
	}
	return out, nil
}

// guard, deferred, turns a builder's panic into an error.
func (t *tableFilters) guard(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("%w: %w", kv.ErrInternal, &seam.PanicError{Where: "filter builder " + t.names[t.at], Value: v, Stack: debug.Stack()})
	}
}
