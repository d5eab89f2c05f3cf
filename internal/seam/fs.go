package seam

import (
	"errors"
	"io"
)

// FS is the local disk as the engine sees it: what the disk cache needs and nothing more.
// Names are paths of the system. Errors that package io/fs names (ErrNotExist,
// ErrPermission) are found by errors.Is; anything else is a failure of the disk.
// Implementations are safe for concurrent use and comparable: two handles on one FS and one
// directory share it.
type FS interface {
	// MkdirAll makes a directory and those above it; one that exists is no error.
	MkdirAll(dir string) error
	// Open opens a file for reading and writing, and makes it when create is set.
	Open(name string, create bool) (File, error)
	// Remove removes a file; a missing one is no error.
	Remove(name string) error
	// Rename moves a file over another one, in one step.
	Rename(from, to string) error
	// List returns what is in a directory, in any order.
	List(dir string) ([]FileInfo, error)
	// Sync makes the names in a directory durable, where the system can.
	Sync(dir string) error
	// Lock takes the lock of a file, making the file. It does not wait: ErrLocked when
	// another process, or another handle of this one, has it. The lock ends with Close or
	// with the process.
	Lock(name string) (io.Closer, error)
}

// ErrLocked: somebody else holds the lock.
var ErrLocked = errors.New("locked by another process")

// A FileInfo is one name in a directory.
type FileInfo struct {
	Name string
	Size int64
	Dir  bool // a directory or anything else that is no plain file
}

// A File is open for reading and writing at any offset, by many goroutines at once.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Size returns the size of the file now.
	Size() (int64, error)
	// Truncate cuts or grows the file; what it grows by reads as zeros.
	Truncate(size int64) error
	// Sync makes the content durable.
	Sync() error
	Close() error
}
