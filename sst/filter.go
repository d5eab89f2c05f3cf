package sst

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/slatedb/slatedb-go/internal/codec"
)

// A FilterPolicy builds filters for new tables and asks those of old ones. Its name, UTF-8 of
// at most 65,535 bytes, is stored with each filter and must identify everything that decides
// how to ask it: a filter is only ever given to a policy of the same name, and without one it
// is ignored. It is used by several goroutines at once, and no lock is held around it.
//
// Points are always asked. What else a policy can answer it says by two optional interfaces:
// PrefixFilter (without it: yes) and RangeFilter (without it: no).
//
// A panic, or an error of MayContain, fails the read that asked, and no other.
type FilterPolicy interface {
	Name() string
	// NewBuilder begins the filter of one table. The builder belongs to one goroutine. nil:
	// the table gets no filter of this policy.
	NewBuilder() FilterBuilder
	// MayContain reports whether a table with this filter may hold what q asks for. false
	// must be certain: then the table is not read. data and q are lent for the call and not to
	// be changed. An error means that the filter is damaged, and the read fails.
	MayContain(data []byte, q *Query) (maybe bool, err error)
}

// A FilterBuilder collects the rows of one table, in stored order, every version of a key
// and every kind of row, tombstones and operands included. It must not keep the row's slices.
// A panic in it fails the flush or the compaction that writes the table.
type FilterBuilder interface {
	Add(row *Row)
	// Build returns the filter's bytes, which it gives away. nil: the table gets no filter of
	// this policy; an empty filter is non-nil.
	Build() []byte
}

// A PrefixExtractor cuts the part of a key that a filter is built of. Its name must identify
// its configuration. b is a whole key, or with isPrefix the beginning that all wanted keys
// have: then it may answer only what holds for every extension of b. 0 <= n <= len(b).
type PrefixExtractor interface {
	Name() string
	PrefixLen(b []byte, isPrefix bool) (n int, ok bool)
}

// QueryKind tells what a Query asks for.
type QueryKind uint8

// The kinds of queries.
const (
	QueryPoint  QueryKind = iota // Key is a key
	QueryPrefix                  // Key is what all wanted keys begin with
	QueryRange                   // Range holds all wanted keys
)

// A Query is what a read asks filters. One Query serves all tables of a read: hashes are
// computed on first use and kept, so Kind and Key must not change once it was asked. It
// belongs to one goroutine.
type Query struct {
	Kind QueryKind
	// Key is the key of a point, the prefix of a prefix query, nil of a range.
	Key []byte
	// Range holds all wanted keys of a prefix or range query; it may be narrower than the
	// prefix. Of a point it is not set.
	Range KeyRange
	// Context is the FilterContext of the read, passed through untouched. nil: none was given.
	Context []byte

	ranged *Query // the same as a range query, for policies that answer only that; made on use

	whole    uint64 // hash of Key
	hasWhole bool
	cuts     [2]cutHash
}

// A cutHash remembers what an extractor made of Query.Key.
type cutHash struct {
	by   *bloom // whose extractor; nil = free
	hash uint64
	ok   bool
}

// legacyFilterName is the policy that may ask the unnamed filter of old releases.
const legacyFilterName = "_bf"

// decodeFilters splits the plain bytes of a filter section. Trailing bytes are ignored.
// Names and data are copies.
func decodeFilters(plain []byte, composite bool) ([]NamedFilter, error) {
	if !composite {
		return []NamedFilter{{Name: legacyFilterName, Data: append(make([]byte, 0, len(plain)), plain...)}}, nil
	}
	c := codec.NewCursor(plain)
	n := int(c.U16())
	// Each filter takes at least ten bytes: what is there bounds the allocation.
	out := make([]NamedFilter, 0, min(n, c.Len()/10))
	for range n {
		name := c.Bytes(uint64(c.U16()))
		data := c.Bytes(c.U64())
		if err := c.Err(); err != nil {
			return nil, corruptf("filter block: %v", err)
		}
		if !utf8.Valid(name) {
			return nil, corruptf("filter block: name %q is not UTF-8", name)
		}
		out = append(out, NamedFilter{Name: string(name), Data: append(make([]byte, 0, len(data)), data...)})
	}
	if err := c.Err(); err != nil {
		return nil, corruptf("filter block: %v", err)
	}
	return out, nil
}

// appendFilters appends the plain bytes of a filter section.
func appendFilters(dst []byte, fs []NamedFilter) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(fs)))
	for _, f := range fs {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.Name)))
		dst = append(dst, f.Name...)
		dst = binary.BigEndian.AppendUint64(dst, uint64(len(f.Data)))
		dst = append(dst, f.Data...)
	}
	return dst
}
