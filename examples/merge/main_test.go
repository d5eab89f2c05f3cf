package main

import (
	"context"
	"fmt"
)

var runs int

func Example() {
	runs++ // stores in memory live as long as the process
	if err := run(context.Background(), fmt.Sprint("memory://merge-", runs, "/db")); err != nil {
		panic(err)
	}
	// Output:
	// in memory:
	//   count/cart = 1
	//   count/home = 3
	//   max/latency = 14
	//   path/user-1 = home, cart, home, home
	// compacted:
	//   count/cart = 1
	//   count/home = 3
	//   max/latency = 14
	//   path/user-1 = home, cart, home, home
	// after a delete and one merge:
	//   count/cart = 1
	//   count/home = 5
	//   max/latency = 14
	//   path/user-1 = home, cart, home, home
}
