package sst

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// A WALBlock is a finished plain block in the buffer of a WAL object to be.
type WALBlock struct {
	Off, Len int
	FirstSeq kv.Seq // of its first row
}

// WALBlockGap is the room that the caller leaves behind each block: the place of its
// checksum.
const WALBlockGap = crcLen

// SealWAL makes a WAL object of blocks that stand in buf one behind the other, the first at
// 0, each followed by WALBlockGap bytes of any content. Without codec and transformer buf
// becomes the object: checksums are filled in and the rest is appended, so that spare
// capacity saves a copy. Otherwise the object is a buffer of its own.
func SealWAL(buf []byte, blocks []WALBlock, codec Codec, tr Transformer) ([]byte, error) {
	if len(blocks) == 0 {
		return nil, fmt.Errorf("%w: WAL object without blocks", kv.ErrInternal)
	}
	if !codec.Valid() {
		return nil, fmt.Errorf("%w: Codec %d", kv.ErrInvalid, codec)
	}
	end := 0
	for i, b := range blocks {
		if b.Off != end || b.Len <= 0 || b.Len > len(buf)-b.Off-WALBlockGap {
			return nil, fmt.Errorf("%w: WAL block %d at %d of %d bytes in %d, want it at %d", kv.ErrInternal, i, b.Off, b.Len, len(buf), end)
		}
		end = b.Off + b.Len + WALBlockGap
	}
	out := buf[:end]
	if codec != NoCompression || tr != nil {
		out = make([]byte, 0, end/2+1024)
	}
	var index indexBuilder
	for i, b := range blocks {
		first := binary.BigEndian.AppendUint64(nil, uint64(b.FirstSeq))
		plain := buf[b.Off : b.Off+b.Len]
		if codec == NoCompression && tr == nil {
			index.add(uint64(b.Off), first)
			binary.BigEndian.PutUint32(buf[b.Off+b.Len:], crc32.ChecksumIEEE(plain))
			continue
		}
		index.add(uint64(len(out)), first)
		var err error
		if out, err = sealSection(out, plain, codec, tr); err != nil {
			return nil, fmt.Errorf("seal WAL block %d: %w", i, err)
		}
	}
	info := Info{
		First:       binary.BigEndian.AppendUint64(nil, uint64(blocks[0].FirstSeq)),
		IndexOffset: uint64(len(out)), FilterOffset: uint64(len(out)),
		Codec: codec, WAL: true, CompositeFilter: true,
	}
	out, err := sealSection(out, index.build(), codec, tr)
	if err != nil {
		return nil, fmt.Errorf("seal WAL index: %w", err)
	}
	info.IndexLen = uint64(len(out)) - info.IndexOffset
	return appendTail(out, &info), nil
}
