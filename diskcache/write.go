package diskcache

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/slatedb/slatedb-go/internal/seam"
)

// How parts come to the disk. One writer at a time changes files: the goroutine that works
// off the queue, or a caller that may wait for the disk (a flush, a preload).
//
//	take a slot (free, or the victim's, which leaves the index) ─▶ write the part ─▶ write its entry ─▶ index
//
// A crash between any two of these leaves an entry whose checksums do not fit the bytes, or
// no entry: the part is fetched again. Nothing is ever synced.

// maxQueue is the most parts that wait for the disk; further ones are not kept.
const maxQueue = 64

// enqueueLocked hands a fetched part to the writer. Until it is written, reads are answered
// from the flight.
func (c *Cache) enqueueLocked(fl *flight) bool {
	if c.mu.closed || fl.refused || len(fl.data) == 0 {
		return false
	}
	if len(c.mu.queue) >= maxQueue || !c.mu.health.mayWrite(c.conf.Env.Clock.Now()) {
		c.stats.dropped.Add(1)
		return false
	}
	c.mu.queue = append(c.mu.queue, fl)
	c.kickLocked()
	return true
}

// kickLocked starts the writer when there is something to do for it.
func (c *Cache) kickLocked() {
	if c.mu.writing || c.mu.closed || len(c.mu.queue)+len(c.mu.dead) == 0 {
		return
	}
	c.mu.writing = true
	c.conf.Env.Spawn("disk-cache", func() {
		for {
			more := false
			err := seam.Guard("disk cache", func() error { more = c.workOne(); return nil })
			if err != nil {
				c.writeFailed("panic", err)
			}
			if !more && err == nil {
				return
			}
		}
	})
}

// dropQueueLocked lets go of what waits.
func (c *Cache) dropQueueLocked() {
	for _, fl := range c.mu.queue {
		c.landLocked(fl)
	}
	c.mu.queue = nil
}

// workOne does one thing for the disk. With nothing left to do it ends the writer and reports
// false.
func (c *Cache) workOne() bool {
	c.mu.Lock()
	if len(c.mu.queue) > 0 {
		fl := c.mu.queue[0]
		c.mu.queue = c.mu.queue[1:]
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			c.landLocked(fl)
			c.mu.Unlock()
		}()
		c.keep(fl.key, fl.data, func() bool { return fl.refused })
		return true
	}
	if len(c.mu.dead) > 0 && !c.mu.closed && c.mu.on && c.mu.health.mayWrite(c.conf.Env.Clock.Now()) {
		c.mu.Unlock()
		c.disk.Lock()
		defer c.disk.Unlock()
		c.erase()
		return true
	}
	c.mu.writing = false // the next one to kick starts another
	c.mu.idle.Broadcast()
	c.mu.Unlock()
	return false
}

// keep writes a part and waits for the disk. refused, when not nil, is asked under mu.
func (c *Cache) keep(k partKey, data []byte, refused func() bool) {
	c.disk.Lock()
	defer c.disk.Unlock()
	c.look()
	c.write(k, data, refused)
}

// look is done before a write: a directory that is not open is tried, and one that was not
// looked at for the interval is. The caller holds disk.
func (c *Cache) look() {
	now := c.conf.Env.Clock.Now()
	c.mu.Lock()
	on, due := c.mu.on, c.conf.ScanInterval > 0 && now.Sub(c.mu.scanned) >= c.conf.ScanInterval
	try, closed := c.mu.health.mayWrite(now), c.mu.closed
	slabs := make(map[string]bool)
	for i, f := range c.mu.files {
		if f != nil {
			slabs[slabName(i)] = true
		}
	}
	c.mu.Unlock()
	switch {
	case closed, !try:
		return
	case !on:
		c.start()
		return
	case !due:
		return
	}
	names, err := c.conf.FS.List(c.dir)
	if err == nil {
		for _, fi := range names {
			delete(slabs, fi.Name)
		}
		if len(slabs) == 0 {
			c.mu.Lock()
			c.mu.scanned = now
			c.mu.Unlock()
			return
		}
		err = fmt.Errorf("%d files are gone", len(slabs))
	}
	c.conf.Logger.Warn("slatedb: disk cache begins anew", "dir", c.dir, "err", err)
	c.stop()
	c.start()
}

// write puts a part on disk. The caller holds disk. refused is asked under mu.
func (c *Cache) write(k partKey, data []byte, refused func() bool) {
	c.erase()
	id, f, ok := c.slotFor(k)
	if !ok {
		return
	}
	e := entry{key: k, n: uint32(len(data))}
	e.sum(data, c.geo.part)
	slab, slot, at, entryAt := c.place(id)
	c.mu.Lock()
	c.mu.seq++
	e.seq = c.mu.seq
	c.mu.Unlock()
	_, err := f.WriteAt(data, at)
	if err == nil {
		_, err = f.WriteAt(e.append(nil, slab, slot), entryAt)
	}
	c.mu.Lock()
	if err != nil || refused != nil && refused() {
		c.mu.dead = append(c.mu.dead, id)
	} else {
		c.rememberLocked(id, e)
		c.mu.policy.insert(id, k.print())
		c.mu.health.wrote()
	}
	c.mu.Unlock()
	if err != nil {
		c.stats.dropped.Add(1)
		c.writeFailed("write", err)
		return
	}
	c.watchers.works(c.dir)
}

// slotFor finds a slot for a part: a free one, one of a new file, or that of a part that is
// evicted. False when the part is there already, or nothing can be written now.
func (c *Cache) slotFor(k partKey) (int32, seam.File, bool) {
	for range 2 {
		c.mu.Lock()
		if _, have := c.mu.index[k]; have || !c.mu.on || c.mu.closed || !c.mu.health.mayWrite(c.conf.Env.Clock.Now()) {
			c.mu.Unlock()
			return 0, nil, false
		}
		id, next := int32(-1), -1
		if n := len(c.mu.free); n > 0 {
			id = c.mu.free[n-1]
			c.mu.free = c.mu.free[:n-1]
		} else if next = c.nextSlabLocked(); next < 0 {
			if id = c.mu.policy.victim(); id >= 0 {
				c.stats.evicted.Add(1)
				c.stats.evictedLen.Add(int64(c.mu.slots[id].n))
				c.forgetLocked(id)
			}
		}
		if id >= 0 {
			slab, _, _, _ := c.place(id)
			f := c.mu.files[slab]
			c.mu.Unlock()
			return id, f, true
		}
		c.mu.Unlock()
		if next < 0 || !c.addSlab(next) {
			return 0, nil, false
		}
	}
	return 0, nil, false
}

// nextSlabLocked is the number of the next file to be made, -1 when all are.
func (c *Cache) nextSlabLocked() int {
	for i := range c.geo.slabs {
		if (i >= len(c.mu.files) || c.mu.files[i] == nil) && !c.avoid[i] {
			return i
		}
	}
	return -1
}

// addSlab makes a file. Its slots are written as they are used: the disk gives room when it
// is needed, not before. The caller holds disk.
func (c *Cache) addSlab(i int) bool {
	name := filepath.Join(c.dir, slabName(i))
	f, err := c.conf.FS.Open(name, true)
	if err == nil {
		size, serr := f.Size()
		if serr == nil && size > 0 {
			_ = f.Close()
			c.avoid[i] = true // it was not there at the start: somebody else's
			return false
		}
		if err = serr; err == nil {
			_, err = f.WriteAt(c.geo.superblock(i), 0)
		}
		if err != nil {
			_ = f.Close()
			_ = c.conf.FS.Remove(name)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		c.stop() // the directory is gone: the next look makes it anew
	}
	if err != nil {
		c.writeFailed("create", err)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addSlabLocked(i, f)
	for s := c.geo.slots(i) - 1; s >= 0; s-- {
		c.mu.free = append(c.mu.free, int32(i*c.geo.perSlab+s))
	}
	return true
}

// erase removes the entries of dropped parts, so that they do not come back with the next
// start. The caller holds disk.
func (c *Cache) erase() {
	for {
		c.mu.Lock()
		n := len(c.mu.dead)
		if n == 0 || !c.mu.on || !c.mu.health.mayWrite(c.conf.Env.Clock.Now()) {
			c.mu.Unlock()
			return
		}
		id := c.mu.dead[n-1]
		c.mu.dead = c.mu.dead[:n-1]
		slab, _, _, at := c.place(id)
		f := c.mu.files[slab]
		c.mu.Unlock()
		var none [entryLen]byte
		_, err := f.WriteAt(none[:], at)
		c.mu.Lock()
		if err == nil {
			c.mu.free = append(c.mu.free, id)
		} else {
			c.mu.dead = append(c.mu.dead, id)
		}
		c.mu.Unlock()
		if err != nil {
			c.writeFailed("erase", err)
			return
		}
	}
}

// forget drops every part of an object, on disk too, before its key is used again.
func (c *Cache) forget(o objectID) {
	c.disk.Lock()
	defer c.disk.Unlock()
	c.mu.Lock()
	have, ok := c.mu.objects[o]
	if ok {
		for n := uint32(0); ; n++ {
			if id, ok := c.mu.index[partKey{o, n}]; ok {
				c.dropLocked(id)
			}
			if n == have.last {
				break
			}
		}
	}
	for k, fl := range c.mu.flights {
		if k.object == o {
			fl.refused = true
			delete(c.mu.flights, k)
		}
	}
	c.mu.Unlock()
	if ok {
		c.erase()
	}
}
