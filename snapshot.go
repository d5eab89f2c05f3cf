package slatedb

import (
	"context"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A Snapshot is the database as it was at one moment: every read through it sees what was
// committed up to Seq and nothing later. It lives in this process only and is no checkpoint.
// It pins no objects: it reads the current tables, in which flush and compaction keep what a
// live snapshot may ask for. So close it; one that is forgotten holds old versions back until
// the garbage collector finds it. All methods are safe for concurrent use.
type Snapshot struct {
	db      *DB
	pin     *pin
	closed  atomic.Bool
	cleanup runtime.Cleanup
}

var _ ReadOps = (*Snapshot)(nil)

func (db *DB) snapshot() (*Snapshot, error) {
	if err := db.latched(); err != nil {
		return nil, err
	}
	p := &pin{db: db, kind: "snapshot"}
	db.pins.add(&p.reg, &db.committed)
	db.liveSnapshots.Add(1)
	s := &Snapshot{db: db, pin: p}
	s.cleanup = runtime.AddCleanup(s, (*pin).lost, p)
	return s, nil
}

// Seq returns the newest sequence number that the snapshot sees.
func (s *Snapshot) Seq() uint64 { return uint64(s.pin.reg.seq) }

// Close releases the snapshot. It may be called again and returns nil. Iterators that are
// open may be read to their end; other reads answer ErrClosed from now on.
func (s *Snapshot) Close() error {
	if s.closed.CompareAndSwap(false, true) {
		s.cleanup.Stop()
		s.pin.release()
	}
	return nil
}

// view returns what a read sees: the state now, cut at the snapshot's number.
func (s *Snapshot) view(d Durability) (view, error) {
	if s.closed.Load() {
		if err := s.db.latched(); err != nil {
			return view{}, err
		}
		return view{}, errSnapshotClosed
	}
	return s.db.viewAt(s.pin.reg.seq, d)
}

func (s *Snapshot) point(ctx context.Context, key []byte, o *ReadOptions) (view, error) {
	if err := s.db.startPoint(ctx, key); err != nil {
		return view{}, err
	}
	return s.view(o.durability())
}

// Get returns the value of key, as DB.Get does.
func (s *Snapshot) Get(ctx context.Context, key []byte) ([]byte, error) {
	return s.AppendGet(ctx, nil, key, nil)
}

// GetWithOptions is Get with options.
func (s *Snapshot) GetWithOptions(ctx context.Context, key []byte, o *ReadOptions) ([]byte, error) {
	return s.AppendGet(ctx, nil, key, o)
}

// AppendGet appends the value of key to dst, as DB.AppendGet does.
func (s *Snapshot) AppendGet(ctx context.Context, dst, key []byte, o *ReadOptions) ([]byte, error) {
	v, err := s.point(ctx, key, o)
	if err != nil {
		return nil, err
	}
	return v.appendGet(ctx, dst, key, o)
}

// GetEntry returns the value of key with its metadata.
func (s *Snapshot) GetEntry(ctx context.Context, key []byte, o *ReadOptions) (Entry, error) {
	v, err := s.point(ctx, key, o)
	if err != nil {
		return Entry{}, err
	}
	return v.getEntry(ctx, key, o)
}

// Has reports whether key has a value.
func (s *Snapshot) Has(ctx context.Context, key []byte) (bool, error) {
	v, err := s.point(ctx, key, nil)
	if err != nil {
		return false, err
	}
	return v.has(ctx, key)
}

// MultiGet returns the values of keys, as DB.MultiGet does.
func (s *Snapshot) MultiGet(ctx context.Context, keys [][]byte, o *ReadOptions) ([][]byte, error) {
	if err := s.db.startMulti(ctx, len(keys)); err != nil {
		return nil, err
	}
	v, err := s.view(o.durability())
	if err != nil {
		return nil, err
	}
	return v.multiGet(ctx, keys, o)
}

// Scan walks [start, end); nil end = to the last key.
func (s *Snapshot) Scan(ctx context.Context, start, end []byte) (*Iterator, error) {
	return s.ScanWithOptions(ctx, Range{Start: start, End: end}, nil)
}

// ScanPrefix walks the keys that begin with prefix.
func (s *Snapshot) ScanPrefix(ctx context.Context, prefix []byte) (*Iterator, error) {
	return s.ScanWithOptions(ctx, Prefix(prefix), nil)
}

// ScanWithOptions walks a range.
func (s *Snapshot) ScanWithOptions(ctx context.Context, r Range, o *ScanOptions) (*Iterator, error) {
	rng, o, err := s.db.startScan(ctx, r, o)
	if err != nil {
		return nil, err
	}
	v, err := s.view(o.Durability)
	if err != nil {
		return nil, err
	}
	return v.scan(ctx, rng, o, nil)
}

// Entries walks a range in one loop, as DB.Entries does.
func (s *Snapshot) Entries(ctx context.Context, r Range, o *ScanOptions) iter.Seq2[Entry, error] {
	return entriesOf(func() (*Iterator, error) { return s.ScanWithOptions(ctx, r, o) })
}

// seqReg is one number that somebody still needs, in a seqList.
type seqReg struct {
	seq        kv.Seq
	prev, next *seqReg
	on         bool
}

// seqList holds numbers in the order in which they were added, which is ascending: each is
// read from a watermark under the lock that guards the list. So its front is the minimum.
type seqList struct {
	front, back *seqReg
	n           int
}

func (l *seqList) add(r *seqReg, seq kv.Seq) {
	r.seq, r.prev, r.next, r.on = seq, l.back, nil, true
	if l.back != nil {
		l.back.next = r
	} else {
		l.front = r
	}
	l.back = r
	l.n++
}

// remove may be called again.
func (l *seqList) remove(r *seqReg) {
	if !r.on {
		return
	}
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		l.front = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		l.back = r.prev
	}
	r.prev, r.next, r.on = nil, nil, false
	l.n--
}

// pins are the numbers that live snapshots and transactions read at. A number is taken from
// the watermark and entered in one step under the lock that computes the minimum: otherwise
// a flush could look between the two and drop the versions that the number needs. One entered
// after such a look is at or above the last number of every frozen memtable, and a flush
// never drops versions that such a number needs.
type pins struct {
	mu struct {
		sync.Mutex
		live seqList
	}
}

func (p *pins) add(r *seqReg, committed *atomic.Uint64) {
	p.mu.Lock()
	p.mu.live.add(r, kv.Seq(committed.Load()))
	p.mu.Unlock()
}

func (p *pins) remove(r *seqReg) {
	p.mu.Lock()
	p.mu.live.remove(r)
	p.mu.Unlock()
}

// oldest returns the smallest number that is needed, MaxSeq when there is none.
func (p *pins) oldest() kv.Seq {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.live.front == nil {
		return kv.MaxSeq
	}
	return p.mu.live.front.seq
}

// pin is what a snapshot or a transaction holds in the engine. It does not point to its
// owner, so that an owner that was forgotten is found by the garbage collector.
type pin struct {
	db     *DB
	kind   string
	reg    seqReg  // in db.pins
	window *window // in db.conflicts; nil of a snapshot
}

// release gives everything back. It is called once.
func (p *pin) release() {
	p.db.pins.remove(&p.reg)
	if p.window != nil {
		// A commit has ended the window already, in this goroutine.
		if p.window.on || p.db.conflicts.backlog.Load() {
			p.db.endWindow(p.window)
		}
		p.db.liveTxns.Add(-1)
	} else {
		p.db.liveSnapshots.Add(-1)
	}
}

// lost releases what its owner never did.
func (p *pin) lost() {
	p.release()
	p.db.conf.Logger.Warn("slatedb: a "+p.kind+" was never closed", "path", p.db.path, "seq", uint64(p.reg.seq))
}
