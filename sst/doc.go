// Package sst reads and writes sorted string tables, the immutable objects that hold every
// row once it has left memory: compacted tables, ordered by key, and WAL objects, in commit
// order. Both have the same bytes inside, which docs/FORMAT.md specifies.
//
//	Writer.Add ─▶ BlockBuilder ─▶ compress ─▶ Transformer ─▶ crc ─┐
//	     └─▶ filters, index, statistics ──────────────────────────┼─▶ object
//	wal: BlockBuilder ─▶ SealWAL ─────────────────────────────────┘      │
//	                                                                     │ ranges, through a BlockCache
//	kv.Iterator, point lookups ◀─ blocks, index, filters ◀─ Store ◀──────┤
//	replay, tools ◀─ ObjectIter ◀─ OpenObject ◀──────────────────────────┘ whole objects
//
// A table is reached through its Handle alone, which the manifest holds: no read of a
// compacted table looks at the end of the object first. Filters are asked before blocks.
//
// Writer, BlockBuilder, ObjectIter, Query, lookups and iterators belong to one goroutine
// each. Block, Meta, Index, Object, Handle, Store, Reader and filter policies may be shared:
// what was decoded is never changed. Slices that they return alias them and are not to be
// written.
//
// No bytes make this package panic. What is wrong with an object is a *CorruptionError,
// which names it, and is kv.ErrCorrupt. Lengths are checked against the bytes that are there
// before memory is taken for them, and what a section may unfold to is bounded.
package sst
