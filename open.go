package slatedb

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
	"github.com/slatedb/slatedb-go/wal"
)

// Open opens a database for writing, creating it when the location holds none. A writer that
// has it open elsewhere is fenced: it stops at its next access to the store. Everything that
// was durable is there when Open returns.
//
// location is a URL (s3://bucket/path, gs://, az://, file:///dir, memory:///name) or a
// directory; nil options are the defaults. Options are checked before the store is touched,
// and a database that cannot be opened with them is refused (ErrInvalid, ErrCorrupt) before
// the running writer is fenced. ctx bounds the opening only.
func Open(ctx context.Context, location string, o *Options) (*DB, error) {
	conf, err := o.resolve()
	if err != nil {
		return nil, err
	}
	h, err := newHandle(ctx, location, conf)
	if err != nil {
		return nil, err
	}
	db := &DB{handle: h}
	db.conflicts.limit = conf.MaxUnflushedBytes / 4
	db.closing.done = make(chan struct{})
	if err := db.open(ctx); err != nil {
		db.release()
		return nil, fmt.Errorf("open %s: %w", location, unavailable(err))
	}
	return db, nil
}

// open claims the database. The steps and what a crash leaves after each are in
// docs/design/recovery.md.
func (db *DB) open(ctx context.Context) error {
	if err := checkStore(db.raw, db.rawWAL); err != nil {
		return err
	}
	if err := db.probe(ctx, true); err != nil {
		return err
	}
	m, err := db.loadOrCreate(ctx)
	if err != nil {
		return err
	}
	if err := db.mayWrite(m); err != nil {
		return err
	}
	walStore := db.component("wal", db.rawWAL)
	env := db.conf.env

	// The tail is looked up before the claim and checked again after it: the old writer may
	// have moved on meanwhile.
	tail, err := wal.FindTail(ctx, walStore, env, db.path, m.ReplayAfterWAL)
	if err != nil {
		return fmt.Errorf("find the end of the WAL: %w", err)
	}
	if err := db.logInMain(ctx, m, tail, "Options"); err != nil {
		return err
	}
	for tail < m.WALLastSeen {
		// An object was stored once and is not there. When the replay point has moved on, it
		// may have been collected while we probed. Otherwise the log has a hole, and a fence in
		// it would cut off what is behind.
		old := m
		if m, err = db.manifests.Latest(ctx); err != nil {
			return err
		}
		if m.ReplayAfterWAL == old.ReplayAfterWAL {
			name := sst.WALID(tail + 1).Object(db.path)
			return sst.Corrupt(name, -1, fmt.Errorf("%w: it is gone, the log went up to %d; if it is in another store, see Options.WALStore", ErrCorrupt, m.WALLastSeen))
		}
		if tail, err = wal.FindTail(ctx, walStore, env, db.path, m.ReplayAfterWAL); err != nil {
			return fmt.Errorf("find the end of the WAL: %w", err)
		}
	}
	// The objects of the log never change, so they can come while the log is claimed.
	rp := db.replayer(ctx, walStore, m.ReplayAfterWAL, tail)
	defer func() { rp.Close() }()
	replayAfter := m.ReplayAfterWAL
	rp.Prefetch()

	env.Point("open.before-claim")
	behind := false // an object stands behind the first free id
	g, gctx := env.Group(ctx)
	g.Go("open-claim", func() (err error) {
		if db.fenced, err = db.manifests.AcquireWriter(gctx, manifest.AcquireOptions{}); err != nil {
			return fmt.Errorf("claim the writer epoch: %w", err)
		}
		return nil
	})
	g.Go("open-behind", func() (err error) {
		behind, err = wal.Exists(gctx, walStore, db.path, tail+2)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	env.Point("open.after-claim")
	m = db.fenced.Current()
	if behind && tail >= m.ReplayAfterWAL {
		// Either the old writer has gone on meanwhile, or the log has a hole: a fence in it
		// would cut off what is behind, for this open and every later one.
		again, err := wal.FindTail(ctx, walStore, env, db.path, m.ReplayAfterWAL)
		if err != nil {
			return fmt.Errorf("find the end of the WAL: %w", err)
		}
		if again == tail {
			name := sst.WALID(tail + 1).Object(db.path)
			return sst.Corrupt(name, -1, fmt.Errorf("%w: it is gone, the log goes on behind it", ErrCorrupt))
		}
		tail = again
	}
	for next := tail + 1; ; {
		if next <= m.ReplayAfterWAL {
			if tail, err = wal.FindTail(ctx, walStore, env, db.path, m.ReplayAfterWAL); err != nil {
				return fmt.Errorf("find the end of the WAL: %w", err)
			}
			next = tail + 1
		}
		db.fence, err = wal.Fence(ctx, walStore, env, db.path, next, func(ctx context.Context) error {
			_, err := db.fenced.Refresh(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("fence the WAL: %w", err)
		}
		env.Point("open.after-fence")
		// Proves that the epoch is still ours, and that the fence was not set below a replay
		// point that has moved.
		if m, err = db.fenced.Refresh(ctx); err != nil {
			return err
		}
		if db.fence > m.ReplayAfterWAL {
			break
		}
		next = db.fence + 1
	}
	if err := db.mayWrite(m); err != nil {
		return err
	}
	// The fence itself holds nothing.
	if m.ReplayAfterWAL == replayAfter {
		rp.Extend(db.fence - 1)
	} else {
		rp.Close()
		rp = db.replayer(ctx, walStore, m.ReplayAfterWAL, db.fence-1)
	}
	if err := db.recover(ctx, rp, m); err != nil {
		return err
	}
	if err := db.mirrorTables(ctx, m); err != nil {
		return err
	}
	db.disk.retain(db.path, m)
	db.start(walStore)
	db.conf.Logger.Info("slatedb: opened", "path", db.path, "manifest", m.ID, "epoch", m.WriterEpoch,
		"wal", db.fence, "seq", uint64(db.lastSeq), "l0", len(m.Root.L0), "runs", len(m.Root.Runs), "segments", len(m.Segments))
	return nil
}

// checkStore refuses stores that cannot carry a writer: without atomic create-if-absent two
// writers could both believe that an id is theirs.
func checkStore(main, wal objstore.Store) error {
	if p := main.Properties(); !p.IfAbsent {
		return invalidf("store %q has no create-if-absent put, which manifests need", p.Name)
	}
	if p := wal.Properties(); !p.IfAbsent {
		return invalidf("WAL store %q has no create-if-absent put, which WAL objects need", p.Name)
	}
	return nil
}

// loadOrCreate returns the latest manifest, making the first one in an empty place.
func (db *DB) loadOrCreate(ctx context.Context) (*manifest.Manifest, error) {
	m, err := db.manifests.Latest(ctx)
	if !errors.Is(err, ErrNoDatabase) {
		return m, err
	}
	extractor := ""
	if x := db.conf.SegmentExtractor; x != nil {
		extractor = x.Name()
	}
	m, err = db.manifests.Create(ctx, manifest.New(extractor))
	if errors.Is(err, manifest.ErrExists) {
		return db.manifests.Latest(ctx) // somebody else created it meanwhile
	}
	return m, err
}

// mayWrite checks what the manifest says against the options, before anything is claimed.
func (db *DB) mayWrite(m *manifest.Manifest) error {
	if !m.Initialized {
		return fmt.Errorf("%w: the database is a half-made clone; run the clone again", ErrCorrupt)
	}
	if err := db.namesWALStore(m, "Options"); err != nil {
		return err
	}
	return checkExtractor(db.conf.SegmentExtractor, m, true)
}

// replayer replays the log behind object after, up to object to.
func (db *DB) replayer(ctx context.Context, walStore objstore.Store, after, to uint64) *wal.Replayer {
	return wal.NewReplayer(ctx, walStore, wal.ReplayOptions{
		Root: db.path, From: after + 1, To: to, Transformer: db.conf.BlockTransformer, Env: db.conf.env, Ahead: openAhead,
	})
}

// openAhead is how many objects of the log an opening fetches at once, if they are small.
const openAhead = 32

// recover replays the WAL between the manifest's replay point and our fence into memtables
// and makes the first state. Nothing is flushed meanwhile, so that a full L0 cannot keep a
// database from opening; the flusher takes the frozen memtables afterwards.
func (db *DB) recover(ctx context.Context, rp *wal.Replayer, m *manifest.Manifest) error {
	db.lastSeq = m.LastL0Seq
	db.lastCreate = m.LastL0Tick
	st := &state{mem: newMemTable(), man: m}
	p := &db.pressure
	p.limit, p.env, p.ended = int64(db.conf.MaxUnflushedBytes), db.conf.env, db.latched

	for rp.Next() {
		rows := rp.Batch()
		seq := rows[0].Seq
		if seq <= m.LastL0Seq {
			continue
		}
		size := int64(0)
		for i := range rows {
			size += int64(len(rows[i].Key) + len(rows[i].Value) + rowOverhead)
		}
		if have := st.mem.EncodedBytes(); have > 0 && have+size > int64(db.conf.L0SSTSizeBytes) {
			// Only objects that were consumed completely count for the replay point.
			st.mem.replayAfter = rp.WALID() - 1
			st.mem.frozen.Store(true)
			st = st.freeze(newMemTable())
		}
		mem := st.mem
		if mem.firstSeq == 0 {
			mem.firstSeq = seq
		}
		mem.lastSeq, mem.charged = seq, mem.charged+size
		for i := range rows {
			r := &rows[i]
			if r.CreateTS != kv.NoTS {
				mem.maxCreate = max(mem.maxCreate, r.CreateTS)
			}
			if x := db.conf.SegmentExtractor; x != nil {
				pfx, err := prefixOf(x, r.Key)
				if err != nil {
					return fmt.Errorf("replay WAL object %d: %w", rp.WALID(), err)
				}
				mem.notePrefixes(map[string]struct{}{string(pfx): {}})
			}
			mem.Add(r)
		}
		if rows[0].CreateTS != kv.NoTS {
			mem.times.Insert(seq, rows[0].CreateTS/1000)
		}
		db.lastSeq = seq
		db.lastCreate = max(db.lastCreate, mem.maxCreate)
		p.used.Add(size)
	}
	if err := rp.Err(); err != nil {
		var gone *wal.TruncatedError
		if errors.As(err, &gone) {
			// A newer writer may have flushed and collected what we are replaying.
			if _, rerr := db.fenced.Refresh(ctx); rerr != nil {
				return rerr
			}
			err = sst.Corrupt(gone.Object, -1, err)
		}
		return fmt.Errorf("replay the WAL: %w", err)
	}
	if db.lastCreate == math.MinInt64 {
		db.lastCreate = 0
	}
	// Memtables without a create time (rows of other writers) are dated like the tables
	// below them, since the tick never goes down.
	for _, mt := range append([]*memTable{st.mem}, st.imm...) {
		mt.maxCreate = max(mt.maxCreate, m.LastL0Tick)
	}
	db.tables(st)
	db.keeper.mail = make(chan struct{}, 1)
	st.use = &tableUse{keeper: &db.keeper}
	db.state.Store(st)
	db.newestCreate.Store(db.lastCreate)
	db.committed.Store(uint64(db.lastSeq))
	return nil
}

// start makes the writers of WAL and L0 and starts the background tasks.
func (db *DB) start(walStore objstore.Store) {
	c := db.conf
	if !c.DisableWAL {
		db.wal = wal.NewWriter(walStore, db.fence+1, db.lastSeq, wal.Options{
			Root: db.path, Codec: c.Compression, Transformer: c.BlockTransformer, FlushInterval: c.FlushInterval,
			MinFlushGap: c.MinFlushGap, MaxObjectBytes: c.L0SSTSizeBytes, Env: c.env, OnStored: db.walStored, OnUploaded: db.walUploaded,
			ConfirmBeforeAck: db.fenced.Confirm,
		})
		db.durable = db.wal.Durable()
	} else {
		// What was replayed is durable: it is still in the old WAL.
		db.durable.Advance(db.lastSeq)
	}
	db.flusher = newFlusher(db)
	db.grown = make(chan struct{}, 1)
	if !c.DisableCompactor {
		db.compactor = db.newCompactor()
	}
	db.flusher.l0Seq.Advance(db.state.Load().man.LastL0Seq)
	db.pressure.stall = db.writeStalled
	db.pressure.relieve = db.flusher.relieve
	db.pressure.log = func(have int64) {
		c.Logger.Warn("slatedb: writers still wait for memory", "path", db.path, "bytes", have, "limit", db.pressure.limit)
	}
	db.initGauges()
	db.startTasks()
	db.flusher.wake()
}
