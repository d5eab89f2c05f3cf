package sst

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// The most that a compressed byte can unfold to, per codec, with room. A section that claims
// more is damaged or hostile; checked before anything of that size is allocated.
const (
	snappyRatio = 64      // a copy of 64 bytes takes 2 or 3
	zlibRatio   = 1040    // deflate: 258 bytes in 2 bits
	lz4Ratio    = 256     // 255 per length byte
	zstdRatio   = 1 << 15 // a block of 128 KiB of one byte takes 4
	ratioSlack  = 1 << 17
)

var errDecompress = errors.New("decompress")

func compress(dst []byte, codec Codec, plain []byte) ([]byte, error) {
	switch codec {
	case NoCompression:
		return append(dst, plain...), nil
	case Snappy:
		n := snappy.MaxEncodedLen(len(plain))
		if n < 0 {
			break
		}
		dst = slices.Grow(dst, n)
		out := snappy.Encode(dst[len(dst):len(dst)+n], plain)
		return dst[:len(dst)+len(out)], nil
	case Zlib:
		return compressZlib(dst, plain)
	case LZ4:
		return compressLZ4(dst, plain)
	case Zstd:
		return compressZstd(dst, plain), nil
	default:
		return nil, errUnknownCodec(codec)
	}
	return nil, errTooLong(codec, len(plain))
}

// decompress returns the plain bytes in memory of their own size.
func decompress(codec Codec, body []byte, limit int) ([]byte, error) {
	switch codec {
	case NoCompression:
		return body, nil
	case Snappy:
		n, err := snappy.DecodedLen(body)
		if err == nil {
			err = checkPlain(n, len(body), snappyRatio, limit)
		}
		if err != nil {
			return nil, corruptf("%v snappy: %v", errDecompress, err)
		}
		out, err := snappy.Decode(make([]byte, n), body)
		if err != nil || len(out) != n {
			return nil, corruptf("%v snappy: %v", errDecompress, err)
		}
		return out, nil
	case Zlib:
		return decompressZlib(body, limit)
	case LZ4:
		return decompressLZ4(body, limit)
	case Zstd:
		return decompressZstd(body, limit)
	}
	return nil, errUnknownCodec(codec)
}

func errUnknownCodec(c Codec) error { return corruptf("unknown compression format %d", uint8(c)) }

func errTooLong(c Codec, n int) error {
	return errors.Join(kv.ErrInvalid, errors.New(c.String()+": section too long"))
}

// checkPlain refuses a plain length that the compressed bytes cannot have or that is above
// the limit.
func checkPlain(n, stored, ratio, limit int) error {
	if n < 0 || n > limit || n/ratio > stored+ratioSlack/ratio {
		return corruptf("%d bytes are said to become %d, limit %d", stored, n, limit)
	}
	return nil
}

// ---- zlib

var zlibWriters = sync.Pool{New: func() any { return zlib.NewWriter(io.Discard) }}

func compressZlib(dst, plain []byte) ([]byte, error) {
	w := zlibWriters.Get().(*zlib.Writer)
	defer zlibWriters.Put(w)
	out := bytes.NewBuffer(dst)
	w.Reset(out)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	w.Reset(io.Discard)
	return out.Bytes(), nil
}

// zlibReader is a pooled decompressor with the scratch it decompresses into: the plain
// length is not stored.
type zlibReader struct {
	src bytes.Reader
	r   io.ReadCloser
	out bytes.Buffer
}

var zlibReaders = sync.Pool{New: func() any { return new(zlibReader) }}

func decompressZlib(body []byte, limit int) ([]byte, error) {
	z := zlibReaders.Get().(*zlibReader)
	defer func() {
		z.src.Reset(nil)
		if z.out.Cap() > maxPooledScratch {
			z.out = bytes.Buffer{}
		}
		zlibReaders.Put(z)
	}()
	z.src.Reset(body)
	z.out.Reset()
	var err error
	if z.r == nil {
		z.r, err = zlib.NewReader(&z.src)
	} else {
		err = z.r.(zlib.Resetter).Reset(&z.src, nil)
	}
	if err == nil {
		_, err = z.out.ReadFrom(io.LimitReader(z.r, min(int64(limit), math.MaxInt64-1)+1))
	}
	if err == nil && z.out.Len() > limit {
		err = corruptf("more than %d plain bytes", limit)
	}
	if err != nil {
		return nil, corruptf("%v zlib: %v", errDecompress, err)
	}
	return append(make([]byte, 0, z.out.Len()), z.out.Bytes()...), nil
}

// maxPooledScratch keeps one huge section from staying in a pool.
const maxPooledScratch = 1 << 20

// ---- lz4

// compressLZ4 writes the plain length as u32 little endian, then one raw block.
func compressLZ4(dst, plain []byte) ([]byte, error) {
	bound := lz4.CompressBlockBound(len(plain))
	if uint64(len(plain)) > math.MaxUint32 || bound <= 0 {
		return nil, errTooLong(LZ4, len(plain))
	}
	dst = binary.LittleEndian.AppendUint32(slices.Grow(dst, 4+bound), uint32(len(plain)))
	// With room for the bound the library always finds an encoding, also for bytes that do
	// not compress; it only fails to for short ones in some versions.
	n, err := lz4.CompressBlock(plain, dst[len(dst):len(dst)+bound], nil)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return appendLZ4Literals(dst, plain), nil
	}
	return dst[:len(dst)+n], nil
}

// appendLZ4Literals appends a raw block that is one sequence of literals.
func appendLZ4Literals(dst, plain []byte) []byte {
	n := len(plain)
	dst = append(dst, byte(min(n, 15)<<4))
	if n >= 15 {
		for n -= 15; n >= 255; n -= 255 {
			dst = append(dst, 255)
		}
		dst = append(dst, byte(n))
	}
	return append(dst, plain...)
}

func decompressLZ4(body []byte, limit int) ([]byte, error) {
	if len(body) < 4 {
		return nil, corruptf("%v lz4: %d bytes", errDecompress, len(body))
	}
	size, body := int64(binary.LittleEndian.Uint32(body)), body[4:]
	if size > math.MaxInt {
		size = -1
	}
	if err := checkPlain(int(size), len(body), lz4Ratio, limit); err != nil {
		return nil, corruptf("%v lz4: %v", errDecompress, err)
	}
	out := make([]byte, size)
	if n, err := lz4.UncompressBlock(body, out); err != nil || n != len(out) {
		return nil, corruptf("%v lz4: %d of %d bytes: %v", errDecompress, n, size, err)
	}
	return out, nil
}

// ---- zstd

// zstdSmall is the length below which the encoder stores the content size only in frames of
// a single segment. A larger frame is no single segment: other readers limit the window,
// which would be the whole section then.
const zstdSmall = 256

var zstdEncoders, zstdSmallEncoders = zstdEncoderPool(), zstdEncoderPool(zstd.WithSingleSegment(true))

func zstdEncoderPool(extra ...zstd.EOption) *sync.Pool {
	return &sync.Pool{New: func() any {
		// Concurrency 1: no goroutines. The section has its own checksum. Only wrong options
		// make an error.
		e, err := zstd.NewWriter(nil, append(extra[:len(extra):len(extra)], zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false),
			zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithZeroFrames(true))...)
		if err != nil {
			panic(err)
		}
		return e
	}}
}

func compressZstd(dst, plain []byte) []byte {
	pool := zstdEncoders
	if len(plain) < zstdSmall {
		pool = zstdSmallEncoders
	}
	e := pool.Get().(*zstd.Encoder)
	defer pool.Put(e)
	return e.EncodeAll(plain, dst)
}

var zstdDecoders = sync.Pool{New: func() any {
	// The output is bounded by the capacity it is given. A frame that is decoded at once
	// uses its output as window, so that a large window costs nothing.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(maxSection), zstd.WithDecoderMaxWindow(maxSection))
	if err != nil {
		panic(err)
	}
	return d
}}

func decompressZstd(body []byte, limit int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(body); err != nil {
		return nil, corruptf("%v zstd: %v", errDecompress, err)
	}
	if !h.HasFCS {
		return streamZstd(body, limit)
	}
	if h.FrameContentSize > min(uint64(limit), uint64(len(body))*zstdRatio+ratioSlack) {
		return nil, corruptf("%v zstd: %d bytes are said to become %d, limit %d", errDecompress, len(body), h.FrameContentSize, limit)
	}
	d := zstdDecoders.Get().(*zstd.Decoder)
	defer zstdDecoders.Put(d)
	out, err := d.DecodeAll(body, make([]byte, 0, h.FrameContentSize))
	if err != nil {
		return nil, corruptf("%v zstd: %v", errDecompress, err)
	}
	return out, nil
}

// zstdMaxWindow is what every decoder should support according to the zstd format; the Rust
// writer stays below it.
const zstdMaxWindow = 8 << 20

// streamZstd decodes a frame that does not say its size, as streaming writers make. That is
// rare, so its decoder, with a window of its own, is not kept.
func streamZstd(body []byte, limit int) ([]byte, error) {
	d, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdMaxWindow))
	if err != nil {
		return nil, corruptf("%v zstd: %v", errDecompress, err)
	}
	defer d.Close()
	out, err := io.ReadAll(io.LimitReader(d, min(int64(limit), math.MaxInt64-1)+1))
	if err == nil && len(out) > limit {
		err = corruptf("more than %d plain bytes", limit)
	}
	if err != nil {
		return nil, corruptf("%v zstd: %v", errDecompress, err)
	}
	return append(make([]byte, 0, len(out)), out...), nil
}
