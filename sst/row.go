package sst

import "github.com/slatedb/slatedb-go/internal/kv"

// A Row is one stored version of a key, as filter builders and compaction filters see it:
//
//	Key, Value []byte
//	Seq        kv.Seq  // a uint64: number of the batch that wrote it
//	CreateTS   int64   // Unix milliseconds, NoTime when absent
//	ExpireTS   int64   // the same
//	Kind       RowKind
//
// It is lent: its slices live for the call only and are not to be changed.
type Row = kv.Entry

// RowKind tells what a row does to its key.
type RowKind = kv.Kind

// The kinds of rows.
const (
	ValueRow     = kv.Put       // a value
	TombstoneRow = kv.Tombstone // a deletion; Value is empty
	OperandRow   = kv.Merge     // an operand for the merge operator
)

// NoTime stands for an absent creation or expiry time of a Row.
const NoTime = kv.NoTS

// A KeyRange is a set of neighbouring keys:
//
//	Start, End     []byte // nil = open
//	StartExclusive bool
//	EndInclusive   bool
type KeyRange = kv.Range
