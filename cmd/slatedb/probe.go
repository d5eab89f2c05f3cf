package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/probe"
)

var probeCommand = &command{
	name: "probe", args: "LOCATION [LOCATION ...]", nargs: 1, more: 63, group: groupLook,
	brief: "whether stores do what a database needs",
	help: `
Tries each store below the location's path: conditional puts in both forms, whole bodies and ranges, reads
and listings right after writes, the order of listings, metadata, removal. It prints a matrix of capability
by store, and below it what went wrong. The objects it writes are removed again; on an honest store it sends
21 requests. The exit code is 1 when a store cannot carry a database or cannot be reached.

example:
  slatedb probe s3://bucket/orders gs://other/orders
  slatedb probe --json ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := fs.Bool("json", false, "print a JSON array with an object for each location")
		return func(ctx context.Context, io *streams, args []string) error {
			var all []probed
			failed := false
			for _, location := range args {
				p := probeLocation(ctx, location)
				failed = failed || !p.Usable
				all = append(all, p)
			}
			var err error
			if *asJSON {
				err = printJSON(io.out, all)
			} else {
				err = printMatrix(io.out, all)
			}
			if err == nil && failed {
				return errReported
			}
			return err
		}
	},
}

// probed is the outcome for one location; the JSON names are its interface.
type probed struct {
	Location string `json:"location"`
	Usable   bool   `json:"usable"` // can carry a database
	Error    string `json:"error,omitempty"`
	*probe.Report
}

func probeLocation(ctx context.Context, location string) probed {
	p := probed{Location: shown(location)}
	s, root, err := objstore.Resolve(ctx, location)
	if err == nil {
		p.Report, err = probe.Run(ctx, s, &probe.Options{Path: root, MaxRetries: retries})
	}
	if err == nil {
		err = p.Report.Err()
	}
	if err != nil {
		p.Error = err.Error()
	}
	p.Usable = err == nil
	return p
}

func printMatrix(out io.Writer, all []probed) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "capability")
	for _, p := range all {
		fmt.Fprintf(w, "\t%s", p.Location)
	}
	fmt.Fprintln(w)
	for _, c := range probe.Capabilities() {
		fmt.Fprint(w, c)
		for _, p := range all {
			state := probe.Untested
			if p.Report != nil {
				state = p.Result(c).State
			}
			fmt.Fprintf(w, "\t%s", state)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "usable")
	for _, p := range all {
		fmt.Fprintf(w, "\t%s", map[bool]string{true: "yes", false: "no"}[p.Usable])
	}
	fmt.Fprint(w, "\nrequests")
	for _, p := range all {
		n := 0
		if p.Report != nil {
			n = p.Requests
		}
		fmt.Fprintf(w, "\t%d", n)
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range all {
		if p.Error != "" {
			if _, err := fmt.Fprintf(out, "%s: %s\n", p.Location, p.Error); err != nil {
				return err
			}
		}
	}
	return nil
}
