package sst

import (
	"fmt"

	"github.com/oklog/ulid/v2"
)

// An ID names a table: a ULID for compacted tables, a number for WAL objects. It is
// comparable. The zero ID names nothing.
type ID struct {
	ulid ulid.ULID
	wal  uint64
}

// TableID names the compacted table u.
func TableID(u ulid.ULID) ID { return ID{ulid: u} }

// WALID names WAL object n (n >= 1).
func WALID(n uint64) ID { return ID{wal: n} }

// ULID returns the id of a compacted table.
func (id ID) ULID() ulid.ULID { return id.ulid }

// WAL returns the number of a WAL object, 0 for a compacted table.
func (id ID) WAL() uint64 { return id.wal }

func (id ID) String() string {
	if id.wal != 0 {
		return fmt.Sprintf("wal/%020d", id.wal)
	}
	return id.ulid.String()
}

// Object returns the key of the object under a database root.
func (id ID) Object(root string) string {
	name := "compacted/" + id.ulid.String() + ".sst"
	if id.wal != 0 {
		name = fmt.Sprintf("wal/%020d.sst", id.wal)
	}
	if root == "" {
		return name
	}
	return root + "/" + name
}
