package sst_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// countingStore serves tables from memory, counts, delays, and fails where a test says so.
type countingStore struct {
	objstore.Store
	mu      sync.Mutex
	objects map[string][]byte

	requests, heads atomic.Int64
	running, most   atomic.Int64
	delay           time.Duration                                                // inside a synctest bubble
	hook            func(n int64, key string, p []byte, off int64) (bool, error) // n counts from 1; true: the answer is this
}

func newCounting() *countingStore { return &countingStore{objects: map[string][]byte{}} }

func (c *countingStore) Head(_ context.Context, key string) (objstore.Attributes, error) {
	c.heads.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.objects[key]
	if !ok {
		return objstore.Attributes{}, objstore.ErrNotFound
	}
	return objstore.Attributes{Key: key, Size: int64(len(b))}, nil
}

func (c *countingStore) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	n := c.requests.Add(1)
	r := c.running.Add(1)
	defer c.running.Add(-1)
	for m := c.most.Load(); r > m && !c.most.CompareAndSwap(m, r); m = c.most.Load() {
	}
	if c.delay > 0 {
		t := time.NewTimer(c.delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if c.hook != nil {
		if stop, err := c.hook(n, key, p, off); stop {
			if err == nil {
				return len(p), nil
			}
			return 0, err
		}
	}
	c.mu.Lock()
	b, ok := c.objects[key]
	c.mu.Unlock()
	if !ok {
		return 0, objstore.ErrNotFound
	}
	if off >= int64(len(b)) {
		return 0, objstore.ErrRange
	}
	m := copy(p, b[off:])
	if m < len(p) {
		return m, objstore.ErrRange
	}
	return m, nil
}

// row is an entry of a model.
type row struct {
	key, value string
	seq        kv.Seq
	kind       kv.Kind
}

func (r row) entry() kv.Entry {
	return kv.Entry{Key: []byte(r.key), Value: []byte(r.value), Seq: r.seq, Kind: r.kind, CreateTS: 7, ExpireTS: kv.NoTS}
}

func rowOf(e *kv.Entry) row {
	return row{string(e.Key), string(e.Value), e.Seq, e.Kind}
}

func sortRows(rows []row) {
	slices.SortFunc(rows, func(a, b row) int {
		if c := cmp.Compare(a.key, b.key); c != 0 {
			return c
		}
		return cmp.Compare(b.seq, a.seq)
	})
}

// inOrder returns the rows in r, in the order in which an iterator gives them.
func inOrder(rows []row, r kv.Range, desc bool) []row {
	var out []row
	for _, x := range rows {
		if r.Contains([]byte(x.key)) {
			out = append(out, x)
		}
	}
	if desc {
		slices.SortStableFunc(out, func(a, b row) int { return cmp.Compare(b.key, a.key) })
	}
	return out
}

var tableSerial atomic.Uint64

func nextULID() (u ulid.ULID) {
	n := tableSerial.Add(1)
	_ = u.SetTime(1700000000000 + n)
	binary.BigEndian.PutUint64(u[8:], n*0x9E3779B97F4A7C15)
	return u
}

// addTable writes a table of sorted rows.
func (c *countingStore) addTable(t require.TestingT, root string, rows []row, o sst.WriterOptions) *sst.Handle {
	w := sst.NewWriter(o)
	for _, r := range rows {
		e := r.entry()
		require.NoError(t, w.Add(&e))
	}
	body, info, err := w.Finish()
	require.NoError(t, err)
	h := &sst.Handle{ID: sst.TableID(nextULID()), Format: sst.FormatV2, Info: info}
	c.mu.Lock()
	c.objects[h.ID.Object(root)] = bytes.Clone(body)
	c.mu.Unlock()
	return h
}

func (c *countingStore) open(cache sst.BlockCache, o sst.StoreOptions) *sst.Store {
	if o.Env == nil {
		o.Env = seam.New(seam.Env{})
	}
	return sst.NewStore(c, "db", cache, o)
}

func view(s *sst.Store, h *sst.Handle, visible *kv.Range) *sst.ViewReader {
	return sst.NewViewReader(s.Open(h), &sst.View{ID: nextULID(), Table: h, Visible: visible})
}

// numbered makes n rows with keys key000000, key000001, ...
func numbered(n, valueLen int) []row {
	rows := make([]row, n)
	value := string(bytes.Repeat([]byte{'v'}, valueLen))
	for i := range rows {
		rows[i] = row{key: fmt.Sprintf("key%06d", i), value: value, seq: kv.Seq(i + 1)}
	}
	return rows
}

func drain(t testing.TB, it kv.Iterator) []row {
	t.Helper()
	var out []row
	for it.Next() {
		out = append(out, rowOf(it.Entry()))
	}
	require.NoError(t, it.Err())
	return out
}

// get reads key from views, newest first, fetching as needed, and counts the fetches.
func get(ctx context.Context, s *sst.Store, vs []*sst.ViewReader, key string, max kv.Seq, fill bool) (e kv.Entry, found bool, fetches int, err error) {
	var l sst.Lookup
	l.Reset([]byte(key), nil)
	defer l.Done()
	for {
		for _, v := range vs {
			verdict, err := v.Get(&l, max, &e)
			if err != nil {
				return e, false, fetches, err
			}
			if verdict == sst.Found && !l.NeedsFetch() {
				return e, true, fetches, nil
			}
		}
		if !l.NeedsFetch() {
			return e, false, fetches, nil
		}
		fetches++
		if err := s.Fetch(ctx, sst.FetchOptions{Fill: fill}, &l); err != nil {
			return e, false, fetches, err
		}
	}
}
