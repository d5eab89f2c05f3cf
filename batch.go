package slatedb

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// Limits of what a database accepts.
const (
	// MaxKeyBytes is the longest key. Newer files could hold longer ones; releases of SlateDB
	// up to 0.15 could not read them.
	MaxKeyBytes = 65_535
	// MaxValueBytes is the longest value.
	MaxValueBytes = math.MaxUint32
)

// A WriteBatch collects operations that become visible and durable together. The zero value
// is ready. A later put or delete on a key replaces earlier operations on it; a merge is
// added to them. It belongs to one goroutine. A bad operation (an empty or oversize key, ...)
// is reported by Write.
type WriteBatch struct {
	buf    []byte // keys and values, back to back
	ops    []batchOp
	err    error
	merges bool // one was added, perhaps replaced since
}

// batchOp is 40 bytes: a batch is mostly these.
type batchOp struct {
	off    int
	ttl    int64 // ms after commit; ttlDefault, ttlNone, or an absolute time when abs
	keyLen uint32
	valLen uint32
	kind   kv.Kind
	abs    bool
}

const (
	ttlDefault int64 = 0
	ttlNone    int64 = -1
)

// Put adds a put with the database's default TTL.
func (b *WriteBatch) Put(key, value []byte) { b.add(kv.Put, key, value, ttlDefault, false) }

// PutWithOptions adds a put. Only TTL and ExpireAt apply; NoWait or Seq is ErrInvalid.
func (b *WriteBatch) PutWithOptions(key, value []byte, o *PutOptions) {
	b.addWith(kv.Put, key, value, o)
}

// Merge adds a merge operand with the database's default TTL. Operands of one key are combined
// in the batch, with each other and with the put or delete before them; so they, and that put or
// delete, must agree in their TTL, else Write is ErrInvalid.
func (b *WriteBatch) Merge(key, operand []byte) { b.MergeWithOptions(key, operand, nil) }

// MergeWithOptions adds a merge operand. Only TTL and ExpireAt apply; NoWait or Seq is
// ErrInvalid.
func (b *WriteBatch) MergeWithOptions(key, operand []byte, o *PutOptions) {
	b.addWith(kv.Merge, key, operand, o)
}

func (b *WriteBatch) addWith(kind kv.Kind, key, value []byte, o *PutOptions) {
	if o == nil {
		o = &PutOptions{}
	}
	if o.NoWait || o.Seq != 0 {
		b.fail(invalidf("NoWait and Seq belong to the whole batch, not to a write in it"))
		return
	}
	ttl, abs := o.ttl()
	b.add(kind, key, value, ttl, abs)
}

// Delete adds a delete.
func (b *WriteBatch) Delete(key []byte) { b.add(kv.Tombstone, key, nil, ttlNone, false) }

// Len returns the number of operations added.
func (b *WriteBatch) Len() int { return len(b.ops) }

// Size returns the bytes of the keys and values added.
func (b *WriteBatch) Size() int { return len(b.buf) }

// Reset empties the batch and keeps its memory.
func (b *WriteBatch) Reset() { b.buf, b.ops, b.err, b.merges = b.buf[:0], b.ops[:0], nil, false }

func (b *WriteBatch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

func (b *WriteBatch) add(kind kv.Kind, key, value []byte, ttl int64, abs bool) {
	if err := checkRow(key, value); err != nil {
		b.fail(err)
		return
	}
	b.merges = b.merges || kind == kv.Merge
	off := len(b.buf)
	b.buf = append(append(b.buf, key...), value...)
	b.ops = append(b.ops, batchOp{off: off, keyLen: uint32(len(key)), valLen: uint32(len(value)), kind: kind, ttl: ttl, abs: abs})
}

func checkRow(key, value []byte) error {
	switch {
	case len(key) == 0:
		return invalidf("empty key")
	case len(key) > MaxKeyBytes:
		return invalidf("key of %d bytes is longer than %d", len(key), MaxKeyBytes)
	case uint64(len(value)) > MaxValueBytes:
		return invalidf("value of %d bytes is longer than %d", len(value), uint32(MaxValueBytes))
	}
	return nil
}

// ttl returns the TTL in ms, ttlDefault or ttlNone; abs tells that it is a point in time.
func (o *PutOptions) ttl() (ms int64, abs bool) {
	switch {
	case !o.ExpireAt.IsZero():
		return o.ExpireAt.UnixMilli(), true
	case o.TTL < 0:
		return ttlNone, false
	case o.TTL == 0:
		return ttlDefault, false
	}
	return wholeMillis(o.TTL), false
}

// wholeMillis rounds up: less than a millisecond still expires, at the end of it. (Adding first
// would wrap for the longest durations, and make them the shortest.)
func wholeMillis(d time.Duration) int64 {
	ms := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// expiry returns the expiry time of a row committed at create; a sum that wraps is none.
func expiry(create, ttl int64, abs bool, deflt int64) int64 {
	if abs {
		if ttl == kv.NoTS {
			return kv.NoTS + 1
		}
		return ttl
	}
	if ttl == ttlDefault {
		ttl = deflt
	}
	if ttl <= 0 || ttl > math.MaxInt64-create {
		return kv.NoTS
	}
	return create + ttl
}

// rowSet is a batch as the commit section wants it: one row per key, ascending. ttl is
// parallel to rows. It comes from a pool and goes back after the commit.
type rowSet struct {
	rows  []kv.Entry
	ttl   []rowTTL
	order []sortItem
	bytes int            // keys and values
	ops   int            // operations that were not replaced
	check *conflictCheck // what must not have been committed meanwhile; nil for plain writes
}

type rowTTL struct {
	ms  int64
	abs bool
}

type sortItem struct {
	prefix uint64
	op     uint32
}

var rowSets = sync.Pool{New: func() any { return new(rowSet) }}

func (s *rowSet) release() {
	clear(s.rows)
	s.rows, s.ttl, s.order, s.bytes, s.ops, s.check = s.rows[:0], s.ttl[:0], s.order[:0], 0, 0, nil
	rowSets.Put(s)
}

// rowSet sorts the batch by key and makes one row of the operations on each: the last put or
// delete, with the merges behind it combined by op. The rows alias b. It runs outside every
// lock.
func (b *WriteBatch) rowSet(op kv.MergeOperator, defaultTTL int64) (*rowSet, error) {
	if b.merges && op == nil {
		return nil, errNoOperator
	}
	s := rowSets.Get().(*rowSet)
	sorted := true
	for i := range b.ops {
		key := b.key(i)
		s.order = append(s.order, sortItem{prefix: keyPrefix(key), op: uint32(i)})
		sorted = sorted && (i == 0 || bytes.Compare(b.key(i-1), key) < 0)
	}
	if !sorted {
		slices.SortFunc(s.order, func(x, y sortItem) int {
			if x.prefix != y.prefix {
				return cmp.Compare(x.prefix, y.prefix)
			}
			if c := bytes.Compare(b.key(int(x.op)), b.key(int(y.op))); c != 0 {
				return c
			}
			return cmp.Compare(x.op, y.op)
		})
	}
	for i := 0; i < len(s.order); {
		end := i + 1 // behind the operations on this key
		for end < len(s.order) && s.order[end].prefix == s.order[i].prefix && bytes.Equal(b.key(int(s.order[i].op)), b.key(int(s.order[end].op))) {
			end++
		}
		at := int(s.order[end-1].op)
		last := &b.ops[at]
		row := kv.Entry{Key: b.key(at), Value: b.value(at), Kind: last.kind, ExpireTS: kv.NoTS}
		if s.ops++; last.kind == kv.Merge {
			n, err := b.combine(&row, s.order[i:end], op, defaultTTL)
			if err != nil {
				s.release()
				return nil, err
			}
			s.ops += n - 1
		}
		s.rows = append(s.rows, row)
		s.ttl = append(s.ttl, rowTTL{last.ttl, last.abs})
		s.bytes += len(row.Key) + len(row.Value)
		i = end
	}
	return s, nil
}

func (b *WriteBatch) value(i int) []byte {
	op := &b.ops[i]
	at := op.off + int(op.keyLen)
	end := at + int(op.valLen)
	return b.buf[at:end:end]
}

func (b *WriteBatch) key(i int) []byte {
	op := &b.ops[i]
	end := op.off + int(op.keyLen)
	return b.buf[op.off:end:end]
}

func keyPrefix(k []byte) uint64 {
	if len(k) >= 8 {
		return binary.BigEndian.Uint64(k)
	}
	var p uint64
	for i, c := range k {
		p |= uint64(c) << (56 - 8*i)
	}
	return p
}
