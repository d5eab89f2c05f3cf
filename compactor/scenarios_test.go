package compactor

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// compact runs one job and waits for it.
func (w *world) compact(c *Compactor, spec manifest.Spec) {
	w.t.Helper()
	j, err := c.Submit(context.Background(), spec)
	require.NoError(w.t, err)
	require.NoError(w.t, c.Await(context.Background(), j.ID), show(spec))
}

// idle is a scheduler that leaves everything to the test.
type idle struct{}

func (idle) Propose(View) []manifest.Spec        { return nil }
func (idle) Validate(View, *manifest.Spec) error { return nil }

// manual runs a coordinator that only does what it is told.
func (w *world) manual(o WorkerOptions) *Compactor {
	c := New(w.config(w.store, 2), Options{Scheduler: idle{}, Worker: &o})
	w.start(c.Run)
	time.Sleep(time.Millisecond)
	return c
}

// anySpec picks neighbouring sources at random, the oldest of L0 first.
func (w *world) anySpec() (manifest.Spec, bool) {
	m := w.latest()
	t := &m.Root
	n := w.rnd.IntN(len(t.L0) + 1)
	s := manifest.Spec{L0Views: l0IDs(t)[len(t.L0)-n:]}
	from := 0
	if n == 0 && len(t.Runs) > 0 {
		from = w.rnd.IntN(len(t.Runs))
	}
	if left := len(t.Runs) - from; left > 0 && (n == 0 || w.rnd.IntN(2) == 0) {
		for _, r := range t.Runs[from : from+1+w.rnd.IntN(left)] {
			s.Runs = append(s.Runs, r.ID)
			s.Destination = r.ID
		}
	} else if n > 0 {
		s.Destination, _ = m.NextRunID()
	}
	return s, n+len(s.Runs) > 0
}

// F2, F4, F12: any neighbours are merged, in any order, under a snapshot that comes and goes: a
// deleted key never returns, the snapshot loses nothing, and each manifest reads like the model.
func TestF2_AnyRunsCompactedInAnyOrder(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.rnd.IntN(2)
				for range seed {
					w.rnd.IntN(1000)
				}
				c := w.manual(WorkerOptions{MaxSSTBytes: 400 + int64(seed)*100, MinSubcompactionBytes: -1})
				for step := range 40 {
					switch {
					case w.rnd.IntN(2) == 0 || len(w.latest().Root.L0) == 0:
						w.flush(w.batch(15, true)...)
					case step%13 == 7:
						w.hold(w.seq)
					case step%13 == 12:
						w.hold(kv.MaxSeq)
					default:
						if s, ok := w.anySpec(); ok {
							w.compact(c, s)
						}
					}
					w.check()
				}
				w.checkHistory()
			})
		})
	}
}

// F4: a snapshot that is held over all compactions reads the same for ever, and what it kept
// goes when it goes.
func TestF4_SnapshotHeldOverAllCompactions(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.manual(WorkerOptions{})
		w.flush(w.batch(60, true)...)
		w.hold(w.seq)
		for range 5 {
			w.flush(w.batch(60, true)...)
			w.compact(c, AllSpecs(w.latest(), nil)[0])
			w.check()
		}
		held := len(w.versions(w.latest()))
		w.hold(kv.MaxSeq)
		run := w.latest().Root.Runs[0].ID
		w.compact(c, manifest.Spec{Runs: []uint32{run}, Destination: run})
		w.check()
		require.Less(t, len(w.versions(w.latest())), held)
	})
}

// at returns e with an expiry; its create time is its number.
func at(e kv.Entry, expire int64) kv.Entry {
	e.CreateTS, e.ExpireTS = 1, expire
	return e
}

// F1: an expired value never uncovers an older one, however it is split over levels: it becomes
// a tombstone, which goes only where nothing older can be.
func TestF1_ExpiredRowUncoversNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.manual(WorkerOptions{})
		tick := put("tick", "")
		tick.CreateTS = 1000
		w.flush(put("a", "old"), put("b", "old"))
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		w.flush(at(put("a", "new"), 500), at(put("b", "new"), 5000))
		w.flush(tick) // data time is 1000 now
		m := w.latest()
		w.compact(c, manifest.Spec{L0Views: l0IDs(&m.Root), Destination: 1})
		require.Equal(t, []string{"a@3-", "a@1=old", "b@4=new", "b@2=old", "tick@5="}, w.versions(w.latest()), "the upper run keeps a tombstone")
		w.compact(c, FullSpecs(w.latest())[0])
		require.Equal(t, []string{"b@4=new", "tick@5="}, w.versions(w.latest()))
	})
}

// F5, F13: operands are folded up to a snapshot and not across it, only with equal expiry,
// and expired ones go; with another expiry each they stay apart, but no more of them than expiries.
func TestF5_OperandsAroundASnapshot(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.manual(WorkerOptions{})
		w.flush(merge("k", "1"), merge("k", "2"), merge("k", "3"))
		w.hold(w.seq)
		w.flush(merge("k", "4"), merge("k", "5"))
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		require.Equal(t, []string{"k@5+5", "k@4+4", "k@3+123"}, w.versions(w.latest()))
		w.check()
		w.hold(kv.MaxSeq)
		w.compact(c, manifest.Spec{Runs: []uint32{0}})
		require.Equal(t, []string{"k@5+12345"}, w.versions(w.latest()))
		w.check()

		tick := put("tick", "")
		tick.CreateTS = 1000
		w.flush(put("m", "0"), at(merge("m", "1"), 500), at(merge("m", "2"), 2000), at(merge("m", "3"), 2000), at(merge("m", "4"), 3000), tick)
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		require.Equal(t, []string{"k@5+12345", "m@10+4", "m@9+23", "m@6=0", "tick@11="}, w.versions(w.latest()))
	})
}

// F13: a hot counter does not grow: one row is left of any number of operands.
func TestF13_OperandsAreFolded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.manual(WorkerOptions{})
		for range 5 {
			var rows []kv.Entry
			for i := range 300 {
				rows = append(rows, at(merge("hot", "x"), int64(10_000+i%3/2)))
			}
			w.flush(rows...)
			w.compact(c, AllSpecs(w.latest(), nil)[0])
		}
		require.LessOrEqual(t, len(w.versions(w.latest())), 1000, "runs of equal expiry are one row each")
		for range 5 {
			w.flush(merge("same", "y"), merge("same", "y"))
		}
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		n := 0
		for _, v := range w.versions(w.latest()) {
			if v[:5] == "same@" {
				n++
			}
		}
		require.Equal(t, 1, n)
	})
}

// F7, F8: with tiny tables and a hot key of many versions all versions are in one table or in
// neighbours that share the key, newest first, and every snapshot reads right.
func TestF7_HotKeyAndTinyTables(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.manual(WorkerOptions{MaxSSTBytes: 300, MinSubcompactionBytes: -1})
		w.hold(1)
		for range 6 {
			rows := w.batch(20, false)
			for i := range 60 {
				rows = append(rows, put("k020", fmt.Sprintf("hot value %d", i)))
			}
			w.flush(rows...)
		}
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		m := w.latest()
		require.NoError(t, m.Validate())
		require.Greater(t, len(m.Root.Runs[0].Views), 8)
		for _, seq := range []kv.Seq{1, 50, 100, 200, 301, w.seq} {
			require.Equal(t, w.model(seq), w.read(m, seq), "at %d", seq)
		}
		src := w.scan(m)
		var last kv.Entry
		for src.Next() {
			e := src.Entry().Clone()
			require.True(t, last.Key == nil || kv.Compare(&last, &e) < 0, "%s@%d behind %s@%d", e.Key, e.Seq, last.Key, last.Seq)
			last = e
		}
	})
}

// F3: a job rewrites old runs while a deletion comes through L0 and another job: the old
// version does not return.
func TestF3_RewriteNextToADeletion(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := w.manual(WorkerOptions{MaxSSTBytes: 400})
		for range 3 {
			w.flush(w.batch(60, false)...)
			next, _ := w.latest().NextRunID()
			w.compact(c, manifest.Spec{L0Views: l0IDs(&w.latest().Root), Destination: next})
		}
		var all []kv.Entry
		for i := range 40 {
			all = append(all, del(fmt.Sprintf("k%03d", i)))
		}
		w.flush(all...)
		rewrite, err := c.Submit(context.Background(), FullSpecs(w.latest())[0])
		require.NoError(t, err)
		next, _ := w.latest().NextRunID()
		deletion, err := c.Submit(context.Background(), manifest.Spec{L0Views: l0IDs(&w.latest().Root), Destination: next})
		require.NoError(t, err)
		require.NoError(t, c.Await(context.Background(), rewrite.ID))
		require.NoError(t, c.Await(context.Background(), deletion.ID))
		w.checkHistory()
		require.Empty(t, w.read(w.latest(), w.seq))
		w.compact(c, FullSpecs(w.latest())[0])
		require.Empty(t, w.versions(w.latest()), "and in the end nothing is left")
		require.Len(t, w.latest().Root.Runs, 1)
		w.flush(put("k001", "again"))
		w.compact(c, AllSpecs(w.latest(), nil)[0]) // goes on above a run without views
		w.check()
	})
}

// F9: after a restart, and with jobs under way, no run id is given twice.
func TestF9_RunIDsAreNotReused(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		seen := map[uint32][]sst.View{}
		for range 4 {
			c := New(w.config(w.store, 2), Options{})
			stop := w.start(c.Run)
			for range 4 {
				w.flush(w.batch(20, true)...)
				time.Sleep(6 * time.Second)
			}
			require.NoError(t, stop())
			for _, r := range w.latest().Root.Runs {
				if old, ok := seen[r.ID]; ok {
					require.Equal(t, len(old), len(r.Views), "run %d", r.ID)
				}
				seen[r.ID] = r.Views
			}
		}
		require.GreaterOrEqual(t, len(seen), 3)
		w.check()
	})
}

// Segments are compacted apart, side by side; a drained one leaves a marker for the writer.
func TestSegmentsAndDrain(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := New(w.config(w.store, 2), Options{TrivialMove: true})
		stop := w.start(c.Run)
		for i := range 4 {
			for _, p := range []string{"a/", "b/", "c/"} {
				w.flushTo(p, put(p+"same", fmt.Sprint(i)), put(fmt.Sprintf("%s%d", p, i), "x"))
			}
		}
		eventually(t, time.Minute, func() bool {
			m := w.latest()
			for i := range m.Segments {
				if len(m.Segments[i].Runs) != 1 {
					return false
				}
			}
			return true
		})
		w.check()
		w.flushTo("b/", put("b/last", "x"))
		m := w.latest()
		b := m.Segment([]byte("b/"))
		w.compact(c, manifest.Spec{Drain: true, Segment: b.Prefix, L0Views: l0IDs(&b.Tree), Runs: []uint32{b.Runs[0].ID}})
		after := w.latest().Segment([]byte("b/"))
		require.True(t, after.Empty(), "%s of %s", shape(&after.Tree), shape(&b.Tree))
		require.Equal(t, b.L0[0].ID, after.LastCompactedL0)
		w.rows = slices.DeleteFunc(w.rows, func(e kv.Entry) bool { return e.Key[0] == 'b' })
		w.check()
		require.Len(t, w.list().Jobs, 1)
		require.NoError(t, stop())
	})
}

// Trivial moves need no worker and no request for a table.
func TestTrivialMoveWritesNoTable(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		s := countingStore(w.store)
		s.Record(true)
		c := New(w.config(s, 2), Options{TrivialMove: true})
		stop := w.start(c.Run)
		for i := range 4 {
			w.flush(put(fmt.Sprintf("%c1", 'd'-i), "x"), put(fmt.Sprintf("%c2", 'd'-i), "x"))
		}
		newest := w.latest().Root.L0[0].ID
		eventually(t, time.Minute, func() bool { return len(w.latest().Root.Runs) == 1 })
		w.check()
		require.Equal(t, newest, w.latest().Root.LastCompactedL0)
		require.Len(t, w.latest().Root.Runs[0].Views, 4)
		for _, r := range s.Log() {
			require.NotContains(t, r.Key, "compacted/")
		}
		eventually(t, time.Minute, func() bool { l := w.list(); return len(l.Jobs) == 1 && l.Jobs[0].Status == manifest.Completed })
		require.NoError(t, stop())
	})
}

// Views show only a part of their tables (a projected clone): nothing else comes along.
func TestVisibleRangesAreRespected(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flush(w.batch(100, true)...)
		w.flush(w.batch(100, true)...)
		cut := kv.Range{Start: []byte("k010"), End: []byte("k030")}
		_, err := w.writer.Update(context.Background(), func(m *manifest.Manifest) error {
			for i := range m.Root.L0 {
				m.Root.L0[i].Visible = &cut
			}
			return nil
		})
		require.NoError(t, err)
		w.rows = slices.DeleteFunc(w.rows, func(e kv.Entry) bool { return !cut.Contains(e.Key) })
		c := w.manual(WorkerOptions{MinSubcompactionBytes: -1, MaxSSTBytes: 500})
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		w.check()
		require.Nil(t, w.latest().Root.Runs[0].Views[0].Visible)
	})
}

// The outcome does not depend on how a job is split, or on table sizes.
func TestSplitsGiveTheSameRows(t *testing.T) {
	var want []string
	for _, parts := range []int{1, 2, 4, 9} {
		for _, size := range []int64{300, 2000, 1 << 20} {
			bubble(t, func(t *testing.T, w *world) {
				for range 5 {
					w.flush(w.batch(150, true)...)
				}
				w.hold(w.seq / 2)
				c := w.manual(WorkerOptions{MaxSubcompactions: parts, MaxSSTBytes: size, MinSubcompactionBytes: -1})
				w.compact(c, AllSpecs(w.latest(), nil)[0])
				w.check()
				m := w.latest()
				require.NoError(t, m.Validate())
				if parts == 9 {
					require.GreaterOrEqual(t, len(m.Root.Runs[0].Views), 4)
				}
				got := w.versions(m)
				if want == nil {
					want = got
				}
				require.Equal(t, want, got)
			})
		}
	}
}

// A merge operator that fails or panics ends the job, not the process, and nothing is lost.
func TestFailingMergeOperator(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for range 4 {
			w.flush(merge("a", "x"))
		}
		for _, op := range []kv.MergeOperator{badOperator{false}, badOperator{true}} {
			conf := w.config(w.store, 2)
			conf.MergeOperator = op
			stop := w.start(New(conf, Options{}).Run)
			time.Sleep(time.Minute)
			require.NoError(t, stop())
			require.Len(t, w.latest().Root.L0, 4)
		}
		w.check()
	})
}

type badOperator struct{ panics bool }

func (b badOperator) Merge(_, _, _ []byte) ([]byte, error) {
	if b.panics {
		panic("no")
	}
	return nil, errStop
}
