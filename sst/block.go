package sst

// A Block is the plain bytes of one data block, checked and ready to be searched. It is
// immutable and may be shared.
//
// What a search reads stands in three cache lines: the fields up to heads fill the first.
type Block struct {
	Used Used // for the cache

	restarts uint16 // number of restart points (format 2) or rows (format 1)
	v1       bool   // format 1
	common   uint8  // length of prefix in use
	data     []byte // rows, then restart or row offsets, then their count
	rowsEnd  int    // end of the rows in data

	// Of format 2 in the cache only, see block_heads.go.
	heads  []uint64
	prefix [maxCommon]byte
	inline [inlineHeads]uint64 // backs heads when there are few
}

// Bytes is what the block is charged for in a cache.
func (b *Block) Bytes() int64 {
	n := int64(cap(b.data)) + blockOverhead
	if len(b.heads) > len(b.inline) {
		n += int64(8 * cap(b.heads))
	}
	return n
}

// blockOverhead: the Block itself, its cell and the cache's bookkeeping.
const blockOverhead = 240

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
