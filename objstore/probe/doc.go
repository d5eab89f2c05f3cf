// Package probe finds out whether a store does what the engine stands on, by trying it:
// conditional puts that really refuse, ranges and bodies of the length that was asked for,
// listings that are complete and in order, reads that see the last write, and user metadata.
//
//	Run ─▶ retry ─▶ guard ─▶ store          <path>/probe/<id>/a, b, c, missing
//	        └─ lost answers  └─ ends what retry would send again for ever
//
// A store that fails would destroy a database in silence: two writers on one that ignores
// conditions overwrite each other, and a short body is a truncated manifest. So every open
// runs it once for each process and store.
//
// The objects live below <path>/probe/, under a fresh id each time. No part of the engine,
// nor SlateDB in Rust, looks there: a database's own objects are in the folders manifest,
// wal, compacted, compactions and gc. They are removed at the end; what a crashed run left
// behind is removed by a later one after a day, by the store's own dates.
//
// A full run on an honest store costs 21 requests in seven waves: 7 PUT, 2 LIST, 4 GET, 5
// HEAD (three of them look at what a put was refused for) and 3 DELETE, some $0.00005 at the
// prices of S3.
//
// Run and Once are safe for concurrent use.
package probe
