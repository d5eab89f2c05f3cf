package slatedb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/compactor"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// CompactorOptions are the options of the compactor.
type CompactorOptions = compactor.Options

// WorkerOptions are the options of a compaction worker.
type WorkerOptions = compactor.WorkerOptions

// A CompactionScheduler decides what is merged.
type CompactionScheduler = compactor.Scheduler

// SizeTieredOptions shape the default scheduler.
type SizeTieredOptions = compactor.SizeTieredOptions

// CompactionKind is what a CompactionRequest asks for.
type CompactionKind uint8

// The kinds.
const (
	// CompactFull merges, in each tree, all sorted runs into the oldest one. L0 stays: see
	// DB.Compact.
	CompactFull CompactionKind = iota
	// CompactSegment does that in one segment.
	CompactSegment
	// CompactSpec merges the Sources into run Destination.
	CompactSpec
	// DrainSegment drops a segment with all its tables. What is in memtables stays: flush
	// first.
	DrainSegment
)

// A CompactionRequest is a job for whichever compactor runs.
type CompactionRequest struct {
	Kind CompactionKind
	// Segment is the prefix of the segment; empty: the tree of a database without segments.
	Segment []byte
	// Sources of a CompactSpec, neighbours of each other: an L0 table by its ULID (or that of
	// its view), a sorted run by its number.
	Sources []string
	// Destination of a CompactSpec is the number of the resulting run: that of one of the
	// sources, or a new one above all others.
	Destination uint32
}

// A Compaction is what became of a request. State is Submitted, Scheduled, Running, Compacted,
// Completed or Failed. Err is set when it failed. A request that makes several jobs has an ID
// that names them all.
type Compaction struct {
	ID    string
	State string
	Err   error
}

// SubmitCompaction asks for a compaction; AwaitCompaction waits for it. ErrInvalid when the
// request does not fit the database; a compactor may still refuse it later. A request that
// finds nothing to do is Completed at once, with an empty ID.
func (a *Admin) SubmitCompaction(ctx context.Context, q CompactionRequest) (Compaction, error) {
	ctx, end, err := a.beginWrite(ctx, "submit a compaction", false)
	if err != nil {
		return Compaction{}, err
	}
	defer end()
	c, err := a.submit(ctx, &q)
	return c, a.done("submit a compaction", err)
}

func (a *Admin) submit(ctx context.Context, q *CompactionRequest) (Compaction, error) {
	m, err := a.manifests().Latest(ctx)
	if err != nil {
		return Compaction{}, err
	}
	specs, err := q.specs(m)
	if err != nil || len(specs) == 0 {
		return Compaction{State: manifest.Completed.String()}, err
	}
	if _, err := a.compactions().Latest(ctx); err != nil && !errors.Is(err, manifest.ErrNoCompactions) {
		return Compaction{}, err
	}
	var ids []string
	for _, s := range specs {
		job, err := compactor.Submit(ctx, a.compactions(), a.h.conf.env, s)
		if err != nil {
			return Compaction{}, err
		}
		ids = append(ids, job.ID.String())
	}
	return Compaction{ID: strings.Join(ids, idSeparator), State: manifest.Submitted.String()}, nil
}

const idSeparator = ","

// specs turns the request into jobs on manifest m.
func (q *CompactionRequest) specs(m *manifest.Manifest) ([]manifest.Spec, error) {
	if q.Kind == CompactFull {
		return compactor.FullSpecs(m), nil
	}
	t := &m.Root
	if len(q.Segment) > 0 {
		s := m.Segment(q.Segment)
		if s == nil {
			return nil, invalidf("there is no segment %q", q.Segment)
		}
		t = &s.Tree
	}
	spec := manifest.Spec{Segment: slices.Clone(q.Segment)}
	switch q.Kind {
	case CompactSegment:
		for _, s := range compactor.FullSpecs(m) {
			if string(s.Segment) == string(q.Segment) {
				return []manifest.Spec{s}, nil
			}
		}
		return nil, nil
	case DrainSegment:
		if len(q.Segment) == 0 {
			return nil, invalidf("DrainSegment needs a segment")
		}
		spec.Drain = true
		for i := range t.L0 {
			spec.L0Views = append(spec.L0Views, t.L0[i].ID)
		}
		for i := range t.Runs {
			spec.Runs = append(spec.Runs, t.Runs[i].ID)
		}
		if t.Empty() {
			return nil, nil
		}
	case CompactSpec:
		spec.Destination = q.Destination
		if err := q.sources(t, &spec); err != nil {
			return nil, err
		}
	default:
		return nil, invalidf("CompactionRequest.Kind is %d, which is none", q.Kind)
	}
	return []manifest.Spec{spec}, nil
}

// sources finds the named sources in the tree and puts them in the order of precedence.
func (q *CompactionRequest) sources(t *manifest.Tree, spec *manifest.Spec) error {
	if len(q.Sources) == 0 {
		return invalidf("CompactSpec needs sources")
	}
	views, runs := map[ulid.ULID]bool{}, map[uint32]bool{}
	for _, name := range q.Sources {
		if n, err := strconv.ParseUint(name, 10, 32); err == nil {
			if !slices.ContainsFunc(t.Runs, func(r sst.SortedRun) bool { return r.ID == uint32(n) }) {
				return invalidf("source %q is no sorted run of the tree", name)
			}
			runs[uint32(n)] = true
			continue
		}
		id, err := ulid.ParseStrict(name)
		if err != nil {
			return invalidf("source %q is neither the ULID of a table nor the number of a run", name)
		}
		found := false
		for i := range t.L0 {
			if v := &t.L0[i]; v.ID == id || v.Table.ID.ULID() == id {
				views[v.ID], found = true, true
			}
		}
		if !found {
			return invalidf("source %q is no L0 table of the tree", name)
		}
	}
	for i := range t.L0 {
		if views[t.L0[i].ID] {
			spec.L0Views = append(spec.L0Views, t.L0[i].ID)
		}
	}
	for i := range t.Runs {
		if runs[t.Runs[i].ID] {
			spec.Runs = append(spec.Runs, t.Runs[i].ID)
		}
	}
	return nil
}

// awaitPoll is how often AwaitCompaction looks.
const awaitPoll = time.Second

// AwaitCompaction returns when the request with this id has completed or failed, whichever
// process does it. ErrNotFound when there is no such id in what is left of the history.
func (a *Admin) AwaitCompaction(ctx context.Context, id string) (Compaction, error) {
	out := Compaction{ID: id, State: manifest.Completed.String()}
	if id == "" {
		return out, a.h.latched()
	}
	ctx, end, err := a.begin(ctx)
	if err != nil {
		return Compaction{}, err
	}
	defer end()
	for _, part := range strings.Split(id, idSeparator) {
		u, err := ulid.ParseStrict(part)
		if err != nil {
			return Compaction{}, invalidf("compaction id %q", id)
		}
		st, err := a.awaitJob(ctx, u)
		if err != nil {
			return Compaction{}, a.done("await a compaction", err)
		}
		if st == manifest.Failed {
			out.State = st.String()
			out.Err = errors.Join(out.Err, fmt.Errorf("%w: compaction %s was refused: it does not fit the database any more", ErrInvalid, part))
		}
	}
	return out, nil
}

func (a *Admin) awaitJob(ctx context.Context, id ulid.ULID) (manifest.Status, error) {
	var seen *manifest.Compaction
	for {
		c, err := a.compactions().Latest(ctx)
		if err != nil && !errors.Is(err, manifest.ErrNoCompactions) {
			return 0, err
		}
		var job *manifest.Compaction
		if err == nil {
			job = c.Job(id)
		}
		switch {
		case job != nil && job.Status.Finished():
			return job.Status, nil
		case job == nil && seen == nil:
			// Finished jobs go from the list when a newer one has.
			if seen, err = a.pastJob(ctx, id); err != nil {
				return 0, err
			}
			return a.outcome(ctx, seen)
		case job == nil:
			return a.outcome(ctx, seen)
		}
		seen = job
		if err := a.h.conf.env.Sleep(ctx, awaitPoll); err != nil {
			return 0, err
		}
	}
}

// pastJob finds the last version of the list that has the job.
func (a *Admin) pastJob(ctx context.Context, id ulid.ULID) (*manifest.Compaction, error) {
	vs, err := a.compactions().List(ctx, 0, 0)
	if err != nil {
		return nil, err
	}
	for _, v := range slices.Backward(vs) {
		c, err := a.compactions().Read(ctx, v.ID)
		if err != nil {
			break // collected meanwhile, and so are those before
		}
		if job := c.Job(id); job != nil {
			return job, nil
		}
	}
	if _, err := a.manifests().Latest(ctx); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: no compaction %s", ErrNotFound, id)
}

// outcome tells what became of a job that is not in the list any more. A finished one stands
// there for a while, so it is seen finished or judged by its sources: a commit removes them.
func (a *Admin) outcome(ctx context.Context, job *manifest.Compaction) (manifest.Status, error) {
	if job.Status.Finished() {
		return job.Status, nil
	}
	m, err := a.manifests().Latest(ctx)
	if err != nil {
		return 0, err
	}
	t := &m.Root
	if len(job.Spec.Segment) > 0 {
		s := m.Segment(job.Spec.Segment)
		if s == nil {
			return manifest.Completed, nil
		}
		t = &s.Tree
	}
	for i := range t.L0 {
		if slices.Contains(job.Spec.L0Views, t.L0[i].ID) {
			return manifest.Failed, nil
		}
	}
	for i := range t.Runs {
		if id := t.Runs[i].ID; id != job.Spec.Destination && slices.Contains(job.Spec.Runs, id) {
			return manifest.Failed, nil
		}
	}
	return manifest.Completed, nil
}

// RunCompactor coordinates compaction, with a worker of its own unless disabled, until ctx
// ends, and then returns nil. ErrFenced when another compactor has taken over; a writer with
// an embedded compactor loses that role to this one and works on.
func (a *Admin) RunCompactor(ctx context.Context, o *CompactorOptions) error {
	if o == nil {
		o = &CompactorOptions{}
	}
	return a.runUntil(ctx, a.beginCompacting, "compact", compactor.New(a.compactorConfig(o.MaxRetries, o.ManifestUpdateTimeout), *o).Run)
}

// RunCompactionWorker does compactions for the compactor, in any number of processes, until
// ctx ends, and then returns nil.
func (a *Admin) RunCompactionWorker(ctx context.Context, o *WorkerOptions) error {
	if o == nil {
		o = &WorkerOptions{}
	}
	return a.runUntil(ctx, a.beginCompacting, "compact", compactor.NewWorker(a.compactorConfig(o.MaxRetries, 0), *o).Run)
}

func (a *Admin) beginCompacting(ctx context.Context) (context.Context, func(), error) {
	return a.beginWrite(ctx, "compact", false)
}

// compactorConfig is for a role with these retries and this bound of a manifest's update, 0 =
// those of the handle and the default.
func (a *Admin) compactorConfig(retries int, timeout time.Duration) compactor.Config {
	c := a.h.conf
	objects := a.h.componentRetrying("compactor", a.h.raw, retries)
	out := compactor.Config{
		Objects: objects, Root: a.h.path, Env: c.env, Logger: c.Logger,
		Manifests: manifest.NewStoreWith(objects, a.h.path, c.env, manifest.Options{ClaimTimeout: max(timeout, 0)}),
		BlockSize: c.BlockSize, Codec: c.Compression, Transformer: c.BlockTransformer, Policies: c.FilterPolicies,
		MinFilterKeys: c.MinFilterKeys, MergeOperator: c.MergeOperator, Filter: c.CompactionFilter,
	}
	if c.MetricsRecorder != nil {
		out.Count, out.Gauge = a.h.stats.count, a.h.stats.set
	}
	return out
}
