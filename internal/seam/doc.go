// Package seam holds every door through which the engine touches the world outside its
// memory: time, randomness, goroutine start and named protocol points (the object store is
// objstore.Store, local files are seam.FS). Nothing else in the engine calls time.Now,
// time.Sleep, math/rand, os or the go statement; a test (TestSeams in internal/lint) keeps
// it so. That is what makes the engine run under testing/synctest and under a simulator.
package seam
