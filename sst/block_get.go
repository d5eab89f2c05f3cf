package sst

import (
	"bytes"
	"encoding/binary"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// get looks for the newest version of key with seq <= max in this block. It copies no key
// and allocates nothing: e.Key becomes key itself, e.Value aliases the block. past tells
// that a larger key was seen, so that later blocks need not be asked.
//
// Rows hold only what differs from the key before. To compare without putting keys
// together, the walk keeps matched, the number of leading bytes that the row before (which
// is below key) has in common with key. A row that shares more than that with the row before
// differs from key where that one did: it is below, too. A row that shares no more than that
// has its first shared bytes in common with key, so comparing its suffix decides. This holds
// whether or not the writer shared as much as it could.
func (b *Block) get(key []byte, max kv.Seq, e *kv.Entry) (found, past bool, err error) {
	if b.v1 {
		return b.getV1(key, max, e)
	}
	data, end := b.data, b.rowsEnd
	p, matched := b.seekStart(key)
	prev := 0
	if p > 0 {
		prev = end // the row at p was checked against the one before, or shares nothing
	}
	for p < end {
		// Behind the rows stand at least four bytes, so a four byte load is inside.
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
			return false, false, b.errRow(row)
		}
		keyEnd := p + unshared
		valueEnd := keyEnd + value
		if valueEnd+8 >= end || shared > prev {
			return false, false, b.errRow(row)
		}
		flags := data[valueEnd+8]
		tail := int(rowTail[flags])
		next := valueEnd + tail
		if tail == 0 || next > end {
			return false, false, b.errRow(row)
		}
		prev = shared + unshared
		if shared > matched {
			p = next
			continue
		}
		suffix, rest := data[p:keyEnd], key[shared:]
		n := matchLen(suffix, rest)
		switch {
		case n == len(rest) && n == len(suffix):
			if seq := kv.Seq(binary.BigEndian.Uint64(data[valueEnd:])); seq <= max {
				e.Key, e.Value, e.Seq = key, data[keyEnd:valueEnd:valueEnd], seq
				e.Kind = rowKind[flags&15]
				rowTimes(data, valueEnd+8, flags, e)
				return true, false, nil
			}
		case n == len(rest), n < len(suffix) && suffix[n] > rest[n]:
			return false, true, nil
		}
		matched = shared + n
		p = next
	}
	return false, false, nil
}

// compareV1 compares the key of row i of a format 1 block with key.
func (b *Block) compareV1(i int, first, key []byte) (r rowV1, c int, ok bool) {
	r, ok = parseV1(b.data, b.restartOffset(i), b.rowsEnd, len(first))
	if !ok {
		return r, 0, false
	}
	head := key[:min(len(key), r.prefix)]
	if c = bytes.Compare(first[:r.prefix], head); c == 0 {
		c = bytes.Compare(r.suffix, key[len(head):])
	}
	return r, c, true
}

// lowerV1 returns the first row of a format 1 block whose key is >= key; versions of one key
// stand newest first.
func (b *Block) lowerV1(key []byte) (row int, first []byte, ok bool) {
	head, ok := parseV1(b.data, 0, b.rowsEnd, 0)
	if !ok {
		return 0, nil, false
	}
	lo, hi := 0, int(b.restarts)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		_, c, ok := b.compareV1(mid, head.suffix, key)
		if !ok {
			return 0, nil, false
		}
		if c < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, head.suffix, true
}

func (b *Block) getV1(key []byte, max kv.Seq, e *kv.Entry) (found, past bool, err error) {
	row, first, ok := b.lowerV1(key)
	if !ok {
		return false, false, b.errRow(0)
	}
	for ; row < int(b.restarts); row++ {
		r, c, ok := b.compareV1(row, first, key)
		if !ok {
			return false, false, b.errRow(b.restartOffset(row))
		}
		if c != 0 {
			return false, true, nil
		}
		if r.seq <= max {
			*e = kv.Entry{Key: key, Value: r.value, Seq: r.seq, CreateTS: r.create, ExpireTS: r.expire, Kind: r.kind}
			return true, false, nil
		}
	}
	return false, false, nil
}
