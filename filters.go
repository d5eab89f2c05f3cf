package slatedb

import "github.com/slatedb/slatedb-go/sst"

// What a program implements to filter tables in its own way, see FilterPolicy.
type (
	// A FilterBuilder collects the rows of one table.
	FilterBuilder = sst.FilterBuilder
	// A FilterQuery is what a read asks filters.
	FilterQuery = sst.Query
	// QueryKind tells what a FilterQuery asks for.
	QueryKind = sst.QueryKind
	// A PrefixFilter is a FilterPolicy that says whether it answers prefix queries.
	PrefixFilter = sst.PrefixFilter
	// A RangeFilter is a FilterPolicy that says whether it answers range queries.
	RangeFilter = sst.RangeFilter
	// A Row is one stored version of a key, as filters and compaction filters see it.
	Row = sst.Row
	// RowKind tells what a Row does to its key.
	RowKind = sst.RowKind
)

// The kinds of queries.
const (
	QueryPoint  = sst.QueryPoint
	QueryPrefix = sst.QueryPrefix
	QueryRange  = sst.QueryRange
)

// The kinds of rows.
const (
	ValueRow     = sst.ValueRow
	TombstoneRow = sst.TombstoneRow
	OperandRow   = sst.OperandRow
)

// NoTime stands for an absent time of a Row.
const NoTime = sst.NoTime
