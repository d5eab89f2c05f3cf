package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// args are the key=value arguments. A wrong one ends the program.
type args map[string]string

var knownArgs = strings.Fields(`n key value threads reads seeks durable_n durable_threads quiesce_s fill_s store get_ms
	put_ms list_ms cache_mb compression flush_ms l0_mb compactor compactor_poll_ms subcompactions max_unflushed_mb read_ahead cpuprofile memprofile`)

func parseArgs(in []string) args {
	a := args{}
	for _, s := range in {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			fatal(fmt.Errorf("argument %q is not key=value", s))
		}
		known := false
		for _, n := range knownArgs {
			known = known || n == k
		}
		if !known {
			fatal(fmt.Errorf("unknown argument %q; known: %s", k, strings.Join(knownArgs, " ")))
		}
		a[k] = v
	}
	return a
}

func (a args) s(k, deflt string) string {
	if v, ok := a[k]; ok {
		return v
	}
	return deflt
}

func (a args) n(k string, deflt int) int {
	s, ok := a[k]
	if !ok {
		return deflt
	}
	v, err := strconv.Atoi(s)
	if err != nil {
		fatal(fmt.Errorf("argument %s: %w", k, err))
	}
	return v
}

// ms reads milliseconds, with a fraction if wanted.
func (a args) ms(k string, deflt time.Duration) time.Duration {
	s, ok := a[k]
	if !ok {
		return deflt
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		fatal(fmt.Errorf("argument %s: %w", k, err))
	}
	return time.Duration(v * float64(time.Millisecond))
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		fatal(err)
	}
}
