package sst

import (
	"context"
	"sync/atomic"
)

// This file is the contract between tables and the block cache (package cache implements
// BlockCache).
//
// A cached thing is reached without a map or a lock: every table has one Cells object per
// cache, shared by all handles that read the table through that cache, with one atomic
// pointer per data block and one for its metadata. A hit is a pointer load. The cache owns
// the decision what stays: it stores nil into a cell to evict. A reader that has loaded the
// pointer keeps the object alive by holding it (Go's collector is the reference count), so
// nothing cached is ever pooled or changed.

// A TableKey identifies a table within a cache. Scope tells object stores apart: it is a
// small number that the cache gives to each store root, so that a clone finds its parent's
// blocks and two databases that happen to share an id do not mix.
type TableKey struct {
	Scope uint32
	ID    ID
}

// Cells are the cached parts of one table.
type Cells struct {
	Key    TableKey
	Meta   atomic.Pointer[Meta]
	blocks atomic.Pointer[[]atomic.Pointer[Block]]
	// Dropped is set when the cache let go of the whole table: what is loaded afterwards
	// is not admitted.
	Dropped atomic.Bool
}

// Blocks returns the block cells, nil until Size was called.
func (c *Cells) Blocks() []atomic.Pointer[Block] {
	if p := c.blocks.Load(); p != nil {
		return *p
	}
	return nil
}

// Size makes n block cells, once; n comes from the table's index.
func (c *Cells) Size(n int) {
	if c.blocks.Load() == nil {
		s := make([]atomic.Pointer[Block], n)
		c.blocks.CompareAndSwap(nil, &s)
	}
}

// Block returns cached block i, or nil, and marks it as used.
func (c *Cells) Block(i int) *Block {
	p := c.blocks.Load()
	if p == nil || uint(i) >= uint(len(*p)) {
		return nil
	}
	b := (*p)[i].Load()
	if b != nil {
		b.Used.Touch()
	}
	return b
}

// Used is a second-chance bit: set by hits, cleared by the cache's sweep. The load before
// the store keeps the line shared between cores.
type Used struct{ v atomic.Uint32 }

// Touch sets the bit.
func (u *Used) Touch() {
	if u.v.Load() == 0 {
		u.v.Store(1)
	}
}

// Clear clears the bit and reports whether it was set.
func (u *Used) Clear() bool { return u.v.Load() != 0 && u.v.Swap(0) != 0 }

// A BlockCache bounds what the cells hold, in bytes. All methods are safe for concurrent
// use; none calls back into a table under a lock.
type BlockCache interface {
	// Scope returns the number of a store root ("" and equal strings get equal numbers).
	Scope(root string) uint32
	// Cells returns the cells of a table, making them on first use.
	Cells(k TableKey) *Cells
	// Join begins or joins the load of block i (or of the metadata, i = MetaBlock). leader
	// tells that the caller must load it and then call Finish; the others wait on the Load.
	Join(c *Cells, i int) (l *Load, leader bool)
	// Finish ends a load: it publishes the outcome to the waiters and, when admit is set
	// and err is nil, stores it into the cell and evicts others to make room.
	Finish(c *Cells, i int, l *Load, v Loaded, err error, admit bool)
	// Admit stores a block that was read without Join (a scan's span, flush output).
	Admit(c *Cells, i int, b *Block)
	// Drop forgets a table and gives its bytes back at once.
	Drop(k TableKey)
	// Evict gives a table's bytes back; what is read of it later is admitted again.
	Evict(k TableKey)
}

// MetaBlock is the block number that stands for a table's metadata.
const MetaBlock = -1

// Loaded is the outcome of a load: one of the two is set.
type Loaded struct {
	Block *Block
	Meta  *Meta
}

// A Load is a request in flight that any number of callers wait for.
type Load struct {
	done chan struct{}
	v    Loaded
	err  error
}

// NewLoad returns a load that nobody has finished.
func NewLoad() *Load { return &Load{done: make(chan struct{})} }

// Resolve publishes the outcome. It is called once, by BlockCache.Finish.
func (l *Load) Resolve(v Loaded, err error) { l.v, l.err = v, err; close(l.done) }

// Done is closed when the outcome is there.
func (l *Load) Done() <-chan struct{} { return l.done }

// Wait returns the outcome, or ctx's error without disturbing the load.
func (l *Load) Wait(ctx context.Context) (Loaded, error) {
	select {
	case <-l.done:
		return l.v, l.err
	case <-ctx.Done():
		return Loaded{}, ctx.Err()
	}
}
