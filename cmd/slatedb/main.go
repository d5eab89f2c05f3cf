// Command slatedb looks into databases and fills them, on any store that the library knows.
//
//	slatedb load DIR LOCATION [--verify]   store the files of a folder
//	slatedb get LOCATION KEY               print one value
//	slatedb scan LOCATION [--prefix P]     print entries in order
//	slatedb stats LOCATION                 what the database consists of
//
// Reading commands open a reader: they never fence a running writer. Results go to standard
// output, everything else to standard error. The exit code is 0 when all went well, 1 when
// something failed or was not found, 2 when the command line is wrong.
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
	"strings"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// A command is one subcommand. Its file declares it.
type command struct {
	name  string
	args  string // the positional arguments, for help
	brief string
	help  string // what it does, with an example
	nargs int    // positional arguments it takes
	// flags registers what the command knows and returns what runs it.
	flags func(fs *flag.FlagSet) func(ctx context.Context, io *streams, args []string) error
}

// streams are where a command reads and writes.
type streams struct {
	out, err io.Writer
}

func commands() []*command {
	return []*command{loadCommand, getCommand, scanCommand, statsCommand}
}

func main() {
	slog.SetLogLoggerLevel(slog.LevelWarn) // opening and closing is no news here
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError is a wrong command line.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errReported ends a command whose troubles have been printed already.
var errReported = errors.New("reported")

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "--help", "-help":
		if len(args) > 1 {
			if c := find(args[1]); c != nil {
				c.usage(stdout, newFlags(c))
				return exitOK
			}
			fmt.Fprintf(stderr, "slatedb: there is no command %q\n", args[1])
			return exitUsage
		}
		usage(stdout)
		return exitOK
	}
	c := find(args[0])
	if c == nil {
		fmt.Fprintf(stderr, "slatedb: there is no command %q; slatedb help lists them\n", args[0])
		return exitUsage
	}
	fs := newFlags(c)
	do := c.flags(fs)
	pos, err := parse(fs, args[1:])
	if errors.Is(err, flag.ErrHelp) {
		c.usage(stdout, newFlags(c))
		return exitOK
	}
	if err == nil && len(pos) != c.nargs {
		err = usagef("want %s, got %d arguments", c.args, len(pos))
	}
	if err == nil {
		err = do(ctx, &streams{stdout, stderr}, pos)
	} else {
		err = usagef("%v", err)
	}
	var ue *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ue):
		fmt.Fprintf(stderr, "slatedb %s: %v; slatedb help %s explains it\n", c.name, err, c.name)
		return exitUsage
	case !errors.Is(err, errReported):
		fmt.Fprintf(stderr, "slatedb %s: %v\n", c.name, err)
	}
	return exitFailed
}

func find(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	return nil
}

func newFlags(c *command) *flag.FlagSet {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
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
	fmt.Fprint(w, "usage: slatedb COMMAND [arguments]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-6s %-14s %s\n", c.name, c.args, c.brief)
	}
	fmt.Fprint(w, `
LOCATION is a folder or a URL:
  ./orders  file:///data/orders

slatedb help COMMAND shows flags and an example.
`)
}

func (c *command) usage(w io.Writer, fs *flag.FlagSet) {
	c.flags(fs)
	fmt.Fprintf(w, "usage: slatedb %s %s [flags]\n\n%s\n", c.name, c.args, strings.TrimSpace(c.help))
	first := true
	fs.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprint(w, "\nflags:\n")
			first = false
		}
		value, text := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  %-18s %s\n", strings.TrimSpace("--"+f.Name+" "+value), text)
	})
}
