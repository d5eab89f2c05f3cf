package slatedb

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// A keeper lets long scans of the writer finish. A compaction commit leaves a checkpoint that
// protects its inputs for a while. When half of what is left of it has passed and an iterator
// that uses dropped tables is still open, the keeper adds a checkpoint of its own on the same
// manifest, renews it at half life, and removes it with the last such iterator. Short
// iterators cost an atomic add.
//
// A checkpoint is only ever added beside one that stands on the same manifest: that manifest
// may be collected otherwise, and a checkpoint on one that is gone would stop every collector.
type keeper struct {
	mail chan struct{}
	mu   struct {
		sync.Mutex
		uses []*tableUse        // of earlier manifests, with open iterators
		last *manifest.Manifest // the newest that was put in place, nil before the second
	}
}

// tableUse counts the open iterators on the tables of one manifest version.
type tableUse struct {
	open   atomic.Int64
	passed atomic.Bool // a later manifest is in place
	kept   atomic.Bool // the keeper has a checkpoint for it
	keeper *keeper

	// Under the keeper's lock, once a later manifest is in place.
	man    *manifest.Manifest
	listed bool
	// The last manifest that has all the tables lies in [from, to); to is 0 while none of them
	// is dropped. It is looked up when the time to act comes; until then pin is 0.
	from, to, pin uint64
	until         time.Time // the first end of the checkpoints on one of those, zero = none has one
	checkpoint    uuid.UUID // our own, zero = none yet
	act           time.Time // when to make or renew it, zero = not yet said
}

// begin counts an iterator; the caller ends it once.
func (u *tableUse) begin() {
	if u == nil {
		return
	}
	u.open.Add(1)
	if u.passed.Load() { // the state was replaced since it was loaded
		u.keeper.late(u)
	}
}

func (u *tableUse) end() {
	if u != nil && u.open.Add(-1) == 0 && u.kept.Load() {
		post(u.keeper.mail)
	}
}

// late enters a use whose first iterator came after its manifest was replaced.
func (k *keeper) late(u *tableUse) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !u.listed {
		u.listed = true
		k.mu.uses = append(k.mu.uses, u)
		k.checkLocked(u, u.man, k.mu.last, tableIDs(k.mu.last))
	}
}

// replaced is told that the state moved from manifest old to next. No I/O; stateMu is held.
func (k *keeper) replaced(old *tableUse, oldMan, next *manifest.Manifest, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.last, old.man = next, oldMan
	old.passed.Store(true) // before the count is looked at, see begin
	if old.open.Load() > 0 && !old.listed {
		old.listed = true
		k.mu.uses = append(k.mu.uses, old)
	}
	live := k.mu.uses[:0]
	var tables map[sst.ID]struct{}
	for _, u := range k.mu.uses {
		if u.open.Load() == 0 && !u.kept.Load() {
			u.listed = false
			continue
		}
		live = append(live, u)
		if u.to == 0 && tables == nil {
			tables = tableIDs(next)
		}
		k.checkLocked(u, oldMan, next, tables)
	}
	clear(k.mu.uses[len(live):])
	k.mu.uses = live
}

// checkLocked looks whether a table of u, all of which oldMan has, is gone from next. When
// versions in between were not seen here, any checkpoint on one of them may be that of the
// commit, and any other may be taken away by its owner; which one it is only the manifests
// tell. It is one of them, so half of the shortest life is no more than half of its own.
func (k *keeper) checkLocked(u *tableUse, oldMan, next *manifest.Manifest, tables map[sst.ID]struct{}) {
	if u.to != 0 || hasTables(tables, u.man) {
		return
	}
	u.from, u.to = oldMan.ID, next.ID
	for i := range next.Checkpoints {
		c := &next.Checkpoints[i]
		if u.mayBe(c.ManifestID) && !c.ExpireTime.IsZero() && (u.until.IsZero() || c.ExpireTime.Before(u.until)) {
			u.until = c.ExpireTime
		}
	}
	post(k.mail)
}

func (u *tableUse) mayBe(id uint64) bool { return u.from <= id && id < u.to }

func tableIDs(m *manifest.Manifest) map[sst.ID]struct{} {
	out := make(map[sst.ID]struct{})
	for v := range m.Views() {
		out[v.Table.ID] = struct{}{}
	}
	return out
}

// hasTables reports whether all tables of m are among tables.
func hasTables(tables map[sst.ID]struct{}, m *manifest.Manifest) bool {
	for v := range m.Views() {
		if _, ok := tables[v.Table.ID]; !ok {
			return false
		}
	}
	return true
}

// due returns the uses that need a checkpoint now, those that need none any more, and when to
// look again (zero = when there is mail).
func (k *keeper) due(now time.Time) (renew, drop []*tableUse, next time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	live := k.mu.uses[:0]
	for _, u := range k.mu.uses {
		if u.act.IsZero() && u.to != 0 {
			u.act = now
			if u.until.After(now) {
				u.act = now.Add(u.until.Sub(now) / 2)
			}
		}
		switch {
		case u.open.Load() == 0:
			u.listed = false
			if u.kept.Load() {
				drop = append(drop, u)
			}
			continue
		case u.to == 0:
		case !u.act.After(now):
			renew = append(renew, u)
		case next.IsZero() || u.act.Before(next):
			next = u.act
		}
		live = append(live, u)
	}
	clear(k.mu.uses[len(live):])
	k.mu.uses = live
	return renew, drop, next
}

// keep runs the keeper until ctx ends.
func (db *DB) keep(ctx context.Context) error {
	life := compactionCheckpointLife
	if c := db.conf.Compactor; c != nil && c.CheckpointLifetime > 0 {
		life = c.CheckpointLifetime
	}
	for {
		now := db.conf.env.Clock.Now()
		renew, drop, next := db.keeper.due(now)
		if len(renew)+len(drop) > 0 {
			err := db.keepTables(ctx, renew, drop, now, life)
			switch {
			case errors.Is(err, ErrClosed):
				return err
			case err != nil && ctx.Err() == nil:
				db.conf.Logger.Warn("slatedb: protect the tables of a long scan", "path", db.path, "err", err)
				next = now.Add(life / 16) // half of the half life is left
			case len(renew) > 0:
				continue
			}
		}
		wait := time.Duration(0)
		if !next.IsZero() {
			wait = max(next.Sub(now), time.Millisecond)
		}
		if waitMail(ctx, db.conf.env, db.keeper.mail, wait) != nil {
			return nil
		}
	}
}

// compactionCheckpointLife is the default of CompactorOptions.CheckpointLifetime.
const compactionCheckpointLife = 15 * time.Minute

// keepTables makes or renews the checkpoints of renew and removes those of drop, in one
// manifest version.
func (db *DB) keepTables(ctx context.Context, renew, drop []*tableUse, now time.Time, life time.Duration) error {
	ids, pins := make([]uuid.UUID, len(renew)), make([]uint64, len(renew))
	for i, u := range renew {
		if ids[i] = u.checkpoint; ids[i] == uuid.Nil {
			ids[i] = db.conf.env.UUID()
		}
		var err error
		if pins[i], err = db.lastWith(ctx, u); err != nil {
			db.keeper.again(drop)
			return err
		}
	}
	var lost []bool
	_, err := db.updateManifest(ctx, func(m *manifest.Manifest) error {
		lost = make([]bool, len(renew))
		for i := range renew {
			if c := m.Checkpoint(ids[i]); c != nil {
				c.ExpireTime = expireTime(now, life)
				continue
			}
			if lost[i] = !slices.ContainsFunc(m.Checkpoints, func(c Checkpoint) bool { return c.ManifestID == pins[i] }); lost[i] {
				continue
			}
			m.Checkpoints = append(m.Checkpoints, Checkpoint{
				ID: ids[i], ManifestID: pins[i], CreateTime: second(now), ExpireTime: expireTime(now, life),
			})
		}
		kept := m.Checkpoints[:0]
		for _, c := range m.Checkpoints {
			mine := false
			for _, u := range drop {
				mine = mine || c.ID == u.checkpoint
			}
			if !mine {
				kept = append(kept, c)
			}
		}
		m.Checkpoints = kept
		return nil
	})
	if err != nil {
		db.keeper.again(drop)
		return err
	}
	db.keeper.mu.Lock()
	defer db.keeper.mu.Unlock()
	for i, u := range renew {
		u.pin, u.act = pins[i], now.Add(life/2)
		if lost[i] { // looked for once more then; nothing protects the scan meanwhile
			u.pin, u.checkpoint = 0, uuid.Nil
			u.kept.Store(false)
			db.conf.Logger.Warn("slatedb: the tables of a long scan have lost their checkpoint", "path", db.path, "manifest", u.from)
			continue
		}
		u.checkpoint = ids[i]
		u.kept.Store(true)
	}
	for _, u := range drop {
		u.kept.Store(false)
		u.checkpoint = uuid.Nil
	}
	return nil
}

// lastWith returns the last version that has all tables of u, as far as a checkpoint stands on
// it, and 0 when there is none. It is the one that the commit which dropped them has left: a
// later one lacks them, and what others left before it may go at any time.
func (db *DB) lastWith(ctx context.Context, u *tableUse) (uint64, error) {
	if u.pin != 0 {
		return u.pin, nil
	}
	if u.to-u.from == 1 {
		return u.from, nil
	}
	m, err := db.manifests.Latest(ctx)
	if err != nil {
		return 0, err
	}
	var ids []uint64
	for i := range m.Checkpoints {
		if id := m.Checkpoints[i].ManifestID; u.mayBe(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Backward(slices.Compact(ids)) {
		switch old, err := db.manifests.Read(ctx, id); {
		case missing(err): // its checkpoint was removed meanwhile
		case err != nil:
			return 0, err
		case hasTables(tableIDs(old), u.man):
			return id, nil
		}
	}
	return 0, nil
}

// again puts back uses whose checkpoints could not be removed.
func (k *keeper) again(drop []*tableUse) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, u := range drop {
		if !u.listed {
			u.listed = true
			k.mu.uses = append(k.mu.uses, u)
		}
	}
}
