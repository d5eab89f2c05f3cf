// Package merging joins sorted sources of versions and decides which versions count.
//
//	memtable, L0, sorted runs ─▶ New ─┬─▶ Resolve ─▶ what a reader sees: one row a key
//	                                  └─▶ Retain  ─▶ what a flush or compaction keeps
//
// All three are kv.Iterators over kv.Iterators and belong to one goroutine. Within a key versions come
// newest first in both directions, which is why Resolve and Retain do not know theirs except for
// Seek. They pass plain rows through without a copy. An error of a source is sticky
// and never looks like the end.
//
// The rules are those of SlateDB, so that databases can be shared with it.
package merging
