package slatedb

import (
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// RowKind tells what a stored row does to its key.
type RowKind uint8

// The kinds of rows.
const (
	RowPut    RowKind = RowKind(kv.Put)       // a value
	RowDelete RowKind = RowKind(kv.Tombstone) // a deletion, which has no value
	RowMerge  RowKind = RowKind(kv.Merge)     // an operand for the merge operator
)

func (k RowKind) String() string {
	switch k {
	case RowPut:
		return "put"
	case RowDelete:
		return "delete"
	case RowMerge:
		return "merge"
	}
	return fmt.Sprintf("RowKind(%d)", uint8(k))
}

// A Row is one version of one key as it is stored, below the key-value surface: nothing is
// merged, hidden by a newer version or by a deletion, or dropped because it has expired.
type Row struct {
	Entry
	Kind RowKind
}

func publicRow(e *kv.Entry) Row {
	r := Row{Entry: publicEntry(e), Kind: RowKind(e.Kind)}
	if e.Kind == kv.Tombstone {
		r.Value = nil
	}
	return r
}

// Clone returns a copy that shares no memory with r.
func (r Row) Clone() Row { return Row{Entry: r.Entry.Clone(), Kind: r.Kind} }
