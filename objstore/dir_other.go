//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows)

package objstore

import (
	"io/fs"
	"os"
)

// No file locks in the standard library here, so update-if-match is not offered
// (Properties.IfVersion).
const (
	haveFileLocks  = false
	canLockFolders = false
	canSyncFolders = false

	openRead = os.O_RDONLY

	forbiddenInNames = ""
)

func lockFile(*os.File, bool) (bool, error) { return true, nil }

func lockUnsupported(error) bool { return false }

func linkUnsupported(error) bool { return false }

func inode(fs.FileInfo) uint64 { return 0 }
