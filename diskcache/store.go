package diskcache

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// A Cached store is a store with the cache in front of it. Reads of tables go through the
// cache and fill it; everything else goes to the store.
type Cached struct {
	objstore.Store
	c      *Cache
	scope  string
	read   bool // reads use the cache
	fresh  bool // reads drop what is there first
	admit  bool // what is written is kept
	counts *Counts
}

// Counts are the figures of one handle: parts that it asked for, and those that the disk had.
type Counts struct{ Access, Hit atomic.Int64 }

// Reads returns inner with the cache in front of it. scope tells stores apart that share the
// directory; the same store must get the same scope after a restart. The second store drops
// what is kept before it reads: for a read that found damage.
func (c *Cache) Reads(inner objstore.Store, scope string, n *Counts) (cached, fresh *Cached) {
	s := Cached{Store: inner, c: c, scope: scope, read: true, counts: n}
	f := s
	f.fresh = true
	return &s, &f
}

// Writes returns inner for a component that writes tables: its reads go past the cache, and
// what it writes is kept when admit is set. An object that is written takes the place of
// whatever the cache had under its key.
func (c *Cache) Writes(inner objstore.Store, scope string, admit bool) *Cached {
	return &Cached{Store: inner, c: c, scope: scope, admit: admit}
}

// isTable reports whether an object is a compacted table: those never change.
func isTable(key string) bool {
	if !strings.HasSuffix(key, ".sst") {
		return false
	}
	at := strings.LastIndexByte(key, '/')
	return at >= 0 && (key[:at] == "compacted" || strings.HasSuffix(key[:at], "/compacted"))
}

// maxRead: a larger read (of a block with a huge value) goes past the cache, which it would
// sweep out.
const maxRead = 8 << 20

// ReadAt implements objstore.Store. A part is read from the store whole, once for all who
// ask for it, and parts that are neighbours in one request.
func (s *Cached) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	part := s.c.geo.part
	if !s.read || len(p) == 0 || len(p) > maxRead || off < 0 || !isTable(key) || (off+int64(len(p)))/part > 1<<31 {
		return s.Store.ReadAt(ctx, key, p, off)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	o := identify(s.scope, key)
	first, last := uint32(off/part), uint32((off+int64(len(p))-1)/part)
	if s.fresh {
		s.c.refuse(o, first, last)
	}
	// cut returns where part n lies in p, and from where in the part.
	cut := func(n uint32) (dst []byte, from int64) {
		start := int64(n) * part
		a, b := max(start, off), min(start+part, off+int64(len(p)))
		return p[a-off : b-off], a - start
	}
	var missing []uint32
	for n := first; n <= last; n++ {
		dst, from := cut(n)
		if !s.c.read(partKey{o, n}, dst, from) {
			missing = append(missing, n)
		}
	}
	s.counts.Access.Add(int64(last-first) + 1)
	s.counts.Hit.Add(int64(last-first) + 1 - int64(len(missing)))
	if len(missing) == 0 {
		return len(p), nil
	}
	if s.c.paused() {
		return s.Store.ReadAt(ctx, key, p, off) // nothing would be kept: no more than was asked for
	}
	return s.miss(ctx, key, o, p, off, missing, cut)
}

// miss fills in the missing parts. It waits for every flight that it joined, or leaves it.
func (s *Cached) miss(ctx context.Context, key string, o objectID, p []byte, off int64, missing []uint32, cut func(uint32) ([]byte, int64)) (int, error) {
	end, err := len(p), error(nil)
	for i, fl := range s.c.join(ctx, s.Store, key, o, missing) {
		data, ferr := s.c.wait(ctx, fl)
		if err != nil {
			continue
		}
		if err = ferr; err != nil {
			continue
		}
		dst, from := cut(missing[i])
		if n := copy(dst, data[min(from, int64(len(data))):]); n < len(dst) {
			at := int64(missing[i])*s.c.geo.part + from + int64(n)
			end, err = int(at-off), fmt.Errorf("read %s: %w: the object ends at %d", key, objstore.ErrRange, at)
		}
	}
	if err != nil && end == len(p) {
		return 0, err
	}
	return end, err
}

// Put implements objstore.Store.
func (s *Cached) Put(ctx context.Context, key string, body []byte, cond objstore.Condition) (objstore.Version, error) {
	if !isTable(key) {
		return s.Store.Put(ctx, key, body, cond)
	}
	o := identify(s.scope, key)
	s.c.forget(o)
	v, err := s.Store.Put(ctx, key, body, cond)
	if err == nil && s.admit {
		s.c.admit(o, int64(len(body)), func(p []byte, off int64) []byte { return body[off:][:len(p)] })
	}
	return v, err
}

// Upload implements objstore.Store. A body that can be read again (a bytes.Reader) is kept.
func (s *Cached) Upload(ctx context.Context, key string, body io.Reader, cond objstore.Condition) (objstore.Version, error) {
	if !isTable(key) {
		return s.Store.Upload(ctx, key, body, cond)
	}
	o := identify(s.scope, key)
	s.c.forget(o)
	v, err := s.Store.Upload(ctx, key, body, cond)
	again, ok := body.(interface {
		io.ReaderAt
		Size() int64
	})
	if err == nil && s.admit && ok {
		s.c.admit(o, again.Size(), func(p []byte, off int64) []byte {
			if n, err := again.ReadAt(p, off); n < len(p) || err != nil && err != io.EOF {
				return nil
			}
			return p
		})
	}
	return v, err
}

// admit keeps a whole object. It waits for the disk: who writes tables works in the
// background.
func (c *Cache) admit(o objectID, size int64, at func(p []byte, off int64) []byte) {
	buf := make([]byte, c.geo.part)
	for off := int64(0); off < size; off += c.geo.part {
		data := at(buf[:min(c.geo.part, size-off)], off)
		if data == nil {
			return
		}
		c.keep(partKey{o, uint32(off / c.geo.part)}, data, nil)
	}
}

// A Table is an object to preload, up to byte Size.
type Table struct {
	Key  string
	Size int64
}

// preloadTasks is how many tables are read at once; arbitrary, and low, since reads of the
// user run beside it.
const preloadTasks = 4

// preloadStep is how much is read at once.
const preloadStep = 1 << 20

// Preload reads tables, in their order, until the cache could be full. Parts that are there
// are not read again. What fails is skipped: the first read of it will tell. It returns when
// it is done or ctx ends.
func (s *Cached) Preload(ctx context.Context, env *seam.Env, tables []Table) {
	room := int64(s.c.geo.capacity()) * s.c.geo.part
	n := 0
	for n < len(tables) {
		size := (tables[n].Size + s.c.geo.part - 1) / s.c.geo.part * s.c.geo.part
		if room -= size; room < 0 {
			break
		}
		n++
	}
	var next atomic.Int64
	g, gctx := env.Group(ctx)
	for range min(preloadTasks, n) {
		g.Go("disk-cache.preload", func() error {
			for gctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				s.preload(gctx, tables[i])
			}
			return nil
		})
	}
	_ = g.Wait()
}

func (s *Cached) preload(ctx context.Context, t Table) {
	part, o := s.c.geo.part, identify(s.scope, t.Key)
	step := max(part, preloadStep/part*part)
	buf := make([]byte, min(step, t.Size))
	for off := int64(0); off < t.Size && ctx.Err() == nil; off += step {
		p := buf[:min(step, t.Size-off)]
		if s.c.has(o, uint32(off/part), uint32((off+int64(len(p))-1)/part)) {
			continue
		}
		if n, err := s.Store.ReadAt(ctx, t.Key, p, off); err != nil || n < len(p) {
			return
		}
		for at := int64(0); at < int64(len(p)); at += part {
			// The last part may be cut off before the end of the object. That is no harm: what
			// lies behind Size is never asked for, and if it is, the part is read again.
			s.c.keep(partKey{o, uint32((off + at) / part)}, p[at:min(at+part, int64(len(p)))], nil)
		}
	}
}

// has reports whether all parts of a range are in the index.
func (c *Cache) has(o objectID, first, last uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := first; n <= last; n++ {
		if _, ok := c.mu.index[partKey{o, n}]; !ok {
			return false
		}
	}
	return true
}
