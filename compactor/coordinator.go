package compactor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
)

// A Compactor is the coordinator of one database, with a worker of its own unless disabled.
type Compactor struct {
	conf   Config
	o      Options
	jobs   *manifest.CompactionsStore
	worker *Worker       // nil: disabled
	over   chan struct{} // closed at the end of Run
	mail   chan struct{} // the worker has something for the coordinator

	// Of the coordinator's goroutine.
	role    *manifest.Fenced
	known   []manifest.Compaction         // as last stored or merged
	version uint64                        // of the list that known is from
	settled map[ulid.ULID]manifest.Status // done in the manifest, not yet in the list
	pulses  pulses
	idle    int // looks in a row that found nothing

	mu struct {
		sync.Mutex
		ended   map[ulid.ULID]manifest.Status // some of the jobs that ended under this coordinator
		order   []ulid.ULID                   // the same, oldest first
		changed chan struct{}                 // closed when ended grows
	}
}

// New returns a compactor. No I/O; it does nothing until Run.
func New(c Config, o Options) *Compactor {
	var wo WorkerOptions
	if o.Worker != nil {
		wo = *o.Worker
	}
	x := &Compactor{
		conf: c, o: o.withDefaults(), mail: make(chan struct{}, 1), over: make(chan struct{}),
		jobs:    manifest.NewCompactionsStore(c.Objects, c.Root, c.Env),
		settled: map[ulid.ULID]manifest.Status{}, pulses: pulses{},
	}
	x.mu.ended, x.mu.changed = map[ulid.ULID]manifest.Status{}, make(chan struct{})
	if o.CompactionFilter != nil {
		c.Filter = o.CompactionFilter
	}
	if !o.DisableWorker {
		x.worker = NewWorker(c, wo)
		x.worker.jobs, x.worker.told, x.worker.local = x.jobs, x.mail, true
	}
	return x
}

// Run coordinates until ctx ends. It returns nil on a clean stop and kv.ErrFenced when another
// coordinator has taken over; everything it started has returned by then, and the
// jobs of its worker are given back. It is called once.
func (c *Compactor) Run(ctx context.Context) error {
	defer close(c.over)
	for n := 0; ; n++ {
		err := c.start(ctx)
		if err == nil {
			break
		}
		err = fmt.Errorf("start compactor: %w", unavailable(err))
		if ctx.Err() != nil || !passing(err) {
			return cleanStop(ctx, err)
		}
		c.conf.logger().Warn("slatedb: compactor", "path", c.conf.Root, "err", err)
		if c.conf.Env.Sleep(ctx, backoff(n)) != nil {
			return nil
		}
	}
	g, gctx := c.conf.Env.Group(ctx)
	g.Go("compactor", func() error { return c.loop(gctx) })
	if c.worker != nil {
		g.Go("compaction-worker", func() error { return c.worker.Run(gctx) })
	}
	return cleanStop(ctx, g.Wait())
}

// start claims the role in the manifest and then, with the same epoch, in the list.
func (c *Compactor) start(ctx context.Context) error {
	role, err := c.conf.Manifests.AcquireCompactor(ctx, manifest.AcquireOptions{Check: func(m *manifest.Manifest) error {
		if !m.Initialized {
			return fmt.Errorf("%w: the database is a clone that was never finished", kv.ErrCorrupt)
		}
		return nil
	}})
	if err != nil {
		return err
	}
	c.role = role
	c.conf.gauge("epoch", float64(role.Epoch()))
	c.told(role.Current())
	if _, err := c.jobs.Latest(ctx); isNoList(err) {
		if _, err = c.jobs.Create(ctx, &manifest.Compactions{}); err != nil && !isExists(err) {
			return err
		}
	} else if err != nil {
		return err
	}
	list, err := c.jobs.Update(ctx, func(x *manifest.Compactions) error {
		if x.CompactorEpoch >= role.Epoch() {
			return c.fenced(x)
		}
		x.CompactorEpoch = role.Epoch()
		x.Jobs = begin(x.Jobs)
		return nil
	})
	if err != nil {
		return err
	}
	c.known, c.version = list.Jobs, list.ID
	if c.worker != nil {
		c.worker.epoch = role.Epoch()
	}
	return nil
}

func (c *Compactor) fenced(x *manifest.Compactions) error {
	return fmt.Errorf("compactor epoch %d, the job list has %d: %w", c.role.Epoch(), x.CompactorEpoch, kv.ErrFenced)
}

// loop looks when somebody calls, and from time to time.
func (c *Compactor) loop(ctx context.Context) error {
	wake := c.conf.Wake
	poll, full := false, false // the first look uses what start has read
	due := c.conf.Env.Clock.Now().Add(c.poll())
	failures := 0
	for {
		err := c.look(ctx, poll, full)
		if ctx.Err() != nil {
			return nil
		}
		wait := c.pause(due)
		if err != nil {
			if !passing(err) {
				return err
			}
			c.conf.logger().Warn("slatedb: compactor", "path", c.conf.Root, "err", err)
			wait = backoff(failures)
			failures++
		} else {
			failures = 0
		}
		t := c.conf.Env.Clock.NewTimer(wait)
		poll = err != nil // what is known may be old
		full = poll
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case _, ok := <-wake:
			if !ok {
				wake = nil
			}
		case <-c.mail:
		case <-t.C():
			poll = true
		}
		t.Stop()
		c.conf.Env.Point("compactor.look")
		if now := c.conf.Env.Clock.Now(); !now.Before(due) {
			poll, full = true, true
			due = now.Add(c.poll())
		}
	}
}

// backoff is the pause after n failures in a row.
func backoff(n int) time.Duration { return min(time.Second<<min(n, 5), 30*time.Second) }

// poll is the interval of full looks: the configured one, or adaptive.
func (c *Compactor) poll() time.Duration {
	switch {
	case c.o.PollInterval > 0:
		return c.o.PollInterval
	case c.conf.Wake == nil:
		return defaultPoll
	}
	return min(defaultPoll<<min(c.idle, 5), idlePoll)
}

// looksPerLatest: of so many polls of an idle embedded compactor one asks for everything, the
// others for the next version of the list only.
const looksPerLatest = 8

// pause is how long to wait for the next look: until due, or less while others work on jobs.
func (c *Compactor) pause(due time.Time) time.Duration {
	wait := max(due.Sub(c.conf.Env.Clock.Now()), time.Millisecond)
	for i := range c.known {
		j := &c.known[i]
		if j.Status.Finished() || c.worker != nil && j.Worker != nil && j.Worker.ID == c.worker.id {
			continue
		}
		return min(wait, c.o.CommitInterval)
	}
	return wait
}

// look does everything there is to do now. poll asks the store first for the list, full for the
// manifest too.
func (c *Compactor) look(ctx context.Context, poll, full bool) error {
	list := c.jobs.Known()
	if poll {
		ask := c.jobs.Latest
		if c.conf.Wake != nil && c.idle%looksPerLatest != 0 {
			ask = c.jobs.Look
		}
		var err error
		if list, err = ask(ctx); err != nil {
			return err
		}
	}
	if err := c.ours(list); err != nil {
		return err
	}
	now := c.conf.Env.Clock.Now()
	before := c.version
	jobs := c.merge(list.Jobs)
	c.known, c.version = jobs, list.ID
	c.pulses.note(jobs, now)
	// Read the list first, the manifest second. An embedded one is kept up to date by the writer.
	if c.conf.Wake == nil && (full || needsManifest(jobs)) {
		if _, err := c.role.Refresh(ctx); err != nil {
			return err
		}
	}
	if err := c.commit(ctx, finished(jobs, c.settled)); err != nil {
		return err
	}
	p := makePlan(View{c.role.Current(), settleAll(jobs, c.settled), c.o.MaxConcurrent}, c.o.Scheduler, c.o.TrivialMove, c.conf.MergeOperator != nil)
	if p.err != nil {
		c.conf.logger().Error("slatedb: compaction scheduler", "path", c.conf.Root, "err", p.err)
	}
	for id, err := range p.rejected {
		c.settled[id] = manifest.Failed
		c.conf.logger().Warn("slatedb: compaction rejected", "path", c.conf.Root, "job", id, "err", err)
	}
	d := &decisions{settled: c.settled, promoted: p.promoted, added: p.added}
	if err := c.move(ctx, p.moves, d); err != nil {
		return err
	}
	changed, err := c.write(ctx, jobs, d)
	if err != nil {
		return err
	}
	if changed || c.version != before || c.unfinished() {
		c.idle = 0
	} else if full {
		c.idle++
	}
	return nil
}

// needsManifest reports whether a job is to be held against the newest manifest.
func needsManifest(jobs []manifest.Compaction) bool {
	for i := range jobs {
		if s := jobs[i].Status; s == manifest.Submitted || s == manifest.Compacted {
			return true
		}
	}
	return false
}

func (c *Compactor) unfinished() bool {
	for i := range c.known {
		if !c.known[i].Status.Finished() {
			return true
		}
	}
	return false
}

// ours compares the list's epoch with ours.
func (c *Compactor) ours(x *manifest.Compactions) error {
	switch own := c.role.Epoch(); {
	case x.CompactorEpoch > own:
		return c.fenced(x)
	case x.CompactorEpoch < own:
		return fmt.Errorf("%w: %s: compactor epoch fell from %d to %d", kv.ErrCorrupt, c.jobs.Key(x.ID), own, x.CompactorEpoch)
	}
	return nil
}

func (c *Compactor) merge(stored []manifest.Compaction, added ...addition) []manifest.Compaction {
	known := manifest.Compactions{Jobs: slices.Clone(c.known)}
	for i := range added {
		known.Put(added[i].job())
	}
	jobs, odd := mergeJobs(known.Jobs, stored)
	for _, s := range odd {
		c.conf.logger().Error("slatedb: compaction list", "path", c.conf.Root, "problem", s)
	}
	return jobs
}

// finished returns the jobs whose outputs wait for the manifest.
func finished(jobs []manifest.Compaction, settled map[ulid.ULID]manifest.Status) []manifest.Compaction {
	var out []manifest.Compaction
	for i := range jobs {
		if _, ok := settled[jobs[i].ID]; jobs[i].Status == manifest.Compacted && !ok {
			out = append(out, jobs[i])
		}
	}
	return out
}

// settleAll shows jobs as they will be in the list.
func settleAll(jobs []manifest.Compaction, settled map[ulid.ULID]manifest.Status) []manifest.Compaction {
	out := cloneJobs(jobs)
	for i := range out {
		if to, ok := settled[out[i].ID]; ok {
			settle(&out[i], to)
		}
	}
	return out
}

// commit puts jobs into the manifest, together, and settles them.
func (c *Compactor) commit(ctx context.Context, jobs []manifest.Compaction) error {
	if len(jobs) == 0 {
		return nil
	}
	out, err := c.publish(ctx, jobs)
	if err != nil {
		return err
	}
	for i := range out {
		c.settled[jobs[i].ID] = out[i].status
		c.report(&jobs[i], out[i])
	}
	return nil
}

func (c *Compactor) report(j *manifest.Compaction, v verdict) {
	if v.status == manifest.Failed {
		c.conf.logger().Warn("slatedb: compaction rejected", "path", c.conf.Root, "job", j.ID, "err", v.err)
		return
	}
	c.conf.gauge("last_compaction_timestamp_sec", float64(c.conf.Env.Clock.Now().Unix()))
	c.conf.logger().Debug("slatedb: compaction committed", "path", c.conf.Root, "job", j.ID, "l0", len(j.Spec.L0Views),
		"runs", len(j.Spec.Runs), "destination", j.Spec.Destination, "tables", len(j.Outputs), "drain", j.Spec.Drain)
}

// publish writes two manifests: one that pins the inputs for those who still read them, then
// the change. What the second write does is decided anew on whatever version it meets.
func (c *Compactor) publish(ctx context.Context, jobs []manifest.Compaction) ([]verdict, error) {
	operator := c.conf.MergeOperator != nil
	for {
		var out []verdict
		id := c.conf.Env.UUID()
		c.conf.Env.Point("compactor.before-pin")
		m, err := c.role.Update(ctx, func(m *manifest.Manifest) error {
			var changed bool
			if out, changed = applyAll(m.Clone(), jobs, operator); !changed {
				return manifest.ErrUnchanged
			}
			now := c.conf.Env.Clock.Now()
			m.Checkpoints = append(m.Checkpoints, manifest.Checkpoint{
				ID: id, ManifestID: m.ID + 1, CreateTime: now, ExpireTime: now.Add(c.o.CheckpointLifetime),
			})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("pin inputs: %w", err)
		}
		c.told(m)
		if m.Checkpoint(id) == nil {
			return out, nil // nothing to change
		}
		c.conf.Env.Point("compactor.before-commit")
		pinned := m.ID
		m, err = c.takeInputs(ctx, id, pinned, func(m *manifest.Manifest) error {
			var changed bool
			if out, changed = applyAll(m, jobs, operator); !changed {
				return manifest.ErrUnchanged
			}
			return nil
		})
		if errors.Is(err, errUnpinned) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("commit compaction: %w", err)
		}
		c.conf.Env.Point("compactor.after-commit")
		c.told(m)
		return out, nil
	}
}

// maxRepins bounds how often a commit makes way for the writes of others.
const maxRepins = 8

// takeInputs does the second write, which takes the inputs away. It is to follow directly on a version
// that checkpoint id pins: a reader that still uses the version before it needs all of its
// tables. When somebody has written in between, the checkpoint moves on to a version of its own first.
func (c *Compactor) takeInputs(ctx context.Context, id uuid.UUID, pinned uint64, change func(*manifest.Manifest) error) (*manifest.Manifest, error) {
	for moves := 0; ; moves++ {
		moved := false
		m, err := c.role.Update(ctx, func(m *manifest.Manifest) error {
			moved = false
			pin := m.Checkpoint(id)
			if pin == nil {
				return errUnpinned
			}
			if m.ID != pinned && moves < maxRepins {
				moved = true
				pin.ManifestID, pin.ExpireTime = m.ID+1, c.conf.Env.Clock.Now().Add(c.o.CheckpointLifetime)
				return nil
			}
			return change(m)
		})
		if err != nil || !moved {
			return m, err
		}
		pinned = m.ID
		c.told(m)
		c.conf.Env.Point("compactor.after-repin")
	}
}

// errUnpinned: somebody removed the checkpoint between the two writes.
var errUnpinned = errors.New("compactor: the checkpoint of the inputs is gone")

func (c *Compactor) told(m *manifest.Manifest) {
	if c.conf.OnManifest != nil {
		c.conf.OnManifest(m)
	}
}

// write stores what was decided and wakes the worker.
func (c *Compactor) write(ctx context.Context, jobs []manifest.Compaction, d *decisions) (bool, error) {
	now := c.conf.Env.Clock.Now()
	lost := func(j *manifest.Compaction) bool {
		mine := c.worker != nil && j.Worker != nil && j.Worker.ID == c.worker.id
		return !mine && c.pulses.lost(j, now, c.o.WorkerHeartbeatTimeout)
	}
	mint := func(jobs []manifest.Compaction) ulid.ULID { return newJobID(c.conf.Env, jobs) }
	next, changed := decide(jobs, d, lost, mint)
	if changed {
		first := true
		list, err := c.jobs.Update(ctx, func(x *manifest.Compactions) error {
			if err := c.ours(x); err != nil {
				return err
			}
			if !first || x.ID != c.version {
				// What is added may be stored already, if the answer to that was lost, and may
				// have gone on since.
				next, changed = decide(c.merge(x.Jobs, d.added...), d, lost, mint)
				changed = changed || !d.storedIn(x)
			}
			first = false
			if !changed {
				return manifest.ErrUnchanged
			}
			x.Jobs = trimmed(next)
			return nil
		})
		if err != nil {
			return false, fmt.Errorf("write job list: %w", err)
		}
		c.conf.count("jobs_reclaimed", reclaimed(c.known, list.Jobs))
		c.known, c.version = list.Jobs, list.ID
	}
	c.notify()
	clear(c.settled)
	if c.worker != nil {
		for i := range c.known {
			if c.known[i].Status == manifest.Scheduled {
				post(c.worker.wake)
				break
			}
		}
	}
	return changed, nil
}

func reclaimed(before, after []manifest.Compaction) (n uint64) {
	now := manifest.Compactions{Jobs: after}
	for i := range before {
		if j := now.Job(before[i].ID); j != nil && before[i].Status == manifest.Running && j.Status == manifest.Scheduled {
			n++
		}
	}
	return n
}

func post(mail chan struct{}) {
	select {
	case mail <- struct{}{}:
	default:
	}
}

// move does the jobs that need no worker.
func (c *Compactor) move(ctx context.Context, jobs []manifest.Compaction, d *decisions) error {
	if len(jobs) == 0 {
		return nil
	}
	out, err := c.publish(ctx, jobs)
	if err != nil {
		return err
	}
	for i := range out {
		if jobs[i].ID != (ulid.ULID{}) {
			d.settled[jobs[i].ID] = out[i].status
		} else {
			d.added = append(d.added, addition{spec: jobs[i].Spec, status: out[i].status})
		}
		c.report(&jobs[i], out[i])
	}
	post(c.mail) // there may be more to do now
	return nil
}
