package merging

import (
	"bytes"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// RetainOptions say what a flush or a compaction may drop.
type RetainOptions struct {
	// MinSeq is the lowest seq that a reader may still ask for: of each key the newest version
	// at or below it is needed, and those above.
	MinSeq kv.Seq
	// Now is the data time (Unix milliseconds) at which rows expire.
	Now int64
	// Operator combines operands at or below MinSeq. Without one they are kept as they are, or, with
	// RequireOperator, are an error.
	Operator        kv.MergeOperator
	RequireOperator bool
	// Bottom says that nothing older than the output exists, so that a tombstone with nothing
	// below it may go.
	Bottom bool
	// Desc says that src is descending. Only Seek needs to know.
	Desc bool
	// OnExpired is told of each expired row, OnFold how many operands became one row.
	OnExpired func(kv.Kind)
	OnFold    func(operands int)
}

// Retain returns the rows of src that a flush or a compaction keeps, in the same order. For each
// key, newest first:
//
//   - The same version seen twice is one.
//   - An operand with seq > MinSeq passes. One at or below is combined with the older rows, while their
//     expiry is equal, down to and including the first value or tombstone: with a value or a
//     tombstone to a value, else to an operand; its seq and create time are the highest.
//   - An expired operand goes; an expired value becomes a tombstone of the same seq and create time.
//   - The newest row stays. The next one stays if the one before has seq > MinSeq or is an
//     operand. So the last one kept is the first that is no operand and has seq <= MinSeq.
//   - With Bottom, tombstones at the old end go.
//
// To go on after a version, start again with the newest version of its key and leave out what
// was written: which rows stay depends on the newer ones.
func Retain(src kv.Iterator, o RetainOptions) kv.Iterator {
	return &retainer{src: src, o: o, fold: fold{op: o.Operator}}
}

type retainer struct {
	src  kv.Iterator
	o    RetainOptions
	cur  *kv.Entry
	fold fold

	key      []byte // the key being decided
	have     bool   // key is set
	seq      kv.Seq // of its last row looked at
	complete bool   // its older rows go
	held     bool   // src stands on a row that was not looked at

	// With Bottom a tombstone waits for a row below it. queue holds those, then comes row.
	queue []kv.Entry
	at    int
	row   *kv.Entry
	dead  kv.Entry // an expired value as a tombstone

	done bool
	err  error
}

func (r *retainer) Entry() *kv.Entry { return r.cur }

func (r *retainer) Err() error { return r.err }

func (r *retainer) Close() error {
	r.done, r.cur = true, nil
	if err := r.src.Close(); err != nil && r.err == nil {
		r.err = err
	}
	return r.err
}

func (r *retainer) Next() bool {
	if r.done {
		return false
	}
	if r.row != nil {
		return r.yield()
	}
	for r.held || r.src.Next() {
		r.held = false
		e := r.src.Entry()
		if r.have && bytes.Equal(e.Key, r.key) {
			if r.complete || e.Seq == r.seq {
				continue
			}
		} else {
			r.key, r.have = append(r.key[:0], e.Key...), true
			r.complete = false
			r.queue, r.at = r.queue[:0], 0
		}
		r.seq = e.Seq
		row, err := r.combine(e)
		if err != nil {
			return r.stop(err)
		}
		if row = r.age(row); row == nil {
			continue
		}
		r.complete = row.Kind != kv.Merge && row.Seq <= r.o.MinSeq
		if row.Kind == kv.Tombstone && r.o.Bottom {
			if !r.complete { // else nothing follows that could keep it, nor those before it
				t := *row
				t.Key, t.Value = bytes.Clone(row.Key), nil
				r.queue = append(r.queue, t)
			}
			continue
		}
		if len(r.queue) == 0 {
			r.cur = row
			return true
		}
		r.row = row
		return r.yield()
	}
	return r.stop(r.src.Err())
}

// yield hands out the waiting tombstones, then the row that keeps them.
func (r *retainer) yield() bool {
	if r.at < len(r.queue) {
		r.cur = &r.queue[r.at]
		r.at++
		return true
	}
	r.cur, r.row = r.row, nil
	r.queue, r.at = r.queue[:0], 0
	return true
}

// Seek moves forward to the first kept row at or past key.
func (r *retainer) Seek(key []byte) bool {
	if r.done {
		return false
	}
	if r.cur != nil {
		c := bytes.Compare(key, r.cur.Key)
		if c == 0 || (c < 0) != r.o.Desc {
			return true
		}
	}
	r.row, r.queue, r.at = nil, r.queue[:0], 0
	if !r.src.Seek(key) {
		return r.stop(r.src.Err())
	}
	r.held = true
	return r.Next()
}

func (r *retainer) stop(err error) bool {
	r.done, r.cur, r.row = true, nil, nil
	if r.err == nil {
		r.err = err
	}
	return false
}

// combine returns e itself, or, for an operand that nobody needs apart, the row it makes with those below.
func (r *retainer) combine(e *kv.Entry) (*kv.Entry, error) {
	if e.Kind != kv.Merge {
		return e, nil
	}
	if r.o.Operator == nil {
		if r.o.RequireOperator {
			return nil, errNoOperator
		}
		return e, nil
	}
	if e.Seq > r.o.MinSeq {
		return e, nil
	}
	expire := e.ExpireTS
	r.fold.begin(e)
	var base *kv.Entry
	for base == nil {
		if !r.src.Next() {
			if err := r.src.Err(); err != nil {
				return nil, err
			}
			break
		}
		e = r.src.Entry()
		if !bytes.Equal(e.Key, r.key) || (e.Seq != r.seq && e.ExpireTS != expire) {
			r.held = true
			break
		}
		if e.Seq == r.seq {
			continue
		}
		r.seq = e.Seq
		if e.Kind == kv.Merge {
			r.fold.add(e)
		} else {
			base = e
		}
	}
	n := len(r.fold.vals)
	if n == 1 && base == nil {
		// Alone: merging it with nothing gives itself.
		r.fold.out.Key, r.fold.out.Value = r.key, r.fold.vals[0]
		return &r.fold.out, nil
	}
	row, err := r.fold.finish(r.key, base)
	if err != nil {
		return nil, err
	}
	if base != nil {
		row.Kind = kv.Put
	}
	if r.o.OnFold != nil {
		r.o.OnFold(n)
	}
	return row, nil
}

// age applies expiry: nil for an operand that is gone.
func (r *retainer) age(e *kv.Entry) *kv.Entry {
	if e.Kind == kv.Tombstone || !e.Expired(r.o.Now) {
		return e
	}
	if r.o.OnExpired != nil {
		r.o.OnExpired(e.Kind)
	}
	if e.Kind == kv.Merge {
		return nil
	}
	r.dead = *e
	r.dead.Kind, r.dead.Value, r.dead.ExpireTS = kv.Tombstone, nil, kv.NoTS
	return &r.dead
}
