package main

import (
	"context"
)

func Example() {
	if err := run(context.Background()); err != nil {
		panic(err)
	}
	// Output:
	// what somebody sees who can read the store:
	//   values: 0
	//   first and last key of a table: in the table true, in the manifest true
	//   keys between them, in tables: 0
	// keys in the ring: [1 2], the active one is 2
	// with key 2: diagnosis: hypertension
	// with key 1: key 2 is missing
}
