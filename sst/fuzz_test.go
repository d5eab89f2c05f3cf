package sst

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// seeds calls add with every golden object and its parts.
func seeds(f *testing.F, add func(o *Object, body []byte)) {
	for _, p := range findObjects(f, golden+"sst") {
		body := readFile(f, p)
		if len(body) > 10_000 {
			continue
		}
		o, err := OpenObject(p, body, nil)
		if err != nil {
			o = nil
		}
		add(o, body)
	}
}

func FuzzBlock(f *testing.F) {
	seeds(f, func(o *Object, _ []byte) {
		for i := 0; o != nil && i < o.index.Len(); i++ {
			if b, err := o.Block(i); err == nil {
				f.Add(b.data, o.format)
			}
		}
	})
	f.Fuzz(func(t *testing.T, plain []byte, format uint16) { exercise(t, plain, format) })
}

func FuzzIndex(f *testing.F) {
	seeds(f, func(o *Object, body []byte) {
		if o != nil {
			if p, err := openSection(body[o.info.IndexOffset:][:o.info.IndexLen], o.info.Codec, nil, 1<<20); err == nil {
				f.Add(p, []byte("key"))
			}
		}
	})
	f.Fuzz(func(t *testing.T, plain, key []byte) {
		x, err := decodeIndex(plain)
		if err != nil {
			require.ErrorIs(t, err, kv.ErrCorrupt)
			return
		}
		require.LessOrEqual(t, x.bytes(), int64(64*len(plain)+4096))
		info := &Info{IndexOffset: uint64(len(plain)), IndexLen: 100}
		x.lookupStart(key)
		x.lastLE(key)
		for i := range x.Len() {
			x.Key(i)
			if _, _, err := blockSpan(info, &x, i); err != nil {
				require.ErrorIs(t, err, kv.ErrCorrupt)
			}
		}
	})
}

func FuzzFilters(f *testing.F) {
	seeds(f, func(o *Object, body []byte) {
		if o != nil && o.info.FilterLen > 0 {
			if p, err := openSection(body[o.info.FilterOffset:][:o.info.FilterLen], o.info.Codec, nil, 1<<20); err == nil {
				f.Add(p, o.info.CompositeFilter, []byte("key"))
			}
		}
	})
	f.Fuzz(func(t *testing.T, plain []byte, composite bool, key []byte) {
		fs, err := decodeFilters(plain, composite)
		if err != nil {
			require.ErrorIs(t, err, kv.ErrCorrupt)
			return
		}
		m := &Meta{Filters: fs}
		ps := []FilterPolicy{Bloom(10, BloomOptions{}), Bloom(10, BloomOptions{Extractor: fixed3{}}), Bloom(1, BloomOptions{Extractor: fixed3{}, NoWholeKeys: true})}
		for kind := QueryPoint; kind <= QueryRange; kind++ {
			if _, err := mayContain(asking(ps), m, &Query{Kind: kind, Key: key}); err != nil {
				require.ErrorIs(t, err, kv.ErrCorrupt)
			}
		}
	})
}

func FuzzObject(f *testing.F) {
	seeds(f, func(_ *Object, body []byte) { f.Add(body) })
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := readAll(body); err != nil {
			requireCorruption(t, err, len(body))
		}
	})
}

// Without the checksum in the way the decoders see what is behind it.
func FuzzSection(f *testing.F) {
	for _, c := range allCodecs {
		if b, err := compress(nil, c, []byte("a section, a section, a section")); err == nil {
			f.Add(b, uint8(c))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, c uint8) {
		plain, err := decompress(Codec(c), body, 1<<20)
		if err != nil {
			require.ErrorIs(t, err, kv.ErrCorrupt)
			return
		}
		if Codec(c) != NoCompression {
			require.LessOrEqual(t, len(plain), 1<<20)
		}
	})
}
