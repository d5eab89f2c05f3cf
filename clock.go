package slatedb

import "github.com/slatedb/slatedb-go/internal/seam"

// A Timer is what a Clock's NewTimer returns, a time.Timer behind an interface.
type Timer = seam.Timer
