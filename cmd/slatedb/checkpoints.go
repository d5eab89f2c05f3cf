package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/slatedb/slatedb-go"
)

var listCheckpointsCommand = &command{
	name: "list-checkpoints", args: "LOCATION", nargs: 1, group: groupCheckpoints, rustJSON: true,
	brief: "the checkpoints",
	help: `
Lists the checkpoints, oldest first, expired ones that nobody has removed yet included.

example:
  slatedb list-checkpoints --name nightly ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		name := fs.String("name", "", "only those named `NAME`")
		short(fs, "name", "n")
		return func(ctx context.Context, io *streams, args []string) error {
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				cs, err := a.ListCheckpoints(ctx, *name)
				if err != nil {
					return err
				}
				if !*asJSON {
					return printCheckpoints(io.out, cs, time.Now())
				}
				list := []checkpointJSON{}
				for i := range cs {
					list = append(list, checkpointOf(&cs[i]))
				}
				return printJSON(io.out, list)
			})
		}
	},
}

var createCheckpointCommand = &command{
	name: "create-checkpoint", args: "LOCATION", nargs: 1, group: groupCheckpoints, rustJSON: true,
	brief: "pin the database as it is",
	help: `
Pins the newest manifest and all that it needs, until the checkpoint expires or is deleted. Rows that are
only in log objects newer than that manifest are not included: flush first when they must be. With
--source it pins what that checkpoint pins.

example:
  slatedb create-checkpoint --lifetime "7days 30min" --name nightly ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		life := lifetimeFlag(fs)
		source := uuidFlag(fs, "source", "s", "pin what checkpoint `ID` pins")
		name := fs.String("name", "", "call it `NAME`, which need not be unique")
		short(fs, "name", "n")
		return func(ctx context.Context, io *streams, args []string) error {
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				c, err := a.CreateCheckpoint(ctx, &slatedb.CheckpointOptions{Name: *name, Lifetime: life.d, Source: source.id})
				if err != nil {
					return err
				}
				return printCheckpoint(io.out, &c, *asJSON)
			})
		}
	},
}

var refreshCheckpointCommand = &command{
	name: "refresh-checkpoint", args: "LOCATION [ID]", nargs: 1, more: 1, group: groupCheckpoints, rustJSON: true,
	brief: "give a checkpoint a new lifetime",
	help: `
Gives a checkpoint a new lifetime, which begins now; without --lifetime it never expires.

example:
  slatedb refresh-checkpoint --lifetime 24h ./orders 01740ee5-6459-44af-9a45-85deb6e468e3`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		life := lifetimeFlag(fs)
		id := uuidFlag(fs, "id", "i", "the checkpoint, another place for `ID`")
		return func(ctx context.Context, io *streams, args []string) error {
			if err := id.or(args[1:]); err != nil {
				return err
			}
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				c, err := a.RefreshCheckpoint(ctx, id.id, life.d)
				if err != nil {
					return err
				}
				return printCheckpoint(io.out, &c, *asJSON)
			})
		}
	},
}

var deleteCheckpointCommand = &command{
	name: "delete-checkpoint", args: "LOCATION [ID]", nargs: 1, more: 1, group: groupCheckpoints,
	brief: "remove a checkpoint",
	help: `
Removes a checkpoint; one that does not exist is no error. What only it protected goes with the next
garbage collection.

example:
  slatedb delete-checkpoint ./orders 01740ee5-6459-44af-9a45-85deb6e468e3`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		id := uuidFlag(fs, "id", "i", "the checkpoint, another place for `ID`")
		return func(ctx context.Context, io *streams, args []string) error {
			if err := id.or(args[1:]); err != nil {
				return err
			}
			return withAdmin(args[0], func(a *slatedb.Admin) error { return a.DeleteCheckpoint(ctx, id.id) })
		}
	},
}

func printCheckpoint(out io.Writer, c *slatedb.Checkpoint, asJSON bool) error {
	if asJSON {
		return printJSON(out, checkpointOf(c))
	}
	_, err := fmt.Fprintf(out, "%s  manifest %d, %s\n", c.ID, c.ManifestID, lifeText(c.ExpireTime, time.Now()))
	return err
}

func lifetimeFlag(fs *flag.FlagSet) *durationFlag {
	life := &durationFlag{}
	fs.Var(life, "lifetime", "how long it lasts from now on, as in `D` = \"7days 30min\"; default: for ever")
	short(fs, "lifetime", "l")
	return life
}

// idFlag is a flag.Value for a checkpoint's id.
type idFlag struct{ id uuid.UUID }

func uuidFlag(fs *flag.FlagSet, name, other, usage string) *idFlag {
	f := &idFlag{}
	fs.Var(f, name, usage)
	short(fs, name, other)
	return f
}

func (f *idFlag) String() string {
	if f.id == uuid.Nil {
		return ""
	}
	return f.id.String()
}

func (f *idFlag) Set(s string) (err error) {
	if f.id, err = uuid.Parse(s); err != nil {
		return usagef("%q is no checkpoint id (a UUID)", s)
	}
	return nil
}

// or takes the id from the arguments when no flag gave it.
func (f *idFlag) or(args []string) error {
	switch {
	case len(args) > 0 && f.id != uuid.Nil:
		return usagef("the checkpoint is given twice")
	case len(args) > 0:
		return f.Set(args[0])
	case f.id == uuid.Nil:
		return usagef("want a checkpoint, as ID or as --id")
	}
	return nil
}
