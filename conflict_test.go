package slatedb

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// rowsOf makes sorted rows for the tracker.
func rowsOf(keys ...string) *rowSet {
	var b WriteBatch
	for _, k := range keys {
		b.Put([]byte(k), nil)
	}
	s, err := b.rowSet(nil, 0)
	if err != nil {
		panic(err)
	}
	return s
}

// checkInvariants walks the whole tracker.
func (t *tracker) checkInvariants(tb require.TestingT) {
	floor := kv.MaxSeq // maxima at or below it may be stale
	if w := t.windows.front; w != nil {
		floor = w.seq
	}
	floor = max(floor, t.floor)
	n, size := 0, 0
	var walk func(i uint32, lo, hi *trackNode) kv.Seq
	walk = func(i uint32, lo, hi *trackNode) kv.Seq {
		if i == 0 {
			return 0
		}
		x := t.at(i)
		n++
		require.Equal(tb, t.tree, x.tree)
		require.True(tb, lo == nil || lo.key < x.key, "order")
		require.True(tb, hi == nil || x.key < hi.key, "order")
		for _, c := range []uint32{x.left, x.right} {
			require.True(tb, c == 0 || t.at(c).prio <= x.prio, "heap")
		}
		have := max(x.seq, walk(x.left, lo, x), walk(x.right, x, hi))
		require.True(tb, x.max == have || x.max > have && x.max <= floor, "max %d of %q, want %d (floor %d)", x.max, x.key, have, floor)
		return have
	}
	walk(t.root, nil, nil)
	planted := n
	last, byAge := kv.Seq(0), 0
	for i := t.oldest; i != 0; i = t.at(i).newer {
		require.GreaterOrEqual(tb, t.at(i).seq, last)
		last = t.at(i).seq
		byAge++
		size += nodeBytes + len(t.at(i).key)
		require.Equal(tb, i, t.byKey[t.at(i).key])
		if t.rangers > 0 && t.at(i).tree == t.tree {
			planted--
		}
	}
	require.Zero(tb, planted)
	require.Equal(tb, t.count, byAge)
	require.Equal(tb, t.count, len(t.byKey))
	require.Equal(tb, t.bytes, size)
}

// TestTrackerModel compares the tracker with a list of all commits.
func TestTrackerModel(t *testing.T) {
	type commit struct {
		seq  kv.Seq
		keys []string
	}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([]string{"a", "a\x00", "ab", "b", "longerThan8", "longerThan9", "longerT", "z"})
		tr := &tracker{limit: rapid.SampledFrom([]int{1 << 20, 300}).Draw(t, "limit")}
		var all []commit
		var open []*window
		seq := kv.Seq(0)
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				w := new(window)
				tr.open(w, seq)
				open = append(open, w)
			},
			"end": func(t *rapid.T) {
				if len(open) > 0 {
					i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
					tr.end(open[i])
					tr.end(open[i])
					open = append(open[:i], open[i+1:]...)
					tr.prune(rapid.IntRange(0, 10).Draw(t, "prune"))
				}
			},
			"commit": func(t *rapid.T) {
				seq++
				keys := rapid.SliceOfN(key, 1, 4).Draw(t, "keys")
				s := rowsOf(keys...)
				if tr.windows.n > 0 {
					tr.record(s, seq)
				} else {
					require.Zero(t, tr.count)
				}
				all = append(all, commit{seq, keys})
				s.release()
			},
			"check": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				w := open[rapid.IntRange(0, len(open)-1).Draw(t, "which")]
				s := rowsOf(rapid.SliceOfN(key, 0, 2).Draw(t, "writes")...)
				defer s.release()
				c := &conflictCheck{since: w.seq, reads: map[string]struct{}{}, unmarked: map[string]struct{}{}}
				s.check = c
				for _, k := range rapid.SliceOfN(key, 0, 2).Draw(t, "reads") {
					c.reads[k] = struct{}{}
				}
				for _, k := range rapid.SliceOfN(key, 0, 1).Draw(t, "unmarked") {
					c.unmarked[k] = struct{}{}
				}
				if rapid.Bool().Draw(t, "watch") {
					for at := uint32(1); at != 0; {
						at = tr.watch(w, at)
					}
				}
				for range rapid.IntRange(0, 2).Draw(t, "ranges") {
					if !w.ranges {
						break
					}
					r, err := drawRange(t).clone()
					if err == nil {
						c.ranges = append(c.ranges, r)
					}
				}
				want := false
				for _, x := range all {
					for _, k := range x.keys {
						if x.seq <= w.seq {
							continue
						}
						_, read := c.reads[k]
						want = want || read
						for i := range s.rows {
							want = want || string(s.rows[i].Key) == k && !c.skips([]byte(k))
						}
						for i := range c.ranges {
							want = want || c.ranges[i].Contains([]byte(k))
						}
					}
				}
				e := tr.check(s)
				if e != nil && e.old {
					require.Less(t, w.seq, tr.floor)
					require.Equal(t, 300, tr.limit, "nothing is forgotten below the limit")
					return
				}
				require.Equal(t, want, e != nil, "since %d: %v", w.seq, e)
			},
			"": func(t *rapid.T) {
				tr.checkInvariants(t)
				require.LessOrEqual(t, tr.bytes, tr.limit)
				if len(open) == 0 {
					require.Zero(t, tr.count, "nobody can ask")
				}
			},
		})
	})
}

// TestTrackerPrunes: what only the oldest window could ask about goes with it.
func TestTrackerPrunes(t *testing.T) {
	db := openTest(t, testOptions())
	tr := &db.conflicts
	var old, young window
	put := func(from, to int) {
		for i := from; i < to; i++ {
			_, err := db.PutWithOptions(t.Context(), fmt.Appendf(nil, "k%06d", i), nil, &PutOptions{NoWait: true})
			require.NoError(t, err)
		}
	}
	db.openWindow(&old)
	put(0, 5000)
	db.openWindow(&young)
	put(5000, 5010)
	require.Equal(t, 5010, tr.count)
	db.endWindow(&old)
	require.Equal(t, 10, tr.count)
	tr.checkInvariants(t)
	db.endWindow(&young)
	require.Zero(t, tr.count)
	require.LessOrEqual(t, len(tr.chunks), 1)
}

// TestTrackerHotKey: rewriting the same keys takes no more memory.
func TestTrackerHotKey(t *testing.T) {
	tr := &tracker{limit: 1 << 20}
	tr.open(new(window), 0)
	s := rowsOf("a", "b")
	for i := range 100_000 {
		tr.record(s, kv.Seq(i+1))
	}
	require.Equal(t, 2, tr.count)
	require.Zero(t, tr.floor)
}

func BenchmarkTracker(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		for _, ranges := range []bool{false, true} {
			tr := &tracker{limit: 1 << 30}
			w := new(window)
			tr.open(w, 0)
			if ranges {
				tr.watch(w, 1)
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			keys := make([][]byte, n)
			for i := range keys {
				keys[i] = fmt.Appendf(nil, "user/%016x", rnd.Uint64())
				tr.note(keys[i], kv.Seq(i+1))
			}
			name := fmt.Sprintf("ranges=%v/window=%d", ranges, n)
			seq := kv.Seq(n)
			b.Run("op=rewrite/"+name, func(b *testing.B) { // each seen by a new window
				b.ReportAllocs()
				for b.Loop() {
					seq++
					tr.windows.back.seq = seq - 1
					tr.note(keys[rnd.IntN(n)], seq)
				}
			})
			b.Run("op=insert-prune/"+name, func(b *testing.B) {
				b.ReportAllocs()
				key := make([]byte, 0, 64)
				for b.Loop() {
					seq++
					key = fmt.Appendf(key[:0], "user/%016x", rnd.Uint64())
					tr.note(key, seq)
					tr.drop(tr.oldest)
				}
			})
			if !ranges {
				continue
			}
			b.Run("op=range-miss/"+name, func(b *testing.B) {
				b.ReportAllocs()
				tr.note([]byte("zzz"), seq+1) // the newest commit is outside, inside all is too old
				r := kv.Range{Start: []byte("user/3"), End: []byte("user/c")}
				for b.Loop() {
					if tr.inRange(tr.root, &r, seq) != 0 {
						b.Fatal("hit")
					}
				}
			})
		}
	}
}
