// Package diskcache keeps parts of tables, or whole tables, on a local disk, so that reads
// need the object store less often. It stands between the readers of tables and the store:
//
//	sst.Store ─▶ Cached.ReadAt ─▶ index ─▶ slab files (hit: one read of a few KiB, checked)
//	                 │ miss                     ▲
//	                 └─▶ flight (one per part) ─┴─ queue ─▶ one writer in the background
//	                        │
//	                        └─▶ objstore.Store, whole parts, neighbours in one request
//
//	sst.Store ─▶ Mirrored.ReadAt ─▶ table files (every table of the manifest)
//
// Only compacted tables are kept: they never change. Manifests, WAL objects and listings pass
// through. Whatever the disk does (full, broken, read-only, removed, rotten), a read is
// answered from the store: disk errors cost speed and are counted, see Stats.
//
// The directory belongs to one process at a time, by a lock. Handles of one process that name
// the same directory share it. docs/design/disk-cache.md has the layout of the files and what
// a crash leaves.
//
// All types are safe for concurrent use.
package diskcache
