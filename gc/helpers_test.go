package gc

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// epoch is when tests begin: a whole second, as checkpoints are stored.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// hand is a clock moved by hand; its timers fire at once.
type hand struct {
	mu sync.Mutex
	t  time.Time
}

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.t
}

func (h *hand) add(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.t = h.t.Add(d)
}

func (h *hand) NewTimer(time.Duration) seam.Timer {
	c := make(chan time.Time, 1)
	c <- h.Now()
	return fired(c)
}

type fired chan time.Time

func (f fired) C() <-chan time.Time { return f }
func (f fired) Stop() bool          { return true }
func (f fired) Reset(time.Duration) {}

// dice is a repeatable source of randomness.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range p {
		p[i] = byte(d.r.Uint32())
	}
	return len(p), nil
}

// world is a store with databases that exist only as manifests, compactions and object names.
type world struct {
	t     require.TestingT
	ctx   context.Context
	clock *hand
	env   *seam.Env
	mem   objstore.Store
}

func newWorld(t require.TestingT) *world {
	clock := &hand{t: epoch}
	return &world{
		t: t, ctx: context.Background(), clock: clock, mem: objstore.NewMemoryWithClock(clock),
		env: seam.New(seam.Env{Clock: clock, Rand: &dice{r: rand.New(rand.NewPCG(1, 2))}}),
	}
}

// fake is one such database, driven as its writer and compactor would.
type fake struct {
	*world
	root string
	ms   *manifest.Store
	cs   *manifest.CompactionsStore
	skew time.Duration // of the writer's clock
}

func (w *world) database(root string) *fake {
	f := w.attach(root)
	_, err := f.ms.Create(w.ctx, manifest.New(""))
	require.NoError(w.t, err)
	return f
}

func (w *world) attach(root string) *fake {
	return &fake{world: w, root: root, ms: manifest.NewStore(w.mem, root, w.env), cs: manifest.NewCompactionsStore(w.mem, root, w.env)}
}

// at returns a ULID of a time.
func (w *world) at(t time.Time) ulid.ULID { return w.env.ULID(uint64(t.UnixMilli())) }

func table(id ulid.ULID) *sst.Handle {
	return &sst.Handle{ID: sst.TableID(id), Format: sst.FormatV2, Info: sst.Info{First: []byte("a"), Last: []byte("z"), IndexOffset: 10, IndexLen: 5}}
}

func viewOf(id ulid.ULID) sst.View { return sst.View{ID: id, Table: table(id)} }

func (w *world) put(key string, body string) {
	_, err := w.mem.Put(w.ctx, key, []byte(body), objstore.Always)
	require.NoError(w.t, err)
}

// upload stores a table as a writer with a skewed clock does: never older than what it knows,
// tables in flight included.
func (f *fake) upload(inFlight ...ulid.ULID) ulid.ULID {
	m, err := f.ms.Latest(f.ctx)
	require.NoError(f.t, err)
	ms := max(uint64(f.clock.Now().Add(f.skew).UnixMilli()), m.NewestL0Time())
	for _, id := range inFlight {
		ms = max(ms, id.Time())
	}
	id := f.env.ULID(ms)
	f.put(sst.TableID(id).Object(f.root), "table")
	return id
}

// orphan stores a table that nobody will ever name.
func (f *fake) orphan(at time.Time) ulid.ULID {
	id := f.at(at)
	f.put(sst.TableID(id).Object(f.root), "table")
	return id
}

func (f *fake) update(mutate func(*manifest.Manifest)) *manifest.Manifest {
	m, err := f.ms.Update(f.ctx, func(m *manifest.Manifest) error { mutate(m); return nil })
	require.NoError(f.t, err)
	return m
}

func (f *fake) latest() *manifest.Manifest {
	m, err := f.ms.Latest(f.ctx)
	require.NoError(f.t, err)
	return m
}

// flush stores the next WAL objects with rows behind what the manifest has seen, and flushes
// them into one L0 table: the shape that a flush leaves.
func (f *fake) flush(rows int) ulid.ULID {
	m := f.latest()
	for i := range rows {
		f.put(sst.WALID(m.WALLastSeen+1+uint64(i)).Object(f.root), "rows")
	}
	id := f.upload()
	f.publish(id, uint64(rows))
	return id
}

func (f *fake) publish(id ulid.ULID, rows uint64) {
	f.update(func(m *manifest.Manifest) {
		m.AddL0(nil, viewOf(id))
		m.WALLastSeen += rows
		m.ReplayAfterWAL = m.WALLastSeen - min(m.WALLastSeen, 1) // the newest one stays, as in protocol.md 6
		m.LastL0Seq += kv.Seq(rows)
	})
}

func (f *fake) fence() {
	var id uint64
	f.update(func(m *manifest.Manifest) { m.WALLastSeen++; id = m.WALLastSeen })
	f.put(sst.WALID(id).Object(f.root), "")
}

func (f *fake) checkpoint(name string, lifetime time.Duration) uuid.UUID {
	id := f.env.UUID()
	f.update(func(m *manifest.Manifest) {
		c := manifest.Checkpoint{ID: id, ManifestID: m.ID + 1, CreateTime: f.clock.Now(), Name: name}
		if lifetime > 0 {
			c.ExpireTime = f.clock.Now().Add(lifetime)
		}
		m.Checkpoints = append(m.Checkpoints, c)
	})
	return id
}

func (f *fake) drop(checkpoint uuid.UUID) {
	f.update(func(m *manifest.Manifest) {
		m.Checkpoints = slices.DeleteFunc(m.Checkpoints, func(c manifest.Checkpoint) bool { return c.ID == checkpoint })
	})
}

// jobs changes the compactions object, which it makes when there is none.
func (f *fake) jobs(mutate func(*manifest.Compactions)) {
	if _, err := f.cs.Latest(f.ctx); err != nil {
		_, err := f.cs.Create(f.ctx, &manifest.Compactions{})
		require.NoError(f.t, err)
	}
	_, err := f.cs.Update(f.ctx, func(c *manifest.Compactions) error { mutate(c); return nil })
	require.NoError(f.t, err)
}

// submit makes a job, not older than those there are.
func (f *fake) submit() ulid.ULID {
	var id ulid.ULID
	f.jobs(func(c *manifest.Compactions) {
		ms := uint64(f.clock.Now().Add(f.skew).UnixMilli())
		for i := range c.Jobs {
			ms = max(ms, c.Jobs[i].ID.Time())
		}
		id = f.env.ULID(ms)
		c.Put(manifest.Compaction{ID: id, Status: manifest.Running})
	})
	return id
}

func (f *fake) output(job ulid.ULID) ulid.ULID {
	id := f.env.ULID(max(job.Time(), uint64(f.clock.Now().Add(f.skew).UnixMilli())))
	f.put(sst.TableID(id).Object(f.root), "table")
	return id
}

// commit replaces all that the root tree has by one run, as 8.4 of protocol.md does.
func (f *fake) commit(job, out ulid.ULID) {
	f.checkpoint("", 15*time.Minute)
	f.update(func(m *manifest.Manifest) {
		run, _ := m.NextRunID()
		if len(m.Root.L0) > 0 {
			m.Root.LastCompactedL0 = m.Root.L0[0].ID
		}
		m.Root.L0 = nil
		m.Root.Runs = []sst.SortedRun{{ID: run, Views: []sst.View{viewOf(out)}}}
		m.TrimExternal()
	})
	f.jobs(func(c *manifest.Compactions) {
		c.Job(job).Status = manifest.Completed
		c.Trim()
	})
}

func (f *fake) compact() ulid.ULID {
	job := f.submit()
	out := f.output(job)
	f.commit(job, out)
	return out
}

// anyAge are the options of a pass without a minimum age.
var anyAge = Options{MinAge: -1}

func (f *fake) collector(o Options) *Collector { return f.collectorOn(f.mem, o) }

func (f *fake) collectorOn(s objstore.Store, o Options) *Collector {
	return New(Config{Objects: s, Root: f.root, Env: f.env, Logger: quiet()}, o)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// collect makes a pass of a fresh collector that must succeed.
func (f *fake) collect(o Options) Report {
	rep, err := f.collector(o).RunOnce(f.ctx)
	require.NoError(f.t, err)
	return rep
}

// names returns the keys of all objects below a prefix.
func (w *world) names(prefix string) []string {
	var out []string
	for a, err := range w.mem.List(w.ctx, prefix, "") {
		require.NoError(w.t, err)
		out = append(out, a.Key)
	}
	return out
}

func (w *world) exists(key string) bool {
	_, err := w.mem.Head(w.ctx, key)
	return err == nil
}

func (f *fake) has(id ulid.ULID) bool { return f.exists(sst.TableID(id).Object(f.root)) }

func deletedNames(r Report) []string {
	var out []string
	for _, o := range r.Deleted {
		out = append(out, o.Name)
	}
	slices.Sort(out)
	return out
}

// reason returns why something was kept or deleted, "" when the report does not tell.
func reason(r Report, name string) string {
	for _, o := range slices.Concat(r.Deleted, r.Kept) {
		if o.Name == name {
			return o.Reason
		}
	}
	return ""
}

// reachable finds what the databases of a store need, by reading them anew and without any code
// of the package: tables of the latest and pinned manifests (under the root that owns them),
// those of unfinished jobs, WAL ranges, the manifests themselves, newest compactions.
func (w *world) reachable(roots ...string) map[string]bool {
	need := make(map[string]bool)
	for _, root := range roots {
		f := w.attach(root)
		latest := f.latest()
		ids := map[uint64]bool{latest.ID: true}
		for _, c := range latest.Checkpoints {
			ids[c.ManifestID] = true
		}
		for id := range ids {
			m, err := f.ms.Read(w.ctx, id)
			require.NoError(w.t, err)
			need[f.ms.Key(id)] = true
			home := make(map[ulid.ULID]string)
			for _, e := range m.External {
				for _, t := range e.Tables {
					home[t] = e.Path
				}
			}
			for _, tr := range append([]manifest.Segment{{Tree: m.Root}}, m.Segments...) {
				views := slices.Clone(tr.L0)
				for _, r := range tr.Runs {
					views = append(views, r.Views...)
				}
				for _, v := range views {
					owner := root
					if p, ok := home[v.Table.ID.ULID()]; ok {
						owner = p
					}
					need[v.Table.ID.Object(owner)] = true
				}
			}
			for id := m.ReplayAfterWAL + 1; id <= m.WALLastSeen; id++ {
				need[sst.WALID(id).Object(root)] = true
			}
		}
		for _, key := range w.names(under(root, "wal")) {
			var id uint64
			_, err := fmt.Sscanf(key[len(under(root, "wal")):], "%d.sst", &id)
			require.NoError(w.t, err)
			if id >= latest.ReplayAfterWAL {
				need[key] = true
			}
		}
		if c, err := f.cs.Latest(w.ctx); err == nil {
			need[f.cs.Key(c.ID)] = true
			for _, j := range c.Jobs {
				if j.Status == manifest.Completed || j.Status == manifest.Failed {
					continue
				}
				for _, h := range j.Outputs {
					need[h.ID.Object(root)] = true
				}
				if j.Context != nil {
					for _, r := range j.Context.Ranges {
						for _, h := range r.Outputs {
							need[h.ID.Object(root)] = true
						}
					}
				}
			}
		}
	}
	return need
}

// stored returns the objects of databases, boundary files left out.
func (w *world) stored(roots ...string) map[string]bool {
	out := make(map[string]bool)
	for _, root := range roots {
		for _, k := range w.names(under(root, "")[:len(root)+1]) {
			if !bytes.HasSuffix([]byte(k), []byte(".boundary")) {
				out[k] = true
			}
		}
	}
	return out
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }

// seeded returns a source of ids for one world of a property test.
func seeded(n uint64) *dice { return &dice{r: rand.New(rand.NewPCG(n, n))} }
