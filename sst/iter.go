package sst

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// An Iter walks the rows of one view in a range. It is a kv.Iterator and belongs to the
// goroutine of its group. Values alias blocks that live as long as they are referred to; keys
// alias the iterator.
type Iter struct {
	rows  blockIter // ascending: the current block
	inRow bool      // ascending: rows stands on a row
	// checkEnd: rows of the current block may lie behind the range.
	checkEnd bool
	desc     bool
	done     bool // at the end, failed or closed
	started  bool
	trusted  bool      // a filter has said that there may be rows, and none was seen yet
	askedAs  QueryKind // the question it answered
	fail     error

	g        *Group
	v        *ViewReader
	rng      kv.Range // cut to what the view shows
	m        *Meta
	metaWant *want // metadata under way
	lo, hi   int   // blocks that the range may touch
	bi       int   // the current block

	d   *descent // descending only
	run *RunIter // whose table this is, or nil
	// early: opened in advance by its run; nobody waits for it yet.
	early bool

	spans     []*span // held or under way, in the direction of the scan
	window    int     // bytes to ask for next, 0 = at a new position
	lastIssue int
	demands   int   // how often the source waited since its position was new
	sent      int64 // bytes asked for in all

	crossed int  // ascending: how often Next went on to another block
	warmed  byte // keeps the loads of approach alive

	keyBuf [64]byte // first buffer of rows.key: a short scan allocates nothing more
}

var _ kv.Iterator = (*Iter)(nil)

// Next moves to the next row.
func (it *Iter) Next() bool {
	if it.inRow && it.rows.next() {
		if !it.checkEnd || it.rng.BelowEnd(it.rows.e.Key) {
			return true
		}
		return it.finish(nil)
	}
	return it.nextSlow()
}

// Entry returns the current row.
func (it *Iter) Entry() *kv.Entry {
	if it.desc {
		return it.d.cur
	}
	return &it.rows.e
}

// Err is sticky.
func (it *Iter) Err() error { return it.fail }

// Close releases what the iterator holds and cuts off what it has asked for when it is the
// last of its group.
func (it *Iter) Close() error {
	it.finish(nil)
	it.rows = blockIter{}
	if it.d != nil {
		it.d = &descent{}
	}
	return it.fail
}

// finish ends the walk; the first error stays.
func (it *Iter) finish(err error) bool {
	if err != nil && it.fail == nil {
		it.fail = err
	}
	if !it.done {
		it.done = true
		it.g.leave(it)
	}
	it.inRow = false
	it.releaseAll()
	return false
}

func (it *Iter) nextSlow() bool {
	switch {
	case it.done:
		return false
	case !it.started:
		return it.begin(nil)
	case it.desc:
		return it.nextDesc()
	}
	if err := it.rows.err(); err != nil {
		return it.finish(it.rowError(it.bi, err))
	}
	if it.crossed++; it.crossed > 1 {
		it.approach(it.bi + 1)
	}
	return it.enter(it.bi + 1)
}

// Seek moves forward to the first row at or past key.
func (it *Iter) Seek(key []byte) bool {
	if it.done {
		return false
	}
	if !it.started {
		return it.begin(key)
	}
	if it.desc {
		return it.seekDesc(key)
	}
	if bytes.Compare(it.rows.e.Key, key) >= 0 {
		return true
	}
	x := &it.m.Index
	// Rows of block i are <= Key(i+1), so a smaller key is in this block or begins the next.
	if it.bi+1 < x.Len() && bytes.Compare(x.Key(it.bi+1), key) <= 0 {
		return it.seekFrom(max(x.lookupStart(key), it.bi), key)
	}
	return it.seekFrom(it.bi, key)
}

// begin does what the first Next or Seek needs: metadata, filters, the blocks of the range.
// key is nil for Next.
func (it *Iter) begin(key []byte) bool {
	it.started = true
	if it.first(key) {
		return true
	}
	if key == nil && it.fail == nil {
		it.nothing()
	}
	return false
}

// nothing notes that the table holds nothing that was asked for, though a filter let it
// through.
func (it *Iter) nothing() {
	if it.trusted {
		it.trusted = false
		it.g.s.countWrong(it.askedAs)
	}
}

// first stands on the first row at or past key.
func (it *Iter) first(key []byte) bool {
	if !it.g.begun {
		it.g.warm(key)
	}
	if !it.prepare() {
		return false
	}
	if it.desc {
		return it.beginDesc(key)
	}
	at := it.firstBlock(key)
	if key = it.firstKey(key); len(key) == 0 {
		if !it.enter(at) {
			return false
		}
	} else if !it.seekFrom(at, key) {
		return false
	}
	for it.rng.StartExclusive && !it.rng.AboveStart(it.rows.e.Key) {
		if !it.Next() {
			return false
		}
	}
	return true
}

// prepare gets the metadata and finds the blocks of the range.
func (it *Iter) prepare() bool {
	if !it.loadMeta() {
		return false
	}
	return !it.done
}

// loadMeta waits for the metadata and asks the filters.
func (it *Iter) loadMeta() bool {
	if it.m == nil {
		if m := it.v.r.meta(); m != nil {
			return it.setMeta(m, it.asked())
		}
		if it.metaWant == nil {
			if err := it.g.demand(it, -1); err != nil {
				return it.finish(err)
			}
		}
		w := wave{s: it.g.s, fill: true, wants: []want{*it.metaWant}}
		v, err := w.wait(it.g.ctx, 0)
		missed := it.asked()
		it.metaWant = nil
		if err != nil {
			return it.finish(err)
		}
		it.g.gather(it)
		return it.setMeta(v.Meta, missed)
	}
	return true
}

// takeMeta uses metadata that is there, without waiting.
func (it *Iter) takeMeta() bool {
	if it.m != nil {
		return true
	}
	m := it.v.r.meta()
	if w := it.metaWant; m == nil && w != nil {
		if m = w.v.Meta; w.load != nil {
			select {
			case <-w.load.Done():
				m = w.load.v.Meta
			default:
			}
		}
	}
	if m == nil {
		return false
	}
	missed := it.asked()
	it.metaWant = nil
	return it.setMeta(m, missed)
}

// asked reports whether the metadata was not there and had to be asked for.
func (it *Iter) asked() bool { return it.metaWant != nil && it.metaWant.load != nil }

// setMeta uses the metadata; missed says that it was not in the cache.
func (it *Iter) setMeta(m *Meta, missed bool) bool {
	miss := 0
	if missed {
		miss = 1
	}
	it.g.seen.index[miss]++
	if q := it.g.o.Query; q != nil {
		verdict, kind, err := it.v.r.mayContain(m, q)
		if err != nil {
			return it.finish(err)
		}
		it.g.s.countFilter(kind, verdict)
		if verdict != filterNone {
			it.g.seen.filter[miss]++
		}
		if verdict == filterNo {
			return it.finish(nil)
		}
		it.trusted, it.askedAs = verdict == filterMaybe, kind
	}
	it.m = m
	x := &m.Index
	it.lo, it.hi = 0, x.Len()-1
	if len(it.rng.Start) > 0 {
		it.lo = x.lookupStart(it.rng.Start)
	}
	if end := it.rng.End; end != nil {
		if it.rng.EndInclusive {
			it.hi = min(it.hi, x.lastLE(end))
		} else {
			it.hi = min(it.hi, x.lookupStart(end)) // the last block that begins below end
		}
	}
	if it.lo > it.hi {
		it.nothing()
		return it.finish(nil)
	}
	// Before the first block: coming to it is no jump.
	if it.bi = it.lo - 1; it.desc {
		it.bi = it.hi + 1
	}
	return true
}

// askMeta adds a request for the metadata to a wave.
func (it *Iter) askMeta(b *batch) error {
	if err := b.metas.add(it.v.r, nil, MetaBlock); err != nil {
		return err
	}
	b.metas.wants[len(b.metas.wants)-1].to = it
	return nil
}

// nextBlock is the block that the source needs after the current one.
func (it *Iter) nextBlock() int {
	switch {
	case !it.started && it.desc:
		return it.hi
	case !it.started:
		return it.lo
	case it.desc:
		return it.bi - 1
	}
	return it.bi + 1
}

// enter stands on the first row of block i, or of the first one behind it that has rows.
func (it *Iter) enter(i int) bool {
	for ; i <= it.hi; i++ {
		if !it.open(i) {
			return false
		}
		if it.rows.next() {
			it.inRow = true
			if it.checkEnd && !it.rng.BelowEnd(it.rows.e.Key) {
				return it.finish(nil)
			}
			return true
		}
		if err := it.rows.err(); err != nil {
			return it.finish(it.rowError(i, err))
		}
	}
	return it.finish(nil)
}

// seekFrom stands on the first row at or past key, looking at block i and those behind it.
func (it *Iter) seekFrom(i int, key []byte) bool {
	if i > it.hi {
		return it.finish(nil)
	}
	if (i != it.bi || !it.inRow) && !it.open(i) {
		return false
	}
	if it.rows.seekGE(key) {
		it.inRow = true
		if it.checkEnd && !it.rng.BelowEnd(it.rows.e.Key) {
			return it.finish(nil)
		}
		return true
	}
	if err := it.rows.err(); err != nil {
		return it.finish(it.rowError(i, err))
	}
	// Versions of key, or what comes next, begin the following block; but a key that was
	// between blocks of a damaged index may have more below it there.
	for i++; i <= it.hi; i++ {
		if !it.open(i) {
			return false
		}
		if it.rows.seekGE(key) {
			it.inRow = true
			if it.checkEnd && !it.rng.BelowEnd(it.rows.e.Key) {
				return it.finish(nil)
			}
			return true
		}
		if err := it.rows.err(); err != nil {
			return it.finish(it.rowError(i, err))
		}
	}
	return it.finish(nil)
}

// open stands before the first row of block i.
func (it *Iter) open(i int) bool {
	it.inRow = false
	b, err := it.block(i)
	if err != nil {
		return it.finish(err)
	}
	it.bi = i
	it.rows.reset(b)
	it.checkEnd = it.rng.End != nil && (i+1 >= it.m.Index.Len() || bytes.Compare(it.m.Index.Key(i+1), it.rng.End) >= 0)
	return true
}

func (it *Iter) rowError(i int, err error) error {
	return it.v.r.damage(fmt.Sprintf("block %d", i), it.m.Index.Offset(i), err)
}

// block returns block i from the cache, from what the iterator holds, or from the store.
func (it *Iter) block(i int) (*Block, error) {
	if b := it.v.r.cells.Block(i); b != nil {
		it.g.seen.block[0]++
		return b, nil
	}
	return it.blockSlow(i)
}

func (it *Iter) blockSlow(i int) (*Block, error) {
	it.release(i)
	sp := it.find(i)
	if sp == nil {
		if it.jumped(i) {
			it.window = 0
		}
		if err := it.g.demand(it, i); err != nil {
			return nil, err
		}
		if sp = it.find(i); sp == nil {
			return nil, fmt.Errorf("read block %d of %s: %w: not requested", i, it.v.r.object, kv.ErrInternal)
		}
	}
	if !sp.entered {
		sp.entered = true
		it.readAhead(sp)
	}
	if err := sp.wait(it.g); err != nil {
		return nil, err
	}
	return it.openHeld(sp, i)
}

// jumped reports whether block i does not follow the current one: the window starts anew.
func (it *Iter) jumped(i int) bool {
	if it.desc {
		return i < it.bi-1 || i > it.bi
	}
	return i > it.bi+1
}

// openHeld opens block i of a span that is there.
func (it *Iter) openHeld(sp *span, i int) (*Block, error) {
	r := it.v.r
	off, n, err := r.section(it.m, i)
	if err != nil {
		return nil, err
	}
	if off < sp.off || off-sp.off > uint64(len(sp.buf)) || n > uint64(len(sp.buf))-(off-sp.off) {
		return nil, fmt.Errorf("read block %d of %s: %w: outside its span", i, r.object, kv.ErrInternal)
	}
	fill := it.g.o.Fill && r.s.cache != nil
	v, err := r.open(it.g.ctx, i, off, sp.buf[off-sp.off:][:n], fill)
	if err != nil {
		if errors.Is(err, errStopped) {
			err = it.g.ctx.Err()
		}
		return nil, err
	}
	it.g.seen.block[1]++
	if fill {
		r.cells.Size(it.m.Index.Len())
		r.s.cache.Admit(r.cells, i, v.Block)
	}
	return v.Block, nil
}
