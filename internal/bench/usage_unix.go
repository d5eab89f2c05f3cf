//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// usage returns the CPU seconds of the process and its peak memory.
func usage() (cpu float64, rssMB int64) {
	var r syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	cpu = float64(r.Utime.Sec+r.Stime.Sec) + float64(r.Utime.Usec+r.Stime.Usec)/1e6
	if rssMB = int64(r.Maxrss) / 1024; runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		rssMB /= 1024 // bytes there, not kilobytes
	}
	return cpu, rssMB
}
