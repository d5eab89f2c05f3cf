package ciphers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/ciphers"
	"github.com/slatedb/slatedb-go/objstore"
)

func Example() {
	ctx := context.Background()
	secret := bytes.Repeat([]byte("not that"), 4) // from a key management service
	ring, err := ciphers.New(1, []ciphers.Key{{ID: 1, Secret: secret}}, nil)
	if err != nil {
		panic(err)
	}
	store := objstore.NewMemory()
	db, err := slatedb.Open(ctx, "db", &slatedb.Options{Store: store, BlockTransformer: ring, Logger: quiet})
	if err != nil {
		panic(err)
	}
	if err := db.Put(ctx, []byte("k"), []byte("secret value")); err != nil {
		panic(err)
	}
	for o, err := range store.List(ctx, "db/wal/", "") {
		if err != nil {
			panic(err)
		}
		obj, _ := store.Get(ctx, o.Key)
		fmt.Println(bytes.Contains(obj.Body, []byte("secret value")))
	}
	_ = db.Close(ctx)
	// Output:
	// false
	// false
}

func ExampleRing_Activate() {
	key := func(id uint32) ciphers.Key {
		return ciphers.Key{ID: id, Secret: bytes.Repeat([]byte{byte(id)}, ciphers.SecretBytes)}
	}
	ring, _ := ciphers.New(1, []ciphers.Key{key(1)}, nil)
	old, _ := ring.Encode([]byte("written before"))
	_ = ring.Add(key(2))
	_ = ring.Activate(2)
	fresh, _ := ring.Encode([]byte("written after"))
	for _, stored := range [][]byte{old, fresh} {
		id, _ := ciphers.KeyID(stored)
		plain, _ := ring.Decode(stored)
		fmt.Printf("key %d: %s\n", id, plain)
	}
	_ = ring.Remove(1)
	_, err := ring.Decode(old)
	var unknown *ciphers.UnknownKeyError
	fmt.Println(errors.As(err, &unknown), err)
	// Output:
	// key 1: written before
	// key 2: written after
	// true decrypt: key 1 is not in the ring
}

func ExampleGenerate() {
	ctx := context.Background()
	// A key management service encrypts and decrypts; this one only turns the bytes round.
	service := func(_ context.Context, b []byte) ([]byte, error) {
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
		return b, nil
	}
	_, wrapped, err := ciphers.Generate(ctx, 1, service, nil)
	if err != nil {
		panic(err)
	}
	keys, err := ciphers.Unwrap(ctx, []ciphers.WrappedKey{wrapped}, service)
	fmt.Println(keys, err)
	// Output: [key 1] <nil>
}
