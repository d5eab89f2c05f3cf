package diskcache

import (
	"errors"
	"io"
)

// read fills p with the bytes of a part from off on, if the disk has them and they are what
// was written. It takes no lock while it reads.
func (c *Cache) read(k partKey, p []byte, off int64) bool {
	c.mu.Lock()
	id, ok := c.mu.index[k]
	if !ok || c.mu.health.reads >= failedInARow && !c.mu.health.mayRead(c.conf.Env.Clock.Now()) {
		c.mu.Unlock()
		return false
	}
	slab, _, at, _ := c.place(id)
	s, f := c.mu.slots[id], c.mu.files[slab]
	c.mu.policy.hit(id)
	probe := c.mu.health.reads > 0
	c.mu.Unlock()

	end := off + int64(len(p))
	if end > int64(s.n) {
		c.drop(id, s.gen) // no reader asks behind the end of an object: the part is not it
		return false
	}
	chunk := c.geo.part / chunks
	first := off / chunk
	from, to := first*chunk, min((end+chunk-1)/chunk*chunk, int64(s.n))
	buf := p
	if from != off || to != end {
		b := c.buffer(int(to - from))
		defer c.buffers.Put(b)
		buf = (*b)[:to-from]
	}
	n, err := f.ReadAt(buf, at+from)
	if int64(n) < to-from && !errors.Is(err, io.EOF) {
		c.readFailed(id, s.gen, err)
		return false
	}
	if int64(n) < to-from || !s.check(buf, int(first), c.geo.part) { // a cut file is damage, not a broken disk
		if c.drop(id, s.gen) {
			c.stats.corrupt.Add(1)
		}
		return false
	}
	if probe {
		c.mu.Lock()
		c.mu.health.read()
		c.mu.Unlock()
	}
	if from != off || to != end {
		copy(p, buf[off-from:])
	}
	return true
}

// readFailed books a failed read, unless the slot or the file has changed meanwhile.
func (c *Cache) readFailed(id int32, gen uint32, err error) {
	if !c.drop(id, gen) {
		return
	}
	c.stats.readErrors.Add(1)
	now := c.conf.Env.Clock.Now()
	c.mu.Lock()
	c.mu.health.readFailed(now)
	stops := c.mu.health.reads >= failedInARow
	c.mu.Unlock()
	if stops {
		c.watchers.failed(c.dir, "read", err)
	}
}

// drop takes a part out whose slot still has generation gen. Its entry is erased by the
// writer: a read changes nothing on disk.
func (c *Cache) drop(id int32, gen uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(id) >= len(c.mu.slots) || !c.mu.slots[id].used || c.mu.slots[id].gen != gen {
		return false
	}
	c.dropLocked(id)
	c.kickLocked()
	return true
}

func (c *Cache) dropLocked(id int32) {
	c.forgetLocked(id)
	c.mu.policy.remove(id)
	c.mu.dead = append(c.mu.dead, id)
}

// refuse drops the parts of a range, because a reader found damage that the checksums of the
// cache do not see: it was there when the part came, or the part is of another object.
func (c *Cache) refuse(o objectID, first, last uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := first; ; n++ {
		k := partKey{o, n}
		fl := c.mu.flights[k]
		if fl != nil { // still in memory, on its way to the disk
			fl.refused = true
			delete(c.mu.flights, k)
		}
		id, ok := c.mu.index[k]
		if ok {
			c.dropLocked(id)
		}
		if fl != nil || ok {
			c.stats.corrupt.Add(1)
		}
		if n == last {
			break
		}
	}
	c.kickLocked()
}

// Release drops the parts of an object that no manifest names any more, to make room. Their
// entries are erased in the background.
func (s *Cached) Release(key string) {
	c, o := s.c, identify(s.scope, key)
	c.mu.Lock()
	defer c.mu.Unlock()
	have, ok := c.mu.objects[o]
	for n := uint32(0); ok; n++ {
		if id, in := c.mu.index[partKey{o, n}]; in {
			c.dropLocked(id)
		}
		ok = n < have.last
	}
	c.kickLocked()
}

// paused reports whether nothing can be written now.
func (c *Cache) paused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.closed || !c.mu.health.until.IsZero() && !c.mu.health.mayWrite(c.conf.Env.Clock.Now())
}

// buffer lends n bytes, at most a part.
func (c *Cache) buffer(n int) *[]byte {
	if b, _ := c.buffers.Get().(*[]byte); b != nil && cap(*b) >= n {
		return b
	}
	b := make([]byte, max(n, int(c.geo.part/4)))
	return &b
}
