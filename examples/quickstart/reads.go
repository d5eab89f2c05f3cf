package main

import (
	"context"
	"fmt"

	slatedb "github.com/slatedb/slatedb-go"
)

// snapshot: it shows the moment it was made, whatever is written later.
func snapshot(ctx context.Context, db *slatedb.DB) error {
	snap, err := db.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	if err := db.Put(ctx, []byte("user:1"), []byte("Alicia")); err != nil {
		return err
	}
	then, err := snap.Get(ctx, []byte("user:1"))
	if err != nil {
		return err
	}
	now, err := db.Get(ctx, []byte("user:1"))
	fmt.Printf("   user:1 was %s and is %s\n", then, now)
	return err
}

// scanWithSeek: an iterator moves forward only; after Seek it stands on the entry found.
func scanWithSeek(ctx context.Context, db *slatedb.DB) error {
	it, err := db.ScanPrefix(ctx, []byte("user:"))
	if err != nil {
		return err
	}
	for ok := it.Seek([]byte("user:2")); ok; ok = it.Next() {
		fmt.Printf("   %s = %s\n", it.Key(), it.Value())
	}
	return it.Close() // also reports what stopped the loop
}

// scanOptions: the last entry of a range, from the end, without its value.
func scanOptions(ctx context.Context, db *slatedb.DB) error {
	upTo := slatedb.Range{Start: []byte("order:"), End: []byte("user:2"), EndInclusive: true}
	o := &slatedb.ScanOptions{Order: slatedb.Descending, Limit: 2, KeysOnly: true, Durability: slatedb.DurabilityRemote}
	for e, err := range db.Entries(ctx, upTo, o) {
		if err != nil {
			return err
		}
		fmt.Printf("   %s\n", e.Key)
	}
	return nil
}

// metrics: figures by name; Options.MetricsRecorder gets the same as they happen.
func metrics(_ context.Context, db *slatedb.DB) error {
	m := db.Metrics()
	for _, name := range []string{"slatedb.db.write_ops", "slatedb.db.write_batch_count", "slatedb.memtable_flush.l0_upload_count"} {
		v, ok := m.Value(name)
		if !ok {
			return fmt.Errorf("no figure %s", name)
		}
		fmt.Printf("   %s %.0f\n", name, v)
	}
	return nil
}
