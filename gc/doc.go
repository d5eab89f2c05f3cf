// Package gc decides which objects of a database nobody needs any more, and deletes them. But
// for the deletion of a whole database, nothing else in the engine deletes.
//
//	compactions ─▶ manifest ─▶ expire checkpoints ─▶ pinned manifests      (read in this order)
//	                                    └─▶ State ─┐
//	                          LIST of a directory ─┴▶ Plan… ─▶ boundary file ─▶ DELETE, 8 at once
//
// The Plan functions are pure: from what was read they make one Decision for each object, with
// the reason. A Collector reads, lists, plans and acts. It may be used by any number of
// goroutines; its passes queue up. Any number of collectors may work on one database, in
// different processes, beside its writer, compactor and readers: none of them claims anything.
//
// # What is never deleted
//
// An object that the latest manifest, a manifest pinned by a checkpoint, or an unfinished
// compaction needs, or might need by the time the deletion takes effect:
//
//   - manifests and compactions: the latest one that was read and everything above it;
//     manifests named by a checkpoint. Before the first deletion the boundary file is raised,
//     so that a process that slept meanwhile cannot take a deleted number for a free one.
//   - tables: those of the latest and of each pinned manifest (for a parent of clones these
//     are the clones' checkpoints), and everything not older than the newest L0 table and the
//     oldest job in the compactions object. What is not published yet is never older than both.
//   - WAL objects: from the replay point of the latest manifest on, and what each pinned
//     manifest replays. Fences (objects of zero bytes) stay unless DeleteWALFences is set.
//
// Something that cannot be judged is kept: foreign names, a pinned manifest that cannot be
// read (then nothing that it might need is deleted), a database that is still being cloned.
//
// # Clocks
//
// Three clocks meet: the collector's, that of the store (modification times) and those of
// writers and compactors (ULIDs of tables). What they may differ by:
//
//   - Tables. Nothing. What decides is the order of ULIDs, and each writer and compactor keeps
//     its ids at or above those it has seen. Only processes older than SlateDB 0.18, which do
//     not, need MinAge to be more than their skew and the time of one upload.
//   - WAL objects. Nothing: ids decide. Fences that are deleted need a MinAge longer than any
//     pause of a writer plus the skew between collector and store.
//   - Manifests and compactions. Nothing with boundary files. Without them (DisableBoundaryFiles)
//     MinAge must be longer than any pause of a process plus the skew between collector and store.
//   - Checkpoints. A reader renews at half of its lifetime, so its clock may be behind the
//     collector's by less than that half (5 minutes by default). One that is removed too early
//     costs a reader its lease, an error with a name, never a wrong answer.
//
// MinAge does one thing more: it gives readers that follow the latest manifest without a
// checkpoint, and which nothing protects, the time to notice a change.
//
// # What a pass costs
//
// A pass reads two numbered objects and lists. What one Collector has listed it does not list
// again before the manifest or the compactions change, or something comes of age: a pass over
// an unchanged database is four small reads, and its Report says nothing of what it left alone.
package gc
