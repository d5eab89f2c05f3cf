package cache

import (
	"math/bits"
	"runtime"
	"sync"

	"github.com/slatedb/slatedb-go/sst"
)

// Options are the budgets of a cache.
type Options struct {
	// BlockBytes bounds the data blocks held. The default is 512 MiB. Negative: none are
	// kept (concurrent misses of one block still share a request).
	BlockBytes int64
	// MetaBytes bounds indexes, filters and statistics held. The default is 128 MiB.
	// Negative: none are kept.
	MetaBytes int64
}

const (
	defaultBlockBytes = 512 << 20
	defaultMetaBytes  = 128 << 20
	// minShardBytes keeps a shard large against a block: with less, an uneven spread of the
	// blocks over the shards would waste budget.
	minShardBytes = 1 << 20
)

// A Cache is a bounded set of blocks and metadata, for one or many databases.
type Cache struct {
	opts   Options
	blocks []shard // a power of two
	meta   shard   // one is enough: metadata is large and seldom loaded
	tables registry

	scopes struct {
		sync.Mutex
		m map[string]uint32
	}
}

var _ sst.BlockCache = (*Cache)(nil)

// New makes an empty cache. It starts nothing and needs no Close when it is dropped together
// with its tables.
func New(o Options) *Cache {
	if o.BlockBytes == 0 {
		o.BlockBytes = defaultBlockBytes
	}
	if o.MetaBytes == 0 {
		o.MetaBytes = defaultMetaBytes
	}
	o.BlockBytes, o.MetaBytes = max(o.BlockBytes, 0), max(o.MetaBytes, 0)
	c := &Cache{opts: o}
	c.blocks = make([]shard, shardCount(o.BlockBytes, runtime.GOMAXPROCS(0)))
	for i := range c.blocks {
		c.blocks[i].init(o.BlockBytes / int64(len(c.blocks)))
	}
	c.meta.init(o.MetaBytes)
	c.tables.init()
	c.scopes.m = map[string]uint32{}
	return c
}

// shardCount returns four shards per processor, rounded up to a power of two, but no more
// than keep minShardBytes each.
func shardCount(budget int64, procs int) int {
	n := 1 << bits.Len(uint(4*procs-1))
	for n > 1 && budget/int64(n) < minShardBytes {
		n /= 2
	}
	return n
}

// Scope returns the number of a store root.
func (c *Cache) Scope(root string) uint32 {
	c.scopes.Lock()
	defer c.scopes.Unlock()
	n, ok := c.scopes.m[root]
	if !ok {
		n = uint32(len(c.scopes.m))
		c.scopes.m[root] = n
	}
	return n
}

// Cells returns the cells of a table, making them on first use.
func (c *Cache) Cells(k sst.TableKey) *sst.Cells { return c.tables.get(k) }

// MetaBudget is the bytes of metadata that the cache can hold; a warm-up loads no more.
func (c *Cache) MetaBudget() int64 { return c.opts.MetaBytes }

// shard returns where entry i of a table lives. Neighbouring blocks go to neighbouring
// shards, so that a table is spread evenly, whatever its size.
func (c *Cache) shard(cells *sst.Cells, i int) *shard {
	if i == sst.MetaBlock {
		return &c.meta
	}
	return &c.blocks[(tableHash(cells.Key)+uint32(i))&uint32(len(c.blocks)-1)]
}

// Join begins or joins the load of block i, or of the metadata. When it has been cached
// meanwhile, the load is finished already.
func (c *Cache) Join(cells *sst.Cells, i int) (l *sst.Load, leader bool) {
	s := c.shard(cells, i)
	k := flightKey{cells, i}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l = s.mu.flights[k]; l != nil {
		s.stats.Joins++
		return l, false
	}
	l = sst.NewLoad()
	if v := load(cells, i); v != (sst.Loaded{}) {
		l.Resolve(v, nil)
		return l, false
	}
	s.stats.Misses++
	s.mu.flights[k] = l
	return l, true
}

// Finish ends a load that Join made the caller the leader of.
func (c *Cache) Finish(cells *sst.Cells, i int, l *sst.Load, v sst.Loaded, err error, admit bool) {
	s := c.shard(cells, i)
	k := flightKey{cells, i}
	s.mu.Lock()
	if s.mu.flights[k] == l {
		delete(s.mu.flights, k)
	}
	if err != nil {
		s.stats.Errors++
	} else if admit {
		s.admitLocked(cells, i, v)
	}
	s.mu.Unlock()
	l.Resolve(v, err)
}

// Admit stores a block that was read without Join.
func (c *Cache) Admit(cells *sst.Cells, i int, b *sst.Block) {
	if i < 0 || b == nil {
		return
	}
	s := c.shard(cells, i)
	s.mu.Lock()
	s.admitLocked(cells, i, sst.Loaded{Block: b})
	s.mu.Unlock()
}

// AdmitMeta stores metadata that was not read through Join (that of a table just written).
func (c *Cache) AdmitMeta(cells *sst.Cells, m *sst.Meta) {
	if m == nil {
		return
	}
	c.meta.mu.Lock()
	c.meta.admitLocked(cells, sst.MetaBlock, sst.Loaded{Meta: m})
	c.meta.mu.Unlock()
}

// Drop forgets a table and gives its bytes back at once. Readers that still have the table
// open go on, uncached.
func (c *Cache) Drop(k sst.TableKey) {
	cells := c.tables.remove(k)
	if cells == nil {
		return
	}
	// From here on nothing is admitted: admission reads the flag under the shard's lock, and
	// each shard is swept under its lock after this store.
	cells.Dropped.Store(true)
	c.sweep(cells)
}

// Evict gives a table's bytes back. What is read of it later is admitted again.
func (c *Cache) Evict(k sst.TableKey) {
	if cells := c.tables.find(k); cells != nil {
		c.sweep(cells)
	}
}

func (c *Cache) sweep(cells *sst.Cells) {
	c.meta.drop(cells, sst.MetaBlock, 1)
	n := len(cells.Blocks())
	first := int(tableHash(cells.Key))
	for i := range min(n, len(c.blocks)) {
		c.blocks[(first+i)&(len(c.blocks)-1)].drop(cells, i, len(c.blocks))
	}
}

// Close forgets everything and admits nothing afterwards. Loads in flight still reach those
// who wait for them. It may be called twice.
func (c *Cache) Close() error {
	c.meta.clear()
	for i := range c.blocks {
		c.blocks[i].clear()
	}
	return nil
}
