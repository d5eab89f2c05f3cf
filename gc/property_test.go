package gc

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// machine drives a family of databases at random: flushes, jobs with crashes, checkpoints with
// and without an end, clones, skewed clocks. Collectors with any options pass at any time.
type machine struct {
	*world
	dbs   []*fake
	roots []string
	jobsd map[string][]ulid.ULID    // running jobs
	outs  map[ulid.ULID][]ulid.ULID // uploaded, not reported
	ready map[string][]ulid.ULID    // uploaded L0 tables, not published, in order
	chk   map[string][]uuid.UUID
}

func (m *machine) database(t *rapid.T) *fake { return rapid.SampledFrom(m.dbs).Draw(t, "db") }

// check: nothing that is needed, or is about to be, is gone.
func (m *machine) check(t *rapid.T) {
	for o := range m.needed(t) {
		if !m.exists(o) {
			t.Fatalf("%s is needed and gone", o)
		}
	}
}

func (m *machine) needed(t *rapid.T) map[string]bool {
	need := m.reachable(m.roots...)
	for _, f := range m.dbs {
		for _, id := range m.ready[f.root] {
			need[sst.TableID(id).Object(f.root)] = true
		}
		for _, j := range m.jobsd[f.root] {
			for _, id := range m.outs[j] {
				need[sst.TableID(id).Object(f.root)] = true
			}
		}
	}
	return need
}

func TestNothingReachableIsEverDeleted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.env.Rand = seeded(rapid.Uint64().Draw(t, "ids"))
		m := &machine{world: w, jobsd: map[string][]ulid.ULID{}, outs: map[ulid.ULID][]ulid.ULID{}, ready: map[string][]ulid.ULID{}, chk: map[string][]uuid.UUID{}}
		add := func(f *fake) { m.dbs, m.roots = append(m.dbs, f), append(m.roots, f.root) }
		add(w.database("a"))
		t.Repeat(map[string]func(*rapid.T){
			"time passes": func(t *rapid.T) {
				w.clock.add(time.Duration(rapid.IntRange(1, 1200).Draw(t, "seconds")) * time.Second)
			},
			"clock is set": func(t *rapid.T) {
				m.database(t).skew = time.Duration(rapid.IntRange(-60, 60).Draw(t, "minutes")) * time.Minute
			},
			"flush": func(t *rapid.T) {
				f := m.database(t)
				if len(m.ready[f.root]) > 0 {
					t.Skip()
				}
				f.flush(rapid.IntRange(0, 3).Draw(t, "objects"))
			},
			"open": func(t *rapid.T) { // a new writer: what the old one has not published is lost
				f := m.database(t)
				m.ready[f.root] = nil
				f.fence()
			},
			"upload": func(t *rapid.T) {
				f := m.database(t)
				m.ready[f.root] = append(m.ready[f.root], f.upload(m.ready[f.root]...))
			},
			"publish": func(t *rapid.T) {
				f := m.database(t)
				if len(m.ready[f.root]) == 0 {
					t.Skip()
				}
				f.publish(m.ready[f.root][0], 0)
				m.ready[f.root] = m.ready[f.root][1:]
			},
			"submit": func(t *rapid.T) {
				f := m.database(t)
				if len(m.jobsd[f.root]) > 0 {
					t.Skip()
				}
				m.jobsd[f.root] = append(m.jobsd[f.root], f.submit())
			},
			"output": func(t *rapid.T) {
				f := m.database(t)
				if len(m.jobsd[f.root]) == 0 {
					t.Skip()
				}
				j := m.jobsd[f.root][0]
				m.outs[j] = append(m.outs[j], f.output(j))
			},
			"commit": func(t *rapid.T) {
				f := m.database(t)
				if len(m.jobsd[f.root]) == 0 || len(m.outs[m.jobsd[f.root][0]]) == 0 {
					t.Skip()
				}
				j := m.jobsd[f.root][0]
				f.commit(j, m.outs[j][0])
				m.jobsd[f.root] = nil
			},
			"job fails": func(t *rapid.T) {
				f := m.database(t)
				if len(m.jobsd[f.root]) == 0 {
					t.Skip()
				}
				j := m.jobsd[f.root][0]
				f.jobs(func(c *manifest.Compactions) { c.Job(j).Status = manifest.Failed; c.Trim() })
				m.jobsd[f.root] = nil
			},
			"checkpoint": func(t *rapid.T) {
				f := m.database(t)
				id := f.checkpoint("c", time.Duration(rapid.IntRange(0, 3600).Draw(t, "lifetime"))*time.Second)
				m.chk[f.root] = append(m.chk[f.root], id)
			},
			"drop": func(t *rapid.T) {
				f := m.database(t)
				if len(m.chk[f.root]) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(m.chk[f.root])-1).Draw(t, "which")
				f.drop(m.chk[f.root][i])
				m.chk[f.root] = append(m.chk[f.root][:i:i], m.chk[f.root][i+1:]...)
			},
			"clone": func(t *rapid.T) {
				if len(m.dbs) == 4 {
					t.Skip()
				}
				add(m.database(t).borrow(fmt.Sprintf("clone%d", len(m.dbs))))
			},
			"collect": func(t *rapid.T) {
				f := m.database(t)
				o := Options{
					MinAge:               time.Duration(rapid.IntRange(-1, 600).Draw(t, "age")) * time.Second,
					DeleteWALFences:      rapid.Bool().Draw(t, "fences"),
					DisableBoundaryFiles: rapid.Bool().Draw(t, "boundary"),
					DryRun:               rapid.IntRange(0, 5).Draw(t, "dry") == 0,
				}
				if o.DisableBoundaryFiles {
					f.latest() // without them no process may sleep over a deletion
				}
				before := len(w.names(""))
				rep, err := f.collector(o).RunOnce(w.ctx)
				if err != nil {
					t.Fatalf("collect: %v", err)
				}
				if o.DisableBoundaryFiles {
					f.latest()
				}
				for _, d := range objects(rep.Deleted) {
					if d.Kind != KindDetach && w.exists(d.Name) != o.DryRun {
						t.Fatalf("%s: reported deleted (%s), dry run %v", d.Name, d.Reason, o.DryRun)
					}
				}
				if o.DryRun && len(w.names("")) != before {
					t.Fatalf("a dry run changed something")
				}
			},
			"crash in a pass": func(t *rapid.T) {
				f := m.database(t)
				store := faulty.New(w.mem, w.env)
				store.CrashAt(rapid.IntRange(1, 40).Draw(t, "request"), rapid.Bool().Draw(t, "after"))
				_, _ = f.collectorOn(store, Options{MinAge: -1, DeleteWALFences: true}).RunOnce(w.ctx)
			},
			"": m.check,
		})

		// Quiet: unpublished work is given up, one more job and one more L0 move the cutoff.
		for _, f := range m.dbs {
			f.skew = 0
			m.ready[f.root], m.jobsd[f.root] = nil, nil
			f.jobs(func(c *manifest.Compactions) {
				for i := range c.Jobs {
					if !c.Jobs[i].Status.Finished() {
						c.Jobs[i].Status = manifest.Failed
					}
				}
			})
			w.clock.add(3 * time.Hour) // beyond every skewed id
			f.compact()
			w.clock.add(time.Hour) // beyond every checkpoint with an end
			f.flush(1)
		}
		for range 2 * len(m.dbs) { // a clone of a clone lets go after the clone did
			for _, f := range m.dbs {
				f.collect(Options{MinAge: -1, DeleteWALFences: true})
			}
		}
		m.check(t)
		require.Equal(t, sortedKeys(w.both(m.roots...)), sortedKeys(w.stored(m.roots...)))
	})
}

// A crash at any request of a pass, before or after it took effect: nothing needed is gone, and
// the next pass ends where a pass without a crash ends.
func TestCrashAtEachRequestConverges(t *testing.T) {
	build := func() (*world, *fake, *fake) {
		w := newWorld(t)
		par := littered(w)
		w.clock.add(time.Minute)
		clone := par.borrow("clone")
		clone.fence()
		w.clock.add(time.Minute)
		clone.compact()
		w.clock.add(time.Hour)
		clone.flush(2)
		return w, par, clone
	}
	o := Options{MinAge: -1, DeleteWALFences: true}
	settle := func(w *world, par, clone *fake) []string {
		for range 2 {
			clone.collect(o)
			par.collect(o)
		}
		var rest []string
		for n := range w.stored(par.root, "clone") {
			rest = append(rest, n)
		}
		return rest
	}
	w, par, clone := build()
	want := len(settle(w, par, clone))
	for _, after := range []bool{false, true} {
		crashes := 0
		for n := 1; ; n++ {
			w, par, clone := build()
			f := clone
			if n%2 == 0 {
				f = par
			}
			store := faulty.New(w.mem, w.env)
			store.CrashAt((n+1)/2, after)
			_, err := f.collectorOn(store, o).RunOnce(w.ctx)
			for need := range w.reachable(par.root, "clone") {
				require.True(t, w.exists(need), "%s after a crash at %d", need, n)
			}
			got := settle(w, par, clone)
			require.Len(t, got, want, "after a crash at %d: %v", n, got)
			if !store.Crashed() {
				require.NoError(t, err)
				if n%2 == 0 {
					break // the larger one
				}
				continue
			}
			require.Error(t, err)
			crashes++
		}
		require.Greater(t, crashes, 50)
	}
}

// Requests fail one by one, without a crash: the same Collector makes it good at its next pass.
func TestFailureOfEachRequestIsMadeGood(t *testing.T) {
	for _, kind := range []faulty.Kind{faulty.ErrorBefore, faulty.ErrorAfter} {
		for n := 1; ; n++ {
			w := newWorld(t)
			f := littered(w)
			store := faulty.New(w.mem, w.env)
			rule := store.Script(faulty.Rule{Nth: n, Kind: kind})
			c := f.collectorOn(store, Options{MinAge: -1, DeleteWALFences: true})
			_, err := c.RunOnce(w.ctx)
			if rule.Hits() == 0 {
				require.NoError(t, err)
				require.Greater(t, n, 30)
				break
			}
			require.ErrorIs(t, err, faulty.ErrInjected, "request %d", n)
			_, err = c.RunOnce(w.ctx)
			require.NoError(t, err)
			_, err = c.RunOnce(w.ctx)
			require.NoError(t, err)
			require.Equal(t, sortedKeys(w.both(f.root)), sortedKeys(w.stored(f.root)), "after request %d failed", n)
		}
	}
}
