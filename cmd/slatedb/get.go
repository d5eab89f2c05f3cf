package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/google/uuid"

	"github.com/slatedb/slatedb-go"
)

var getCommand = &command{
	name: "get", args: "LOCATION KEY", nargs: 2, group: groupData,
	brief: "print the value of one key",
	help: `
Prints the value of KEY, byte for byte and without a newline behind it. A key that is not
there is an error. KEY is text; 0x in front makes it hex.

example:
  slatedb get file:///data/orders user:1
  slatedb get --json ./orders 0x00ff10`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := fs.Bool("json", false, "print key, value, sequence number and times as one JSON line")
		operands := operandsFlag(fs)
		checkpoint := uuidFlag(fs, "checkpoint", "c", "read what checkpoint `ID` pins")
		literal := fs.Bool("literal", false, "take KEY as it stands, even when it begins with 0x")
		return func(ctx context.Context, io *streams, args []string) error {
			key, err := literalArg("KEY", args[1], *literal)
			if err != nil {
				return err
			}
			return get(ctx, io, args[0], key, *asJSON, *operands, checkpoint.id)
		}
	},
}

func get(ctx context.Context, io *streams, location string, key []byte, asJSON, operands bool, checkpoint uuid.UUID) (err error) {
	r, err := openReader(ctx, location, operands, checkpoint)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close(ctx)) }()
	e, err := r.GetEntry(ctx, key, nil)
	if errors.Is(err, slatedb.ErrNotFound) {
		return fmt.Errorf("no such key: %s", showKey(key))
	}
	if err != nil {
		return fmt.Errorf("get %s: %w", showKey(key), err)
	}
	if !asJSON {
		_, err = io.out.Write(e.Value)
		return err
	}
	line, err := marshalEntry(e, true, false)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(io.out, "%s\n", line)
	return err
}

// operandsFlag registers --operands.
func operandsFlag(fs *flag.FlagSet) *bool {
	return fs.Bool("operands", false, "show merge operands one behind the other (the program's merge operator is not known here)")
}

// openReader opens a database for reading without disturbing whoever writes to it. It takes
// no checkpoint either: a command is over before a collector's minimum age has passed. A zero
// checkpoint stands for the newest state.
func openReader(ctx context.Context, location string, operands bool, checkpoint uuid.UUID) (*slatedb.Reader, error) {
	o := &slatedb.ReaderOptions{Mode: slatedb.FollowLatest, CheckpointID: checkpoint, PollInterval: -1}
	if operands {
		o.MergeOperator = slatedb.MergeFunc(func(_, existing, operand []byte) ([]byte, error) {
			return append(existing, operand...), nil
		})
	}
	r, err := slatedb.OpenReader(ctx, location, o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", shown(location), err)
	}
	return r, nil
}
