//go:build !shuffle

package seam

// Disturb does nothing in programs. See the one of build tag shuffle.
func Disturb() {}
