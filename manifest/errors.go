package manifest

import (
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
)

// Errors of this package. Damaged objects are *sst.CorruptionError, lost epochs kv.ErrFenced.
var (
	// ErrNoDatabase: there is no manifest at this path. It is also kv.ErrCorrupt, since
	// whoever holds a handle knows that there was one.
	ErrNoDatabase error = &kindError{"manifest: no database at this path", kv.ErrCorrupt}
	// ErrNoCompactions: the database has no compactor state yet, which is ordinary.
	ErrNoCompactions = errors.New("manifest: no compactions object")
	// ErrExists: Create found a first version.
	ErrExists = errors.New("manifest: already exists")
	// ErrUnchanged is returned by a mutate function that has nothing to change. Update then
	// writes nothing and returns the version that mutate saw.
	ErrUnchanged = errors.New("manifest: unchanged")
)

type kindError struct {
	msg  string
	kind error
}

func (e *kindError) Error() string        { return e.msg }
func (e *kindError) Is(target error) bool { return target == e.kind }

// storeError adds what was done to a store's error and translates the one kind that must
// stop the handle.
func storeError(op, key string, err error) error {
	if errors.Is(err, objstore.ErrOutcomeUnknown) {
		return fmt.Errorf("%s %s: %w: %w", op, key, kv.ErrOutcomeUnknown, err)
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}
