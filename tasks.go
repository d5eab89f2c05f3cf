package slatedb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore/metered"
	"github.com/slatedb/slatedb-go/sst"
	"github.com/slatedb/slatedb-go/wal"
)

// tasks are the background jobs of a DB. All are started here; each is a Run(ctx) error that
// returns after everything it started has returned. An error of one ends the handle.
type tasks struct {
	wg     sync.WaitGroup
	ctx    context.Context
	cancel context.CancelFunc
}

func (db *DB) startTasks() {
	db.tasks.ctx, db.tasks.cancel = context.WithCancel(db.life)
	if db.wal != nil {
		db.run("wal-flusher", db.wal.Run)
	}
	db.run("l0-dispatch", db.flusher.dispatch)
	db.run("l0-install", db.flusher.install)
	db.run("keeper", db.keep)
	if db.conf.ManifestPollInterval >= 0 {
		db.run("manifest-poll", db.poll)
	}
	if !db.conf.DisableCompactor {
		db.run("compactor", db.runCompactor)
	}
	if !db.conf.DisableGC {
		db.run("gc", db.runGC)
	}
	if db.disk != nil && db.conf.EventListener.Disk != nil {
		db.run("disk-events", db.watchDisk)
	}
	if db.preloads() {
		db.run("disk-preload", db.preload)
	}
}

func (db *DB) run(name string, job func(context.Context) error) {
	db.tasks.wg.Add(1)
	db.conf.env.Spawn(name, func() {
		defer db.tasks.wg.Done()
		err := seam.Guard(name, func() error { return job(db.tasks.ctx) })
		if err == nil || db.tasks.ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return
		}
		var p *seam.PanicError
		if errors.As(err, &p) {
			db.conf.Logger.Error("slatedb: background task panicked", "task", name, "panic", p.Value, "stack", string(p.Stack))
			err = fmt.Errorf("%w: %w", ErrInternal, err)
		}
		db.failed(fmt.Errorf("%s: %w", name, err))
	})
}

// failed ends the handle with the failure of a background task. Every later call returns it.
func (db *DB) failed(err error) {
	if !errors.Is(err, ErrClosed) {
		err = &failure{err}
	}
	db.fail(err)
	if first := db.latched(); first != ErrClosed {
		err = first // the first reason wins, but a Close that still flushes is told why it failed
	}
	if db.wal != nil {
		db.wal.Fail(err)
	}
	db.durable.Fail(err)
	db.flusher.l0Seq.Fail(err)
	db.pressure.room.signal()
	db.tasks.cancel()
	db.conf.Logger.Error("slatedb: handle closed by a failure", "path", db.path, "err", err)
	// On a goroutine of its own: a listener that calls Close would wait for this task.
	db.conf.env.Spawn("closed-event", func() { db.tellClosed(err) })
}

// A failure is what a background task died of; the handle is closed by it.
type failure struct{ err error }

func (f *failure) Error() string        { return "slatedb: closed by a failure: " + f.err.Error() }
func (f *failure) Unwrap() error        { return f.err }
func (f *failure) Is(target error) bool { return target == ErrClosed }

// poll looks for manifests that other processes wrote.
func (db *DB) poll(ctx context.Context) error {
	idle := 0
	ctx = metered.Rebook(ctx, "manifest", "poll")
	for {
		d := db.conf.ManifestPollInterval
		if d == 0 { // adaptive
			d = min(pollWhenBusy<<min(idle, 5), pollWhenIdle)
		}
		if err := db.conf.env.Sleep(ctx, d); err != nil {
			return nil
		}
		before, seq := db.state.Load().man.ID, db.committed.Load()
		look := db.fenced.Look
		if idle%pollsPerRefresh == 0 {
			look = db.fenced.Refresh
		}
		if err := db.take(ctx, look); err != nil {
			if errors.Is(err, ErrClosed) {
				return err
			}
			if ctx.Err() == nil {
				db.conf.Logger.Warn("slatedb: manifest poll", "path", db.path, "err", err)
			}
			continue
		}
		if db.state.Load().man.ID == before && db.committed.Load() == seq {
			idle++
		} else {
			idle = 0
		}
	}
}

// pollsPerRefresh: of so many polls in a row that found nothing new, one is a whole refresh.
// It keeps an idle database below 300 requests an hour.
const pollsPerRefresh = 8

// refresh reads the latest manifest and takes over what others changed.
func (db *DB) refresh(ctx context.Context) error { return db.take(ctx, db.fenced.Refresh) }

func (db *DB) take(ctx context.Context, look func(context.Context) (*manifest.Manifest, error)) error {
	db.stats.manifestRefreshes.add(1)
	m, err := look(ctx)
	defer db.report()
	if err != nil {
		return err
	}
	if m.ID > db.state.Load().man.ID {
		if err := db.mirrorTables(ctx, m); err != nil {
			return err
		}
		db.transition(m, func(st *state) *state { return st })
		db.pressure.room.signal()
		db.flusher.wake()
		db.changed.signal()
	}
	return nil
}

// transition applies f to the state and moves it to manifest m, never backwards.
func (db *DB) transition(m *manifest.Manifest, f func(*state) *state) {
	now := db.conf.env.Clock.Now()
	var gone []*sst.Handle
	moved := false
	defer func() {
		for _, h := range gone { // what compaction replaced makes room in the cache at once
			db.ssts.Drop(h)
		}
		if moved {
			db.disk.replaced(db.path, gone, m)
		}
	}()
	db.stateMu.Lock()
	defer db.stateMu.Unlock()
	next := *f(db.state.Load())
	if old := next.man; m.ID > old.ID {
		next.man = m
		db.tables(&next)
		gone, moved = droppedTables(old, m), true
		use := next.use
		next.use = &tableUse{keeper: &db.keeper}
		defer db.keeper.replaced(use, old, m, now)
	}
	db.state.Store(&next)
}

// updateManifest changes the manifest and fills in what every write of the writer carries.
func (db *DB) updateManifest(ctx context.Context, mutate func(*manifest.Manifest) error) (*manifest.Manifest, error) {
	m, err := db.fenced.Update(ctx, func(m *manifest.Manifest) error {
		if err := mutate(m); err != nil {
			return err
		}
		m.WALLastSeen = max(m.WALLastSeen, db.walBound())
		m.SnapshotMinSeq = min(m.LastL0Seq, db.oldestSnapshot())
		db.bounds.stamp(m)
		return nil
	})
	if err == nil {
		db.bounds.settle(m)
	}
	return m, err
}

// oldestSnapshot is the smallest number that a live snapshot or transaction still needs.
func (db *DB) oldestSnapshot() kv.Seq { return db.pins.oldest() }

// walPosition is the newest WAL object known to be stored.
func (db *DB) walPosition() uint64 {
	if db.wal == nil {
		return db.fence
	}
	id, _ := db.wal.Position()
	return id
}

// walStored counts each stored WAL object before its writers go on.
func (db *DB) walStored(bytes int) {
	db.stats.walUploads.add(1)
	db.stats.walBytes.add(uint64(bytes))
}

// walUploaded is told about each stored WAL object, after its rows are acknowledged.
func (db *DB) walUploaded(u wal.Uploaded) {
	db.bounds.uploaded(u.ID, u.LastSeq)
	db.changed.signal()
	emit(db, db.conf.EventListener.WALUploaded, WALInfo{ID: u.ID, LastSeq: uint64(u.LastSeq), Bytes: int64(u.Bytes), Duration: u.Duration})
	// Replay stays bounded also when rows are few and objects many.
	st := db.state.Load()
	last := st.man.ReplayAfterWAL
	if len(st.imm) > 0 {
		last = st.imm[0].replayAfter
	}
	if u.ID-min(last, u.ID) >= uint64(db.conf.MaxWALFlushesBeforeL0Flush) {
		db.flusher.want(u.LastSeq)
	}
}

func (db *DB) writeStalled(have int64) {
	db.stats.backpressure.add(1)
	info := StallInfo{Reason: "unflushed bytes", Have: have, Limit: db.pressure.limit}
	db.conf.Logger.Warn("slatedb: writers wait for memory", "path", db.path, "bytes", have, "limit", info.Limit)
	emit(db, db.conf.EventListener.WriteStall, info)
}

// closeTimeout bounds the last manifest write of a Close whose ctx has no end.
const closeTimeout = time.Minute

// droppedTables returns the tables of old that next has no more.
func droppedTables(old, next *manifest.Manifest) (out []*sst.Handle) {
	have := make(map[sst.ID]struct{})
	for v := range next.Views() {
		have[v.Table.ID] = struct{}{}
	}
	for v := range old.Views() {
		if _, ok := have[v.Table.ID]; !ok {
			out = append(out, v.Table)
		}
	}
	return out
}
