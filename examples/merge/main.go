// Merge counts, collects and keeps the largest without reading first, in memory, with one
// operator that looks at the key.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/operators"
)

func main() {
	if err := run(context.Background(), "memory://merge/stats"); err != nil {
		log.Fatal(err)
	}
}

// byPrefix gives keys their operator. It is one operator for the database, and as associative
// as those that it calls.
func byPrefix(key, existing, operand []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(key, []byte("count/")):
		return operators.AddInt64.Merge(key, existing, operand)
	case bytes.HasPrefix(key, []byte("max/")):
		return operators.MaxInt64.Merge(key, existing, operand)
	}
	return operators.Append([]byte(", ")).Merge(key, existing, operand)
}

func run(ctx context.Context, location string) error {
	db, err := slatedb.Open(ctx, location, &slatedb.Options{
		MergeOperator: slatedb.MergeFunc(byPrefix), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	defer db.Close(ctx)

	// Each write is blind: no round trip to the store before it.
	for i, page := range []string{"home", "cart", "home", "home"} {
		var b slatedb.WriteBatch
		b.Merge([]byte("count/"+page), operators.Int64(1))
		b.Merge([]byte("max/latency"), operators.Int64(int64(10+i*7%5)))
		b.Merge([]byte("path/user-1"), []byte(page))
		if _, err := db.WriteWithOptions(ctx, &b, &slatedb.WriteOptions{NoWait: true}); err != nil {
			return err
		}
	}
	if err := show(ctx, db, "in memory"); err != nil {
		return err
	}
	// Flush and compaction combine operands for good; the answers stay.
	if err := db.Compact(ctx); err != nil {
		return err
	}
	if err := show(ctx, db, "compacted"); err != nil {
		return err
	}
	// A delete is a base of nothing.
	if err := db.Delete(ctx, []byte("count/home")); err != nil {
		return err
	}
	if err := db.Merge(ctx, []byte("count/home"), operators.Int64(5)); err != nil {
		return err
	}
	if err := show(ctx, db, "after a delete and one merge"); err != nil {
		return err
	}
	return db.Close(ctx)
}

func show(ctx context.Context, db *slatedb.DB, when string) error {
	fmt.Println(when + ":")
	for e, err := range db.Entries(ctx, slatedb.All, nil) {
		if err != nil {
			return err
		}
		if bytes.HasPrefix(e.Key, []byte("path/")) {
			fmt.Printf("  %s = %s\n", e.Key, e.Value)
			continue
		}
		n, err := operators.DecodeInt64(e.Value)
		if err != nil {
			return err
		}
		fmt.Printf("  %s = %d\n", e.Key, n)
	}
	return nil
}
