package main

import (
	"context"
	"iter"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/objstore"
)

// A countingStore counts the reading requests that go through it.
type countingStore struct {
	objstore.Store
	gets, heads, lists, bytes atomic.Int64
}

func (c *countingStore) Get(ctx context.Context, key string) (objstore.Object, error) {
	c.gets.Add(1)
	o, err := c.Store.Get(ctx, key)
	c.bytes.Add(int64(len(o.Body)))
	return o, err
}

func (c *countingStore) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	c.gets.Add(1)
	n, err := c.Store.ReadAt(ctx, key, p, off)
	c.bytes.Add(int64(n))
	return n, err
}

func (c *countingStore) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	c.heads.Add(1)
	return c.Store.Head(ctx, key)
}

func (c *countingStore) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	c.lists.Add(1)
	return c.Store.List(ctx, prefix, after)
}
