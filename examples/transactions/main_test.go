package main

import (
	"context"
	"fmt"
)

var runs int

func Example() {
	runs++ // stores in memory live as long as the process
	if err := run(context.Background(), fmt.Sprint("memory://transactions-", runs, "/db")); err != nil {
		panic(err)
	}
	// Output:
	// after ten transfers of 5: alice 50, bob 150
	// si: the second commit is refused: false
	// ssi: the second commit is refused: true
	// carol has 1
	// compare and swap to 10: true
	// compare and swap to 20: false
}
