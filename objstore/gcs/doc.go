// Package gcs stores objects in Google Cloud Storage, on the official SDK. Importing it
// registers the scheme gs:
//
//	import _ "github.com/slatedb/slatedb-go/objstore/gcs"
//	db, err := slatedb.Open(ctx, "gs://bucket/path", nil)
//
// One call is one request: the SDK's own retries are off, since a second attempt of a
// conditional write would be refused by the first; objstore/retry knows how to tell. The
// exception are the chunks of a large upload, which may be sent twice without harm.
//
//	Put, small ─▶ upload in one request (ifGenerationMatch=0, or the old generation)
//	Put, large ─┐
//	Upload ─────┴▶ resumable upload under the same condition, chunk after chunk
//
// The version of an object is its generation. Bodies are read over the XML API, the only one
// of the two over HTTP whose answer carries an object's metadata, and with it the put-id;
// everything else goes over the JSON API. Both are HTTP/1.1: parallel reads then have a
// connection each.
//
// A Store is safe for concurrent use. It holds idle connections and nothing else.
package gcs
