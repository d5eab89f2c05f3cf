// Package interop exchanges databases with the original engine, through its Python wheel: what
// one writes the other must read, row by row, with the same sequence numbers and times, and two
// of them on one database must take turns and fence each other.
//
// The tests have the build tag interop and run by "make interop", which installs the wheel. They
// take the interpreter from SLATEDB_PY and fail without one: a run that checks nothing must not
// pass. Histories are random; a failure prints the seed, and SLATEDB_SEED repeats it.
//
// Databases are in directories, or, with the build tag emulators too, in the bucket that
// SLATEDB_TEST_URL names; both engines take its server from the same variables.
//
//	session.py    holds a writer or a reader of the original engine open, and does as told
//	../bench/peers/python/peer.py   applies a history, or dumps a database
package interop
