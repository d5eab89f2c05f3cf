// Package memtable holds the newest writes in memory, sorted by key ascending and seq
// descending, until they are flushed as a table of the object store.
//
//	Add ─▶ arena: one cell a row (seq, times, key, value), append only
//	  └──▶ tree: leaves of 14 (8 key bytes, cell), inner nodes of 15 (8 key bytes, child)
//	                ▲
//	Get, Iter ──────┘ no locks
//
// One writer at a time calls Add; any number of goroutines call everything else meanwhile.
//
// # Why a tree and not a skiplist
//
// A skiplist of half a million rows visits some twenty to thirty nodes an insert, each a
// mispredicted branch and, in the lower levels, a cache miss. A node here answers with a count
// without branches over 8-byte key pieces that lie in two cache lines, so an insert visits six nodes
// of which only the last two are usually outside the nearer caches. When the first 8
// bytes do not tell rows apart, a new node takes its pieces after what all keys between its
// fences have in common, so that "tenant/17/order/…" does as well as random bytes; what still
// ties is settled by the full key in the arena.
//
// # Publication
//
// A slot of a node is written once, then the node's order word (which slot has which rank,
// and how many there are: 64 bits) is stored atomically: a reader has either the old node or
// the new one. A node without a free slot is replaced, never emptied: its rows are copied to one
// or two new nodes, the parent gets the right one by its order word and then the left one by
// an atomic store of the child. The old node stays as it is for who stands on it. A reader
// of an inner node looks at the order word again after it has loaded the child, since the new left
// child alone does not hold what the new order word sends to the right. And between the two stores
// the parent names the right node and, to its left, the old node with the rows of both: a cursor
// takes of a node that may be such a one only what lies below its upper fence (see cursor).
//
// So a reader sees every row whose Add returned before the reader began, and of later ones
// some; those carry a higher seq than it may see anyway.
//
// # Memory
//
// Cells and nodes are named by 32-bit references into chunks without pointers: 16 KiB at first,
// doubling to 4 MiB (nodes: 3 KiB to 768 KiB), so an empty table costs nothing much, no
// growth copies anything but the list of chunks, and the garbage collector has a few dozen objects to
// mark and nothing to walk. Values above 4 KiB are allocations of their own.
package memtable
