package operators

import (
	"encoding/binary"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// Int64 encodes a signed number: 8 bytes, little endian, two's complement.
func Int64(n int64) []byte { return Uint64(uint64(n)) }

// Uint64 encodes an unsigned number: 8 bytes, little endian.
func Uint64(n uint64) []byte { return binary.LittleEndian.AppendUint64(make([]byte, 0, 8), n) }

// DecodeInt64 is the opposite of Int64. nil is 0, so that a missing counter reads as zero.
func DecodeInt64(b []byte) (int64, error) {
	n, err := DecodeUint64(b)
	return int64(n), err
}

// DecodeUint64 is the opposite of Uint64. nil is 0.
func DecodeUint64(b []byte) (uint64, error) {
	if b == nil {
		return 0, nil
	}
	if len(b) != 8 {
		return 0, fmt.Errorf("%w: a number of %d bytes, want 8", kv.ErrInvalid, len(b))
	}
	return binary.LittleEndian.Uint64(b), nil
}

// The operators on numbers.
var (
	// AddInt64 adds signed numbers, see Int64. The sum wraps around: a sum that stuck at its
	// bounds would not be associative.
	AddInt64 = number{"AddInt64", add}
	// AddUint64 adds unsigned numbers, see Uint64. The sum wraps around. The bytes are those of
	// AddInt64.
	AddUint64 = number{"AddUint64", add}
	// MaxInt64 keeps the largest signed number.
	MaxInt64 = number{"MaxInt64", func(a, b uint64) uint64 { return uint64(max(int64(a), int64(b))) }}
	// MinInt64 keeps the smallest signed number.
	MinInt64 = number{"MinInt64", func(a, b uint64) uint64 { return uint64(min(int64(a), int64(b))) }}
	// MaxUint64 keeps the largest unsigned number.
	MaxUint64 = number{"MaxUint64", func(a, b uint64) uint64 { return max(a, b) }}
	// MinUint64 keeps the smallest unsigned number.
	MinUint64 = number{"MinUint64", func(a, b uint64) uint64 { return min(a, b) }}
)

func add(a, b uint64) uint64 { return a + b }

// number is an operator on 8-byte numbers.
type number struct {
	name string
	f    func(a, b uint64) uint64
}

// Merge applies the operator.
func (o number) Merge(key, existing, operand []byte) ([]byte, error) {
	return o.MergeBatch(key, existing, [][]byte{operand})
}

// MergeBatch applies the operator to several operands.
func (o number) MergeBatch(_, existing []byte, operands [][]byte) ([]byte, error) {
	var n uint64
	have := existing != nil
	if have {
		if len(existing) != 8 {
			return nil, fmt.Errorf("%w: %s: the stored value has %d bytes, want 8", kv.ErrInvalid, o.name, len(existing))
		}
		n = binary.LittleEndian.Uint64(existing)
	}
	for _, b := range operands {
		if len(b) != 8 {
			return nil, fmt.Errorf("%w: %s: the operand has %d bytes, want 8", kv.ErrInvalid, o.name, len(b))
		}
		x := binary.LittleEndian.Uint64(b)
		if have {
			n = o.f(n, x)
		} else {
			n, have = x, true
		}
	}
	return Uint64(n), nil
}
