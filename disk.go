package slatedb

import (
	"context"
	"math"

	"github.com/slatedb/slatedb-go/diskcache"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// DiskCacheOptions configure the local disk of a database: a cache of the parts of tables
// that are read, or a mirror of all tables.
type DiskCacheOptions = diskcache.Options

// A PreloadMode says what is read into the disk cache when a database is opened.
type PreloadMode = diskcache.PreloadMode

// The preload modes.
const (
	PreloadNone = diskcache.PreloadNone // the default
	PreloadL0   = diskcache.PreloadL0   // the tables of L0
	PreloadAll  = diskcache.PreloadAll  // all tables, L0 first
)

// localDisk is the disk of a handle: a part cache or a mirror. A nil one does nothing.
type localDisk struct {
	parts  *diskcache.Cache
	mirror *diskcache.Mirror
	scope  string
	counts diskcache.Counts

	cached *diskcache.Cached // reads of the part cache
	store  objstore.Store    // where the mirror fetches from
	loaded chan struct{}     // closed when the preload is done
}

// openDisk opens the directory, if one is wanted.
func (h *handle) openDisk(location string) error {
	o := h.conf.DiskCache
	if o == nil {
		return nil
	}
	// Names that hold over a restart, unlike those of the block cache. Table ids are unique,
	// so that nothing is mixed up where two stores get one name.
	scope := "store:" + h.raw.Properties().Name
	if h.conf.Store == nil {
		scope = cacheScope(nil, location, h.path)
	}
	d := &localDisk{scope: scope, loaded: make(chan struct{})}
	conf := diskcache.Config{Options: *o, FS: h.conf.diskFS, Env: h.conf.env, Logger: h.conf.Logger}
	var err error
	if o.Mirror {
		d.store = h.component("mirror", h.raw)
		d.mirror, err = diskcache.OpenMirror(h.life, conf, scope, h.path)
	} else {
		d.parts, err = diskcache.Open(conf)
	}
	if err != nil {
		return err
	}
	h.disk = d
	return nil
}

// close is called when the handle's life has ended.
func (d *localDisk) close() {
	switch {
	case d == nil:
	case d.mirror != nil:
		d.mirror.Close()
	default:
		d.parts.Close()
	}
}

// watch returns what watches the directory.
func (d *localDisk) watch() func(func(diskcache.Trouble)) (stop func()) {
	if d.mirror != nil {
		return d.mirror.Watch
	}
	return d.parts.Watch
}

// tableReads returns the store that reads of tables use, and the one for a second look at
// what was damaged. The disk stands above the retries and the ledger: its hits are no
// requests.
func (h *handle) tableReads() (tables, fresh objstore.Store) {
	s := h.component("read", h.raw)
	switch d := h.disk; {
	case d == nil:
		return s, s
	case d.mirror != nil:
		tables, fresh := d.mirror.Reads(s, &d.counts)
		return tables, fresh
	default:
		tables, fresh := d.parts.Reads(s, d.scope, &d.counts)
		d.cached = tables
		return tables, fresh
	}
}

// tableWrites returns the store for a component that writes tables, "flush" or "compactor";
// retries is as for componentRetrying.
func (h *handle) tableWrites(cause string, retries int) objstore.Store {
	s := h.componentRetrying(cause, h.raw, retries)
	switch d := h.disk; {
	case d == nil:
		return s
	case d.mirror != nil:
		return d.mirror.Writes(s)
	default:
		o := h.conf.DiskCache
		return d.parts.Writes(s, d.scope, cause == "flush" && o.OnFlush || cause == "compactor" && o.OnCompaction)
	}
}

// tableObject is the key of a table's object.
func tableObject(path string, t *sst.Handle) string {
	if t.Root != "" {
		path = t.Root
	}
	return t.ID.Object(path)
}

// tableEnd is how far into the object reads of a table go, 0 when the manifest talks nonsense.
func tableEnd(i *sst.Info) int64 {
	end := max(i.IndexOffset+i.IndexLen, i.FilterOffset+i.FilterLen, i.StatsOffset+i.StatsLen)
	if end > math.MaxInt64/2 {
		return 0
	}
	return int64(end)
}

// tablesOf lists the tables of a manifest: L0 of every tree, newest first, then the runs.
func tablesOf(path string, m *manifest.Manifest, l0Only bool) (out []diskcache.Table) {
	add := func(v *sst.View) {
		out = append(out, diskcache.Table{Key: tableObject(path, v.Table), Size: tableEnd(&v.Table.Info)})
	}
	trees := m.Trees()
	for _, t := range trees {
		for i := range t.L0 {
			add(&t.L0[i])
		}
	}
	for _, t := range trees {
		for i := range t.Runs {
			for j := range t.Runs[i].Views {
				if !l0Only {
					add(&t.Runs[i].Views[j])
				}
			}
		}
	}
	return out
}

// mirrorTables returns when the mirror has every table of m.
func (h *handle) mirrorTables(ctx context.Context, m *manifest.Manifest) error {
	if h.disk == nil || h.disk.mirror == nil {
		return nil
	}
	return h.disk.mirror.Ensure(ctx, h.disk.store, tablesOf(h.path, m, false))
}

// retain tells the mirror which manifest is shown now.
func (d *localDisk) retain(path string, m *manifest.Manifest) {
	if d != nil && d.mirror != nil {
		d.mirror.Retain(d.store, tablesOf(path, m, false))
	}
}

// replaced is called when a writer has moved on to manifest m, in which some tables are gone.
// Tables that another process wrote come into the mirror in the background, unless the
// manifest came by a refresh, which has waited for them.
func (d *localDisk) replaced(path string, gone []*sst.Handle, m *manifest.Manifest) {
	switch {
	case d == nil:
	case d.mirror != nil:
		d.retain(path, m)
		if d.mirror.Missing() > 0 {
			d.mirror.Kick()
		}
	default:
		for _, t := range gone {
			d.cached.Release(tableObject(path, t))
		}
	}
}

// preloads reports whether there is something to preload.
func (h *handle) preloads() bool {
	return h.disk != nil && h.disk.cached != nil && h.conf.DiskCache.Preload != PreloadNone
}

// preload reads tables into the part cache until it is done or ctx ends.
func (h *handle) preload(ctx context.Context) error {
	defer close(h.disk.loaded)
	o := h.conf.DiskCache
	s, _ := h.disk.parts.Reads(h.component("preload", h.raw), h.disk.scope, &h.disk.counts)
	s.Preload(ctx, h.conf.env, tablesOf(h.path, h.state.Load().man, o.Preload == PreloadL0))
	return nil
}

// diskStats is the state of the local disk; h.disk is not nil.
func (h *handle) diskStats() diskcache.Stats {
	if m := h.disk.mirror; m != nil {
		return m.Stats()
	}
	return h.disk.parts.Stats()
}

// diskGauges registers what the local disk holds.
func (h *handle) diskGauges() {
	d := h.disk
	if d == nil {
		return
	}
	const p = "slatedb.object_store_cache."
	h.stats.gauge(p+"cache_keys", func() float64 { return float64(h.diskStats().Parts) })
	h.stats.gauge(p+"cache_bytes", func() float64 { return float64(h.diskStats().Bytes) })
	if d.mirror != nil {
		h.stats.gauge(p+"mirror_missing_tables", func() float64 { return float64(d.mirror.Missing()) })
	}
}

// diskCounters adds the counters of the local disk, if there is one.
func (h *handle) diskCounters(add func(name string, v float64, labels ...string)) {
	d := h.disk
	if d == nil {
		return
	}
	s := h.diskStats()
	const p = "slatedb.object_store_cache."
	add(p+"part_access_count", float64(d.counts.Access.Load()))
	add(p+"part_hit_count", float64(d.counts.Hit.Load()))
	add(p+"evicted_keys", float64(s.Evicted))
	add(p+"evicted_bytes", float64(s.EvictedLen))
	add(p+"dropped_keys", float64(s.Dropped))
	add(p+"corrupt_keys", float64(s.Corrupt))
	add(p+"error_count", float64(s.ReadErrors), "op", "read")
	add(p+"error_count", float64(s.WriteErrors), "op", "write")
}
