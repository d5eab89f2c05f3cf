// Package codec holds the small parts that every hand-written encoding of the format is
// made of: big-endian integers, 32-bit varints, and a cursor that reads them.
//
// A Cursor remembers its first error: a decoder reads field after field and asks for Err
// once. Each read checks what is left before it touches it, so no input makes it panic or
// allocate. A Cursor belongs to one goroutine; the append functions are pure.
package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrShort and ErrVarint are what can be wrong with bytes at this level.
var (
	ErrShort  = errors.New("unexpected end of data")
	ErrVarint = errors.New("varint does not fit 32 bits")
)

// MaxVarint32 is the longest encoding of a 32-bit number.
const MaxVarint32 = 5

// A Cursor reads from the front of a byte slice. The slices it returns alias it.
type Cursor struct {
	b   []byte
	off int
	err error
}

// NewCursor returns a cursor over b.
func NewCursor(b []byte) Cursor { return Cursor{b: b} }

// Err is the first error, or nil.
func (c *Cursor) Err() error { return c.err }

// Offset is the position of the next read.
func (c *Cursor) Offset() int { return c.off }

// Len is the number of bytes left, 0 after an error.
func (c *Cursor) Len() int {
	if c.err != nil {
		return 0
	}
	return len(c.b) - c.off
}

// take returns the next n bytes, or nil and an error.
func (c *Cursor) take(n uint64) []byte {
	if c.err != nil {
		return nil
	}
	if left := uint64(len(c.b) - c.off); n > left {
		c.err = fmt.Errorf("%w: want %d bytes at %d, have %d", ErrShort, n, c.off, left)
		return nil
	}
	p := c.b[c.off : c.off+int(n) : c.off+int(n)]
	c.off += int(n)
	return p
}

// U8 reads one byte, 0 after an error.
func (c *Cursor) U8() byte {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

// U16 reads a big-endian number, 0 after an error.
func (c *Cursor) U16() uint16 {
	if p := c.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

// U32 reads a big-endian number, 0 after an error.
func (c *Cursor) U32() uint32 {
	if p := c.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// U64 reads a big-endian number, 0 after an error.
func (c *Cursor) U64() uint64 {
	if p := c.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// Bytes reads n bytes, which alias the input; nil after an error.
func (c *Cursor) Bytes(n uint64) []byte { return c.take(n) }

// Varint32 reads a varint, 0 after an error.
func (c *Cursor) Varint32() uint32 {
	if c.err != nil {
		return 0
	}
	v, n := Varint32(c.b[c.off:])
	if n <= 0 {
		c.err = ErrShort
		if n < 0 {
			c.err = ErrVarint
		}
		c.err = fmt.Errorf("%w: varint at %d", c.err, c.off)
		return 0
	}
	c.off += n
	return v
}

// Varint32 decodes an unsigned LEB128 number from the front of b and returns its length:
// 0 when b ends within it, -1 when it is longer than 5 bytes or does not fit 32 bits.
func Varint32(b []byte) (v uint32, n int) {
	for i, c := range b {
		if i == MaxVarint32-1 {
			if c > 0x0f {
				return 0, -1
			}
			return v | uint32(c)<<28, MaxVarint32
		}
		v |= uint32(c&0x7f) << (7 * uint(i))
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// AppendVarint32 appends v as a varint.
func AppendVarint32(dst []byte, v uint32) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// SizeVarint32 is the length of v as a varint.
func SizeVarint32(v uint32) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}
