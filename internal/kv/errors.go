package kv

import "errors"

// Errors that more than one package detects. The root package re-exports them, same value.
var (
	// ErrClosed: the handle is finished, open a new one.
	ErrClosed = errors.New("slatedb: closed")
	// ErrInvalid: the call or the configuration is wrong; fix it.
	ErrInvalid = errors.New("slatedb: invalid")
	// ErrCorrupt: stored data is wrong or gone.
	ErrCorrupt = errors.New("slatedb: corrupt")
	// ErrUnavailable: the object store does not answer; try again later.
	ErrUnavailable = errors.New("slatedb: unavailable")
	// ErrInternal: a bug of this library.
	ErrInternal = errors.New("slatedb: internal")
	// ErrFenced: a newer writer (or compactor) has taken over. It is also ErrClosed.
	ErrFenced error = &closedKind{"slatedb: fenced by a newer process"}
	// ErrOutcomeUnknown: it cannot be known whether a conditional write took effect, so the
	// handle stops. It is also ErrClosed.
	ErrOutcomeUnknown error = &closedKind{"slatedb: outcome of a conditional write is unknown"}
)

type closedKind struct{ msg string }

func (e *closedKind) Error() string   { return e.msg }
func (e *closedKind) Is(t error) bool { return t == ErrClosed }
