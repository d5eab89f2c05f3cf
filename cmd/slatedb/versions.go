package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/manifest"
)

var readManifestCommand = &command{
	name: "read-manifest", args: "LOCATION", nargs: 1, group: groupLook, rustJSON: true,
	brief: "one version of the manifest",
	help: `
Prints a version of the manifest, the newest unless --id names one: everything that the database is at
that moment.

example:
  slatedb read-manifest ./orders
  slatedb read-manifest --json --id 17 ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		id := fs.Uint64("id", 0, "version `N`; 0 is the newest")
		short(fs, "id", "i")
		return func(ctx context.Context, io *streams, args []string) error {
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				m, err := a.ReadManifest(ctx, *id)
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(io.out, m)
				}
				return printManifest(io.out, m)
			})
		}
	},
}

var listManifestsCommand = versionsCommand("list-manifests", "the stored versions of the manifest",
	"Lists the versions of the manifest with ids from --start on and below --end. Ids that were collected are missing.",
	(*slatedb.Admin).ListManifests)

var listCompactionsCommand = versionsCommand("list-compactions", "the stored versions of the compactor's job list",
	"Lists the versions of the compactor's job list with ids from --start on and below --end.",
	(*slatedb.Admin).ListCompactions)

func versionsCommand(name, brief, help string, list func(*slatedb.Admin, context.Context, uint64, uint64) ([]slatedb.ManifestInfo, error)) *command {
	return &command{
		name: name, args: "LOCATION", nargs: 1, group: groupLook, rustJSON: true, brief: brief,
		help: help + "\n\nexample:\n  slatedb " + name + " --start 10 ./orders",
		flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
			asJSON := jsonFlag(fs)
			start := fs.Uint64("start", 0, "from version `N` on")
			end := fs.Uint64("end", 0, "below version `N`; 0 is no end")
			short(fs, "start", "s")
			short(fs, "end", "e")
			return func(ctx context.Context, io *streams, args []string) error {
				if *end != 0 && *start > *end {
					return usagef("--start %d is above --end %d", *start, *end)
				}
				return withAdmin(args[0], func(a *slatedb.Admin) error {
					vs, err := list(a, ctx, *start, *end)
					if err != nil {
						return err
					}
					return printVersions(io.out, vs, *asJSON)
				})
			}
		},
	}
}

func printVersions(out io.Writer, vs []slatedb.ManifestInfo, asJSON bool) error {
	type version struct {
		ID       uint64 `json:"id"`
		Bytes    int64  `json:"size_bytes"`
		Modified string `json:"last_modified"`
	}
	list := []version{}
	for _, v := range vs {
		list = append(list, version{v.ID, v.Size, timeText(v.Modified)})
	}
	if asJSON {
		return printJSON(out, list)
	}
	t := newTable(out, "ID", "BYTES", "STORED")
	for _, v := range list {
		t.row(v.ID, v.Bytes, v.Modified)
	}
	return t.flush()
}

var readCompactionsCommand = &command{
	name: "read-compactions", args: "LOCATION", nargs: 1, group: groupLook, rustJSON: true,
	brief: "one version of the compactor's job list",
	help: `
Prints a version of the compactor's job list, the newest unless --id names one.

example:
  slatedb read-compactions ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		id := fs.Uint64("id", 0, "version `N`; 0 is the newest")
		short(fs, "id", "i")
		return func(ctx context.Context, io *streams, args []string) error {
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				c, err := a.ReadCompactions(ctx, *id)
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(io.out, c)
				}
				fmt.Fprintf(io.out, "compactions %d, compactor epoch %d\n", c.ID, c.CompactorEpoch)
				return printJobs(io.out, c.Jobs)
			})
		}
	},
}

var readCompactionCommand = &command{
	name: "read-compaction", args: "LOCATION [JOB]", nargs: 1, more: 1, group: groupLook, rustJSON: true,
	brief: "one compaction job",
	help: `
Prints the job with the given ULID, from the newest version of the job list or from the one that
--compactions-id names.

example:
  slatedb read-compaction ./orders 01J9Z5Y6C3W6M1V8R7Q0K2N4PB`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		job := fs.String("id", "", "the job's `ULID`, another place for JOB")
		short(fs, "id", "i")
		version := fs.Uint64("compactions-id", 0, "version `N` of the job list; 0 is the newest")
		return func(ctx context.Context, io *streams, args []string) error {
			if len(args) > 1 && *job == "" {
				*job = args[1]
			} else if len(args) > 1 || *job == "" {
				return usagef("want a job, as JOB or as --id")
			}
			id, err := parseTableID(*job)
			if err != nil {
				return usagef("job %q is no ULID: %v", *job, err)
			}
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				c, err := a.ReadCompactions(ctx, *version)
				if err != nil {
					return err
				}
				j := c.Job(id)
				if j == nil {
					return fmt.Errorf("no job %s in version %d of the job list", id, c.ID)
				}
				one := &manifest.Compactions{ID: c.ID, FormatVersion: c.FormatVersion, CompactorEpoch: c.CompactorEpoch, Jobs: []manifest.Compaction{*j}}
				if *asJSON {
					return printJob(io.out, one)
				}
				return printJobs(io.out, one.Jobs)
			})
		}
	},
}

// printJobs prints jobs for people.
func printJobs(out io.Writer, jobs []manifest.Compaction) error {
	t := newTable(out, "JOB", "STATUS", "SEGMENT", "L0", "RUNS", "INTO", "OUTPUTS", "WORKER")
	for i := range jobs {
		j := &jobs[i]
		segment, into, worker := "-", "run "+fmt.Sprint(j.Spec.Destination), "-"
		if len(j.Spec.Segment) > 0 {
			segment = showKey(j.Spec.Segment)
		}
		if j.Spec.Drain {
			into = "(drained)"
		}
		if j.Worker != nil {
			worker = fmt.Sprintf("%s, seen %s", j.Worker.ID, millis(int64(j.Worker.HeartbeatMillis)))
		}
		outputs := len(j.Outputs)
		if j.Context != nil {
			done := 0
			for _, r := range j.Context.Ranges {
				outputs += len(r.Outputs)
				if r.Done {
					done++
				}
			}
			worker += fmt.Sprintf(", %d of %s done", done, plural(len(j.Context.Ranges), "range"))
		}
		t.row(j.ID, j.Status, segment, len(j.Spec.L0Views), fmt.Sprint(j.Spec.Runs), into, outputs, worker)
	}
	return t.flush()
}

var seqToTSCommand = &command{
	name: "seq-to-ts", args: "LOCATION SEQ", nargs: 2, group: groupLook,
	brief: "when a sequence number was current",
	help: `
Prints the time at which sequence number SEQ was current, in seconds since 1970. About one point a minute
is recorded, when memtables are flushed; --round says which neighbour to take.

example:
  slatedb seq-to-ts ./orders 4711`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		round := roundFlag(fs)
		return func(ctx context.Context, io *streams, args []string) error {
			seq, err := number("SEQ", args[1])
			if err != nil {
				return err
			}
			r, err := round()
			if err != nil {
				return err
			}
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				at, err := a.TimeForSeq(ctx, seq, r)
				if err != nil {
					return err
				}
				return printSeqTime(io.out, seq, at.Unix(), timeText(at), at.Unix(), *asJSON)
			})
		}
	},
}

var tsToSeqCommand = &command{
	name: "ts-to-seq", args: "LOCATION SECONDS", nargs: 2, group: groupLook,
	brief: "which sequence number was current at a time",
	help: `
Prints the sequence number that was current at a time, given in seconds since 1970 or as in
2026-01-31T12:00:00Z. --round says which neighbour to take.

example:
  slatedb ts-to-seq --round up ./orders 1767225600`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		round := roundFlag(fs)
		return func(ctx context.Context, io *streams, args []string) error {
			at, err := pointInTime(args[1])
			if err != nil {
				return err
			}
			r, err := round()
			if err != nil {
				return err
			}
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				seq, err := a.SeqForTime(ctx, at, r)
				if err != nil {
					return err
				}
				return printSeqTime(io.out, seq, at.Unix(), timeText(at), int64(seq), *asJSON)
			})
		}
	},
}

func printSeqTime(out io.Writer, seq uint64, unix int64, text string, answer int64, asJSON bool) error {
	if asJSON {
		return printJSON(out, struct {
			Seq  uint64 `json:"seq"`
			Unix int64  `json:"unix_secs"`
			Time string `json:"time"`
		}{seq, unix, text})
	}
	_, err := fmt.Fprintln(out, answer)
	return err
}

func roundFlag(fs *flag.FlagSet) func() (slatedb.Rounding, error) {
	s := fs.String("round", "down", "`down` for the last point before, up for the first behind")
	return func() (slatedb.Rounding, error) {
		switch *s {
		case "down":
			return slatedb.RoundDown, nil
		case "up":
			return slatedb.RoundUp, nil
		}
		return 0, usagef("--round is %q, want up or down", *s)
	}
}
