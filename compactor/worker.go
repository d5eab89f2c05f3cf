package compactor

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/manifest"
)

// A Worker claims jobs and does them.
type Worker struct {
	conf Config
	o    WorkerOptions
	id   string
	jobs *manifest.CompactionsStore
	wake chan struct{} // a task has ended, or the coordinator has scheduled something
	// told is posted when the coordinator has something to do; nil in a process without one.
	told chan struct{}
	// local: the coordinator is in this process and says when there is work. epoch is its, and
	// only its jobs are claimed, since the manifest may be taken from what it knows.
	local bool
	epoch uint64

	// extra has a token for each range that runs beside the first one of its job.
	extra chan struct{}

	// Of the goroutine of Run.
	tasks map[ulid.ULID]*task
	shy   map[ulid.ULID]retry // jobs that failed here: not claimed again at once
	// unsure: the last look failed or was cut off, so the list may name this worker for jobs it
	// never began, or may yet come to do so: a PUT can still be on its way.
	unsure bool

	mu struct {
		sync.Mutex
		// For the gauges.
		bytes int64              // inputs of running tasks
		busy  map[*task]struct{} // the running tasks
	}
}

// retry says when a job that failed may be tried again.
type retry struct {
	failures int
	at       time.Time
}

// NewWorker returns a worker. No I/O; it does nothing until Run.
func NewWorker(c Config, o WorkerOptions) *Worker {
	w := &Worker{
		conf: c, o: o.withDefaults(), wake: make(chan struct{}, 1), extra: make(chan struct{}, max(1, o.withDefaults().MaxSubcompactions-1)),
		id:    c.Env.ULID(uint64(max(c.Env.Clock.Now().UnixMilli(), 0))).String(),
		jobs:  manifest.NewCompactionsStore(c.Objects, c.Root, c.Env),
		tasks: map[ulid.ULID]*task{}, shy: map[ulid.ULID]retry{},
	}
	w.mu.busy = map[*task]struct{}{}
	return w
}

// releaseTimeout bounds how long the end of Run waits for the store to take its jobs back.
const releaseTimeout = 5 * time.Second

// Run works until ctx ends. Then it gives its jobs back, with what was done of them, and
// returns nil. A job that fails is given back too, and tried again after a growing pause.
func (w *Worker) Run(ctx context.Context) error {
	g, gctx := w.conf.Env.Group(ctx)
	err := w.loop(gctx, func(name string, fn func() error) { g.Go(name, fn) })
	for _, t := range w.tasks {
		t.cancel()
	}
	if gerr := g.Wait(); err == nil {
		err = gerr
	}
	w.release(ctx)
	return cleanStop(ctx, err)
}

func (w *Worker) loop(ctx context.Context, spawn func(string, func() error)) error {
	now := w.conf.Env.Clock.Now()
	beat, poll := now.Add(w.o.HeartbeatInterval), now // when to show life, when to ask the store
	failures := 0
	for first := true; ; first = false {
		now = w.conf.Env.Clock.Now()
		ask := !w.local && (first || !now.Before(poll))
		if ask {
			poll = now.Add(time.Duration((0.5 + w.conf.Env.Float64()) * float64(w.o.PollInterval)))
		}
		showLife := !now.Before(beat)
		if showLife {
			beat = now.Add(w.o.HeartbeatInterval)
		}
		claimed, err := w.look(ctx, ask, showLife)
		w.unsure = err != nil
		if ctx.Err() != nil {
			w.unsure = w.unsure || len(claimed) > 0
			return nil
		}
		wait := w.pause(beat, poll)
		if err != nil {
			if !passing(err) {
				return err
			}
			w.conf.logger().Warn("slatedb: compaction worker", "path", w.conf.Root, "err", err)
			wait = backoff(failures)
			failures++
		} else {
			failures = 0
		}
		for i := range claimed {
			t := w.newTask(ctx, &claimed[i])
			w.tasks[t.job.ID] = t
			spawn("compaction", func() error { w.run(t); return nil })
		}
		w.gauges()
		timer := w.conf.Env.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-w.wake:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// pause is how long nothing needs to be done unless somebody calls.
func (w *Worker) pause(beat, poll time.Time) time.Duration {
	now := w.conf.Env.Clock.Now()
	wait := time.Duration(1<<63 - 1)
	if len(w.tasks) > 0 {
		wait = min(wait, beat.Sub(now))
	}
	if !w.local {
		wait = min(wait, poll.Sub(now))
	}
	for _, r := range w.shy {
		if r.at.After(now) {
			wait = min(wait, r.at.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// look brings what has happened here into the list, and claims jobs. ask reads the newest list first;
// otherwise what this process knows is enough, and a lost race corrects it.
func (w *Worker) look(ctx context.Context, ask, beat bool) ([]manifest.Compaction, error) {
	if ask {
		if _, err := w.jobs.Latest(ctx); isNoList(err) {
			return nil, nil // no coordinator has run yet
		} else if err != nil {
			return nil, err
		}
	}
	if w.jobs.Known() == nil {
		return nil, nil
	}
	now := w.conf.Env.Clock.Now()
	skip := func(id ulid.ULID) bool { return w.shy[id].at.After(now) }
	reports := w.reports()
	running := 0
	for i := range reports {
		if reports[i].state == busyState {
			running++
		}
	}
	var r round
	w.conf.Env.Point("compaction-worker.look")
	_, err := w.jobs.Update(ctx, func(c *manifest.Compactions) error {
		free := w.o.MaxConcurrent - running
		if w.local && c.CompactorEpoch != w.epoch {
			free = 0
		}
		r = work(c, w.id, uint64(max(now.UnixMilli(), 0)), reports, beat, free, skip)
		if !r.changed {
			return manifest.ErrUnchanged
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range r.lost {
		w.conf.logger().Warn("slatedb: compaction lost to another worker", "path", w.conf.Root, "job", id)
		w.tasks[id].lose()
	}
	for _, id := range r.settled {
		delete(w.tasks, id)
	}
	if r.changed {
		w.conf.gauge("worker_last_heartbeat_ms", float64(now.UnixMilli()), "worker_id", w.id)
	}
	w.conf.count("jobs_claimed", uint64(len(r.claimed)))
	if r.handed && w.told != nil {
		post(w.told)
	}
	return r.claimed, nil
}

// reports collects what the tasks have to say and forgets those that were lost and have ended.
func (w *Worker) reports() []report {
	var out []report
	now := w.conf.Env.Clock.Now()
	for id, t := range w.tasks {
		r, ended, lost, err := t.report()
		if lost {
			if ended {
				delete(w.tasks, id)
			}
			continue
		}
		switch {
		case r.state == releasedState && err != nil && !t.noted:
			t.noted = true
			s := w.shy[id]
			s.failures++
			s.at = now.Add(backoff(s.failures - 1))
			w.shy[id] = s
			w.conf.logger().Error("slatedb: compaction failed", "path", w.conf.Root, "job", id, "err", err)
		case r.state == doneState:
			delete(w.shy, id)
		}
		out = append(out, r)
	}
	w.forget()
	return out
}

// forget drops pauses of jobs that are over.
func (w *Worker) forget() {
	list := w.jobs.Known()
	for id := range w.shy {
		if j := list.Job(id); j == nil || j.Status.Finished() {
			delete(w.shy, id)
		}
	}
}

// release gives everything back at the end. ctx has ended, so the store gets a little time of
// its own; if that is not enough, the coordinator takes the jobs back for want of heartbeats.
func (w *Worker) release(ctx context.Context) {
	reports := w.reports()
	if len(reports) == 0 && !w.unsure {
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	g, gctx := w.conf.Env.Group(ctx)
	now := uint64(max(w.conf.Env.Clock.Now().UnixMilli(), 0))
	g.Go("compaction-release", func() error {
		defer cancel()
		if w.unsure {
			if _, err := w.jobs.Latest(gctx); err != nil {
				return nil // the coordinator takes them back
			}
		}
		_, err := w.jobs.Update(gctx, func(c *manifest.Compactions) error {
			r := work(c, w.id, now, reports, false, 0, nil)
			// A claim that is still on its way finds its id taken, whatever else there is to write.
			r.changed = r.changed || w.unsure
			for i := range c.Jobs {
				// What is still this worker's was claimed and never begun.
				if j := &c.Jobs[i]; j.Status == manifest.Running && j.Worker != nil && j.Worker.ID == w.id {
					j.Status, j.Worker, r.changed = manifest.Scheduled, nil, true
				}
			}
			if !r.changed {
				return manifest.ErrUnchanged
			}
			return nil
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			w.conf.logger().Warn("slatedb: compactions not given back", "path", w.conf.Root, "err", err)
		}
		return nil
	})
	_ = w.conf.Env.Sleep(ctx, releaseTimeout)
	cancel()
	_ = g.Wait()
}

func (w *Worker) gauges() {
	if w.conf.Gauge == nil {
		return
	}
	w.conf.gauge("running_compactions", float64(len(w.tasks)), "worker_id", w.id)
	w.tellBytes()
}
