// Package testkit holds what the tests of several packages share: deterministic keys and
// values, and a check that a test leaves no goroutine behind.
//
// The keys and values are those of the benchmark drivers, in this project and in the peers
// beside internal/bench, so that every engine sees the same bytes in the same order.
//
// It imports no package of the engine, and no program may depend on it but the benchmark.
package testkit
