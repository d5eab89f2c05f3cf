package objstore

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

const (
	haveFileLocks  = true
	canLockFolders = false
	canSyncFolders = false // NTFS journals names; there is no call to wait for them

	openRead = os.O_RDONLY

	forbiddenInNames = `\:*?"<>|`
)

func lockFile(f *os.File, exclusive bool) (bool, error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return false, nil
	}
	return false, &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
}

func lockUnsupported(error) bool { return false }

// FAT answers a link with "incorrect function".
func linkUnsupported(err error) bool { return errors.Is(err, windows.ERROR_INVALID_FUNCTION) }

// inode is 0 in versions on Windows, in the Rust engine too. Stamps alone tell versions apart.
func inode(fs.FileInfo) uint64 { return 0 }
