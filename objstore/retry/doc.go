// Package retry sends requests again until they have an answer.
//
//	caller ─▶ retry.Store ─▶ metered, limit, ... ─▶ provider (its SDK's own retries off)
//
// Reads, deletes and plain overwrites are simply sent again. A conditional Put is not: its
// first attempt may have taken effect although the answer was lost, and the second would
// then be refused by the first. So each carries a put-id, a fresh ULID in the object's
// metadata, and whatever is not a clear answer is settled by reading the id back; see
// settle.go. A refusal that the caller sees is a real one, and a success is his own.
//
// A Store made by New is safe for concurrent use.
package retry
