package storetest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/retry"
)

// RunFaults breaks the wire to a real server under a provider's store, in every way and at
// every method, and holds the outcome against what the server then has: success with just
// one effect, or the right error within the ctx. upstream is the server (host:port); open
// returns a store that reaches it through addr.
func RunFaults(t *testing.T, upstream string, open func(t *testing.T, addr string) objstore.Store) {
	t.Helper()
	w := NewWire(t, upstream)
	s := retry.New(open(t, w.Addr), retry.Options{Min: time.Millisecond, Max: 5 * time.Millisecond})
	direct := open(t, upstream)
	n := 0
	for _, op := range wireOps {
		for _, fault := range []WireFault{Unavailable, Throttled, ResetBefore, ResetMid, LostReply} {
			for _, times := range []int64{1, 4} {
				n++
				key := fmt.Sprintf("wire/%03d", n)
				t.Run(fmt.Sprintf("%s %s %d", op.name, fault, times), func(t *testing.T) { wireCase(t, w, s, direct, key, op, fault, times) })
			}
		}
		n++
		key := fmt.Sprintf("wire/%03d", n)
		t.Run(op.name+" hang", func(t *testing.T) { wireHang(t, w, s, direct, key, op) })
	}
}

// A wireOp is one method; do is sent over the broken wire after prepare, and check looks at
// what it did.
type wireOp struct {
	name string
	http []string // methods that may carry it
	// exists: an object is there before.
	exists bool
	do     func(ctx context.Context, s objstore.Store, key string, v objstore.Version) error
	after  string // the body afterwards, "" = no object
}

var wireOps = []wireOp{
	{name: "create", http: []string{"PUT", "POST"}, after: "new", do: func(ctx context.Context, s objstore.Store, key string, _ objstore.Version) error {
		_, err := s.Put(ctx, key, []byte("new"), objstore.IfAbsent())
		return err
	}},
	{name: "update", http: []string{"PUT", "POST"}, exists: true, after: "new", do: func(ctx context.Context, s objstore.Store, key string, v objstore.Version) error {
		_, err := s.Put(ctx, key, []byte("new"), objstore.IfVersion(v))
		return err
	}},
	{name: "overwrite", http: []string{"PUT", "POST"}, exists: true, after: "new", do: func(ctx context.Context, s objstore.Store, key string, _ objstore.Version) error {
		_, err := s.Put(ctx, key, []byte("new"), objstore.Always)
		return err
	}},
	{name: "get", http: []string{"GET"}, exists: true, after: wireBody, do: func(ctx context.Context, s objstore.Store, key string, _ objstore.Version) error {
		o, err := s.Get(ctx, key)
		if err == nil && string(o.Body) != wireBody {
			err = fmt.Errorf("got %d other bytes", len(o.Body))
		}
		return err
	}},
	{name: "read", http: []string{"GET"}, exists: true, after: wireBody, do: func(ctx context.Context, s objstore.Store, key string, _ objstore.Version) error {
		p := make([]byte, 500)
		_, err := s.ReadAt(ctx, key, p, 1000)
		if err == nil && string(p) != wireBody[1000:1500] {
			err = fmt.Errorf("got other bytes")
		}
		return err
	}},
	{name: "head", http: []string{"HEAD", "GET"}, exists: true, after: wireBody, do: func(ctx context.Context, s objstore.Store, key string, _ objstore.Version) error {
		a, err := s.Head(ctx, key)
		if err == nil && a.Size != int64(len(wireBody)) {
			err = fmt.Errorf("size %d", a.Size)
		}
		return err
	}},
	{name: "list", http: []string{"GET"}, exists: true, after: wireBody, do: func(ctx context.Context, s objstore.Store, key string, _ objstore.Version) error {
		n := 0
		for _, err := range s.List(ctx, key, "") {
			if err != nil {
				return err
			}
			n++
		}
		if n != 1 {
			return fmt.Errorf("listed %d objects", n)
		}
		return nil
	}},
	{name: "delete", http: []string{"DELETE"}, exists: true, do: func(ctx context.Context, s objstore.Store, key string, _ objstore.Version) error {
		return s.Delete(ctx, key)
	}},
}

var wireBody = strings.Repeat("0123456789", 300)

// prepare puts the object there and breaks the wire for the next so many requests of op.
func prepare(t *testing.T, w *Wire, direct objstore.Store, key string, op wireOp, fault WireFault, times int64) objstore.Version {
	t.Helper()
	w.Set(nil)
	var v objstore.Version
	if op.exists {
		var err error
		v, err = direct.Put(t.Context(), key, []byte(wireBody), objstore.Always)
		require.NoError(t, err)
	}
	var hit atomic.Int64
	w.Set(func(r *http.Request) WireFault {
		for _, m := range op.http {
			if r.Method == m && hit.Add(1) <= times {
				return fault
			}
		}
		return Pass
	})
	return v
}

func checkWire(t *testing.T, direct objstore.Store, key string, op wireOp) {
	t.Helper()
	o, err := direct.Get(t.Context(), key)
	if op.after == "" {
		require.ErrorIs(t, err, objstore.ErrNotFound)
		return
	}
	require.NoError(t, err)
	assert.Equal(t, op.after, string(o.Body))
}

func wireCase(t *testing.T, w *Wire, s, direct objstore.Store, key string, op wireOp, fault WireFault, times int64) {
	v := prepare(t, w, direct, key, op, fault, times)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := op.do(ctx, s, key, v)
	require.NoError(t, err, "%v", w.Seen())
	w.Set(nil)
	checkWire(t, direct, key, op)
}

// wireHang: the call ends with its ctx, and what it began is found out by the next.
func wireHang(t *testing.T, w *Wire, s, direct objstore.Store, key string, op wireOp) {
	for _, fault := range []WireFault{HangBefore, HangAfter} {
		v := prepare(t, w, direct, key, op, fault, 1<<30)
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		start := time.Now()
		err := op.do(ctx, s, key, v)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, "%v", w.Seen())
		assert.Less(t, time.Since(start), 10*time.Second)
		w.Set(nil)
		require.NoError(t, direct.Delete(t.Context(), key))
	}
}
