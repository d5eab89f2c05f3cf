//go:build interop && emulators

package interop

import _ "github.com/slatedb/slatedb-go/objstore/all"

func init() { needServer = true }
