package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/slatedb/slatedb-go"
)

var putCommand = &command{
	name: "put", args: "LOCATION KEY [VALUE]", nargs: 2, more: 1, group: groupData,
	brief: "store one value",
	help: `
Stores VALUE under KEY and returns when it is durable. Without VALUE the value is read from standard
input, byte for byte. KEY and VALUE are text; 0x in front makes them hex. The database is created
when it does not exist. Putting takes the database from a writer that has it open (fences it).

example:
  slatedb put ./orders user:1 Alice
  slatedb put --ttl 7days ./orders session:9 < session.bin`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		file := fs.String("file", "", "read the value from `F`")
		literal := fs.Bool("literal", false, "take KEY and VALUE as they stand, even when they begin with 0x")
		ttl := &durationFlag{}
		fs.Var(ttl, "ttl", "the value expires after `D`, as in 7days or 1h30m")
		asJSON := jsonFlag(fs)
		return func(ctx context.Context, io *streams, args []string) error {
			key, err := literalArg("KEY", args[1], *literal)
			if err != nil {
				return err
			}
			value, err := valueOf(io, args[2:], *file, *literal)
			if err != nil {
				return err
			}
			return writeOne(ctx, io, args[0], *asJSON, func(db *slatedb.DB) (slatedb.WriteHandle, error) {
				return db.PutWithOptions(ctx, key, value, &slatedb.PutOptions{TTL: ttl.d})
			})
		}
	},
}

var deleteCommand = &command{
	name: "delete", args: "LOCATION KEY", nargs: 2, group: groupData,
	brief: "delete one key",
	help: `
Deletes KEY and returns when that is durable; a key that is not there is no error. It takes the
database from a writer that has it open (fences it).

example:
  slatedb delete ./orders user:1`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		literal := fs.Bool("literal", false, "take KEY as it stands, even when it begins with 0x")
		asJSON := jsonFlag(fs)
		return func(ctx context.Context, io *streams, args []string) error {
			key, err := literalArg("KEY", args[1], *literal)
			if err != nil {
				return err
			}
			if err := mustExist(ctx, args[0]); err != nil {
				return err
			}
			return writeOne(ctx, io, args[0], *asJSON, func(db *slatedb.DB) (slatedb.WriteHandle, error) {
				return db.DeleteWithOptions(ctx, key, nil)
			})
		}
	},
}

func literalArg(what, s string, literal bool) ([]byte, error) {
	if literal {
		return []byte(s), nil
	}
	return keyArg(what, s)
}

// valueOf returns the value of a put: the argument, a file, or standard input.
func valueOf(in *streams, args []string, file string, literal bool) ([]byte, error) {
	switch {
	case file != "" && len(args) > 0:
		return nil, usagef("VALUE and --file are both given")
	case file != "":
		return os.ReadFile(file)
	case len(args) > 0:
		return literalArg("VALUE", args[0], literal)
	}
	value, err := io.ReadAll(in.in)
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	return value, nil
}

// mustExist keeps a command from making a database where there is none.
func mustExist(ctx context.Context, location string) error {
	return withAdmin(location, func(a *slatedb.Admin) error {
		_, err := a.ReadManifest(ctx, 0)
		return err
	})
}

// writeOne opens the database as its writer for one write. Neither compaction nor collection
// belongs to that.
func writeOne(ctx context.Context, io *streams, location string, asJSON bool, write func(*slatedb.DB) (slatedb.WriteHandle, error)) error {
	o, err := (&tableOptions{}).writerOptions(ctx, location)
	if errors.Is(err, slatedb.ErrNoDatabase) {
		o, err = &slatedb.Options{DisableCompactor: true, DisableGC: true}, nil
	}
	if err != nil {
		return err
	}
	db, err := slatedb.Open(ctx, location, o)
	if err != nil {
		return fmt.Errorf("open %s: %w", shown(location), err)
	}
	h, err := write(db)
	// The row is durable in the log; a table for it alone would be waste.
	err = errors.Join(err, db.CloseWithOptions(context.WithoutCancel(ctx), &slatedb.CloseOptions{Flush: slatedb.CloseFlushWAL}))
	if err != nil || !asJSON {
		return err
	}
	return printJSON(io.out, struct {
		Seq        uint64     `json:"seq"`
		CreateTime *time.Time `json:"create_time,omitempty"`
	}{h.Seq(), timePtr(h.CreateTime())})
}
