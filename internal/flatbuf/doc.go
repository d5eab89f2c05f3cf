// Package flatbuf holds the flatbuffers tables of the file format: code generated from
// schema/*.fbs (the generated files are not edited by hand), a verifier, which the Go
// runtime of flatbuffers does not have, and a builder that gives the bytes of the Rust writer,
// which the runtime's does not.
//
//	bytes ─▶ Verify… ─▶ generated accessors ─▶ plain structs of sst and manifest
//	bytes ◀──────────────────── Builder ◀──────────────┘
//
// The generated accessors trust their buffer: an offset that leaves it makes them panic.
// So nothing may read a buffer that its Verify function has not accepted. A verified buffer
// is safe to walk with every accessor, as often as wanted, by several goroutines; it says
// nothing about meaning (unknown enum values, illegal ranges), which is for the decoders of
// sst and manifest to judge.
//
// No type of this package appears in anyone's API but theirs.
package flatbuf
