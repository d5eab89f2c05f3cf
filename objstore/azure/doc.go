// Package azure stores objects in Azure Blob Storage, on the official SDK. Importing it
// registers the schemes az, azure, adl, abfs and abfss:
//
//	import _ "github.com/slatedb/slatedb-go/objstore/azure"
//	db, err := slatedb.Open(ctx, "az://container/path?account_name=acme", nil)
//
// One call is one request: the SDK's own retries are off, since a second attempt of a
// conditional write would be refused by the first; objstore/retry knows how to tell. The
// exception are the blocks of a large upload, which may be sent twice without harm.
//
//	Put, small ─▶ Put Blob (If-None-Match: * or If-Match)
//	Put, large ─┐
//	Upload ─────┴▶ Put Block, in parallel ─▶ Put Block List (the condition)
//
// Blocks that were never committed are dropped by the service after a week.
//
// A Store is safe for concurrent use. It holds idle connections and nothing else.
package azure
