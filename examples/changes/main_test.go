package main

import (
	"context"
	"fmt"
)

var runs int

func Example() {
	runs++ // stores in memory live as long as the process
	if err := run(context.Background(), fmt.Sprint("memory://changes-", runs, "/db")); err != nil {
		panic(err)
	}
	// Output:
	// the consumer starts
	//   commit 1, 2 rows
	//   commit 2, 1 rows
	// Oslo: ann cat, Rome: bob
	// the consumer is back
	//   commit 3, 1 rows
	//   commit 4, 1 rows
	// Rome: ann bob
}
