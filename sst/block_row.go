package sst

import (
	"encoding/binary"
	"math/bits"

	"github.com/slatedb/slatedb-go/internal/codec"
	"github.com/slatedb/slatedb-go/internal/kv"
)

// rowTail gives for each flags byte the length of what follows the value of a format 2 row:
// seq, flags and the timestamps that the flags announce. 0 marks flags that no row may have.
var rowTail = func() (t [256]uint8) {
	for f := range 16 {
		if f&flagTombstone != 0 && f&flagMerge != 0 {
			continue
		}
		t[f] = 9
		if f&flagExpire != 0 {
			t[f] += 8
		}
		if f&flagCreate != 0 {
			t[f] += 8
		}
	}
	return t
}()

// rowKind gives the kind for valid flags.
var rowKind = [16]kv.Kind{
	1: kv.Tombstone, 3: kv.Tombstone, 5: kv.Tombstone, 7: kv.Tombstone,
	8: kv.Merge, 10: kv.Merge, 12: kv.Merge, 14: kv.Merge,
}

// rowHeader reads the three lengths of the format 2 row at p and returns where its key
// suffix begins, or a negative number. It is the slow way: its callers read the usual
// lengths, of one byte each, themselves. Lengths beyond end are refused here, so that sums
// of them cannot overflow.
func rowHeader(data []byte, p, end int) (shared, unshared, value, suffix int) {
	var v [3]int
	for i := range v {
		x, n := codec.Varint32(data[p:end])
		if n <= 0 || uint64(x) > uint64(end) {
			return 0, 0, 0, -1
		}
		v[i] = int(x)
		p += n
	}
	return v[0], v[1], v[2], p
}

// Patterns of the first four bytes of a row, little endian: the high bit of a byte says that
// its varint goes on.
const (
	oneByteLengths  = 0x00808080 // none set: three lengths of one byte
	fourBytesOfHead = 0x80808080
	twoByteValueLen = 0x00800000 // equal: the third length takes two bytes
)

// rowTimes reads the timestamps behind the flags at data[f] into e.
func rowTimes(data []byte, f int, flags byte, e *kv.Entry) {
	e.ExpireTS, e.CreateTS = kv.NoTS, kv.NoTS
	f++
	if flags&flagExpire != 0 {
		e.ExpireTS = int64(binary.BigEndian.Uint64(data[f:]))
		f += 8
	}
	if flags&flagCreate != 0 {
		e.CreateTS = int64(binary.BigEndian.Uint64(data[f:]))
	}
}

// A rowV1 is a decoded row of format 1.
type rowV1 struct {
	prefix int    // bytes taken from the first key of the block
	suffix []byte // aliases the block
	value  []byte
	seq    kv.Seq
	expire int64
	create int64
	kind   kv.Kind
	end    int // where the next row begins
}

// parseV1 decodes the format 1 row at p. first is the first key of the block.
func parseV1(data []byte, p, end, first int) (r rowV1, ok bool) {
	c := codec.NewCursor(data[p:end])
	r.prefix = int(c.U16())
	r.suffix = c.Bytes(uint64(c.U16()))
	r.seq = kv.Seq(c.U64())
	flags := c.U8()
	r.expire, r.create = kv.NoTS, kv.NoTS
	if flags&flagExpire != 0 {
		r.expire = int64(c.U64())
	}
	if flags&flagCreate != 0 {
		r.create = int64(c.U64())
	}
	if rowTail[flags] == 0 || r.prefix > first {
		return r, false
	}
	r.kind = rowKind[flags&15]
	if r.kind == kv.Tombstone {
		r.expire = kv.NoTS // the format stores it, no reader ever used it
	} else {
		r.value = c.Bytes(uint64(c.U32()))
	}
	r.end = p + c.Offset()
	return r, c.Err() == nil
}

// matchLen is the length of the longest common prefix of a and b.
func matchLen(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)>>3
		}
	}
	for ; i < n; i++ {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
