package merging

import (
	"bytes"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// ResolveOptions say what a reader may see.
type ResolveOptions struct {
	// Max bounds the versions looked at: newer ones are as if they were not there.
	Max kv.Seq
	// Now returns the time that expiry is compared with, Unix milliseconds. It is asked when
	// the first row with an expiry is met, and once. nil: nothing expires.
	Now func() int64
	// Operator combines operands. Without one an operand is an error.
	Operator kv.MergeOperator
	// KeysOnly: nobody looks at values, so operands are neither copied nor combined. Plain rows
	// keep theirs, since they are the source's own.
	KeysOnly bool
	// Desc says that src is descending. Only Seek needs to know.
	Desc bool
	// OnFold is told how many operands were combined, with each other or with a value.
	OnFold func(operands int)
}

// A Resolver yields each key once, with the version that counts: the newest at or below Max.
// A tombstone hides the key, an expired value too, an expired operand counts as absent.
// Operands are combined with what lies below them.
//
// A plain row is the source's own entry; its slices, like those of a combined row, live until
// the next step.
type Resolver struct {
	src  kv.Iterator
	o    ResolveOptions
	cur  *kv.Entry
	key  []byte // of the last row decided on; its older versions are hidden
	have bool   // key is set
	held bool   // src stands on a row that was not looked at
	fold fold

	now   int64
	timed bool // now is set
	done  bool
	err   error
}

var _ kv.Iterator = (*Resolver)(nil)

// Resolve returns a Resolver over src, which it owns.
func Resolve(src kv.Iterator, o ResolveOptions) *Resolver {
	r := &Resolver{}
	r.init(src, o)
	return r
}

func (r *Resolver) init(src kv.Iterator, o ResolveOptions) {
	r.src, r.o, r.fold.op = src, o, o.Operator
}

// Entry returns the current row.
func (r *Resolver) Entry() *kv.Entry { return r.cur }

// Err returns what stopped the walk.
func (r *Resolver) Err() error { return r.err }

// Close closes the source.
func (r *Resolver) Close() error {
	r.done, r.cur = true, nil
	if err := r.src.Close(); err != nil && r.err == nil {
		r.err = err
	}
	return r.err
}

// Next moves to the next key.
func (r *Resolver) Next() bool {
	if r.done {
		return false
	}
	for r.held || r.src.Next() {
		r.held = false
		e := r.src.Entry()
		if e.Seq > r.o.Max || (r.have && bytes.Equal(e.Key, r.key)) {
			continue
		}
		r.key, r.have = append(r.key[:0], e.Key...), true
		if e.Kind == kv.Put && (e.ExpireTS == kv.NoTS || !r.expired(e)) {
			r.cur = e
			return true
		}
		if e.Kind == kv.Merge {
			switch row, err := r.combine(e); {
			case err != nil:
				return r.stop(err)
			case row != nil:
				r.cur = row
				return true
			}
		}
	}
	return r.stop(r.src.Err())
}

// Seek moves forward to the first key at or past key.
func (r *Resolver) Seek(key []byte) bool {
	if r.done {
		return false
	}
	if r.cur != nil {
		c := bytes.Compare(key, r.cur.Key)
		if c == 0 || (c < 0) != r.o.Desc {
			return true
		}
	}
	if !r.src.Seek(key) {
		return r.stop(r.src.Err())
	}
	r.held = true
	return r.Next()
}

func (r *Resolver) stop(err error) bool {
	r.done, r.cur = true, nil
	if r.err == nil {
		r.err = err
	}
	return false
}

func (r *Resolver) expired(e *kv.Entry) bool {
	if e.ExpireTS == kv.NoTS || r.o.Now == nil {
		return false
	}
	if !r.timed {
		r.now, r.timed = r.o.Now(), true
	}
	return e.Expired(r.now)
}

// combine walks down from the operand e to the key's base and returns the row they make, or
// nil when there is none.
func (r *Resolver) combine(e *kv.Entry) (*kv.Entry, error) {
	if r.o.Operator == nil {
		return nil, errNoOperator
	}
	any := false
	var base *kv.Entry
	for {
		seq := e.Seq
		if e.Kind != kv.Merge {
			if e.Kind == kv.Put && !r.expired(e) {
				base = e
			}
			break
		}
		if !r.expired(e) {
			if r.o.KeysOnly {
				r.fold.note(e, any)
				any = true
			} else if any {
				r.fold.add(e)
			} else {
				r.fold.begin(e)
				any = true
			}
		}
		// The same version seen twice is one.
		more := r.src.Next()
		for more && r.src.Entry().Seq == seq && bytes.Equal(r.src.Entry().Key, r.key) {
			more = r.src.Next()
		}
		if !more {
			if err := r.src.Err(); err != nil {
				return nil, err
			}
			break // the next src.Next is false again
		}
		e = r.src.Entry()
		if !bytes.Equal(e.Key, r.key) {
			r.held = true
			break
		}
	}
	switch {
	case !any:
		return base, nil
	case r.o.KeysOnly:
		if base != nil {
			r.fold.meta(base)
		}
		r.fold.out.Key = r.key
		return &r.fold.out, nil
	}
	if n := len(r.fold.vals); r.o.OnFold != nil && (n > 1 || base != nil) {
		r.o.OnFold(n)
	}
	return r.fold.finish(r.key, base)
}
