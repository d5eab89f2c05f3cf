package operators

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// Elements encodes elements, in their order, as an operand or a value of List.
func Elements(elements ...[]byte) []byte {
	n := 0
	for _, e := range elements {
		n += binary.MaxVarintLen32 + len(e)
	}
	out := make([]byte, 0, n)
	for _, e := range elements {
		out = appendElement(out, e)
	}
	return out
}

// Set encodes elements as an operand or a value of Union: sorted, each once.
func Set(elements ...[]byte) []byte {
	elements = slices.Clone(elements)
	slices.SortFunc(elements, bytes.Compare)
	return Elements(slices.CompactFunc(elements, bytes.Equal)...)
}

// All yields the elements of a value of List or Union. The slices alias the value. An error is
// the last pair.
func All(value []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for len(value) > 0 {
			e, rest, err := cutElement(value)
			if !yield(e, err) || err != nil {
				return
			}
			value = rest
		}
	}
}

func appendElement(dst, e []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(e))), e...)
}

func cutElement(b []byte) (e, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, fmt.Errorf("%w: element of a list or set is cut off", kv.ErrInvalid)
	}
	end := w + int(n)
	return b[w:end:end], b[end:], nil
}

// List appends the operand's elements to the existing ones; see Elements. It is Append that
// works for elements of any bytes.
var List = list{}

type list struct{}

// Merge appends.
func (o list) Merge(key, existing, operand []byte) ([]byte, error) {
	return o.MergeBatch(key, existing, [][]byte{operand})
}

// MergeBatch appends several operands with one allocation.
func (list) MergeBatch(key, existing []byte, operands [][]byte) ([]byte, error) {
	for _, b := range operands {
		for _, err := range All(b) {
			if err != nil {
				return nil, err
			}
		}
	}
	return Appender{}.MergeBatch(key, existing, operands)
}

// Union keeps each element that occurs in the existing set or in the operand once; see Set.
// Elements are kept sorted. An operand that is not sorted is an error.
var Union = union{}

type union struct{}

// Merge unites two sets.
func (union) Merge(_, existing, operand []byte) ([]byte, error) {
	if err := checkSet(operand); err != nil {
		return nil, err
	}
	if existing == nil {
		return operand, nil
	}
	return unite(existing, operand)
}

// MergeBatch unites several sets, in pairs, so that each element is moved a few times only.
func (union) MergeBatch(_, existing []byte, operands [][]byte) ([]byte, error) {
	sets := make([][]byte, 0, len(operands)+1)
	for _, b := range operands {
		if err := checkSet(b); err != nil {
			return nil, err
		}
		sets = append(sets, b)
	}
	for len(sets) > 1 {
		half := sets[:0]
		for i := 0; i < len(sets); i += 2 {
			if i+1 == len(sets) {
				half = append(half, sets[i])
				break
			}
			u, err := unite(sets[i], sets[i+1])
			if err != nil {
				return nil, err
			}
			half = append(half, u)
		}
		sets = half
	}
	switch {
	case len(sets) == 0:
		return existing, nil
	case existing == nil:
		return sets[0], nil
	}
	return unite(existing, sets[0])
}

func checkSet(b []byte) error {
	var last []byte
	first := true
	for e, err := range All(b) {
		if err != nil {
			return err
		}
		if !first && bytes.Compare(last, e) >= 0 {
			return fmt.Errorf("%w: the elements of a set are not sorted, or one is there twice; make it with Set", kv.ErrInvalid)
		}
		last, first = e, false
	}
	return nil
}

// unite merges two sorted sets. a was checked when it came in, or is from the store.
func unite(a, b []byte) ([]byte, error) {
	out := make([]byte, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		x, restA, err := cutElement(a)
		if err != nil {
			return nil, err
		}
		y, restB, err := cutElement(b)
		if err != nil {
			return nil, err
		}
		switch c := bytes.Compare(x, y); {
		case c < 0:
			out, a = appendElement(out, x), restA
		case c > 0:
			out, b = appendElement(out, y), restB
		default:
			out, a, b = appendElement(out, x), restA, restB
		}
	}
	return append(append(out, a...), b...), nil
}
