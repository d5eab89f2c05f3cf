package slatedb

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// sgByFlag cuts two bytes, or three of keys that end with '3'. That breaks the contract, so its
// prefixes can clash.
type sgByFlag struct{}

func (sgByFlag) Name() string { return "by-flag" }
func (sgByFlag) PrefixLen(b []byte, _ bool) (int, bool) {
	n := 2
	if bytes.HasSuffix(b, []byte("3")) || len(b) == 3 { // a prefix of three recognises itself
		n = 3
	}
	return n, len(b) >= n
}

// A key without a prefix is refused, alone or in a batch, before anything is written. Reads of
// such keys find nothing.
func TestSegmentsEmptyPrefix(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.SegmentExtractor = PrefixUntil('/')
	db := openTest(t, o)
	putKeys(t, db, "a/1")
	before := db.Status()
	var b WriteBatch
	b.Put([]byte("a/2"), nil)
	b.Put([]byte("nothing"), nil)
	for _, err := range []error{db.Put(ctx, []byte("nothing"), nil), db.Delete(ctx, []byte("nothing")), db.Write(ctx, &b)} {
		require.ErrorIs(t, err, ErrInvalid)
		require.ErrorContains(t, err, "empty segment prefix")
		require.ErrorContains(t, err, `"nothing"`)
	}
	require.Equal(t, before, db.Status())
	require.Equal(t, []string{"a/1"}, keysSeen(t, db))
	_, err := db.Get(ctx, []byte("nothing"))
	require.ErrorIs(t, err, ErrNotFound)
	flushAll(t, db)
	_, err = db.Get(ctx, []byte("nothing"))
	require.ErrorIs(t, err, ErrNotFound)
}

// A prefix that is the beginning of another one is refused wherever the other one is, before the
// log is written, and the error names both.
func TestSegmentsAntichain(t *testing.T) {
	ctx := context.Background()
	for _, first := range []string{"aa-row", "aa-row3"} {
		for _, place := range []string{"batch", "memtable", "frozen", "l0", "replayed", "run"} {
			t.Run(place+"/"+first, func(t *testing.T) {
				o := testOptions()
				o.SegmentExtractor, o.ManifestPollInterval = sgByFlag{}, -1
				second, prefix := "aa-row3", "aa"
				if first == second {
					second = "aa-row"
				}
				gate := make(chan struct{})
				if place == "frozen" {
					o.onPoint = func(p string) {
						if p == "flush.before-put" {
							<-gate
						}
					}
				}
				db := openTest(t, o)
				var b WriteBatch
				if place == "batch" {
					b.Put([]byte(first), nil)
				} else {
					putKeys(t, db, first)
				}
				switch place {
				case "frozen":
					db.commitMu.Lock()
					db.freezeLocked()
					db.commitMu.Unlock()
				case "l0", "run":
					flushAll(t, db)
				case "replayed":
					require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL}))
					db = openTest(t, o)
				}
				if place == "run" {
					closeAll(t, db)
					c := *o
					c.DisableCompactor = false
					db = openTest(t, &c)
					require.NoError(t, db.Compact(ctx))
					require.Len(t, db.state.Load().segs[0].runs, 1)
				}
				logs := len(keysIn(t, o.Store, "db/wal/"))
				before := db.Status()
				b.Put([]byte(second), nil)
				err := db.Write(ctx, &b)
				close(gate)
				require.ErrorIs(t, err, ErrInvalid)
				var clash *SegmentClashError
				require.ErrorAs(t, err, &clash)
				require.Equal(t, prefix, string(clash.Shorter))
				require.Equal(t, "aa-", string(clash.Longer))
				require.ErrorContains(t, err, `"aa"`)
				require.ErrorContains(t, err, `"aa-"`)
				require.Equal(t, before.CommittedSeq, db.Status().CommittedSeq)
				require.Len(t, keysIn(t, o.Store, "db/wal/"), logs)
				// What does not clash goes on.
				putKeys(t, db, "bb-row")
				if place != "batch" {
					putKeys(t, db, first)
					require.Equal(t, []string{first, "bb-row"}, keysSeen(t, db))
				}
			})
		}
	}
}

// Segments that are there cost a commit no allocation, however many there are.
func TestSegmentsKnownOnesAreCheap(t *testing.T) {
	o := testOptions()
	o.SegmentExtractor = PrefixUntil('/')
	db := openTest(t, o)
	var b WriteBatch
	for i := range 300 {
		b.Put(fmt.Appendf(nil, "%d/x", i), nil)
	}
	require.NoError(t, db.Write(context.Background(), &b))
	flushAll(t, db)
	putKeys(t, db, "7/x")
	add := map[string]struct{}{"7/": {}, "200/": {}}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := db.antichainLocked(add); err != nil {
			t.Error(err)
		}
	}))
}

// A reader may be given the extractor, and then it must be the right one. Without it reads work
// too: the manifest names the segments.
func TestSegmentsReaderExtractor(t *testing.T) {
	with, without := testOptions(), testOptions()
	with.SegmentExtractor = PrefixUntil('/')
	for _, o := range []*Options{with, without} {
		db := openTest(t, o)
		putKeys(t, db, "a/1", "b/1")
		flushAll(t, db)
		putKeys(t, db, "a/2", "c/1") // in the log only
		for _, mode := range []ReaderMode{ManagedCheckpoint, FollowLatest} {
			for name, x := range map[string]PrefixExtractor{"none": nil, "right": PrefixUntil('/'), "other": PrefixLength(2), "dishonest": named{PrefixLength(1), PrefixUntil('/').Name()}} {
				r, err := tryReader(o.Store, "db", ReaderOptions{Mode: mode, SegmentExtractor: x})
				if name == "none" || name == "right" && o == with {
					require.NoError(t, err, name)
					require.Equal(t, []string{"a/1", "a/2", "b/1", "c/1"}, keysSeen(t, r))
					closeAll(t, r)
				} else {
					require.ErrorIs(t, err, ErrInvalid, name)
				}
			}
		}
	}
}

// Reads and scans cross segments in key order, in both directions, from wherever they begin, over
// rows in the memtable, in L0 and in runs. The segments are listed, sorted, wherever their rows
// are, and each is compacted by itself.
func TestSegmentsReadsListAndCompaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.SegmentExtractor, o.DisableCompactor = PrefixUntil('/'), false
		db := openTest(t, o)
		var want []string
		put := func(keys ...string) {
			putKeys(t, db, keys...)
			want = append(want, keys...)
			slices.Sort(want)
		}
		list := func() string {
			var out []string
			for _, p := range db.Status().Segments {
				out = append(out, string(p))
			}
			return strings.Join(out, " ")
		}
		require.Empty(t, list())
		check := func() {
			t.Helper()
			for i, from := range append([]string{"", "a", "b/", "b/15", "bb/", "zzz"}, want...) {
				for _, desc := range []bool{false, true} {
					rng, so := Range{Start: []byte(from)}, &ScanOptions{}
					model := want[sgSearch(want, from):]
					if desc {
						rng, so.Order = Range{End: []byte(from + "!")}, Descending
						model = slices.Clone(want[:sgSearch(want, from+"!")])
						slices.Reverse(model)
					}
					var got []string
					for _, e := range scanRows(t, db, rng, so) {
						got = append(got, string(e.Key))
					}
					require.Equal(t, fmt.Sprint(model), fmt.Sprint(got), "probe %d from %q, descending %v", i, from, desc)
					// The same by Seek over everything.
					it, err := db.ScanWithOptions(ctx, All, so)
					require.NoError(t, err)
					got = nil
					seek := from
					if desc {
						seek += "!"
					}
					for ok := it.Seek([]byte(seek)); ok; ok = it.Next() {
						got = append(got, string(it.Key()))
					}
					require.NoError(t, it.Close())
					require.Equal(t, fmt.Sprint(model), fmt.Sprint(got), "seek %q, descending %v", seek, desc)
				}
			}
			for _, k := range want {
				v, err := db.Get(ctx, []byte(k))
				require.NoError(t, err)
				require.Equal(t, "value of "+k, string(v))
			}
		}
		put("b/1", "b/3", "d/1")
		require.Equal(t, "b/ d/", list())
		check()
		flushAll(t, db)
		put("a/1", "b/2")
		require.Equal(t, "a/ b/ d/", list())
		check()
		require.NoError(t, db.Compact(ctx))
		put("c/1", "b/0", "bb/1")
		flushAll(t, db)
		put("d/0", "e/1")
		require.Equal(t, "a/ b/ bb/ c/ d/ e/", list())
		check()
		closeAll(t, db)
		db = openTest(t, o)
		require.Equal(t, "a/ b/ bb/ c/ d/ e/", list())
		check()
		require.NoError(t, db.Compact(ctx))
		check()
		m := db.state.Load().man
		require.True(t, m.Root.Empty())
		ids := map[uint32]bool{}
		for i := range m.Segments {
			s := &m.Segments[i]
			require.Empty(t, s.L0)
			require.Len(t, s.Runs, 1, "segment %q", s.Prefix)
			require.False(t, ids[s.Runs[0].ID], "run ids are of the whole database")
			ids[s.Runs[0].ID] = true
			for _, v := range s.Runs[0].Views {
				require.True(t, bytes.HasPrefix(v.Table.Info.First, s.Prefix) && bytes.HasPrefix(v.Table.Info.Last, s.Prefix))
			}
		}
		closeAll(t, db)
	})
}

// sgSearch is where the first key at or above k is.
func sgSearch(sorted []string, k string) int {
	i, _ := slices.BinarySearch(sorted, k)
	return i
}

// Draining a segment drops its tables whole, by the compactor in the writer's process or by one
// of its own. Rows in memtables stay, other segments too, and the segment can be filled again.
func TestSegmentsDrain(t *testing.T) {
	for _, embedded := range []bool{true, false} {
		t.Run(fmt.Sprintf("embedded=%v", embedded), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				o := testOptions()
				o.SegmentExtractor, o.DisableCompactor = sgByFlag{}, !embedded
				db := openTest(t, o)
				a := testAdmin(t, o.Store, "db")
				run, stop := context.WithCancel(ctx)
				ended := make(chan error, 1)
				if !embedded {
					go func() { ended <- a.RunCompactor(run, nil) }()
				}
				putKeys(t, db, "aa-1", "bb-1")
				flushAll(t, db)
				require.NoError(t, db.Compact(ctx))
				putKeys(t, db, "aa-2", "bb-2")
				flushAll(t, db)
				putKeys(t, db, "aa-9")
				drain := func() {
					c, err := a.SubmitCompaction(ctx, CompactionRequest{Kind: DrainSegment, Segment: []byte("aa")})
					require.NoError(t, err)
					c, err = a.AwaitCompaction(ctx, c.ID)
					require.NoError(t, err)
					require.Equal(t, "Completed", c.State)
					require.NoError(t, db.RefreshManifest(ctx))
				}
				drain()
				require.Equal(t, []string{"aa-9", "bb-1", "bb-2"}, keysSeen(t, db), "what is in memory stays")
				flushAll(t, db)
				require.Equal(t, []string{"aa-9", "bb-1", "bb-2"}, keysSeen(t, db))
				require.ErrorIs(t, db.Put(ctx, []byte("aa-3"), nil), ErrInvalid)
				drain()
				require.Equal(t, []string{"bb-1", "bb-2"}, keysSeen(t, db))
				_, err := db.Get(ctx, []byte("aa-1"))
				require.ErrorIs(t, err, ErrNotFound)
				require.Equal(t, [][]byte{[]byte("bb")}, db.Status().Segments)
				// Draining what is empty is done at once; what never was is refused.
				c, err := a.SubmitCompaction(ctx, CompactionRequest{Kind: DrainSegment, Segment: []byte("aa")})
				if err == nil {
					require.Equal(t, Compaction{State: "Completed"}, c)
				} else {
					require.ErrorIs(t, err, ErrInvalid, "its marker is gone")
				}
				_, err = a.SubmitCompaction(ctx, CompactionRequest{Kind: DrainSegment, Segment: []byte("zz")})
				require.ErrorIs(t, err, ErrInvalid)
				_, err = a.SubmitCompaction(ctx, CompactionRequest{Kind: DrainSegment})
				require.ErrorIs(t, err, ErrInvalid)

				putKeys(t, db, "aa-5")
				flushAll(t, db)
				require.NoError(t, db.Compact(ctx))
				require.Equal(t, []string{"aa-5", "bb-1", "bb-2"}, keysSeen(t, db))
				stop()
				if !embedded {
					require.NoError(t, <-ended)
				}
				closeAll(t, db)
				db = openTest(t, o)
				require.Equal(t, []string{"aa-5", "bb-1", "bb-2"}, keysSeen(t, db))
				closeAll(t, db)
			})
		})
	}
}
