package main

import "context"

func Example() {
	if err := run(context.Background()); err != nil {
		panic(err)
	}
	// Output:
	// opened
	// user:1 is Alice
	// everything:
	//   order:1 = 3 apples
	//   user:2 = Bob
	//   user:3 = Carol
	// users:
	//   user:2 = Bob
	//   user:3 = Carol
	// user:4 is durable
	// rows written: 6
	// closed
}
