package main

import (
	"context"
	"fmt"
)

var runs int

func Example() {
	runs++ // stores in memory live as long as the process
	if err := run(context.Background(), fmt.Sprint("memory://ttl-", runs, "/db")); err != nil {
		panic(err)
	}
	// Output:
	// 00:00: [a minute] [at 00:30] [default] [never]
	// 00:01: [at 00:30] [default] [never]
	// 00:30: [default] [never]
	// 01:00: [never]
	// node-1 takes the lease: true
	// node-2 takes the lease: false
	// 10s later node-2 takes it
}
