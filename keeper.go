package slatedb

import (
	"context"
	"errors"
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
type keeper struct {
	mail chan struct{}
	mu   struct {
		sync.Mutex
		uses []*tableUse // of earlier manifests, with open iterators
	}
}

// tableUse counts the open iterators on the tables of one manifest version.
type tableUse struct {
	open   atomic.Int64
	kept   atomic.Bool // the keeper has a checkpoint for it
	keeper *keeper

	// Under the keeper's lock, once a later manifest is in place.
	man        *manifest.Manifest
	pin        uint64    // the manifest that must stay: the last one with all the tables; 0 while none is dropped
	checkpoint uuid.UUID // our own, zero = none yet
	act        time.Time // when to make or renew it
}

// begin counts an iterator; the caller ends it once.
func (u *tableUse) begin() {
	if u != nil {
		u.open.Add(1)
	}
}

func (u *tableUse) end() {
	if u != nil && u.open.Add(-1) == 0 && u.kept.Load() {
		post(u.keeper.mail)
	}
}

// replaced is told that the state moved from manifest old to next. No I/O; stateMu is held.
func (k *keeper) replaced(old *tableUse, oldMan, next *manifest.Manifest, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old.open.Load() > 0 {
		old.man = oldMan
		k.mu.uses = append(k.mu.uses, old)
	}
	live := k.mu.uses[:0]
	var tables map[sst.ID]struct{}
	for _, u := range k.mu.uses {
		if u.open.Load() == 0 && !u.kept.Load() {
			continue
		}
		live = append(live, u)
		if u.pin != 0 {
			continue
		}
		if tables == nil {
			tables = make(map[sst.ID]struct{})
			for v := range next.Views() {
				tables[v.Table.ID] = struct{}{}
			}
		}
		for v := range u.man.Views() {
			if _, ok := tables[v.Table.ID]; ok {
				continue
			}
			// oldMan still had it. When versions in between were not seen here, the first
			// checkpoint at or behind oldMan is the one of the commit that dropped it.
			u.pin = oldMan.ID
			var until time.Time
			for i := range next.Checkpoints {
				if c := &next.Checkpoints[i]; c.ManifestID >= oldMan.ID && (u.pin == oldMan.ID || c.ManifestID < u.pin) && !c.ExpireTime.IsZero() {
					u.pin, until = c.ManifestID, c.ExpireTime
				}
			}
			u.act = now
			if until.After(now) {
				u.act = now.Add(until.Sub(now) / 2)
			}
			post(k.mail)
			break
		}
	}
	clear(k.mu.uses[len(live):])
	k.mu.uses = live
}

// due returns the uses that need a checkpoint now, those that need none any more, and when to
// look again (zero = when there is mail).
func (k *keeper) due(now time.Time) (renew, drop []*tableUse, next time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	live := k.mu.uses[:0]
	for _, u := range k.mu.uses {
		switch {
		case u.open.Load() == 0:
			if u.kept.Load() {
				drop = append(drop, u)
			}
			continue
		case u.pin == 0:
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
	ids := make([]uuid.UUID, len(renew))
	for i, u := range renew {
		if ids[i] = u.checkpoint; ids[i] == uuid.Nil {
			ids[i] = db.conf.env.UUID()
		}
	}
	_, err := db.updateManifest(ctx, func(m *manifest.Manifest) error {
		for i, u := range renew {
			if c := m.Checkpoint(ids[i]); c != nil {
				c.ExpireTime = expireTime(now, life)
				continue
			}
			m.Checkpoints = append(m.Checkpoints, Checkpoint{
				ID: ids[i], ManifestID: u.pin, CreateTime: second(now), ExpireTime: expireTime(now, life),
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
		u.checkpoint, u.act = ids[i], now.Add(life/2)
		u.kept.Store(true)
	}
	for _, u := range drop {
		u.kept.Store(false)
	}
	return nil
}

// again puts back uses whose checkpoints could not be removed.
func (k *keeper) again(drop []*tableUse) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.uses = append(k.mu.uses, drop...)
}
