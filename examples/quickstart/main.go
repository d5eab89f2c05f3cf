// Quickstart walks through the library on a database in memory. A location such as
// "s3://bucket/orders" or "./orders" in the place of the one below keeps the data.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/slatedb/slatedb-go"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	db, err := slatedb.Open(ctx, "memory:///quickstart", nil)
	if err != nil {
		return err
	}
	defer db.Close(ctx) // a second Close does nothing
	fmt.Println("opened")

	// Put returns when the write is durable in the object store.
	if err := db.Put(ctx, []byte("user:1"), []byte("Alice")); err != nil {
		return err
	}
	name, err := db.Get(ctx, []byte("user:1"))
	if err != nil {
		return err
	}
	fmt.Printf("user:1 is %s\n", name)

	// A batch becomes visible and durable as one.
	var batch slatedb.WriteBatch
	batch.Put([]byte("user:2"), []byte("Bob"))
	batch.Put([]byte("user:3"), []byte("Carol"))
	batch.Put([]byte("order:1"), []byte("3 apples"))
	batch.Delete([]byte("user:1"))
	if err := db.Write(ctx, &batch); err != nil {
		return err
	}

	fmt.Println("everything:")
	for e, err := range db.Entries(ctx, slatedb.All, nil) {
		if err != nil {
			return err
		}
		fmt.Printf("  %s = %s\n", e.Key, e.Value)
	}
	fmt.Println("users:")
	it, err := db.ScanPrefix(ctx, []byte("user:"))
	if err != nil {
		return err
	}
	for k, v := range it.All() {
		fmt.Printf("  %s = %s\n", k, v)
	}
	if err := it.Close(); err != nil { // also reports what stopped the loop
		return err
	}

	// The asynchronous form: visible now, durable when Await returns nil.
	h, err := db.PutWithOptions(ctx, []byte("user:4"), []byte("Dave"), &slatedb.PutOptions{NoWait: true})
	if err != nil {
		return err
	}
	if err := h.Await(ctx); err != nil {
		return err
	}
	fmt.Println("user:4 is durable")

	// Flush makes all earlier asynchronous writes durable at once.
	if err := db.Flush(ctx); err != nil {
		return err
	}
	if n, ok := db.Metrics().Value("slatedb.db.write_ops"); ok {
		fmt.Printf("rows written: %.0f\n", n)
	}
	if err := db.Close(ctx); err != nil {
		return err
	}
	fmt.Println("closed")
	return nil
}
