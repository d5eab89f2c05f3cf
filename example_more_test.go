package slatedb_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	slatedb "github.com/slatedb/slatedb-go"
)

func ExampleOpen() {
	ctx := context.Background()
	// nil options are the defaults. Other locations: s3://bucket/path, file:///dir, ./dir.
	db, err := slatedb.Open(ctx, "memory://ex-open/db", &slatedb.Options{Compression: slatedb.Zstd, BlockSize: 16 << 10})
	check(err)
	defer db.Close(ctx)
	_, err = slatedb.Open(ctx, "memory://ex-open/db", &slatedb.Options{BlockSize: 1000})
	fmt.Println(errors.Is(err, slatedb.ErrInvalid))
	// Output: true
}

func ExampleDB_Get() {
	ctx := context.Background()
	db := open("ex-get")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("empty"), nil))
	v, err := db.Get(ctx, []byte("empty"))
	fmt.Println(v != nil, len(v), err)
	_, err = db.Get(ctx, []byte("none"))
	fmt.Println(errors.Is(err, slatedb.ErrNotFound))
	// Output:
	// true 0 <nil>
	// true
}

func ExampleDB_GetWithOptions() {
	ctx := context.Background()
	db := open("ex-getopt")
	defer db.Close(ctx)

	h, err := db.PutWithOptions(ctx, []byte("k"), []byte("v"), &slatedb.PutOptions{NoWait: true})
	check(err)
	check(h.Await(ctx))
	v, err := db.GetWithOptions(ctx, []byte("k"), &slatedb.ReadOptions{Durability: slatedb.DurabilityRemote})
	check(err)
	fmt.Printf("%s\n", v)
	// Output: v
}

func ExampleDB_AppendGet() {
	ctx := context.Background()
	db := open("ex-append")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("k"), []byte("value")))
	buf := make([]byte, 0, 64) // reused from call to call
	v, err := db.AppendGet(ctx, buf, []byte("k"), nil)
	check(err)
	fmt.Printf("%s\n", v)
	// Output: value
}

func ExampleDB_GetEntry() {
	ctx := context.Background()
	db := open("ex-entry")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("k"), []byte("v")))
	e, err := db.GetEntry(ctx, []byte("k"), nil)
	check(err)
	fmt.Printf("%s=%s seq %d expires %v\n", e.Key, e.Value, e.Seq, !e.ExpireTime.IsZero())
	// Output: k=v seq 1 expires false
}

func ExampleDB_Has() {
	ctx := context.Background()
	db := open("ex-has")
	defer db.Close(ctx)

	ok, err := db.Has(ctx, []byte("k"))
	fmt.Println(ok, err)
	// Output: false <nil>
}

func ExampleDB_DeleteWithOptions() {
	ctx := context.Background()
	db := open("ex-delopt")
	defer db.Close(ctx)

	h, err := db.DeleteWithOptions(ctx, []byte("k"), &slatedb.WriteOptions{NoWait: true})
	check(err)
	check(h.Await(ctx))
	fmt.Println(h.Seq())
	// Output: 1
}

func ExampleDB_WriteWithOptions() {
	ctx := context.Background()
	db := open("ex-writeopt")
	defer db.Close(ctx)

	var b slatedb.WriteBatch
	for i := range 3 {
		b.Reset()
		b.Put(fmt.Appendf(nil, "k%d", i), []byte("v"))
		_, err := db.WriteWithOptions(ctx, &b, &slatedb.WriteOptions{NoWait: true})
		check(err)
	}
	check(db.Flush(ctx)) // one upload for all
	fmt.Println(db.Status().DurableSeq)
	// Output: 3
}

func ExampleDB_FlushWithOptions() {
	ctx := context.Background()
	db := open("ex-flushopt")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("k"), []byte("v")))
	check(db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable})) // into an L0 table
	n, _ := db.Metrics().Value("slatedb.db.l0_sst_count")
	fmt.Println(n)
	// Output: 1
}

func ExampleDB_Status() {
	ctx := context.Background()
	db := open("ex-status")
	check(db.Close(ctx))
	fmt.Println(errors.Is(db.Status().Err, slatedb.ErrClosed))
	// Output: true
}

func ExampleDB_RefreshManifest() {
	ctx := context.Background()
	db := open("ex-refresh")
	defer db.Close(ctx)

	check(db.RefreshManifest(ctx)) // what other processes changed is known now
	fmt.Println(db.Status().ManifestID >= 2)
	// Output: true
}

func ExampleDB_Close() {
	ctx, cancel := context.WithCancel(context.Background())
	db := open("ex-close")
	cancel() // a service that is told to stop
	check(db.Close(context.WithoutCancel(ctx)))
	fmt.Println(errors.Is(db.Put(context.Background(), []byte("k"), nil), slatedb.ErrClosed))
	// Output: true
}

func ExampleDB_CloseWithOptions() {
	ctx := context.Background()
	db := open("ex-closeopt")
	check(db.Put(ctx, []byte("k"), []byte("v")))
	// Quick: the log has everything, the next Open replays it.
	check(db.CloseWithOptions(ctx, &slatedb.CloseOptions{Flush: slatedb.CloseFlushWAL}))
	db = open("ex-closeopt")
	defer db.Close(ctx)
	v, err := db.Get(ctx, []byte("k"))
	check(err)
	fmt.Printf("%s\n", v)
	// Output: v
}

func ExampleIterator_Seek() {
	ctx := context.Background()
	db := open("ex-seek")
	defer db.Close(ctx)

	for _, k := range []string{"a", "c", "e"} {
		check(db.Put(ctx, []byte(k), nil))
	}
	it, err := db.Scan(ctx, nil, nil)
	check(err)
	defer it.Close()
	fmt.Println(it.Seek([]byte("b")), string(it.Key()))
	fmt.Println(it.Seek([]byte("a")), errors.Is(it.Err(), slatedb.ErrInvalid), string(it.Key())) // back: refused, nothing moves
	// Output:
	// true c
	// false true c
}

func ExamplePrefix() {
	ctx := context.Background()
	db := open("ex-prefixrange")
	defer db.Close(ctx)

	for _, k := range []string{"u:1", "u:2", "u:3", "v:1"} {
		check(db.Put(ctx, []byte(k), nil))
	}
	r := slatedb.Prefix([]byte("u:"))
	r.Start, r.StartExclusive = []byte("u:1"), true // the page after u:1
	for e, err := range db.Entries(ctx, r, nil) {
		check(err)
		fmt.Printf("%s\n", e.Key)
	}
	// Output:
	// u:2
	// u:3
}

func ExampleReader_WaitForSeq() {
	ctx := context.Background()
	db := open("ex-waitseq")
	defer db.Close(ctx)
	r, err := slatedb.OpenReader(ctx, "memory://ex-waitseq/db", &slatedb.ReaderOptions{Mode: slatedb.FollowLatest})
	check(err)
	defer r.Close(ctx)

	h, err := db.PutWithOptions(ctx, []byte("k"), []byte("v"), nil)
	check(err)
	check(r.WaitForSeq(ctx, h.Seq())) // now reads here see it
	v, err := r.Get(ctx, []byte("k"))
	check(err)
	fmt.Printf("%s\n", v)
	// Output: v
}

func ExampleReader_Refresh() {
	ctx := context.Background()
	db := open("ex-readerrefresh")
	defer db.Close(ctx)
	r, err := slatedb.OpenReader(ctx, "memory://ex-readerrefresh/db", &slatedb.ReaderOptions{Mode: slatedb.FollowLatest, PollInterval: -1})
	check(err)
	defer r.Close(ctx)

	check(db.Put(ctx, []byte("k"), []byte("v")))
	before, err := r.Has(ctx, []byte("k"))
	check(err)
	check(r.Refresh(ctx))
	after, err := r.Has(ctx, []byte("k"))
	check(err)
	fmt.Println(before, after)
	// Output: false true
}

func ExampleDB_Put() {
	ctx := context.Background()
	db := open("ex-shortput")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("k"), []byte("v"))) // returns when the object store has it
	fmt.Println(db.Status().DurableSeq)
	// Output: 1
}

func ExampleDB_Compact() {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "memory://ex-compactdb/db", &slatedb.Options{Logger: slog.New(slog.DiscardHandler)})
	check(err)
	defer db.Close(ctx)

	for range 3 {
		check(db.Put(ctx, []byte("k"), []byte("v")))
		check(db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
	}
	check(db.Compact(ctx))
	l0, _ := db.Metrics().Value("slatedb.db.l0_sst_count")
	runs, _ := db.Metrics().Value("slatedb.db.sorted_run_count")
	fmt.Println(l0, runs)
	// Output: 0 1
}

func ExampleDB_MergeWithOptions() {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "memory://ex-mergeopt/db", &slatedb.Options{
		Logger: slog.New(slog.DiscardHandler),
		MergeOperator: slatedb.MergeFunc(func(_, existing, operand []byte) ([]byte, error) {
			return append(existing, operand...), nil
		}),
	})
	check(err)
	defer db.Close(ctx)

	for _, w := range []string{"a", "b", "c"} {
		_, err := db.MergeWithOptions(ctx, []byte("k"), []byte(w), &slatedb.PutOptions{NoWait: true})
		check(err)
	}
	v, err := db.Get(ctx, []byte("k"))
	check(err)
	fmt.Printf("%s\n", v)
	// Output: abc
}

func ExampleIterator_All() {
	ctx := context.Background()
	db := open("ex-all")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("a"), []byte("1")))
	check(db.Put(ctx, []byte("b"), []byte("2")))
	it, err := db.Scan(ctx, nil, nil)
	check(err)
	for k, v := range it.All() {
		fmt.Printf("%s=%s\n", k, v)
	}
	check(it.Close())
	// Output:
	// a=1
	// b=2
}

func ExampleWriteBatch() {
	ctx := context.Background()
	db := open("ex-batch")
	defer db.Close(ctx)

	var b slatedb.WriteBatch // the zero value is ready
	b.Put([]byte("a"), []byte("1"))
	b.Put([]byte("a"), []byte("2")) // replaces the first
	fmt.Println(b.Len(), b.Size())
	check(db.Write(ctx, &b))
	v, err := db.Get(ctx, []byte("a"))
	check(err)
	fmt.Printf("%s\n", v)
	b.Reset()
	fmt.Println(b.Len())
	// Output:
	// 2 4
	// 2
	// 0
}
