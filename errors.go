package slatedb

import (
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
	"github.com/slatedb/slatedb-go/wal"
)

// The kinds of errors, to be told apart with errors.Is. Messages are not stable.
var (
	// ErrNotFound: no such key. An object that is missing in the store is ErrCorrupt, never
	// this.
	ErrNotFound = errors.New("slatedb: not found")
	// ErrConflict: another writer of this handle was first; run the transaction again.
	ErrConflict = errors.New("slatedb: conflict")
	// ErrConditionFailed: the condition of a conditional write did not hold; nothing was
	// written.
	ErrConditionFailed = errors.New("slatedb: condition failed")
	// ErrFenced: a newer writer has taken over. It is also ErrClosed.
	ErrFenced = kv.ErrFenced
	// ErrClosed: the handle is finished.
	ErrClosed = kv.ErrClosed
	// ErrInvalid: the call or the options are wrong.
	ErrInvalid = kv.ErrInvalid
	// ErrCorrupt: stored data is wrong or gone.
	ErrCorrupt = kv.ErrCorrupt
	// ErrUnavailable: the object store did not answer in time; it may work later.
	ErrUnavailable = kv.ErrUnavailable
	// ErrInternal: a bug of this library.
	ErrInternal = kv.ErrInternal
	// ErrOutcomeUnknown: it cannot be known whether a conditional write of the handle took
	// effect, so the handle stopped. It is also ErrClosed.
	ErrOutcomeUnknown = kv.ErrOutcomeUnknown
	// ErrNoDatabase: a reader or admin was opened where there is no database. It is also
	// ErrCorrupt.
	ErrNoDatabase = manifest.ErrNoDatabase
	// ErrTruncated: an object of the log that a WALReader was to read has been collected. It is
	// also ErrCorrupt; a *wal.TruncatedError names the object.
	ErrTruncated = wal.ErrTruncated
	// ErrLeaseLost: the checkpoint that protected this handle's objects is gone. It is also
	// ErrUnavailable.
	ErrLeaseLost error = &leaseLost{}
)

type leaseLost struct{}

func (*leaseLost) Error() string        { return "slatedb: lease lost" }
func (*leaseLost) Is(target error) bool { return target == ErrUnavailable }

// A CorruptionError names the damaged object and where in it.
type CorruptionError = sst.CorruptionError

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
