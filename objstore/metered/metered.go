// Package metered counts requests, bytes and time, by method and by cause (which component
// asked). It stands below retry, so that every attempt counts: it is what a bill is made of.
//
//	ledger := metered.NewLedger()
//	walStore := retry.New(metered.New(s, "wal", ledger), ...)
//	for _, row := range ledger.Snapshot() { ... }
package metered

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// method indexes the counters of a cause.
type method int

const (
	get method = iota
	read
	head
	put
	upload
	multipart
	del
	list
	methods
)

var names = [methods]string{"get", "read", "head", "put", "upload", "multipart", "delete", "list"}

// LatencyBuckets is the number of a row's latency buckets. Bucket i counts requests that
// took less than 2^i milliseconds (and not less than the one before); the last has the rest.
const LatencyBuckets = 16

// Bounds are the upper boundaries of a row's Durations, ascending; they are those that the Rust
// engine gives its latency histograms. Nobody may change them.
var Bounds = [...]time.Duration{
	time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// A Row is what one cause did in one store by one method.
type Row struct {
	// Method is get, read (a range), head, put, upload (a stream in one request), multipart (a
	// stream in parts), delete or list.
	Cause, Method string
	// Store is the name that NewNamed gave, "" of New.
	Store string
	// Requests that were sent. A listing counts one for each started thousand of objects, as
	// clouds page it; an upload in parts counts the parts and the two calls around them.
	Requests int64
	// Calls are what Durations and Latency count: several requests may be one call, which is
	// timed as a whole. Parts are those of multipart.
	Calls, Parts int64
	// Errors are calls that failed without an answer. Not found, a refused condition and a
	// range behind the end are answers; they count in Misses.
	Errors, Misses int64
	BytesIn        int64 // received from the store
	BytesOut       int64 // sent to the store
	Duration       time.Duration
	Latency        [LatencyBuckets]int64
	// Durations[i] counts calls that took at most Bounds[i], and longer than the boundary
	// before; the last has the rest.
	Durations [len(Bounds) + 1]int64
}

// A Ledger adds up. It is safe for concurrent use; counting takes no lock.
type Ledger struct {
	clock  seam.Clock
	onCall func(c Call)

	mu     sync.RWMutex
	causes map[account]*counters
}

// A Call is one that has ended.
type Call struct {
	Cause, Store, Method string
	Duration             time.Duration
}

// An account is who is charged.
type account struct{ cause, store string }

type counters [methods]counter

type counter struct {
	requests, errors, misses atomic.Int64
	calls, parts             atomic.Int64
	bytesIn, bytesOut        atomic.Int64
	nanos                    atomic.Int64
	latency                  [LatencyBuckets]atomic.Int64
	durations                [len(Bounds) + 1]atomic.Int64
}

// NewLedger returns an empty ledger on the system's clock.
func NewLedger() *Ledger { return NewLedgerWithClock(seam.SystemClock{}) }

// NewLedgerWithClock returns an empty ledger that takes durations from c.
func NewLedgerWithClock(c seam.Clock) *Ledger {
	return &Ledger{clock: c, causes: make(map[account]*counters)}
}

// OnCall has f told each call when it has ended, in the goroutine that made it; f must be quick
// and not panic. It is set before the first store is made.
func (l *Ledger) OnCall(f func(Call)) { l.onCall = f }

func (l *Ledger) account(of account) *counters {
	l.mu.RLock()
	known := l.causes[of]
	l.mu.RUnlock()
	if known != nil {
		return known
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.causes[of]
	if a == nil {
		a = new(counters)
		l.causes[of] = a
	}
	return a
}

// Snapshot returns the rows that have requests, by cause, method and store. Rows are read one
// after another, so a sum may be off by what happened meanwhile.
func (l *Ledger) Snapshot() []Row {
	var rows []Row
	l.mu.RLock()
	for of, a := range l.causes {
		for m := range methods {
			c := &a[m]
			if c.requests.Load() == 0 {
				continue
			}
			r := Row{
				Cause: of.cause, Store: of.store, Method: names[m],
				Requests: c.requests.Load(), Calls: c.calls.Load(), Parts: c.parts.Load(), Errors: c.errors.Load(), Misses: c.misses.Load(),
				BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(), Duration: time.Duration(c.nanos.Load()),
			}
			for i := range c.latency {
				r.Latency[i] = c.latency[i].Load()
			}
			for i := range c.durations {
				r.Durations[i] = c.durations[i].Load()
			}
			rows = append(rows, r)
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Store, b.Store))
	})
	return rows
}

// Total returns the sum of all rows, under no name.
func (l *Ledger) Total() Row {
	var t Row
	for _, r := range l.Snapshot() {
		t.Requests += r.Requests
		t.Calls += r.Calls
		t.Parts += r.Parts
		t.Errors += r.Errors
		t.Misses += r.Misses
		t.BytesIn += r.BytesIn
		t.BytesOut += r.BytesOut
		t.Duration += r.Duration
		for i, n := range r.Latency {
			t.Latency[i] += n
		}
		for i, n := range r.Durations {
			t.Durations[i] += n
		}
	}
	return t
}

// New returns inner, with what passes it written down under cause. Several stores may share
// a cause.
func New(inner objstore.Store, cause string, l *Ledger) objstore.Store {
	return NewNamed(inner, "", cause, l)
}

// NewNamed is New for one of several stores under a cause, which name tells apart.
func NewNamed(inner objstore.Store, name, cause string, l *Ledger) objstore.Store {
	of := account{cause, name}
	return &store{
		Store: inner, ledger: l, clock: l.clock, of: of, counters: l.account(of), parts: inner.Properties().UploadParts,
	}
}

// Rebook returns a ctx under which what would be booked under cause from is booked under to:
// the same store serves a poll and a commit, and a bill should tell them apart.
func Rebook(ctx context.Context, from, to string) context.Context {
	return context.WithValue(ctx, rebooking{}, [2]string{from, to})
}

type rebooking struct{}

type store struct {
	objstore.Store
	ledger   *Ledger
	clock    seam.Clock
	of       account
	counters *counters
	parts    int64
}

func (s *store) done(ctx context.Context, m method, start time.Time, requests, in, out int64, err error) {
	of, cs := s.of, s.counters
	if r, ok := ctx.Value(rebooking{}).([2]string); ok && r[0] == of.cause {
		of.cause = r[1]
		cs = s.ledger.account(of)
	}
	c := &cs[m]
	c.requests.Add(requests)
	c.calls.Add(1)
	if m == multipart {
		c.parts.Add(requests - aroundParts)
	}
	if in != 0 {
		c.bytesIn.Add(in)
	}
	if out != 0 {
		c.bytesOut.Add(out)
	}
	switch {
	case err == nil:
	case errors.Is(err, objstore.ErrNotFound), errors.Is(err, objstore.ErrPrecondition), errors.Is(err, objstore.ErrRange):
		c.misses.Add(1)
	default:
		c.errors.Add(1)
	}
	d := max(s.clock.Now().Sub(start), 0)
	c.nanos.Add(int64(d))
	c.latency[min(bits.Len64(uint64(d/time.Millisecond)), LatencyBuckets-1)].Add(1)
	i, _ := slices.BinarySearch(Bounds[:], d)
	c.durations[i].Add(1)
	if f := s.ledger.onCall; f != nil {
		f(Call{Cause: of.cause, Store: of.store, Method: names[m], Duration: d})
	}
}

// aroundParts are the requests that begin and end an upload in parts.
const aroundParts = 2

func (s *store) Get(ctx context.Context, key string) (objstore.Object, error) {
	start := s.clock.Now()
	o, err := s.Store.Get(ctx, key)
	s.done(ctx, get, start, 1, int64(len(o.Body)), 0, err)
	return o, err
}

func (s *store) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	start := s.clock.Now()
	n, err := s.Store.ReadAt(ctx, key, p, off)
	s.done(ctx, read, start, 1, int64(n), 0, err)
	return n, err
}

func (s *store) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	start := s.clock.Now()
	a, err := s.Store.Head(ctx, key)
	s.done(ctx, head, start, 1, 0, 0, err)
	return a, err
}

func (s *store) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	start := s.clock.Now()
	v, err := s.Store.Put(ctx, key, body, c)
	s.done(ctx, put, start, 1, 0, int64(len(body)), err)
	return v, err
}

func (s *store) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	start := s.clock.Now()
	r := &reader{Reader: body}
	var err error
	var v objstore.Version
	if seek, ok := body.(io.Seeker); ok {
		v, err = s.Store.Upload(ctx, key, struct {
			io.Reader
			io.Seeker
		}{r, seek}, c)
	} else {
		v, err = s.Store.Upload(ctx, key, r, c)
	}
	n := r.n.Load()
	m, requests := upload, int64(1)
	if s.parts > 0 && n > s.parts {
		m, requests = multipart, aroundParts+(n+s.parts-1)/s.parts
	}
	s.done(ctx, m, start, requests, 0, n, err)
	return v, err
}

// reader counts what was read. The store may read from a goroutine of its own.
type reader struct {
	io.Reader
	n atomic.Int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	return n, err
}

func (s *store) Delete(ctx context.Context, key string) error {
	start := s.clock.Now()
	err := s.Store.Delete(ctx, key)
	s.done(ctx, del, start, 1, 0, 0, err)
	return err
}

// List measures the whole walk less what the caller does between the objects.
func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		const page = 1000
		start := s.clock.Now()
		var n int64
		var failure error
		defer func() { s.done(ctx, list, start, max(1, (n+page-1)/page), 0, 0, failure) }()
		for a, err := range s.Store.List(ctx, prefix, after) {
			if failure = err; err == nil {
				n++
			}
			away := s.clock.Now()
			more := yield(a, err)
			start = start.Add(s.clock.Now().Sub(away))
			if !more {
				return
			}
		}
	}
}
