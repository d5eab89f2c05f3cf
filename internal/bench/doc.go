// Command bench runs workloads on this library and prints one JSON line each, in the same
// form and over the same bytes as the drivers of the other engines under peers/.
//
//	bench WORKLOAD[,WORKLOAD...] [key=value ...]
//	bench compare [engine=slatedb-go] FILE...     medians and ratios of such lines
//
// Workloads, run one after another on one database. One that reads begins by loading its rows,
// outside of the measurement, when the database is empty:
//
//	fill          put n rows without waiting for durability, then flush the memtable
//	overwrite     the same again
//	fill_batch    the same in batches of 100
//	fill_durable  durable_n puts by durable_threads goroutines that wait until they are durable
//	quiesce       wait until compaction has nothing left to do
//	warm          get every key once
//	get get_miss  reads random existing or absent keys
//	scan          read every row once
//	seek10        position at a random key, read 10 rows, seeks times
//	reopen        close with rows in the WAL only, open, first get
//	size          list what lies in the store
//
// Arguments, with their defaults:
//
//	n=1000000 value=100 threads=1     rows, bytes of a value, goroutines
//	reads=500000 seeks=50000 durable_n=20000 durable_threads=64 quiesce_s=120
//	fill_s=0                          fill for so many seconds instead of n rows
//	store=memory | file:PATH          with a delay, a file store is copied into memory first
//	get_ms=0 put_ms=0 list_ms=0       delay of every request; list_ms is get_ms when not given
//	cache_mb=1024 compression=none flush_ms=100 l0_mb=64 compactor=1
//	max_unflushed_mb=1024 read_ahead=1048576
//	cpuprofile=FILE memprofile=FILE
//
// Beside the peers' figures, extra holds for each workload: requests and bytes by kind and
// allocations per operation (driver_allocs is the part that making keys and values costs),
// all of this workload alone; for fills the worst whole second (min_window_ops) and the longest operation (max_us), and
// the shape of the tree (l0, runs) for what merges when it is read.
package main
