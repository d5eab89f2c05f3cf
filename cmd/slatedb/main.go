// Command slatedb looks into databases, looks after them and fills them, on any store that the
// library knows.
//
//	slatedb scan [flags] LOCATION            print entries in order
//	slatedb verify [flags] LOCATION          check everything that is stored
//	slatedb manifest diff [flags] LOCATION A B
//	slatedb help                             all commands
//
// Reading commands never fence a running writer and write nothing. Results go to standard
// output, everything else to standard error: tables for people, and with --json documents for
// programs. The exit code is 0 when all went well, 1 when something failed, was not found or is
// damaged, 2 when the command line is wrong.
//
// The form of the Rust tool works too: slatedb [-e FILE] -p PATH COMMAND [flags], with the
// store named by CLOUD_PROVIDER and its companions. Commands that print JSON there do so here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// The headings of the list of commands.
const (
	groupData        = "data"
	groupLook        = "looking inside"
	groupCheckpoints = "checkpoints and copies"
	groupUpkeep      = "upkeep"
)

// A command is one subcommand. Its file declares it.
type command struct {
	name  string // one or two words
	group string // heading in the list of commands
	args  string // the positional arguments, for help
	brief string
	help  string // what it does, with an example
	nargs int    // positional arguments it needs
	more  int    // that it also takes, behind those
	// at is where LOCATION stands among them, when it is not the first.
	at int
	// rustJSON: the Rust tool prints JSON, so its form of command line implies --json.
	rustJSON bool
	// flags registers what the command knows and returns what runs it.
	flags func(fs *flag.FlagSet) func(ctx context.Context, io *streams, args []string) error
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func commands() []*command {
	return []*command{
		getCommand, scanCommand, putCommand, deleteCommand, loadCommand,
		statsCommand, probeCommand, verifyCommand, sstDumpCommand, walDumpCommand,
		readManifestCommand, listManifestsCommand, manifestDiffCommand,
		readCompactionsCommand, listCompactionsCommand, readCompactionCommand,
		seqToTSCommand, tsToSeqCommand, configCommand,
		listCheckpointsCommand, createCheckpointCommand, refreshCheckpointCommand, deleteCheckpointCommand,
		cloneCommand, deleteDBCommand,
		compactCommand, submitCompactionCommand, runCompactorCommand, runWorkerCommand,
		runGCCommand, scheduleGCCommand, benchCommand,
	}
}

func main() {
	slog.SetLogLoggerLevel(logLevel(os.Getenv("RUST_LOG")))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], &streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// logLevel reads the variable that the Rust tool obeys. Opening and closing is no news here,
// so without it only warnings are shown.
func logLevel(s string) slog.Level {
	switch strings.ToLower(s) {
	case "trace", "debug":
		return slog.LevelDebug
	case "info":
		return slog.LevelInfo
	case "error", "off":
		return slog.LevelError
	}
	return slog.LevelWarn
}

// usageError is a wrong command line.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errReported ends a command whose troubles have been printed already.
var errReported = errors.New("reported")

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, io *streams) int {
	place, args, err := globals(args)
	if errors.Is(err, flag.ErrHelp) {
		usage(io.out)
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(io.err, "slatedb: %v; slatedb help explains it\n", err)
		return exitUsage
	}
	if len(args) == 0 {
		usage(io.err)
		return exitUsage
	}
	if args[0] == "help" {
		if len(args) == 1 {
			usage(io.out)
			return exitOK
		}
		c, _ := find(strings.Fields(strings.Join(args[1:], " ")))
		if c == nil {
			fmt.Fprintf(io.err, "slatedb: there is no command %q\n", strings.Join(args[1:], " "))
			return exitUsage
		}
		c.usage(io.out, newFlags(c))
		return exitOK
	}
	c, rest := find(args)
	if c == nil {
		fmt.Fprintf(io.err, "slatedb: there is no command %q; slatedb help lists them\n", args[0])
		return exitUsage
	}
	err = c.run(ctx, io, place, rest)
	var ue *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		c.usage(io.out, newFlags(c))
		return exitOK
	case errors.As(err, &ue):
		fmt.Fprintf(io.err, "slatedb %s: %v; slatedb help %s explains it\n", c.name, err, c.name)
		return exitUsage
	case !errors.Is(err, errReported):
		fmt.Fprintf(io.err, "slatedb %s: %v\n", c.name, err)
	}
	return exitFailed
}

// run parses the command's own arguments and runs it. place is the location that stood in
// front of the command, or "".
func (c *command) run(ctx context.Context, io *streams, place string, args []string) error {
	fs := newFlags(c)
	do := c.flags(fs)
	if place != "" && c.rustJSON && fs.Lookup("json") != nil {
		_ = fs.Set("json", "true")
	}
	pos, err := parse(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	if err != nil {
		return usagef("%v", err)
	}
	want := c.args
	if c.nargs+c.more == 0 {
		want, place = "no arguments", "" // it is about no database
	}
	if place != "" {
		if at := min(c.at, len(pos)); at == c.at {
			pos = slices.Insert(pos, at, place)
		}
		want += " without LOCATION"
	}
	if len(pos) < c.nargs || len(pos) > c.nargs+c.more {
		given := len(pos)
		if place != "" {
			given--
		}
		return usagef("want %s, got %d arguments", want, given)
	}
	return do(ctx, io, pos)
}

// find returns the command that args begin with, and what stands behind its name.
func find(args []string) (*command, []string) {
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return c, args[len(words):]
		}
	}
	return nil, nil
}

func newFlags(c *command) *flag.FlagSet {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// shortFor marks a flag that is another name of a longer one.
const shortFor = "short for --"

// short adds another name to a flag.
func short(fs *flag.FlagSet, long, other string) {
	fs.Var(fs.Lookup(long).Value, other, shortFor+long)
}

// parse lets flags and arguments stand in any order; after "--" all are arguments.
func parse(fs *flag.FlagSet, args []string) (pos []string, err error) {
	var rest []string
	for i, a := range args {
		if a == "--" {
			args, rest = args[:i], args[i+1:]
			break
		}
	}
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if args = fs.Args(); len(args) > 0 {
			pos, args = append(pos, args[0]), args[1:]
		}
	}
	return append(pos, rest...), nil
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: slatedb COMMAND [flags] LOCATION ...\n       slatedb [-e FILE] -p PATH COMMAND [flags] ...\n")
	group := ""
	for _, c := range commands() {
		if c.group != group {
			group = c.group
			fmt.Fprintf(w, "\n%s\n", group)
		}
		fmt.Fprintf(w, "  %-28s %s\n", c.name, c.brief)
	}
	fmt.Fprint(w, `
LOCATION is a folder or a URL:
  ./orders  file:///data/orders  s3://bucket/orders  gs://bucket/orders  az://container/orders

With -p, the variable CLOUD_PROVIDER (local, memory, aws, azure, gcp) names the store, and
LOCAL_PATH, AWS_BUCKET, AZURE_CONTAINER or GOOGLE_BUCKET says where; -e reads variables from a
file, by default from .env.

slatedb help COMMAND shows arguments, flags and an example.
`)
}

func (c *command) usage(w io.Writer, fs *flag.FlagSet) {
	c.flags(fs)
	fmt.Fprintf(w, "usage: slatedb %s [flags] %s\n\n%s\n", c.name, c.args, strings.TrimSpace(c.help))
	shorts := map[string]string{}
	fs.VisitAll(func(f *flag.Flag) {
		if long, ok := strings.CutPrefix(f.Usage, shortFor); ok {
			shorts[long] += "-" + f.Name + ", "
			if len(f.Name) > 1 {
				shorts[long] = strings.Replace(shorts[long], "-"+f.Name, "--"+f.Name, 1)
			}
		}
	})
	first := true
	fs.VisitAll(func(f *flag.Flag) {
		if strings.HasPrefix(f.Usage, shortFor) {
			return
		}
		if first {
			fmt.Fprint(w, "\nflags:\n")
			first = false
		}
		value, text := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  %-26s %s\n", strings.TrimSpace(shorts[f.Name]+"--"+f.Name+" "+value), text)
	})
}
