package settings

import (
	"maps"
	"reflect"

	"github.com/slatedb/slatedb-go"
)

// A target is the options laid out flat, so that each field has a place whether or not the
// pointer to its section is set. It is copied by clone and put together by options.
type target struct {
	db        slatedb.Options
	compactor slatedb.CompactorOptions
	worker    slatedb.WorkerOptions
	gc        slatedb.GCOptions
	kinds     [6]slatedb.GCKindOptions // in the order of kindsOf
	reader    slatedb.ReaderOptions
	disk      slatedb.DiskCacheOptions
	unused    map[string]any // of fields that the engine has no use for
}

// The kinds of garbage, as indexes of target.kinds.
const (
	kindManifest = iota
	kindWAL
	kindWALFence
	kindCompacted
	kindCompactions
	kindDetach
)

// kindsOf are the options of the kinds of garbage.
func kindsOf(o *slatedb.GCOptions) [6]**slatedb.GCKindOptions {
	return [6]**slatedb.GCKindOptions{&o.Manifest, &o.WAL, &o.WALFence, &o.Compacted, &o.Compactions, &o.Detach}
}

// newTarget lays o and r out; nil stands for the defaults. It keeps no pointer into them.
func newTarget(o *slatedb.Options, r *slatedb.ReaderOptions) *target {
	t := &target{unused: make(map[string]any)}
	if r != nil {
		t.reader = *r
		if r.DiskCache != nil {
			t.disk = *r.DiskCache
		}
	}
	if o == nil {
		return t
	}
	t.db = *o
	if o.DiskCache != nil {
		t.disk = *o.DiskCache
	}
	if o.Compactor != nil {
		t.compactor = *o.Compactor
		if t.compactor.Worker != nil {
			t.worker = *t.compactor.Worker
		}
	}
	if o.GC != nil {
		t.gc = *o.GC
		for i, k := range kindsOf(&t.gc) {
			if *k != nil {
				t.kinds[i] = **k
			}
		}
	}
	return t
}

func (t *target) clone() *target {
	c := *t
	c.unused = maps.Clone(t.unused)
	return &c
}

// options puts the options together. A section that says nothing is nil.
func (t *target) options() *slatedb.Options {
	o := t.db
	c := t.compactor
	c.Worker = orNil(t.worker)
	o.Compactor = orNil(c)
	g := t.gc
	for i, k := range kindsOf(&g) {
		*k = orNil(t.kinds[i])
	}
	o.GC = orNil(g)
	o.DiskCache = t.diskCache()
	return &o
}

func (t *target) readerOptions() *slatedb.ReaderOptions {
	o := t.reader
	o.DiskCache = t.diskCache()
	return &o
}

// diskCache is nil without a folder: what else is said waits for one.
func (t *target) diskCache() *slatedb.DiskCacheOptions {
	if t.disk.Dir == "" {
		return nil
	}
	d := t.disk
	return &d
}

func orNil[T any](v T) *T {
	if reflect.ValueOf(v).IsZero() {
		return nil
	}
	return &v
}

// spreadDryRun moves what stands for all kinds of garbage into each, so that one can differ.
func (t *target) spreadDryRun() {
	if !t.gc.DryRun {
		return
	}
	t.gc.DryRun = false
	for i := range t.kinds {
		t.kinds[i].DryRun = true
	}
}
