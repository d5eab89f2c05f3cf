package sst

import (
	"encoding/binary"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A blockIter walks the rows of one block. It is a value to embed: after the key buffer has
// grown once, no call allocates. The zero value needs reset. It belongs to one goroutine.
type blockIter struct {
	// e is the current row. Its key aliases the iterator's buffer and is valid until the
	// next call; its value aliases the block.
	e kv.Entry

	b    *Block
	key  []byte // key of the current row
	pos  int    // where the next row begins
	fail error
}

// reset stands before the first row of b. The key buffer is kept.
func (it *blockIter) reset(b *Block) {
	it.b, it.pos, it.fail, it.key = b, 0, nil, it.key[:0]
}

// err is sticky until reset.
func (it *blockIter) err() error { return it.fail }

func (it *blockIter) damaged(p int) bool {
	it.fail = it.b.errRow(p)
	it.pos = it.b.rowsEnd
	return false
}

// next decodes the next row into it.e.
func (it *blockIter) next() bool {
	b := it.b
	data, p, end := b.data, it.pos, b.rowsEnd
	if p >= end {
		return false
	}
	if b.v1 {
		return it.nextV1()
	}
	row := p
	var shared, unshared, value int
	// Behind the rows stand at least four bytes, so a four byte load is inside.
	h := binary.LittleEndian.Uint32(data[p:])
	if h&oneByteLengths == 0 {
		shared, unshared, value = int(h&0x7f), int(h>>8&0x7f), int(h>>16&0x7f)
		p += 3
	} else if h&fourBytesOfHead == twoByteValueLen {
		shared, unshared, value = int(h&0x7f), int(h>>8&0x7f), int(h>>16&0x7f|h>>24<<7)
		p += 4
	} else if shared, unshared, value, p = rowHeader(data, p, end); p < 0 {
		return it.damaged(row)
	}
	keyEnd := p + unshared
	valueEnd := keyEnd + value
	f := valueEnd + 8
	if f >= end || shared > len(it.key) {
		return it.damaged(row)
	}
	flags := data[f]
	next := valueEnd + int(rowTail[flags])
	if next == valueEnd || next > end {
		return it.damaged(row)
	}
	it.key = append(it.key[:shared], data[p:keyEnd]...)
	it.pos = next
	it.set(data, keyEnd, valueEnd, flags)
	return true
}

// set fills it.e from a format 2 row whose key is in it.key.
func (it *blockIter) set(data []byte, keyEnd, valueEnd int, flags byte) {
	e := &it.e
	e.Key = it.key[:len(it.key):len(it.key)]
	e.Value = data[keyEnd:valueEnd:valueEnd]
	e.Seq = kv.Seq(binary.BigEndian.Uint64(data[valueEnd:]))
	e.Kind = rowKind[flags&15]
	e.ExpireTS, e.CreateTS = kv.NoTS, kv.NoTS
	f := valueEnd + 9
	if flags&flagExpire != 0 {
		e.ExpireTS = int64(binary.BigEndian.Uint64(data[f:]))
		f += 8
	}
	if flags&flagCreate != 0 {
		e.CreateTS = int64(binary.BigEndian.Uint64(data[f:]))
	}
}

// seekGE moves to the first row with a key >= key, which is the newest version of its key in
// this block, and decodes it into it.e. It may be called at any time and moves in both
// directions. The walk compares without putting keys together, see Block.get; the row it
// stops at shares no more with the row before than key does, so its key is put together
// from key.
func (it *blockIter) seekGE(key []byte) bool {
	b := it.b
	it.fail = nil
	if b.v1 {
		return it.seekV1(key)
	}
	data, end := b.data, b.rowsEnd
	p, matched := b.seekStart(key)
	prev := 0
	if p > 0 {
		prev = end // the row at p was checked against the one before, or shares nothing
	}
	for p < end {
		row := p
		var shared, unshared, value int
		h := binary.LittleEndian.Uint32(data[p:])
		if h&oneByteLengths == 0 {
			shared, unshared, value = int(h&0x7f), int(h>>8&0x7f), int(h>>16&0x7f)
			p += 3
		} else if h&fourBytesOfHead == twoByteValueLen {
			shared, unshared, value = int(h&0x7f), int(h>>8&0x7f), int(h>>16&0x7f|h>>24<<7)
			p += 4
		} else if shared, unshared, value, p = rowHeader(data, p, end); p < 0 {
			return it.damaged(row)
		}
		keyEnd := p + unshared
		valueEnd := keyEnd + value
		if valueEnd+8 >= end || shared > prev {
			return it.damaged(row)
		}
		flags := data[valueEnd+8]
		next := valueEnd + int(rowTail[flags])
		if next == valueEnd || next > end {
			return it.damaged(row)
		}
		prev = shared + unshared
		if shared <= matched {
			suffix, rest := data[p:keyEnd], key[shared:]
			n := matchLen(suffix, rest)
			if n == len(rest) || (n < len(suffix) && suffix[n] > rest[n]) {
				it.key = append(append(it.key[:0], key[:shared]...), suffix...)
				it.pos = next
				it.set(data, keyEnd, valueEnd, flags)
				return true
			}
			matched = shared + n
		}
		p = next
	}
	it.pos = end
	return false
}

func (it *blockIter) seekV1(key []byte) bool {
	row, _, ok := it.b.lowerV1(key)
	if !ok {
		return it.damaged(0)
	}
	if row == int(it.b.restarts) {
		it.pos = it.b.rowsEnd
		return false
	}
	it.pos = it.b.restartOffset(row)
	return it.nextV1()
}

// nextV1 decodes the row at it.pos of a format 1 block: keys are stored against the first
// key of the block, so any row can be decoded by itself.
func (it *blockIter) nextV1() bool {
	b := it.b
	first, ok := parseV1(b.data, 0, b.rowsEnd, 0)
	if !ok {
		return it.damaged(0)
	}
	r, ok := parseV1(b.data, it.pos, b.rowsEnd, len(first.suffix))
	if !ok {
		return it.damaged(it.pos)
	}
	it.pos = r.end
	it.key = append(append(it.key[:0], first.suffix[:r.prefix]...), r.suffix...)
	it.e = kv.Entry{Key: it.key[:len(it.key):len(it.key)], Value: r.value, Seq: r.seq, CreateTS: r.create, ExpireTS: r.expire, Kind: r.kind}
	return true
}
