// Package operators has merge operators for everyday needs, ready to be set as
// Options.MergeOperator:
//
//	AddInt64, AddUint64            counters
//	MaxInt64, MinInt64, MaxUint64, MinUint64, MaxBytes, MinBytes
//	Append(sep)                    text joined by a separator
//	List                           a list of byte strings
//	Union                          a set of byte strings
//
// Numbers are 8 bytes, little endian. Elements of List and Union are framed: a uvarint length,
// then the bytes.
//
// Every operator here keeps the two promises that the engine needs: it is associative, and
// merging x with nothing gives x. The second is the one that home-made operators break. The
// engine folds operands piecemeal and calls the operator with no existing value many times in
// the life of a key, so an operator that, say, writes its separator before each operand writes
// it once per fold.
//
// An operand (or a stored value) of the wrong form is an error that wraps ErrInvalid of the root
// package: in a write that rejects the write, at a read it fails the read. Operators have no state
// and may be used from any number of goroutines.
//
// One database has one operator. To give different keys different operators, write one that
// looks at the key and calls these.
package operators
