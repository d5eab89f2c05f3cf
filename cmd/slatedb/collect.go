package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go"
)

// gcKinds are the kinds of objects that a collection can be limited to, by the Rust tool's
// names.
var gcKinds = []string{"manifest", "wal", "wal-fence", "compacted", "compactions", "detach"}

var runGCCommand = &command{
	name: "run-garbage-collection", args: "LOCATION", nargs: 1, group: groupUpkeep,
	brief: "one pass of the garbage collector",
	help: `
Deletes what nobody needs any more: of one kind (--resource, which may be given again) or of all but
wal-fence, which must be named. Expired checkpoints are removed before. Prints what was deleted; --kept
also prints what stays, and why. What is younger than --min-age stays. On a store that cannot overwrite
conditionally, --disable-boundary-files is needed to delete manifests and compactions; then no process may
sleep for longer than --min-age.

example:
  slatedb run-garbage-collection --dry-run --kept ./orders
  slatedb run-garbage-collection --resource compacted --min-age 1h ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		var resources stringsFlag
		fs.Var(&resources, "resource", "only `KIND`: "+strings.Join(gcKinds, ", "))
		short(fs, "resource", "r")
		age := &durationFlag{}
		fs.Var(age, "min-age", "keep what is younger than `D`; default 5m")
		short(fs, "min-age", "m")
		noBoundary := fs.Bool("disable-boundary-files", false, "delete without raising the boundary files")
		dry := fs.Bool("dry-run", false, "delete nothing, only say what would be")
		kept := fs.Bool("kept", false, "also print what stays, and why")
		return func(ctx context.Context, io *streams, args []string) error {
			o := &slatedb.GCOptions{MinAge: minAge(age), DryRun: *dry, DisableBoundaryFiles: *noBoundary}
			only, err := gcOnly(resources)
			if err != nil {
				return err
			}
			if only != nil {
				limitGC(o, func(kind string) *slatedb.GCKindOptions {
					if only[kind] {
						return nil
					}
					return &slatedb.GCKindOptions{Disable: true}
				})
				o.DeleteWALFences = only["wal-fence"]
			}
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				r, err := a.RunGCOnce(ctx, o)
				if perr := printGC(io.out, &r, *asJSON, *kept, *dry); err == nil {
					err = perr
				}
				return err
			})
		}
	},
}

// minAge is the age for the collector, where 0 stands for the default.
func minAge(f *durationFlag) time.Duration {
	if f.set && f.d == 0 {
		return -1
	}
	return f.d
}

func gcOnly(resources []string) (map[string]bool, error) {
	if len(resources) == 0 {
		return nil, nil
	}
	only := map[string]bool{}
	for _, r := range resources {
		ok := false
		for _, k := range gcKinds {
			ok = ok || r == k
		}
		if !ok {
			return nil, usagef("--resource is %q, want %s", r, strings.Join(gcKinds, ", "))
		}
		only[r] = true
	}
	return only, nil
}

// limitGC sets the options of every kind.
func limitGC(o *slatedb.GCOptions, f func(kind string) *slatedb.GCKindOptions) {
	for kind, p := range map[string]**slatedb.GCKindOptions{
		"manifest": &o.Manifest, "wal": &o.WAL, "wal-fence": &o.WALFence, "compacted": &o.Compacted,
		"compactions": &o.Compactions, "detach": &o.Detach,
	} {
		*p = f(kind)
	}
}

// gcReport is what JSON shows of a pass.
type gcReport struct {
	DryRun  bool       `json:"dry_run"`
	Deleted []gcObject `json:"deleted"`
	Kept    []gcObject `json:"kept,omitempty"`
}

type gcObject struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Reason string `json:"reason"`
}

func printGC(out io.Writer, r *slatedb.GCReport, asJSON, kept, dry bool) error {
	list := func(os []slatedb.GCObject) []gcObject {
		l := []gcObject{}
		for _, o := range os {
			l = append(l, gcObject{o.Kind, o.Name, o.Size, o.Reason})
		}
		return l
	}
	j := gcReport{DryRun: dry, Deleted: list(r.Deleted)}
	if kept {
		j.Kept = list(r.Kept)
	}
	if asJSON {
		return printJSON(out, j)
	}
	bytes := int64(0)
	t := newTable(out)
	for _, o := range j.Deleted {
		bytes += o.Bytes
		t.row("-", o.Kind, o.Name, bytesText(o.Bytes), o.Reason)
	}
	for _, o := range j.Kept {
		t.row("=", o.Kind, o.Name, bytesText(o.Bytes), o.Reason)
	}
	if err := t.flush(); err != nil {
		return err
	}
	verb := "deleted"
	if dry {
		verb = "would delete"
	}
	_, err := fmt.Fprintf(out, "%s %s, %s; kept %s\n", verb, plural(len(j.Deleted), "object"), bytesText(bytes), plural(len(r.Kept), "object"))
	return err
}

var scheduleGCCommand = &command{
	name: "schedule-garbage-collection", args: "LOCATION", nargs: 1, group: groupUpkeep,
	brief: "collect garbage again and again",
	help: `
Collects garbage until it is interrupted: each kind that is named, at its own interval. At least one must be.
A schedule is min_age=D,period=D, where either may be left out (5m and 10m). With --config, the kinds
and schedules of garbage_collector_options in that file count, and a schedule that is named goes over its own.

example:
  slatedb schedule-garbage-collection --compacted min_age=1h,period=10min --wal period=1min ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		schedules := map[string]*scheduleFlag{}
		for _, k := range gcKinds {
			s := &scheduleFlag{}
			schedules[k] = s
			fs.Var(s, k, "`SCHEDULE` of "+k+", as in min_age=1h,period=10min")
		}
		noBoundary := fs.Bool("disable-boundary-files", false, "delete without raising the boundary files")
		file := settingsFlag(fs)
		return func(ctx context.Context, io *streams, args []string) error {
			if file.s != nil {
				o := file.collector()
				return runScheduled(ctx, args[0], scheduled(&o, schedules, *noBoundary))
			}
			o := &slatedb.GCOptions{DisableBoundaryFiles: *noBoundary, DeleteWALFences: schedules["wal-fence"].set}
			named := false
			limitGC(o, func(kind string) *slatedb.GCKindOptions {
				s := schedules[kind]
				named = named || s.set
				if !s.set {
					return &slatedb.GCKindOptions{Disable: true}
				}
				return &slatedb.GCKindOptions{MinAge: minAge(&s.age), Interval: s.period.d}
			})
			if !named {
				return usagef("want a schedule of at least one of %s", strings.Join(gcKinds, ", "))
			}
			return runScheduled(ctx, args[0], o)
		}
	},
}

func runScheduled(ctx context.Context, location string, o *slatedb.GCOptions) error {
	return withAdmin(location, func(a *slatedb.Admin) error { return a.RunGC(ctx, o) })
}

// scheduled lays the schedules of the command line over what a file says.
func scheduled(o *slatedb.GCOptions, schedules map[string]*scheduleFlag, noBoundary bool) *slatedb.GCOptions {
	was := map[string]*slatedb.GCKindOptions{
		"manifest": o.Manifest, "wal": o.WAL, "wal-fence": o.WALFence, "compacted": o.Compacted,
		"compactions": o.Compactions, "detach": o.Detach,
	}
	limitGC(o, func(kind string) *slatedb.GCKindOptions {
		if s := schedules[kind]; s.set {
			return &slatedb.GCKindOptions{MinAge: minAge(&s.age), Interval: s.period.d}
		}
		return was[kind]
	})
	o.DeleteWALFences = o.DeleteWALFences || schedules["wal-fence"].set
	o.DisableBoundaryFiles = o.DisableBoundaryFiles || noBoundary
	return o
}

// scheduleFlag is a flag.Value for min_age=D,period=D.
type scheduleFlag struct {
	age, period durationFlag
	set         bool
}

func (f *scheduleFlag) String() string { return "" }

func (f *scheduleFlag) Set(s string) error {
	for _, part := range strings.Split(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		var d *durationFlag
		switch name {
		case "min_age":
			d = &f.age
		case "period":
			d = &f.period
		default:
			return usagef("schedule %q, want such as min_age=1h,period=10min", s)
		}
		if err := d.Set(value); err != nil {
			return err
		}
	}
	if f.period.set && f.period.d == 0 {
		return usagef("schedule %q has no pause", s)
	}
	f.set = true
	return nil
}
