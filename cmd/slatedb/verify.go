package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

var verifyCommand = &command{
	name: "verify", args: "LOCATION", nargs: 1, group: groupLook,
	brief: "check everything that is stored",
	help: `
Reads every object that the newest manifest, a checkpoint or an unfinished compaction needs, and every
object of the write-ahead log, and checks
  - checksums and encoding of every block, index, filter, statistics and metadata section
  - keys: their order, their table's and view's range, their segment; filters deny none of them
  - sequence numbers: order within a key, in the log, between L0 tables; none above what the manifest says
  - tables against the manifest's copy of their metadata and against their own statistics
  - manifests: content, what may never decrease, views of a sorted run apart from each other
  - references: tables, pinned manifests, log objects from each replay point on without a gap, the checkpoints
    that a clone holds in its parents
Damage is printed with object and offset, and the exit code is then 1. Tables that no manifest names
are listed as orphans; they are no damage. Nothing is written, so it may run beside a writer.

A database with a block transformer (encryption) needs --opaque: then only what stands outside the
transformed blocks is checked.

example:
  slatedb verify file:///data/orders
  slatedb verify --json s3://bucket/orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		v := &verifier{}
		fs.IntVar(&v.jobs, "jobs", 8, "read `N` objects at once")
		fs.BoolVar(&v.opaque, "opaque", false, "blocks are transformed: check what can be checked without the transformer")
		quiet := fs.Bool("quiet", false, "show no progress")
		return func(ctx context.Context, io *streams, args []string) error {
			if v.jobs < 1 {
				return usagef("--jobs is %d, want 1 or more", v.jobs)
			}
			store, root, err := openStore(ctx, args[0])
			if err != nil {
				return err
			}
			v.store, v.root, v.report.Location = store, root, shown(args[0])
			if !*quiet {
				v.bar = newProgress(io.err, "verified", 0, 0)
				v.bar.unit = "objects"
			}
			if err := v.run(ctx); err != nil {
				return err
			}
			if *asJSON {
				err = printJSON(io.out, &v.report)
			} else {
				err = v.report.print(io.out)
			}
			if err == nil && len(v.report.Damage) > 0 {
				err = errReported
			}
			return err
		}
	},
}

// A finding is one thing that is wrong.
type finding struct {
	Object  string `json:"object"`
	Offset  int64  `json:"offset"` // -1: the object as a whole, or it is missing
	Problem string `json:"problem"`
}

// An orphan is an object that nothing needs.
type orphan struct {
	Object string `json:"object"`
	Bytes  int64  `json:"bytes"`
	Reason string `json:"reason"`
}

// verifyReport is what the command prints; the JSON names are its interface.
type verifyReport struct {
	Location string `json:"location"`
	Intact   bool   `json:"intact"`
	Manifest uint64 `json:"manifest_id"`
	Checked  struct {
		Manifests   int   `json:"manifests"`
		Compactions int   `json:"compactions"`
		Tables      int   `json:"tables"`
		WAL         int   `json:"wal"`
		Blocks      int   `json:"blocks"`
		Rows        int   `json:"rows"`
		Filters     int   `json:"filters"`
		Bytes       int64 `json:"bytes"`
	} `json:"checked"`
	// FiltersUnknown were built by policies that this program does not know.
	FiltersUnknown int       `json:"filters_unknown"`
	Damage         []finding `json:"damage"`
	// Warnings are oddities that lose nothing.
	Warnings []finding `json:"warnings"`
	Orphans  []orphan  `json:"orphans"`
	// UnneededWAL counts log objects whose rows are in tables and which no checkpoint pins.
	UnneededWAL int `json:"unneeded_wal"`
}

// A verifier is one run of the command.
type verifier struct {
	store  objstore.Store
	root   string
	jobs   int
	opaque bool
	env    *seam.Env

	mu     sync.Mutex // guards what follows
	report verifyReport
	known  map[finding]bool
	bar    *progress
}

func (v *verifier) run(ctx context.Context) error {
	v.env = seam.New(seam.Env{})
	v.known = map[finding]bool{}
	v.report.Damage, v.report.Warnings, v.report.Orphans = []finding{}, []finding{}, []orphan{}
	p, err := v.plan(ctx)
	if err != nil {
		return err
	}
	if p.latest != nil {
		if err := v.checkTables(ctx, p); err != nil {
			return err
		}
		v.checkTrees(p)
	}
	if err := v.checkLog(ctx, p); err != nil {
		return err
	}
	if p.latest != nil {
		v.findOrphans(p)
	}
	if v.bar != nil {
		v.bar.done()
	}
	for _, f := range [][]finding{v.report.Damage, v.report.Warnings} {
		slices.SortFunc(f, func(a, b finding) int {
			if c := strings.Compare(a.Object, b.Object); c != 0 {
				return c
			}
			if a.Offset != b.Offset {
				return int(min(max(a.Offset-b.Offset, -1), 1))
			}
			return strings.Compare(a.Problem, b.Problem)
		})
	}
	v.report.Intact = len(v.report.Damage) == 0
	return nil
}

// damage notes something wrong, once.
func (v *verifier) damage(object string, offset int64, format string, args ...any) {
	v.note(&v.report.Damage, finding{object, offset, fmt.Sprintf(format, args...)})
}

func (v *verifier) warn(object string, format string, args ...any) {
	v.note(&v.report.Warnings, finding{object, -1, fmt.Sprintf(format, args...)})
}

func (v *verifier) note(list *[]finding, f finding) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.known[f] {
		v.known[f] = true
		*list = append(*list, f)
	}
}

// damaged notes an error of a decoder, which may know the offset.
func (v *verifier) damaged(object string, err error) {
	offset := int64(-1)
	var ce *sst.CorruptionError
	if errors.As(err, &ce) {
		if ce.Object == object {
			offset, err = ce.Offset, ce.Err
		}
	}
	v.damage(object, offset, "%s", strings.TrimPrefix(err.Error(), "slatedb: corrupt: "))
}

// count adds to the figures of the report.
func (v *verifier) count(f func(r *verifyReport)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(&v.report)
}

// expect tells the progress bar how much there is to do.
func (v *verifier) expect(objects int, bytes int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.bar != nil {
		v.bar.all += objects
		v.bar.allBytes += bytes
	}
}

// get reads a whole object. What the store has and what arrived may differ: then it is read
// once more before that counts.
func (v *verifier) get(ctx context.Context, key string, listed int64) ([]byte, error) {
	var o objstore.Object
	var err error
	for range 2 {
		o, err = v.store.Get(ctx, key)
		if err != nil || int64(len(o.Body)) == o.Size {
			break
		}
	}
	v.mu.Lock()
	v.report.Checked.Bytes += int64(len(o.Body))
	if v.bar != nil {
		v.bar.add(max(listed, 0))
	}
	v.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if int64(len(o.Body)) != o.Size {
		return nil, fmt.Errorf("got %d bytes of %d", len(o.Body), o.Size)
	}
	return o.Body, nil
}

// each calls f for 0 to n-1, v.jobs at once, and returns the first error after all that was
// begun has ended.
func (v *verifier) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	g, gctx := v.env.Group(ctx)
	var mu sync.Mutex
	next := 0
	for range min(v.jobs, n) {
		g.Go("verify", func() error {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					return nil
				}
				if err := gctx.Err(); err != nil {
					return err
				}
				if err := f(gctx, i); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

func (r *verifyReport) print(out io.Writer) error {
	c := &r.Checked
	t := newTable(out)
	t.row("manifest", r.Manifest)
	t.row("checked", fmt.Sprintf("%s, %s, %s (%s, %s, %s), %s, %s", plural(c.Manifests, "manifest"),
		plural(c.Compactions, "compactions object"), plural(c.Tables, "table"), plural(c.Blocks, "block"), plural(c.Rows, "row"),
		plural(c.Filters, "filter"), plural(c.WAL, "log object"), bytesText(c.Bytes)))
	if r.FiltersUnknown > 0 {
		t.row("not checked", plural(r.FiltersUnknown, "filter")+" of policies that are not known here")
	}
	if r.UnneededWAL > 0 {
		t.row("collectable", plural(r.UnneededWAL, "log object")+" whose rows are in tables")
	}
	bytes := int64(0)
	for _, o := range r.Orphans {
		bytes += o.Bytes
	}
	if len(r.Orphans) > 0 {
		t.row("orphans", fmt.Sprintf("%s, %s", plural(len(r.Orphans), "object"), bytesText(bytes)))
		for _, o := range r.Orphans {
			t.row("", fmt.Sprintf("%s, %s: %s", o.Object, bytesText(o.Bytes), o.Reason))
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	list := func(what string, fs []finding) error {
		if len(fs) == 0 {
			return nil
		}
		fmt.Fprintf(out, "\n%s:\n", plural(len(fs), what))
		t := newTable(out, "  OBJECT", "OFFSET", "PROBLEM")
		for _, f := range fs {
			offset := "-"
			if f.Offset >= 0 {
				offset = fmt.Sprint(f.Offset)
			}
			t.row("  "+f.Object, offset, f.Problem)
		}
		return t.flush()
	}
	if err := list("warning", r.Warnings); err != nil {
		return err
	}
	if len(r.Damage) == 0 {
		_, err := fmt.Fprintln(out, "intact")
		return err
	}
	return list("problem", r.Damage)
}
