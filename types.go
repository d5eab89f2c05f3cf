package slatedb

import (
	"bytes"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A Range is a set of neighbouring keys: Start and End, nil = open. A non-nil empty Start is
// the same as nil; a non-nil empty End is a bound (nothing lies below it). The two flags mean
// nothing at an open bound. An empty range yields nothing; a start above the end is
// ErrInvalid.
type Range struct {
	Start, End     []byte
	StartExclusive bool
	EndInclusive   bool
}

// All is the range of all keys.
var All = Range{}

// Prefix returns the range of all keys that begin with p. Narrow it by setting a bound.
func Prefix(p []byte) Range {
	r := kv.PrefixRange(p)
	return Range{Start: r.Start, End: r.End}
}

// clone returns the internal form of r, sharing no memory with it.
func (r Range) clone() (kv.Range, error) {
	out := kv.Range{Start: bytes.Clone(r.Start), End: bytes.Clone(r.End)}
	if len(r.Start) == 0 {
		out.Start = nil
	} else {
		out.StartExclusive = r.StartExclusive
	}
	if r.End != nil {
		out.EndInclusive = r.EndInclusive
	}
	if out.Inverted() {
		return out, invalidf("range start %q is above its end %q", r.Start, r.End)
	}
	return out, nil
}

// An Entry is a key with its value and metadata. Zero times mean none.
type Entry struct {
	Key, Value []byte
	Seq        uint64
	CreateTime time.Time
	ExpireTime time.Time
}

// Clone returns a copy that shares no memory with e.
func (e Entry) Clone() Entry {
	e.Key, e.Value = bytes.Clone(e.Key), bytes.Clone(e.Value)
	return e
}

func publicEntry(e *kv.Entry) Entry {
	return Entry{Key: e.Key, Value: nonNil(e.Value), Seq: uint64(e.Seq), CreateTime: msTime(e.CreateTS), ExpireTime: msTime(e.ExpireTS)}
}

func msTime(ms int64) time.Time {
	if ms == kv.NoTS {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

var empty = []byte{}

// nonNil tells a stored empty value from an absent one.
func nonNil(b []byte) []byte {
	if b == nil {
		return empty[:0:0]
	}
	return b[:len(b):len(b)]
}

// Durability selects which writes a read may see.
type Durability uint8

// The durability levels of a read.
const (
	DurabilityMemory Durability = iota // everything written
	DurabilityRemote                   // only what the object store has
)

// Order is the direction of a scan.
type Order uint8

// The orders of a scan.
const (
	Ascending Order = iota
	Descending
)

// ReadOptions are the options of a point read. nil means the zero value.
type ReadOptions struct {
	// Durability: DurabilityMemory (default) sees all that is written, DurabilityRemote only
	// what is durable.
	Durability Durability
	// Dirty sees writes whose commit is not complete yet. The default is false.
	Dirty bool
	// NoCacheFill keeps blocks fetched by this read out of the block cache.
	NoCacheFill bool
	// FilterContext is passed to custom filter policies.
	FilterContext []byte
}

// ScanOptions are the options of a scan. nil means the zero value.
type ScanOptions struct {
	Durability    Durability // as in ReadOptions
	Dirty         bool       // as in ReadOptions
	FilterContext []byte     // as in ReadOptions
	Order         Order      // Ascending (default) or Descending
	// Limit is the most entries the scan yields; 0 = no limit. A small limit also keeps the
	// scan from fetching more than it needs.
	Limit int
	// KeysOnly leaves the values out: they are nil, and merge operands are not combined.
	// What is deleted or has expired is left out all the same.
	KeysOnly bool
	// PageToken, when set, goes on where the iterator that it came from stood. Range and Order
	// must be those of that scan, else it is ErrInvalid.
	PageToken PageToken
	// CacheBlocks puts blocks that the scan fetches into the block cache. The default is
	// false: a scan does not wash hot blocks out.
	CacheBlocks bool
	// ReadAheadBytes is the most bytes fetched in one request. 0 = adaptive: one block and
	// its neighbour first, then doubling up to 1 MiB while the scan goes on.
	ReadAheadBytes int
	// MaxFetchTasks bounds the requests of one scan that are under way at once. 0 = as many
	// as the scan has sources.
	MaxFetchTasks int
}

// PutOptions are the options of a put.
type PutOptions struct {
	// TTL after which the entry expires, counted from its commit. 0 = Options.DefaultTTL,
	// negative = never.
	TTL time.Duration
	// ExpireAt, when set, wins over TTL. Milliseconds count.
	ExpireAt time.Time
	// NoWait returns when the write is visible, not yet durable; WriteHandle.Await waits for
	// the rest.
	NoWait bool
	// Seq, when not 0, is the sequence number to use; it must be greater than every number
	// handed out so far.
	Seq uint64
}

// WriteOptions are the options of a delete or a batch, as in PutOptions.
type WriteOptions struct {
	NoWait bool
	Seq    uint64
}

// FlushType tells how far a flush goes.
type FlushType uint8

// The flush types.
const (
	// FlushWAL makes everything written before the call durable by way of the WAL (or, with
	// the WAL off, of the memtable).
	FlushWAL FlushType = iota
	// FlushMemtable also moves it into L0 tables and the manifest.
	FlushMemtable
)

// FlushOptions are the options of FlushWithOptions.
type FlushOptions struct{ Type FlushType }

// CloseFlush tells what Close does with unflushed writes.
type CloseFlush uint8

// The kinds of close.
const (
	CloseFlushMemtable CloseFlush = iota // flush WAL and memtables (the default)
	CloseFlushWAL                        // flush the WAL only: the next open replays it
	CloseNoFlush                         // flush nothing: what is not durable yet is lost
)

// CloseOptions are the options of CloseWithOptions.
type CloseOptions struct{ Flush CloseFlush }
