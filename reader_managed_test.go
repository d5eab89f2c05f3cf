package slatedb

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

func checkpointsOf(t testing.TB, s objstore.Store) []Checkpoint {
	t.Helper()
	list, err := testAdmin(t, s, "db").ListCheckpoints(context.Background(), "")
	require.NoError(t, err)
	return list
}

func manifestCount(t testing.TB, s objstore.Store) int {
	t.Helper()
	m, err := testAdmin(t, s, "db").ReadManifest(context.Background(), 0)
	require.NoError(t, err)
	return int(m.ID)
}

func flushAll(t testing.TB, db *DB) {
	t.Helper()
	require.NoError(t, db.FlushWithOptions(context.Background(), &FlushOptions{Type: FlushMemtable}))
}

func closeAll(t testing.TB, rs ...interface{ Close(context.Context) error }) {
	t.Helper()
	for _, r := range rs {
		require.NoError(t, r.Close(context.Background()))
	}
}

// compactAll replaces all tables of the root tree by one run, as a compactor would, so that
// the collector may delete them.
func compactAll(t testing.TB, s objstore.Store, path string) {
	t.Helper()
	ctx := context.Background()
	env := seam.New(seam.Env{})
	r := testReader(t, s, path, ReaderOptions{Mode: FollowLatest, SkipWALReplay: true})
	w := sst.NewWriter(sst.WriterOptions{})
	for _, e := range scanAll(t, r, nil) {
		require.NoError(t, w.Add(&kv.Entry{Key: e.Key, Value: e.Value, Seq: kv.Seq(e.Seq), CreateTS: e.CreateTime.UnixMilli(), ExpireTS: kv.NoTS}))
	}
	require.NoError(t, r.Close(ctx))
	body, info, err := w.Finish()
	require.NoError(t, err)
	h := &sst.Handle{ID: sst.TableID(env.ULID(uint64(time.Now().UnixMilli()))), Format: sst.FormatV2, Info: info}
	_, err = s.Put(ctx, h.ID.Object(path), body, objstore.Always)
	require.NoError(t, err)
	_, err = update(ctx, manifest.NewStore(s, path, env), func(m *manifest.Manifest) error {
		id, _ := m.NextRunID()
		m.Root.LastCompactedL0, m.Root.L0 = m.Root.L0[0].ID, nil
		m.Root.Runs = []sst.SortedRun{{ID: id, Views: []sst.View{{ID: h.ID.ULID(), Table: h}}}}
		return nil
	})
	require.NoError(t, err)
}

// collect deletes the tables that neither the latest manifest nor a checkpoint needs, and WAL
// objects below the replay point. (The real collector would wait for a compaction's history.)
func collect(t testing.TB, s objstore.Store, path string) (deleted int) {
	t.Helper()
	ctx := context.Background()
	st := manifest.NewStore(s, path, seam.New(seam.Env{}))
	m, err := update(ctx, st, func(m *manifest.Manifest) error {
		var keep []Checkpoint
		for _, c := range m.Checkpoints {
			if !c.Expired(time.Now()) {
				keep = append(keep, c)
			}
		}
		m.Checkpoints = keep
		return nil
	})
	require.NoError(t, err)
	live := []*manifest.Manifest{m}
	for _, c := range m.Checkpoints {
		p, err := st.Read(ctx, c.ManifestID)
		require.NoError(t, err)
		live = append(live, p)
	}
	needed := func(key string) bool {
		for _, m := range live {
			for _, h := range m.Tables() {
				if h.ID.Object(path) == key {
					return true
				}
			}
			for id := m.ReplayAfterWAL; id <= m.WALLastSeen; id++ {
				if id > 0 && sst.WALID(id).Object(path) == key {
					return true
				}
			}
		}
		return false
	}
	for o, err := range s.List(ctx, path+"/", "") {
		require.NoError(t, err)
		switch dir := strings.Split(o.Key, "/")[1]; {
		case dir == "compacted" && !needed(o.Key), dir == "wal" && !needed(o.Key) && o.Key < sst.WALID(m.ReplayAfterWAL+1).Object(path):
			require.NoError(t, s.Delete(ctx, o.Key))
			deleted++
		}
	}
	return deleted
}

func TestReaderOptionsAreChecked(t *testing.T) {
	s := objstore.NewMemory()
	for _, o := range []ReaderOptions{
		{CheckpointLifetime: 999 * time.Millisecond, PollInterval: time.Millisecond}, {CheckpointLifetime: 19 * time.Second, PollInterval: 10 * time.Second},
		{PollInterval: 301 * time.Second}, {CheckpointLifetime: -1}, {Mode: 3}, {Mode: PinnedCheckpoint},
	} {
		_, err := tryReader(s, "db", o)
		require.ErrorIs(t, err, ErrInvalid, "%+v", o)
	}
	for _, mode := range []ReaderMode{ManagedCheckpoint, FollowLatest} {
		_, err := tryReader(s, "db", ReaderOptions{Mode: mode})
		require.ErrorIs(t, err, ErrNoDatabase)
	}
	_, err := tryReader(s, "db", ReaderOptions{CheckpointID: uuid.New()})
	require.ErrorIs(t, err, ErrNoDatabase)
}

// One write at open, one for each progress of the tables, none for the log, one at Close.
func TestManagedReaderLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.ManifestPollInterval = -1
		db := openTest(t, o)
		putKeys(t, db, "a")
		before := manifestCount(t, o.Store)
		r := testReader(t, o.Store, "db", ReaderOptions{})
		require.Equal(t, before+1, manifestCount(t, o.Store))
		cks := checkpointsOf(t, o.Store)
		require.Len(t, cks, 1)
		require.Equal(t, 600*time.Second, cks[0].ExpireTime.Sub(cks[0].CreateTime))
		require.EqualValues(t, before+1, cks[0].ManifestID)
		require.Equal(t, []string{"a"}, keysSeen(t, r))

		putKeys(t, db, "b")
		require.Equal(t, []string{"a"}, keysSeen(t, r))
		require.NoError(t, r.Refresh(ctx))
		require.Equal(t, []string{"a", "b"}, keysSeen(t, r))
		require.Equal(t, before+1, manifestCount(t, o.Store), "the log costs no write")

		flushAll(t, db)
		require.NoError(t, r.Refresh(ctx))
		require.Equal(t, before+3, manifestCount(t, o.Store), "the flush, and one write of the reader")
		now := checkpointsOf(t, o.Store)
		require.Len(t, now, 1)
		require.NotEqual(t, cks[0].ID, now[0].ID)
		require.EqualValues(t, before+3, now[0].ManifestID)
		require.Equal(t, []string{"a", "b"}, keysSeen(t, r))

		// An iterator keeps the old checkpoint.
		it, err := r.Scan(ctx, nil, nil)
		require.NoError(t, err)
		putKeys(t, db, "c")
		flushAll(t, db)
		require.NoError(t, r.Refresh(ctx))
		require.Len(t, checkpointsOf(t, o.Store), 2)
		compactAll(t, o.Store, "db")
		require.NoError(t, r.Refresh(ctx))
		collect(t, o.Store, "db")
		var seen []string
		for k := range it.All() {
			seen = append(seen, string(k))
		}
		require.NoError(t, it.Close())
		require.NoError(t, it.Close())
		require.Equal(t, []string{"a", "b"}, seen)
		require.NoError(t, r.Refresh(ctx))
		require.Len(t, checkpointsOf(t, o.Store), 1, "the old one goes with its last iterator")
		require.Equal(t, []string{"a", "b", "c"}, keysSeen(t, r))

		require.NoError(t, r.Close(ctx))
		require.NoError(t, r.Close(ctx))
		require.Empty(t, checkpointsOf(t, o.Store))
		_, err = r.Get(ctx, []byte("a"))
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, r.Refresh(ctx), ErrClosed)
		require.ErrorIs(t, r.WaitForSeq(ctx, 99), ErrClosed)
		closeAll(t, db)
	})
}

func TestReaderCloseWithEndedContext(t *testing.T) {
	o := testOptions()
	openTest(t, o)
	r := testReader(t, o.Store, "db", ReaderOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, r.Close(ctx), context.Canceled)
	require.Len(t, checkpointsOf(t, o.Store), 1, "it expires by itself")
}

func TestReaderWaitForSeq(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		db := openTest(t, o)
		putKeys(t, db, "a")
		for _, mode := range []ReaderMode{ManagedCheckpoint, FollowLatest} {
			r := testReader(t, o.Store, "db", ReaderOptions{Mode: mode})
			h, err := db.PutWithOptions(ctx, []byte("b"), fmt.Append(nil, mode), nil)
			require.NoError(t, err)
			require.NoError(t, r.WaitForSeq(ctx, h.Seq()))
			v, err := r.Get(ctx, []byte("b"))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(mode), string(v))
			short, cancel := context.WithTimeout(ctx, time.Minute)
			require.ErrorIs(t, r.WaitForSeq(short, h.Seq()+1), context.DeadlineExceeded)
			cancel()
			closeAll(t, r)
		}
		ck, err := db.CreateCheckpoint(ctx, CheckpointAll, nil)
		require.NoError(t, err)
		p := testReader(t, o.Store, "db", ReaderOptions{CheckpointID: ck.ID})
		require.NoError(t, p.WaitForSeq(ctx, 3))
		require.ErrorIs(t, p.WaitForSeq(ctx, 4), ErrInvalid)
		putKeys(t, db, "z")
		require.NoError(t, p.Refresh(ctx))
		require.Equal(t, []string{"a", "b"}, keysSeen(t, p))
		closeAll(t, p, db)
	})
}

// E6: polls of all kinds of readers while the writer flushes and the WAL is collected under
// them.
func TestE6_ReaderPollDuringFlushAndCollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		o := testOptions()
		o.ManifestPollInterval = -1
		db := openTest(t, o)
		putKeys(t, db, "k0000")
		var readers []*Reader
		for _, mode := range []ReaderMode{ManagedCheckpoint, FollowLatest} {
			for _, skip := range []bool{false, true} {
				readers = append(readers, testReader(t, o.Store, "db", ReaderOptions{Mode: mode, PollInterval: 17 * time.Millisecond, CheckpointLifetime: time.Second, SkipWALReplay: skip}))
			}
		}
		var wg sync.WaitGroup
		var reads atomic.Int64
		for _, r := range readers {
			wg.Go(func() {
				last := -1
				for ctx.Err() == nil {
					n, i := 0, -1
					for e, err := range r.Entries(context.Background(), All, nil) {
						if err != nil {
							panic(err)
						}
						if _, err := fmt.Sscanf(string(e.Key), "k%d", &i); err != nil || i != n {
							panic(fmt.Sprintf("hole before %q", e.Key))
						}
						n++
					}
					if i < last {
						panic("back in time")
					}
					last = i
					reads.Add(1)
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
		for i := 1; i < 400; i++ {
			putKeys(t, db, fmt.Sprintf("k%04d", i))
			if i%10 == 0 {
				flushAll(t, db)
			}
			if i%7 == 0 {
				collect(t, o.Store, "db")
			}
			time.Sleep(3 * time.Millisecond)
		}
		flushAll(t, db)
		for _, r := range readers {
			require.NoError(t, r.WaitForSeq(context.Background(), 400))
		}
		stop()
		wg.Wait()
		require.Greater(t, reads.Load(), int64(100))
		for _, r := range readers {
			closeAll(t, r)
		}
		closeAll(t, db)
	})
}

// E7: a reader that skips the WAL skips it after every kind of refresh.
func TestE7_SkipWALReplayIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		for _, mode := range []ReaderMode{ManagedCheckpoint, FollowLatest} {
			o := testOptions()
			db := openTest(t, o)
			putKeys(t, db, "a")
			flushAll(t, db)
			putKeys(t, db, "wal1")
			r := testReader(t, o.Store, "db", ReaderOptions{Mode: mode, SkipWALReplay: true})
			require.Equal(t, []string{"a"}, keysSeen(t, r))
			require.NoError(t, r.Refresh(ctx))
			require.Equal(t, []string{"a"}, keysSeen(t, r))
			flushAll(t, db)
			putKeys(t, db, "wal2")
			require.NoError(t, r.Refresh(ctx))
			require.Equal(t, []string{"a", "wal1"}, keysSeen(t, r))
			for _, c := range checkpointsOf(t, o.Store) { // the lease is taken away
				require.NoError(t, testAdmin(t, o.Store, "db").DeleteCheckpoint(ctx, c.ID))
			}
			require.NoError(t, r.Refresh(ctx))
			require.Equal(t, []string{"a", "wal1"}, keysSeen(t, r))
			require.EqualValues(t, 2, r.Status().DurableSeq)
			closeAll(t, r, db)
		}
	})
}

// E8: the reader is ahead of L0, the WAL has only old rows, or only fences.
func TestE8_ReaderAheadOfTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		for _, mode := range []ReaderMode{ManagedCheckpoint, FollowLatest} {
			o := testOptions()
			db := openTest(t, o)
			r := testReader(t, o.Store, "db", ReaderOptions{Mode: mode}) // nothing but a fence
			require.Empty(t, keysSeen(t, r))
			putKeys(t, db, "a", "b", "c")
			require.NoError(t, r.Refresh(ctx))
			require.EqualValues(t, 3, r.Status().DurableSeq)
			flushAll(t, db) // L0 catches up; the WAL has only old rows
			require.NoError(t, r.Refresh(ctx))
			require.Equal(t, []string{"a", "b", "c"}, keysSeen(t, r))
			for range 3 { // fences of new writers
				closeAll(t, db)
				db = openTest(t, o)
				require.NoError(t, r.Refresh(ctx))
				require.Equal(t, []string{"a", "b", "c"}, keysSeen(t, r))
				require.EqualValues(t, 3, r.Status().DurableSeq)
			}
			closeAll(t, r, db)
		}
	})
}

// E9: an outage longer than the lease; meanwhile the tables are replaced and collected. The
// reader comes back with everything, and an iterator of before says why it cannot go on.
func TestE9_OutageLongerThanTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.ManifestPollInterval = -1
		inner := o.Store
		db := openTest(t, o)
		for i := range 300 {
			require.NoError(t, db.Put(ctx, fmt.Appendf(nil, "k%03d", i), make([]byte, 4000)))
			if i%100 == 99 {
				flushAll(t, db)
			}
		}
		s := faulty.New(inner, nil)
		r := testReader(t, s, "db", ReaderOptions{PollInterval: 10 * time.Second, CheckpointLifetime: time.Minute})
		it, err := r.Scan(ctx, nil, nil)
		require.NoError(t, err)
		require.True(t, it.Next())
		open, err := r.ScanWithOptions(ctx, All, &ScanOptions{Order: Descending})
		require.NoError(t, err)
		first := checkpointsOf(t, inner)[0]

		outage := s.Script(faulty.Rule{Kind: faulty.ErrorBefore})
		time.Sleep(5 * time.Minute)
		putKeys(t, db, "later")
		flushAll(t, db)
		compactAll(t, inner, "db")
		require.Positive(t, collect(t, inner, "db"), "nothing was held any more")
		require.Empty(t, checkpointsOf(t, inner))
		outage.Remove()
		time.Sleep(30 * time.Second)

		cks := checkpointsOf(t, inner)
		require.Len(t, cks, 1)
		require.NotEqual(t, first.ID, cks[0].ID)
		require.Len(t, keysSeen(t, r), 301)
		v, err := r.Get(ctx, []byte("later"))
		require.NoError(t, err)
		require.Equal(t, "value of later", string(v))
		for _, old := range []*Iterator{it, open} {
			for old.Next() {
			}
			require.ErrorIs(t, old.Err(), ErrLeaseLost)
			require.ErrorIs(t, old.Err(), ErrUnavailable)
			require.NotErrorIs(t, old.Err(), ErrNotFound)
			require.NotErrorIs(t, old.Err(), ErrCorrupt)
			require.ErrorIs(t, old.Close(), ErrLeaseLost)
		}
		time.Sleep(5 * time.Minute)
		require.Equal(t, cks[0].ID, checkpointsOf(t, inner)[0].ID, "the new lease is renewed")
		closeAll(t, r, db)
		require.Empty(t, checkpointsOf(t, inner))
	})
}

// A point read that runs into collected tables finds the newer ones.
func TestReaderPointReadsFindNewerTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		for _, mode := range []ReaderMode{ManagedCheckpoint, FollowLatest} {
			o := testOptions()
			o.ManifestPollInterval = -1
			db := openTest(t, o)
			putKeys(t, db, "a", "b")
			flushAll(t, db)
			for range 4 {
				r := testReader(t, o.Store, "db", ReaderOptions{Mode: mode})
				for _, c := range checkpointsOf(t, o.Store) {
					require.NoError(t, testAdmin(t, o.Store, "db").DeleteCheckpoint(ctx, c.ID))
				}
				putKeys(t, db, "a")
				flushAll(t, db)
				compactAll(t, o.Store, "db")
				collect(t, o.Store, "db")
				v, err := r.Get(ctx, []byte("a"))
				require.NoError(t, err)
				require.Equal(t, "value of a", string(v))
				closeAll(t, r)
			}
			r := testReader(t, o.Store, "db", ReaderOptions{Mode: mode})
			for h := range r.state.Load().man.Tables() { // really gone: no newer table helps
				require.NoError(t, o.Store.Delete(ctx, sst.TableID(h).Object("db")))
			}
			_, err := r.Get(ctx, []byte("b"))
			require.ErrorIs(t, err, ErrCorrupt)
			_, err = r.MultiGet(ctx, [][]byte{[]byte("b")}, nil)
			require.ErrorIs(t, err, ErrCorrupt)
			_, err = r.GetEntry(ctx, []byte("b"), nil)
			require.ErrorIs(t, err, ErrCorrupt)
			_, err = r.Has(ctx, []byte("b"))
			require.ErrorIs(t, err, ErrCorrupt)
			require.NotErrorIs(t, err, ErrNotFound)
			closeAll(t, r)
			require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))
		}
	})
}

// E10: an idle managed reader writes a manifest only for its lease: one at open and one each
// half lifetime.
func TestE10_IdleReaderWritesOnlyItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions()
		db := openTest(t, o)
		putKeys(t, db, "a")
		closeAll(t, db)
		before := manifestCount(t, o.Store)
		f := testReader(t, o.Store, "db", ReaderOptions{Mode: FollowLatest, PollInterval: 10 * time.Second})
		time.Sleep(time.Hour)
		require.Equal(t, before, manifestCount(t, o.Store), "a reader that follows writes nothing")
		closeAll(t, f)
		for _, poll := range []time.Duration{10 * time.Second, 300 * time.Second, -1} {
			before = manifestCount(t, o.Store)
			r := testReader(t, o.Store, "db", ReaderOptions{PollInterval: poll})
			for range 60 {
				time.Sleep(time.Minute)
				cks := checkpointsOf(t, o.Store)
				require.Len(t, cks, 1)
				require.True(t, cks[0].ExpireTime.After(time.Now()))
			}
			wrote := manifestCount(t, o.Store) - before
			require.LessOrEqual(t, wrote, 1+12, "poll %v", poll)
			require.GreaterOrEqual(t, wrote, 6)
			closeAll(t, r)
		}
	})
}

// E11: what a reader has shown it never takes back: not over refreshes, lost leases, a
// truncated log or a listing that is old.
func TestE11_ReadersNeverGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		for _, mode := range []ReaderMode{ManagedCheckpoint, FollowLatest} {
			o := testOptions()
			o.ManifestPollInterval = -1
			inner := o.Store
			db := openTest(t, o)
			s := faulty.New(inner, nil)
			r := testReader(t, s, "db", ReaderOptions{Mode: mode, MaxRetries: 1})
			last := uint64(0)
			for i := range 60 {
				putKeys(t, db, fmt.Sprintf("k%02d", i))
				switch i % 6 {
				case 1:
					flushAll(t, db)
				case 2:
					for _, c := range checkpointsOf(t, inner) {
						require.NoError(t, testAdmin(t, inner, "db").DeleteCheckpoint(ctx, c.ID))
					}
				case 3:
					collect(t, inner, "db")
				}
				var rule *faulty.Active
				switch i % 5 {
				case 0:
					rule = s.Script(faulty.Rule{Method: "list", Kind: faulty.Hide, Hides: func(a objstore.Attributes) bool { return strings.Contains(a.Key, "manifest/") }})
				case 1: // the log looks shorter than it is
					rule = s.Script(faulty.Rule{Method: "get", Key: "wal/", Kind: faulty.ErrorBefore, Err: objstore.ErrNotFound})
				case 2:
					rule = s.Script(faulty.Rule{Kind: faulty.ErrorBefore, Nth: 2, Times: 3})
				case 3:
					rule = s.Script(faulty.Rule{Method: "put", Kind: faulty.ErrorAfter})
				}
				_ = r.Refresh(ctx)
				if rule != nil {
					rule.Remove()
				}
				st := r.Status()
				require.GreaterOrEqual(t, st.DurableSeq, last)
				last = st.DurableSeq
				got := keysSeen(t, r)
				require.Len(t, got, int(last), "exactly what was promised")
			}
			require.NoError(t, r.Refresh(ctx))
			require.EqualValues(t, 60, r.Status().DurableSeq)
			closeAll(t, r)
			require.Empty(t, checkpointsOf(t, inner), "whatever came of its writes, nothing stays")
			again := testReader(t, inner, "db", ReaderOptions{Mode: mode})
			require.Len(t, keysSeen(t, again), 60, "after a restart")
			closeAll(t, again, db)
		}
	})
}

// Many polls that bring rows do not pile tables up.
func TestReaderFoldsReplayedRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		db := openTest(t, o)
		r := testReader(t, o.Store, "db", ReaderOptions{})
		for i := range 50 {
			putKeys(t, db, fmt.Sprintf("k%02d", i), "same")
			require.NoError(t, r.Refresh(ctx))
			require.LessOrEqual(t, len(r.state.Load().imm), maxReplayTables)
			require.Len(t, keysSeen(t, r), i+2)
		}
		e, err := r.GetEntry(ctx, []byte("same"), nil)
		require.NoError(t, err)
		require.EqualValues(t, 100, e.Seq)
		closeAll(t, r, db)
	})
}

// A refresh and Close at once: nothing stays behind, nobody hangs.
func TestReaderCloseDuringRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		db := openTest(t, o)
		inner := o.Store
		for n := 1; n < 14; n++ {
			s := faulty.New(inner, nil)
			r := testReader(t, s, "db", ReaderOptions{})
			putKeys(t, db, fmt.Sprint("k", n))
			flushAll(t, db)
			rule := s.Script(faulty.Rule{Kind: faulty.Hang, Nth: n, Times: 1})
			done := make(chan error, 1)
			go func() { done <- r.Refresh(ctx) }()
			synctest.Wait()
			if rule.Hits() == 0 {
				rule.Remove() // the refresh is over; a hanging Close is not what this is about
			}
			closed := make(chan error, 1)
			go func() { closed <- r.Close(ctx) }()
			synctest.Wait()
			if err := <-done; err != nil {
				require.ErrorIs(t, err, ErrClosed)
			}
			select {
			case err := <-closed:
				require.NoError(t, err)
				require.Empty(t, checkpointsOf(t, inner))
			case <-time.After(2 * closeTimeout):
				t.Fatal("Close hangs")
			}
			rule.Remove()
		}
		closeAll(t, db)
	})
}

// A reader whose open fails leaves no checkpoint.
func TestReaderOpenFailureLeavesNothing(t *testing.T) {
	o := testOptions()
	db := openTest(t, o)
	putKeys(t, db, "a")
	for n := 1; ; n++ {
		s := faulty.New(o.Store, nil)
		rule := s.Script(faulty.Rule{Kind: faulty.ErrorBefore, Nth: n, Times: 1, Err: objstore.Permanent(faulty.ErrInjected)})
		r, err := tryReader(s, "db", ReaderOptions{})
		rule.Remove()
		if err == nil {
			require.Greater(t, n, 4)
			closeAll(t, r)
			break
		}
		require.ErrorIs(t, err, ErrUnavailable)
		require.Empty(t, checkpointsOf(t, o.Store), "failure at request %d", n)
	}
	closeAll(t, db)
}
