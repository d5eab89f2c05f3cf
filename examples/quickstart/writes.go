package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/operators"
)

// putAndGet: Put returns when the write is durable in the object store.
func putAndGet(ctx context.Context, db *slatedb.DB) error {
	if err := db.Put(ctx, []byte("user:1"), []byte("Alice")); err != nil {
		return err
	}
	name, err := db.Get(ctx, []byte("user:1"))
	if err != nil {
		return err
	}
	fmt.Printf("   user:1 is %s\n", name)
	_, err = db.Get(ctx, []byte("user:2"))
	if !errors.Is(err, slatedb.ErrNotFound) {
		return err
	}
	fmt.Println("   user:2 is not found")
	return nil
}

// expiring: with NoWait a put is visible at once, and durable when Await returns nil.
func expiring(ctx context.Context, db *slatedb.DB) error {
	h, err := db.PutWithOptions(ctx, []byte("session:1"), []byte("token"), &slatedb.PutOptions{TTL: time.Hour, NoWait: true})
	if err != nil {
		return err
	}
	e, err := db.GetEntry(ctx, []byte("session:1"), nil)
	if err != nil {
		return err
	}
	fmt.Printf("   session:1 lives %v\n", e.ExpireTime.Sub(e.CreateTime))
	if err := h.Await(ctx); err != nil {
		return err
	}
	fmt.Printf("   write %d is durable\n", h.Seq())

	// What has expired is not there, whether its bytes still are or not.
	if _, err := db.PutWithOptions(ctx, []byte("session:0"), nil, &slatedb.PutOptions{ExpireAt: time.Unix(0, 0)}); err != nil {
		return err
	}
	there, err := db.Has(ctx, []byte("session:0"))
	fmt.Printf("   session:0 is there: %v\n", there)
	return err
}

// batch: its operations become visible and durable as one.
func batch(ctx context.Context, db *slatedb.DB) error {
	var b slatedb.WriteBatch
	b.Put([]byte("user:2"), []byte("Bob"))
	b.Put([]byte("user:3"), []byte("Carol"))
	b.Put([]byte("order:1"), []byte("3 apples"))
	b.Put([]byte("order:2"), []byte("1 pear"))
	b.Delete([]byte("session:1"))
	if err := db.Write(ctx, &b); err != nil {
		return err
	}
	fmt.Printf("   %d operations\n", b.Len())
	return nil
}

// transaction: Update runs its function again on a conflict; nil means committed and durable.
// The merge adds to a number without reading it.
func transaction(ctx context.Context, db *slatedb.DB) error {
	for range 2 {
		err := db.Update(ctx, slatedb.SerializableSnapshot, func(tx *slatedb.Txn) error {
			order, err := tx.Get(ctx, []byte("order:1"))
			if err != nil {
				return err
			}
			if err := tx.Put([]byte("order:1"), append(order, '!')); err != nil {
				return err
			}
			return tx.Merge([]byte("changes"), operators.Int64(1))
		})
		if err != nil {
			return err
		}
	}
	v, err := db.Get(ctx, []byte("changes"))
	if err != nil {
		return err
	}
	n, err := operators.DecodeInt64(v)
	fmt.Printf("   order:1 was changed %d times\n", n)
	return err
}

// flushLog: Flush makes all that was written before it durable, in one upload.
func flushLog(ctx context.Context, db *slatedb.DB) error {
	var last slatedb.WriteHandle
	for i := range 100 {
		h, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "event:%03d", i), nil, &slatedb.PutOptions{NoWait: true})
		if err != nil {
			return err
		}
		last = h
	}
	if err := db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushWAL}); err != nil {
		return err
	}
	fmt.Printf("   100 events are durable: %v\n", db.Status().DurableSeq >= last.Seq())
	return nil
}
