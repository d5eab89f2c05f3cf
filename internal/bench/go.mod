// A module of its own, so that what only the benchmarks need stays out of the library's.
module github.com/slatedb/slatedb-go/internal/bench

go 1.25.0

require github.com/slatedb/slatedb-go v0.0.0

replace github.com/slatedb/slatedb-go => ../..

require (
	github.com/google/flatbuffers v25.12.19+incompatible // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/oklog/ulid/v2 v2.1.2 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	golang.org/x/sys v0.47.0 // indirect
)
