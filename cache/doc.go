// Package cache bounds the memory of cached blocks and metadata. It implements
// sst.BlockCache.
//
//	hit:   Reader ─▶ Cells.Block(i)                (an atomic load; the cache takes no part)
//	miss:  Reader ─▶ Join ─▶ request ─▶ Finish ─▶ shard: make room, store into the cell
//	drop:  table compacted away ─▶ Drop ─▶ cells set to nil, bytes given back at once
//
// What is cached hangs in the cells of its table (see package sst). The cache holds, in
// every shard, a ring of (cells, number) pairs and the bytes that they are charged for. To
// make room a hand goes round the ring: a thing that was used since the hand's last visit is
// passed over once, another one is evicted by storing nil into its cell. Readers that hold
// the pointer go on; the collector frees the block after the last of them. So a hit costs no
// lock and no shared write beyond a bit that is set once per round of the hand.
//
// Blocks and metadata have budgets of their own, so that a scan cannot push out indexes and
// filters. The bytes charged never exceed a budget, not even for a moment. A thing larger
// than its shard's part of the budget is not admitted; the caller has it all the same.
//
// All methods are safe for concurrent use. No method does I/O, and no lock is held while a
// waiter is woken. Cells of a table are found by a weak pointer: when nothing of the table is
// cached and nobody has it open, the collector takes them and a later sweep of the registry
// forgets the name.
package cache
