// Cloud runs a small service on a bucket: a writer, a replica that reads what the writer has
// made durable, a checkpoint, and a second writer that takes over.
//
//	go run ./examples/cloud s3://bucket/path     # or gs:// az://, with the usual variables
//	go run ./examples/cloud                      # in memory
//
// Each run makes a database of its own below the location and deletes it at the end.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go"

	// A program links the providers it imports. This one takes them all.
	_ "github.com/slatedb/slatedb-go/objstore/all"
)

func main() {
	location := "memory:///examples"
	if len(os.Args) > 1 {
		location = os.Args[1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, location+"/example-"+strings.ToLower(rand.Text()), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, location string, out io.Writer) (err error) {
	admin, err := slatedb.NewAdmin(location, nil)
	if err != nil {
		return err
	}
	defer func() {
		// The context may have ended; what was stored is removed all the same.
		_, e := admin.DeleteDB(context.WithoutCancel(ctx), true)
		err = errors.Join(err, e, admin.Close())
	}()

	// At most one upload of the log in 50 ms, however many wait for it: a ceiling on the bill.
	writer, err := slatedb.Open(ctx, location, &slatedb.Options{MinFlushGap: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	defer writer.Close(ctx)

	// A hundred writes share their uploads: only the last is waited for.
	var last slatedb.WriteHandle
	for i := range 100 {
		last, err = writer.PutWithOptions(ctx, fmt.Appendf(nil, "order:%03d", i), []byte("open"), &slatedb.PutOptions{NoWait: true})
		if err != nil {
			return err
		}
	}
	if err := last.Await(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "100 orders are durable")

	// A replica, in this process or another, waits until it sees a write that it was told of.
	replica, err := slatedb.OpenReader(ctx, location, nil)
	if err != nil {
		return err
	}
	defer replica.Close(ctx)
	h, err := writer.PutWithOptions(ctx, []byte("order:007"), []byte("paid"), nil)
	if err != nil {
		return err
	}
	if err := replica.WaitForSeq(ctx, h.Seq()); err != nil {
		return err
	}
	state, err := replica.Get(ctx, []byte("order:007"))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the replica sees that order 7 is %s\n", state)

	// A checkpoint keeps what it saw, whatever happens to the database.
	c, err := writer.CreateCheckpoint(ctx, slatedb.CheckpointAll, &slatedb.CheckpointOptions{Name: "before", Lifetime: time.Hour})
	if err != nil {
		return err
	}

	// Another process takes over: the first writer can make nothing durable any more.
	second, err := slatedb.Open(ctx, location, nil)
	if err != nil {
		return err
	}
	defer second.Close(ctx)
	if err := second.Delete(ctx, []byte("order:007")); err != nil {
		return err
	}
	if err := writer.Put(ctx, []byte("order:007"), []byte("lost")); !errors.Is(err, slatedb.ErrFenced) {
		return fmt.Errorf("the first writer was not fenced: %w", err)
	}
	fmt.Fprintln(out, "a second writer has taken over")

	old, err := slatedb.OpenReader(ctx, location, &slatedb.ReaderOptions{CheckpointID: c.ID})
	if err != nil {
		return err
	}
	defer old.Close(ctx)
	for _, r := range []struct {
		name string
		slatedb.ReadOps
	}{{"the database", second}, {"the checkpoint", old}} {
		n := 0
		for _, err := range r.Entries(ctx, slatedb.Prefix([]byte("order:")), nil) {
			if err != nil {
				return err
			}
			n++
		}
		fmt.Fprintf(out, "%s has %d orders\n", r.name, n)
	}
	return errors.Join(old.Close(ctx), replica.Close(ctx), second.Close(ctx))
}
