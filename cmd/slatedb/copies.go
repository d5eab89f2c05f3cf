package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/slatedb/slatedb-go"
)

var cloneCommand = &command{
	name: "clone", args: "LOCATION PATH", nargs: 2, group: groupCheckpoints,
	brief: "a second database that shares the tables",
	help: `
Makes a database at PATH, a path in the same store (from its root), that begins as a copy of the one at
LOCATION and then lives on its own. Tables are shared: the clone holds a checkpoint in the original until
it uses none of its tables any more. --from and --to make a projection (rows in the log must then be
flushed first). --with adds another database of the store, by its path, to make a union; their keys must
not overlap. It may be run again after a crash.

example:
  slatedb clone s3://bucket/orders orders-copy
  slatedb clone --checkpoint 01740ee5-6459-44af-9a45-85deb6e468e3 --from a --to b ./data/orders orders-ab`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		checkpoint := uuidFlag(fs, "checkpoint", "c", "clone what checkpoint `ID` pins; default: the newest manifest")
		from := fs.String("from", "", "only keys from `A` on")
		to := fs.String("to", "", "only keys below `B`")
		var with stringsFlag
		fs.Var(&with, "with", "also take the database at `PATH`; may be given again")
		return func(ctx context.Context, io *streams, args []string) error {
			r, err := (&scan{from: *from, to: *to}).keyRange()
			if err != nil {
				return err
			}
			sources := []slatedb.CloneSource{{CheckpointID: checkpoint.id, Range: r}}
			for _, p := range with {
				sources = append(sources, slatedb.CloneSource{Path: p})
			}
			return withAdmin(args[0], func(a *slatedb.Admin) error { return a.CreateClone(ctx, args[1], sources...) })
		}
	},
}

var deleteDBCommand = &command{
	name: "delete-db", args: "LOCATION", nargs: 1, group: groupCheckpoints, rustJSON: true,
	brief: "delete a whole database",
	help: `
Deletes every object of the database, and its checkpoints in the databases that it was cloned from.
Without --confirm it only prints what would be deleted. Clones that use its tables lose them.

example:
  slatedb delete-db ./orders
  slatedb delete-db --confirm ./orders`,
	flags: func(fs *flag.FlagSet) func(context.Context, *streams, []string) error {
		asJSON := jsonFlag(fs)
		confirm := fs.Bool("confirm", false, "do it")
		return func(ctx context.Context, io *streams, args []string) error {
			return withAdmin(args[0], func(a *slatedb.Admin) error {
				keys, err := a.DeleteDB(ctx, *confirm)
				if err != nil {
					return err
				}
				if *asJSON {
					return printJSON(io.out, struct {
						Deleted bool     `json:"deleted"`
						Objects []string `json:"objects"`
					}{*confirm, append([]string{}, keys...)})
				}
				for _, k := range keys {
					fmt.Fprintln(io.out, k)
				}
				if !*confirm {
					fmt.Fprintf(io.err, "nothing was deleted; --confirm deletes these %s\n", plural(len(keys), "object"))
				}
				return nil
			})
		}
	},
}

// stringsFlag is a flag that may be given again.
type stringsFlag []string

func (f *stringsFlag) String() string { return "" }

func (f *stringsFlag) Set(s string) error { *f = append(*f, s); return nil }
