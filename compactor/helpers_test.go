package compactor

import (
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

func countingStore(s objstore.Store) *faulty.Store { return faulty.New(s, nil) }
