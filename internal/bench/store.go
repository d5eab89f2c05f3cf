package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
)

// openStore makes the store of a run, with its counters on the outside and the delay within.
func openStore(ctx context.Context, a args) *counting {
	where := a.s("store", "memory")
	d := delay.Options{Get: a.ms("get_ms", 0), Put: a.ms("put_ms", 0)}
	d.List = a.ms("list_ms", d.Get)
	slow := d != delay.Options{}

	var s objstore.Store
	dir, isFile := strings.CutPrefix(where, "file:")
	switch {
	case where == "memory":
		s = objstore.NewMemory()
	case isFile:
		fs, err := objstore.NewDir(dir)
		check(err)
		s = fs
		if slow { // as the other driver does, so that only the delay costs time
			s = objstore.NewMemory()
			check(copyAll(ctx, fs, s))
		}
	default:
		fatal(fmt.Errorf("store=%s is neither memory nor file:PATH", where))
	}
	if slow {
		s = delay.New(s, d)
	}
	return &counting{Store: s}
}

func copyAll(ctx context.Context, from, to objstore.Store) error {
	for at, err := range from.List(ctx, "", "") {
		if err != nil {
			return err
		}
		o, err := from.Get(ctx, at.Key)
		if err != nil {
			return err
		}
		if _, err := to.Put(ctx, at.Key, o.Body, objstore.Always); err != nil {
			return err
		}
	}
	return nil
}

// counting counts requests and bytes by kind.
type counting struct {
	objstore.Store
	gets, puts, heads, lists, deletes atomic.Int64
	bytesIn, bytesOut                 atomic.Int64
}

// traffic is what counting has seen up to a moment.
type traffic struct {
	Get    int64 `json:"get"`
	Put    int64 `json:"put"`
	Head   int64 `json:"head"`
	List   int64 `json:"list"`
	Delete int64 `json:"delete"`
	Read   int64 `json:"read_bytes"`
	Write  int64 `json:"written_bytes"`
}

func (c *counting) now() traffic {
	return traffic{c.gets.Load(), c.puts.Load(), c.heads.Load(), c.lists.Load(), c.deletes.Load(), c.bytesIn.Load(), c.bytesOut.Load()}
}

func (t traffic) since(o traffic) traffic {
	return traffic{t.Get - o.Get, t.Put - o.Put, t.Head - o.Head, t.List - o.List, t.Delete - o.Delete, t.Read - o.Read, t.Write - o.Write}
}

func (c *counting) Get(ctx context.Context, key string) (objstore.Object, error) {
	c.gets.Add(1)
	o, err := c.Store.Get(ctx, key)
	c.bytesIn.Add(int64(len(o.Body)))
	return o, err
}

func (c *counting) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	c.gets.Add(1)
	n, err := c.Store.ReadAt(ctx, key, p, off)
	c.bytesIn.Add(int64(n))
	return n, err
}

func (c *counting) Put(ctx context.Context, key string, body []byte, cond objstore.Condition) (objstore.Version, error) {
	c.puts.Add(1)
	c.bytesOut.Add(int64(len(body)))
	return c.Store.Put(ctx, key, body, cond)
}

func (c *counting) Upload(ctx context.Context, key string, body io.Reader, cond objstore.Condition) (objstore.Version, error) {
	c.puts.Add(1)
	return c.Store.Upload(ctx, key, &countingReader{body, &c.bytesOut}, cond)
}

type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	return n, err
}

func (c *counting) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	c.heads.Add(1)
	return c.Store.Head(ctx, key)
}

func (c *counting) Delete(ctx context.Context, key string) error {
	c.deletes.Add(1)
	return c.Store.Delete(ctx, key)
}

func (c *counting) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	c.lists.Add(1)
	return c.Store.List(ctx, prefix, after)
}

// objects counts what lies in the store, by folder.
func (c *counting) objects(ctx context.Context) (map[string]int64, int64) {
	out, bytes := map[string]int64{}, int64(0)
	for at, err := range c.Store.List(ctx, "", "") {
		check(err)
		kind := at.Key[:strings.LastIndexByte(at.Key, '/')+1]
		out[strings.Trim(kind, "/")]++
		bytes += at.Size
	}
	return out, bytes
}

// pause is how often a waiting workload looks again.
const pause = 50 * time.Millisecond
