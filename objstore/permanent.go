package objstore

import (
	"context"
	"errors"
)

// Permanent marks err as one that the same request will meet again however often it is
// sent (access denied, no such bucket, a name too long), so that nobody retries it. The
// result unwraps to err. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ err error }

func (p *permanent) Error() string { return p.err.Error() }
func (p *permanent) Unwrap() error { return p.err }

// NoEffect marks err as a failure of a write that certainly changed nothing: it was met
// before the request left, or the server said that it refused. A conditional Put that ends
// so need not be settled. The result unwraps to err. NoEffect(nil) is nil.
func NoEffect(err error) error {
	if err == nil {
		return nil
	}
	return &noEffect{err}
}

type noEffect struct{ err error }

func (n *noEffect) Error() string { return n.err.Error() }
func (n *noEffect) Unwrap() error { return n.err }

// IsNoEffect reports whether err says that nothing was written.
func IsNoEffect(err error) bool {
	var n *noEffect
	return errors.As(err, &n)
}

// IsPermanent reports whether sending the request again cannot help: an answer of the
// store rather than a failure to get one, a mark by Permanent, or the end of a context.
func IsPermanent(err error) bool {
	for _, answer := range []error{
		ErrNotFound, ErrPrecondition, ErrNotSupported, ErrRange, ErrInvalidKey, ErrOutcomeUnknown,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	var p *permanent
	return errors.As(err, &p)
}
