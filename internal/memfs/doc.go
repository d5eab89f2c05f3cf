// Package memfs is a disk in memory for tests, with the faults of real ones: full, broken,
// read-only, slow to make writes durable, removed under its user.
//
//	seam.FS ─▶ FS ─ Hook: fail, write half, crash ─▶ files as the process sees them
//	                                                     │ Sync
//	                         PowerCut: what was not synced is lost, torn or zeroed
//
// It is safe for concurrent use.
package memfs
