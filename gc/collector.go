package gc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// Config is what the owner of a Collector passes in. Objects, Root and Env must be set.
type Config struct {
	Objects    objstore.Store
	WALObjects objstore.Store // nil: Objects
	Root       string
	Env        *seam.Env
	Logger     *slog.Logger // nil: slog.Default()
	// Manifests and Compactions are the handle's own when there is one, so that a pass
	// does not ask the store for what is known. nil: own ones.
	Manifests   *manifest.Store
	Compactions *manifest.CompactionsStore
	// Check, when set, is asked about the manifest of each pass; its error ends the pass before
	// anything is looked at.
	Check func(*manifest.Manifest) error
	// Count adds to a counter; labels alternate name and value. nil: nobody counts.
	Count func(name string, delta uint64, labels ...string)
	// Gauge sets a gauge, in the same way.
	Gauge func(name string, value float64, labels ...string)
}

// A Collector collects the garbage of one database. Safe for concurrent use.
type Collector struct {
	conf  Config
	opts  Options
	rules map[string]rule
	turn  chan struct{} // holds one token while a pass runs

	// What the last passes saw. Under turn.
	seen    map[string]mark // by kind
	jobless uint64          // id of the manifest at which there were no compactions, 0 = there were
	warned  map[string]bool // kinds whose boundary cannot be advanced
}

// A mark is a look at one kind of objects that ended well. As long as manifest and compactions
// are the same, only time can make something of the kind deletable: what is new is newer than
// what decides.
type mark struct {
	view view
	due  time.Time // when the first object comes of age, zero = none does
}

// A view is what the decisions about a kind depend on, objects and time apart.
type view struct {
	manifest, compactions uint64
	checkpoints           int // they expire without a new manifest in a dry run
}

// New returns a Collector. No I/O.
func New(c Config, o Options) *Collector {
	if c.WALObjects == nil {
		c.WALObjects = c.Objects
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Manifests == nil {
		c.Manifests = manifest.NewStore(c.Objects, c.Root, c.Env)
	}
	if c.Compactions == nil {
		c.Compactions = manifest.NewCompactionsStore(c.Objects, c.Root, c.Env)
	}
	if c.Count == nil {
		c.Count = func(string, uint64, ...string) {}
	}
	if c.Gauge == nil {
		c.Gauge = func(string, float64, ...string) {}
	}
	g := &Collector{
		conf: c, opts: o, rules: make(map[string]rule), turn: make(chan struct{}, 1),
		seen: make(map[string]mark), warned: make(map[string]bool),
	}
	for _, k := range kinds {
		g.rules[k] = o.rule(k)
	}
	return g
}

// RunOnce makes one pass over all kinds that are not disabled. A kind that fails does not stop
// the others; the error joins what went wrong, and the report holds what was done all the same.
// What could not be deleted is in Kept with the error as its reason, and the next pass tries
// again. A kind in which nothing can have changed since this Collector last looked at it is not
// looked at and not reported.
//
// The errors are manifest.ErrNoDatabase, kv.ErrCorrupt for a manifest that is gone or damaged,
// and those of the store.
func (c *Collector) RunOnce(ctx context.Context) (Report, error) {
	var all []string
	for _, k := range kinds {
		if !c.rules[k].off {
			all = append(all, k)
		}
	}
	return c.pass(ctx, all)
}

// Run makes a pass each Interval until ctx ends, and then returns nil. The errors of a pass are
// logged. The first pass comes within a tenth of the interval, at random, so that databases
// opened together do not list together, and short-lived processes collect too.
func (c *Collector) Run(ctx context.Context) error {
	next := make(map[string]time.Time)
	shortest := time.Duration(0)
	for _, k := range kinds {
		if r := c.rules[k]; !r.off && r.interval > 0 && (shortest == 0 || r.interval < shortest) {
			shortest = r.interval
		}
	}
	begin := c.conf.Env.Clock.Now().Add(time.Duration(c.conf.Env.Float64() * float64(shortest) / 10))
	for _, k := range kinds {
		if r := c.rules[k]; !r.off && r.interval > 0 {
			next[k] = begin
		}
	}
	if len(next) == 0 {
		<-ctx.Done()
		return nil
	}
	for {
		now := c.conf.Env.Clock.Now()
		var soonest time.Time
		for _, k := range kinds {
			at, ok := next[k]
			if !ok {
				continue
			}
			if limit := now.Add(c.rules[k].interval); at.After(limit) {
				at = limit // the clock was set back
				next[k] = at
			}
			if soonest.IsZero() || at.Before(soonest) {
				soonest = at
			}
		}
		if c.conf.Env.Sleep(ctx, soonest.Sub(now)) != nil {
			return nil
		}
		var due []string
		now = c.conf.Env.Clock.Now()
		for _, k := range kinds {
			if at, ok := next[k]; ok && !at.After(soonest) {
				due = append(due, k)
				next[k] = now.Add(c.rules[k].interval)
			}
		}
		if _, err := c.pass(ctx, due); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			c.conf.Logger.Warn("slatedb: garbage collection", "path", c.conf.Root, "err", err)
		}
	}
}

// pass looks at some kinds.
func (c *Collector) pass(ctx context.Context, due []string) (rep Report, err error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return Report{}, fmt.Errorf("collect garbage: %w", context.Cause(ctx))
	}
	c.conf.Count("slatedb.gc.count", 1)
	p := &pass{Collector: c, now: c.conf.Env.Clock.Now()}
	if err := p.run(ctx, due); err != nil {
		return p.report, fmt.Errorf("collect garbage: %w", err)
	}
	return p.report, nil
}

// A pass is one look at the database.
type pass struct {
	*Collector
	now    time.Time
	state  *State
	report Report
	wal    []objstore.Attributes // listing of wal/, shared by its two kinds
	listed bool
}

func (p *pass) run(ctx context.Context, due []string) error {
	if err := p.read(ctx, due); err != nil {
		return err
	}
	if c := p.conf.Check; c != nil {
		if err := c(p.state.Manifest); err != nil {
			return err
		}
	}
	if !p.state.Manifest.Initialized {
		return nil // a clone in the making: what it needs is not all written down yet
	}
	due = slices.DeleteFunc(slices.Clone(due), func(k string) bool {
		m, ok := p.seen[k]
		return ok && m.view == p.view(k) && (m.due.IsZero() || !p.now.After(m.due))
	})
	pinned := p.pin(ctx, due)
	p.conf.Env.Point("gc.state-read")
	var errs []error
	if pinned != nil {
		errs = append(errs, pinned)
	}
	for _, k := range due {
		if pinned != nil && p.needsPins(k) {
			continue
		}
		ds, err := p.collect(ctx, k)
		p.report.add(ds)
		if err != nil { // without a new mark it is looked at again
			if ctx.Err() != nil {
				return errors.Join(append(errs, err)...)
			}
			errs = append(errs, err)
			continue
		}
		if !p.rules[k].dry { // a dry run says the same each time
			p.seen[k] = mark{p.view(k), soonest(ds)}
		}
	}
	return errors.Join(errs...)
}

func (p *pass) view(kind string) view {
	var v view
	if p.state.Compactions != nil && readsCompactions(kind) {
		v.compactions = p.state.Compactions.ID
	}
	if kind != KindCompactions {
		v.manifest, v.checkpoints = p.state.Manifest.ID, len(p.state.Manifest.Checkpoints)
	}
	return v
}

func readsCompactions(kind string) bool { return kind == KindCompactions || kind == KindCompacted }

// soonest returns when the first of the kept objects comes of age.
func soonest(ds []Decision) (due time.Time) {
	for i := range ds {
		if d := &ds[i]; !d.Due.IsZero() && (due.IsZero() || d.Due.Before(due)) {
			due = d.Due
		}
	}
	return due
}

// collect plans one kind and acts. In a dry run nothing is done, but reported as if.
func (p *pass) collect(ctx context.Context, kind string) ([]Decision, error) {
	rule := p.rules[kind]
	r := Rules{Now: p.now, MinAge: rule.minAge, DeleteWALFences: p.opts.DeleteWALFences}
	store := p.conf.Objects
	var (
		ds       []Decision
		boundary *manifest.Boundary
		listed   []objstore.Attributes
		err      error
	)
	switch kind {
	case KindManifest:
		listed, err = p.list(ctx, store, kind)
		ds, boundary = PlanManifests(p.state, r, listed), p.conf.Manifests.Boundary()
	case KindCompactions:
		if p.state.Compactions == nil {
			return nil, nil
		}
		listed, err = p.list(ctx, store, kind)
		ds, boundary = PlanCompactions(p.state, r, listed), p.conf.Compactions.Boundary()
	case KindWAL, KindWALFence:
		store = p.conf.WALObjects
		if listed, err = p.listWAL(ctx); kind == KindWAL {
			ds = PlanWAL(p.state, r, listed)
		} else {
			ds = PlanWALFences(p.state, r, listed)
		}
	case KindCompacted:
		listed, err = p.list(ctx, store, kind)
		ds = PlanCompacted(p.state, r, listed)
	case KindDetach:
		ds = PlanDetach(p.state)
		if rule.dry {
			return ds, nil
		}
		return ds, p.detach(ctx, ds)
	}
	if err != nil {
		return nil, err // half a listing is no listing
	}
	p.conf.Env.Point("gc.planned-" + kind)
	if kind == KindManifest || kind == KindCompactions {
		defer func() { p.conf.Gauge("slatedb.gc.version_count", float64(left(ds, rule.dry)), "resource", kind) }()
	}
	if rule.dry {
		return ds, nil
	}
	if boundary != nil && !p.opts.DisableBoundaryFiles {
		if err := p.raise(ctx, kind, boundary, ds); err != nil {
			return ds, err
		}
	}
	return ds, p.delete(ctx, store, kind, ds)
}

// left counts the versions that are there after a pass. The decision about one that could not be
// deleted was turned into keeping it.
func left(ds []Decision, dry bool) int {
	n := 0
	for i := range ds {
		if ds[i].ID != 0 && (dry || !ds[i].Delete) {
			n++
		}
	}
	return n
}

func (p *pass) list(ctx context.Context, s objstore.Store, dir string) ([]objstore.Attributes, error) {
	prefix := under(p.conf.Root, dir)
	var out []objstore.Attributes
	for a, err := range s.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// listWAL lists once for the two kinds: rows and fences lie in one directory.
func (p *pass) listWAL(ctx context.Context) ([]objstore.Attributes, error) {
	if !p.listed {
		l, err := p.list(ctx, p.conf.WALObjects, "wal")
		if err != nil {
			return nil, err
		}
		p.wal, p.listed = l, true
	}
	return p.wal, nil
}
