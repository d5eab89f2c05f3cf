// Package cloud is what the stores of the cloud providers have in common: settings out of a
// URL and the environment, the HTTP transport, the class of an error, reading a response to
// its promised length, and sending a body in parts. It knows no provider and no SDK.
//
//	URL query ─▶ Settings ─▶ provider's Config ─▶ Transport ─▶ SDK (its retries off)
//	environment ─┘                                               └─▶ Error ─▶ retry decorator
//
// Programs have no use for it; they import objstore/s3, objstore/gcs or objstore/azure.
// Everything here is safe for concurrent use but for Settings.
package cloud
