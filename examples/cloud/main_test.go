package main

import (
	"context"
	"os"
)

func Example() {
	if err := run(context.Background(), "memory:///cloud", os.Stdout); err != nil {
		panic(err)
	}
	// Output:
	// 100 orders are durable
	// the replica sees that order 7 is paid
	// a second writer has taken over
	// the database has 99 orders
	// the checkpoint has 100 orders
}
