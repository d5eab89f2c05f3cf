//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package objstore

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

const (
	haveFileLocks  = true
	canLockFolders = true
	canSyncFolders = true

	// A pipe of an object's name must not block the reader that opens it.
	openRead = os.O_RDONLY | syscall.O_NONBLOCK

	forbiddenInNames = ""
)

func lockFile(f *os.File, exclusive bool) (bool, error) {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// lockUnsupported: network filesystems lock byte ranges of files opened for writing.
func lockUnsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EBADF) ||
		errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOLCK)
}

func linkUnsupported(error) bool { return false }

func inode(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}
