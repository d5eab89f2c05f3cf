// Package lint holds the tests that keep the repository in shape: who imports whom, which
// doors to the outside world the engine uses, whether the programs in the README run, and
// what no file may contain. It has no code but tests.
//
//	imports_test.go   the package graph, as a table
//	seams_test.go     time, randomness, files and goroutines only through internal/seam
//	snippets_test.go  every Go block of the README is compiled, complete programs are run
//	text_test.go      no machine paths, no unfinished business
package lint
