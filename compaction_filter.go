package slatedb

import "github.com/slatedb/slatedb-go/compactor"

// What a program implements to let compaction drop or change rows.
type (
	// A CompactionFilter decides about every row that a compaction is about to write.
	CompactionFilter = compactor.Filter
	// CompactionFilterContext is what a CompactionFilter is made for.
	CompactionFilterContext = compactor.FilterContext
	// A CompactionFilterSupplier makes a filter for each piece of work of a compaction.
	CompactionFilterSupplier = compactor.FilterSupplier
	// A CompactionDecision is what a CompactionFilter answers. The zero value keeps the row.
	CompactionDecision = compactor.Decision
)

// KeepRow keeps the row as it is.
func KeepRow() CompactionDecision { return compactor.Keep() }

// DropRow removes the row, without a tombstone: older versions of the key may show again.
func DropRow() CompactionDecision { return compactor.Drop() }

// SetValue makes the row a value. Key, number, create time and expiry stay.
func SetValue(v []byte) CompactionDecision { return compactor.SetValue(v) }

// SetOperand makes the row a merge operand. Key, number, create time and expiry stay.
func SetOperand(v []byte) CompactionDecision { return compactor.SetOperand(v) }

// SetTombstone makes the row a tombstone. Key, number and create time stay.
func SetTombstone() CompactionDecision { return compactor.SetTombstone() }
