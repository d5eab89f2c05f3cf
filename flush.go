package slatedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/merging"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/internal/watermark"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// flusher turns frozen memtables into L0 tables and a manifest version:
//
//	freeze ─▶ dispatch (oldest first, back-pressure of L0) ─▶ upload (parallel) ─▶ install (in order)
//
// Dispatch and install are one goroutine each; uploads have their own. A crash before the
// manifest PUT of an install leaves an orphan table and the rows in the WAL.
type flusher struct {
	db    *DB
	store objstore.Store // compacted tables

	mail     chan struct{} // wakes dispatch; one pending wake-up is enough
	mailInst chan struct{} // wakes install
	l0Seq    watermark.Mark

	mu struct {
		sync.Mutex
		jobs   []*flushJob // oldest first: dispatched, not yet installed
		wanted kv.Seq      // a freeze up to this number was asked for (WAL off, Flush)
		urgent bool        // an explicit flush: do not wait for the gap between freezes
		full   []*func()   // told when dispatch finds L0 full
	}
	lastFreeze time.Time // of dispatch only
	lastULID   uint64    // ms of the last id given; of dispatch only
}

// flushJob is one memtable on its way to L0.
type flushJob struct {
	mem    *memTable
	ids    map[string]ulid.ULID // by segment prefix
	tables []flushed
	rows   int
	bytes  int64
	start  time.Time
	done   bool
	err    error
}

type flushed struct {
	prefix []byte
	handle *sst.Handle
}

func newFlusher(db *DB) *flusher {
	return &flusher{
		db: db, store: db.tableWrites("flush", 0),
		mail: make(chan struct{}, 1), mailInst: make(chan struct{}, 1),
	}
}

func post(mail chan struct{}) {
	select {
	case mail <- struct{}{}:
	default:
	}
}

func (f *flusher) wake() { post(f.mail) }

// want asks for rows up to seq to be flushed, as a waiting writer does with the WAL off: at
// most once per max(FlushInterval, MinFlushGap).
func (f *flusher) want(seq kv.Seq) {
	f.mu.Lock()
	f.mu.wanted = max(f.mu.wanted, seq)
	f.mu.Unlock()
	f.wake()
}

// relieve has the active memtable flushed for a writer that waits for memory, unless a frozen
// one is on its way: its end wakes the writer, who asks again.
func (f *flusher) relieve() {
	if len(f.db.state.Load().imm) > 0 {
		return
	}
	f.mu.Lock()
	f.mu.wanted, f.mu.urgent = max(f.mu.wanted, kv.Seq(f.db.committed.Load())), true
	f.mu.Unlock()
	f.wake()
}

// flush freezes the active memtable and waits until everything up to seq is in the manifest.
func (f *flusher) flush(ctx context.Context, seq kv.Seq) error {
	f.db.stats.flushRequests.add(1)
	f.mu.Lock()
	f.mu.wanted, f.mu.urgent = max(f.mu.wanted, seq), true
	f.mu.Unlock()
	f.wake()
	return f.l0Seq.Wait(ctx, seq)
}

// dispatch freezes on request and starts uploads, oldest first, until ctx ends.
func (f *flusher) dispatch(ctx context.Context) error {
	g, gctx := f.db.conf.env.Group(ctx)
	stalled := stallPolls{}
	for {
		wait := f.freezeWanted()
		st := f.db.state.Load()
		for {
			mem := f.next(st)
			if mem == nil {
				stalled = stallPolls{}
				break
			}
			if f.inFlight() >= f.db.conf.L0FlushParallelism {
				break // an upload that ends wakes us
			}
			if info, full := f.l0Full(st, mem); full {
				wait = sooner(wait, f.stall(&stalled, info))
				break
			}
			stalled = stallPolls{}
			job := f.newJob(st, mem)
			g.Go("l0-upload", func() error {
				err := f.upload(gctx, job)
				f.mu.Lock()
				job.done, job.err = true, err
				f.mu.Unlock()
				post(f.mailInst)
				f.wake()
				return err
			})
		}
		err := f.sleep(gctx, wait)
		if stalled.polls > 0 && err == nil {
			// Another process may have drained L0.
			if rerr := f.db.refresh(gctx); errors.Is(rerr, ErrClosed) {
				err = rerr
			}
		}
		if err != nil {
			if werr := g.Wait(); werr != nil && ctx.Err() == nil {
				return werr
			}
			return cleanStop(ctx, err)
		}
	}
}

// sleep waits for mail, for d (0 = no timer) or for ctx.
func (f *flusher) sleep(ctx context.Context, d time.Duration) error {
	return waitMail(ctx, f.db.conf.env, f.mail, d)
}

func waitMail(ctx context.Context, env *seam.Env, mail <-chan struct{}, d time.Duration) error {
	var timer <-chan time.Time
	if d > 0 {
		t := env.Clock.NewTimer(d)
		defer t.Stop()
		timer = t.C()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-mail:
	case <-timer:
	}
	return ctx.Err()
}

func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// freezeWanted freezes the active memtable when somebody waits for it and it is due; it
// returns how long until it will be.
func (f *flusher) freezeWanted() time.Duration {
	f.mu.Lock()
	wanted, urgent := f.mu.wanted, f.mu.urgent
	f.mu.Unlock()
	if wanted == 0 {
		return 0
	}
	now := f.db.conf.env.Clock.Now()
	if !urgent {
		gap := max(f.db.conf.FlushInterval, f.db.conf.MinFlushGap)
		// A clock that went back behind the last freeze must not hold up the next one.
		if due := f.lastFreeze.Add(gap); now.Before(due) && !now.Before(f.lastFreeze) {
			return due.Sub(now)
		}
	}
	f.mu.Lock()
	wanted = f.mu.wanted // what was asked for since the look counts too: it is cleared here
	f.mu.wanted, f.mu.urgent = 0, false
	f.mu.Unlock()
	f.db.commitMu.Lock()
	mem := f.db.state.Load().mem
	froze := mem.Len() > 0 && mem.firstSeq <= wanted
	if froze {
		f.db.freezeLocked()
		f.lastFreeze = now
	}
	f.db.commitMu.Unlock()
	if froze {
		f.db.stats.freezes.add(1)
	}
	return 0
}

// next returns the oldest frozen memtable that no job has.
func (f *flusher) next(st *state) *memTable {
	f.mu.Lock()
	defer f.mu.Unlock()
	have := len(f.mu.jobs)
	if have >= len(st.imm) {
		return nil
	}
	// st may be stale and show memtables that are published by now; see publish.
	for i := len(st.imm) - 1; i >= 0; i-- {
		m := st.imm[i]
		if m.lastSeq <= f.l0Seq.Load() {
			continue
		}
		known := false
		for _, j := range f.mu.jobs {
			known = known || j.mem == m
		}
		if !known {
			return m
		}
	}
	return nil
}

func (f *flusher) inFlight() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, j := range f.mu.jobs {
		if !j.done {
			n++
		}
	}
	return n
}

// l0Full applies the caps of L0, counting what is on its way, to every tree the memtable
// touches.
func (f *flusher) l0Full(st *state, mem *memTable) (StallInfo, bool) {
	f.mu.Lock()
	pending := append([]*flushJob(nil), f.mu.jobs...)
	f.mu.Unlock()
	for _, t := range st.touched(mem) {
		inflight := 0
		for _, j := range pending {
			if _, ok := j.mem.prefixes[string(t.prefix)]; ok || len(t.prefix) == 0 {
				inflight++
			}
		}
		if n := len(t.l0) + inflight; n >= f.db.conf.L0MaxSSTs {
			return StallInfo{Reason: stallL0, Have: int64(n), Limit: int64(f.db.conf.L0MaxSSTs)}, true
		}
		if f.db.conf.L0MaxSSTsPerKey > len(t.l0)+inflight {
			continue // cannot be reached
		}
		if n := t.maxOverlap() + inflight; n >= f.db.conf.L0MaxSSTsPerKey {
			return StallInfo{Reason: stallL0PerKey, Have: int64(n), Limit: int64(f.db.conf.L0MaxSSTsPerKey)}, true
		}
	}
	return StallInfo{}, false
}

const (
	stallL0       = "l0 tables"
	stallL0PerKey = "l0 tables per key"
)

// touched returns the trees the memtable's rows go to.
func (st *state) touched(mem *memTable) []*tree {
	if len(mem.prefixes) == 0 {
		return []*tree{&st.root}
	}
	var out []*tree
	for p := range mem.prefixes {
		if t := st.segment([]byte(p)); t != nil {
			out = append(out, t)
		}
	}
	return out
}

// onStall has fn called when a flush finds L0 full, also if it has already; stop ends that.
func (f *flusher) onStall(fn func()) (stop func()) {
	f.mu.Lock()
	f.mu.full = append(f.mu.full, &fn)
	f.mu.Unlock()
	f.wake()
	return func() {
		f.mu.Lock()
		f.mu.full = slices.DeleteFunc(f.mu.full, func(o *func()) bool { return o == &fn })
		f.mu.Unlock()
	}
}

// stallPolls counts how often in a row the dispatcher found L0 full.
type stallPolls struct{ polls int }

// stall books the stall and returns when to look again: at once, then 50, 100, 200 ms, ...
// up to a second or the poll interval.
func (f *flusher) stall(s *stallPolls, info StallInfo) time.Duration {
	if s.polls == 0 {
		if info.Reason == stallL0 {
			f.db.stats.stallSSTs.add(1)
		} else {
			f.db.stats.stallPerKey.add(1)
		}
		f.db.conf.Logger.Warn("slatedb: flush waits for the compactor", "path", f.db.path, "reason", info.Reason, "have", info.Have, "limit", info.Limit)
		emit(f.db, f.db.conf.EventListener.L0Stall, info)
	}
	f.mu.Lock()
	full := slices.Clone(f.mu.full)
	f.mu.Unlock()
	for _, fn := range full {
		(*fn)()
	}
	most := time.Second
	if p := f.db.conf.ManifestPollInterval; p > 0 {
		most = min(most, p)
	}
	d := min(most, 50*time.Millisecond<<min(s.polls, 10))
	s.polls++
	return d
}

// newJob takes a memtable into work and mints its table ids. Times of ids never decrease:
// the collector of any engine relies on it.
func (f *flusher) newJob(st *state, mem *memTable) *flushJob {
	now := f.db.conf.env.Clock.Now()
	f.lastULID = max(f.lastULID, uint64(max(now.UnixMilli(), 0)), st.man.NewestL0Time())
	j := &flushJob{mem: mem, ids: map[string]ulid.ULID{}, start: now}
	if len(mem.prefixes) == 0 {
		j.ids[""] = f.db.conf.env.ULID(f.lastULID)
	}
	for p := range mem.prefixes {
		j.ids[p] = f.db.conf.env.ULID(f.lastULID)
	}
	f.mu.Lock()
	f.mu.jobs = append(f.mu.jobs, j)
	f.mu.Unlock()
	return j
}

// upload writes the memtable's tables, one per segment.
func (f *flusher) upload(ctx context.Context, j *flushJob) error {
	db := f.db
	minSeq := j.mem.lastSeq
	if db.wal == nil {
		minSeq = min(minSeq, db.durable.Load())
	}
	src := merging.Retain(j.mem.Iter(kv.Range{}, kv.MaxSeq, false), merging.RetainOptions{
		MinSeq: min(minSeq, db.oldestSnapshot()), Now: j.mem.maxCreate, Operator: db.conf.MergeOperator,
		OnFold: func(n int) { db.stats.foldFlush.add(uint64(n)) },
	})
	defer src.Close()
	var w *sst.Writer
	var prefix []byte
	finish := func() error {
		if w == nil || w.Rows() == 0 {
			return nil
		}
		rows := w.Rows()
		body, info, err := w.Finish()
		if err != nil {
			return err
		}
		id := sst.TableID(j.ids[string(prefix)])
		db.conf.env.Point("flush.before-put")
		if _, err := f.store.Put(ctx, id.Object(db.path), body, objstore.Always); err != nil {
			return fmt.Errorf("store table %s: %w", id, unavailable(err))
		}
		db.conf.env.Point("flush.after-put")
		h := &sst.Handle{ID: id, Format: sst.FormatV2, Info: info}
		db.ssts.AdmitTable(h, body)
		j.tables = append(j.tables, flushed{prefix: prefix, handle: h})
		j.rows += rows
		j.bytes += int64(len(body))
		w = nil
		return nil
	}
	for src.Next() {
		e := src.Entry()
		if x := db.conf.SegmentExtractor; x != nil && (w == nil || !bytes.HasPrefix(e.Key, prefix)) {
			if err := finish(); err != nil {
				return err
			}
			p, err := prefixOf(x, e.Key)
			if err != nil {
				return err
			}
			prefix = bytes.Clone(p)
		}
		if w == nil {
			w = sst.NewWriter(sst.WriterOptions{
				BlockSize: db.conf.BlockSize, Codec: db.conf.Compression, Transformer: db.conf.BlockTransformer,
				Policies: db.conf.FilterPolicies, MinFilterKeys: db.conf.MinFilterKeys,
				SizeHint: int(j.mem.EncodedBytes()) / max(1, len(j.mem.prefixes)),
			})
		}
		if err := w.Add(e); err != nil {
			return err
		}
	}
	if err := src.Err(); err != nil {
		return fmt.Errorf("flush memtable: %w", err)
	}
	if err := finish(); err != nil {
		return err
	}
	db.stats.l0Uploads.add(uint64(len(j.tables)))
	db.stats.l0FlushBytes.add(uint64(j.bytes))
	return nil
}

// install publishes uploaded memtables in order until ctx ends.
func (f *flusher) install(ctx context.Context) error {
	for {
		ready := f.ready()
		if len(ready) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-f.mailInst:
			}
			continue
		}
		for _, j := range ready {
			if errors.Is(j.err, context.Canceled) && ctx.Err() == nil {
				// Another upload failed and took this one along; dispatch reports that one.
				<-ctx.Done()
				return nil
			}
			if j.err != nil {
				return cleanStop(ctx, j.err)
			}
		}
		last := ready[len(ready)-1].mem.lastSeq
		if f.db.wal != nil {
			// A manifest never says that rows are in L0 which the WAL could still lose.
			if err := f.db.wal.Wait(ctx, last); err != nil {
				return cleanStop(ctx, err)
			}
		}
		if err := f.publish(ctx, ready); err != nil {
			return cleanStop(ctx, err)
		}
	}
}

// ready returns the longest run of uploaded jobs from the oldest, up to the bound of a
// checkpoint that is being made.
func (f *flusher) ready() []*flushJob {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	limit := f.db.bounds.least()
	for n < len(f.mu.jobs) && f.mu.jobs[n].done && f.mu.jobs[n].mem.lastSeq <= limit {
		n++
		if f.mu.jobs[n-1].err != nil {
			break
		}
	}
	return append([]*flushJob(nil), f.mu.jobs[:n]...)
}

// publish adds the jobs' tables in one manifest version and then drops their memtables.
func (f *flusher) publish(ctx context.Context, jobs []*flushJob) error {
	db := f.db
	db.conf.env.Point("install.before-manifest")
	m, err := db.updateManifest(ctx, func(m *manifest.Manifest) error {
		if m.LastL0Seq >= jobs[len(jobs)-1].mem.lastSeq {
			return manifest.ErrUnchanged // an earlier try has succeeded, its answer was lost
		}
		for _, j := range jobs {
			for _, t := range j.tables {
				m.AddL0(t.prefix, sst.View{ID: t.handle.ID.ULID(), Table: t.handle})
			}
			m.ReplayAfterWAL = max(m.ReplayAfterWAL, j.mem.replayAfter)
			m.LastL0Seq = j.mem.lastSeq
			m.LastL0Tick = max(m.LastL0Tick, j.mem.maxCreate)
			m.Tracker.Merge(&j.mem.times)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("publish memtable: %w", unavailable(err))
	}
	db.conf.env.Point("install.after-manifest")
	var released int64
	for _, j := range jobs {
		released += j.mem.charged
	}
	last := jobs[len(jobs)-1].mem.lastSeq
	// In this order, so that dispatch never takes a published memtable for a new one: it
	// skips those at or below l0Seq and those that a job has.
	db.transition(m, func(st *state) *state { return st.dropImm(len(jobs)) })
	db.pressure.release(released) // before who waits for the flush looks at what is held
	if db.wal == nil {
		db.durable.Advance(last) // before who waits for the flush goes on to read
	}
	for _, j := range jobs { // likewise
		db.stats.memtableFlushes.add(1)
		db.stats.l0Installs.add(uint64(len(j.tables)))
	}
	f.l0Seq.Advance(last)
	f.mu.Lock()
	f.mu.jobs = f.mu.jobs[len(jobs):]
	f.mu.Unlock()
	db.changed.signal()
	f.wake()
	post(db.grown)
	now := db.conf.env.Clock.Now()
	for _, j := range jobs {
		emit(db, db.conf.EventListener.MemtableFlushed, FlushInfo{
			Tables: len(j.tables), Bytes: j.bytes, Rows: j.rows, LastSeq: uint64(j.mem.lastSeq), Duration: now.Sub(j.start),
		})
	}
	db.report()
	return nil
}

// cleanStop is nil when err is only the end of the owner's ctx.
func cleanStop(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return nil
	}
	return err
}

// unavailable marks a store error as one that may pass.
func unavailable(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, ErrUnavailable), errors.Is(err, ErrClosed), errors.Is(err, ErrCorrupt), errors.Is(err, ErrInvalid), errors.Is(err, ErrInternal),
		errors.Is(err, ErrNotFound):
		return err
	case errors.Is(err, objstore.ErrOutcomeUnknown):
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
