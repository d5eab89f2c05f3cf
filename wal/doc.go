// Package wal is the write-ahead log: a gapless sequence of objects wal/<id>.sst, each a
// table of whole batches in commit order. A row is durable once its object is stored.
//
//	Append ─▶ segments (blocks in place) ─▶ Run: seal ─▶ PUT id, if absent ─▶ position ─▶ durable mark
//	             ▲ full, or first row            ▲ due?                                       │
//	             └── kick ──────────────────▶ schedule ◀── kick ── Wait, Flush ◀── released ──┘
//
//	FindTail ─▶ Fence (zero-byte object at the tail) ─▶ Replayer (ids in order, bodies fetched ahead)
//
// The log is strictly sequential: object n+1 is put only after object n is stored, because a
// replay stops at a hole. So throughput comes from batching: a waiter that finds no upload
// running starts one, those who come meanwhile ride the next.
//
// An id is taken once. A writer that opens puts a zero-byte object, the fence, at the next
// free id; the older writer's PUT of that id then fails, and it stops as fenced. A writer
// whose id is taken never tries the next one.
//
// Who may call what: Append calls come one at a time, from the owner's commit section, and
// may overlap with everything else. Run is called once. All other methods of a Writer are
// free. A Replayer belongs to one goroutine. FindTail and Fence hold no state.
//
// Lock order: there is none, no function holds two of the locks, and none is held across a
// request, a clock, a point or a callback.
//
// The objects are tables of package sst; the protocol is that of SlateDB 0.17 and 0.18.
package wal
