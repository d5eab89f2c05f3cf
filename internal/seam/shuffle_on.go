//go:build shuffle

package seam

import (
	"math/rand/v2"
	"runtime"
)

// Disturb lets other goroutines run for a while, mostly none. It stands where goroutines start,
// at the named points and at the requests of the stores for tests, so that a test under this
// tag meets orders of events that a quiet machine never shows. It takes no time of a
// testing/synctest bubble.
func Disturb() {
	switch n := rand.Uint32(); {
	case n%4 != 0:
	case n%64 == 0:
		for range n >> 8 % 2000 {
			runtime.Gosched()
		}
	default:
		for range n >> 8 % 50 {
			runtime.Gosched()
		}
	}
}
