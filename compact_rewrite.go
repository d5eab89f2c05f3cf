package slatedb

import (
	"context"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// CompactOptions are the options of CompactWithOptions. nil means the zero value.
type CompactOptions struct {
	// Rewrite also rewrites trees that are one sorted run already, so that no table is left
	// that was written before the call: all have the present codec, block transformer (its
	// active encryption key) and filters of the compactor. It reads and writes the whole database.
	Rewrite bool
}

// maxRewrites is how often a tree is tried. Another compactor may be at work on it, or move
// tables without writing them; arbitrary.
const maxRewrites = 20

// CompactWithOptions is Compact with a choice of what is left alone. Old objects go with the
// garbage collection, when no checkpoint needs them any more. ErrUnavailable when another
// process's compactor does not rewrite what it was asked to.
func (db *DB) CompactWithOptions(ctx context.Context, o *CompactOptions) error {
	if o == nil || !o.Rewrite {
		return db.compactAll(ctx)
	}
	if err := db.flushAndRefresh(ctx); err != nil {
		return err
	}
	old := tableIDs(db.state.Load().man)
	jobs := manifest.NewCompactionsStore(db.component("compactor", db.raw), db.path, db.conf.env)
	for range maxRewrites {
		if err := db.compactAll(ctx); err != nil {
			return err
		}
		specs := staleRuns(db.state.Load().man, old)
		if len(specs) == 0 {
			return nil
		}
		for _, s := range specs {
			if err := db.compactOne(ctx, jobs, s); err != nil {
				return unavailable(err)
			}
		}
		if err := db.refresh(ctx); err != nil {
			return unavailable(err)
		}
		if len(staleRuns(db.state.Load().man, old)) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: the compactor has not rewritten every table in %d tries", kv.ErrUnavailable, maxRewrites)
}

// staleRuns are the jobs that write the runs anew in which one of the old tables is left.
func staleRuns(m *manifest.Manifest, old map[sst.ID]struct{}) (specs []manifest.Spec) {
	for prefix, t := range m.Trees() {
		for i := range t.Runs {
			for j := range t.Runs[i].Views {
				if _, ok := old[t.Runs[i].Views[j].Table.ID]; ok {
					specs = append(specs, manifest.Spec{Segment: append([]byte(nil), prefix...), Runs: []uint32{t.Runs[i].ID}, Destination: t.Runs[i].ID})
					break
				}
			}
		}
	}
	return specs
}
