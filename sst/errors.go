package sst

import (
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A CorruptionError says which object is damaged and where. It is kv.ErrCorrupt (and
// slatedb.ErrCorrupt) to errors.Is.
type CorruptionError struct {
	Object string // key in the object store
	Offset int64  // where the damaged section begins, -1 when unknown
	Err    error  // what was wrong with it
}

func (e *CorruptionError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("corrupt object %s: %v", e.Object, e.Err)
	}
	return fmt.Sprintf("corrupt object %s at offset %d: %v", e.Object, e.Offset, e.Err)
}

// Unwrap returns what was wrong.
func (e *CorruptionError) Unwrap() error { return e.Err }

// Is makes every CorruptionError a kv.ErrCorrupt.
func (e *CorruptionError) Is(t error) bool { return t == kv.ErrCorrupt }

// corruptf makes an error that the border (which knows the object) wraps.
func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", kv.ErrCorrupt, fmt.Sprintf(format, args...))
}

// Corrupt names the object and offset of a decoding error. nil stays nil, and an error that
// already names its object is kept.
func Corrupt(object string, offset int64, err error) error {
	var c *CorruptionError
	if err == nil || errors.As(err, &c) {
		return err
	}
	return &CorruptionError{Object: object, Offset: offset, Err: err}
}
