package memtable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A ref names a cell: the chunk's number above unitBits, the offset in it in units of 8
// bytes below. 0 is no cell. The top bit is free for the tree (see wholeKey). So a table can
// hold 16 GiB beside its large values, 200 times the size at which one is usually flushed.
type ref uint32

const (
	firstChunk = 16 << 10
	maxChunk   = 4 << 20
	unitBits   = 19 // maxChunk in units of 8
	refBits    = 31
	maxChunks  = 1 << (refBits - unitBits)
	bigValue   = 4 << 10 // a longer value lies beside the arena, so that chunks fill well
)

// A cell is
//
//	seq u64 | create i64 | lengths u64 | expire i64, if hasExpire | key | value, or u64 number in big
//
// with lengths = key length << 32 | value length << 8 | flags; the length of a value in big is
// 0 here. Numbers are little endian; nothing of this leaves the process.
const (
	cellHeader = 24

	kindMask  = 3
	hasExpire = 1 << 2
	isBig     = 1 << 3
)

// arena is written by the one writer. Readers find in it what the tree has published to them:
// the lists grow by whole new slices, stored before any reference to what is new in them.
type arena struct {
	chunks atomic.Pointer[[][]byte]
	big    atomic.Pointer[[][]byte]
	held   atomic.Int64 // bytes of chunks and large values

	// The writer's own.
	free  []byte // rest of the last chunk
	unit  uint32 // where free begins in it
	chunk uint32 // its number
	next  int    // size of the next chunk
}

// write copies a row into the arena and returns its reference. It is not visible yet.
func (a *arena) write(e *kv.Entry) ref {
	flags := uint64(e.Kind) & kindMask
	size := cellHeader + len(e.Key) + len(e.Value)
	valueLen := len(e.Value)
	if e.ExpireTS != kv.NoTS {
		flags |= hasExpire
		size += 8
	}
	if valueLen > bigValue {
		flags |= isBig
		size += 8 - valueLen
		valueLen = 0
	}
	b, r := a.alloc(size)
	binary.LittleEndian.PutUint64(b, uint64(e.Seq))
	binary.LittleEndian.PutUint64(b[8:], uint64(e.CreateTS))
	binary.LittleEndian.PutUint64(b[16:], uint64(len(e.Key))<<32|uint64(valueLen)<<8|flags)
	at := cellHeader
	if flags&hasExpire != 0 {
		binary.LittleEndian.PutUint64(b[at:], uint64(e.ExpireTS))
		at += 8
	}
	at += copy(b[at:], e.Key)
	if flags&isBig != 0 {
		binary.LittleEndian.PutUint64(b[at:], a.addBig(e.Value))
	} else {
		copy(b[at:], e.Value)
	}
	return r
}

func (a *arena) alloc(size int) ([]byte, ref) {
	units := (size + 7) >> 3
	if units<<3 > len(a.free) {
		a.grow(units << 3)
	}
	b := a.free[:size]
	r := ref(a.chunk<<unitBits | a.unit)
	a.free = a.free[units<<3:]
	a.unit += uint32(units)
	return b, r
}

// grow begins a new chunk with room for size bytes. A cell larger than any chunk gets one to
// itself.
func (a *arena) grow(size int) {
	a.next = min(max(2*a.next, firstChunk), maxChunk)
	n := max(a.next, size+8) // the first unit of the first chunk is not used: reference 0
	if size > maxChunk {
		n = size
	}
	var list [][]byte
	if p := a.chunks.Load(); p != nil {
		list = *p
	}
	if len(list) == maxChunks {
		panic(fmt.Sprintf("memtable: %d bytes in one table", a.held.Load()))
	}
	a.free = make([]byte, n)
	list = append(list, a.free)
	a.chunk, a.unit = uint32(len(list)-1), 0
	if a.chunk == 0 {
		a.free, a.unit = a.free[8:], 1
	}
	a.chunks.Store(&list)
	a.held.Add(int64(n))
}

func (a *arena) addBig(v []byte) uint64 {
	var list [][]byte
	if p := a.big.Load(); p != nil {
		list = *p
	}
	list = append(list, bytes.Clone(v))
	a.big.Store(&list)
	a.held.Add(int64(len(v)))
	return uint64(len(list) - 1)
}

// cell returns the bytes from the cell on.
func (a *arena) cell(r ref) []byte {
	return (*a.chunks.Load())[r>>unitBits][uint64(r&(1<<unitBits-1))<<3:]
}

// key returns the key of a cell.
func (a *arena) key(r ref) []byte {
	b := a.cell(r)
	l := binary.LittleEndian.Uint64(b[16:24])
	at := cellHeader + (l&hasExpire)<<1
	end := at + l>>32
	return b[at:end:end]
}

// seq returns the seq of a cell.
func (a *arena) seq(r ref) kv.Seq { return kv.Seq(binary.LittleEndian.Uint64(a.cell(r))) }

// compare orders the cell against (key, seq): key ascending, seq descending.
func (a *arena) compare(r ref, key []byte, seq kv.Seq) int {
	if c := bytes.Compare(a.key(r), key); c != 0 {
		return c
	}
	switch s := a.seq(r); {
	case s > seq:
		return -1
	case s < seq:
		return 1
	}
	return 0
}

// entry fills e, whose slices alias the arena.
func (a *arena) entry(r ref, e *kv.Entry) {
	b := a.cell(r)
	l := binary.LittleEndian.Uint64(b[16:24])
	e.Seq = kv.Seq(binary.LittleEndian.Uint64(b))
	e.CreateTS = int64(binary.LittleEndian.Uint64(b[8:]))
	e.Kind = kv.Kind(l & kindMask)
	e.ExpireTS = kv.NoTS
	at := uint64(cellHeader)
	if l&hasExpire != 0 {
		e.ExpireTS = int64(binary.LittleEndian.Uint64(b[at:]))
		at += 8
	}
	end := at + l>>32
	e.Key = b[at:end:end]
	if l&isBig != 0 {
		v := (*a.big.Load())[binary.LittleEndian.Uint64(b[end:])]
		e.Value = v[:len(v):len(v)]
		return
	}
	stop := end + l>>8&(1<<24-1)
	e.Value = b[end:stop:stop]
}

// prefixAt returns the 8 bytes of key after skip as a number that orders as they do; missing ones
// count as 0, so equal numbers say nothing.
func prefixAt(key []byte, skip uint32) uint64 {
	if s := uint64(skip); uint64(len(key)) >= s+8 {
		return binary.BigEndian.Uint64(key[s:])
	}
	return shortPrefix(key, skip)
}

func shortPrefix(key []byte, skip uint32) uint64 {
	var b [8]byte
	if uint64(len(key)) > uint64(skip) {
		copy(b[:], key[skip:])
	}
	return binary.BigEndian.Uint64(b[:])
}

func commonPrefix(a, b []byte) uint32 {
	n := min(len(a), len(b), math.MaxInt32)
	for i := range n {
		if a[i] != b[i] {
			return uint32(i)
		}
	}
	return uint32(n)
}
