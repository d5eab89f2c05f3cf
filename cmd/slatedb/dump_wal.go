package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

var walDumpCommand = &command{
	name: "wal dump", args: "LOCATION [FROM [TO]]", nargs: 1, more: 2, group: groupLook,
	brief: "what is in the write-ahead log",
	help: `
Prints the objects of the write-ahead log with their rows in commit order: all of them, or those with
ids from FROM to TO (both included; FROM alone is one object). An object without rows is a fence: with
it a writer stopped its predecessor. With --json each object is a line that describes it, and each row
a line behind that.

example:
  slatedb wal dump --info ./orders
  slatedb wal dump --json ./orders 17 20`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		d := dumpFlags(fs)
		return func(ctx context.Context, io *streams, args []string) error {
			from, to, err := idRange(args[1:])
			if err != nil {
				return err
			}
			store, root, err := openStore(ctx, args[0])
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(io.out, 64<<10)
			return errors.Join(d.log(ctx, out, store, root, from, to), out.Flush())
		}
	},
}

// idRange reads [FROM [TO]].
func idRange(args []string) (from, to uint64, err error) {
	from, to = 1, math.MaxUint64
	for i, a := range args {
		n, err := strconv.ParseUint(a, 10, 64)
		if err != nil || n == 0 {
			return 0, 0, usagef("%q is no object id, want 1 or more", a)
		}
		if i == 0 {
			from = n
		}
		to = n
	}
	if from > to {
		return 0, 0, usagef("FROM %d is above TO %d", from, to)
	}
	return from, to, nil
}

// logInfo describes a log object; the JSON names are the command's interface.
type logInfo struct {
	ID       uint64 `json:"wal_id"`
	Object   string `json:"object"`
	Bytes    int    `json:"bytes"`
	Fence    bool   `json:"fence,omitempty"`
	Rows     int    `json:"rows"`
	FirstSeq uint64 `json:"first_seq,omitempty"`
	LastSeq  uint64 `json:"last_seq,omitempty"`
}

func (d *dump) log(ctx context.Context, out io.Writer, store objstore.Store, root string, from, to uint64) error {
	v := &verifier{store: store, root: root}
	ids, err := v.numbered(ctx, &plan{listed: map[string]objstore.Attributes{}}, "wal", ".sst")
	if err != nil {
		return err
	}
	var failed error
	shown := 0
	for _, l := range ids {
		if l.id < from || l.id > to {
			continue
		}
		shown++
		if err := d.logObject(ctx, out, store, l); err != nil {
			failed = errors.Join(failed, err) // the others may be well
		}
	}
	if shown == 0 && failed == nil && (from > 1 || to < math.MaxUint64) {
		return fmt.Errorf("no log object from %d to %d", from, to)
	}
	return failed
}

func (d *dump) logObject(ctx context.Context, out io.Writer, store objstore.Store, l logObject) error {
	got, err := store.Get(ctx, l.key)
	if err != nil {
		return fmt.Errorf("read %s: %w", l.key, err)
	}
	info := logInfo{ID: l.id, Object: l.key, Bytes: len(got.Body), Fence: len(got.Body) == 0}
	var o *sst.Object
	if !info.Fence {
		if o, err = sst.OpenObject(l.key, got.Body, nil); err != nil {
			return err
		}
		it := o.Rows()
		for it.Next() {
			seq := uint64(it.Entry().Seq)
			if info.Rows == 0 {
				info.FirstSeq = seq
			}
			info.Rows++
			info.FirstSeq, info.LastSeq = min(info.FirstSeq, seq), max(info.LastSeq, seq)
		}
	}
	if d.json {
		err = jsonLine(out, info)
	} else {
		err = info.print(out)
	}
	if err != nil || info.Fence || d.info && !d.json && o == nil {
		return err
	}
	if d.info {
		return nil
	}
	return d.rows(out, o)
}

func (l *logInfo) print(out io.Writer) error {
	text := "fence"
	if !l.Fence {
		text = fmt.Sprintf("%s, %s, seq %d to %d", plural(l.Rows, "row"), bytesText(int64(l.Bytes)), l.FirstSeq, l.LastSeq)
	}
	_, err := fmt.Fprintf(out, "%s  %s\n", l.Object, text)
	return err
}
