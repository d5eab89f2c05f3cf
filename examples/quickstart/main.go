// Quickstart is a tour of the library on a database in memory, one function a step. A location
// such as "s3://bucket/orders" or "./orders" in the place of the one below keeps the data.
package main

import (
	"context"
	"fmt"
	"log"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/operators"
)

// store is where the databases are. A reader and an admin of this process find them by the same
// URL.
var store = "memory://quickstart"

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// steps are taken in this order, each on what the ones before have left.
var steps = []struct {
	title string
	take  func(ctx context.Context, db *slatedb.DB) error
}{
	{"put and get", putAndGet},
	{"time to live, and a put that does not wait", expiring},
	{"a batch", batch},
	{"a transaction with a merge", transaction},
	{"a snapshot", snapshot},
	{"a scan with seek", scanWithSeek},
	{"scan options", scanOptions},
	{"a flush of the log", flushLog},
	{"metrics", metrics},
	{"a checkpoint, and a reader pinned to it", checkpoint},
	{"admin: checkpoints and manifest", administer},
	{"admin: sequence numbers and times", times},
	{"admin: a clone", clone},
	{"admin: one garbage collection", collect},
}

func run(ctx context.Context) error {
	db, err := slatedb.Open(ctx, store+"/shop", &slatedb.Options{MergeOperator: operators.AddInt64})
	if err != nil {
		return err
	}
	defer db.Close(ctx) // a second Close does nothing
	for i, s := range steps {
		fmt.Printf("%d. %s\n", i+1, s.title)
		if err := s.take(ctx, db); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	if err := db.Close(ctx); err != nil {
		return err
	}
	fmt.Println("closed")
	return nil
}
