package slatedb

import (
	"context"

	"github.com/slatedb/slatedb-go/gc"
	"github.com/slatedb/slatedb-go/manifest"
)

// GCOptions are the options of garbage collection.
type GCOptions = gc.Options

// GCKindOptions are the options for one kind of objects.
type GCKindOptions = gc.KindOptions

// A GCReport says what one pass of the collector deleted and what it kept, and why.
type GCReport = gc.Report

// A GCObject is one object of a GCReport.
type GCObject = gc.Object

// RunGCOnce collects garbage once and reports what was deleted, by kind, and why the rest was
// kept. What could not be deleted is in Kept, with an error beside the report. nil options
// are the defaults: objects younger than 5 minutes stay.
func (a *Admin) RunGCOnce(ctx context.Context, o *GCOptions) (GCReport, error) {
	ctx, end, err := a.beginCollecting(ctx, o)
	if err != nil {
		return GCReport{}, err
	}
	defer end()
	report, err := a.collector(o).RunOnce(ctx)
	return report, a.done("collect garbage", err)
}

// RunGC collects garbage each GCOptions.Interval until ctx ends, and then returns nil.
func (a *Admin) RunGC(ctx context.Context, o *GCOptions) error {
	begin := func(ctx context.Context) (context.Context, func(), error) {
		return a.beginCollecting(ctx, o)
	}
	return a.runUntil(ctx, begin, "collect garbage", func(ctx context.Context) error {
		if err := a.h.namesWALStore(a.manifests().Known(), "AdminOptions"); err != nil {
			return err
		}
		return a.collector(o).Run(ctx)
	})
}

// beginCollecting is the begin of a collection, which in a dry run writes nothing.
func (a *Admin) beginCollecting(ctx context.Context, o *GCOptions) (context.Context, func(), error) {
	if o != nil && o.DryRun {
		return a.begin(ctx)
	}
	return a.beginWrite(ctx, "collect garbage", true)
}

func (a *Admin) collector(o *GCOptions) *gc.Collector {
	if o == nil {
		o = &GCOptions{}
	}
	h := a.h
	objects := h.componentRetrying("gc", h.raw, o.MaxRetries)
	c := gc.Config{
		Objects: objects, Root: h.path, Env: h.conf.env, Logger: h.conf.Logger,
		Manifests: manifest.NewStore(objects, h.path, h.conf.env), Compactions: manifest.NewCompactionsStore(objects, h.path, h.conf.env),
	}
	c.Check = func(m *manifest.Manifest) error { return h.namesWALStore(m, "AdminOptions") }
	if h.conf.WALStore != nil {
		c.WALObjects = h.componentRetrying("gc", h.rawWAL, o.MaxRetries)
	}
	if h.conf.MetricsRecorder != nil {
		c.Count, c.Gauge = h.stats.count, h.stats.set
	}
	return gc.New(c, *o)
}

// runUntil runs a job until ctx ends, which is success, or Close, which is ErrClosed.
func (a *Admin) runUntil(ctx context.Context, begin func(context.Context) (context.Context, func(), error), op string, run func(context.Context) error) error {
	if ctx.Err() != nil {
		return nil
	}
	rctx, end, err := begin(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	defer end()
	if _, err = a.manifests().Latest(rctx); err == nil {
		stop := a.reporting(rctx)
		err = run(rctx)
		stop()
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		return a.h.latched()
	}
	return a.done(op, err)
}
