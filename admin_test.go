package slatedb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

func keysIn(t testing.TB, s objstore.Store, prefix string) []string {
	t.Helper()
	var out []string
	for o, err := range s.List(context.Background(), prefix, "") {
		require.NoError(t, err)
		out = append(out, o.Key)
	}
	return out
}

func TestDeleteDB(t *testing.T) {
	w := newWorld(t)
	w.write("par", CloseFlushMemtable, "a", "1")
	w.write("par2", CloseFlushMemtable, "b", "1") // the same beginning of the name
	w.clone("clone", cloneOf("par"))
	w.write("clone", CloseFlushWAL, "c", "2")
	pins := func() int {
		list, err := w.admin("par").ListCheckpoints(w.ctx, "")
		require.NoError(t, err)
		return len(list)
	}
	before := pins()
	want := keysIn(t, w.store, "clone/")
	require.NotEmpty(t, want)
	dry, err := w.admin("clone").DeleteDB(w.ctx, false)
	require.NoError(t, err)
	require.Equal(t, want, dry)
	require.Equal(t, want, keysIn(t, w.store, "clone/"), "a dry run deletes nothing")
	require.Equal(t, before, pins())

	got, err := w.admin("clone").DeleteDB(w.ctx, true)
	require.NoError(t, err)
	slices.Sort(got)
	require.Equal(t, want, got)
	require.Empty(t, keysIn(t, w.store, "clone/"))
	require.Equal(t, before-1, pins(), "the pin in the parent is gone")
	w.check("par")
	w.check("par2")
	for _, confirm := range []bool{true, false} {
		got, err = w.admin("clone").DeleteDB(w.ctx, confirm)
		require.NoError(t, err, "again is fine")
		require.Empty(t, got)
	}
	_, err = w.admin("clone").ReadManifest(w.ctx, 0)
	require.ErrorIs(t, err, ErrNoDatabase)
	w.clone("clone", cloneOf("par"))
	w.check("clone")
}

// cloneOf is a source without options.
func cloneOf(path string) CloneSource { return CloneSource{Path: path} }

func TestDeleteDBRefusesForeignContent(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"notes/readme.txt", "notes/wal/00000000000000000001.sst"} {
		_, err := w.store.Put(w.ctx, key, []byte("x"), objstore.Always)
		require.NoError(t, err)
	}
	for _, confirm := range []bool{true, false} {
		_, err := w.admin("notes").DeleteDB(w.ctx, confirm)
		require.ErrorIs(t, err, ErrCorrupt)
	}
	require.Len(t, keysIn(t, w.store, "notes/"), 2)
	// Another database inside this one.
	w.write("out", CloseFlushMemtable, "a", "1")
	w.write("out/in", CloseFlushMemtable, "a", "1")
	for _, path := range []string{"out", ""} {
		_, err := w.admin(path).DeleteDB(w.ctx, true)
		require.ErrorIs(t, err, ErrInvalid)
	}
	w.check("out")
	w.check("out/in")
	_, err := w.admin("out/in").DeleteDB(w.ctx, true)
	require.NoError(t, err)
	_, err = w.admin("out").DeleteDB(w.ctx, true)
	require.NoError(t, err)
	require.Empty(t, keysIn(t, w.store, "out"))
}

// Killed at each request, DeleteDB ends it when called again, with all pins in the parents
// taken back. Separate WAL stores are emptied too.
func TestDeleteDBCrash(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t)
		walStore := objstore.NewMemory()
		open := func(path string, kvs ...string) {
			o := w.options()
			o.WALStore = walStore
			d, err := Open(w.ctx, path, o)
			require.NoError(t, err)
			putKeys(t, d, kvs...)
			require.NoError(t, d.Close(w.ctx))
		}
		admin := func(path string, s objstore.Store) *Admin {
			a, err := NewAdmin(path, &AdminOptions{Store: s, WALStore: walStore, Logger: quiet, MaxRetries: 1})
			require.NoError(t, err)
			return a
		}
		open("par", "a")
		require.NoError(t, admin("par", w.store).CreateClone(w.ctx, "db", CloneSource{}))
		open("db", "b")
		open("db", "c")
		require.NotEmpty(t, keysIn(t, walStore, "db/"))
		s := faulty.New(w.store, nil)
		s.CrashAt((n+1)/2, n%2 == 0)
		_, err := admin("db", s).DeleteDB(w.ctx, true)
		crashed := s.Crashed()
		if !crashed {
			require.NoError(t, err)
		}
		if err != nil && len(keysIn(t, w.store, "db/")) > 0 {
			_, err = admin("db", w.store).DeleteDB(w.ctx, false)
			require.NoError(t, err)
		}
		_, err = admin("db", w.store).DeleteDB(w.ctx, true)
		require.NoError(t, err, "crash %d", n)
		require.Empty(t, keysIn(t, w.store, "db/"))
		require.Empty(t, keysIn(t, walStore, "db/"))
		cks, err := admin("par", w.store).ListCheckpoints(w.ctx, "")
		require.NoError(t, err)
		for _, c := range cks {
			require.False(t, c.ExpireTime.IsZero(), "crash %d left a pin", n)
		}
		if !crashed {
			require.Greater(t, n, 10)
			return
		}
	}
}

// The admin runs compaction and collection beside a writer that has none, and nobody notices
// but by the tables.
func TestAdminCompactsAndCollects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		db := openTest(t, o)
		a := testAdmin(t, o.Store, "db")
		for i := range 6 {
			putKeys(t, db, "same", fmt.Sprint("k", i))
			flushAll(t, db)
		}
		m, err := a.ReadManifest(ctx, 0)
		require.NoError(t, err)
		var sources []string
		for _, v := range m.Root.L0 {
			sources = append(sources, v.Table.ID.String())
		}
		for _, bad := range []CompactionRequest{
			{Kind: 9}, {Kind: CompactSpec}, {Kind: DrainSegment}, {Kind: CompactSegment, Segment: []byte("none")},
			{Kind: CompactSpec, Sources: []string{"7"}}, {Kind: CompactSpec, Sources: []string{"nonsense"}},
			{Kind: CompactSpec, Sources: []string{"01M83CAM5KV5V0ZZ5EE1T09GKF"}},
		} {
			_, err := a.SubmitCompaction(ctx, bad)
			require.ErrorIs(t, err, ErrInvalid, "%+v", bad)
		}
		c, err := a.SubmitCompaction(ctx, CompactionRequest{Kind: CompactFull})
		require.NoError(t, err)
		require.Equal(t, Compaction{State: "Completed"}, c, "there are no runs yet")
		c, err = a.SubmitCompaction(ctx, CompactionRequest{Kind: CompactSpec, Sources: sources[3:], Destination: 0})
		require.NoError(t, err)
		require.Equal(t, "Submitted", c.State)

		run, stop := context.WithCancel(ctx)
		ended := make(chan error, 2)
		go func() {
			ended <- a.RunCompactor(run, &CompactorOptions{DisableWorker: true, SizeTiered: SizeTieredOptions{MinSources: 1000, MaxSources: 1000}})
		}()
		go func() { ended <- a.RunCompactionWorker(run, &WorkerOptions{}) }()
		done, err := a.AwaitCompaction(ctx, c.ID)
		require.NoError(t, err)
		require.Equal(t, Compaction{ID: c.ID, State: "Completed"}, done)
		m, err = a.ReadManifest(ctx, 0)
		require.NoError(t, err)
		require.Len(t, m.Root.L0, 3)
		require.Len(t, m.Root.Runs, 1)

		// A job that does not fit fails, and a later one pushes both out of the list.
		bad, err := a.SubmitCompaction(ctx, CompactionRequest{Kind: CompactSpec, Sources: sources[:1], Destination: 0})
		require.NoError(t, err)
		badEnd, err := a.AwaitCompaction(ctx, bad.ID)
		require.NoError(t, err)
		require.Equal(t, "Failed", badEnd.State)
		require.ErrorIs(t, badEnd.Err, ErrInvalid)
		last, err := a.SubmitCompaction(ctx, CompactionRequest{Kind: CompactSpec, Sources: []string{sources[0], sources[1], sources[2], "0"}, Destination: 0})
		require.NoError(t, err)
		for _, id := range []string{last.ID, c.ID} {
			done, err = a.AwaitCompaction(ctx, id)
			require.NoError(t, err)
			require.Equal(t, "Completed", done.State)
		}
		badEnd, err = a.AwaitCompaction(ctx, bad.ID)
		require.NoError(t, err)
		require.Equal(t, "Failed", badEnd.State)
		both, err := a.AwaitCompaction(ctx, c.ID+","+bad.ID)
		require.NoError(t, err)
		require.Equal(t, "Failed", both.State)
		_, err = a.AwaitCompaction(ctx, "01M83CAM5KV5V0ZZ5EE1T09GKF")
		require.ErrorIs(t, err, ErrNotFound)
		_, err = a.AwaitCompaction(ctx, "x")
		require.ErrorIs(t, err, ErrInvalid)
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, <-ended)

		putKeys(t, db, "k9")
		flushAll(t, db)
		require.Equal(t, []string{"k0", "k1", "k2", "k3", "k4", "k5", "k9", "same"}, keysSeen(t, db))
		time.Sleep(time.Hour)
		dry, err := a.RunGCOnce(ctx, &GCOptions{MinAge: -1, DryRun: true})
		require.NoError(t, err)
		report, err := a.RunGCOnce(ctx, &GCOptions{MinAge: -1})
		require.NoError(t, err)
		require.NotEmpty(t, dry.Deleted)
		kinds := map[string]bool{}
		for _, o := range report.Deleted {
			kinds[o.Kind] = true
		}
		require.True(t, kinds["manifest"] && kinds["compactions"] && kinds["compacted"] && kinds["checkpoint"], "%v", kinds)
		require.Equal(t, []string{"k0", "k1", "k2", "k3", "k4", "k5", "k9", "same"}, keysSeen(t, db))

		gctx, gstop := context.WithTimeout(ctx, time.Hour)
		defer gstop()
		require.NoError(t, a.RunGC(gctx, &GCOptions{MinAge: -1, Interval: time.Minute}))
		require.Len(t, keysIn(t, o.Store, "db/manifest/"), 1)

		// Close ends what runs.
		go func() { ended <- a.RunGC(ctx, nil) }()
		go func() { ended <- a.RunCompactor(ctx, nil) }()
		synctest.Wait()
		require.NoError(t, a.Close())
		require.ErrorIs(t, <-ended, ErrClosed)
		require.ErrorIs(t, <-ended, ErrClosed)
		closeAll(t, db)
	})
}

func TestAdminSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		o := testOptions()
		o.SegmentExtractor = PrefixUntil('/')
		db := openTest(t, o)
		a := testAdmin(t, o.Store, "db")
		for range 2 {
			putKeys(t, db, "a/1", "b/1")
			flushAll(t, db)
		}
		m, err := a.ReadManifest(ctx, 0)
		require.NoError(t, err)
		run, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- a.RunCompactor(run, nil) }()
		await := func(q CompactionRequest) {
			c, err := a.SubmitCompaction(ctx, q)
			require.NoError(t, err)
			c, err = a.AwaitCompaction(ctx, c.ID)
			require.NoError(t, err)
			require.Equal(t, "Completed", c.State)
			require.NoError(t, c.Err)
		}
		var ids []string
		for _, v := range m.Segment([]byte("a/")).L0 {
			ids = append(ids, v.Table.ID.String())
		}
		await(CompactionRequest{Kind: CompactSpec, Segment: []byte("a/"), Sources: ids, Destination: 0})
		await(CompactionRequest{Kind: CompactSegment, Segment: []byte("a/")})
		await(CompactionRequest{Kind: CompactFull})
		await(CompactionRequest{Kind: DrainSegment, Segment: []byte("b/")})
		stop()
		require.NoError(t, <-ended)
		time.Sleep(time.Minute) // the writer's poll
		require.Equal(t, []string{"a/1"}, keysSeen(t, db))
		closeAll(t, db)
		require.NoError(t, a.CreateClone(ctx, "clone", CloneSource{Range: Prefix([]byte("a/"))}))
		r := testReader(t, o.Store, "clone", ReaderOptions{})
		require.Equal(t, []string{"a/1"}, keysSeen(t, r))
		closeAll(t, r)
	})
}

// Everything an Admin does leaves the writer unfenced.
func TestAdminNeverFencesTheWriter(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	db := openTest(t, o)
	putKeys(t, db, "a")
	flushAll(t, db)
	a := testAdmin(t, o.Store, "db")
	epoch := func() uint64 {
		m, err := a.ReadManifest(ctx, 0)
		require.NoError(t, err)
		return m.WriterEpoch
	}
	before := epoch()
	ck, err := a.CreateCheckpoint(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, a.CreateClone(ctx, "clone", CloneSource{CheckpointID: ck.ID}))
	require.NoError(t, a.DeleteCheckpoint(ctx, ck.ID))
	_, err = a.RunGCOnce(ctx, nil)
	require.NoError(t, err)
	_, err = a.SubmitCompaction(ctx, CompactionRequest{})
	require.NoError(t, err)
	putKeys(t, db, "b")
	flushAll(t, db)
	require.Equal(t, before, epoch())
	require.NoError(t, db.Status().Err)
}

// Failing stores give errors of their kind, by whatever call.
func TestAdminUnavailable(t *testing.T) {
	ctx := context.Background()
	o := testOptions()
	db := openTest(t, o)
	putKeys(t, db, "a")
	s := faulty.New(o.Store, nil)
	s.Script(faulty.Rule{Kind: faulty.ErrorBefore, Err: objstore.Permanent(errors.New("access denied"))})
	a := testAdmin(t, s, "db")
	for i, err := range []error{
		errOf(a.CreateCheckpoint(ctx, nil)), errOf(a.ListCheckpoints(ctx, "")), errOf(a.ReadManifest(ctx, 3)), errOf(a.ListManifests(ctx, 0, 0)),
		errOf(a.DeleteDB(ctx, true)), a.CreateClone(ctx, "x", CloneSource{}), errOf(a.AwaitCompaction(ctx, "01M83CAM5KV5V0ZZ5EE1T09GKF")),
		errOf(a.SubmitCompaction(ctx, CompactionRequest{})), a.RunGC(ctx, nil),
	} {
		require.ErrorIs(t, err, ErrUnavailable, "call %d", i)
		require.ErrorContains(t, err, "access denied")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, errOf(a.ListCheckpoints(ended, "")), context.Canceled)
	require.NoError(t, a.RunGC(ended, nil), "the end of ctx is a clean stop")
}

func TestNewAdminChecksItsArguments(t *testing.T) {
	_, err := NewAdmin("nowhere://x", nil)
	require.ErrorIs(t, err, ErrInvalid)
	_, err = NewAdmin("../x", &AdminOptions{Store: objstore.NewMemory()})
	require.ErrorIs(t, err, ErrInvalid)
	_, err = NewAdmin("db", &AdminOptions{Store: objstore.NewMemory(), BlockSize: 7})
	require.ErrorIs(t, err, ErrInvalid)
	require.True(t, strings.Contains(err.Error(), "BlockSize"))

}
