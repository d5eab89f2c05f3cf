package merging

import (
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

// maxOperands is how many operands an operator gets at a time.
const maxOperands = 100

var errNoOperator = fmt.Errorf("merge operator missing: %w", kv.ErrInvalid)

// fold gathers operands of one key, newest first, and combines them with what lies below them. Its
// buffers are reused from key to key.
type fold struct {
	op   kv.MergeOperator
	vals [][]byte // slices of bufs
	bufs [][]byte // one a gathered operand, kept for reuse
	out  kv.Entry
}

// begin starts with the newest operand.
func (f *fold) begin(e *kv.Entry) {
	f.vals = f.vals[:0]
	f.out = *e
	f.out.Value = nil
	f.add(e)
}

// add takes the next older operand. The value is copied, since the source moves on.
func (f *fold) add(e *kv.Entry) {
	i := len(f.vals)
	if i == len(f.bufs) {
		f.bufs = append(f.bufs, nil)
	}
	f.bufs[i] = append(f.bufs[i][:0], e.Value...)
	b := f.bufs[i]
	f.vals = append(f.vals, b[:len(b):len(b)])
	f.meta(e)
}

// note is begin (the first time) and add without the value.
func (f *fold) note(e *kv.Entry, more bool) {
	if !more {
		f.out = *e
		f.out.Value = nil
	}
	f.meta(e)
}

func (f *fold) meta(e *kv.Entry) {
	f.out.CreateTS = max(f.out.CreateTS, e.CreateTS)
	if f.out.ExpireTS == kv.NoTS || (e.ExpireTS != kv.NoTS && e.ExpireTS < f.out.ExpireTS) {
		f.out.ExpireTS = e.ExpireTS
	}
}

// finish combines the operands with base: nil, a put, or a tombstone. key is that of all.
func (f *fold) finish(key []byte, base *kv.Entry) (*kv.Entry, error) {
	var value []byte
	if base != nil && base.Kind == kv.Put {
		value = base.Value[:len(base.Value):len(base.Value)]
		if value == nil {
			value = []byte{}
		}
	}
	if base != nil {
		f.meta(base)
	}
	key = key[:len(key):len(key)]
	n := len(f.vals)
	for i := range n / 2 { // oldest first
		f.vals[i], f.vals[n-1-i] = f.vals[n-1-i], f.vals[i]
	}
	err := seam.Guard("merge operator", func() (err error) {
		if batch, ok := f.op.(kv.BatchMerger); ok {
			for at := 0; at < n && err == nil; at += maxOperands {
				value, err = batch.MergeBatch(key, value, f.vals[at:min(at+maxOperands, n)])
				value = nonNil(value)
			}
			return err
		}
		for at := 0; at < n && err == nil; at++ {
			value, err = f.op.Merge(key, value, f.vals[at])
			value = nonNil(value)
		}
		return err
	})
	if err != nil {
		if !errors.Is(err, kv.ErrInvalid) {
			err = fmt.Errorf("%w: %w", kv.ErrInvalid, err)
		}
		return nil, fmt.Errorf("merge %d operands of key %q: %w", n, key, err)
	}
	f.out.Key, f.out.Value = key, value
	return &f.out, nil
}

// nonNil keeps a result apart from "there is none": an operator may return nil for empty.
func nonNil(v []byte) []byte {
	if v == nil {
		return []byte{}
	}
	return v[:len(v):len(v)]
}
