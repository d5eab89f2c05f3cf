package sst

import (
	"bytes"
	"fmt"
	"sort"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func indexOf(t require.TestingT, keys ...[]byte) *Index {
	var ib indexBuilder
	for i, k := range keys {
		ib.add(uint64(i*100), k)
	}
	x, err := decodeIndex(ib.build())
	require.NoError(t, err)
	return &x
}

// Both searches equal a scan over the keys, whatever prefix these share and however they
// tie in their first eight bytes.
func TestIndexSearchAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SampledFrom([]string{"", "p", "a long common prefix/"}).Draw(t, "prefix")
		key := rapid.Custom(func(t *rapid.T) []byte {
			return append([]byte(prefix), rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0xff}), 0, 12).Draw(t, "rest")...)
		})
		keys := rapid.SliceOfN(key, 1, 40).Draw(t, "keys")
		sort.Slice(keys, func(i, j int) bool { return bytes.Compare(keys[i], keys[j]) < 0 })
		if rapid.Bool().Draw(t, "empty first") {
			keys[0] = []byte{}
		}
		x := indexOf(t, keys...)
		require.NoError(t, x.checkOrder())
		require.Equal(t, len(keys), x.Len())
		probes := append(rapid.SliceOfN(key, 5, 5).Draw(t, "probes"), keys...)
		probes = append(probes, nil, []byte{0}, []byte("a long"), []byte("b"), []byte{0xff, 0xff})
		for _, p := range probes {
			less, le := 0, 0
			for i, k := range keys {
				require.True(t, bytes.Equal(k, x.Key(i)))
				require.Equal(t, uint64(i*100), x.Offset(i))
				if bytes.Compare(k, p) < 0 {
					less++
				}
				if bytes.Compare(k, p) <= 0 {
					le++
				}
			}
			require.Equal(t, max(less-1, 0), x.lookupStart(p), "lookupStart %q in %q", p, keys)
			require.Equal(t, le-1, x.lastLE(p), "lastLE %q in %q", p, keys)
		}
	})
}

func TestIndexRefusesWhatCannotBeSearched(t *testing.T) {
	x := indexOf(t, nil, []byte("b"), []byte("a"))
	require.ErrorIs(t, x.checkOrder(), kv.ErrCorrupt)

	var ib indexBuilder
	ib.add(100, nil)
	ib.add(100, []byte("b"))
	_, err := decodeIndex(ib.build())
	require.ErrorIs(t, err, kv.ErrCorrupt, "two blocks at one offset")
}

func TestEmptyIndex(t *testing.T) {
	x := indexOf(t)
	assert.Zero(t, x.Len())
	assert.Zero(t, x.lookupStart([]byte("k")))
	assert.Equal(t, -1, x.lastLE([]byte("k")))
}

func TestBlockSpan(t *testing.T) {
	x := indexOf(t, nil, []byte("b"), []byte("c"))
	info := &Info{IndexOffset: 290, IndexLen: 50}
	for i, want := range []uint64{100, 100, 90} {
		off, n, err := blockSpan(info, x, i)
		require.NoError(t, err)
		assert.Equal(t, uint64(i*100), off)
		assert.Equal(t, want, n)
	}
	x.lens = []uint32{40, 0, 90}
	_, n, err := blockSpan(info, x, 0)
	require.NoError(t, err)
	assert.Equal(t, uint64(40), n, "without the padding")

	for _, c := range []struct {
		name string
		info Info
		lens []uint32
		i    int
	}{
		{"no such block", *info, nil, 3},
		{"negative", *info, nil, -1},
		{"longer than its room", *info, []uint32{101, 0, 0}, 0},
		{"data ends before it", Info{IndexOffset: 200}, nil, 2},
		{"data ends in an earlier block", Info{IndexOffset: 150}, nil, 0},
		{"filter begins before it", Info{IndexOffset: 290, FilterOffset: 100, FilterLen: 10}, nil, 1},
		{"shorter than a checksum", Info{IndexOffset: 204}, nil, 2},
		{"enormous", Info{IndexOffset: 1 << 60}, nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			x.lens = c.lens
			_, _, err := blockSpan(&c.info, x, c.i)
			if c.name == "data ends in an earlier block" {
				// block 0 ends where block 1 begins, and block 1 is the one that fails
				_, _, err = blockSpan(&c.info, x, 1)
			}
			require.ErrorIs(t, err, kv.ErrCorrupt)
		})
	}
}

func TestMetaSpan(t *testing.T) {
	off, n, err := metaSpan(&Info{FilterOffset: 100, FilterLen: 10, IndexOffset: 110, IndexLen: 20, StatsOffset: 130, StatsLen: 30})
	require.NoError(t, err)
	assert.Equal(t, []uint64{100, 60}, []uint64{off, n})
	off, n, err = metaSpan(&Info{FilterOffset: 110, IndexOffset: 110, IndexLen: 20})
	require.NoError(t, err)
	assert.Equal(t, []uint64{110, 20}, []uint64{off, n})
	for i, bad := range []Info{
		{},
		{IndexOffset: 1, IndexLen: 4},
		{IndexOffset: 1<<64 - 1, IndexLen: 20},
		{IndexOffset: 1, IndexLen: 1 << 62},
		{IndexOffset: 1, IndexLen: 20, StatsOffset: 1 << 40, StatsLen: 20},
		{IndexOffset: 1, IndexLen: 20, FilterOffset: 1 << 63, FilterLen: 1 << 63},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			_, _, err := metaSpan(&bad)
			require.ErrorIs(t, err, kv.ErrCorrupt)
		})
	}
}
