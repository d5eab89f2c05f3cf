// Package all links the stores of all cloud providers, so that locations of every scheme can
// be opened:
//
//	import _ "github.com/slatedb/slatedb-go/objstore/all"
//
// It makes a program some 40 MB larger, most of it Google's SDK. One that knows its
// provider imports objstore/s3, objstore/gcs or objstore/azure instead.
package all

import (
	_ "github.com/slatedb/slatedb-go/objstore/azure" // az, azure, adl, abfs, abfss
	_ "github.com/slatedb/slatedb-go/objstore/gcs"   // gs
	_ "github.com/slatedb/slatedb-go/objstore/s3"    // s3, s3a
)
