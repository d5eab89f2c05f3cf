package sst

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/slatedb/slatedb-go/internal/kv"
)

const (
	crcLen    = 4
	footerLen = 10

	// maxSection bounds what a length field of a manifest or footer may ask a reader to
	// fetch at once: the largest row is a key and a value of 4 GiB each.
	maxSection = 9 << 30
	// plainLimit bounds what a section may grow to when it is decompressed, for callers
	// that know no better bound: the largest row again. Each codec's own best ratio bounds
	// it further, see decompress.
	plainLimit = min(maxSection, math.MaxInt)
)

// A Transformer changes stored sections, think of encryption. It works between compression
// and checksum, is not recorded in the object, and never sees metadata and footer. Both
// methods are called from several goroutines at once; they must not keep or change their
// argument and may return it. A Transformer with a method EncodedOverhead() int declares by
// how many bytes Encode grows a section.
type Transformer interface {
	Encode(plain []byte) ([]byte, error)
	Decode(stored []byte) ([]byte, error)
}

// openSection checks the checksum of a stored section (which includes it), then undoes
// transformer and compression. With neither, the result aliases stored. limit bounds the
// plain length.
func openSection(stored []byte, codec Codec, tr Transformer, limit int) (plain []byte, err error) {
	if len(stored) < crcLen {
		return nil, corruptf("section of %d bytes", len(stored))
	}
	body, sum := stored[:len(stored)-crcLen:len(stored)-crcLen], binary.BigEndian.Uint32(stored[len(stored)-crcLen:])
	if got := crc32.ChecksumIEEE(body); got != sum {
		return nil, corruptf("checksum mismatch: got %08x, want %08x", got, sum)
	}
	if tr != nil {
		if body, err = tr.Decode(body); err != nil {
			return nil, &transformError{err}
		}
	}
	if codec == NoCompression {
		if len(body) > limit {
			return nil, corruptf("section of %d plain bytes, limit %d", len(body), limit)
		}
		return body, nil
	}
	return decompress(codec, body, limit)
}

// A transformError is what Decode returned. It is damage, whatever its kind: an ErrNotFound of
// a callback must not pass for a key that does not exist. So errors.As finds a type of the
// callback's own in it (an unknown key, say), and errors.Is only ErrCorrupt.
type transformError struct{ err error }

func (e *transformError) Error() string      { return fmt.Sprintf("undo transformer: %v", e.err) }
func (e *transformError) Unwrap() error      { return kv.ErrCorrupt }
func (e *transformError) As(target any) bool { return errors.As(e.err, target) }

// suspect explains err, which decoding a section gave: one whose checksum fits was stored as
// it is, so that without a transformer the likely cause is that the writer had one.
func suspect(err error, stored []byte, tr Transformer) error {
	if err == nil || tr != nil {
		return err
	}
	if body := len(stored) - crcLen; body < 0 || crc32.ChecksumIEEE(stored[:body]) != binary.BigEndian.Uint32(stored[body:]) {
		return err
	}
	return fmt.Errorf("%w (its checksum fits: was it written with a block transformer that is not set here?)", err)
}

// sealSection appends the stored form of plain to dst: compressed, transformed, with its
// checksum.
func sealSection(dst, plain []byte, codec Codec, tr Transformer) ([]byte, error) {
	start := len(dst)
	var err error
	switch {
	case tr != nil:
		if codec != NoCompression {
			if plain, err = compress(nil, codec, plain); err != nil {
				return nil, err
			}
		}
		if plain, err = tr.Encode(plain); err != nil {
			return nil, err
		}
		dst = append(dst, plain...)
	case codec != NoCompression:
		if dst, err = compress(dst, codec, plain); err != nil {
			return nil, err
		}
	default:
		dst = append(dst, plain...)
	}
	return appendCRC(dst, start), nil
}

// appendCRC appends the checksum of dst[start:].
func appendCRC(dst []byte, start int) []byte {
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
}

// dataEnd is where the last data block and its padding end.
func (i *Info) dataEnd() uint64 {
	if i.FilterLen > 0 {
		return i.FilterOffset
	}
	return i.IndexOffset
}

// blockSpan says where the stored bytes of block i are, with its checksum and without
// padding. It checks lengths against each other; whether the object is that long shows when
// it is read.
func blockSpan(info *Info, x *Index, i int) (off, length uint64, err error) {
	if uint(i) >= uint(x.Len()) {
		return 0, 0, corruptf("block %d of %d", i, x.Len())
	}
	off = x.offsets[i]
	end := info.dataEnd()
	if i+1 < x.Len() {
		end = x.offsets[i+1]
	}
	if off >= end || end > info.dataEnd() {
		return 0, 0, corruptf("block %d spans %d to %d, data ends at %d", i, off, end, info.dataEnd())
	}
	length = end - off
	if l := uint64(x.EncodedLen(i)); l != 0 {
		if l > length {
			return 0, 0, corruptf("block %d of %d bytes in a space of %d", i, l, length)
		}
		length = l
	}
	if length <= crcLen || length > maxSection {
		return 0, 0, corruptf("block %d of %d bytes", i, length)
	}
	return off, length, nil
}

// metaSpan is the range of the object that holds filter, index and statistics, which stand
// one behind the other.
func metaSpan(info *Info) (off, length uint64, err error) {
	off, end := info.IndexOffset, uint64(0)
	sum := uint64(0)
	for _, s := range info.metaSections() {
		if s.len == 0 && !s.always {
			continue
		}
		if s.len <= crcLen || s.len > maxSection || s.off > math.MaxInt64-s.len {
			return 0, 0, corruptf("%s of %d bytes at %d", s.name, s.len, s.off)
		}
		off, end = min(off, s.off), max(end, s.off+s.len)
		sum += s.len
	}
	// A gap between them would be read for nothing; nobody writes one.
	if end-off > sum+maxMetaGap {
		return 0, 0, corruptf("filter, index and statistics spread over %d bytes, together %d", end-off, sum)
	}
	return off, end - off, nil
}

// maxMetaGap is arbitrary: other writers may align sections.
const maxMetaGap = 64 << 10

type metaSection struct {
	name     string
	off, len uint64
	always   bool
}

func (i *Info) metaSections() [3]metaSection {
	return [3]metaSection{
		{"filter", i.FilterOffset, i.FilterLen, false},
		{"index", i.IndexOffset, i.IndexLen, true},
		{"statistics", i.StatsOffset, i.StatsLen, false},
	}
}

// decodeMeta decodes filter, index and statistics. span holds the bytes of the object from
// off on, as metaSpan asked for. Nothing in the result aliases span.
func decodeMeta(info *Info, span []byte, off uint64, tr Transformer) (*Meta, error) {
	m := &Meta{bytes: metaOverhead}
	for k, s := range info.metaSections() {
		if s.len == 0 && !s.always {
			continue
		}
		if s.off < off || s.off-off > uint64(len(span)) || s.len > uint64(len(span))-(s.off-off) {
			return nil, corruptf("%s of %d bytes at %d is not in the %d bytes at %d", s.name, s.len, s.off, len(span), off)
		}
		stored := span[s.off-off:][:s.len]
		plain, err := openSection(stored, info.Codec, tr, plainLimit)
		if err != nil && s.name == "statistics" {
			// Reads do not need them, so that damage in them costs no answer. Object.Stats
			// reports it.
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s at %d: %w", s.name, s.off, suspect(err, stored, tr))
		}
		switch k {
		case 0:
			m.Filters, err = decodeFilters(plain, info.CompositeFilter)
			for _, f := range m.Filters {
				m.bytes += int64(cap(f.Data) + len(f.Name) + 40)
			}
		case 1:
			if m.Index, err = decodeIndex(plain); err == nil && !info.WAL {
				err = m.Index.checkOrder()
			}
			m.bytes += m.Index.bytes()
		case 2:
			m.Stats = append(make([]byte, 0, len(plain)), plain...)
			m.bytes += int64(len(m.Stats))
		}
		if err != nil {
			return nil, fmt.Errorf("%s at %d: %w", s.name, s.off, suspect(err, stored, tr))
		}
	}
	return m, nil
}

// metaOverhead: the Meta itself, its cell and the cache's bookkeeping.
const metaOverhead = 320
