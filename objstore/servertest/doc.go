// Package servertest runs the tests that every cloud provider's store must pass on a server of
// its protocol: an emulator on this machine, or a bucket of the real thing.
//
//	SLATEDB_TEST_S3_URL=s3://bucket  ─▶ Folder ─▶ Conformance, Parts, LostAnswers
//
// A test whose variable is unset is skipped, but fails when SLATEDB_TEST_SERVERS is set: a run
// that was started to test servers must not pass without them. What the tests write stays in
// the bucket.
package servertest
