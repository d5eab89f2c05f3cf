package sst

// A Block is the plain bytes of one data block, checked and ready to be searched. It is
// immutable and may be shared.
type Block struct {
	Used Used // for the cache

	data     []byte // rows, then restart or row offsets, then their count
	rowsEnd  int    // end of the rows in data
	restarts int    // number of restart points (format 2) or rows (format 1)
	format   uint16
}

// Bytes is what the block is charged for in a cache.
func (b *Block) Bytes() int64 { return int64(cap(b.data)) + blockOverhead }

// blockOverhead: the Block itself, its cell and the cache's bookkeeping.
const blockOverhead = 112

// Meta is a table's index, filters and statistics, decoded. It is immutable and may be
// shared. It depends on the object alone, never on a handle's options.
type Meta struct {
	Used Used // for the cache

	Index   Index
	Filters []NamedFilter
	Stats   []byte // plain bytes of the statistics section, nil when there is none
	bytes   int64
}

// Bytes is what the metadata is charged for in a cache.
func (m *Meta) Bytes() int64 { return m.bytes }

// A NamedFilter is one filter of a table: the name of the policy that built it and its bytes.
type NamedFilter struct {
	Name string
	Data []byte
}
