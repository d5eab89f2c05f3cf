package sst

import (
	"encoding/binary"
)

// DecodeBlock checks the frame of a block's plain bytes: the trailer, and that every restart
// (format 2) or row offset (format 1) is where one can be. The rows are checked while they
// are walked. The block aliases plain.
func DecodeBlock(plain []byte, format uint16) (*Block, error) {
	if format != FormatV1 && format != FormatV2 {
		return nil, corruptf("unsupported table format version %d", format)
	}
	if len(plain) < 2 {
		return nil, corruptf("block of %d bytes", len(plain))
	}
	n := int(binary.BigEndian.Uint16(plain[len(plain)-2:]))
	rowsEnd := len(plain) - 2 - 2*n
	if n == 0 || rowsEnd <= 0 {
		return nil, corruptf("block of %d bytes with %d restarts", len(plain), n)
	}
	b := &Block{data: plain[:len(plain):len(plain)], rowsEnd: rowsEnd, restarts: uint16(n), v1: format == FormatV1}
	last := -1
	for i := range n {
		off := b.restartOffset(i)
		if off <= last || off >= rowsEnd || (i == 0 && off != 0) {
			return nil, corruptf("restart %d of %d at %d, after %d, rows end at %d", i, n, off, last, rowsEnd)
		}
		if format == FormatV2 && plain[off] != 0 {
			return nil, corruptf("row at restart %d shares key bytes", i)
		}
		if format == FormatV2 {
			if _, ok := b.restartKey(i); !ok {
				return nil, corruptf("malformed key at restart %d", i)
			}
		}
		last = off
	}
	return b, nil
}

// restartOffset is the position of restart i (format 2) or row i (format 1).
func (b *Block) restartOffset(i int) int {
	return int(binary.BigEndian.Uint16(b.data[b.rowsEnd+2*i:]))
}

// restartKey returns the key at restart i of a format 2 block, or false for damaged bytes.
func (b *Block) restartKey(i int) ([]byte, bool) {
	p := b.restartOffset(i)
	unshared := int(b.data[p+1])
	if unshared < 0x80 && b.data[p+2] < 0x80 && b.data[p] == 0 {
		p += 3
	} else {
		var shared int
		if shared, unshared, _, p = rowHeader(b.data, p, b.rowsEnd); p < 0 || shared != 0 {
			return nil, false
		}
	}
	if unshared > b.rowsEnd-p {
		return nil, false
	}
	return b.data[p : p+unshared : p+unshared], true
}

// errRow is a row that does not fit its block.
func (b *Block) errRow(p int) error {
	return corruptf("malformed row at %d of a block with %d bytes of rows", p, b.rowsEnd)
}
