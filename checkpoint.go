package slatedb

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
)

// A Checkpoint pins one version of the database: its manifest and every object that this
// needs stay until the checkpoint expires (zero ExpireTime: never) or is deleted. Names need
// not be unique. Times have a resolution of one second.
type Checkpoint = manifest.Checkpoint

// CheckpointScope tells which writes a checkpoint of a DB must hold.
type CheckpointScope uint8

// The scopes.
const (
	// CheckpointAll holds exactly what was committed before the call. It flushes the WAL and
	// the memtables; when L0 is full it does not wait for the compactor but records how far
	// the WAL goes. (With the WAL off it has to wait.)
	CheckpointAll CheckpointScope = iota
	// CheckpointDurable holds what is durable now and flushes nothing.
	CheckpointDurable
)

// CheckpointOptions are the options of CreateCheckpoint. nil means the zero value.
type CheckpointOptions struct {
	// Name is for people and for ListCheckpoints.
	Name string
	// Lifetime after which the checkpoint may be removed, rounded up to a second. 0: for ever.
	Lifetime time.Duration
	// Source, when set, is a checkpoint whose version is pinned once more, whatever the scope.
	Source uuid.UUID
}

// newCheckpoint makes the checkpoint that o asks for, without its manifest id.
func newCheckpoint(env *seam.Env, o *CheckpointOptions) (Checkpoint, error) {
	if o.Lifetime < 0 {
		return Checkpoint{}, invalidf("CheckpointOptions.Lifetime is %v, want 0 or more", o.Lifetime)
	}
	now := env.Clock.Now()
	return Checkpoint{ID: env.UUID(), Name: o.Name, CreateTime: second(now), ExpireTime: expireTime(now, o.Lifetime)}, nil
}

func second(t time.Time) time.Time { return time.Unix(t.Unix(), 0).UTC() }

// expireTime is the end of a lifetime that begins now: never too early, and never at all for
// 0 or when it lies behind what a manifest can say.
func expireTime(now time.Time, life time.Duration) time.Time {
	if life == 0 {
		return time.Time{}
	}
	end := now.Add(life)
	s := end.Unix()
	if end.Nanosecond() > 0 {
		s++
	}
	if s > math.MaxUint32 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

// addCheckpoint is the change that adds ck to m: on the version that it makes, or on what the
// source pins.
func addCheckpoint(m *manifest.Manifest, ck Checkpoint, source uuid.UUID) error {
	switch {
	case source != uuid.Nil:
		src := m.Checkpoint(source)
		if src == nil {
			return noCheckpoint(source)
		}
		ck.ManifestID = src.ManifestID
	case !m.Initialized:
		return errHalfMade
	default:
		ck.ManifestID = m.ID + 1
	}
	m.Checkpoints = append(m.Checkpoints, ck)
	return nil
}

func noCheckpoint(id uuid.UUID) error { return fmt.Errorf("%w: no checkpoint %s", ErrNotFound, id) }

var errHalfMade = fmt.Errorf("%w: the database is a half-made clone; run the clone again", ErrCorrupt)

// CreateCheckpoint pins the database as it is now and returns when the checkpoint is stored.
// ErrNotFound when o names a source that does not exist. A ctx that ends first leaves the
// outcome open.
func (db *DB) CreateCheckpoint(ctx context.Context, s CheckpointScope, o *CheckpointOptions) (Checkpoint, error) {
	if o == nil {
		o = &CheckpointOptions{}
	}
	if s > CheckpointDurable {
		return Checkpoint{}, invalidf("checkpoint scope is %d, which is none", s)
	}
	ck, err := newCheckpoint(db.conf.env, o)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := ctx.Err(); err != nil {
		return Checkpoint{}, err
	}
	if err := db.latched(); err != nil {
		return Checkpoint{}, err
	}
	db.stats.checkpoints.add(1)
	switch {
	case o.Source != uuid.Nil:
		ck, err = db.copyCheckpoint(ctx, ck, o.Source)
	case s == CheckpointDurable:
		ck, err = db.durableCheckpoint(ctx, ck)
	default:
		ck, err = db.fullCheckpoint(ctx, ck)
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("create checkpoint: %w", unavailable(err))
	}
	return ck, nil
}

func (db *DB) copyCheckpoint(ctx context.Context, ck Checkpoint, source uuid.UUID) (Checkpoint, error) {
	if _, err := db.fenced.Refresh(ctx); err != nil { // somebody else may have made the source
		return ck, err
	}
	return db.putCheckpoint(ctx, ck, func(m *manifest.Manifest) error { return addCheckpoint(m, ck, source) })
}

// durableCheckpoint pins what the object store has. The WAL position of the same manifest
// write says how far that goes.
func (db *DB) durableCheckpoint(ctx context.Context, ck Checkpoint) (Checkpoint, error) {
	if err := db.bounds.waitFor(ctx, db); err != nil {
		return ck, err
	}
	return db.putCheckpoint(ctx, ck, func(m *manifest.Manifest) error { return addCheckpoint(m, ck, uuid.Nil) })
}

func (db *DB) putCheckpoint(ctx context.Context, ck Checkpoint, mutate func(*manifest.Manifest) error) (Checkpoint, error) {
	m, err := db.updateManifest(ctx, mutate)
	if err != nil {
		return ck, err
	}
	db.transition(m, func(st *state) *state { return st })
	db.changed.signal()
	return *m.Checkpoint(ck.ID), nil
}

// fullCheckpoint pins exactly what is committed. Memtable and WAL object are cut at the bound;
// until the checkpoint is in a manifest, none is written that says more. The flush that
// brings L0 to the bound carries it.
func (db *DB) fullCheckpoint(ctx context.Context, ck Checkpoint) (Checkpoint, error) {
	b := &bound{ck: ck}
	db.commitMu.Lock()
	b.seq = kv.Seq(db.committed.Load())
	if db.wal != nil {
		db.wal.Cut()
	}
	db.bounds.add(b)
	froze := db.state.Load().mem.Len() > 0
	if froze {
		db.freezeLocked()
	}
	db.commitMu.Unlock()
	if froze {
		db.stats.freezes.add(1)
	}
	defer func() {
		db.bounds.drop(b)
		post(db.flusher.mailInst)
	}()
	// After add: an object that ends at the bound was stored before, and then it is this one,
	// or uploaded is told about it.
	if db.wal != nil {
		db.bounds.uploaded(db.wal.Position())
	} else {
		db.bounds.uploaded(db.walPosition(), b.seq)
	}
	db.flusher.wake()

	lctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if db.wal != nil {
		if err := db.wal.Wait(ctx, b.seq); err != nil {
			return ck, waited(ctx, err)
		}
		db.bounds.uploaded(db.wal.Position()) // waiters are released before uploaded is told
		defer db.flusher.onStall(cancel)()
	}
	if err := db.flusher.l0Seq.Wait(lctx, b.seq); err != nil && (ctx.Err() != nil || lctx.Err() == nil) {
		return ck, waited(ctx, err)
	}
	db.bounds.early(b)
	m, err := db.updateManifest(ctx, func(*manifest.Manifest) error {
		if db.bounds.made(b) != nil {
			return manifest.ErrUnchanged
		}
		return nil
	})
	if err != nil {
		return ck, err
	}
	db.transition(m, func(st *state) *state { return st })
	db.changed.signal()
	done := db.bounds.made(b)
	if done == nil {
		return ck, fmt.Errorf("%w: manifest %d does not hold the bound of a checkpoint", ErrInternal, m.ID)
	}
	return *done, nil
}

// walBound is the newest WAL object that a manifest may name.
func (db *DB) walBound() uint64 {
	if db.wal == nil {
		return db.walPosition()
	}
	// The position first: a bound that comes after this look is not below it.
	return db.bounds.limit(db.wal.Position())
}

// A bound is a checkpoint that waits until the object store has all it must hold.
type bound struct {
	ck    Checkpoint
	seq   kv.Seq // the newest row that it holds
	wal   uint64 // the WAL object that ends there
	known bool   // wal is set
	early bool   // WAL and L0 together reach seq: the checkpoint need not wait for L0
	done  *Checkpoint
}

// bounds are the checkpoints of scope CheckpointAll under way. While there is one, no
// manifest may hold a row above it.
type bounds struct {
	mu struct {
		sync.Mutex
		list []*bound // ascending by seq, since each is made at the end of the log
	}
	changed broadcast
}

func (b *bounds) add(x *bound) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.list = append(b.mu.list, x)
}

func (b *bounds) drop(x *bound) {
	b.mu.Lock()
	b.mu.list = slices.DeleteFunc(b.mu.list, func(o *bound) bool { return o == x })
	b.mu.Unlock()
	b.changed.signal()
}

func (b *bounds) early(x *bound) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x.early = true
}

func (b *bounds) made(x *bound) *Checkpoint {
	b.mu.Lock()
	defer b.mu.Unlock()
	return x.done
}

// uploaded is told about each stored WAL object, before the next one is sent.
func (b *bounds) uploaded(id uint64, last kv.Seq) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.mu.list {
		if x.seq == last && !x.known {
			x.wal, x.known = id, true
		}
	}
}

// least is the newest row that L0 may hold.
func (b *bounds) least() kv.Seq {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.mu.list {
		if x.done == nil {
			return x.seq
		}
	}
	return kv.MaxSeq
}

// limit is the newest WAL object that a manifest may name when the log is stored up to object
// id, which ends with row last.
func (b *bounds) limit(id uint64, last kv.Seq) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.mu.list {
		if x.done == nil && last > x.seq {
			return min(id, x.wal)
		}
	}
	return id
}

// stamp adds the checkpoints whose bound is just what m holds.
func (b *bounds) stamp(m *manifest.Manifest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.mu.list {
		if x.done != nil || !x.known || m.WALLastSeen != x.wal || m.LastL0Seq > x.seq || m.LastL0Seq < x.seq && !x.early || m.Checkpoint(x.ck.ID) != nil {
			continue
		}
		ck := x.ck
		ck.ManifestID = m.ID + 1
		m.Checkpoints = append(m.Checkpoints, ck)
	}
}

// settle notes which checkpoints a stored manifest holds.
func (b *bounds) settle(m *manifest.Manifest) {
	b.mu.Lock()
	changed := false
	for _, x := range b.mu.list {
		if ck := m.Checkpoint(x.ck.ID); ck != nil && x.done == nil {
			done := *ck
			x.done, changed = &done, true
		}
	}
	b.mu.Unlock()
	if changed {
		b.changed.signal()
	}
}

// waitFor returns when no bound keeps a manifest from naming what is durable now.
func (b *bounds) waitFor(ctx context.Context, db *DB) error {
	if db.wal == nil {
		return nil
	}
	id, seq := db.wal.Position()
	for {
		changed := b.changed.wait()
		if b.limit(id, seq) == id {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
