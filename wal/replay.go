package wal

import (
	"context"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// A TruncatedError says that an object inside the range of a replay is missing. It is
// ErrTruncated, and so kv.ErrCorrupt, to errors.Is; a reader that tails the log takes it as the
// end for now, a writer whose epoch has passed on as having been fenced.
type TruncatedError struct {
	ID     uint64
	Object string // key in the object store
}

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("log ends before object %s, which is missing", e.Object)
}

// Is makes every TruncatedError an ErrTruncated and a kv.ErrCorrupt.
func (e *TruncatedError) Is(t error) bool { return t == ErrTruncated || t == kv.ErrCorrupt }

// ErrTruncated is every TruncatedError. It is also kv.ErrCorrupt.
var ErrTruncated error = errTruncated{}

type errTruncated struct{}

func (errTruncated) Error() string   { return "slatedb: log truncated" }
func (errTruncated) Is(t error) bool { return t == kv.ErrCorrupt }

// ReplayOptions say what to replay. Both ends are inclusive; From above To is an empty range.
type ReplayOptions struct {
	Root        string
	From, To    uint64
	Transformer sst.Transformer
	Env         *seam.Env // default: that of a program
	// Ahead bounds how many objects are fetched at once and held. The default is 8. When
	// objects are large fewer are held, down to one beside the one being delivered.
	Ahead int
	// MaxBytes bounds the bodies that are fetched ahead, as far as the sizes of recent objects
	// foretell those to come. The default is 32 MiB.
	MaxBytes int
	// Tail says that To lies beyond the end of the log, which a TruncatedError then tells:
	// fetching ahead begins with one object instead of two and grows only while there is
	// something, so that meeting the end costs one request that finds nothing.
	Tail bool
}

// A Replayer delivers the whole batches of a range of the log in commit order. An object is
// checked completely before its first batch is delivered, so a damaged one contributes
// nothing; an error ends the replay behind the batches of all objects before it. It keeps
// the ctx it was made with, and belongs to one goroutine.
type Replayer struct {
	f        fetcher
	consumed uint64
	err      error
	done     bool

	cur   loaded // the object being delivered, valid when id is not 0
	rows  rowSource
	batch []kv.Entry
	head  kv.Entry // first row of the next batch
	more  bool     // head is set
	max   kv.Seq   // newest row of the objects before
	any   bool     // there were rows before
}

// NewReplayer returns a Replayer that stands before the first batch. Close must be called.
func NewReplayer(ctx context.Context, s objstore.Store, o ReplayOptions) *Replayer {
	if o.Env == nil {
		o.Env = seam.New(seam.Env{})
	}
	if o.Ahead <= 0 {
		o.Ahead = defaultAhead
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = aheadBytes
	}
	o.From = max(o.From, 1) // there is no object 0
	r := &Replayer{consumed: o.From - 1, done: o.From > o.To}
	r.f.init(ctx, s, o)
	return r
}

// Prefetch begins to fetch objects before the first Next asks for them, as many as may be
// held. What is wrong with one is said by Next when it comes to it.
func (r *Replayer) Prefetch() { r.f.prefetch() }

// Extend moves the end of the range from To to a later object. It is called before the first
// Next.
func (r *Replayer) Extend(to uint64) {
	r.f.settle()
	r.f.o.To = max(to, r.f.o.To)
	r.done = r.f.o.From > r.f.o.To
}

// Next moves to the next batch. After false, Err tells the end from a failure.
func (r *Replayer) Next() bool {
	r.batch = r.batch[:0]
	for r.err == nil && !r.done {
		if r.more {
			return r.fill()
		}
		if r.cur.id != 0 {
			r.consumed = r.cur.id
			r.done = r.cur.id == r.f.o.To
			r.cur, r.rows = loaded{}, rowSource{}
			continue
		}
		r.open()
	}
	return false
}

// open begins the next object.
func (r *Replayer) open() {
	l := r.f.next()
	if l.err != nil {
		r.err = l.err
		return
	}
	if l.rows > 0 {
		if r.any && l.min <= r.max {
			name := sst.WALID(l.id).Object(r.f.o.Root)
			r.err = sst.Corrupt(name, -1, fmt.Errorf("%w: seq %d after an object that ends at %d", kv.ErrCorrupt, l.min, r.max))
			return
		}
		r.max, r.any = l.max, true
		r.rows = rowSource{sorted: l.sorted, guard: r.f.o.Transformer != nil}
		if l.sorted == nil {
			r.rows.it = l.object.Rows()
		}
		r.advance()
	}
	r.cur = l
}

// fill gathers the rows that share head's seq.
func (r *Replayer) fill() bool {
	seq := r.head.Seq
	for r.more && r.head.Seq == seq {
		r.batch = append(r.batch, r.head)
		r.advance()
	}
	return r.err == nil
}

func (r *Replayer) advance() {
	e, err := r.rows.next()
	if err != nil {
		r.err, r.more, r.batch = err, false, nil
		return
	}
	if r.more = e != nil; r.more {
		r.head = *e
	}
}

// Batch returns the rows of the current batch in stored order, all of one seq. The slice is
// valid until the next Next; keys and values alias the object and stay valid beyond.
func (r *Replayer) Batch() []kv.Entry { return r.batch }

// Last reports whether the current batch is the last of its object.
func (r *Replayer) Last() bool { return !r.more }

// WALID is the object of the current batch.
func (r *Replayer) WALID() uint64 { return r.cur.id }

// Consumed is the last object whose batches have all been dealt with: Next has been called
// after the last of them. Objects without rows count. It begins at From-1, and is To when
// Next returned false without an error. So it is always a safe replay point for what the
// caller has taken up so far, even if the current batch is not in it.
func (r *Replayer) Consumed() uint64 { return r.consumed }

// Err returns what ended the replay, nil at its regular end.
func (r *Replayer) Err() error { return r.err }

// Close ends the fetching and returns when all of it has stopped. It may be called twice.
func (r *Replayer) Close() { r.f.close(); r.done = true; r.more = false }

// A rowSource yields the rows of one object in commit order.
type rowSource struct {
	it     *sst.ObjectIter
	sorted []kv.Entry // of an object that was not in commit order
	guard  bool       // the blocks are decoded by a callback of the user
}

// next returns nil at the end. The entry is valid until the next call.
func (s *rowSource) next() (*kv.Entry, error) {
	if s.it == nil {
		if len(s.sorted) == 0 {
			return nil, nil
		}
		e := &s.sorted[0]
		s.sorted = s.sorted[1:]
		return e, nil
	}
	if s.guard {
		return s.guarded()
	}
	if s.it.Next() {
		return s.it.Entry(), nil
	}
	return nil, s.it.Err()
}

func (s *rowSource) guarded() (e *kv.Entry, err error) {
	more := false
	if err = seam.Guard("block transformer", func() error { more = s.it.Next(); return nil }); err != nil {
		return nil, fmt.Errorf("replay: %w: %w", kv.ErrInternal, err)
	}
	if more {
		return s.it.Entry(), nil
	}
	return nil, s.it.Err()
}
