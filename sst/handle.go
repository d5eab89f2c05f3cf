package sst

import (
	"github.com/oklog/ulid/v2"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A Handle is all that is needed to read a table without asking the store about it.
type Handle struct {
	ID     ID
	Root   string // root of the parent database that owns the object (a clone's table); "" = this database
	Format uint16 // FormatV1 or FormatV2
	Info   Info
}

// A View is a table as one list uses it: possibly cut down to a key range.
type View struct {
	ID      ulid.ULID
	Table   *Handle
	Visible *kv.Range // nil: the whole table
}

// A SortedRun is a list of views in ascending key order, newest data of its tree first among
// runs by descending ID. Neighbours may share exactly one boundary key: then the earlier view
// holds the newer versions. A run may have no views.
type SortedRun struct {
	ID    uint32
	Views []View
}
