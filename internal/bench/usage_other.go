//go:build !unix

package main

// usage is not measured here.
func usage() (cpu float64, rssMB int64) { return 0, 0 }
