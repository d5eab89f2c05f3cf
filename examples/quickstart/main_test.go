package main

import (
	"context"
	"fmt"
)

var runs int

func Example() {
	runs++
	store = fmt.Sprint("memory://quickstart-", runs) // stores in memory live as long as the process
	if err := run(context.Background()); err != nil {
		panic(err)
	}
	// Output:
	// 1. put and get
	//    user:1 is Alice
	//    user:2 is not found
	// 2. time to live, and a put that does not wait
	//    session:1 lives 1h0m0s
	//    write 2 is durable
	//    session:0 is there: false
	// 3. a batch
	//    5 operations
	// 4. a transaction with a merge
	//    order:1 was changed 2 times
	// 5. a snapshot
	//    user:1 was Alice and is Alicia
	// 6. a scan with seek
	//    user:2 = Bob
	//    user:3 = Carol
	// 7. scan options
	//    user:2
	//    user:1
	// 8. a flush of the log
	//    100 events are durable: true
	// 9. metrics
	//    slatedb.db.write_ops 113
	//    slatedb.db.write_batch_count 107
	//    slatedb.memtable_flush.l0_upload_count 0
	// 10. a checkpoint, and a reader pinned to it
	//    user:3 is in the checkpoint: true
	//    user:4 is in the checkpoint: false
	// 11. admin: checkpoints and manifest
	//    1 checkpoint named tour
	//    the newest manifest has 1 tables in L0 and 0 sorted runs
	// 12. admin: sequence numbers and times
	//    the number that is current now is a number of this run: true
	//    and it leads back to a time of this run: true
	// 13. admin: a clone
	//    user:1 is in the database: true
	//    user:1 is in the clone: false
	// 14. admin: one garbage collection
	//    0 objects deleted, some kept: true
	// closed
}
