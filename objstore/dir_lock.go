package objstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/slatedb/slatedb-go/internal/seam"
)

// lockName is the lock file of systems, and of network filesystems, that cannot lock a
// folder itself. It lies in the store's root; to List and to the Rust engine its name is
// one of a temporary file. It is never removed: a lock on a removed file excludes nobody.
const lockName = ".lock#0"

// lock takes the advisory lock of a folder and returns what gives it back. It binds the
// users of this package only; the Rust engine never updates in place.
//
// The folder itself is locked, not a file in it, so that a store whose root lies higher or
// lower takes the same lock and empty folders can be removed.
func (d *dirStore) lock(ctx context.Context, r *os.Root, folder string, exclusive bool) (func(), error) {
	if !haveFileLocks {
		return func() {}, nil
	}
	env := seam.Env{Clock: d.clock}
	for wait := 20 * time.Microsecond; ; wait = min(wait*2, 2*time.Millisecond) { // arbitrary; the lock is held for microseconds
		unlock, err := tryLock(r, folder, exclusive)
		if unlock != nil || err != nil {
			return unlock, err
		}
		if err := env.Sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// tryLock returns nil, nil when somebody else holds the lock.
func tryLock(r *os.Root, folder string, exclusive bool) (func(), error) {
	if canLockFolders {
		f, err := r.Open(folder)
		if err != nil {
			return nil, err
		}
		ok, err := lockFile(f, exclusive)
		if err == nil {
			if ok && sameFolder(f, r, folder) {
				return func() { _ = f.Close() }, nil // closing gives the lock back
			}
			_ = f.Close()
			return nil, nil
		}
		_ = f.Close()
		if !lockUnsupported(err) {
			return nil, err
		}
	}
	f, err := r.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	ok, err := lockFile(f, exclusive)
	if err != nil || !ok {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// sameFolder reports whether the locked folder still is the one of that name: it may have
// been removed and made again before the lock was taken.
func sameFolder(f *os.File, r *os.Root, folder string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := r.Stat(folder)
	return err == nil && os.SameFile(a, b)
}

// syncFolder makes the names in a folder durable, where the system can.
func syncFolder(r *os.Root, folder string) error {
	if !canSyncFolders {
		return nil
	}
	f, err := r.Open(folder)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrInvalid) {
		return nil // a filesystem without durable names has nothing to sync
	}
	return err
}
