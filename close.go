package slatedb

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
)

// closing makes Close idempotent: the first call does the work, the others wait for it and
// return what it returned.
type closing struct {
	begun atomic.Bool
	done  chan struct{}
	err   error
	told  atomic.Bool // the listener knows that the handle has ended
}

// Close flushes everything and ends the handle. In order: writes are refused; the WAL and
// then the memtables are flushed (with a WAL a full L0 is not waited for: the rows are safe
// in the log); the background tasks are stopped and joined; the manifest is written a last
// time; an own cache is closed. What was durable stays durable without any Close.
//
// ctx bounds the flushing only: when it ends, Close still stops and joins everything and
// returns ctx's error. A service closes with a fresh ctx (context.WithoutCancel). Calls after
// the first return what it returned. On a handle that has failed there is nothing to flush
// and Close returns nil.
func (db *DB) Close(ctx context.Context) error { return db.CloseWithOptions(ctx, nil) }

// CloseWithOptions is Close with a choice of what is flushed.
func (db *DB) CloseWithOptions(ctx context.Context, o *CloseOptions) error {
	if o == nil {
		o = &CloseOptions{}
	}
	if o.Flush > CloseNoFlush {
		return invalidf("CloseOptions.Flush is %d, which is no kind of close", o.Flush)
	}
	if db.closing.begun.CompareAndSwap(false, true) {
		db.closing.err = db.shutdown(ctx, o.Flush)
		close(db.closing.done)
		db.tellClosed(db.latched()) // last, since the listener may call Close again
	}
	<-db.closing.done
	return db.closing.err
}

// tellClosed tells the listener once that the handle has ended.
func (db *DB) tellClosed(err error) {
	if db.closing.told.CompareAndSwap(false, true) {
		emit(db, db.conf.EventListener.Closed, err)
	}
}

func (db *DB) shutdown(ctx context.Context, kind CloseFlush) error {
	failed := db.latched() != nil
	db.fail(ErrClosed)
	db.commitMu.Lock() // whoever was in the section has left it with a number
	seq := kv.Seq(db.committed.Load())
	db.commitMu.Unlock()
	db.pressure.room.signal() // stalled writers see the end

	var err error
	if !failed && kind != CloseNoFlush {
		err = db.finalFlush(ctx, kind, seq)
	}
	db.tasks.cancel()
	db.tasks.wg.Wait()
	if !failed && err == nil && kind != CloseNoFlush && !errors.Is(db.latched(), ErrFenced) {
		err = db.lastManifest(ctx)
	}
	end := db.latched()
	if db.wal != nil {
		db.wal.Fail(end)
	}
	db.durable.Fail(end)
	db.flusher.l0Seq.Fail(end)
	db.release()
	db.changed.signal()
	db.report()
	if failed {
		return nil
	}
	db.conf.Logger.Info("slatedb: closed", "path", db.path, "seq", uint64(seq), "durable", uint64(db.durable.Load()), "err", err)
	return err
}

// finalFlush makes everything up to seq durable.
func (db *DB) finalFlush(ctx context.Context, kind CloseFlush, seq kv.Seq) error {
	typ := FlushWAL
	if db.wal == nil || kind == CloseFlushMemtable {
		typ = FlushMemtable
	}
	if db.wal == nil {
		return db.flushTo(ctx, typ)
	}
	if err := db.flushTo(ctx, FlushWAL); err != nil || typ == FlushWAL {
		return err
	}
	// The rows are in the log: a full L0 ends the wait, not the close.
	fctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := db.flusher.onStall(cancel)
	defer stop()
	err := db.flushTo(fctx, typ)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// lastManifest records how far the WAL goes, unless the manifest says so already.
func (db *DB) lastManifest(ctx context.Context) error {
	tctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	// With nothing in memory every row of the log is in a table. Without this each idle
	// opening would leave one more fence for the next one to read.
	replayed := uint64(0)
	if st := db.state.Load(); st.mem.Len() == 0 && len(st.imm) == 0 {
		replayed = db.walPosition()
	}
	m := db.fenced.Current()
	if m.WALLastSeen >= db.walPosition() && m.SnapshotMinSeq == m.LastL0Seq && m.ReplayAfterWAL >= replayed {
		return nil
	}
	_, err := db.updateManifest(tctx, func(m *manifest.Manifest) error {
		m.ReplayAfterWAL = max(m.ReplayAfterWAL, replayed)
		return nil
	})
	return notWithin(ctx, closeTimeout, err)
}

// notWithin is the error of something that ran under ctx and a timeout of our own: the end of
// the latter is ErrUnavailable, since no deadline of the caller has passed.
func notWithin(ctx context.Context, d time.Duration, err error) error {
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: not within %s: %v", ErrUnavailable, d, err)
	}
	return unavailable(err)
}
