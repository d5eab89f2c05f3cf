package compactor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// A task is one claimed job at work in this process.
type task struct {
	w      *Worker
	began  time.Time     // here, which may not be for the first time
	merged atomic.Uint64 // bytes of keys and values that were merged since
	job    manifest.Compaction
	ctx    context.Context
	cancel context.CancelFunc
	noted  bool // its failure was noted, by the goroutine of Worker.Run

	// Fixed by prepare.
	sources []input
	bottom  bool
	now     int64

	mu struct {
		sync.Mutex
		ranges  []manifest.Subcompaction // empty until planned
		minSeq  kv.Seq
		lastID  uint64 // time of the last table id given
		planned bool
		ended   bool
		lost    bool
		err     error
	}
}

// An input is a source of a job: one L0 view or a run, opened.
type input struct {
	views []*sst.ViewReader
}

func (w *Worker) newTask(ctx context.Context, j *manifest.Compaction) *task {
	t := &task{w: w, job: j.Clone(), began: w.conf.Env.Clock.Now()}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t
}

// run does the job and leaves the outcome for report.
func (w *Worker) run(t *task) {
	err := t.work()
	t.mu.Lock()
	t.mu.ended, t.mu.err = true, err
	t.mu.Unlock()
	t.cancel()
	post(w.wake)
}

// lose stops the task without a further word: another worker has the job.
func (t *task) lose() {
	t.mu.Lock()
	t.mu.lost = true
	t.mu.Unlock()
	t.cancel()
}

// report is what the job list should say now. err is why the task failed.
func (t *task) report() (r report, ended, lost bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.id = t.job.ID
	if t.mu.planned {
		r.context = &manifest.Context{RetentionMinSeq: t.mu.minSeq, Ranges: slices.Clone(t.mu.ranges)}
		for i := range r.context.Ranges {
			r.context.Ranges[i].Outputs = slices.Clone(r.context.Ranges[i].Outputs)
		}
	}
	switch {
	case !t.mu.ended:
		r.state = busyState
	case t.mu.err == nil:
		r.state, r.context = doneState, nil
		for i := range t.mu.ranges {
			r.outputs = append(r.outputs, t.mu.ranges[i].Outputs...)
		}
	default:
		r.state = releasedState
		if !errors.Is(t.mu.err, context.Canceled) {
			err = t.mu.err
		}
	}
	return r, t.mu.ended, t.mu.lost, err
}

// work does the job: plan or take up the plan, then all ranges side by side.
func (t *task) work() error {
	w := t.w
	ssts := sst.NewStore(w.conf.Objects, w.conf.Root, cache.New(cache.Options{BlockBytes: -1, MetaBytes: metaBytes}), sst.StoreOptions{
		Env: w.conf.Env, Transformer: w.conf.Transformer, Ctx: t.ctx,
	})
	size, err := t.prepare(ssts)
	if err != nil {
		return err
	}
	w.started(t, int64(size))
	defer w.ended(t, int64(size))
	t.mu.Lock()
	n := len(t.mu.ranges)
	t.mu.Unlock()
	g, gctx := w.conf.Env.Group(t.ctx)
	first := make(chan struct{}, 1)
	for i := range n {
		g.Go("compaction-range", func() error {
			// A range holds up to two tables in memory, so few run at once. Each job has one of its
			// own: a large job must not hold up the small one that makes room in L0.
			select {
			case first <- struct{}{}:
				defer func() { <-first }()
			case w.extra <- struct{}{}:
				defer func() { <-w.extra }()
			case <-gctx.Done():
				return gctx.Err()
			}
			return t.compactRange(gctx, g, ssts, i, size/uint64(n))
		})
	}
	return g.Wait()
}

// metaBytes bounds the indexes kept while a job runs: each table's is needed by the plan and
// by every range.
const metaBytes = 64 << 20

func (w *Worker) started(t *task, size int64) {
	w.mu.Lock()
	w.mu.bytes += size
	w.mu.busy[t] = struct{}{}
	w.mu.Unlock()
	w.tellBytes()
}

// ended also tells how it went, which no heartbeat may have seen of a short job. The goroutine of
// Run, which is woken then, tells of the end.
func (w *Worker) ended(t *task, size int64) {
	w.tellBytes()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.bytes -= size
	delete(w.mu.busy, t)
}

// tellBytes sets the gauges of what the jobs at work have to merge, and have merged a second, each
// since it began.
func (w *Worker) tellBytes() {
	if w.conf.Gauge == nil {
		return
	}
	now := w.conf.Env.Clock.Now()
	sum := 0.0
	w.mu.Lock()
	bytes := w.mu.bytes
	for t := range w.mu.busy {
		if d := now.Sub(t.began); d > 0 {
			sum += float64(t.merged.Load()) / d.Seconds()
		}
	}
	w.mu.Unlock()
	w.conf.gauge("total_bytes_being_compacted", float64(bytes))
	w.conf.gauge("total_throughput_bytes_per_sec", sum)
}

// prepare resolves the sources and fixes what the job goes by. It returns the input's size.
func (t *task) prepare(ssts *sst.Store) (uint64, error) {
	w := t.w
	// After the claim, never before it: another coordinator's commit may have taken sources
	// away, and it did so before the job could be claimed.
	m := w.conf.Manifests.Known()
	if m == nil || !w.local || w.conf.Wake == nil {
		var err error
		if m, err = w.conf.Manifests.Latest(t.ctx); err != nil {
			return 0, fmt.Errorf("read manifest for compaction %s: %w", t.job.ID, err)
		}
	}
	s := &t.job.Spec
	tree, err := sourceTree(m, s)
	if err != nil {
		return 0, err
	}
	open := func(v *sst.View) *sst.ViewReader { return sst.NewViewReader(ssts.Open(v.Table), v) }
	var views []*sst.ViewReader
	for _, id := range s.L0Views {
		t.sources = append(t.sources, input{[]*sst.ViewReader{open(&tree.L0[findL0(tree, id)])}})
	}
	for _, id := range s.Runs {
		var in input
		for _, v := range findRun(tree, id).Views {
			in.views = append(in.views, open(&v))
		}
		t.sources = append(t.sources, in)
	}
	for _, in := range t.sources {
		views = append(views, in.views...)
	}
	t.bottom, t.now = bottom(tree, s), m.LastL0Tick
	x := t.job.Context
	if x == nil || len(x.Ranges) == 0 {
		minSeq := m.SnapshotMinSeq
		if x != nil && x.RetentionMinSeq != 0 {
			minSeq = x.RetentionMinSeq
		}
		ranges, err := w.split(t.ctx, views, specBytes(tree, s))
		if err != nil {
			return 0, err
		}
		x = &manifest.Context{RetentionMinSeq: minSeq, Ranges: ranges}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.ranges = slices.Clone(x.Ranges)
	// A snapshot that was taken since then reads at a higher number, so the old one stays good,
	// and what is recorded was made with it.
	t.mu.minSeq = x.RetentionMinSeq
	t.mu.planned = true
	t.mu.lastID = t.job.ID.Time()
	return specBytes(tree, s), nil
}

// nextTableTime is the time for the id of the next output: no older than the job or an earlier
// output, since the collector goes by it.
func (t *task) nextTableTime() uint64 {
	now := uint64(max(t.w.conf.Env.Clock.Now().UnixMilli(), 0))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.lastID = max(t.mu.lastID, now)
	return t.mu.lastID
}

// record adds a stored table to its range.
func (t *task) record(i int, h *sst.Handle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.ranges[i].Outputs = append(t.mu.ranges[i].Outputs, h)
}

func (t *task) finishRange(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.ranges[i].Done = true
}

func (t *task) rangeAt(i int) (manifest.Subcompaction, kv.Seq) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.mu.ranges[i]
	r.Outputs = slices.Clone(r.Outputs)
	return r, t.mu.minSeq
}
