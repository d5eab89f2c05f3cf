package operators

import "bytes"

// The operators on bytes as they are.
var (
	// MaxBytes keeps the value that is last in byte order.
	MaxBytes = ordered{1}
	// MinBytes keeps the value that is first in byte order.
	MinBytes = ordered{-1}
)

type ordered struct{ sign int }

// Merge applies the operator.
func (o ordered) Merge(_, existing, operand []byte) ([]byte, error) {
	if existing != nil && bytes.Compare(existing, operand)*o.sign >= 0 {
		return existing, nil
	}
	return operand, nil
}

// Append joins values with sep between them: existing, sep, operand. There is no separator
// where there is nothing before; an empty value is something. sep may be empty. The parts can be
// told apart afterwards only if none of them contains sep: use List for parts that may be
// anything.
func Append(sep []byte) Appender { return Appender{sep: string(sep)} }

// Appender is the operator made by Append. The zero value joins without a separator.
type Appender struct{ sep string }

// Merge joins two values.
func (o Appender) Merge(_, existing, operand []byte) ([]byte, error) {
	if existing == nil {
		return operand, nil
	}
	return append(append(existing, o.sep...), operand...), nil
}

// MergeBatch joins several values with one allocation.
func (o Appender) MergeBatch(_, existing []byte, operands [][]byte) ([]byte, error) {
	n := len(existing)
	for _, b := range operands {
		n += len(o.sep) + len(b)
	}
	out := append(make([]byte, 0, n), existing...)
	for i, b := range operands {
		if i > 0 || existing != nil {
			out = append(out, o.sep...)
		}
		out = append(out, b...)
	}
	return out, nil
}
