package sst

import (
	"encoding/binary"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/slatedb/slatedb-go/internal/flatbuf"
	"github.com/slatedb/slatedb-go/internal/kv"
)

// An Object is a whole object in memory: a WAL object to replay, or a compacted table to
// inspect. It reads everything that releases since 0.10.0 wrote. It is immutable and may be
// shared; every error it gives names the object.
type Object struct {
	name   string
	body   []byte
	tr     Transformer
	format uint16
	info   Info
	index  Index
}

// OpenObject reads footer, metadata and index of body, which must not change any more. name
// is for errors. A zero-byte object is a fence and not for here; one of 1 to 10 bytes is
// damaged.
func OpenObject(name string, body []byte, tr Transformer) (*Object, error) {
	o := &Object{name: name, body: body, tr: tr}
	if off, err := o.open(); err != nil {
		return nil, Corrupt(name, int64(off), err)
	}
	return o, nil
}

// open returns the offset of the section that an error is about.
func (o *Object) open() (uint64, error) {
	if len(o.body) <= footerLen {
		return 0, corruptf("object of %d bytes", len(o.body))
	}
	end := uint64(len(o.body) - footerLen)
	footer := o.body[end:]
	start := binary.BigEndian.Uint64(footer)
	if o.format = binary.BigEndian.Uint16(footer[8:]); o.format != FormatV1 && o.format != FormatV2 {
		return end, corruptf("unsupported table format version %d", o.format)
	}
	if start > end || end-start <= crcLen {
		return end, corruptf("metadata from %d to %d", start, end)
	}
	info, err := decodeInfo(o.body[start:end])
	if err != nil {
		return start, err
	}
	o.info = info
	// A filter offset without a filter is not used, but the data ends at one of the two.
	for _, s := range info.metaSections() {
		if s.len == 0 && !s.always {
			continue
		}
		if s.off > start || s.len > start-s.off || s.len < crcLen {
			return start, corruptf("%s of %d bytes at %d, metadata at %d", s.name, s.len, s.off, start)
		}
	}
	stored := o.body[info.IndexOffset:][:info.IndexLen]
	plain, err := openSection(stored, info.Codec, o.tr, plainLimit)
	if err == nil {
		o.index, err = decodeIndex(plain)
	}
	if err != nil {
		return info.IndexOffset, suspect(err, stored, o.tr)
	}
	return 0, nil
}

// decodeInfo reads a metadata section with its checksum.
func decodeInfo(stored []byte) (Info, error) {
	plain, err := openSection(stored, NoCompression, nil, plainLimit)
	if err != nil {
		return Info{}, err
	}
	if err := flatbuf.VerifySsTableInfo(plain); err != nil {
		return Info{}, corruptf("metadata: %v", err)
	}
	return InfoFromTable(flatbuffers.Table{Bytes: plain, Pos: flatbuffers.GetUOffsetT(plain)})
}

// Info is the object's metadata.
func (o *Object) Info() *Info { return &o.info }

// Format is the version of its data blocks.
func (o *Object) Format() uint16 { return o.format }

// Index is its index.
func (o *Object) Index() *Index { return &o.index }

// Meta decodes filters, index and statistics.
func (o *Object) Meta() (*Meta, error) {
	off, n, err := metaSpan(&o.info)
	if err == nil {
		var m *Meta
		if m, err = decodeMeta(&o.info, o.body[off:off+n], off, o.tr); err == nil {
			return m, nil
		}
	}
	return nil, Corrupt(o.name, int64(off), err)
}

// Stats decodes the statistics. WAL objects and tables of old releases have none: ok is
// false then.
func (o *Object) Stats() (s Stats, ok bool, err error) {
	if o.info.StatsLen == 0 {
		return s, false, nil
	}
	plain, err := openSection(o.body[o.info.StatsOffset:][:o.info.StatsLen], o.info.Codec, o.tr, plainLimit)
	if err == nil {
		s, err = DecodeStats(plain)
	}
	return s, err == nil, Corrupt(o.name, int64(o.info.StatsOffset), err)
}

// Block opens data block i.
func (o *Object) Block(i int) (*Block, error) {
	off, n, err := blockSpan(&o.info, &o.index, i)
	if err == nil {
		var plain []byte
		// open has checked that the data ends inside the body.
		if plain, err = openSection(o.body[off:off+n], o.info.Codec, o.tr, plainLimit); err == nil {
			var b *Block
			if b, err = DecodeBlock(plain, o.format); err == nil {
				return b, nil
			}
		}
	}
	return nil, Corrupt(o.name, int64(off), err)
}

// Rows walks all rows in stored order.
func (o *Object) Rows() *ObjectIter { return &ObjectIter{o: o} }

// An ObjectIter walks the rows of an object in stored order. What it returns stays valid: it
// aliases the body, a decoded block, or memory that holds many keys. It belongs to one
// goroutine.
type ObjectIter struct {
	o    *Object
	it   blockIter
	next int // block to open
	e    kv.Entry
	slab []byte // keys are copied into its spare capacity
	err  error
}

// Size of a slab of keys. An object with fewer key bytes wastes the rest.
const keySlab = 16 << 10

// Next moves to the next row. After false, Err tells the end from a failure.
func (i *ObjectIter) Next() bool {
	for i.err == nil {
		if i.it.b != nil && i.it.next() {
			i.e = i.it.e
			if n := len(i.e.Key); cap(i.slab)-len(i.slab) < n {
				i.slab = make([]byte, 0, max(n, min(keySlab, i.it.b.rowsEnd)))
			}
			start := len(i.slab)
			i.slab = append(i.slab, i.e.Key...)
			i.e.Key = i.slab[start:len(i.slab):len(i.slab)]
			return true
		}
		if i.it.b != nil && i.it.err() != nil {
			i.err = Corrupt(i.o.name, int64(i.o.index.offsets[i.next-1]), i.it.err())
			break
		}
		if i.next == i.o.index.Len() {
			break
		}
		b, err := i.o.Block(i.next)
		if err != nil {
			i.err = err
			break
		}
		i.next++
		i.it.reset(b)
	}
	return false
}

// Entry is the current row.
func (i *ObjectIter) Entry() *kv.Entry { return &i.e }

// Err is sticky.
func (i *ObjectIter) Err() error { return i.err }
