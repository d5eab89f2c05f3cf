// Package slatedb is an embedded key-value database whose only home is object storage: S3,
// Google Cloud Storage, Azure, MinIO, a local directory or memory. It is a log-structured
// merge tree that reads and writes the databases of SlateDB (Rust) 0.17 and 0.18 byte for
// byte, in pure Go.
//
//	Put ─▶ commit section ─▶ WAL buffer ─▶ wal/N.sst            (durable here)
//	             └─────────▶ memtable ─▶ imm ─▶ compacted/ULID.sst ─▶ manifest/N.manifest
//	Get ◀─ memtable ◀─ imm ◀─ L0, newest first ◀─ sorted runs, newest first
//
// Two acknowledgements are never confused. Written: visible to this handle, lost in a crash.
// Durable: stored by the object store. Put, Delete and Write return when durable; the long
// forms with NoWait return when written, with a handle to await the rest.
//
// DB and WriteHandle may be used from any number of goroutines; Iterator and WriteBatch from
// one at a time. See docs/design for the commit path, the read path and recovery.
package slatedb
