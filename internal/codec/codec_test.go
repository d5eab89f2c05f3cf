package codec

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestVarint32RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Uint32().Draw(t, "v")
		b := AppendVarint32([]byte{9}, v)[1:]
		require.Equal(t, SizeVarint32(v), len(b))
		got, n := Varint32(append(b, 0xff))
		require.Equal(t, len(b), n)
		require.Equal(t, v, got)
		for i := range b {
			_, n := Varint32(b[:i])
			require.Zero(t, n, "cut at %d", i)
		}
	})
}

func TestVarint32Limits(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		v    uint32
		n    int
	}{
		{"largest", []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, math.MaxUint32, 5},
		{"33 bits", []byte{0xff, 0xff, 0xff, 0xff, 0x1f}, 0, -1},
		{"six bytes", []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, 0, -1},
		{"empty", nil, 0, 0},
		{"unfinished", []byte{0x80, 0x80}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, n := Varint32(c.in)
			assert.Equal(t, c.v, v)
			assert.Equal(t, c.n, n)
		})
	}
}

func TestCursorErrorIsSticky(t *testing.T) {
	c := NewCursor([]byte{1, 0, 2, 0, 0, 0, 3})
	assert.Equal(t, byte(1), c.U8())
	assert.Equal(t, uint16(2), c.U16())
	assert.Equal(t, 3, c.Offset())
	assert.Equal(t, uint32(3), c.U32())
	require.NoError(t, c.Err())
	assert.Zero(t, c.U64())
	require.ErrorIs(t, c.Err(), ErrShort)
	first := c.Err()
	assert.Nil(t, c.Bytes(math.MaxUint64))
	assert.Zero(t, c.Varint32())
	assert.Zero(t, c.Len())
	assert.Equal(t, first, c.Err())
}

func TestCursorVarintErrors(t *testing.T) {
	c := NewCursor([]byte{0x80})
	c.Varint32()
	require.ErrorIs(t, c.Err(), ErrShort)
	c = NewCursor([]byte{0xff, 0xff, 0xff, 0xff, 0xff})
	c.Varint32()
	require.ErrorIs(t, c.Err(), ErrVarint)
}

func TestCursorSlicesAreClipped(t *testing.T) {
	in := []byte{1, 2, 3, 4}
	c := NewCursor(in)
	p := c.Bytes(2)
	_ = append(p, 9)
	assert.Equal(t, []byte{1, 2, 3, 4}, in)
}
