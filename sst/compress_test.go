package sst

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand"
	"runtime"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

var allCodecs = []Codec{NoCompression, Snappy, Zlib, LZ4, Zstd}

func TestSectionsRoundTrip(t *testing.T) {
	noise := make([]byte, 70_000)
	rand.New(rand.NewSource(3)).Read(noise)
	for _, c := range allCodecs {
		for _, tr := range []Transformer{nil, shift{}} {
			for _, plain := range [][]byte{{}, {7}, noise[:13], noise[:300], noise, bytes.Repeat([]byte("ab"), 50_000), make([]byte, 1<<20)} {
				stored, err := sealSection([]byte("head"), plain, c, tr)
				require.NoError(t, err)
				require.Equal(t, "head", string(stored[:4]))
				got, err := openSection(stored[4:], c, tr, len(plain))
				require.NoError(t, err, "%v, %d bytes", c, len(plain))
				require.True(t, bytes.Equal(plain, got), "%v, %d bytes", c, len(plain))
				if len(plain) > 0 {
					_, err = openSection(stored[4:], c, tr, len(plain)-1)
					require.ErrorIs(t, err, kv.ErrCorrupt, "%v: limit", c)
				}
			}
		}
	}
}

func TestZstdFrameWithoutItsSize(t *testing.T) {
	plain := bytes.Repeat([]byte("0123456789"), 30_000)
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf)
	require.NoError(t, err)
	_, err = io.Copy(w, bytes.NewReader(plain))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	var h zstd.Header
	require.NoError(t, h.Decode(buf.Bytes()))
	require.False(t, h.HasFCS)
	got, err := decompress(Zstd, buf.Bytes(), plainLimit)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(plain, got))
	_, err = decompress(Zstd, buf.Bytes(), len(plain)-1)
	require.ErrorIs(t, err, kv.ErrCorrupt)
}

func TestZstdFrameKeepsItsSize(t *testing.T) {
	out, err := compress(nil, Zstd, []byte("plain"))
	require.NoError(t, err)
	var h zstd.Header
	require.NoError(t, h.Decode(out))
	assert.True(t, h.HasFCS)
	assert.Equal(t, uint64(5), h.FrameContentSize)
}

func TestLZ4LiteralsAreAValidBlock(t *testing.T) {
	for _, n := range []int{0, 1, 14, 15, 16, 269, 270, 271, 5000} {
		plain := bytes.Repeat([]byte{'x'}, n)
		out := make([]byte, n)
		got, err := lz4.UncompressBlock(appendLZ4Literals(nil, plain), out)
		require.NoError(t, err, "%d", n)
		assert.Equal(t, plain, out[:got])
	}
}

func TestUnknownCodec(t *testing.T) {
	_, err := decompress(5, []byte("x"), 10)
	require.ErrorIs(t, err, kv.ErrCorrupt)
	w := NewWriter(WriterOptions{Codec: 5})
	require.ErrorIs(t, w.Add(&kv.Entry{Key: []byte("k")}), kv.ErrInvalid)
}

// Sections that claim, or really unfold to, far more than they may.
func TestK6_DecompressionBombs(t *testing.T) {
	zeros := make([]byte, 64<<20)
	var z bytes.Buffer
	zw, _ := zlib.NewWriterLevel(&z, 9)
	_, _ = zw.Write(zeros)
	require.NoError(t, zw.Close())
	ze, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	require.NoError(t, err)
	var stream bytes.Buffer
	ze.Reset(&stream)
	_, err = io.Copy(ze, bytes.NewReader(zeros))
	require.NoError(t, err)
	require.NoError(t, ze.Close())
	lz := binary.LittleEndian.AppendUint32(nil, 1<<30)
	lz = append(lz, bytes.Repeat([]byte{0xff}, 1024)...)
	for _, c := range []struct {
		name  string
		codec Codec
		body  []byte
		limit int
	}{
		{"zlib that unfolds to 64 MiB", Zlib, z.Bytes(), 1 << 20},
		{"zstd with its size", Zstd, ze.EncodeAll(zeros, nil), 1 << 20},
		{"zstd without its size", Zstd, stream.Bytes(), 1 << 20},
		{"zstd frame that claims 1 TiB", Zstd, append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0}, make([]byte, 900)...), plainLimit},
		{"snappy that claims 1 GiB", Snappy, append(binary.AppendUvarint(nil, 1<<30), make([]byte, 1000)...), plainLimit},
		{"lz4 that claims 1 GiB", LZ4, lz, plainLimit},
		{"snappy above the limit", Snappy, snappy.Encode(nil, zeros[:2<<20]), 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decompress(c.codec, c.body, c.limit) // fills the pools
			require.ErrorIs(t, err, kv.ErrCorrupt)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = decompress(c.codec, c.body, c.limit)
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, kv.ErrCorrupt)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "allocated")
		})
	}
}

func TestDamagedCompressedSections(t *testing.T) {
	plain := bytes.Repeat([]byte("some words to compress, "), 40)
	for _, c := range allCodecs[1:] {
		body, err := compress(nil, c, plain)
		require.NoError(t, err)
		for i := range body {
			for _, bit := range []byte{1, 0x80, 0xff} {
				bad := bytes.Clone(body)
				bad[i] ^= bit
				if _, err := decompress(c, bad, 1<<20); err != nil {
					require.ErrorIs(t, err, kv.ErrCorrupt)
				}
			}
			if _, err := decompress(c, body[:i], 1<<20); err != nil {
				require.ErrorIs(t, err, kv.ErrCorrupt)
			}
		}
	}
}
