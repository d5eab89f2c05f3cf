package cache

import (
	"encoding/binary"
	"sync"
	"weak"

	"github.com/slatedb/slatedb-go/sst"
)

// A registry finds the cells of a table by its key. It holds them weakly: rings and readers
// keep cells alive, the registry does not. So a process that opens and closes databases on
// one cache for months does not collect the names of their tables.
type registry struct {
	parts [registryParts]registryPart
}

const registryParts = 16 // arbitrary; only opening a table comes here

type registryPart struct {
	mu struct {
		sync.Mutex
		m map[sst.TableKey]weak.Pointer[sst.Cells]
		// sweepAt is the size at which names of dead cells are looked for. It is twice what
		// the last sweep left, so that sweeping costs a constant per table opened.
		sweepAt int
	}
}

const minSweep = 64

func (r *registry) init() {
	for i := range r.parts {
		r.parts[i].mu.m = map[sst.TableKey]weak.Pointer[sst.Cells]{}
		r.parts[i].mu.sweepAt = minSweep
	}
}

func (r *registry) part(k sst.TableKey) *registryPart {
	return &r.parts[tableHash(k)%registryParts]
}

func (r *registry) get(k sst.TableKey) *sst.Cells {
	p := r.part(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.mu.m[k].Value(); c != nil {
		return c
	}
	if len(p.mu.m) >= p.mu.sweepAt {
		for k, w := range p.mu.m {
			if w.Value() == nil {
				delete(p.mu.m, k)
			}
		}
		p.mu.sweepAt = max(minSweep, 2*len(p.mu.m))
	}
	c := &sst.Cells{Key: k}
	p.mu.m[k] = weak.Make(c)
	return c
}

func (r *registry) remove(k sst.TableKey) *sst.Cells {
	p := r.part(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.mu.m[k].Value()
	delete(p.mu.m, k)
	return c
}

// find returns the cells of a table that somebody has open, else nil.
func (r *registry) find(k sst.TableKey) *sst.Cells {
	p := r.part(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.m[k].Value()
}

func (r *registry) len() int {
	n := 0
	for i := range r.parts {
		p := &r.parts[i]
		p.mu.Lock()
		n += len(p.mu.m)
		p.mu.Unlock()
	}
	return n
}

// tableHash spreads tables over parts and shards. The random part of a ULID is its last ten
// bytes.
func tableHash(k sst.TableKey) uint32 {
	u := k.ID.ULID()
	h := binary.LittleEndian.Uint64(u[8:]) ^ k.ID.WAL() ^ uint64(k.Scope)<<20
	h *= 0x9E3779B97F4A7C15
	return uint32(h >> 32)
}
