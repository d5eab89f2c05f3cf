package slatedb

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/compactor"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// TestOutageAtAnyMoment: the store goes away with every third request of a life with everything
// in it, for 20 minutes, and nothing comes of it but the delay. An Open may give up after the
// five minutes that a claim takes at most, and the next one succeeds.
func TestOutageAtAnyMoment(t *testing.T) {
	const step = 3 // all of them took 17 s
	for i, kind := range []faulty.Kind{faulty.ErrorBefore, faulty.ErrorAfter} {
		n := 1 + i
		for ; ; n += step {
			reached := false
			what := fmt.Sprintf("%s from request %d on", kind, n)
			synctest.Test(t, func(t *testing.T) {
				f := faulty.New(objstore.NewMemory(), nil)
				f.SetProperties(func(p *objstore.Properties) { p.NoProbe = true })
				out := f.Script(faulty.Rule{Nth: n, Times: 1 << 30, Kind: kind})
				over, back := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(back)
					select {
					case <-out.Reached():
						time.Sleep(20 * time.Minute)
					case <-over:
					}
					out.Remove()
				}()
				liveThrough(t, f, what)
				close(over)
				<-back // the outage may have begun with the very last request
				reached = out.Hits() > 0
			})
			if !reached {
				break
			}
		}
		require.Greater(t, n, 150, "a life of so many requests")
	}
}

func liveThrough(t *testing.T, f *faulty.Store, what string) {
	ctx := context.Background()
	o := &Options{
		Store: f, Logger: quiet, L0SSTSizeBytes: 64 << 10,
		GC:        &GCOptions{Interval: 2 * time.Minute, MinAge: time.Minute},
		Compactor: &CompactorOptions{SizeTiered: compactor.SizeTieredOptions{MinSources: 2}, CheckpointLifetime: time.Minute},
	}
	open := func() *DB {
		db, err := Open(ctx, "db", o)
		if err != nil {
			require.ErrorIs(t, err, ErrUnavailable, what)
			time.Sleep(20 * time.Minute)
			db, err = Open(ctx, "db", o)
		}
		require.NoError(t, err, what)
		return db
	}
	db := open()
	r, err := OpenReader(ctx, "db", &ReaderOptions{Store: f, Logger: quiet, PollInterval: 5 * time.Second})
	require.NoError(t, err, what)
	closed := func(err error) { // a Close waits for a minute for what is no more than tidy
		if err != nil {
			require.ErrorIs(t, err, ErrUnavailable, what)
			require.NotErrorIs(t, err, context.DeadlineExceeded, what)
		}
	}
	want := map[string]string{}
	put := func(n int) {
		for i := range n {
			k, v := fmt.Sprintf("k%02d", i), fmt.Sprint(len(want), i)
			require.NoError(t, db.Put(ctx, []byte(k), []byte(v)), what)
			want[k] = v
		}
	}
	put(3)
	flushMem(t, db)
	put(5)
	it, err := db.Scan(ctx, nil, nil)
	require.NoError(t, err, what)
	require.True(t, it.Next(), what)
	_, err = db.CreateCheckpoint(ctx, CheckpointAll, &CheckpointOptions{Name: "c", Lifetime: time.Hour})
	require.NoError(t, err, what)
	require.NoError(t, db.Compact(ctx), what)
	put(4)
	flushMem(t, db)
	time.Sleep(5 * time.Minute)
	rows := 1
	for it.Next() {
		rows++
	}
	require.NoError(t, it.Err(), what)
	require.NoError(t, it.Close(), what)
	require.Equal(t, 5, rows, what)
	require.NoError(t, db.Update(ctx, SnapshotIsolation, func(tx *Txn) error {
		want["txn"] = "v"
		return tx.Put([]byte("txn"), []byte("v"))
	}), what)
	require.NoError(t, r.WaitForSeq(ctx, db.Status().DurableSeq), what)
	require.Equal(t, want, sceneRows(t, r), what)
	require.Equal(t, want, sceneRows(t, db), what)
	require.NoError(t, db.Status().Err, what)
	closed(r.Close(ctx))
	closed(db.Close(ctx))
	db = open()
	require.Equal(t, want, sceneRows(t, db), what)
	closed(db.Close(ctx))
}

// TestRolesInAnOutage: the same for roles in processes of their own, one of which loses its
// store while the writer and the others keep theirs.
func TestRolesInAnOutage(t *testing.T) {
	for _, role := range []string{"coordinator", "worker", "collector"} {
		for _, kind := range []faulty.Kind{faulty.ErrorBefore, faulty.ErrorAfter} {
			for n := 1; n < 100; n += 3 { // the polls after them are all alike
				what := fmt.Sprintf("%s, %s from request %d on", role, kind, n)
				synctest.Test(t, func(t *testing.T) { workThrough(t, role, what, faulty.Rule{Nth: n, Times: 1 << 30, Kind: kind}) })
			}
		}
	}
}

func workThrough(t *testing.T, role, what string, r faulty.Rule) {
	ctx := context.Background()
	s := objstore.NewMemory()
	f := faulty.New(s, nil)
	out := f.Script(r)
	go func() { // the 45 minutes below are longer
		<-out.Reached()
		time.Sleep(20 * time.Minute)
		out.Remove()
	}()
	o := testOptions()
	o.Store = s
	db := openTest(t, o)
	var stops []func()
	start := func(name string, run func(context.Context, *Admin) error) {
		var store objstore.Store = s
		if name == role {
			store = f
		}
		a, err := NewAdmin("db", &AdminOptions{Store: store, Logger: quiet, SkipProbe: true})
		require.NoError(t, err)
		rctx, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- run(rctx, a) }()
		stops = append(stops, func() {
			cancel()
			require.NoError(t, <-done, "%s: the %s", what, name)
			require.NoError(t, a.Close())
		})
	}
	start("coordinator", func(ctx context.Context, a *Admin) error {
		return a.RunCompactor(ctx, &CompactorOptions{DisableWorker: true, CheckpointLifetime: time.Minute})
	})
	start("worker", func(ctx context.Context, a *Admin) error { return a.RunCompactionWorker(ctx, nil) })
	start("collector", func(ctx context.Context, a *Admin) error {
		return a.RunGC(ctx, &GCOptions{Interval: time.Minute, MinAge: time.Minute})
	})
	want := map[string]string{}
	for i := range 8 {
		k := fmt.Sprint(i % 5)
		require.NoError(t, db.Put(ctx, []byte(k), fmt.Append(nil, i)))
		want[k] = fmt.Sprint(i)
		flushMem(t, db)
		time.Sleep(10 * time.Second)
	}
	time.Sleep(45 * time.Minute)
	require.NoError(t, db.RefreshManifest(ctx))
	m := db.state.Load().man
	require.Empty(t, m.Root.L0, what)
	require.NotEmpty(t, m.Root.Runs, what)
	require.Equal(t, want, sceneRows(t, db), what)
	for _, stop := range stops {
		stop()
	}
	tables := 0
	for o, err := range s.List(ctx, "db/compacted/", "") {
		require.NoError(t, err, "%v", o)
		tables++
	}
	// The newest table that was in L0 stays as a mark, and an output that was lost with its job is
	// younger than the newest job until there is another one.
	require.LessOrEqual(t, tables, len(m.Tables())+2, "%s: the rest is collected", what)
	require.NoError(t, db.Close(ctx))
	require.Positive(t, out.Hits(), what)
}
