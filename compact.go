package slatedb

import (
	"context"
	"errors"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/compactor"
	"github.com/slatedb/slatedb-go/gc"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// The embedded roles: compaction and garbage collection beside the writer, on its manifest
// store, so that neither polls for what the other did.

// newCompactor makes the compactor of this process. It does no request.
func (db *DB) newCompactor() *compactor.Compactor {
	c := db.conf
	o := compactor.Options{}
	if c.Compactor != nil {
		o = *c.Compactor
	}
	return compactor.New(compactor.Config{
		Objects: db.tableWrites("compactor", o.MaxRetries), Root: db.path, Env: c.env, Logger: c.Logger, Manifests: db.manifests,
		BlockSize: c.BlockSize, Codec: c.Compression, Transformer: c.BlockTransformer, Policies: c.FilterPolicies,
		MinFilterKeys: c.MinFilterKeys, MergeOperator: c.MergeOperator, Filter: c.CompactionFilter,
		OnManifest: db.adopt, Count: db.stats.count, Gauge: db.stats.set, Wake: db.grown,
	}, o)
}

// adopt takes over a manifest that a role of this process has written.
func (db *DB) adopt(m *manifest.Manifest) {
	db.transition(m, func(st *state) *state { return st })
	db.flusher.wake() // L0 may have room now
	db.changed.signal()
	db.report()
}

// runCompactor runs the embedded compactor. When another coordinator takes the role over,
// that one is in charge and the writer goes on.
func (db *DB) runCompactor(ctx context.Context) error {
	err := db.compactor.Run(ctx)
	if errors.Is(err, ErrFenced) {
		db.conf.Logger.Info("slatedb: another compactor has taken over", "path", db.path)
		return nil
	}
	return err
}

// runGC runs the embedded garbage collector.
func (db *DB) runGC(ctx context.Context) error {
	o := gc.Options{}
	if db.conf.GC != nil {
		o = *db.conf.GC
	}
	store := func(s objstore.Store) objstore.Store { return db.componentRetrying("gc", s, o.MaxRetries) }
	return gc.New(gc.Config{
		Objects: store(db.raw), WALObjects: store(db.rawWAL), Root: db.path, Env: db.conf.env, Logger: db.conf.Logger,
		Manifests: db.manifests, Compactions: manifest.NewCompactionsStore(store(db.raw), db.path, db.conf.env), Count: db.stats.count, Gauge: db.stats.set,
	}, o).Run(ctx)
}

// Compact flushes, and then merges everything, L0 included, into one sorted run a tree. It
// returns when that is in the manifest. Writes go on meanwhile and stay in memory and L0.
// Without a compactor in this process it waits for the one of another. A tree that is one run
// already is left alone; see CompactOptions.Rewrite.
func (db *DB) Compact(ctx context.Context) error { return db.compactAll(ctx) }

// flushAndRefresh makes the state hold in tables all that was written, and what others did to them.
func (db *DB) flushAndRefresh(ctx context.Context) error {
	if err := db.latched(); err != nil {
		return err
	}
	if err := db.flushTo(ctx, FlushMemtable); err != nil {
		return err
	}
	if err := db.refresh(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

func (db *DB) compactAll(ctx context.Context) error {
	if err := db.flushAndRefresh(ctx); err != nil {
		return err
	}
	todo := make(map[ulid.ULID]struct{}) // L0 as it is now; what comes later is not waited for
	for _, t := range db.state.Load().man.Trees() {
		for i := range t.L0 {
			todo[t.L0[i].ID] = struct{}{}
		}
	}
	jobs := manifest.NewCompactionsStore(db.component("compactor", db.raw), db.path, db.conf.env)
	for {
		var running []manifest.Compaction
		c, err := jobs.Latest(ctx)
		switch {
		case err == nil:
			running = c.Jobs
		case !errors.Is(err, manifest.ErrNoCompactions):
			return unavailable(err)
		}
		if err := db.refresh(ctx); err != nil {
			return unavailable(err)
		}
		m := db.state.Load().man
		if compacted(m, todo) {
			return nil
		}
		for _, s := range compactor.AllSpecs(m, running) {
			if err := db.compactOne(ctx, jobs, s); err != nil {
				return unavailable(err)
			}
		}
	}
}

// compacted reports whether every tree has at most one run and none of the L0 views.
func compacted(m *manifest.Manifest, views map[ulid.ULID]struct{}) bool {
	for _, t := range m.Trees() {
		if len(t.Runs) > 1 {
			return false
		}
		for i := range t.L0 {
			if _, ok := views[t.L0[i].ID]; ok {
				return false
			}
		}
	}
	return true
}

// compactOne submits a job and waits for its end. A job that is refused, because another one
// was merging its sources, is planned again by the caller.
func (db *DB) compactOne(ctx context.Context, jobs *manifest.CompactionsStore, s manifest.Spec) error {
	if db.compactor != nil {
		j, err := db.compactor.Submit(ctx, s)
		if err != nil {
			return err
		}
		switch err = db.compactor.Await(ctx, j.ID); {
		case errors.Is(err, ErrInvalid):
			return db.conf.env.Sleep(ctx, 100*time.Millisecond)
		case errors.Is(err, ErrClosed) && db.latched() == nil:
			return db.awaitJob(ctx, jobs, j.ID) // another coordinator has taken over
		}
		return err
	}
	j, err := compactor.Submit(ctx, jobs, db.conf.env, s)
	if err != nil {
		return err
	}
	return db.awaitJob(ctx, jobs, j.ID)
}

// awaitJob watches the job list until the job of whichever coordinator runs has ended.
func (db *DB) awaitJob(ctx context.Context, jobs *manifest.CompactionsStore, id ulid.ULID) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		if err := db.conf.env.Sleep(ctx, wait); err != nil {
			return err
		}
		if err := db.latched(); err != nil {
			return err
		}
		c, err := jobs.Latest(ctx)
		if err != nil {
			return err
		}
		if have := c.Job(id); have == nil || have.Status.Finished() {
			return nil
		}
	}
}
