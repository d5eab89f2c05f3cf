package compactor

import (
	"bytes"
	"context"
	"fmt"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
)

// FullSpecs returns the jobs of a full compaction: in each tree all runs into the oldest one.
// L0 is left out, and so are trees without runs.
func FullSpecs(m *manifest.Manifest) []manifest.Spec {
	var out []manifest.Spec
	for prefix, t := range m.Trees() {
		if s := wholeTree(prefix, t, false); len(s.Runs) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// AllSpecs is FullSpecs with L0 included. Trees that are one run already, or empty, are left
// out. jobs are those of the job list, so that new run ids are not given twice.
func AllSpecs(m *manifest.Manifest, jobs []manifest.Compaction) []manifest.Spec {
	v := View{Manifest: m, Jobs: jobs}
	next, ok := v.nextRun()
	var out []manifest.Spec
	for prefix, t := range m.Trees() {
		if t.Empty() || len(t.L0) == 0 && len(t.Runs) == 1 {
			continue
		}
		s := wholeTree(prefix, t, true)
		if len(s.Runs) == 0 {
			if !ok {
				continue
			}
			s.Destination = next
			next++
			ok = next != 0
		}
		out = append(out, s)
	}
	return out
}

// wholeTree merges all runs, and all of L0 when asked to, into the oldest run.
func wholeTree(prefix []byte, t *manifest.Tree, l0 bool) manifest.Spec {
	s := manifest.Spec{Segment: bytes.Clone(prefix)}
	if l0 {
		s.L0Views = l0IDs(t)
	}
	for i := range t.Runs {
		s.Runs = append(s.Runs, t.Runs[i].ID)
		s.Destination = t.Runs[i].ID
	}
	return s
}

func l0IDs(t *manifest.Tree) []ulid.ULID {
	out := make([]ulid.ULID, len(t.L0))
	for i := range t.L0 {
		out[i] = t.L0[i].ID
	}
	return out
}

// Submit adds a job to the list, for whichever coordinator runs to take up. It needs no role.
// A database whose coordinator never ran has no list yet; it is made.
func Submit(ctx context.Context, store *manifest.CompactionsStore, env *seam.Env, spec manifest.Spec) (manifest.Compaction, error) {
	job, err := submit(ctx, store, env, spec)
	if isNoList(err) {
		if _, err = store.Create(ctx, &manifest.Compactions{}); err == nil || isExists(err) {
			job, err = submit(ctx, store, env, spec)
		}
	}
	if err != nil {
		return manifest.Compaction{}, fmt.Errorf("submit compaction: %w", unavailable(err))
	}
	return job, nil
}

func submit(ctx context.Context, store *manifest.CompactionsStore, env *seam.Env, spec manifest.Spec) (job manifest.Compaction, err error) {
	_, err = store.Update(ctx, func(c *manifest.Compactions) error {
		job = manifest.Compaction{ID: newJobID(env, c.Jobs), Spec: spec, Status: manifest.Submitted}
		c.Put(job.Clone())
		return nil
	})
	return job, err
}

// newJobID mints an id that is no older than those there: the collector goes by their times.
func newJobID(env *seam.Env, jobs []manifest.Compaction) ulid.ULID {
	ms := uint64(max(env.Clock.Now().UnixMilli(), 0))
	for i := range jobs {
		ms = max(ms, jobs[i].ID.Time())
	}
	return env.ULID(ms)
}
