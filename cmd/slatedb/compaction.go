package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"

	"github.com/slatedb/slatedb-go"
)

var compactCommand = &command{
	name: "compact", args: "LOCATION", nargs: 1, group: groupUpkeep,
	brief: "merge everything into one sorted run a tree",
	help: `
Opens the database as its writer, flushes what is in the log, and merges all tables, L0 included, into one
sorted run a tree. This takes the database from a writer and a compactor that have it (fences
them). To have it done by the compactor that runs, use submit-compaction.

example:
  slatedb compact ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		t := tableFlags(fs)
		return func(ctx context.Context, io *streams, args []string) error {
			o, err := t.writerOptions(ctx, args[0])
			if err != nil {
				return err
			}
			o.DisableCompactor = false
			db, err := slatedb.Open(ctx, args[0], o)
			if err != nil {
				return fmt.Errorf("open %s: %w", shown(args[0]), err)
			}
			return errors.Join(db.Compact(ctx), db.Close(context.WithoutCancel(ctx)))
		}
	},
}

var submitCompactionCommand = &command{
	name: "submit-compaction", args: "LOCATION", nargs: 1, group: groupUpkeep, rustJSON: true,
	brief: "ask the running compactor for a compaction",
	help: `
Puts a job into the compactor's list; whichever compactor runs takes it up. The request is JSON:
  "Full"                                                  all sorted runs of each tree
  {"FullSegment":{"segment":[117,58]}}                    of one segment; its prefix also as text: "u:"
  {"Spec":{"sources":[{"SortedRun":3},{"SstView":"01J9Z5Y6C3W6M1V8R7Q0K2N4PB"}],"destination":3}}
  {"DrainSegment":{"segment":"u:"}}                       drop a segment whole
With --wait it returns when the job has completed or failed.

example:
  slatedb submit-compaction --request '"Full"' --wait ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		scheduler := fs.String("scheduler", "size-tiered", "`NAME` of the policy that the job fits: size-tiered")
		request := fs.String("request", `"Full"`, "what to compact, as `JSON`")
		wait := fs.Bool("wait", false, "wait until it has completed or failed")
		return func(ctx context.Context, io *streams, args []string) error {
			if *scheduler != "size-tiered" {
				return usagef("--scheduler is %q, want size-tiered", *scheduler)
			}
			q, err := parseRequest(*request)
			if err != nil {
				return err
			}
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				c, err := a.SubmitCompaction(ctx, q)
				if err == nil && *wait && c.ID != "" {
					c, err = a.AwaitCompaction(ctx, c.ID)
				}
				if err != nil {
					return err
				}
				if err := printCompaction(io.out, c, *asJSON); err != nil {
					return err
				}
				return c.Err
			})
		}
	},
}

func printCompaction(out io.Writer, c slatedb.Compaction, asJSON bool) error {
	if asJSON {
		return printJSON(out, struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		}{c.ID, c.State})
	}
	if c.ID == "" {
		_, err := fmt.Fprintln(out, "nothing to do")
		return err
	}
	_, err := fmt.Fprintf(out, "%s  %s\n", c.ID, c.State)
	return err
}

// prefixJSON is a segment's prefix: an array of bytes, or text.
type prefixJSON []byte

func (p *prefixJSON) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		key, err := keyArg("segment", text)
		*p = key
		return err
	}
	var bytes []uint8arg
	if err := json.Unmarshal(b, &bytes); err != nil {
		return err
	}
	*p = (*p)[:0]
	for _, n := range bytes {
		*p = append(*p, byte(n))
	}
	return nil
}

// uint8arg keeps encoding/json from taking an array of bytes for base64.
type uint8arg uint8

// sourceJSON is a source of a job: {"SortedRun":3}, {"SstView":"ULID"}, or just 3 or "ULID".
type sourceJSON string

func (s *sourceJSON) UnmarshalJSON(b []byte) error {
	var run uint32
	var view string
	var named struct {
		SortedRun *uint32
		SstView   string
		Sst       string
	}
	switch {
	case json.Unmarshal(b, &run) == nil:
		*s = sourceJSON(strconv.FormatUint(uint64(run), 10))
	case json.Unmarshal(b, &view) == nil:
		*s = sourceJSON(view)
	case json.Unmarshal(b, &named) != nil:
		return usagef("source %s is neither a run nor a table", b)
	case named.SortedRun != nil:
		*s = sourceJSON(strconv.FormatUint(uint64(*named.SortedRun), 10))
	default:
		*s = sourceJSON(named.SstView + named.Sst)
	}
	return nil
}

func parseRequest(text string) (q slatedb.CompactionRequest, err error) {
	bad := func(why any) error {
		return usagef(`--request %s: %v; want "Full", {"FullSegment":…}, {"Spec":…} or {"DrainSegment":…}`, text, why)
	}
	var name string
	if text == "Full" || json.Unmarshal([]byte(text), &name) == nil {
		if text != "Full" && name != "Full" {
			return q, bad("no such request")
		}
		return q, nil
	}
	type segment struct{ Segment prefixJSON }
	var r struct {
		FullSegment  *segment
		DrainSegment *segment
		Spec         *struct {
			Segment     prefixJSON
			Sources     []sourceJSON
			Destination uint32
		}
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return q, bad(err)
	}
	switch {
	case r.FullSegment != nil:
		q.Kind, q.Segment = slatedb.CompactSegment, r.FullSegment.Segment
	case r.DrainSegment != nil:
		q.Kind, q.Segment = slatedb.DrainSegment, r.DrainSegment.Segment
	case r.Spec != nil:
		q.Kind, q.Segment, q.Destination = slatedb.CompactSpec, r.Spec.Segment, r.Spec.Destination
		for _, s := range r.Spec.Sources {
			q.Sources = append(q.Sources, string(s))
		}
	default:
		return q, bad("no such request")
	}
	return q, nil
}

var runCompactorCommand = &command{
	name: "run-compactor", args: "LOCATION", nargs: 1, group: groupUpkeep,
	brief: "compact until interrupted",
	help: `
Runs a stand-alone compactor until it is interrupted: it decides what is merged, and merges it, unless
--no-embedded-worker leaves that to processes of run-worker. It takes the place of another compactor of the
database, that inside a writer included; open the writer with its compactor off.

example:
  slatedb run-compactor ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		t := tableFlags(fs)
		noWorker := fs.Bool("no-embedded-worker", false, "only decide; workers elsewhere do the merging")
		moves := fs.Bool("trivial-move", false, "let tables that do not overlap become a run as they are")
		return func(ctx context.Context, io *streams, args []string) error {
			o := t.file.compactor()
			o.DisableWorker = o.DisableWorker || *noWorker
			o.TrivialMove = o.TrivialMove || *moves
			return t.withAdmin(ctx, args[0], func(a *slatedb.Admin) error { return a.RunCompactor(ctx, &o) })
		}
	},
}

var runWorkerCommand = &command{
	name: "run-worker", args: "LOCATION", nargs: 1, group: groupUpkeep,
	brief: "merge for a compactor elsewhere, until interrupted",
	help: `
Runs a compaction worker until it is interrupted: it claims the jobs that a compactor has put into its list
and does them. Any number may run, on any machine.

example:
  slatedb run-worker --jobs 2 ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		t := tableFlags(fs)
		jobs := fs.Int("jobs", 0, "`N` jobs at once; default 4")
		return func(ctx context.Context, io *streams, args []string) error {
			o := slatedb.WorkerOptions{}
			if w := t.file.compactor().Worker; w != nil {
				o = *w
			}
			if *jobs != 0 {
				o.MaxConcurrent = *jobs
			}
			return t.withAdmin(ctx, args[0], func(a *slatedb.Admin) error { return a.RunCompactionWorker(ctx, &o) })
		}
	},
}

// withAdmin is withAdmin for what writes tables.
func (o *tableOptions) withAdmin(ctx context.Context, location string, f func(a *slatedb.Admin) error) error {
	ao, err := o.options(ctx, location)
	if err != nil {
		return err
	}
	a, err := openAdmin(location, ao)
	if err != nil {
		return err
	}
	return errors.Join(f(a), a.Close())
}
