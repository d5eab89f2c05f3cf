// Package compactor merges L0 tables and sorted runs into new sorted runs.
//
//	                 .compactions: Submitted ─▶ Scheduled ─▶ Running ─▶ Compacted ─▶ Completed
//	                     ▲             ▲            ▲            │           ▲
//	Scheduler.Propose ───┘  validate ──┘   claim ───┤            │           │
//	Submit ──────────────┘                       Worker:         │        commit: checkpoint PUT,
//	                                        merge ─▶ Retain ─▶ tables     manifest PUT, then this
//
// A Compactor is the coordinator: there is one for a database, fenced by an epoch. It decides what is
// merged and puts results into the manifest. Workers, any number of them in any process, do the
// merging. The two talk only through the .compactions object, also when they are in one
// process; there they wake each other besides, so that nothing is polled that this process did.
//
// What decides is pure and knows no store and no clock: the scheduler, the check of a job against
// the manifest (validate.go), its result in the manifest (apply.go), the job list as seen by the
// coordinator (ledger.go) and by a worker (claims.go), the split of a job (split.go). All changes
// are functions of the newest stored version, so that a lost race just runs them again.
//
// Order of writes: manifest first, compactions second; of reads the other way round. A
// commit that stopped between the two is recognised by its outputs and not done twice.
//
// Compactor and Worker have one method, Run, which joins everything it started.
package compactor
