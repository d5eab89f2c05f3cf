package slatedb

import "github.com/slatedb/slatedb-go/internal/kv"

// A RawRow is one version of one key as it is stored, below the key-value surface: nothing is
// merged, hidden by a newer version or by a deletion, or dropped because it has expired. Value
// is nil in a tombstone.
type RawRow struct {
	Entry
	Kind RowKind
}

func rawRow(e *kv.Entry) RawRow {
	r := RawRow{Entry: publicEntry(e), Kind: e.Kind}
	if e.Kind == kv.Tombstone {
		r.Value = nil
	}
	return r
}

// Clone returns a copy that shares no memory with r.
func (r RawRow) Clone() RawRow { return RawRow{Entry: r.Entry.Clone(), Kind: r.Kind} }
