package slatedb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	slatedb "github.com/slatedb/slatedb-go"
)

// open opens an empty database in memory for an example.
func open(name string) *slatedb.DB {
	db, err := slatedb.Open(context.Background(), "memory://"+name+"/db", &slatedb.Options{
		Logger:           slog.New(slog.DiscardHandler),
		DisableCompactor: true, DisableGC: true, // so that what an example prints repeats
	})
	if err != nil {
		log.Fatal(err)
	}
	return db
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func Example() {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "memory://example/orders", nil)
	check(err)
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("user:1"), []byte("Alice"))) // nil = durable
	v, err := db.Get(ctx, []byte("user:1"))
	check(err)
	fmt.Printf("%s\n", v)
	// Output: Alice
}

func ExampleDB_PutWithOptions() {
	ctx := context.Background()
	db := open("ex-put")
	defer db.Close(ctx)

	// Written now, durable when Await returns nil.
	h, err := db.PutWithOptions(ctx, []byte("k"), []byte("v"), &slatedb.PutOptions{TTL: time.Hour, NoWait: true})
	check(err)
	check(h.Await(ctx))
	e, err := db.GetEntry(ctx, []byte("k"), nil)
	check(err)
	fmt.Println(e.Seq == h.Seq(), e.ExpireTime.Sub(e.CreateTime))
	// Output: true 1h0m0s
}

func ExampleDB_Delete() {
	ctx := context.Background()
	db := open("ex-delete")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("k"), []byte("v")))
	check(db.Delete(ctx, []byte("k")))
	_, err := db.Get(ctx, []byte("k"))
	fmt.Println(errors.Is(err, slatedb.ErrNotFound))
	// Output: true
}

func ExampleDB_Write() {
	ctx := context.Background()
	db := open("ex-write")
	defer db.Close(ctx)

	var b slatedb.WriteBatch
	b.Put([]byte("a"), []byte("1"))
	b.Put([]byte("b"), []byte("2"))
	b.Delete([]byte("a"))
	check(db.Write(ctx, &b)) // all or nothing, durable
	for _, k := range []string{"a", "b"} {
		ok, err := db.Has(ctx, []byte(k))
		check(err)
		fmt.Println(k, ok)
	}
	// Output:
	// a false
	// b true
}

func ExampleDB_MultiGet() {
	ctx := context.Background()
	db := open("ex-multiget")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("a"), []byte("1")))
	vs, err := db.MultiGet(ctx, [][]byte{[]byte("a"), []byte("none")}, nil)
	check(err)
	fmt.Printf("%s %v\n", vs[0], vs[1] == nil)
	// Output: 1 true
}

func ExampleDB_Scan() {
	ctx := context.Background()
	db := open("ex-scan")
	defer db.Close(ctx)

	for _, k := range []string{"a", "b", "c", "d"} {
		check(db.Put(ctx, []byte(k), []byte("v"+k)))
	}
	it, err := db.Scan(ctx, []byte("b"), nil) // [b, last key]
	check(err)
	for ok := it.Seek([]byte("c")); ok; ok = it.Next() {
		fmt.Printf("%s=%s\n", it.Key(), it.Value())
	}
	check(it.Close())
	// Output:
	// c=vc
	// d=vd
}

func ExampleDB_ScanPrefix() {
	ctx := context.Background()
	db := open("ex-prefix")
	defer db.Close(ctx)

	for _, k := range []string{"item:1", "user:1", "user:2"} {
		check(db.Put(ctx, []byte(k), nil))
	}
	it, err := db.ScanPrefix(ctx, []byte("user:"))
	check(err)
	for k := range it.All() {
		fmt.Printf("%s\n", k)
	}
	check(it.Close()) // also reports what stopped the loop
	// Output:
	// user:1
	// user:2
}

func ExampleDB_ScanWithOptions() {
	ctx := context.Background()
	db := open("ex-desc")
	defer db.Close(ctx)

	for _, k := range []string{"a", "b", "c"} {
		check(db.Put(ctx, []byte(k), nil))
	}
	it, err := db.ScanWithOptions(ctx, slatedb.All, &slatedb.ScanOptions{Order: slatedb.Descending, Limit: 2})
	check(err)
	for k := range it.All() {
		fmt.Printf("%s\n", k)
	}
	check(it.Close())
	// Output:
	// c
	// b
}

func ExampleDB_Entries() {
	ctx := context.Background()
	db := open("ex-entries")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("user:1"), []byte("Alice")))
	for e, err := range db.Entries(ctx, slatedb.Prefix([]byte("user:")), nil) {
		check(err)
		fmt.Printf("%s=%s seq %d\n", e.Key, e.Value, e.Seq)
	}
	// Output: user:1=Alice seq 1
}

func ExampleDB_Flush() {
	ctx := context.Background()
	db := open("ex-flush")
	defer db.Close(ctx)

	for i := range 3 {
		_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "k%d", i), nil, &slatedb.PutOptions{NoWait: true})
		check(err)
	}
	check(db.Flush(ctx)) // everything before is durable
	s := db.Status()
	fmt.Println(s.CommittedSeq, s.DurableSeq)
	// Output: 3 3
}

func ExampleDB_Watch() {
	ctx := context.Background()
	db := open("ex-watch")
	defer db.Close(ctx)

	h, err := db.PutWithOptions(ctx, []byte("k"), nil, &slatedb.PutOptions{NoWait: true})
	check(err)
	for s := range db.Watch(ctx) {
		if s.DurableSeq >= h.Seq() {
			fmt.Println("durable")
			break
		}
	}
	// Output: durable
}

func ExampleOpenReader() {
	ctx := context.Background()
	db := open("ex-reader")
	defer db.Close(ctx)
	check(db.Put(ctx, []byte("k"), []byte("v")))

	// In a program of its own, by the same URL. It never fences the writer.
	r, err := slatedb.OpenReader(ctx, "memory://ex-reader/db", &slatedb.ReaderOptions{Mode: slatedb.FollowLatest})
	check(err)
	defer r.Close(ctx)
	v, err := r.Get(ctx, []byte("k"))
	check(err)
	fmt.Printf("%s\n", v)
	// Output: v
}

func ExampleDB_Metrics() {
	ctx := context.Background()
	db := open("ex-metrics")
	defer db.Close(ctx)

	check(db.Put(ctx, []byte("k"), []byte("v")))
	n, ok := db.Metrics().Value("slatedb.db.write_ops")
	fmt.Println(n, ok)
	// Output: 1 true
}
