package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/objstore"
)

// patience is how often the same odd answer is taken for an accident.
const patience = 3

// errOdd is an answer that a retry would ask for again for ever.
var errOdd = errors.New("the same odd answer each time")

// guard stands below retry and counts requests. An odd answer that comes again and again is
// a trait of the store and not an accident: it is made final.
type guard struct {
	objstore.Store
	requests atomic.Int64

	mu  sync.Mutex
	odd map[string]int
}

func (g *guard) again(method, key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.odd == nil {
		g.odd = make(map[string]int)
	}
	g.odd[method+key]++
	return g.odd[method+key] >= patience
}

func final(err error) error {
	return objstore.Permanent(objstore.NoEffect(fmt.Errorf("%w: %v", errOdd, err)))
}

func (g *guard) Get(ctx context.Context, key string) (objstore.Object, error) {
	g.requests.Add(1)
	o, err := g.Store.Get(ctx, key)
	if err == nil && int64(len(o.Body)) != o.Size {
		err = fmt.Errorf("body of %d bytes, %d promised: %w", len(o.Body), o.Size, io.ErrUnexpectedEOF)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && ctx.Err() == nil && g.again("get", key) {
		err = final(err)
	}
	return o, err
}

func (g *guard) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	g.requests.Add(1)
	n, err := g.Store.ReadAt(ctx, key, p, off)
	if err == nil && n != len(p) {
		err = fmt.Errorf("%d bytes of the %d asked for: %w", n, len(p), io.ErrUnexpectedEOF)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && ctx.Err() == nil && g.again(fmt.Sprint("read", off), key) {
		err = final(err)
	}
	return n, err
}

func (g *guard) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	g.requests.Add(1)
	v, err := g.Store.Put(ctx, key, body, c)
	if errors.Is(err, objstore.ErrPrecondition) && g.again("put"+c.PutID(), key) {
		// retry asks again when its look at the object says that the condition holds.
		err = final(errors.New("refused although the condition holds"))
	}
	return v, err
}

func (g *guard) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	g.requests.Add(1)
	return g.Store.Head(ctx, key)
}

func (g *guard) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	g.requests.Add(1)
	return g.Store.List(ctx, prefix, after)
}

func (g *guard) Delete(ctx context.Context, key string) error {
	g.requests.Add(1)
	return g.Store.Delete(ctx, key)
}
