package slatedb_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	slatedb "github.com/slatedb/slatedb-go"
)

// adminOf returns an admin of the database that open made.
func adminOf(name string) *slatedb.Admin {
	a, err := slatedb.NewAdmin("memory://"+name+"/db", &slatedb.AdminOptions{Logger: slog.New(slog.DiscardHandler)})
	check(err)
	return a
}

func readerOf(name string, o slatedb.ReaderOptions) *slatedb.Reader {
	o.Logger = slog.New(slog.DiscardHandler)
	r, err := slatedb.OpenReader(context.Background(), "memory://"+name+"/db", &o)
	check(err)
	return r
}

// fill writes keys and leaves them in a table, with nothing in the WAL behind it.
func fill(db *slatedb.DB, keys ...string) {
	ctx := context.Background()
	for _, k := range keys {
		check(db.Put(ctx, []byte(k), []byte("of "+k)))
	}
	check(db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
}

func printKeys(r slatedb.ReadOps) {
	var keys []string
	for e, err := range r.Entries(context.Background(), slatedb.All, nil) {
		check(err)
		keys = append(keys, string(e.Key))
	}
	fmt.Println(strings.Join(keys, " "))
}

func ExampleDB_CreateCheckpoint() {
	ctx := context.Background()
	db := open("ex-checkpoint")
	defer db.Close(ctx)

	fill(db, "a")
	ck, err := db.CreateCheckpoint(ctx, slatedb.CheckpointAll, &slatedb.CheckpointOptions{Name: "nightly", Lifetime: 24 * time.Hour})
	check(err)
	fill(db, "b")

	r := readerOf("ex-checkpoint", slatedb.ReaderOptions{CheckpointID: ck.ID})
	defer r.Close(ctx)
	printKeys(r) // as it was
	// Output: a
}

func ExampleOpenReader_managed() {
	ctx := context.Background()
	db := open("ex-managed")
	defer db.Close(ctx)
	fill(db, "a")

	r := readerOf("ex-managed", slatedb.ReaderOptions{PollInterval: 5 * time.Second})
	defer r.Close(ctx) // removes its checkpoint
	h, err := db.PutWithOptions(ctx, []byte("b"), nil, nil)
	check(err)
	check(r.WaitForSeq(ctx, h.Seq())) // read your writes on a replica
	printKeys(r)
	// Output: a b
}

func ExampleNewAdmin() {
	a, err := slatedb.NewAdmin("memory://ex-none/db", nil)
	check(err)
	defer a.Close()
	_, err = a.ReadManifest(context.Background(), 0)
	fmt.Println(errors.Is(err, slatedb.ErrNoDatabase))
	// Output: true
}

func ExampleAdmin_CreateCheckpoint() {
	ctx := context.Background()
	db := open("ex-admin")
	defer db.Close(ctx)
	fill(db, "a")
	a := adminOf("ex-admin")
	defer a.Close()

	ck, err := a.CreateCheckpoint(ctx, &slatedb.CheckpointOptions{Name: "job", Lifetime: time.Hour})
	check(err)
	ck, err = a.RefreshCheckpoint(ctx, ck.ID, 0) // for ever
	check(err)
	fmt.Println(ck.ExpireTime.IsZero())
	list, err := a.ListCheckpoints(ctx, "job")
	check(err)
	fmt.Println(len(list))
	check(a.DeleteCheckpoint(ctx, ck.ID))
	list, err = a.ListCheckpoints(ctx, "")
	check(err)
	fmt.Println(len(list))
	// Output:
	// true
	// 1
	// 0
}

func ExampleAdmin_ReadManifest() {
	ctx := context.Background()
	db := open("ex-manifest")
	defer db.Close(ctx)
	fill(db, "a", "b")
	a := adminOf("ex-manifest")
	defer a.Close()

	m, err := a.ReadManifest(ctx, 0)
	check(err)
	vs, err := a.ListManifests(ctx, 1, 0)
	check(err)
	fmt.Println(len(m.Root.L0), m.LastL0Seq, vs[len(vs)-1].ID == m.ID)
	_, err = a.ReadManifest(ctx, m.ID+1)
	fmt.Println(errors.Is(err, slatedb.ErrNotFound))
	// Output:
	// 1 2 true
	// true
}

func ExampleAdmin_SubmitCompaction() {
	ctx := context.Background()
	db := open("ex-compact")
	defer db.Close(ctx)
	for range 3 {
		fill(db, "a", "b")
	}
	a := adminOf("ex-compact")
	defer a.Close()

	// Any process may run it; a writer has one embedded unless it is disabled.
	rctx, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() {
		ended <- a.RunCompactor(rctx, &slatedb.CompactorOptions{PollInterval: 10 * time.Millisecond})
	}()
	m, err := a.ReadManifest(ctx, 0)
	check(err)
	var sources []string
	for _, v := range m.Root.L0 {
		sources = append(sources, v.Table.ID.String())
	}
	c, err := a.SubmitCompaction(ctx, slatedb.CompactionRequest{Kind: slatedb.CompactSpec, Sources: sources})
	check(err)
	c, err = a.AwaitCompaction(ctx, c.ID)
	check(err)
	fmt.Println(c.State, c.Err)
	stop()
	check(<-ended)
	cs, err := a.ReadCompactions(ctx, 0)
	check(err)
	all, err := a.ListCompactions(ctx, 0, 0)
	check(err)
	fmt.Println(cs.ID == all[len(all)-1].ID)
	// Output:
	// Completed <nil>
	// true
}

func ExampleAdmin_RunCompactionWorker() {
	ctx := context.Background()
	db := open("ex-worker")
	defer db.Close(ctx)
	a := adminOf("ex-worker")
	defer a.Close()

	rctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	fmt.Println(a.RunCompactionWorker(rctx, &slatedb.WorkerOptions{MaxConcurrent: 2}))
	// Output: <nil>
}

func ExampleAdmin_RunGCOnce() {
	ctx := context.Background()
	db := open("ex-gc")
	defer db.Close(ctx)
	fill(db, "a")
	a := adminOf("ex-gc")
	defer a.Close()

	report, err := a.RunGCOnce(ctx, &slatedb.GCOptions{MinAge: -1, DryRun: true})
	check(err)
	old := 0
	for _, o := range report.Deleted {
		if o.Kind == "manifest" {
			old++
		}
	}
	fmt.Println(old > 0)

	rctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	fmt.Println(a.RunGC(rctx, nil)) // goes on until its ctx ends
	// Output:
	// true
	// <nil>
}

func ExampleAdmin_CreateClone() {
	ctx := context.Background()
	db := open("ex-clone")
	defer db.Close(ctx)
	fill(db, "a", "b", "c", "d")
	a := adminOf("ex-clone")
	defer a.Close()

	bc := slatedb.Range{Start: []byte("b"), End: []byte("d")}
	check(a.CreateClone(ctx, "copy", slatedb.CloneSource{}))
	check(a.CreateClone(ctx, "part", slatedb.CloneSource{Range: bc}))
	check(a.CreateClone(ctx, "joined",
		slatedb.CloneSource{Path: "part"},
		slatedb.CloneSource{Path: "copy", Range: slatedb.Range{Start: []byte("d")}}))

	for _, path := range []string{"copy", "part", "joined"} {
		r, err := slatedb.OpenReader(ctx, "memory://ex-clone/"+path, nil)
		check(err)
		printKeys(r)
		check(r.Close(ctx))
	}
	// Output:
	// a b c d
	// b c
	// b c d
}

func ExampleAdmin_SeqForTime() {
	ctx := context.Background()
	db := open("ex-seqtime")
	defer db.Close(ctx)
	a := adminOf("ex-seqtime")
	defer a.Close()

	before := time.Now().Add(-time.Hour)
	_, err := a.SeqForTime(ctx, before, slatedb.RoundUp)
	fmt.Println(errors.Is(err, slatedb.ErrNotFound)) // known from the first flush on
	fill(db, "a")
	seq, err := a.SeqForTime(ctx, before, slatedb.RoundUp)
	check(err)
	at, err := a.TimeForSeq(ctx, seq, slatedb.RoundDown)
	check(err)
	fmt.Println(seq, at.After(before))
	// Output:
	// true
	// 1 true
}

func ExampleAdmin_DeleteDB() {
	ctx := context.Background()
	db := open("ex-deletedb")
	fill(db, "a")
	check(db.Close(ctx))
	a := adminOf("ex-deletedb")
	defer a.Close()

	keys, err := a.DeleteDB(ctx, false) // only tells
	check(err)
	gone, err := a.DeleteDB(ctx, true)
	check(err)
	fmt.Println(len(keys) > 0, len(keys) == len(gone))
	_, err = a.ReadManifest(ctx, 0)
	fmt.Println(errors.Is(err, slatedb.ErrNoDatabase))
	// Output:
	// true true
	// true
}
