// Package s3 stores objects in Amazon S3 and in servers that speak its protocol (MinIO, R2,
// Tigris, Ceph, versitygw, ...), on the official SDK. Importing it registers the schemes
// s3 and s3a:
//
//	import _ "github.com/slatedb/slatedb-go/objstore/s3"
//	db, err := slatedb.Open(ctx, "s3://bucket/path?region=eu-central-1", nil)
//
// One call is one request: the SDK's own retries are off, since a second attempt of a
// conditional write would be refused by the first; objstore/retry knows how to tell. The
// exception are the parts of a large upload, which may be sent twice without harm.
//
//	Put, small ─▶ PUT (If-None-Match: * or If-Match)
//	Put, large ─┐
//	Upload ─────┴▶ create ─▶ parts, in parallel ─▶ complete (the condition) ─▶ on error: abort
//
// A Store is safe for concurrent use. It holds idle connections and nothing else.
package s3
