package wal

import (
	"context"
	"sync"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/internal/watermark"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

const (
	// DefaultFlushInterval is Options.FlushInterval when that is 0.
	DefaultFlushInterval = 100 * time.Millisecond
	// DefaultMaxObjectBytes is Options.MaxObjectBytes when that is 0.
	DefaultMaxObjectBytes = 64 << 20
)

// Options of a Writer. The zero value of each field is its default.
type Options struct {
	Root        string          // of the database in the store
	Codec       sst.Codec       // of the objects' blocks and index
	Transformer sst.Transformer // applied after compression; may fail or panic, that stops the log

	// FlushInterval bounds how long a row that nobody waits for stays in the buffer. The
	// default is 100ms. Negative: no timer, such rows stay until a waiter, Flush or a full
	// buffer takes them along.
	FlushInterval time.Duration
	// MinFlushGap is the least time between the starts of two uploads, a ceiling on the
	// request bill. Flush and a full buffer ignore it. Zero or less: none.
	MinFlushGap time.Duration
	// MaxObjectBytes is how much one object takes of whole batches; a larger batch goes
	// alone. The default is 64 MiB.
	MaxObjectBytes int

	Env *seam.Env // default: that of a program

	// OnStored is told of each stored object's size before the durable mark rises, so that
	// who was waiting finds it counted. It only counts: the waiters wait for it.
	OnStored func(bytes int)
	// OnUploaded is told of each stored object, after the durable mark has risen. It is called
	// by the flusher, so no upload starts before it returned.
	OnUploaded func(Uploaded)
	// ConfirmBeforeAck, when set, is called between a successful PUT and its
	// acknowledgement. Its error stops the log and nobody is acknowledged. It serves
	// deployments that collect fence objects: there a PUT alone proves no ownership.
	ConfirmBeforeAck func(ctx context.Context) error
}

// Uploaded describes a stored object.
type Uploaded struct {
	ID       uint64
	LastSeq  kv.Seq
	Bytes    int           // of the object
	Duration time.Duration // of the PUT
}

// A Writer is the writing end of the log: a buffer, and a flusher that stores it.
type Writer struct {
	store objstore.Store
	opt   Options
	env   *seam.Env

	buf     buffer
	durable watermark.Mark
	// kick is the flusher's mailbox: one token means "look again". Whoever makes an upload
	// due changes the state first and sends then; the flusher takes the token first and
	// looks then. So no wake-up is lost.
	kick chan struct{}

	want struct {
		sync.Mutex
		wait  kv.Seq // newest row that somebody waits for
		flush kv.Seq // newest row that Flush wants
		back  int    // waiters that came since the last acknowledgement
		// Arrivals need not kick while the flusher is going to look anyway: during an
		// upload, and while a gathering lasts until there are quietTo of them.
		quiet   bool
		quietTo int
	}
	pos struct {
		sync.Mutex
		id  uint64
		seq kv.Seq
	}
	failed struct {
		sync.Mutex
		err error
	}

	// The rest belongs to the flusher.
	next      uint64    // id of the next object
	lastStart time.Time // of the last upload
	firstRow  time.Time // when the oldest row of the buffer was seen; zero: it was empty
	gather    int
	until     time.Time
	puts      putTimes
	body      []byte // where a segment of several chunks is put together
	busy      bool   // an upload ran since the last look
	noGather  bool   // for comparison in tests
}

// NewWriter returns a Writer whose first object is next (one above the fence) and whose mark
// stands at durable, the newest row of the log and the tables. Nothing is stored before Run.
func NewWriter(s objstore.Store, next uint64, durable kv.Seq, o Options) *Writer {
	if o.FlushInterval == 0 {
		o.FlushInterval = DefaultFlushInterval
	}
	if o.MaxObjectBytes <= 0 {
		o.MaxObjectBytes = DefaultMaxObjectBytes
	}
	if o.Env == nil {
		o.Env = seam.New(seam.Env{})
	}
	w := &Writer{store: s, opt: o, env: o.Env, next: next, kick: make(chan struct{}, 1)}
	w.buf.limit = o.MaxObjectBytes
	w.buf.mu.last = durable
	w.durable.Advance(durable)
	w.pos.id, w.pos.seq = next-1, durable
	return w
}

// Append adds one batch: all its rows carry one seq, larger than any before. It copies keys
// and values, does no I/O, calls nothing of the user and cannot fail; in a Writer that has
// failed the rows are dropped, since nobody can be told that they are durable. Calls come one
// at a time.
func (w *Writer) Append(rows []kv.Entry) {
	if len(rows) > 0 && w.buf.append(rows) {
		w.wake()
	}
}

// Wait returns nil once the rows up to seq are durable, the reason why they can no longer
// become so, or ctx's error, which leaves the outcome open. seq must have been appended.
func (w *Writer) Wait(ctx context.Context, seq kv.Seq) error { return w.wait(ctx, seq, false) }

// Flush makes everything appended before the call durable. It does not wait for the timer or
// MinFlushGap.
func (w *Writer) Flush(ctx context.Context) error { return w.wait(ctx, w.buf.last(), true) }

func (w *Writer) wait(ctx context.Context, seq kv.Seq, flush bool) error {
	if w.durable.Load() >= seq {
		return nil
	}
	w.want.Lock()
	w.want.wait = max(w.want.wait, seq)
	if flush {
		w.want.flush = max(w.want.flush, seq)
	}
	w.want.back++
	kick := flush || !w.want.quiet || w.want.back >= w.want.quietTo
	w.want.Unlock()
	if kick {
		w.wake()
	}
	return w.durable.Wait(ctx, seq)
}

// Durable is the mark of the newest durable row. Waiting on it wakes nobody; Wait does.
func (w *Writer) Durable() *watermark.Mark { return &w.durable }

// Position returns the last stored object and its last seq (at first: the fence and the seq
// the Writer began with) as one pair. It is never behind the durable mark.
func (w *Writer) Position() (walID uint64, seq kv.Seq) {
	w.pos.Lock()
	defer w.pos.Unlock()
	return w.pos.id, w.pos.seq
}

// BufferedBytes is what was appended and is not stored yet, in encoded form.
func (w *Writer) BufferedBytes() int64 { return w.buf.bytes.Load() }

// Fail stops the log: all that wait for rows that are not durable get err, now and later, and
// Run returns it after its current PUT. The first failure stays.
func (w *Writer) Fail(err error) {
	w.failed.Lock()
	if w.failed.err == nil {
		w.failed.err = err
	}
	err = w.failed.err
	w.failed.Unlock()
	w.durable.Fail(err)
	w.buf.kill()
	w.wake()
}

// Err returns what Fail was called with, or what stopped Run; nil while the log works.
func (w *Writer) Err() error {
	w.failed.Lock()
	defer w.failed.Unlock()
	return w.failed.err
}

func (w *Writer) wake() {
	select {
	case w.kick <- struct{}{}:
	default: // a token is there already
	}
}
