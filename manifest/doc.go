// Package manifest holds the root of a database: which tables it consists of, which
// checkpoints pin older versions, who the writer and the compactor are. It also holds the
// compactor's job list, which is kept the same way.
//
//	R/manifest/N.manifest ──decode, validate──▶ *Manifest ──Clone, mutate, validate, encode──▶ PUT N+1 if absent
//	R/compactions/N.compactions  (same store)   *Compactions                                      │
//	R/gc/*.boundary  ◀────────────────────── an id at or below it is no success, no latest ◀──────┘
//
// Versions are numbered without gaps and never change once written. A Store finds the newest
// one and adds the next; an update that loses the race for an id is applied again to the
// version that won. AcquireWriter and AcquireCompactor claim an epoch inside the manifest; the
// resulting Fenced refuses every update once somebody else has claimed a higher one.
//
// A *Manifest or *Compactions that came out of a store is shared and immutable. Only the copy
// that Update hands to its mutate function may be changed, and only during that call. Handles
// (sst.Handle) and visible ranges are immutable everywhere and shared between versions.
//
// Store, CompactionsStore, Fenced and Boundary may be used by any number of goroutines; the
// updates of one Store queue up, those of different processes meet in the object store. No
// lock is held during a request or while mutate runs, except for the place in that queue.
//
// Nothing that a manifest says is trusted: the bytes pass a flatbuffers verifier and Validate
// before anyone sees them, since the format has no checksum.
package manifest
