package compactor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// filterLog is a supplier whose filters write down what they are asked.
type filterLog struct {
	decide func(row *sst.Row) (Decision, error)
	onEnd  func() error

	mu    sync.Mutex
	made  []FilterContext
	seen  []string // in the order of the calls, over all filters
	ended int
}

type loggedFilter struct{ l *filterLog }

func (l *filterLog) supply(c FilterContext) (Filter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = append(l.made, c)
	return loggedFilter{l}, nil
}

func (f loggedFilter) Filter(row *sst.Row) (Decision, error) {
	f.l.mu.Lock()
	f.l.seen = append(f.l.seen, rowText(row))
	f.l.mu.Unlock()
	if f.l.decide == nil {
		return Keep(), nil
	}
	return f.l.decide(row)
}

func (f loggedFilter) OnEnd() error {
	f.l.mu.Lock()
	f.l.ended++
	f.l.mu.Unlock()
	if f.l.onEnd == nil {
		return nil
	}
	return f.l.onEnd()
}

// calls is what the filters were asked, and how many have ended.
func (l *filterLog) calls() ([]string, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.seen), l.ended
}

func rowText(e *kv.Entry) string {
	s := fmt.Sprintf("%s@%d%c%s", e.Key, e.Seq, "=-+"[e.Kind], e.Value)
	if e.CreateTS != kv.NoTS {
		s += fmt.Sprintf(" c%d", e.CreateTS)
	}
	if e.ExpireTS != kv.NoTS {
		s += fmt.Sprintf(" x%d", e.ExpireTS)
	}
	return s
}

// stored lists the rows of a tree with their times.
func (w *world) stored() []string {
	var out []string
	src := w.scan(w.latest())
	for src.Next() {
		out = append(out, rowText(src.Entry()))
	}
	require.NoError(w.t, src.Err())
	return out
}

// filtered runs a coordinator that does what it is told, with a filter.
func (w *world) filtered(s FilterSupplier, o Options) *Compactor {
	o.Scheduler = idle{}
	conf := w.config(w.store, 2)
	conf.Filter = s
	c := New(conf, o)
	w.start(c.Run)
	time.Sleep(time.Millisecond)
	return c
}

func timed(e kv.Entry, create, expire int64) kv.Entry {
	e.CreateTS, e.ExpireTS = create, expire
	return e
}

// A filter is called once for each row that is left, in stored order: operands are combined,
// hidden and expired rows gone, tombstones that nobody needs dropped; those that stay it sees.
func TestFilterSeesWhatIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		l := &filterLog{}
		w.flush(put("b", "old"), put("c", "1"), merge("m", "x"), put("t", "v"))
		w.flush(del("c"), put("b", "new"), merge("m", "y"), del("t"), timed(put("e", "gone"), 5, 10), timed(put("f", "stays"), 20, 1000))
		c := w.filtered(l.supply, Options{})
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		seen, ended := l.calls()
		require.Equal(t, []string{"b@6=new", "f@10=stays c20 x1000", "m@7+xy"}, seen)
		require.Equal(t, 1, ended)
		require.Len(t, l.made, 1)
		first := l.made[0]
		require.Equal(t, FilterContext{JobID: first.JobID, Destination: 0, LastRun: true, Now: time.UnixMilli(20), MinSnapshotSeq: uint64(w.seq)}, first)
		require.NotEmpty(t, first.JobID)

		// Above another run tombstones stay, and so do rows that a snapshot needs.
		w.flush(del("c"), put("b", "1"))
		w.hold(w.seq)
		w.flush(put("b", "2"))
		m := w.latest()
		w.compact(c, manifest.Spec{L0Views: l0IDs(&m.Root), Destination: 1})
		seen, ended = l.calls()
		require.Equal(t, []string{"b@13=2", "b@12=1", "c@11-"}, seen[3:])
		require.Equal(t, 2, ended)
		second := l.made[1]
		require.False(t, second.LastRun)
		require.EqualValues(t, 1, second.Destination)
		require.EqualValues(t, 12, second.MinSnapshotSeq)
	})
}

// The segment is named.
func TestFilterKnowsItsSegment(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		l := &filterLog{}
		w.flushTo("a/", put("a/1", "x"))
		w.flushTo("b/", put("b/1", "x"))
		c := w.filtered(l.supply, Options{})
		for _, s := range AllSpecs(w.latest(), nil) {
			w.compact(c, s)
		}
		require.Len(t, l.made, 2)
		require.Equal(t, "a/", string(l.made[0].Segment))
		require.Equal(t, "b/", string(l.made[1].Segment))
		require.True(t, l.made[0].LastRun && l.made[1].LastRun)
	})
}

// Each decision does what it says, and only that: key, number and create time never change, a
// value or an operand keeps the expiry, a tombstone has none and stays in the oldest run.
func TestFilterDecisions(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		buf := []byte("....")
		l := &filterLog{decide: func(row *sst.Row) (Decision, error) {
			d := Keep()
			switch row.Key[0] {
			case 'd':
				d = Drop()
			case 'v':
				copy(buf, "new")
				d = SetValue(buf[:3]) // lent until the next call
			case 'o':
				copy(buf, "op")
				d = SetOperand(buf[:2])
			case 't':
				d = SetTombstone()
			case 'n':
				d = SetValue(nil)
			case 'z':
				// What is lent is not the row itself.
				row.Seq, row.CreateTS, row.ExpireTS, row.Kind = 1, 2, 3, kv.Tombstone
				copy(row.Key, "a")
				_ = append(row.Key, "longer"...)
				_ = append(row.Value, "longer"...)
			}
			return d, nil
		}}
		w.flush(
			timed(put("d", "1"), 5, 100), timed(put("k", "1"), 5, 100), timed(put("n", "1"), 5, 100), timed(put("o", "1"), 5, 100),
			timed(put("t", "1"), 5, 100), timed(put("v", "1"), 5, 100), timed(merge("v-operand", "1"), 5, 100), timed(put("z", "1"), 5, 100),
		)
		c := w.filtered(l.supply, Options{})
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		require.Equal(t, []string{
			"k@2=1 c5 x100", "n@3= c5 x100", "o@4+op c5 x100", "t@5- c5", "v@6=new c5 x100", "v-operand@7=new c5 x100", "z@8=1 c5 x100",
		}, w.stored())

		// The tombstone goes with the next compaction of the oldest run.
		l.decide = nil
		w.flush(put("zz", "1"))
		m := w.latest()
		w.compact(c, manifest.Spec{L0Views: l0IDs(&m.Root), Runs: []uint32{0}, Destination: 0})
		require.NotContains(t, strings.Join(w.stored(), ","), "t@5")
	})
}

// A row that was dropped leaves no tombstone: an older version in an older run shows again.
func TestFilterDropShowsOlderVersions(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		l := &filterLog{}
		c := w.filtered(l.supply, Options{})
		w.flush(put("a", "old"))
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		w.flush(put("a", "new"))
		l.decide = func(row *sst.Row) (Decision, error) { return Drop(), nil }
		m := w.latest()
		w.compact(c, manifest.Spec{L0Views: l0IDs(&m.Root), Destination: 1})
		require.Equal(t, []string{"a=old"}, w.read(w.latest(), w.seq))
		// A run of nothing is a run.
		m = w.latest()
		require.Empty(t, m.Root.L0)
		w.compact(c, manifest.Spec{Runs: []uint32{1, 0}, Destination: 0})
		require.Empty(t, w.read(w.latest(), w.seq))
	})
}

// Trivial moves do not filter.
func TestFilterIsNotAskedByTrivialMoves(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		l := &filterLog{}
		c := w.filtered(l.supply, Options{TrivialMove: true})
		w.flush(put("a", "1"))
		w.flush(put("b", "1"))
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		require.Empty(t, l.made)
		w.check()
	})
}

// An error or a panic, wherever, ends the job and nothing else. It is tried again, with a new
// filter, until it succeeds.
func TestFilterFailuresAbortTheJob(t *testing.T) {
	errNo := errors.New("no")
	for _, where := range []string{"supplier", "row", "end"} {
		for _, panics := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/panics=%v", where, panics), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					var failing atomic.Bool
					failing.Store(true)
					fail := func(here string) error {
						if !failing.Load() || here != where {
							return nil
						}
						if panics {
							panic("no")
						}
						return errNo
					}
					l := &filterLog{}
					l.decide = func(row *sst.Row) (Decision, error) {
						if string(row.Key) == "k2" {
							return Keep(), fail("row")
						}
						return Keep(), nil
					}
					l.onEnd = func() error { return fail("end") }
					c := w.filtered(func(x FilterContext) (Filter, error) {
						if err := fail("supplier"); err != nil {
							return nil, err
						}
						return l.supply(x)
					}, Options{})
					w.flush(put("k1", "1"), put("k2", "1"), put("k3", "1"))
					j, err := c.Submit(t.Context(), AllSpecs(w.latest(), nil)[0])
					require.NoError(t, err)
					time.Sleep(30 * time.Second)
					m := w.latest()
					require.Len(t, m.Root.L0, 1, "nothing was published")
					require.Empty(t, m.Root.Runs)
					w.check()
					_, ended := l.calls()
					if where == "end" {
						require.Greater(t, ended, 1, "it is tried again, each time with a new filter")
						require.Len(t, l.made, ended)
					} else {
						require.Zero(t, ended, "no end without success")
					}
					failing.Store(false)
					require.NoError(t, c.Await(t.Context(), j.ID))
					_, now := l.calls()
					require.Equal(t, ended+1, now)
					require.Len(t, w.latest().Root.Runs, 1)
					w.check()
				})
			})
		}
	}
}

// The error tells what failed; it is internal, whoever's code it was.
func TestFilterErrorsAreTyped(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.flush(put("k", "1"))
		conf := w.config(w.store, 2)
		cause := errors.New("the rule is missing")
		conf.Filter = func(FilterContext) (Filter, error) {
			return loggedFilter{&filterLog{decide: func(*sst.Row) (Decision, error) { return Keep(), cause }}}, nil
		}
		wk := NewWorker(conf, WorkerOptions{})
		task := wk.newTask(t.Context(), &manifest.Compaction{ID: w.env.ULID(1), Spec: AllSpecs(w.latest(), nil)[0]})
		err := task.work()
		require.ErrorIs(t, err, kv.ErrInternal)
		require.ErrorIs(t, err, cause)
		require.ErrorContains(t, err, `row "k"`)
		require.ErrorContains(t, err, task.job.ID.String())
	})
}

// Several filters run at once when a job is split, each over its own keys, and each ends.
func TestFiltersOfSubcompactions(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for range 4 {
			w.flush(w.batch(200, true)...)
		}
		var mu sync.Mutex
		at, most := 0, 0
		l := &filterLog{}
		l.decide = func(row *sst.Row) (Decision, error) {
			mu.Lock()
			at++
			most = max(most, at)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			at--
			mu.Unlock()
			return Keep(), nil
		}
		c := w.filtered(l.supply, Options{Worker: &WorkerOptions{MaxSubcompactions: 4, MinSubcompactionBytes: -1}})
		w.compact(c, AllSpecs(w.latest(), nil)[0])
		w.check()
		seen, ended := l.calls()
		require.Greater(t, most, 1, "at once")
		require.Equal(t, len(l.made), ended)
		require.Greater(t, ended, 1)
		for _, x := range l.made {
			require.Equal(t, l.made[0].JobID, x.JobID)
			require.False(t, x.Resumed)
		}
		// Together they saw every row, once.
		slices.Sort(seen)
		have := w.stored()
		slices.Sort(have)
		require.Equal(t, have, seen)
	})
}

// A job that another worker takes up has a new filter, which sees only what is left.
func TestFilterOfAResumedJob(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		for range 4 {
			w.flush(w.batch(200, true)...)
		}
		w.start(New(w.config(w.store, 2), Options{DisableWorker: true}).Run)
		o := WorkerOptions{MaxSSTBytes: 400, MaxSubcompactions: 1, HeartbeatInterval: 200 * time.Millisecond}
		mark := func(by string) func(*sst.Row) (Decision, error) {
			return func(row *sst.Row) (Decision, error) {
				if row.Seq%3 == 0 {
					return Drop(), nil
				}
				return SetValue([]byte(strings.Repeat(by, 60))), nil
			}
		}
		dying := faulty.New(w.store, w.env)
		slow(dying, 700*time.Millisecond)
		la, lb := &filterLog{decide: mark("A")}, &filterLog{decide: mark("B")}
		conf := w.config(dying, 3)
		conf.Filter = la.supply
		stopA := w.start(NewWorker(conf, o).Run)
		job := w.runningJob(3)
		dying.Crash()
		conf = w.config(w.store, 4)
		conf.Filter = lb.supply
		w.start(NewWorker(conf, o).Run)
		eventually(t, 2*time.Minute, func() bool { return len(w.latest().Root.Runs) == 1 })
		require.ErrorIs(t, stopA(), faulty.ErrCrashed)

		first, endedA := la.calls()
		rest, endedB := lb.calls()
		require.Zero(t, endedA)
		require.Equal(t, 1, endedB)
		require.True(t, lb.made[0].Resumed)
		require.False(t, la.made[0].Resumed)
		recordedRows := 0
		for _, r := range job.Context.Ranges {
			require.NotEmpty(t, r.Outputs)
		}
		stored := w.stored()
		for i, row := range stored {
			if strings.HasSuffix(row, "A") {
				require.Equal(t, recordedRows, i, "what A wrote comes first")
				recordedRows++
			} else {
				require.True(t, strings.HasSuffix(row, "B"), row)
			}
		}
		require.Positive(t, recordedRows)
		require.Greater(t, len(stored), recordedRows)
		// B saw no row that A has written.
		written := map[string]bool{}
		for _, row := range stored[:recordedRows] {
			written[row[:strings.IndexAny(row, "=")]] = true
		}
		require.NotEmpty(t, first)
		for _, row := range rest {
			require.False(t, written[row[:strings.IndexAny(row, "=+-")]], row)
		}
	})
}
