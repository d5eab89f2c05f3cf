package flatbuf

import (
	"encoding/binary"
	"math"
)

// An Offset is the place of something in a Builder, counted from the end of the buffer. 0 is
// nothing: a field set to it stays absent.
type Offset uint32

// A Builder writes a buffer from its end to its start, children before the tables that refer
// to them. It exists beside the builder of the Go runtime because that one shares a vtable
// between tables of different length, which the format forbids to a strict reader and which
// does not give the bytes of the Rust writer; it also searches vtables by comparing with
// every one of them.
//
// One table at a time: StartTable, then fields in the order they shall be laid out, then
// EndTable. A field at its default is left out, so 0 (the default of every scalar of this
// schema) is never written except by the Put functions. The zero value is ready for use and
// belongs to one goroutine.
type Builder struct {
	buf     []byte // data stands at the end: buf[head:]
	head    int
	align   int // largest alignment used
	slots   [32]Offset
	nslots  int
	tableAt Offset // end of the table in progress
	vtables map[string]Offset
}

// NewBuilder returns a builder that will not grow before size bytes.
func NewBuilder(size int) *Builder {
	return &Builder{buf: make([]byte, size), head: size}
}

// at returns how many bytes are written, which is the Offset of the last thing written.
func (b *Builder) at() Offset { return Offset(len(b.buf) - b.head) }

// space makes room for n more bytes in front.
func (b *Builder) space(n int) []byte {
	if b.head < n {
		used := len(b.buf) - b.head
		grown := make([]byte, max(2*len(b.buf), used+n, 256))
		copy(grown[len(grown)-used:], b.buf[b.head:])
		b.head = len(grown) - used
		b.buf = grown
	}
	b.head -= n
	return b.buf[b.head : b.head+n]
}

// prep pads so that, after extra more bytes, the position is aligned to size.
func (b *Builder) prep(size, extra int) {
	b.align = max(b.align, size)
	pad := -(len(b.buf) - b.head + extra) & (size - 1)
	clear(b.space(pad))
}

func (b *Builder) u16(v uint16) { b.prep(2, 0); binary.LittleEndian.PutUint16(b.space(2), v) }
func (b *Builder) u32(v uint32) { b.prep(4, 0); binary.LittleEndian.PutUint32(b.space(4), v) }
func (b *Builder) u64(v uint64) { b.prep(8, 0); binary.LittleEndian.PutUint64(b.space(8), v) }

func (b *Builder) refer(o Offset) {
	b.prep(4, 0)
	at := b.at() + 4
	binary.LittleEndian.PutUint32(b.space(4), uint32(at-o))
}

// Bytes writes a vector of bytes, also when it is empty.
func (b *Builder) Bytes(v []byte) Offset {
	b.prep(4, len(v))
	copy(b.space(len(v)), v)
	b.u32(uint32(len(v)))
	return b.at()
}

// OptionalBytes writes a vector of bytes, and nothing for nil.
func (b *Builder) OptionalBytes(v []byte) Offset {
	if v == nil {
		return 0
	}
	return b.Bytes(v)
}

// String writes a string with its terminator, also when it is empty.
func (b *Builder) String(s string) Offset {
	b.prep(4, len(s)+1)
	dst := b.space(len(s) + 1)
	dst[copy(dst, s)] = 0
	b.u32(uint32(len(s)))
	return b.at()
}

// OptionalString writes a string, and nothing for an empty one.
func (b *Builder) OptionalString(s string) Offset {
	if s == "" {
		return 0
	}
	return b.String(s)
}

// Offsets writes a vector of references, also when it is empty.
func (b *Builder) Offsets(items []Offset) Offset {
	b.prep(4, 4*len(items))
	for i := len(items) - 1; i >= 0; i-- {
		b.refer(items[i])
	}
	b.u32(uint32(len(items)))
	return b.at()
}

// Uint32s writes a vector of numbers, also when it is empty.
func (b *Builder) Uint32s(items []uint32) Offset {
	b.prep(4, 4*len(items))
	for i := len(items) - 1; i >= 0; i-- {
		b.u32(items[i])
	}
	b.u32(uint32(len(items)))
	return b.at()
}

// StartTable begins a table. Slots are numbered as the fields of the schema.
func (b *Builder) StartTable() {
	clear(b.slots[:b.nslots])
	b.nslots = 0
	b.tableAt = b.at()
}

func (b *Builder) set(slot int) {
	b.slots[slot] = b.at()
	b.nslots = max(b.nslots, slot+1)
}

// U8 sets a field of one byte unless it is 0. The other scalar setters do the same.
func (b *Builder) U8(slot int, v uint8) {
	if v != 0 {
		b.space(1)[0] = v
		b.set(slot)
	}
}

// Bool sets a field unless it is false.
func (b *Builder) Bool(slot int, v bool) {
	if v {
		b.U8(slot, 1)
	}
}

// PutU16 sets a field, also to 0.
func (b *Builder) PutU16(slot int, v uint16) {
	b.u16(v)
	b.set(slot)
}

// U16 sets a field unless it is 0.
func (b *Builder) U16(slot int, v uint16) {
	if v != 0 {
		b.PutU16(slot, v)
	}
}

// U32 sets a field unless it is 0.
func (b *Builder) U32(slot int, v uint32) {
	if v != 0 {
		b.u32(v)
		b.set(slot)
	}
}

// U64 sets a field unless it is 0.
func (b *Builder) U64(slot int, v uint64) {
	if v != 0 {
		b.u64(v)
		b.set(slot)
	}
}

// Ref sets a field to something written before, unless it is 0.
func (b *Builder) Ref(slot int, o Offset) {
	if o != 0 {
		b.refer(o)
		b.set(slot)
	}
}

// EndTable ends the table and returns its offset. Equal vtables are written once.
func (b *Builder) EndTable() Offset {
	b.u32(0) // distance to the vtable, filled in below
	table := b.at()
	n := 4 + 2*b.nslots
	var buf [4 + 2*len(b.slots)]byte
	vt := buf[:n]
	binary.LittleEndian.PutUint16(vt, uint16(n))
	binary.LittleEndian.PutUint16(vt[2:], uint16(table-b.tableAt))
	for i, at := range b.slots[:b.nslots] {
		if at != 0 {
			binary.LittleEndian.PutUint16(vt[4+2*i:], uint16(table-at))
		}
	}
	vtable, ok := b.vtables[string(vt)]
	if !ok {
		copy(b.space(n), vt)
		vtable = b.at()
		if b.vtables == nil {
			b.vtables = make(map[string]Offset)
		}
		b.vtables[string(vt)] = vtable
	}
	pos := len(b.buf) - int(table)
	binary.LittleEndian.PutUint32(b.buf[pos:], uint32(int32(vtable)-int32(table)))
	return table
}

// Finish writes the root offset and appends the whole buffer to dst. A buffer of 2 GiB or
// more cannot be addressed: then ok is false.
func (b *Builder) Finish(dst []byte, root Offset) (_ []byte, ok bool) {
	b.prep(max(b.align, 4), 4)
	b.refer(root)
	if len(b.buf)-b.head > math.MaxInt32 {
		return dst, false
	}
	return append(dst, b.buf[b.head:]...), true
}
