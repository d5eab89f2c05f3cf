package main

import "github.com/slatedb/slatedb-go"

// noCompactorL0 lets L0 grow when nobody merges it, as the other driver does.
const noCompactorL0 = 100_000

// withCompactor turns the embedded compactor on or off.
func withCompactor(o *slatedb.Options, on bool) {
	// There is no embedded compactor yet, so both settings mean the same.
	_ = on
	o.L0MaxSSTs, o.L0MaxSSTsPerKey = noCompactorL0, noCompactorL0
}
