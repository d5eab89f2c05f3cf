// Package kv is the vocabulary of the engine: sequence numbers, versions of keys, key
// ranges, and the iterator that every layer composes. It imports nothing but std.
package kv

import (
	"bytes"
	"math"
)

// Seq orders write batches. Every row of one batch carries the same number; 0 is never
// assigned.
type Seq uint64

// MaxSeq is larger than every number a batch can get, so that a read bounded by it sees all.
const MaxSeq Seq = math.MaxUint64

// NoTS stands for an absent creation or expiry time.
const NoTS int64 = math.MinInt64

// Kind tells what a version does to its key.
type Kind uint8

// The kinds of versions.
const (
	Put       Kind = iota // a value
	Tombstone             // a deletion; Value is empty
	Merge                 // an operand for the merge operator
)

func (k Kind) String() string {
	switch k {
	case Put:
		return "put"
	case Tombstone:
		return "tombstone"
	case Merge:
		return "merge"
	}
	return "invalid"
}

// An Entry is one version of one key. Its slices alias whatever holds it: a block, an
// arena or a batch.
type Entry struct {
	Key, Value []byte
	Seq        Seq
	CreateTS   int64 // Unix milliseconds, NoTS when absent
	ExpireTS   int64 // Unix milliseconds, NoTS when absent
	Kind       Kind
}

// Expired reports whether the version counts as gone at time now (Unix milliseconds).
func (e *Entry) Expired(now int64) bool { return e.ExpireTS != NoTS && e.ExpireTS <= now }

// Clone returns a copy of e that shares no memory with it.
func (e *Entry) Clone() Entry {
	c := *e
	c.Key = bytes.Clone(e.Key)
	c.Value = bytes.Clone(e.Value)
	return c
}

// Compare orders versions as tables store them: key ascending, then seq descending.
func Compare(a, b *Entry) int {
	if c := bytes.Compare(a.Key, b.Key); c != 0 {
		return c
	}
	switch {
	case a.Seq > b.Seq:
		return -1
	case a.Seq < b.Seq:
		return 1
	}
	return 0
}
