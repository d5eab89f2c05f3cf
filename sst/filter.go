package sst

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/slatedb/slatedb-go/internal/codec"
	"github.com/slatedb/slatedb-go/internal/kv"
)

// A FilterPolicy builds filters for new tables and asks those of old ones. Its name is
// stored with each filter and must identify everything that decides how to ask it. It is
// used by several goroutines at once.
type FilterPolicy interface {
	Name() string
	// NewBuilder begins the filter of one table. The builder belongs to one goroutine.
	NewBuilder() FilterBuilder
	// MayContain reports whether a table with this filter may hold what q asks for. false
	// must be certain. An error means that the filter is damaged.
	MayContain(data []byte, q *Query) (maybe bool, err error)
}

// A FilterBuilder collects the rows of one table, in stored order, every version of a key
// and every kind of row. It must not keep the entry's slices.
type FilterBuilder interface {
	Add(e *kv.Entry)
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
	Kind    QueryKind
	Key     []byte
	Range   kv.Range
	Context []byte // passed through from the caller of the read to custom policies

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
