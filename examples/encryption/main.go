// Encryption opens a database in memory with a ring of keys, shows what somebody sees who can
// read the store, and changes the key.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/ciphers"
	"github.com/slatedb/slatedb-go/objstore"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// key stands for a secret from a key management service: 32 unpredictable bytes.
func key(id uint32) ciphers.Key {
	secret := sha256.Sum256(fmt.Appendf(nil, "not a secret at all, %d", id))
	return ciphers.Key{ID: id, Secret: secret[:]}
}

func run(ctx context.Context) error {
	ring, err := ciphers.New(1, []ciphers.Key{key(1)}, nil)
	if err != nil {
		return err
	}
	store := objstore.NewMemory()
	options := &slatedb.Options{
		Store: store, BlockTransformer: ring, Logger: slog.New(slog.DiscardHandler),
		// Caches hold plain blocks. With the process's shared one a handle without the key could
		// read what another has put there.
		BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20,
	}
	db, err := slatedb.Open(ctx, "patients", options)
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	for i := range 5 {
		if err := db.Put(ctx, fmt.Appendf(nil, "patient-%d", i), []byte("diagnosis: hypertension")); err != nil {
			return err
		}
	}
	if err := db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}); err != nil {
		return err
	}
	fmt.Println("what somebody sees who can read the store:")
	if err := look(ctx, store); err != nil {
		return err
	}

	// Rotation: give the new key to every process that reads, then let the writer use it. What
	// is there keeps its key until it is compacted; Rewrite does that at once.
	if err := ring.Add(key(2)); err != nil {
		return err
	}
	if err := ring.Activate(2); err != nil {
		return err
	}
	if err := db.CompactWithOptions(ctx, &slatedb.CompactOptions{Rewrite: true}); err != nil {
		return err
	}
	if err := db.Put(ctx, []byte("patient-5"), []byte("diagnosis: none")); err != nil {
		return err
	}
	if err := db.Close(ctx); err != nil {
		return err
	}
	fmt.Printf("keys in the ring: %d, the active one is %d\n", ring.IDs(), ring.Active())

	// Who has the new key alone reads all rows; old objects wait for the garbage collector.
	fresh, err := ciphers.New(2, []ciphers.Key{key(2)}, nil)
	if err != nil {
		return err
	}
	options.BlockTransformer = fresh
	if db, err = slatedb.Open(ctx, "patients", options); err != nil {
		return err
	}
	v, err := db.Get(ctx, []byte("patient-3"))
	if err != nil {
		return err
	}
	fmt.Printf("with key 2: %s\n", v)
	if err := db.Close(ctx); err != nil {
		return err
	}

	// A missing key is a typed error.
	if options.BlockTransformer, err = ciphers.New(1, []ciphers.Key{key(1)}, nil); err != nil {
		return err
	}
	if db, err = slatedb.Open(ctx, "patients", options); err == nil {
		_, err = db.Get(ctx, []byte("patient-3"))
		_ = db.Close(ctx)
	}
	var unknown *ciphers.UnknownKeyError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("want an unknown key, got %w", err)
	}
	fmt.Printf("with key 1: key %d is missing\n", unknown.ID)
	return nil
}

// look searches all objects for a value and for keys.
func look(ctx context.Context, store objstore.Store) error {
	values, first, others := 0, map[string]bool{}, 0
	for o, err := range store.List(ctx, "", "") {
		if err != nil {
			return err
		}
		obj, err := store.Get(ctx, o.Key)
		if err != nil {
			return err
		}
		kind := strings.Split(o.Key, "/")[1]
		values += bytes.Count(obj.Body, []byte("hypertension"))
		for _, k := range []string{"patient-0", "patient-4"} {
			if bytes.Contains(obj.Body, []byte(k)) {
				first[kind] = true
			}
		}
		for _, k := range []string{"patient-1", "patient-2", "patient-3"} {
			others += bytes.Count(obj.Body, []byte(k))
		}
	}
	fmt.Printf("  values: %d\n", values)
	fmt.Printf("  first and last key of a table: in the table %v, in the manifest %v\n", first["compacted"], first["manifest"])
	fmt.Printf("  keys between them, in tables: %d\n", others)
	return nil
}
