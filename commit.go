package slatedb

import (
	"context"
	"errors"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A WriteHandle is the receipt of a write. It is a small value, usable from any goroutine
// and as often as wanted. The zero handle (of an empty batch) is durable at once.
type WriteHandle struct {
	db     *DB
	seq    kv.Seq
	create int64
}

// Seq returns the write's sequence number, 0 for the zero handle.
func (h WriteHandle) Seq() uint64 { return uint64(h.seq) }

// CreateTime returns the create time that the write's rows carry, with a resolution of one
// millisecond.
func (h WriteHandle) CreateTime() time.Time {
	if h.db == nil {
		return time.Time{}
	}
	return time.UnixMilli(h.create)
}

// Await returns nil when the write is durable. After the handle closed it reports the true
// outcome: nil when the write had become durable, else what closed it. A ctx that ends first
// returns its error and leaves the outcome open.
func (h WriteHandle) Await(ctx context.Context) error {
	if h.db == nil {
		return nil
	}
	return h.db.awaitDurable(ctx, h.seq)
}

// commitRow is the path of Put and Delete: one row, no batch.
func (db *DB) commitRow(ctx context.Context, kind kv.Kind, key, value []byte, ttl int64, abs bool, o WriteOptions) (WriteHandle, error) {
	if err := checkRow(key, value); err != nil {
		return WriteHandle{}, err
	}
	s := rowSets.Get().(*rowSet)
	s.rows = append(s.rows, kv.Entry{Key: key, Value: value, Kind: kind, ExpireTS: kv.NoTS})
	s.ttl = append(s.ttl, rowTTL{ttl, abs})
	s.bytes = len(key) + len(value)
	h, err := db.commit(ctx, s, 1, o)
	s.release()
	if err != nil || o.NoWait {
		return h, err
	}
	return h, db.awaitDurable(ctx, h.seq)
}

// rowOverhead is what a row costs beside its key and value in a table: lengths, seq, flags
// and times.
const rowOverhead = 24

// commit numbers the rows, appends them to the WAL and the memtable, and makes them visible.
// Everything that can fail, wait or call a user's code happens before the section; inside it
// there is no I/O, no seam and no callback, and ctx is not looked at: a batch that has its
// number is committed.
func (db *DB) commit(ctx context.Context, s *rowSet, ops int, o WriteOptions) (WriteHandle, error) {
	if err := ctx.Err(); err != nil {
		return WriteHandle{}, err
	}
	if o.Seq == uint64(kv.MaxSeq) {
		return WriteHandle{}, invalidf("sequence number %d is the end of the number space", o.Seq)
	}
	db.stats.writeBatches.add(1)
	db.stats.writeOps.add(uint64(ops))
	prefixes, err := db.segmentPrefixes(s)
	if err != nil {
		return WriteHandle{}, err
	}
	size := int64(s.bytes + rowOverhead*len(s.rows))
	if err := db.pressure.admit(ctx, size); err != nil {
		return WriteHandle{}, err
	}
	now := db.conf.env.Clock.Now().UnixMilli()

	db.commitMu.Lock()
	if err := db.latched(); err != nil {
		db.commitMu.Unlock()
		db.pressure.release(size)
		return WriteHandle{}, err
	}
	seq := db.lastSeq + 1
	if o.Seq != 0 {
		seq = kv.Seq(o.Seq)
	}
	if seq <= db.lastSeq || seq == kv.MaxSeq {
		last := db.lastSeq
		db.commitMu.Unlock()
		db.pressure.release(size)
		return WriteHandle{}, invalidf("invalid sequence number %d, want more than %d and less than the largest", seq, last)
	}
	if s.check != nil {
		if e := db.conflicts.check(s); e != nil {
			db.commitMu.Unlock()
			db.pressure.release(size)
			return WriteHandle{}, e
		}
	}
	if prefixes != nil {
		if err := db.antichainLocked(prefixes); err != nil {
			db.commitMu.Unlock()
			db.pressure.release(size)
			return WriteHandle{}, err
		}
	}
	create := max(now, db.lastCreate)
	st := db.state.Load()
	mem := st.mem
	froze := false
	if have := mem.EncodedBytes(); have > 0 && have+size > int64(db.conf.L0SSTSizeBytes) {
		mem = db.freezeLocked()
		froze = true
	}
	db.lastSeq, db.lastCreate = seq, create
	if mem.firstSeq == 0 {
		mem.firstSeq = seq
	}
	mem.lastSeq, mem.maxCreate = seq, max(mem.maxCreate, create)
	mem.charged += size
	mem.times.Insert(seq, create/1000)
	if prefixes != nil {
		mem.notePrefixes(prefixes)
	}
	for i := range s.rows {
		r := &s.rows[i]
		r.Seq, r.CreateTS = seq, create
		if r.Kind != kv.Tombstone {
			r.ExpireTS = expiry(create, s.ttl[i].ms, s.ttl[i].abs, db.conf.defaultTTL)
		}
	}
	if db.wal != nil {
		db.wal.Append(s.rows)
	}
	for i := range s.rows {
		mem.Add(&s.rows[i])
	}
	if db.conflicts.windows.n > 0 {
		db.conflicts.record(s, seq)
	}
	db.newestCreate.Store(create)
	db.committed.Store(uint64(seq))
	db.commitMu.Unlock()

	if froze {
		db.stats.freezes.add(1)
		db.flusher.wake()
	}
	if db.pressure.waiting.Load() > 0 {
		db.flusher.relieve() // a writer that stalled before this commit saw an emptier memtable
	}
	db.stats.memtableIn.add(uint64(s.bytes))
	if lag := create - now; lag > clockLagEvent.Milliseconds() {
		emit(db, db.conf.EventListener.ClockWentBack, time.Duration(lag)*time.Millisecond)
	}
	return WriteHandle{db: db, seq: seq, create: create}, nil
}

// clockLagEvent: a clock that stands further behind than this is reported. The reference
// waits up to so long and then fails; here create times are held instead.
const clockLagEvent = 10 * time.Second

// freezeLocked freezes the active memtable and returns the new one. commitMu is held; the
// caller counts it in stats.freezes when it is not.
func (db *DB) freezeLocked() *memTable {
	next := newMemTable()
	db.stateMu.Lock()
	st := db.state.Load()
	old := st.mem
	old.replayAfter = db.walPosition()
	old.frozen.Store(true)
	db.state.Store(st.freeze(next))
	db.stateMu.Unlock()
	return next
}

// awaitDurable waits until the object store has everything up to seq.
func (db *DB) awaitDurable(ctx context.Context, seq kv.Seq) error {
	if db.durable.Load() >= seq {
		return nil
	}
	if db.wal != nil {
		return db.waited(ctx, db.wal.Wait(ctx, seq))
	}
	db.flusher.want(seq)
	return db.waited(ctx, db.durable.Wait(ctx, seq))
}

// waited is the function below. Waiters learn of a failure before its task has ended the
// handle, so it is ended here too: after a call that said so, no other finds it working.
func (db *DB) waited(ctx context.Context, err error) error {
	if err = waited(ctx, err); errors.Is(err, ErrClosed) && err != ErrClosed {
		db.fail(err)
	}
	return err
}

// waited turns what a wait ended with into what a caller sees: ctx's error as itself, and
// anything else as the end of the handle, which it is.
func waited(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, ErrClosed) || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	return &failure{err}
}
