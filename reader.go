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
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/wal"
)

// ReaderMode tells how a Reader follows the database.
type ReaderMode uint8

// The modes of a Reader. This release opens FollowLatest and PinnedCheckpoint; the managed
// mode, which writes checkpoints, comes with compaction and garbage collection.
const (
	ManagedCheckpoint ReaderMode = iota
	PinnedCheckpoint
	FollowLatest
)

// ReaderOptions configure OpenReader. The zero value of every field is its default.
type ReaderOptions struct {
	Mode ReaderMode
	// CheckpointID is the checkpoint to read; set, it makes the mode PinnedCheckpoint.
	CheckpointID uuid.UUID
	// PollInterval is how often the reader looks for news. The default is 10s. Negative:
	// only Refresh does.
	PollInterval time.Duration
	// SkipWALReplay reads only what has reached tables.
	SkipWALReplay bool

	Store, WALStore                 objstore.Store   // as in Options
	MergeOperator                   MergeOperator    // as in Options
	SegmentExtractor                PrefixExtractor  // as in Options; reads work without
	FilterPolicies                  []FilterPolicy   // as in Options
	BlockTransformer                BlockTransformer // as in Options
	BlockCache                      *cache.Cache     // as in Options
	BlockCacheBytes, MetaCacheBytes int64            // as in Options
	MaxRetries                      int              // as in Options
	Clock                           Clock            // as in Options
	Rand                            io.Reader        // as in Options
	Logger                          *slog.Logger     // as in Options
	MetricsRecorder                 MetricsRecorder  // as in Options
}

// A Reader reads a database that another process may be writing. It sees only durable rows
// and never goes back in time. All methods are safe for concurrent use.
type Reader struct {
	*handle
	walStore objstore.Store
	poll     time.Duration
	skipWAL  bool
	pinned   bool
	consumed uint64 // WAL objects up to this one are in the state or below; under busy

	busy   chan struct{} // one refresh at a time
	wg     sync.WaitGroup
	cancel context.CancelFunc
	once   sync.Once
}

var _ ReadOps = (*Reader)(nil)

// OpenReader opens a database for reading. It never fences the writer. ErrNoDatabase when
// there is none.
func OpenReader(ctx context.Context, location string, o *ReaderOptions) (*Reader, error) {
	if o == nil {
		o = &ReaderOptions{}
	}
	mode := o.Mode
	if o.CheckpointID != uuid.Nil {
		mode = PinnedCheckpoint
	}
	switch {
	case mode == ManagedCheckpoint:
		return nil, invalidf("ReaderOptions.Mode: ManagedCheckpoint is not supported by this release, use FollowLatest or set CheckpointID")
	case mode > FollowLatest:
		return nil, invalidf("ReaderOptions.Mode is %d, which is no mode", o.Mode)
	case mode == PinnedCheckpoint && o.CheckpointID == uuid.Nil:
		return nil, invalidf("ReaderOptions.CheckpointID is not set, which PinnedCheckpoint needs")
	}
	conf, err := (&Options{
		Store: o.Store, WALStore: o.WALStore, MergeOperator: o.MergeOperator, SegmentExtractor: o.SegmentExtractor,
		FilterPolicies: o.FilterPolicies, BlockTransformer: o.BlockTransformer, BlockCache: o.BlockCache,
		BlockCacheBytes: o.BlockCacheBytes, MetaCacheBytes: o.MetaCacheBytes, MaxRetries: o.MaxRetries,
		Clock: o.Clock, Rand: o.Rand, Logger: o.Logger, MetricsRecorder: o.MetricsRecorder,
	}).resolve()
	if err != nil {
		return nil, err
	}
	h, err := newHandle(ctx, location, conf)
	if err != nil {
		return nil, err
	}
	r := &Reader{handle: h, poll: orDefault(o.PollInterval, 10*time.Second), skipWAL: o.SkipWALReplay,
		pinned: mode == PinnedCheckpoint, busy: make(chan struct{}, 1)}
	r.walStore = h.component("wal", h.rawWAL)
	if err := r.openAt(ctx, o.CheckpointID); err != nil {
		h.cancel()
		return nil, fmt.Errorf("open reader of %s: %w", location, unavailable(err))
	}
	h.initGauges()
	pctx, cancel := context.WithCancel(h.life)
	r.cancel = cancel
	if !r.pinned && r.poll > 0 {
		r.wg.Add(1)
		conf.env.Spawn("reader-poll", func() { defer r.wg.Done(); r.follow(pctx) })
	}
	return r, nil
}

func (r *Reader) openAt(ctx context.Context, checkpoint uuid.UUID) error {
	m, err := r.manifests.Latest(ctx)
	if err != nil {
		return err
	}
	end := uint64(0) // as far as the log goes
	if r.pinned {
		c := m.Checkpoint(checkpoint)
		if c == nil {
			return fmt.Errorf("%w: no checkpoint %s", ErrNotFound, checkpoint)
		}
		if m, err = r.manifests.Read(ctx, c.ManifestID); err != nil {
			return err
		}
		end = m.WALLastSeen
	}
	if !m.Initialized {
		return fmt.Errorf("%w: the database is a half-made clone", ErrCorrupt)
	}
	if m.WALObjectStoreURI != "" && r.conf.WALStore == nil {
		return invalidf("the database keeps its WAL in another store (%q); set ReaderOptions.WALStore", m.WALObjectStoreURI)
	}
	if err := checkExtractor(r.conf.SegmentExtractor, m, false); err != nil {
		return err
	}
	return r.advance(ctx, m, end)
}

// advance moves the state to manifest m and the WAL behind it (up to end; 0 = as far as it
// goes). The durable number never goes down.
func (r *Reader) advance(ctx context.Context, m *manifest.Manifest, end uint64) error {
	old := r.state.Load()
	st := &state{man: m, mem: newMemTable()}
	from := m.ReplayAfterWAL + 1
	last := m.LastL0Seq
	create := m.LastL0Tick
	if old != nil && old.man.ID == m.ID {
		// Only the log went on: the rows replayed so far stay, new ones go into a table of
		// their own, so that running reads never see a table grow by half a batch.
		st.root, st.segs, st.imm = old.root, old.segs, append([]*memTable{old.mem}, old.imm...)
		from, last, create = r.consumed+1, max(last, r.durable.Load()), max(create, r.newestCreate.Load())
	} else {
		r.tables(st)
	}
	consumed := max(m.ReplayAfterWAL, from-1)
	if !r.skipWAL && (end == 0 || from <= end) {
		var err error
		if consumed, err = r.replay(ctx, st, from, end, &last, &create); err != nil {
			return err
		}
	}
	if old != nil && last < r.durable.Load() {
		return nil // an older manifest or a log that was cut: keep what was shown
	}
	r.consumed = consumed
	r.newestCreate.Store(max(create, r.newestCreate.Load()))
	if len(st.imm) > 0 && st.mem.Len() == 0 {
		st.mem, st.imm = st.imm[0], st.imm[1:]
	}
	r.state.Store(st)
	r.committed.Store(uint64(last))
	r.durable.Advance(last)
	r.changed.signal()
	return nil
}

// replay reads WAL objects into st.mem, one after another until one is missing.
func (r *Reader) replay(ctx context.Context, st *state, from, end uint64, last *kv.Seq, create *int64) (uint64, error) {
	if end == 0 {
		tail, err := wal.FindTail(ctx, r.walStore, r.conf.env, r.path, from-1)
		if err != nil {
			return 0, err
		}
		end = tail
	}
	if end < from {
		return from - 1, nil
	}
	rp := wal.NewReplayer(ctx, r.walStore, wal.ReplayOptions{Root: r.path, From: from, To: end, Transformer: r.conf.BlockTransformer, Env: r.conf.env})
	defer rp.Close()
	for rp.Next() {
		rows := rp.Batch()
		if rows[0].Seq <= *last {
			continue
		}
		for i := range rows {
			if rows[i].CreateTS != kv.NoTS {
				*create = max(*create, rows[i].CreateTS)
			}
			st.mem.Add(&rows[i])
		}
		*last = rows[0].Seq
	}
	var gone *wal.TruncatedError
	if err := rp.Err(); errors.As(err, &gone) && !r.pinned {
		return gone.ID - 1, nil // collected meanwhile: the next manifest has its rows
	} else if err != nil {
		return 0, err
	}
	return end, nil
}

func (r *Reader) follow(ctx context.Context) {
	for r.conf.env.Sleep(ctx, r.poll) == nil {
		if err := seam.Guard("reader poll", func() error { return r.Refresh(ctx) }); err != nil && ctx.Err() == nil {
			r.conf.Logger.Warn("slatedb: reader refresh", "path", r.path, "err", err)
		}
	}
}

// Refresh looks for news now: a newer manifest and newer WAL objects. A pinned reader has
// none.
func (r *Reader) Refresh(ctx context.Context) error {
	if err := r.latched(); err != nil {
		return err
	}
	if r.pinned {
		return nil
	}
	select {
	case r.busy <- struct{}{}:
		defer func() { <-r.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	m, err := r.manifests.Latest(ctx)
	if err != nil {
		return unavailable(err)
	}
	return unavailable(r.advance(ctx, m, 0))
}

// WaitForSeq returns when reads here see the write with number seq, refreshing meanwhile.
func (r *Reader) WaitForSeq(ctx context.Context, seq uint64) error {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		if r.durable.Load() >= kv.Seq(seq) {
			return nil
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

// Close ends the reader. It may be called again.
func (r *Reader) Close(context.Context) error {
	r.once.Do(func() {
		r.fail(ErrClosed)
		r.cancel()
		r.wg.Wait()
		r.durable.Fail(ErrClosed)
		r.handle.cancel()
		if r.ownCache != nil {
			r.ownCache.Close()
		}
	})
	return nil
}

// Get is DB.Get on durable rows; the other reads likewise.
func (r *Reader) Get(ctx context.Context, key []byte) ([]byte, error) {
	return r.getWith(ctx, nil, key, nil)
}

// GetWithOptions is Get with options; Durability and Dirty make no difference here.
func (r *Reader) GetWithOptions(ctx context.Context, key []byte, o *ReadOptions) ([]byte, error) {
	return r.getWith(ctx, nil, key, o)
}

// AppendGet is DB.AppendGet.
func (r *Reader) AppendGet(ctx context.Context, dst, key []byte, o *ReadOptions) ([]byte, error) {
	return r.getWith(ctx, dst, key, o)
}

// GetEntry is DB.GetEntry.
func (r *Reader) GetEntry(ctx context.Context, key []byte, o *ReadOptions) (Entry, error) {
	return r.getEntryWith(ctx, key, o)
}

// Has is DB.Has.
func (r *Reader) Has(ctx context.Context, key []byte) (bool, error) { return r.hasWith(ctx, key) }

// MultiGet is DB.MultiGet.
func (r *Reader) MultiGet(ctx context.Context, keys [][]byte, o *ReadOptions) ([][]byte, error) {
	return r.multiGetWith(ctx, keys, o)
}

// Scan is DB.Scan.
func (r *Reader) Scan(ctx context.Context, start, end []byte) (*Iterator, error) {
	return r.scanWith(ctx, Range{Start: start, End: end}, nil)
}

// ScanPrefix is DB.ScanPrefix.
func (r *Reader) ScanPrefix(ctx context.Context, prefix []byte) (*Iterator, error) {
	return r.scanWith(ctx, Prefix(prefix), nil)
}

// ScanWithOptions is DB.ScanWithOptions.
func (r *Reader) ScanWithOptions(ctx context.Context, rng Range, o *ScanOptions) (*Iterator, error) {
	return r.scanWith(ctx, rng, o)
}

// Entries is DB.Entries.
func (r *Reader) Entries(ctx context.Context, rng Range, o *ScanOptions) iter.Seq2[Entry, error] {
	return r.entriesWith(ctx, rng, o)
}

// Metrics returns a snapshot of the reader's figures.
func (r *Reader) Metrics() Metrics { return r.metrics() }

// Status returns what the reader is now.
func (r *Reader) Status() Status { return r.status() }

// Watch is DB.Watch.
func (r *Reader) Watch(ctx context.Context) iter.Seq[Status] {
	return watch(ctx, &r.changed, r.status)
}
