// Segments keeps the orders of several tenants in one database, each tenant in a segment of its
// own, and drops one tenant whole. Everything is in memory.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/slatedb/slatedb-go"
)

const location = "memory:///segments"

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	// A key's segment is what stands before its first slash, the slash included. The choice is
	// stored: every later opening needs the same extractor.
	db, err := slatedb.Open(ctx, location, &slatedb.Options{
		SegmentExtractor: slatedb.PrefixUntil('/'),
		// The compactor looks for orders from outside, such as the one below, this often.
		Compactor: &slatedb.CompactorOptions{PollInterval: 50 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	defer db.Close(ctx)

	var batch slatedb.WriteBatch
	for _, tenant := range []string{"acme", "bolt", "corp"} {
		for i := range 3 {
			batch.Put(fmt.Appendf(nil, "%s/order/%d", tenant, i), []byte("paid"))
		}
	}
	if err := db.Write(ctx, &batch); err != nil { // atomic, whatever segments it touches
		return err
	}
	if err := db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}); err != nil {
		return err
	}
	fmt.Printf("segments: %q\n", db.Status().Segments)

	// Scans go over segments in key order, as if there were none.
	n := 0
	for _, err := range db.Entries(ctx, slatedb.All, nil) {
		if err != nil {
			return err
		}
		n++
	}
	fmt.Println("rows of all tenants:", n)

	// A tenant leaves. No row is read or written for it: its tables leave the manifest, and the
	// garbage collector deletes them later. What is still in memory stays, so flush first.
	admin, err := slatedb.NewAdmin(location, nil)
	if err != nil {
		return err
	}
	defer admin.Close()
	job, err := admin.SubmitCompaction(ctx, slatedb.CompactionRequest{Kind: slatedb.DrainSegment, Segment: []byte("bolt/")})
	if err != nil {
		return err
	}
	if job, err = admin.AwaitCompaction(ctx, job.ID); err != nil {
		return err
	}
	fmt.Println("draining bolt/:", job.State)
	if err := db.RefreshManifest(ctx); err != nil {
		return err
	}
	fmt.Printf("segments: %q\n", db.Status().Segments)

	// A key without a tenant has no place.
	fmt.Println("refused:", db.Put(ctx, []byte("nobody"), nil))
	return db.Close(ctx)
}
