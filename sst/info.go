package sst

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/slatedb/slatedb-go/internal/flatbuf"
)

// A Codec compresses sections. The numbers are part of the file format, do not change.
type Codec uint8

// The codecs.
const (
	NoCompression Codec = 0
	Snappy        Codec = 1
	Zlib          Codec = 2
	LZ4           Codec = 3
	Zstd          Codec = 4
)

func (c Codec) String() string {
	switch c {
	case NoCompression:
		return "none"
	case Snappy:
		return "snappy"
	case Zlib:
		return "zlib"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return "unknown"
}

// Valid reports whether c is a codec of the format.
func (c Codec) Valid() bool { return c <= Zstd }

// Format versions of data blocks: 1 is read, 2 is read and written.
const (
	FormatV1 uint16 = 1
	FormatV2 uint16 = 2
)

// Info is the metadata of a table: where its sections are. The same content stands at the
// end of the object and in the manifest; reads of compacted tables use the manifest's copy.
type Info struct {
	First       []byte // smallest key (WAL: the first seq, 8 bytes big endian); nil = unknown
	Last        []byte // largest key; nil = unknown, which means unbounded above
	IndexOffset uint64
	IndexLen    uint64 // lengths include the 4 bytes of the checksum
	// FilterOffset is also the end of the data when FilterLen > 0.
	FilterOffset uint64
	FilterLen    uint64
	StatsOffset  uint64
	StatsLen     uint64
	Codec        Codec
	WAL          bool // sst_type: a WAL object
	// CompositeFilter: the filter section holds named filters; otherwise one bare bloom
	// filter (format of old releases).
	CompositeFilter bool
}

// EstimatedSize is the size that compaction picking and range estimates use.
func (i *Info) EstimatedSize() uint64 { return i.IndexOffset + i.IndexLen }

// Build appends i as an SsTableInfo table, in the order that gives the bytes of the Rust
// writer.
func (i *Info) Build(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	var first, last flatbuffers.UOffsetT
	if i.First != nil {
		first = b.CreateByteVector(i.First)
	}
	if i.Last != nil {
		last = b.CreateByteVector(i.Last)
	}
	flatbuf.SsTableInfoStart(b)
	flatbuf.SsTableInfoAddStatsLen(b, i.StatsLen)
	flatbuf.SsTableInfoAddStatsOffset(b, i.StatsOffset)
	flatbuf.SsTableInfoAddFilterLen(b, i.FilterLen)
	flatbuf.SsTableInfoAddFilterOffset(b, i.FilterOffset)
	flatbuf.SsTableInfoAddIndexLen(b, i.IndexLen)
	flatbuf.SsTableInfoAddIndexOffset(b, i.IndexOffset)
	if i.Last != nil {
		flatbuf.SsTableInfoAddLastEntry(b, last)
	}
	if i.First != nil {
		flatbuf.SsTableInfoAddFirstEntry(b, first)
	}
	if i.CompositeFilter {
		flatbuf.SsTableInfoAddFilterFormat(b, flatbuf.FilterFormatComposite)
	}
	if i.WAL {
		flatbuf.SsTableInfoAddSstType(b, flatbuf.SstTypeWal)
	}
	flatbuf.SsTableInfoAddCompressionFormat(b, flatbuf.CompressionFormat(i.Codec))
	return flatbuf.SsTableInfoEnd(b)
}

// InfoFromTable copies a verified SsTableInfo. Unknown enum values are an error.
func InfoFromTable(t flatbuffers.Table) (Info, error) {
	var f flatbuf.SsTableInfo
	f.Init(t.Bytes, t.Pos)
	i := Info{
		First: cloneVector(f.FirstEntryBytes(), t.Offset(4) != 0), Last: cloneVector(f.LastEntryBytes(), t.Offset(18) != 0),
		IndexOffset: f.IndexOffset(), IndexLen: f.IndexLen(),
		FilterOffset: f.FilterOffset(), FilterLen: f.FilterLen(),
		StatsOffset: f.StatsOffset(), StatsLen: f.StatsLen(),
		Codec: Codec(f.CompressionFormat()),
	}
	if c := f.CompressionFormat(); c < 0 || !Codec(c).Valid() {
		return i, corruptf("unknown compression format %d", c)
	}
	switch s := f.SstType(); s {
	case flatbuf.SstTypeCompacted:
	case flatbuf.SstTypeWal:
		i.WAL = true
	default:
		return i, corruptf("unknown table type %d", s)
	}
	switch s := f.FilterFormat(); s {
	case flatbuf.FilterFormatLegacy:
	case flatbuf.FilterFormatComposite:
		i.CompositeFilter = true
	default:
		return i, corruptf("unknown filter format %d", s)
	}
	return i, nil
}

func cloneVector(b []byte, present bool) []byte {
	if !present {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}
