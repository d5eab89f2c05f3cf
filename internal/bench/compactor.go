package main

import (
	"time"

	"github.com/slatedb/slatedb-go"
)

// noCompactorL0 lets L0 grow when nobody merges it, as the other driver does.
const noCompactorL0 = 100_000

// withCompactor turns the embedded compactor on, polling every poll, or off. Collection is
// off in both: the peers' drivers have none either.
func withCompactor(o *slatedb.Options, on bool, poll time.Duration) {
	o.DisableGC = true
	if on {
		o.Compactor = &slatedb.CompactorOptions{PollInterval: poll}
		return
	}
	o.DisableCompactor = true
	o.L0MaxSSTs, o.L0MaxSSTsPerKey = noCompactorL0, noCompactorL0
}
