package slatedb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/prices"
	"github.com/slatedb/slatedb-go/wal"
)

// ReaderMode tells how a Reader follows the database.
type ReaderMode uint8

// The modes of a Reader.
const (
	// ManagedCheckpoint (the default) holds a checkpoint of its own, so that nothing it reads
	// is collected, and moves it along as the database progresses. It writes to the manifest.
	ManagedCheckpoint ReaderMode = iota
	// PinnedCheckpoint shows what an existing checkpoint pins and never changes. The caller
	// keeps the checkpoint alive.
	PinnedCheckpoint
	// FollowLatest writes nothing at all and nothing protects what it reads: a read may meet
	// an object that was collected.
	FollowLatest
)

// ReaderOptions configure OpenReader. The zero value of every field is its default.
type ReaderOptions struct {
	Mode ReaderMode
	// CheckpointID is the checkpoint to read; set, it makes the mode PinnedCheckpoint.
	CheckpointID uuid.UUID
	// PollInterval is how often the reader looks for news. The default is 10s, backing off
	// after a minute without any up to 60s; for a managed reader up to a sixth of
	// CheckpointLifetime, if that is between the two. A value that is set is kept. Negative:
	// only Refresh looks.
	PollInterval time.Duration
	// CheckpointLifetime is how long a managed reader's checkpoint outlives a reader that has
	// died; a live one renews it at half of that. At least 1s and at least twice
	// PollInterval. The default is 600s.
	CheckpointLifetime time.Duration
	// SkipWALReplay reads only what has reached tables.
	SkipWALReplay bool

	Store, WALStore                 objstore.Store    // as in Options
	MergeOperator                   MergeOperator     // as in Options
	SegmentExtractor                PrefixExtractor   // as in Options; reads work without
	FilterPolicies                  []FilterPolicy    // as in Options
	BlockTransformer                BlockTransformer  // as in Options
	BlockCache                      *cache.Cache      // as in Options
	BlockCacheBytes, MetaCacheBytes int64             // as in Options
	DiskCache                       *DiskCacheOptions // as in Options
	MaxRetries                      int               // as in Options
	// SkipProbe vouches for the store, as in Options. Only a ManagedCheckpoint reader tries it,
	// and not the WALStore, which it only reads.
	SkipProbe       bool
	HedgedReads     *HedgeOptions   // as in Options
	Prices          *prices.Table   // as in Options
	Clock           Clock           // as in Options
	Rand            io.Reader       // as in Options
	Logger          *slog.Logger    // as in Options
	MetricsRecorder MetricsRecorder // as in Options

	diskFS seam.FS // for tests of this package
}

// A Reader reads a database that another process may be writing. It sees only durable rows
// and never goes back in time. All methods are safe for concurrent use.
type Reader struct {
	*handle
	walStore objstore.Store
	mode     ReaderMode
	poll     time.Duration // as in ReaderOptions
	skipWAL  bool
	leases   leases // of ManagedCheckpoint
	consumed uint64 // WAL objects up to this one are in the state or below; under busy

	busy   chan struct{} // one refresh at a time
	calls  calls
	wg     sync.WaitGroup
	open   context.Context // ends when Close begins
	cancel context.CancelFunc
	once   sync.Once
	closed error // what Close returned
}

var _ ReadOps = (*Reader)(nil)

// OpenReader opens a database for reading. It never fences the writer. ErrNoDatabase when
// there is none, ErrNotFound when there is no such checkpoint.
func OpenReader(ctx context.Context, location string, o *ReaderOptions) (*Reader, error) {
	if o == nil {
		o = &ReaderOptions{}
	}
	mode, life, err := o.mode()
	if err != nil {
		return nil, err
	}
	conf, err := (&Options{
		Store: o.Store, WALStore: o.WALStore, MergeOperator: o.MergeOperator, SegmentExtractor: o.SegmentExtractor,
		FilterPolicies: o.FilterPolicies, BlockTransformer: o.BlockTransformer, BlockCache: o.BlockCache,
		BlockCacheBytes: o.BlockCacheBytes, MetaCacheBytes: o.MetaCacheBytes, DiskCache: o.DiskCache, MaxRetries: o.MaxRetries, SkipProbe: o.SkipProbe, HedgedReads: o.HedgedReads, Prices: o.Prices,
		Clock: o.Clock, Rand: o.Rand, Logger: o.Logger, MetricsRecorder: o.MetricsRecorder,
		diskFS: o.diskFS,
	}).resolve()
	if err != nil {
		return nil, err
	}
	h, err := newHandle(ctx, location, conf)
	if err != nil {
		return nil, err
	}
	h.role = "reader"
	r := &Reader{handle: h, mode: mode, poll: o.PollInterval, skipWAL: o.SkipWALReplay, busy: make(chan struct{}, 1)}
	r.leases.life = life
	r.walStore = h.component("wal", h.rawWAL)
	r.open, r.cancel = context.WithCancel(h.life)
	if err := r.openAt(ctx, o.CheckpointID); err != nil {
		h.release()
		return nil, fmt.Errorf("open reader of %s: %w", location, unavailable(err))
	}
	h.initGauges()
	if h.preloads() {
		r.wg.Add(1)
		conf.env.Spawn("disk-preload", func() { defer r.wg.Done(); _ = h.preload(r.open) })
	}
	if r.pollsFor(0) > 0 {
		r.wg.Add(1)
		conf.env.Spawn("reader-poll", func() { defer r.wg.Done(); r.follow() })
	}
	return r, nil
}

const defaultReaderLifetime = 600 * time.Second

// mode checks the options that make the mode.
func (o *ReaderOptions) mode() (ReaderMode, time.Duration, error) {
	mode, poll, life := o.Mode, orDefault(o.PollInterval, defaultReaderPoll), orDefault(o.CheckpointLifetime, defaultReaderLifetime)
	if o.CheckpointID != uuid.Nil {
		mode = PinnedCheckpoint
	}
	switch {
	case mode > FollowLatest:
		return 0, 0, invalidf("ReaderOptions.Mode is %d, which is no mode", o.Mode)
	case mode == PinnedCheckpoint && o.CheckpointID == uuid.Nil:
		return 0, 0, invalidf("ReaderOptions.CheckpointID is not set, which PinnedCheckpoint needs")
	case mode != ManagedCheckpoint:
	case life < time.Second:
		return 0, 0, invalidf("ReaderOptions.CheckpointLifetime is %v, want at least 1s", life)
	case life/2 < poll:
		return 0, 0, invalidf("ReaderOptions.CheckpointLifetime is %v, want at least twice PollInterval, which is %v", life, poll)
	}
	return mode, life, nil
}

func (r *Reader) openAt(ctx context.Context, checkpoint uuid.UUID) error {
	if r.mode == ManagedCheckpoint {
		if p := r.raw.Properties(); !p.IfAbsent {
			return invalidf("store %q has no create-if-absent put, which ManagedCheckpoint needs; use FollowLatest", p.Name)
		}
		if err := r.prove(ctx, false, r.path); err != nil {
			return err
		}
	}
	m, err := r.manifests.Latest(ctx)
	if err != nil {
		return err
	}
	if r.mode == PinnedCheckpoint {
		c := m.Checkpoint(checkpoint)
		if c == nil {
			return noCheckpoint(checkpoint)
		}
		if m, err = r.manifests.Read(ctx, c.ManifestID); err != nil {
			return err
		}
	}
	if !m.Initialized {
		return errHalfMade
	}
	if err := r.namesWALStore(m, "ReaderOptions"); err != nil {
		return err
	}
	if !r.skipWAL && r.conf.WALStore != nil {
		there, err := wal.Exists(ctx, r.walStore, r.path, m.ReplayAfterWAL+1)
		if err == nil && !there {
			err = r.logInMain(ctx, m, m.ReplayAfterWAL, "ReaderOptions")
		}
		if err != nil {
			return err
		}
	}
	if err := checkExtractor(r.conf.SegmentExtractor, m, false); err != nil {
		return err
	}
	switch r.mode {
	case ManagedCheckpoint:
		err := r.refreshManaged(ctx)
		if err != nil && ctx.Err() == nil {
			_ = r.dropLeases(ctx)
		}
		return err
	case PinnedCheckpoint:
		p, err := r.prepare(ctx, m, m.WALLastSeen)
		if err == nil {
			r.show(p)
		}
		return err
	}
	return r.refreshLatest(ctx)
}

// Refresh looks for news now: a newer manifest and newer WAL objects. A pinned reader has
// none. When it fails, reads go on with what was there.
func (r *Reader) Refresh(ctx context.Context) error {
	if r.mode == ManagedCheckpoint {
		return r.refreshWith(ctx, r.refreshManaged)
	}
	return r.refreshWith(ctx, r.refreshLatest)
}

// refreshWith runs one refresh at a time; Close cuts it off.
func (r *Reader) refreshWith(ctx context.Context, f func(context.Context) error) error {
	if err := r.latched(); err != nil || r.mode == PinnedCheckpoint {
		return err
	}
	select {
	case r.busy <- struct{}{}:
		defer func() { <-r.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := r.latched(); err != nil {
		return err
	}
	fctx, stop := r.calls.begin(ctx)
	defer stop()
	err := f(fctx)
	defer r.report()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case r.open.Err() != nil:
		return ErrClosed
	}
	return unavailable(err)
}

// WaitForSeq returns when reads here see the write with number seq, refreshing meanwhile. A
// pinned reader, which will never see more than it does, answers ErrInvalid instead.
func (r *Reader) WaitForSeq(ctx context.Context, seq uint64) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		if r.durable.Load() >= kv.Seq(seq) {
			return r.latched()
		}
		if r.mode == PinnedCheckpoint {
			return invalidf("a pinned reader stays at sequence number %d and never sees %d", r.durable.Load(), seq)
		}
		if err := r.Refresh(ctx); err != nil {
			return err
		}
		if r.durable.Load() >= kv.Seq(seq) {
			return nil
		}
		if err := r.conf.env.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// Close ends the reader; a managed one removes its checkpoint. With a ctx that has ended it
// leaves that to the checkpoint's lifetime and returns ctx's error. Iterators that are open
// may be read to their end, without protection. Close may be called again.
func (r *Reader) Close(ctx context.Context) error {
	r.once.Do(func() {
		r.fail(ErrClosed)
		r.cancel()
		r.calls.end()
		r.wg.Wait()
		r.busy <- struct{}{} // a refresh that was under way has been cut off
		r.closed = r.dropLeases(ctx)
		<-r.busy
		r.durable.Fail(ErrClosed)
		r.report()
		r.handle.release()
	})
	return r.closed
}

// Metrics returns a snapshot of the reader's figures.
func (r *Reader) Metrics() Metrics { return r.metrics() }

// Status returns what the reader is now.
func (r *Reader) Status() Status { return r.status() }

// Watch is DB.Watch.
func (r *Reader) Watch(ctx context.Context) iter.Seq[Status] {
	return watch(ctx, &r.changed, r.status)
}

// refreshRounds is how often a refresh begins again because the database moved on meanwhile.
const refreshRounds = 4

// refreshLatest moves to the latest manifest and the end of the log, without a lease.
func (r *Reader) refreshLatest(ctx context.Context) error {
	for range refreshRounds {
		m, err := r.manifests.Latest(ctx)
		if err != nil {
			return err
		}
		p, err := r.prepare(ctx, m, 0)
		if err != nil {
			return err
		}
		if r.show(p) {
			return nil
		}
		// The log was collected while we read it: a newer manifest has its rows.
	}
	return r.behind()
}

var errMoved = errors.New("slatedb: the database moved on")

func (r *Reader) behind() error {
	return fmt.Errorf("%w: the log was collected faster than it was read; still at sequence number %d", ErrUnavailable, r.durable.Load())
}
