package sst

import (
	"encoding/binary"

	"github.com/slatedb/slatedb-go/internal/codec"
	"github.com/slatedb/slatedb-go/internal/kv"
)

// Numbers of the block encoding. Part of the file format, do not change.
const (
	restartInterval = 16    // rows 0, 16, 32, ... of a block store their whole key
	maxBlockTarget  = 65536 // restart offsets are u16

	// WALBlockTarget is the block size of WAL objects.
	WALBlockTarget = 65535
	// DefaultBlockSize is the block size of compacted tables.
	DefaultBlockSize = 4096

	flagTombstone = 0x01
	flagExpire    = 0x02
	flagCreate    = 0x04
	flagMerge     = 0x08
)

// A BlockBuilder appends rows of format 2 to a buffer that belongs to the caller, so that an
// object is built in place. It keeps a copy of the last key and nothing else of the rows.
// The zero value needs Reset before use. It belongs to one goroutine.
//
// The row's key and value must be shorter than 4 GiB: the caller has checked that.
type BlockBuilder struct {
	start    int // where the block begins in the buffer
	size     int // bytes of rows
	target   int
	rows     int
	restarts []uint16
	last     []byte // key of the last row
}

// Reset begins a block at len(dst). target is the plain size at which it is cut; 0 means
// DefaultBlockSize.
func (b *BlockBuilder) Reset(dst []byte, target int) []byte {
	if target <= 0 {
		target = DefaultBlockSize
	}
	b.start, b.size, b.target, b.rows = len(dst), 0, min(target, maxBlockTarget), 0
	b.restarts, b.last = b.restarts[:0], b.last[:0]
	b.restarts = append(b.restarts, 0)
	return dst
}

// Rows is the number of rows in the block.
func (b *BlockBuilder) Rows() int { return b.rows }

// LastKey is the key of the last row; it is valid until the next call.
func (b *BlockBuilder) LastKey() []byte { return b.last }

// Len is the plain length of the block if it were finished now.
func (b *BlockBuilder) Len(dst []byte) int {
	if b.rows == 0 {
		return 0
	}
	return len(dst) - b.start + 2*len(b.restarts) + 2
}

// Fits reports whether e may join the block. An empty block takes any row; a row larger than
// the target stays alone.
func (b *BlockBuilder) Fits(e *kv.Entry) bool {
	if b.rows == 0 {
		return true
	}
	need := b.size + 2*len(b.restarts) + 2
	shared := 0
	if b.rows%restartInterval == 0 {
		need += 2
	} else {
		shared = matchLen(b.last, e.Key)
	}
	return need+rowLen(shared, e) <= b.target
}

// rowLen is the encoded length of e when shared bytes come from the row before.
func rowLen(shared int, e *kv.Entry) int {
	unshared, value := len(e.Key)-shared, len(e.Value)
	if e.Kind == kv.Tombstone {
		value = 0
	}
	n := codec.SizeVarint32(uint32(shared)) + codec.SizeVarint32(uint32(unshared)) +
		codec.SizeVarint32(uint32(value)) + unshared + value + 8 + 1
	if e.ExpireTS != kv.NoTS {
		n += 8
	}
	if e.CreateTS != kv.NoTS {
		n += 8
	}
	return n
}

// Append adds e. The value of a tombstone is not stored.
func (b *BlockBuilder) Append(dst []byte, e *kv.Entry) []byte {
	shared := 0
	if b.rows%restartInterval != 0 {
		shared = matchLen(b.last, e.Key)
	} else if b.rows > 0 {
		b.restarts = append(b.restarts, uint16(len(dst)-b.start))
	}
	suffix, value := e.Key[shared:], e.Value
	flags := byte(0)
	switch e.Kind {
	case kv.Tombstone:
		flags, value = flagTombstone, nil
	case kv.Merge:
		flags = flagMerge
	}
	if (shared|len(suffix)|len(value))>>7 == 0 {
		dst = append(dst, byte(shared), byte(len(suffix)), byte(len(value)))
	} else {
		dst = codec.AppendVarint32(dst, uint32(shared))
		dst = codec.AppendVarint32(dst, uint32(len(suffix)))
		dst = codec.AppendVarint32(dst, uint32(len(value)))
	}
	dst = append(dst, suffix...)
	dst = append(dst, value...)

	var tail [25]byte
	n := 9
	binary.BigEndian.PutUint64(tail[:], uint64(e.Seq))
	if e.ExpireTS != kv.NoTS {
		flags |= flagExpire
		binary.BigEndian.PutUint64(tail[n:], uint64(e.ExpireTS))
		n += 8
	}
	if e.CreateTS != kv.NoTS {
		flags |= flagCreate
		binary.BigEndian.PutUint64(tail[n:], uint64(e.CreateTS))
		n += 8
	}
	tail[8] = flags
	dst = append(dst, tail[:n]...)

	b.last = append(b.last[:shared], suffix...)
	b.size = len(dst) - b.start
	b.rows++
	return dst
}

// Finish appends the restart array and its count. The checksum is the caller's business. An
// empty block has no encoding; it appends nothing.
func (b *BlockBuilder) Finish(dst []byte) []byte {
	if b.rows == 0 {
		return dst
	}
	for _, r := range b.restarts {
		dst = binary.BigEndian.AppendUint16(dst, r)
	}
	return binary.BigEndian.AppendUint16(dst, uint16(len(b.restarts)))
}
