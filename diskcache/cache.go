package diskcache

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

// A Cache is the part cache of one directory. All handles of a process that name the
// directory share it; the last Close ends it.
type Cache struct {
	conf Config
	dir  string // of the files
	geo  geometry
	refs int // under registry.mu

	// disk orders all that changes files, and is held while they change. Reads never take it.
	// It is taken before mu.
	disk  sync.Mutex
	lock  io.Closer // of the directory, under disk
	avoid map[int]bool

	mu struct {
		sync.Mutex
		closed  bool
		on      bool // the directory is open and its lock is ours
		scanned time.Time
		files   []seam.File // by slab; nil: not made yet, or foreign
		slots   []slot
		index   map[partKey]int32
		objects map[objectID]objectParts
		free    []int32 // empty on disk too, or to be overwritten
		dead    []int32 // dropped; their entries are still on disk
		policy  *policy
		seq     uint64
		health  health
		bytes   int64

		flights map[partKey]*flight
		queue   []*flight
		writing bool // the writer runs
		idle    *sync.Cond
	}
	stats struct {
		evicted, evictedLen, dropped, corrupt, readErrors, writeErrors atomic.Int64
	}
	buffers sync.Pool // of *[]byte
	warned  atomic.Bool

	watchers watchers
}

// slot is a place for one part.
type slot struct {
	entry
	gen  uint32 // changes with the content
	used bool   // in the index
}

// objectParts tells where the parts of an object can be.
type objectParts struct{ n, last uint32 }

// registry holds the caches of this process by file system and directory.
var registry struct {
	mu   sync.Mutex
	open map[registered]*Cache
}

type registered struct {
	fs  seam.FS
	dir string
}

// Open returns the part cache of a directory. Only options can make it fail: a directory
// that cannot be used now is tried again later, and reads go to the store meanwhile.
// Handles that share a directory must agree on its sizes (kv.ErrInvalid).
func Open(conf Config) (*Cache, error) {
	if err := conf.fill(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(conf.Dir)
	if err != nil {
		dir = filepath.Clean(conf.Dir)
	}
	at := registered{conf.FS, dir}
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if c := registry.open[at]; c != nil {
		if c.conf.MaxBytes != conf.MaxBytes || c.conf.PartBytes != conf.PartBytes || c.conf.MaxOpenFiles != conf.MaxOpenFiles {
			return nil, fmt.Errorf("%w: DiskCache.Dir %s is open in this process with other sizes (MaxBytes %d, PartBytes %d, MaxOpenFiles %d)",
				kv.ErrInvalid, conf.Dir, c.conf.MaxBytes, c.conf.PartBytes, c.conf.MaxOpenFiles)
		}
		c.refs++
		return c, nil
	}
	c := &Cache{conf: conf, dir: filepath.Join(dir, partsDir), geo: conf.geometry(), refs: 1}
	c.mu.idle = sync.NewCond(&c.mu)
	c.mu.flights = make(map[partKey]*flight)
	c.resetLocked()
	c.disk.Lock()
	c.start()
	c.disk.Unlock()
	if registry.open == nil {
		registry.open = make(map[registered]*Cache)
	}
	registry.open[at] = c
	return c, nil
}

// partsDir is a directory of our own in the user's.
const partsDir = "slatedb-parts"

// lockName is the file whose lock makes the directory ours. It is never removed.
const lockName = "LOCK"

// Close ends the use of the cache. The last handle's Close waits for what is being written
// and closes the files; what waits in the queue is dropped.
func (c *Cache) Close() {
	registry.mu.Lock()
	defer registry.mu.Unlock() // so that the directory is free when it can be opened again
	if c.refs--; c.refs > 0 {
		return
	}
	for at, o := range registry.open {
		if o == c {
			delete(registry.open, at)
		}
	}
	c.mu.Lock()
	c.mu.closed = true
	c.dropQueueLocked()
	c.mu.Unlock()
	c.Drain()
	c.disk.Lock()
	c.stop()
	c.disk.Unlock()
}

// Drain returns when nothing waits for the disk.
func (c *Cache) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.mu.writing {
		c.mu.idle.Wait()
	}
}

// Stats returns the figures.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Parts: int64(len(c.mu.index)), Bytes: c.mu.bytes, Off: !c.mu.on,
		Evicted: c.stats.evicted.Load(), EvictedLen: c.stats.evictedLen.Load(), Dropped: c.stats.dropped.Load(),
		Corrupt: c.stats.corrupt.Load(), ReadErrors: c.stats.readErrors.Load(), WriteErrors: c.stats.writeErrors.Load(),
	}
}

// resetLocked forgets everything that is known of the files.
func (c *Cache) resetLocked() {
	m := &c.mu
	m.on, m.files, m.slots, m.free, m.dead, m.bytes = false, make([]seam.File, 0, 8), nil, nil, nil, 0
	m.index, m.objects, m.policy = make(map[partKey]int32), make(map[objectID]objectParts), newPolicy()
}

// start opens the directory and reads what is in it. The caller holds disk.
func (c *Cache) start() {
	err := c.load()
	c.mu.Lock()
	c.mu.scanned = c.conf.Env.Clock.Now()
	if err == nil {
		c.mu.on = true
		c.mu.health.wrote()
	}
	n, bytes := len(c.mu.index), c.mu.bytes
	c.mu.Unlock()
	if err != nil {
		c.stop()
		c.writeFailed("open", err)
		return
	}
	c.watchers.works(c.dir)
	c.conf.Logger.Debug("slatedb: disk cache opened", "dir", c.dir, "parts", n, "bytes", bytes)
}

// stop closes the files and gives the lock back. The caller holds disk.
func (c *Cache) stop() {
	c.mu.Lock()
	files := c.mu.files
	c.resetLocked()
	c.mu.Unlock()
	for _, f := range files {
		if f != nil {
			_ = f.Close() // a read that is under way misses
		}
	}
	if c.lock != nil {
		_ = c.lock.Close()
		c.lock = nil
	}
}

// load takes the lock and builds the index from the entries of all slabs. The parts
// themselves are checked when they are read.
func (c *Cache) load() error {
	if err := c.conf.FS.MkdirAll(c.dir); err != nil {
		return err
	}
	lock, err := c.conf.FS.Lock(filepath.Join(c.dir, lockName))
	if err != nil {
		return err
	}
	c.lock = lock
	names, err := c.conf.FS.List(c.dir)
	if err != nil {
		return err
	}
	c.avoid = make(map[int]bool)
	found := make(map[int]bool)
	for _, fi := range names {
		i, ok := slabNumber(fi.Name)
		switch {
		case !ok:
		case fi.Dir:
			c.avoid[i] = true
		default:
			found[i] = true
		}
	}
	var entries []placed
	for _, i := range slices.Sorted(maps.Keys(found)) {
		es, err := c.loadSlab(i)
		if err != nil {
			// One file that cannot be read costs its parts, not the others.
			c.stats.readErrors.Add(1)
			c.avoid[i] = true
			continue
		}
		entries = append(entries, es...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(entries, func(a, b placed) int { return cmp.Compare(a.seq, b.seq) })
	for _, e := range entries { // oldest first; of two with one key the newer one counts
		if old, ok := c.mu.index[e.key]; ok {
			c.forgetLocked(old)
			c.mu.policy.remove(old)
			c.mu.dead = append(c.mu.dead, old)
		}
		c.rememberLocked(e.id, e.entry)
		c.mu.policy.restore(e.id, e.key.print())
		c.mu.seq = max(c.mu.seq, e.seq)
	}
	c.freeUnusedLocked()
	return nil
}

// placed is an entry that was found in a slot.
type placed struct {
	entry
	id int32
}

// loadSlab opens one file and reads its entries. A file that is not ours is left alone, one
// that does not fit is removed.
func (c *Cache) loadSlab(i int) (out []placed, err error) {
	name := filepath.Join(c.dir, slabName(i))
	f, err := c.conf.FS.Open(name, false)
	if err != nil {
		return nil, err
	}
	keep := false
	defer func() {
		if !keep {
			_ = f.Close()
		}
	}()
	head := make([]byte, superLen)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	verdict := c.geo.judgeHead(head[:n], i)
	if verdict == ours && i >= c.geo.slabs {
		verdict = stale
	}
	switch verdict {
	case foreign:
		c.avoid[i] = true
		return nil, nil
	case stale:
		keep = true
		_ = f.Close() // some systems remove no open file
		return nil, c.conf.FS.Remove(name)
	}
	slots := c.geo.slots(i)
	table := make([]byte, slots*entryLen)
	n, err = f.ReadAt(table, superLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for s := range slots {
		if (s+1)*entryLen > n {
			break // never written
		}
		if e, ok := decodeEntry(table[s*entryLen:], i, s, c.geo.part); ok {
			out = append(out, placed{e, int32(i*c.geo.perSlab + s)})
		}
	}
	keep = true
	c.mu.Lock()
	c.addSlabLocked(i, f)
	c.mu.Unlock()
	return out, nil
}

// addSlabLocked makes the slots of slab i known; they are neither free nor used yet.
func (c *Cache) addSlabLocked(i int, f seam.File) {
	for len(c.mu.files) <= i {
		c.mu.files = append(c.mu.files, nil)
	}
	c.mu.files[i] = f
	n := i*c.geo.perSlab + c.geo.slots(i)
	if more := n - len(c.mu.slots); more > 0 {
		c.mu.slots = append(c.mu.slots, make([]slot, more)...)
	}
	c.mu.policy.grow(n)
}

// freeUnusedLocked puts the slots of open slabs that hold nothing on the free list.
func (c *Cache) freeUnusedLocked() {
	dead := make(map[int32]bool)
	for _, id := range c.mu.dead {
		dead[id] = true
	}
	for i := len(c.mu.files) - 1; i >= 0; i-- {
		if c.mu.files[i] == nil {
			continue
		}
		for s := c.geo.slots(i) - 1; s >= 0; s-- { // the lowest is taken first
			if id := int32(i*c.geo.perSlab + s); !c.mu.slots[id].used && !dead[id] {
				c.mu.free = append(c.mu.free, id)
			}
		}
	}
}

// rememberLocked puts a part into the index.
func (c *Cache) rememberLocked(id int32, e entry) {
	s := &c.mu.slots[id]
	s.entry, s.used = e, true
	s.gen++
	c.mu.index[e.key] = id
	o := c.mu.objects[e.key.object]
	o.n++
	o.last = max(o.last, e.key.part)
	c.mu.objects[e.key.object] = o
	c.mu.bytes += int64(e.n)
}

// forgetLocked takes a part out of the index. The policy is the caller's affair.
func (c *Cache) forgetLocked(id int32) {
	s := &c.mu.slots[id]
	s.used = false
	s.gen++
	delete(c.mu.index, s.key)
	o := c.mu.objects[s.key.object]
	if o.n--; o.n == 0 {
		delete(c.mu.objects, s.key.object)
	} else {
		c.mu.objects[s.key.object] = o
	}
	c.mu.bytes -= int64(s.n)
}

// place returns the file of a slot and where its part and its entry are.
func (c *Cache) place(id int32) (slab, slot int, data, entry int64) {
	slab, slot = int(id)/c.geo.perSlab, int(id)%c.geo.perSlab
	return slab, slot, dataAt(c.geo.slots(slab)) + int64(slot)*c.geo.part, superLen + int64(slot)*entryLen
}

// writeFailed books a failure that stops writing for a while. The first one is logged.
func (c *Cache) writeFailed(what string, err error) {
	c.stats.writeErrors.Add(1)
	c.mu.Lock()
	c.mu.health.failed(c.conf.Env.Clock.Now())
	c.mu.Unlock()
	c.watchers.failed(c.dir, what, err)
	if c.warned.CompareAndSwap(false, true) {
		c.conf.Logger.Warn("slatedb: disk cache failed, reads go on from the store", "dir", c.dir, "op", what, "err", err)
	}
}
