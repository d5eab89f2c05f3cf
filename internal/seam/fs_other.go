//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows)

package seam

import (
	"errors"
	"os"
)

// No file locks in the standard library here, so nothing that needs one is offered.
func lockFile(*os.File) error { return errors.ErrUnsupported }
