package slatedb_test

import (
	"context"
	"fmt"
	"log"
	"os"

	slatedb "github.com/slatedb/slatedb-go"
)

// The parts of tables that are read stay on a local disk, and are still there after a restart.
func ExampleDiskCacheOptions() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "slatedb-cache-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	o := &slatedb.Options{DiskCache: &slatedb.DiskCacheOptions{Dir: dir, MaxBytes: 64 << 20, OnFlush: true}}

	for run := range 2 {
		db, err := slatedb.Open(ctx, "memory:///disk-cache-example", o)
		if err != nil {
			log.Fatal(err)
		}
		if run == 0 {
			if err := db.Put(ctx, []byte("city"), []byte("Oslo")); err != nil {
				log.Fatal(err)
			}
			if err := db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}); err != nil {
				log.Fatal(err)
			}
		}
		v, err := db.Get(ctx, []byte("city"))
		if err != nil {
			log.Fatal(err)
		}
		parts, _ := db.Metrics().Value("slatedb.object_store_cache.cache_keys")
		fmt.Printf("%s, %v part on disk\n", v, parts)
		if err := db.Close(ctx); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// Oslo, 1 part on disk
	// Oslo, 1 part on disk
}

// A read replica with a mirror reads no table from the store once it is open.
func ExampleDiskCacheOptions_mirror() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "slatedb-mirror-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	db, err := slatedb.Open(ctx, "memory:///mirror-example", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close(ctx)
	if err := db.Put(ctx, []byte("city"), []byte("Oslo")); err != nil {
		log.Fatal(err)
	}
	if err := db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}); err != nil {
		log.Fatal(err)
	}

	replica, err := slatedb.OpenReader(ctx, "memory:///mirror-example", &slatedb.ReaderOptions{
		DiskCache: &slatedb.DiskCacheOptions{Dir: dir, Mirror: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer replica.Close(ctx)
	v, err := replica.Get(ctx, []byte("city"))
	if err != nil {
		log.Fatal(err)
	}
	tables, _ := replica.Metrics().Value("slatedb.object_store_cache.cache_keys")
	missing, _ := replica.Metrics().Value("slatedb.object_store_cache.mirror_missing_tables")
	fmt.Printf("%s, %v table on disk, %v missing\n", v, tables, missing)
	// Output: Oslo, 1 table on disk, 0 missing
}
