package slatedb

import (
	"errors"
	"fmt"
	"math"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

var (
	errNoOperator     = invalidf("merge needs Options.MergeOperator")
	errSnapshotClosed = fmt.Errorf("%w: the snapshot was closed", ErrClosed)
)

// combine makes row of the operations on one key, oldest first, of which the last is a merge,
// and returns how many of them count. Nothing below the operands: they stay one operand. A put
// or a delete below them: a value.
func (b *WriteBatch) combine(row *kv.Entry, order []sortItem, op kv.MergeOperator, defaultTTL int64) (int, error) {
	n := 1 // operations from the newest put or delete on
	for n < len(order) && b.ops[order[len(order)-n].op].kind == kv.Merge {
		n++
	}
	order = order[len(order)-n:]
	first := effectiveTTL(&b.ops[order[0].op], defaultTTL)
	for _, it := range order[1:] {
		if effectiveTTL(&b.ops[it.op], defaultTTL) != first {
			return 0, invalidf("merges of key %q in one batch, and the put or delete below them, differ in their TTL", row.Key)
		}
	}
	var base []byte
	switch b.ops[order[0].op].kind {
	case kv.Put:
		row.Kind, base = kv.Put, nonNil(b.value(int(order[0].op)))
		order = order[1:]
	case kv.Tombstone:
		row.Kind = kv.Put
		order = order[1:]
	}
	if row.Kind == kv.Merge && n == 1 {
		return n, nil // merging it with nothing gives itself
	}
	operands := make([][]byte, len(order))
	for i, it := range order {
		operands[i] = b.value(int(it.op))
	}
	v, err := foldOperands(op, row.Key, base, operands)
	row.Value = v
	return n, err
}

// effectiveTTL is what is compared: a delete counts as never expiring, the default is what
// it stands for, and two ways to say never are one.
func effectiveTTL(op *batchOp, defaultTTL int64) rowTTL {
	ms := op.ttl
	if !op.abs {
		if ms == ttlDefault && op.kind != kv.Tombstone {
			ms = defaultTTL
		}
		if ms <= 0 {
			ms = ttlNone
		}
	}
	return rowTTL{ms: ms, abs: op.abs}
}

// maxOperands is how many operands a BatchMerger gets at a time.
const maxOperands = 100

// foldOperands applies operands, oldest first, to base, which is nil when there is none. No
// lock is held: the operator is the user's, and may fail, block or panic.
func foldOperands(op kv.MergeOperator, key, base []byte, operands [][]byte) (value []byte, err error) {
	if op == nil {
		return nil, errNoOperator
	}
	value = base
	err = seam.Guard("merge operator", func() (err error) {
		if batch, ok := op.(kv.BatchMerger); ok {
			for at := 0; at < len(operands) && err == nil; at += maxOperands {
				value, err = batch.MergeBatch(key, value, operands[at:min(at+maxOperands, len(operands))])
				value = nonNil(value)
			}
			return err
		}
		for at := 0; at < len(operands) && err == nil; at++ {
			value, err = op.Merge(key, value, operands[at])
			value = nonNil(value)
		}
		return err
	})
	if err == nil && uint64(len(value)) > math.MaxUint32 {
		err = invalidf("the result of %d bytes is longer than a value may be", len(value))
	}
	if err != nil {
		if !errors.Is(err, ErrInvalid) {
			err = fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return nil, fmt.Errorf("merge %d operands of key %q: %w", len(operands), key, err)
	}
	return value, nil
}
