package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// A plan is what there is and what of it is needed.
type plan struct {
	listed   map[string]objstore.Attributes // every object of the database
	latest   *manifest.Manifest             // nil: damaged
	needed   []*manifest.Manifest           // latest, and what checkpoints pin
	history  map[string]bool                // tables that any stored manifest names
	tables   map[string]*tableNeed          // by object key
	order    []string                       // keys of tables, sorted
	logs     []logObject                    // ascending by id
	outside  []orphan                       // foreign names
	scanned  map[viewKey]*viewFacts         // what the tables' rows said
	inFlight time.Time                      // tables younger than this may be on their way
}

// A tableNeed is a table with all who need it.
type tableNeed struct {
	handle *sst.Handle
	by     []string
	maxSeq kv.Seq // smallest last seq in tables of the manifests that need it
	views  []*kv.Range
}

// A logObject is one object with a number for a name: of the log, a manifest, or compactions.
type logObject struct {
	id   uint64
	key  string
	size int64
}

// plan reads everything but tables and log objects. When objects are missing because a
// collector was at work meanwhile, it begins again.
func (v *verifier) plan(ctx context.Context) (*plan, error) {
	for try := 0; ; try++ {
		before := len(v.report.Damage)
		p, err := v.planOnce(ctx)
		if err != nil || p.latest == nil || len(v.report.Damage) == before || try == 2 {
			return p, err
		}
		now, err := manifest.NewStore(v.store, v.root, v.env).Latest(ctx)
		if err != nil || now.ID == p.latest.ID {
			return p, nil
		}
		v.report = verifyReport{Location: v.report.Location, Damage: []finding{}, Warnings: []finding{}, Orphans: []orphan{}}
		clear(v.known)
	}
}

// planAgain returns a newer plan, for an object that is missing: perhaps it was needed when
// this run began and is not any more. nil: nothing has changed meanwhile.
func (v *verifier) planAgain(ctx context.Context, p *plan) *plan {
	m, err := manifest.NewStore(v.store, v.root, v.env).Latest(ctx)
	if err != nil || m.ID == p.latest.ID {
		return nil
	}
	again := &verifier{store: v.store, root: v.root, jobs: v.jobs, env: v.env, known: map[finding]bool{}}
	now, err := again.planOnce(ctx)
	if err != nil || now.latest == nil {
		return nil
	}
	return now
}

func (v *verifier) planOnce(ctx context.Context) (*plan, error) {
	p := &plan{
		listed: map[string]objstore.Attributes{}, history: map[string]bool{}, tables: map[string]*tableNeed{},
		scanned: map[viewKey]*viewFacts{},
	}
	// Manifests before the rest: what they name is then in the listing.
	manifests, err := v.versions(ctx, p, "manifest", ".manifest")
	if err != nil {
		return nil, err
	}
	jobs, err := v.versions(ctx, p, "compactions", ".compactions")
	if err != nil {
		return nil, err
	}
	if len(manifests) == 0 {
		return nil, fmt.Errorf("open %s: %w", v.report.Location, slatedb.ErrNoDatabase)
	}
	stored := make([]*manifest.Manifest, len(manifests))
	err = v.each(ctx, len(manifests), func(ctx context.Context, i int) error {
		m, err := readVersion(ctx, v, manifests[i], manifest.Decode)
		stored[i] = m
		v.count(func(r *verifyReport) { r.Checked.Manifests++ })
		return err
	})
	if err != nil {
		return nil, err
	}
	newest := manifests[len(manifests)-1]
	v.report.Manifest = newest.id
	if p.latest = stored[len(stored)-1]; p.latest == nil {
		v.damage(newest.key, -1, "this is the newest manifest, so tables are not checked")
	}
	if err := v.checkBoundary(ctx, manifest.NewStore(v.store, v.root, v.env).Boundary(), newest.id); err != nil {
		return nil, err
	}
	if err := v.list(ctx, p, "compacted/"); err != nil {
		return nil, err
	}
	if err := v.listLog(ctx, p); err != nil {
		return nil, err
	}
	v.checkHistory(stored, manifests)
	if p.latest == nil {
		return p, nil
	}
	for _, m := range stored {
		if m != nil {
			for _, h := range m.Tables() {
				p.history[v.tableKey(h)] = true
			}
		}
	}
	v.need(p, p.latest, fmt.Sprintf("manifest %d", p.latest.ID))
	v.needPinned(p, stored)
	if err := v.needJobs(ctx, p, jobs); err != nil {
		return nil, err
	}
	p.inFlight = time.UnixMilli(int64(p.latest.NewestL0Time()))
	for key := range p.tables {
		p.order = append(p.order, key)
	}
	slices.Sort(p.order)
	return p, v.checkParents(ctx, p)
}

// list takes up the objects of one folder of the database.
func (v *verifier) list(ctx context.Context, p *plan, folder string) error {
	for a, err := range v.store.List(ctx, objectKey(v.root, folder), "") {
		if err != nil {
			return fmt.Errorf("list %s: %w", v.report.Location, err)
		}
		p.listed[a.Key] = a
	}
	return nil
}

// numbered lists a folder of objects named by 20 digits and an ending; others are foreign.
func (v *verifier) numbered(ctx context.Context, p *plan, folder, ending string) (out []logObject, err error) {
	for a, err := range v.store.List(ctx, objectKey(v.root, folder+"/"), "") {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", v.report.Location, err)
		}
		name := strings.TrimPrefix(a.Key, objectKey(v.root, folder+"/"))
		digits, ok := strings.CutSuffix(name, ending)
		id, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || len(digits) != 20 || id == 0 {
			p.outside = append(p.outside, orphan{a.Key, a.Size, "not a name that a database uses"})
			continue
		}
		p.listed[a.Key] = a
		out = append(out, logObject{id, a.Key, a.Size})
	}
	return out, nil
}

func (v *verifier) versions(ctx context.Context, p *plan, folder, ending string) ([]logObject, error) {
	vs, err := v.numbered(ctx, p, folder, ending)
	v.expect(len(vs), sizeOf(vs))
	return vs, err
}

func (v *verifier) listLog(ctx context.Context, p *plan) (err error) {
	p.logs, err = v.numbered(ctx, p, "wal", ".sst")
	v.expect(len(p.logs), sizeOf(p.logs))
	return err
}

func sizeOf(os []logObject) (bytes int64) {
	for _, o := range os {
		bytes += o.size
	}
	return bytes
}

// readVersion reads and decodes one manifest or compactions object; nil when it is damaged, or
// was collected meanwhile.
func readVersion[T any](ctx context.Context, v *verifier, o logObject, decode func(string, uint64, []byte) (*T, error)) (*T, error) {
	body, err := v.get(ctx, o.key, o.size)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", o.key, err)
	}
	d, err := decode(o.key, o.id, body)
	if err != nil {
		v.damaged(o.key, err)
		return nil, nil
	}
	return d, nil
}

// checkBoundary: an id at or below the boundary is dead, which the newest one must not be.
func (v *verifier) checkBoundary(ctx context.Context, b *manifest.Boundary, newest uint64) error {
	n, err := b.Read(ctx)
	switch {
	case errors.Is(err, slatedb.ErrCorrupt):
		v.damaged(b.Key(), err)
	case err != nil:
		return fmt.Errorf("read %s: %w", b.Key(), err)
	case n >= newest && newest > 0:
		v.damage(b.Key(), -1, "says that ids up to %d are dead, but the newest is %d", n, newest)
	}
	return nil
}

// checkHistory: some fields of a manifest never decrease from version to version.
func (v *verifier) checkHistory(stored []*manifest.Manifest, objects []logObject) {
	var last *manifest.Manifest
	for i, m := range stored {
		if m == nil {
			continue
		}
		if m.ReplayAfterWAL > m.WALLastSeen {
			v.warn(objects[i].key, "the log is replayed from %d on, but was only seen up to %d", m.ReplayAfterWAL+1, m.WALLastSeen)
		}
		if last != nil {
			for _, f := range []struct {
				name    string
				was, is any
				back    bool
			}{
				{"writer epoch", last.WriterEpoch, m.WriterEpoch, m.WriterEpoch < last.WriterEpoch},
				{"compactor epoch", last.CompactorEpoch, m.CompactorEpoch, m.CompactorEpoch < last.CompactorEpoch},
				{"replay point of the log", last.ReplayAfterWAL, m.ReplayAfterWAL, m.ReplayAfterWAL < last.ReplayAfterWAL},
				{"last log object seen", last.WALLastSeen, m.WALLastSeen, m.WALLastSeen < last.WALLastSeen},
				{"last seq in tables", last.LastL0Seq, m.LastL0Seq, m.LastL0Seq < last.LastL0Seq},
				{"last time in tables", last.LastL0Tick, m.LastL0Tick, m.LastL0Tick < last.LastL0Tick},
			} {
				if f.back {
					v.damage(objects[i].key, -1, "%s goes back from %v to %v", f.name, f.was, f.is)
				}
			}
		}
		last = m
	}
}

// tableKey is the object of a table, which may be a parent's.
func (v *verifier) tableKey(h *sst.Handle) string {
	if h.Root != "" {
		return h.ID.Object(h.Root)
	}
	return h.ID.Object(v.root)
}

// need takes up what a manifest needs.
func (v *verifier) need(p *plan, m *manifest.Manifest, by string) {
	p.needed = append(p.needed, m)
	for view := range m.Views() {
		n := v.needTable(p, view.Table, by)
		n.maxSeq = min(n.maxSeq, m.LastL0Seq)
		if !slices.ContainsFunc(n.views, func(r *kv.Range) bool { return reflect.DeepEqual(r, view.Visible) }) {
			n.views = append(n.views, view.Visible)
		}
	}
}

func (v *verifier) needTable(p *plan, h *sst.Handle, by string) *tableNeed {
	key := v.tableKey(h)
	n := p.tables[key]
	if n == nil {
		n = &tableNeed{handle: h, maxSeq: kv.MaxSeq}
		p.tables[key] = n
	} else if diff := infoDiff(&n.handle.Info, &h.Info); diff != "" {
		v.damage(key, -1, "%s and %s differ about it: %s", n.by[0], by, diff)
	}
	if !slices.Contains(n.by, by) {
		n.by = append(n.by, by)
	}
	return n
}

// needPinned takes up the manifests that checkpoints pin.
func (v *verifier) needPinned(p *plan, stored []*manifest.Manifest) {
	byID := map[uint64]*manifest.Manifest{}
	for _, m := range stored {
		if m != nil {
			byID[m.ID] = m
		}
	}
	for _, c := range p.latest.Checkpoints {
		key := v.manifestKey(c.ManifestID)
		m := byID[c.ManifestID]
		_, exists := p.listed[key]
		switch {
		case m == nil && !exists && c.Expired(v.env.Clock.Now()):
			v.warn(key, "missing, but only checkpoint %s pins it, which has expired", c.ID)
		case m == nil && !exists:
			v.damage(key, -1, "missing, but checkpoint %s pins it", c.ID)
		case m == nil:
			v.damage(key, -1, "checkpoint %s pins it", c.ID)
		case m.ID != p.latest.ID && !slices.Contains(p.needed, m):
			v.need(p, m, fmt.Sprintf("checkpoint %s", c.ID))
		}
	}
}

func (v *verifier) manifestKey(id uint64) string {
	return manifest.NewStore(v.store, v.root, v.env).Key(id)
}

// needJobs reads the compactor's state and takes up the tables of unfinished jobs.
func (v *verifier) needJobs(ctx context.Context, p *plan, objects []logObject) error {
	if len(objects) == 0 {
		return nil
	}
	newest := objects[len(objects)-1].id
	if err := v.checkBoundary(ctx, manifest.NewCompactionsStore(v.store, v.root, v.env).Boundary(), newest); err != nil {
		return err
	}
	stored := make([]*manifest.Compactions, len(objects))
	err := v.each(ctx, len(objects), func(ctx context.Context, i int) (err error) {
		stored[i], err = readVersion(ctx, v, objects[i], manifest.DecodeCompactions)
		v.count(func(r *verifyReport) { r.Checked.Compactions++ })
		return err
	})
	if err != nil {
		return err
	}
	c := stored[len(stored)-1]
	if c == nil {
		return nil
	}
	for _, j := range c.Jobs {
		by := fmt.Sprintf("compaction %s", j.ID)
		if j.Status == manifest.Compacted {
			for _, h := range j.Outputs {
				v.needTable(p, h, by)
			}
		}
		if j.Status.Finished() || j.Context == nil {
			continue
		}
		for _, s := range j.Context.Ranges {
			for _, h := range s.Outputs {
				v.needTable(p, h, by)
			}
		}
	}
	return nil
}

// checkParents: what a clone borrows is safe only while its checkpoint stands in the parent.
func (v *verifier) checkParents(ctx context.Context, p *plan) error {
	for _, e := range p.latest.External {
		if len(e.Tables) == 0 {
			continue
		}
		parent := manifest.NewStore(v.store, e.Path, v.env)
		m, err := parent.Latest(ctx)
		switch {
		case errors.Is(err, slatedb.ErrCorrupt):
			v.damage(path.Join(e.Path, "manifest"), -1, "parent of this clone: %v", err)
		case err != nil:
			return fmt.Errorf("read the manifest of parent %s: %w", e.Path, err)
		case m.Checkpoint(e.FinalCheckpoint) == nil:
			v.damage(parent.Key(m.ID), -1, "checkpoint %s of this clone is gone, so its tables may be deleted there", e.FinalCheckpoint)
		}
	}
	return nil
}

// findOrphans lists the tables that nothing needs.
func (v *verifier) findOrphans(p *plan) {
	for key, a := range p.listed {
		name, ok := strings.CutPrefix(key, objectKey(v.root, "compacted/"))
		if !ok || p.tables[key] != nil {
			continue
		}
		reason := "no stored manifest names it"
		switch id, err := parseTableID(strings.TrimSuffix(name, ".sst")); {
		case err != nil || !strings.HasSuffix(name, ".sst"):
			reason = "not a name that a database uses"
		case p.history[key]:
			reason = "only old manifests name it, which nothing pins"
		case !id.Timestamp().Before(p.inFlight):
			reason += " (yet: it is not older than the newest L0 table)"
		}
		v.report.Orphans = append(v.report.Orphans, orphan{key, a.Size, reason})
	}
	v.report.Orphans = append(v.report.Orphans, p.outside...)
	slices.SortFunc(v.report.Orphans, func(a, b orphan) int { return strings.Compare(a.Object, b.Object) })
}

// infoDiff names the first field in which two descriptions of a table differ, "" when none.
func infoDiff(a, b *sst.Info) string {
	x, y := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return fmt.Sprintf("%s is %v, and %v", x.Type().Field(i).Name, showField(x.Field(i)), showField(y.Field(i)))
		}
	}
	return ""
}

func showField(f reflect.Value) any {
	if b, ok := f.Interface().([]byte); ok {
		return showKey(b)
	}
	return f.Interface()
}
