package flatbuf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// ErrInvalid is what every Verify function returns (wrapped) for a buffer that the
// accessors must not read.
var ErrInvalid = errors.New("flatbuf: invalid buffer")

// The limits on what a buffer may unfold to. Tables may be shared, so a hostile buffer of n
// bytes can describe a tree of far more. Every table, vector and string is charged each time
// it is reached; what the Rust writers produce shares only vtables and is charged at most
// once per byte, the factor leaves room for other writers.
const (
	unfoldFactor = 4
	unfoldExtra  = 256
	maxDepth     = 32 // the schema itself nests 6 deep
)

// VerifySsTableInfo checks a buffer with an SsTableInfo as root.
func VerifySsTableInfo(buf []byte) error { return verify(buf, tSsTableInfo) }

// VerifySsTableIndex checks a buffer with an SsTableIndex as root.
func VerifySsTableIndex(buf []byte) error { return verify(buf, tSsTableIndex) }

// VerifySstStats checks a buffer with an SstStats as root.
func VerifySstStats(buf []byte) error { return verify(buf, tSstStats) }

// VerifyManifestV1 checks a buffer with a ManifestV1 as root (the bytes behind the envelope).
func VerifyManifestV1(buf []byte) error { return verify(buf, tManifestV1) }

// VerifyManifestV2 checks a buffer with a ManifestV2 as root (the bytes behind the envelope).
func VerifyManifestV2(buf []byte) error { return verify(buf, tManifestV2) }

// VerifyCompactionsV1 checks a buffer with a CompactionsV1 as root (the bytes behind the
// envelope).
func VerifyCompactionsV1(buf []byte) error { return verify(buf, tCompactionsV1) }

func verify(buf []byte, root *table) error {
	// Offsets are computed with 32 bits by the accessors; below 2^31 none can wrap.
	if len(buf) > math.MaxInt32 {
		return fmt.Errorf("%w: %d bytes are too many", ErrInvalid, len(buf))
	}
	v := verifier{buf: buf, budget: unfoldFactor*len(buf) + unfoldExtra}
	pos, err := v.follow(0)
	if err == nil {
		err = v.table(pos, root, 0)
	}
	return err
}

// verifier walks one buffer. Positions are ints, so sums of 32-bit values cannot wrap.
type verifier struct {
	buf    []byte
	budget int // bytes that may still be charged
}

func (v *verifier) errorf(pos int, format string, args ...any) error {
	return fmt.Errorf("%w: at %d of %d: %s", ErrInvalid, pos, len(v.buf), fmt.Sprintf(format, args...))
}

// charge takes n bytes from the budget. The common case of this and of inside is small enough
// to be inlined, which halves the time of an index.
func (v *verifier) charge(pos, n int) error {
	if v.budget -= n; v.budget >= 0 {
		return nil
	}
	return v.errorf(pos, "unfolds to more than %d times its size", unfoldFactor)
}

// inside checks that n bytes from pos exist and that pos is aligned to align (a power of 2).
// pos is not negative and n small enough not to overflow.
func (v *verifier) inside(pos, n, align int) error {
	if pos+n <= len(v.buf) && pos&(align-1) == 0 {
		return nil
	}
	return v.outside(pos, n, align)
}

func (v *verifier) outside(pos, n, align int) error {
	if pos+n > len(v.buf) {
		return v.errorf(pos, "%d bytes leave the buffer", n)
	}
	return v.errorf(pos, "not aligned to %d", align)
}

// follow reads the forward offset at pos and returns where it points.
func (v *verifier) follow(pos int) (int, error) {
	if err := v.inside(pos, 4, 4); err != nil {
		return 0, err
	}
	off := int64(binary.LittleEndian.Uint32(v.buf[pos:]))
	if off == 0 || off >= int64(len(v.buf)-pos) {
		return 0, v.errorf(pos, "offset %d leaves the buffer", off)
	}
	return pos + int(off), nil
}

// table checks the table at pos and all below it.
func (v *verifier) table(pos int, t *table, depth int) error {
	if depth > maxDepth {
		return v.errorf(pos, "nested too deep")
	}
	if err := v.inside(pos, 4, 4); err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	if err := v.charge(pos, 4); err != nil {
		return err
	}
	// The vtable: its length, the table's length, then one offset per slot.
	back := int64(int32(binary.LittleEndian.Uint32(v.buf[pos:])))
	at := int64(pos) - back
	if at < 0 || at > int64(len(v.buf)) {
		return v.errorf(pos, "%s: vtable leaves the buffer", t.name)
	}
	vt := int(at)
	if err := v.inside(vt, 4, 2); err != nil {
		return fmt.Errorf("%s: vtable: %w", t.name, err)
	}
	n := int(binary.LittleEndian.Uint16(v.buf[vt:]))
	if n < 4 || n&1 != 0 {
		return v.errorf(vt, "%s: vtable of %d bytes", t.name, n)
	}
	if err := v.inside(vt, n, 2); err != nil {
		return fmt.Errorf("%s: vtable: %w", t.name, err)
	}
	slots := v.buf[vt+4 : vt+n]
	for i := range t.fields {
		f := &t.fields[i]
		off := slotAt(slots, i)
		var err error
		switch {
		case f.kind == kindUnion:
			typeOff := slotAt(slots, i-1) // checked by the field before
			var typ byte
			if typeOff != 0 {
				typ = v.buf[pos+typeOff]
			}
			err = v.union(pos, off, typ, f, depth)
		case off == 0 && f.required:
			err = v.errorf(pos, "missing")
		case off == 0:
		case f.kind == kindScalar:
			err = v.inside(pos+off, int(f.size), int(f.size))
		default:
			err = v.field(pos+off, f, depth)
		}
		if err != nil {
			return fmt.Errorf("%s field %d: %w", t.name, i, err)
		}
	}
	return nil
}

// slotAt returns the offset of field i inside its table, 0 when it is absent.
func slotAt(slots []byte, i int) int {
	if i = 2 * i; i+2 <= len(slots) {
		return int(binary.LittleEndian.Uint16(slots[i:]))
	}
	return 0
}

// field checks what the present field, which is not a scalar, refers to from pos.
func (v *verifier) field(pos int, f *field, depth int) error {
	to, err := v.follow(pos)
	if err != nil {
		return err
	}
	switch f.kind {
	case kindTable:
		return v.table(to, f.table, depth+1)
	case kindVector:
		_, err = v.vector(to, int(f.size))
		return err
	case kindString:
		return v.text(to)
	}
	n, err := v.vector(to, 4) // of offsets to tables
	if err != nil {
		return err
	}
	for i := range n {
		at, err := v.follow(to + 4 + 4*i)
		if err == nil {
			err = v.table(at, f.table, depth+1)
		}
		if err != nil {
			return fmt.Errorf("item %d: %w", i, err)
		}
	}
	return nil
}

// vector checks length, bounds and alignment of a vector and returns how many elements it has.
func (v *verifier) vector(pos, size int) (int, error) {
	if err := v.inside(pos, 4, 4); err != nil {
		return 0, err
	}
	n := int64(binary.LittleEndian.Uint32(v.buf[pos:]))
	if n*int64(size) > int64(len(v.buf)-pos-4) {
		return 0, v.errorf(pos, "vector of %d elements leaves the buffer", n)
	}
	if err := v.inside(pos+4, int(n)*size, size); err != nil {
		return 0, err
	}
	return int(n), v.charge(pos, 4+int(n)*size)
}

func (v *verifier) text(pos int) error {
	n, err := v.vector(pos, 1)
	if err != nil {
		return err
	}
	end := pos + 4 + n
	if end >= len(v.buf) || v.buf[end] != 0 {
		return v.errorf(pos, "string without its terminator")
	}
	if !utf8.Valid(v.buf[pos+4 : end]) {
		return v.errorf(pos, "string is not UTF-8")
	}
	return nil
}

// union checks a union by its type. An unknown type is let through unread, so that the
// decoder can name it.
func (v *verifier) union(pos, off int, typ byte, f *field, depth int) error {
	switch {
	case typ == 0 && off == 0 && !f.required:
		return nil
	case typ == 0 && off == 0:
		return v.errorf(pos, "missing")
	case typ == 0 || off == 0:
		return v.errorf(pos, "union has only one of type and value")
	}
	to, err := v.follow(pos + off)
	if err != nil || int(typ) > len(f.union) {
		return err
	}
	return v.table(to, f.union[typ-1], depth+1)
}
