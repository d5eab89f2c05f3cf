package slatedb

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// testReader opens a reader on o's store, in memory and without a poll.
func testReader(t testing.TB, s objstore.Store, path string, ro ReaderOptions) *Reader {
	t.Helper()
	r, err := tryReader(s, path, ro)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

func tryReader(s objstore.Store, path string, ro ReaderOptions) (*Reader, error) {
	ro.Store, ro.Logger = s, quiet
	if ro.BlockCacheBytes == 0 {
		ro.BlockCacheBytes, ro.MetaCacheBytes = -1, -1
	}
	if ro.PollInterval == 0 {
		ro.PollInterval = -1
	}
	return OpenReader(context.Background(), path, &ro)
}

func testAdmin(t testing.TB, s objstore.Store, path string) *Admin {
	t.Helper()
	a, err := NewAdmin(path, &AdminOptions{Store: s, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

func keysSeen(t testing.TB, r ReadOps) []string {
	t.Helper()
	keys := []string{}
	for _, e := range scanAll(t, r, nil) {
		keys = append(keys, string(e.Key))
	}
	return keys
}

// keysAt lists the keys seen through a checkpoint.
func keysAt(t testing.TB, s objstore.Store, path string, id uuid.UUID) []string {
	t.Helper()
	r := testReader(t, s, path, ReaderOptions{CheckpointID: id})
	defer r.Close(context.Background())
	return keysSeen(t, r)
}

func putKeys(t testing.TB, db *DB, keys ...string) {
	t.Helper()
	for _, k := range keys {
		require.NoError(t, db.Put(context.Background(), []byte(k), []byte("value of "+k)))
	}
}

func TestCheckpointScopes(t *testing.T) {
	for _, walOff := range []bool{false, true} {
		t.Run(fmt.Sprintf("walOff=%v", walOff), func(t *testing.T) {
			ctx := context.Background()
			o := testOptions()
			o.DisableWAL, o.FlushInterval = walOff, -1
			db := openTest(t, o)
			a := testAdmin(t, o.Store, "db")
			none, err := db.CreateCheckpoint(ctx, CheckpointAll, &CheckpointOptions{Name: "empty"})
			require.NoError(t, err)
			putKeys(t, db, "a", "b")
			_, err = db.PutWithOptions(ctx, []byte("c"), nil, &PutOptions{NoWait: true})
			require.NoError(t, err)
			before, err := a.ReadManifest(ctx, 0)
			require.NoError(t, err)
			durable, err := db.CreateCheckpoint(ctx, CheckpointDurable, nil)
			require.NoError(t, err)
			require.Equal(t, before.ID+1, durable.ManifestID, "one manifest write")
			all, err := db.CreateCheckpoint(ctx, CheckpointAll, &CheckpointOptions{Name: "all", Lifetime: time.Hour})
			require.NoError(t, err)
			putKeys(t, db, "d")
			again, err := db.CreateCheckpoint(ctx, CheckpointAll, &CheckpointOptions{Source: all.ID, Name: "copy"})
			require.NoError(t, err)
			require.Equal(t, all.ManifestID, again.ManifestID)
			_, err = db.CreateCheckpoint(ctx, CheckpointDurable, &CheckpointOptions{Source: uuid.New()})
			require.ErrorIs(t, err, ErrNotFound)
			require.NotErrorIs(t, err, ErrUnavailable)

			require.Empty(t, keysAt(t, o.Store, "db", none.ID))
			require.Equal(t, []string{"a", "b"}, keysAt(t, o.Store, "db", durable.ID))
			require.Equal(t, []string{"a", "b", "c"}, keysAt(t, o.Store, "db", all.ID))
			require.Equal(t, []string{"a", "b", "c"}, keysAt(t, o.Store, "db", again.ID))

			m, err := a.ReadManifest(ctx, all.ManifestID)
			require.NoError(t, err)
			require.EqualValues(t, 3, m.LastL0Seq, "scope All brings everything to L0")
			list, err := a.ListCheckpoints(ctx, "")
			require.NoError(t, err)
			require.Equal(t, []Checkpoint{none, durable, all, again}, list)
			list, err = a.ListCheckpoints(ctx, "all")
			require.NoError(t, err)
			require.Equal(t, []Checkpoint{all}, list)
			require.Equal(t, time.Hour, all.ExpireTime.Sub(all.CreateTime).Round(time.Minute))

			require.NoError(t, db.Close(ctx))
			_, err = db.CreateCheckpoint(ctx, CheckpointAll, nil)
			require.ErrorIs(t, err, ErrClosed)
		})
	}
}

// The flush and the checkpoint of scope All arrive in one manifest.
func TestCheckpointAllIsOneManifestWrite(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	db := openTest(t, o)
	putKeys(t, db, "a")
	before := db.Status().ManifestID
	ck, err := db.CreateCheckpoint(ctx, CheckpointAll, nil)
	require.NoError(t, err)
	require.Equal(t, before+1, ck.ManifestID)
	require.Equal(t, before+1, db.Status().ManifestID)
}

func TestCheckpointOptionsAreChecked(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	db := openTest(t, o)
	for _, bad := range []struct {
		scope CheckpointScope
		o     *CheckpointOptions
	}{{scope: 2}, {o: &CheckpointOptions{Lifetime: -1}}} {
		_, err := db.CreateCheckpoint(ctx, bad.scope, bad.o)
		require.ErrorIs(t, err, ErrInvalid)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err := db.CreateCheckpoint(gone, CheckpointDurable, nil)
	require.ErrorIs(t, err, context.Canceled)
	ck, err := db.CreateCheckpoint(ctx, CheckpointDurable, &CheckpointOptions{Lifetime: 1<<63 - 1})
	require.NoError(t, err)
	require.True(t, ck.ExpireTime.IsZero(), "longer than a manifest can say is for ever")
}

func TestExpireTimeIsNeverEarly(t *testing.T) {
	now := time.Unix(1000, 1)
	require.Equal(t, time.Unix(1002, 0).UTC(), expireTime(now, time.Second))
	require.Equal(t, time.Unix(1001, 0).UTC(), expireTime(time.Unix(1000, 0), time.Second))
	require.True(t, expireTime(now, 0).IsZero())
}

// Rows committed after the call are out, though they are durable before the checkpoint is
// stored: the WAL object of the bound hangs while others write.
func TestCheckpointAllHoldsExactlyTheBound(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	o.FlushInterval = -1
	inner := o.Store
	s := faulty.New(inner, nil)
	o.Store = s
	db := openTest(t, o)
	putKeys(t, db, "a")
	_, err := db.PutWithOptions(ctx, []byte("b"), nil, &PutOptions{NoWait: true})
	require.NoError(t, err)
	release := make(chan struct{})
	hold := s.Script(faulty.Rule{Method: "put", Key: "wal/", Nth: 1, Kind: faulty.Block, Release: release})
	type result struct {
		ck  Checkpoint
		err error
	}
	done := make(chan result, 1)
	go func() {
		ck, err := db.CreateCheckpoint(ctx, CheckpointAll, nil)
		done <- result{ck, err}
	}()
	<-hold.Reached() // the object of "b"
	late := make(chan error, 2)
	go func() { late <- db.Put(ctx, []byte("c"), nil) }()
	require.Eventually(t, func() bool { return db.Status().CommittedSeq == 3 }, time.Minute, time.Millisecond)
	go func() { late <- db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}) }()
	close(release)
	res := <-done
	require.NoError(t, res.err)
	require.NoError(t, <-late)
	require.NoError(t, <-late)
	require.Equal(t, []string{"a", "b"}, keysAt(t, inner, "db", res.ck.ID))
	require.Equal(t, []string{"a", "b", "c"}, keysSeen(t, db))
	m, err := testAdmin(t, inner, "db").ReadManifest(ctx, 0)
	require.NoError(t, err)
	require.EqualValues(t, 3, m.LastL0Seq, "the flush behind the bound went on afterwards")
	require.Empty(t, db.bounds.mu.list)
}

// While L0 is full a checkpoint of everything does not wait for the compactor: the log reaches
// the bound.
func TestCheckpointAllWithFullL0(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.L0MaxSSTs = 1
		db := openTest(t, o)
		putKeys(t, db, "a")
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		putKeys(t, db, "b")
		ck, err := db.CreateCheckpoint(ctx, CheckpointAll, nil)
		require.NoError(t, err)
		putKeys(t, db, "c")
		require.Equal(t, []string{"a", "b"}, keysAt(t, o.Store, "db", ck.ID))
		m, err := testAdmin(t, o.Store, "db").ReadManifest(ctx, ck.ManifestID)
		require.NoError(t, err)
		require.EqualValues(t, 1, m.LastL0Seq)
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))
	})
}

// A call that is given up leaves nothing that holds the flusher.
func TestCheckpointAllGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.DisableWAL, o.L0MaxSSTs = true, 1
		db := openTest(t, o)
		putKeys(t, db, "a") // fills L0
		_, err := db.PutWithOptions(ctx, []byte("b"), nil, &PutOptions{NoWait: true})
		require.NoError(t, err)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err = db.CreateCheckpoint(short, CheckpointAll, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, db.bounds.mu.list)
		ck, err := db.CreateCheckpoint(ctx, CheckpointDurable, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, keysAt(t, o.Store, "db", ck.ID))
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))
	})
}

// Checkpoints under concurrent writers are prefixes, whole batches, and hold what was there
// when the call began.
func TestCheckpointsWhileWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		o := testOptions()
		o.L0SSTSizeBytes = 2000
		db := openTest(t, o)
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			for i := 0; ctx.Err() == nil; i++ {
				var b WriteBatch
				b.Put(fmt.Appendf(nil, "a%05d", i), []byte("x"))
				b.Put(fmt.Appendf(nil, "b%05d", i), []byte("x"))
				if _, err := db.WriteWithOptions(context.Background(), &b, &WriteOptions{NoWait: i%3 > 0}); err != nil {
					panic(err)
				}
				time.Sleep(time.Millisecond)
			}
		}()
		type taken struct {
			ck         Checkpoint
			scope      CheckpointScope
			low, after uint64
		}
		var all []taken
		for i := range 40 {
			time.Sleep(7 * time.Millisecond)
			x := taken{scope: CheckpointScope(i % 2)}
			s := db.Status()
			if x.low = s.CommittedSeq; x.scope == CheckpointDurable {
				x.low = s.DurableSeq
			}
			var err error
			x.ck, err = db.CreateCheckpoint(context.Background(), x.scope, nil)
			require.NoError(t, err)
			x.after = db.Status().CommittedSeq
			all = append(all, x)
		}
		stop()
		<-writing
		for _, x := range all {
			r := testReader(t, o.Store, "db", ReaderOptions{CheckpointID: x.ck.ID})
			rows := scanAll(t, r, nil)
			last := r.Status().DurableSeq
			require.Len(t, rows, int(2*last), "whole batches, none missing")
			require.GreaterOrEqual(t, last, x.low)
			require.LessOrEqual(t, last, x.after)
			require.NoError(t, r.Close(context.Background()))
		}
		require.NoError(t, db.Close(context.Background()))
	})
}

// A checkpoint is never in a manifest that says less than it promises, at whichever request
// of the call the process dies.
func TestCheckpointCrash(t *testing.T) {
	ctx := context.Background()
	for n := 1; ; n++ {
		inner := objstore.NewMemory()
		s := faulty.New(inner, nil)
		o := testOptions()
		o.Store, o.FlushInterval, o.MaxRetries = s, -1, 1
		db := openTest(t, o)
		putKeys(t, db, "a")
		_, err := db.PutWithOptions(ctx, []byte("b"), nil, &PutOptions{NoWait: true})
		require.NoError(t, err)
		s.CrashAt(n, n%2 == 0)
		_, err = db.CreateCheckpoint(ctx, CheckpointAll, nil)
		crashed := s.Crashed()
		if !crashed {
			require.NoError(t, err)
		}
		_ = db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush})
		a := testAdmin(t, inner, "db")
		list, lerr := a.ListCheckpoints(ctx, "")
		require.NoError(t, lerr)
		for _, c := range list {
			require.Equal(t, []string{"a", "b"}, keysAt(t, inner, "db", c.ID))
		}
		if err == nil {
			require.Len(t, list, 1)
		}
		if !crashed {
			require.Greater(t, n, 3)
			return
		}
	}
}

func TestAdminCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		a := testAdmin(t, o.Store, "db")
		for _, err := range []error{
			errOf(a.CreateCheckpoint(ctx, nil)), errOf(a.ListCheckpoints(ctx, "")), a.DeleteCheckpoint(ctx, uuid.New()),
			errOf(a.RefreshCheckpoint(ctx, uuid.New(), 0)), errOf(a.ReadManifest(ctx, 0)), errOf(a.ReadManifest(ctx, 1)),
			errOf(a.ListManifests(ctx, 0, 0)), errOf(a.ReadCompactions(ctx, 0)), errOf(a.ListCompactions(ctx, 0, 0)),
			errOf(a.SeqForTime(ctx, time.Now(), RoundUp)), errOf(a.RunGCOnce(ctx, nil)), a.RunGC(ctx, nil),
			errOf(a.SubmitCompaction(ctx, CompactionRequest{})), a.RunCompactor(ctx, nil), a.RunCompactionWorker(ctx, nil),
			errOf(a.AwaitCompaction(ctx, "01M83CAM5KV5V0ZZ5EE1T09GKF")), a.CreateClone(ctx, "clone", CloneSource{}),
		} {
			require.ErrorIs(t, err, ErrNoDatabase)
			require.ErrorIs(t, err, ErrCorrupt)
		}
		db := openTest(t, o)
		putKeys(t, db, "a")
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		putKeys(t, db, "b")
		before, err := a.ReadManifest(ctx, 0)
		require.NoError(t, err)
		ck, err := a.CreateCheckpoint(ctx, &CheckpointOptions{Name: "n", Lifetime: time.Minute})
		require.NoError(t, err)
		require.Equal(t, before.ID+1, ck.ManifestID)
		require.Equal(t, []string{"a"}, keysAt(t, o.Store, "db", ck.ID), "rows in newer WAL objects are not in")
		ck2, err := a.CreateCheckpoint(ctx, &CheckpointOptions{Source: ck.ID})
		require.NoError(t, err)
		require.Equal(t, ck.ManifestID, ck2.ManifestID)
		_, err = a.CreateCheckpoint(ctx, &CheckpointOptions{Source: uuid.New()})
		require.ErrorIs(t, err, ErrNotFound)

		time.Sleep(30 * time.Second)
		ref, err := a.RefreshCheckpoint(ctx, ck.ID, time.Minute)
		require.NoError(t, err)
		require.Equal(t, 30*time.Second, ref.ExpireTime.Sub(ck.ExpireTime))
		ref, err = a.RefreshCheckpoint(ctx, ck.ID, 0)
		require.NoError(t, err)
		require.True(t, ref.ExpireTime.IsZero())
		_, err = a.RefreshCheckpoint(ctx, uuid.New(), 0)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = a.RefreshCheckpoint(ctx, ck.ID, -1)
		require.ErrorIs(t, err, ErrInvalid)

		require.NoError(t, a.DeleteCheckpoint(ctx, uuid.New()), "an unknown id is no error")
		require.NoError(t, a.DeleteCheckpoint(ctx, ck.ID))
		require.NoError(t, a.DeleteCheckpoint(ctx, ck.ID))
		list, err := a.ListCheckpoints(ctx, "")
		require.NoError(t, err)
		require.Equal(t, []Checkpoint{ck2}, list)
		putKeys(t, db, "c") // the writer was never fenced
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		list, err = a.ListCheckpoints(ctx, "")
		require.NoError(t, err)
		require.Equal(t, []Checkpoint{ck2}, list, "the writer keeps the checkpoints of others")
		require.NoError(t, db.Close(ctx))

		require.NoError(t, a.Close())
		_, err = a.ListCheckpoints(ctx, "")
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, a.DeleteCheckpoint(ctx, ck2.ID), ErrClosed)
	})
}

// errOf is the error of a call with two results.
func errOf[T any](_ T, err error) error { return err }

func TestAdminHistory(t *testing.T) {
	ctx := context.Background()
	s := memoryCopy(t, golden018+"/gc/store")
	a := testAdmin(t, s, "db")
	vs, err := a.ListManifests(ctx, 0, 0)
	require.NoError(t, err)
	require.NotEmpty(t, vs)
	latest, err := a.ReadManifest(ctx, 0)
	require.NoError(t, err)
	require.Equal(t, vs[len(vs)-1].ID, latest.ID)
	for _, v := range vs {
		m, err := a.ReadManifest(ctx, v.ID)
		require.NoError(t, err)
		require.Equal(t, v.ID, m.ID)
		require.Positive(t, v.Size)
		text, err := m.MarshalJSON()
		require.NoError(t, err)
		require.Contains(t, string(text), "writer_epoch")
	}
	_, err = a.ReadManifest(ctx, latest.ID+1)
	require.ErrorIs(t, err, ErrNotFound)
	require.NotErrorIs(t, err, ErrCorrupt)
	some, err := a.ListManifests(ctx, vs[0].ID+1, latest.ID)
	require.NoError(t, err)
	require.Len(t, some, len(vs)-2)
	_, err = a.ListManifests(ctx, 5, 4)
	require.ErrorIs(t, err, ErrInvalid)

	cs, err := a.ListCompactions(ctx, 0, 0)
	require.NoError(t, err)
	require.NotEmpty(t, cs)
	c, err := a.ReadCompactions(ctx, 0)
	require.NoError(t, err)
	require.Equal(t, cs[len(cs)-1].ID, c.ID)
	_, err = a.ReadCompactions(ctx, c.ID+1)
	require.ErrorIs(t, err, ErrNotFound)
}

func TestSeqTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		db := openTest(t, o)
		a := testAdmin(t, o.Store, "db")
		_, err := a.SeqForTime(ctx, time.Now(), RoundDown)
		require.ErrorIs(t, err, ErrNotFound, "a fresh database knows nothing")
		start := time.Now()
		for i := range 5 {
			putKeys(t, db, fmt.Sprint("k", i))
			time.Sleep(2 * time.Minute)
		}
		require.NoError(t, db.Close(ctx))
		at := func(d time.Duration) time.Time { return start.Add(d) }
		for _, c := range []struct {
			t    time.Time
			r    Rounding
			want uint64 // 0 = none
		}{
			{at(0), RoundDown, 1}, {at(0), RoundUp, 1}, {at(time.Minute), RoundDown, 1}, {at(time.Minute), RoundUp, 2},
			{at(-time.Second), RoundDown, 0}, {at(-time.Second), RoundUp, 1}, {at(time.Hour), RoundDown, 5}, {at(time.Hour), RoundUp, 0},
		} {
			seq, err := a.SeqForTime(ctx, c.t, c.r)
			if c.want == 0 {
				require.ErrorIs(t, err, ErrNotFound)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, c.want, seq)
			back, err := a.TimeForSeq(ctx, seq, c.r)
			require.NoError(t, err)
			require.True(t, back.Equal(at(time.Duration(seq-1)*2*time.Minute)))
		}
		_, err = a.TimeForSeq(ctx, 0, RoundDown)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = a.TimeForSeq(ctx, 6, RoundUp)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = a.TimeForSeq(ctx, 1, 7)
		require.ErrorIs(t, err, ErrInvalid)
	})
}
