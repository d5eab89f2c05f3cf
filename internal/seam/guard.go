package seam

import (
	"fmt"
	"runtime/debug"
)

// A PanicError is a panic caught at a border: a background task or a user's callback.
type PanicError struct {
	Where string
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic in %s: %v", e.Where, e.Value) }

// Guard calls fn and turns a panic into a *PanicError. It stands around every callback of
// the user and at the root of every goroutine.
func Guard(where string, fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Where: where, Value: v, Stack: debug.Stack()}
		}
	}()
	return fn()
}
