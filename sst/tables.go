package sst

import (
	"encoding/binary"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/slatedb/slatedb-go/internal/flatbuf"
)

// This file builds and reads the small flatbuffers at the end of an object. Fields are added
// in the order that gives the bytes of the Rust writer: its builder works from back to front
// as well, and adds wide fields first and, among equally wide ones, the last first.

// indexBuilder collects what the index section says about each block.
type indexBuilder struct {
	slab    []byte
	ends    []int
	offsets []uint64
}

func (x *indexBuilder) add(offset uint64, key []byte) {
	x.slab = append(x.slab, key...)
	x.ends = append(x.ends, len(x.slab))
	x.offsets = append(x.offsets, offset)
}

// build returns the plain bytes of the index section.
func (x *indexBuilder) build() []byte {
	b := flatbuffers.NewBuilder(len(x.slab) + 32*len(x.ends) + 64)
	metas := make([]flatbuffers.UOffsetT, len(x.ends))
	var shapes []metaShape
	start := 0
	for i, end := range x.ends {
		key := b.CreateByteVector(x.slab[start:end])
		start = end
		metas[i], shapes = appendBlockMeta(b, shapes, x.offsets[i], key)
	}
	vector := b.CreateVectorOfTables(metas)
	flatbuf.SsTableIndexStart(b)
	flatbuf.SsTableIndexAddBlockMeta(b, vector)
	b.Finish(flatbuf.SsTableIndexEnd(b))
	return b.FinishedBytes()
}

// A metaShape is a vtable of BlockMeta in the buffer.
type metaShape struct {
	size, offset, key flatbuffers.VOffsetT // of the table, and where its fields stand in it
	at                flatbuffers.UOffsetT
}

// appendBlockMeta writes a BlockMeta by hand. The Go runtime would share one vtable between
// tables of different sizes, which readers accept, but the Rust runtime shares it only
// between equal ones, and the objects are to be the same.
func appendBlockMeta(b *flatbuffers.Builder, shapes []metaShape, offset uint64, key flatbuffers.UOffsetT) (flatbuffers.UOffsetT, []metaShape) {
	start := b.Offset()
	var offsetAt flatbuffers.UOffsetT
	if offset != 0 {
		b.PrependUint64(offset)
		offsetAt = b.Offset()
	}
	b.PrependUOffsetT(key)
	keyAt := b.Offset()
	b.PrependSOffsetT(0)
	table := b.Offset()
	want := metaShape{size: flatbuffers.VOffsetT(table - start), key: flatbuffers.VOffsetT(table - keyAt)}
	if offset != 0 {
		want.offset = flatbuffers.VOffsetT(table - offsetAt)
	}
	for _, s := range shapes {
		if s.size == want.size && s.offset == want.offset && s.key == want.key {
			want.at = s.at
			break
		}
	}
	if want.at == 0 {
		b.PrependVOffsetT(want.key)
		b.PrependVOffsetT(want.offset)
		b.PrependVOffsetT(want.size)
		b.PrependVOffsetT(8) // bytes of this vtable
		want.at = b.Offset()
		shapes = append(shapes, want)
	}
	// Offsets count from the end of the buffer.
	flatbuffers.WriteSOffsetT(b.Bytes[len(b.Bytes)-int(table):], flatbuffers.SOffsetT(want.at)-flatbuffers.SOffsetT(table))
	return table, shapes
}

// Stats counts what a compacted table holds. Reads do not need it.
type Stats struct {
	Puts, Deletes, Merges      uint64
	RawKeyBytes, RawValueBytes uint64 // sums over all rows
	Blocks                     []BlockStats
}

// BlockStats counts the rows of one block; a counter stops at 65,535.
type BlockStats struct{ Puts, Deletes, Merges uint16 }

// DecodeStats reads the plain bytes of a statistics section.
func DecodeStats(plain []byte) (Stats, error) {
	if err := flatbuf.VerifySstStats(plain); err != nil {
		return Stats{}, corruptf("statistics: %v", err)
	}
	t := flatbuf.GetRootAsSstStats(plain, 0)
	s := Stats{
		Puts: t.NumPuts(), Deletes: t.NumDeletes(), Merges: t.NumMerges(),
		RawKeyBytes: t.RawKeySize(), RawValueBytes: t.RawValSize(),
		Blocks: make([]BlockStats, t.BlockStatsLength()),
	}
	var b flatbuf.BlockStats
	for i := range s.Blocks {
		t.BlockStats(&b, i)
		s.Blocks[i] = BlockStats{b.NumPuts(), b.NumDeletes(), b.NumMerges()}
	}
	return s, nil
}

// build returns the plain bytes of the statistics section.
func (s *Stats) build() []byte {
	b := flatbuffers.NewBuilder(24*len(s.Blocks) + 128)
	tables := make([]flatbuffers.UOffsetT, len(s.Blocks))
	for i, c := range s.Blocks {
		flatbuf.BlockStatsStart(b)
		flatbuf.BlockStatsAddNumMerges(b, c.Merges)
		flatbuf.BlockStatsAddNumDeletes(b, c.Deletes)
		flatbuf.BlockStatsAddNumPuts(b, c.Puts)
		tables[i] = flatbuf.BlockStatsEnd(b)
	}
	vector := b.CreateVectorOfTables(tables)
	flatbuf.SstStatsStart(b)
	flatbuf.SstStatsAddRawValSize(b, s.RawValueBytes)
	flatbuf.SstStatsAddRawKeySize(b, s.RawKeyBytes)
	flatbuf.SstStatsAddNumMerges(b, s.Merges)
	flatbuf.SstStatsAddNumDeletes(b, s.Deletes)
	flatbuf.SstStatsAddNumPuts(b, s.Puts)
	flatbuf.SstStatsAddBlockStats(b, vector)
	b.Finish(flatbuf.SstStatsEnd(b))
	return b.FinishedBytes()
}

// appendTail ends an object: metadata with its checksum, and the footer. Neither is ever
// compressed or transformed.
func appendTail(dst []byte, info *Info) []byte {
	start := len(dst)
	b := flatbuffers.NewBuilder(256)
	b.Finish(info.Build(b))
	dst = append(dst, b.FinishedBytes()...)
	dst = appendCRC(dst, start)
	dst = binary.BigEndian.AppendUint64(dst, uint64(start))
	return binary.BigEndian.AppendUint16(dst, FormatV2)
}
