package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/slatedb/slatedb-go"
)

var scanCommand = &command{
	name: "scan", args: "LOCATION", nargs: 1, group: groupData,
	brief: "print entries in key order",
	help: `
Prints one entry a line: key, a tab, value. Line breaks and tabs in a value are escaped.
A key that is no text is printed as 0x and hex, such a value as a note of its length. Bounds are
text, or hex after 0x; --from is the first key, --to the first that is not printed.

example:
  slatedb scan --prefix user: --limit 20 file:///data/orders
  slatedb scan --from a --to b --reverse --keys ./orders
  slatedb scan --count ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		var s scan
		operands := operandsFlag(fs)
		fs.StringVar(&s.prefix, "prefix", "", "only keys that begin with `P`")
		fs.StringVar(&s.from, "from", "", "only keys from `A` on")
		fs.StringVar(&s.to, "to", "", "only keys below `B`")
		fs.IntVar(&s.limit, "limit", 0, "at most `N` entries; 0 is all")
		short(fs, "limit", "max-keys")
		s.key, s.value = "auto", "auto"
		fs.Var(&s.key, "key", "`FORM` of keys and bounds: auto, hex, utf8")
		fs.Var(&s.value, "value", "`FORM` of values: auto, hex, utf8, len, none")
		s.checkpoint = uuidFlag(fs, "checkpoint", "c", "read what checkpoint `ID` pins")
		fs.BoolVar(&s.keys, "keys", false, "print keys only, as --value none")
		fs.BoolVar(&s.reverse, "reverse", false, "from the last key to the first")
		fs.BoolVar(&s.count, "count", false, "print how many entries there are, and their bytes")
		fs.BoolVar(&s.hex, "hex", false, "print values as hex, as --value hex")
		fs.BoolVar(&s.json, "json", false, "print one JSON line an entry, with sequence numbers and times")
		return func(ctx context.Context, io *streams, args []string) error {
			s.operands = *operands
			s.keys = s.keys || s.value == "none"
			if s.hex {
				s.value = "hex"
			}
			s.hex = s.value == "hex"
			return s.run(ctx, io, args[0])
		}
	},
}

// scan is the command's flags.
type scan struct {
	prefix, from, to                string
	limit                           int
	keys, reverse, count, hex, json bool
	operands                        bool
	key                             keyForm
	value                           valueForm
	checkpoint                      *idFlag
}

// keyRange turns the flags into a range. With a prefix, the bounds narrow it.
func (s *scan) keyRange() (slatedb.Range, error) {
	r := slatedb.All
	if s.limit < 0 {
		return r, usagef("--limit is %d, want 0 or more", s.limit)
	}
	if s.prefix != "" {
		p, err := s.key.parse("--prefix", s.prefix)
		if err != nil {
			return r, err
		}
		r = slatedb.Prefix(p)
	}
	if s.from != "" {
		from, err := s.key.parse("--from", s.from)
		if err != nil {
			return r, err
		}
		if string(from) > string(r.Start) {
			r.Start = from
		}
	}
	if s.to != "" {
		to, err := s.key.parse("--to", s.to)
		if err != nil {
			return r, err
		}
		if r.End == nil || string(to) < string(r.End) {
			r.End = to
		}
	}
	if r.End != nil && string(r.Start) > string(r.End) {
		return r, usagef("no key lies between %s and %s", showKey(r.Start), showKey(r.End))
	}
	return r, nil
}

func (s *scan) run(ctx context.Context, io *streams, location string) (err error) {
	rng, err := s.keyRange()
	if err != nil {
		return err
	}
	r, err := openReader(ctx, location, s.operands, s.checkpoint.id)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close(ctx)) }()
	o := &slatedb.ScanOptions{
		Limit: s.limit, KeysOnly: s.keys && !s.count,
		ReadAheadBytes: 4 << 20, MaxFetchTasks: 4,
	}
	if s.reverse {
		o.Order = slatedb.Descending
	}
	out := bufio.NewWriterSize(io.out, 64<<10)
	entries, bytes := 0, int64(0)
	for e, err := range r.Entries(ctx, rng, o) {
		if err != nil {
			_ = out.Flush()
			return fmt.Errorf("scan: after %s: %w", fmt.Sprintf("%d entries", entries), err)
		}
		entries++
		bytes += int64(len(e.Key) + len(e.Value))
		if s.count {
			continue
		}
		if err := s.print(out, e); err != nil {
			return err
		}
	}
	if s.count {
		if s.json {
			fmt.Fprintf(out, "{\"entries\":%d,\"bytes\":%d}\n", entries, bytes)
		} else {
			fmt.Fprintf(out, "%d entries, %d bytes\n", entries, bytes)
		}
	}
	return out.Flush()
}

func (s *scan) print(out *bufio.Writer, e slatedb.Entry) error {
	if s.json {
		line, err := marshalEntry(e, !s.keys, s.hex)
		if err != nil {
			return err
		}
		_, err = out.Write(append(line, '\n'))
		return err
	}
	var line strings.Builder
	line.WriteString(s.key.show(e.Key))
	if !s.keys {
		line.WriteByte('\t')
		line.WriteString(s.value.show(e.Value))
	}
	line.WriteByte('\n')
	_, err := out.WriteString(line.String())
	return err
}
