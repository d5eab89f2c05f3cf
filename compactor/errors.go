package compactor

import (
	"context"
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

func isNoList(err error) bool { return errors.Is(err, manifest.ErrNoCompactions) }
func isExists(err error) bool { return errors.Is(err, manifest.ErrExists) }

// cleanStop is nil when err is only the end of the owner's ctx.
func cleanStop(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return nil
	}
	return err
}

// unavailable marks a store error as one that may pass.
func unavailable(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, kv.ErrUnavailable), errors.Is(err, kv.ErrClosed), errors.Is(err, kv.ErrCorrupt),
		errors.Is(err, kv.ErrInvalid), errors.Is(err, kv.ErrInternal):
		return err
	}
	return fmt.Errorf("%w: %w", kv.ErrUnavailable, err)
}

// passing reports whether a role can try again after err, while its own ctx lives. An unknown
// outcome is one of those: every change is recognised when it turns out to be there. So is the
// end of a context, which was then that of one request.
func passing(err error) bool {
	switch {
	case errors.Is(err, kv.ErrOutcomeUnknown), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return true
	}
	return !objstore.IsPermanent(err) && errors.Is(unavailable(err), kv.ErrUnavailable)
}
