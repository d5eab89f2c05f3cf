//go:build emulators

package slatedb

import _ "github.com/slatedb/slatedb-go/objstore/all"

func init() { needServer = true }
