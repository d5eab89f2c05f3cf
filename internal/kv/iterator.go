package kv

// An Iterator walks entries by key, in the direction it was made for, and within a key by
// seq descending in both directions (so that merge, visibility and folding are one code).
// It starts before its first entry and belongs to one goroutine. Reaching the end is not an
// error.
type Iterator interface {
	// Next moves to the next entry. After false, Err tells the end from a failure.
	Next() bool
	// Seek moves forward, in the iterator's direction, to the first entry at or past key.
	// It never moves backward: a key behind the position leaves it on the current entry. It
	// stands on the newest version of the key it finds.
	Seek(key []byte) bool
	// Entry is valid until the next Next, Seek or Close.
	Entry() *Entry
	// Err is sticky.
	Err() error
	// Close releases buffers and returns Err. It may be called twice.
	Close() error
}
