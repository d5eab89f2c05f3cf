package sst

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/codec"
	"github.com/slatedb/slatedb-go/internal/kv"
)

// drawRows draws rows in table order: keys of a small alphabet, so that they share prefixes
// and repeat, and some long ones.
func drawRows(t *rapid.T, most int) []kv.Entry {
	key := rapid.OneOf(
		rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 0xff}), 1, 6),
		rapid.Map(rapid.IntRange(1, 400), func(n int) []byte { return append(bytes.Repeat([]byte("k"), n), 'x') }),
	)
	ts := rapid.SampledFrom([]int64{kv.NoTS, 0, -1, 1795409743751, 1<<63 - 1})
	rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) kv.Entry {
		e := kv.Entry{
			Key: key.Draw(t, "key"), Seq: kv.Seq(rapid.Uint64Range(0, 30).Draw(t, "seq")), Kind: kv.Kind(rapid.IntRange(0, 2).Draw(t, "kind")),
			CreateTS: ts.Draw(t, "create"), ExpireTS: ts.Draw(t, "expire"),
		}
		if e.Kind != kv.Tombstone {
			e.Value = bytes.Repeat([]byte{byte(e.Seq)}, rapid.SampledFrom([]int{0, 1, 20, 127, 128, 300, 16_400}).Draw(t, "len"))
		}
		return e
	}), 1, most).Draw(t, "rows")
	sort.SliceStable(rows, func(i, j int) bool { return kv.Compare(&rows[i], &rows[j]) < 0 })
	out := rows[:0]
	for i := range rows {
		if i == 0 || kv.Compare(&out[len(out)-1], &rows[i]) != 0 {
			out = append(out, rows[i])
		}
	}
	return out
}

func buildBlock(rows []kv.Entry) []byte {
	var b BlockBuilder
	buf := b.Reset(nil, 0)
	for i := range rows {
		buf = b.Append(buf, &rows[i])
	}
	return b.Finish(buf)
}

// buildV1 writes a block of format 1, which the package only reads.
func buildV1(rows []kv.Entry) []byte {
	var out []byte
	var offs []uint16
	for _, e := range rows {
		offs = append(offs, uint16(len(out)))
		n := 0
		if len(offs) > 1 {
			n = matchLen(rows[0].Key, e.Key)
		}
		out = binary.BigEndian.AppendUint16(out, uint16(n))
		out = binary.BigEndian.AppendUint16(out, uint16(len(e.Key)-n))
		out = append(out, e.Key[n:]...)
		out = binary.BigEndian.AppendUint64(out, uint64(e.Seq))
		flags := map[kv.Kind]byte{kv.Put: 0, kv.Tombstone: 1, kv.Merge: 8}[e.Kind]
		at := len(out)
		out = append(out, flags)
		if e.ExpireTS != kv.NoTS {
			out[at] |= flagExpire
			out = binary.BigEndian.AppendUint64(out, uint64(e.ExpireTS))
		}
		if e.CreateTS != kv.NoTS {
			out[at] |= flagCreate
			out = binary.BigEndian.AppendUint64(out, uint64(e.CreateTS))
		}
		if e.Kind != kv.Tombstone {
			out = binary.BigEndian.AppendUint32(out, uint32(len(e.Value)))
			out = append(out, e.Value...)
		}
	}
	for _, o := range offs {
		out = binary.BigEndian.AppendUint16(out, o)
	}
	return binary.BigEndian.AppendUint16(out, uint16(len(offs)))
}

// buildLazy writes format 2 rows that share less than they could, which other writers may do.
func buildLazy(rows []kv.Entry) []byte {
	var out, last []byte
	var restarts []uint16
	for i, e := range rows {
		n := 0
		if i%restartInterval == 0 {
			restarts = append(restarts, uint16(len(out)))
		} else {
			n = matchLen(last, e.Key) * (i % 3) / 2
		}
		for _, v := range []int{n, len(e.Key) - n, len(e.Value)} {
			out = codec.AppendVarint32(out, uint32(v))
		}
		out = append(append(out, e.Key[n:]...), e.Value...)
		out = binary.BigEndian.AppendUint64(out, uint64(e.Seq))
		out = append(out, 0)
		last = e.Key
	}
	for _, r := range restarts {
		out = binary.BigEndian.AppendUint16(out, r)
	}
	return binary.BigEndian.AppendUint16(out, uint16(len(restarts)))
}

// checkBlock compares a block with the rows it holds: walk, every seek, every lookup.
func checkBlock(t require.TestingT, b *Block, rows []kv.Entry, probes [][]byte) {
	var it blockIter
	it.reset(b)
	for i := range rows {
		require.True(t, it.next(), "row %d of %d: %v", i, len(rows), it.err())
		requireRow(t, &rows[i], &it.e)
	}
	require.False(t, it.next())
	require.NoError(t, it.err())

	for _, key := range probes {
		first := sort.Search(len(rows), func(i int) bool { return bytes.Compare(rows[i].Key, key) >= 0 })
		require.Equal(t, first < len(rows), it.seekGE(key), "seek %q", key)
		require.NoError(t, it.err())
		if first < len(rows) {
			requireRow(t, &rows[first], &it.e)
			require.Equal(t, first+1 < len(rows), it.next(), "next after seek %q", key)
			if first+1 < len(rows) {
				requireRow(t, &rows[first+1], &it.e)
			}
		}
		for _, max := range []kv.Seq{0, 3, 15, 29, kv.MaxSeq} {
			i := first
			for i < len(rows) && bytes.Equal(rows[i].Key, key) && rows[i].Seq > max {
				i++
			}
			wantFound := i < len(rows) && bytes.Equal(rows[i].Key, key)
			var e kv.Entry
			found, past, err := b.get(key, max, &e)
			require.NoError(t, err)
			require.Equal(t, wantFound, found, "get %q at %d", key, max)
			if found {
				requireRow(t, &rows[i], &e)
			} else {
				require.Equal(t, i < len(rows), past, "get %q at %d: past", key, max)
			}
		}
	}
}

func requireRow(t require.TestingT, want, got *kv.Entry) {
	require.Equal(t, want.Key, got.Key)
	require.True(t, bytes.Equal(want.Value, got.Value), "value of %q", want.Key)
	w, g := *want, *got
	w.Key, w.Value, g.Key, g.Value = nil, nil, nil, nil
	require.Equal(t, w, g, "row %q", want.Key)
}

func probesOf(rows []kv.Entry) (out [][]byte) {
	out = append(out, nil, []byte{0}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	for _, e := range rows {
		k := e.Key
		out = append(out, k, append(bytes.Clone(k), 0), k[:len(k)-1], append(bytes.Clone(k[:len(k)-1]), k[len(k)-1]+1))
	}
	return out
}

func TestBlockAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t, 60)
		size := 0
		for _, e := range rows {
			size += rowLen(0, &e)
		}
		if size < 60_000 {
			b, err := DecodeBlock(buildBlock(rows), FormatV2)
			require.NoError(t, err)
			checkBlock(t, b, rows, probesOf(rows))
			v1 := append([]kv.Entry{}, rows...)
			for i := range v1 {
				if v1[i].Kind == kv.Tombstone {
					v1[i].ExpireTS = kv.NoTS // not read back from format 1
				}
			}
			b, err = DecodeBlock(buildV1(v1), FormatV1)
			require.NoError(t, err)
			checkBlock(t, b, v1, probesOf(rows))
			lazy := append([]kv.Entry{}, rows...)
			for i := range lazy {
				lazy[i].Kind, lazy[i].CreateTS, lazy[i].ExpireTS = kv.Put, kv.NoTS, kv.NoTS
			}
			b, err = DecodeBlock(buildLazy(lazy), FormatV2)
			require.NoError(t, err)
			checkBlock(t, b, lazy, probesOf(rows))
		}
	})
}

// One key, 1,000 versions, every block size: restarts and blocks begin with the same key.
func TestH1_RepeatedKeyAcrossRestartsAndBlocks(t *testing.T) {
	for _, kib := range []int{1, 2, 4, 8, 16, 32, 64} {
		t.Run(fmt.Sprintf("%dKiB", kib), func(t *testing.T) {
			w := NewWriter(WriterOptions{BlockSize: kib << 10})
			add := func(key string, seq kv.Seq) {
				require.NoError(t, w.Add(&kv.Entry{Key: []byte(key), Value: make([]byte, 100), Seq: seq, CreateTS: kv.NoTS, ExpireTS: kv.NoTS}))
			}
			add("a", 5)
			for s := kv.Seq(1000); s > 0; s-- {
				add("key", s)
			}
			add("kez", 7)
			body, info, err := w.Finish()
			require.NoError(t, err)
			o, err := OpenObject("t", body, nil)
			require.NoError(t, err)
			x := o.Index()
			require.Greater(t, x.Len(), 1)
			for s := kv.Seq(1); s <= 1001; s += 10 {
				var e kv.Entry
				found := false
				for i := x.lookupStart([]byte("key")); i < x.Len() && bytes.Compare(x.Key(i), []byte("key")) <= 0 && !found; i++ {
					b, err := o.Block(i)
					require.NoError(t, err)
					var past bool
					found, past, err = b.get([]byte("key"), s, &e)
					require.NoError(t, err)
					require.False(t, past && !found)
				}
				require.True(t, found)
				require.Equal(t, min(s, 1000), e.Seq)
			}
			b, err := o.Block(x.lookupStart([]byte("key")))
			require.NoError(t, err)
			var it blockIter
			it.reset(b)
			if !it.seekGE([]byte("key")) {
				b, err = o.Block(x.lookupStart([]byte("key")) + 1)
				require.NoError(t, err)
				it.reset(b)
				require.True(t, it.seekGE([]byte("key")))
			}
			assert.Equal(t, kv.Seq(1000), it.e.Seq, "the newest version comes first")
			assert.Equal(t, x.Len()-1, x.lastLE([]byte("z")))
			assert.Equal(t, []byte("kez"), info.Last)
		})
	}
}

func TestCutRule(t *testing.T) {
	row := func(key string, n int) *kv.Entry {
		return &kv.Entry{Key: []byte(key), Value: make([]byte, n), Seq: 1, CreateTS: kv.NoTS, ExpireTS: kv.NoTS}
	}
	var b BlockBuilder
	buf := b.Reset([]byte("head"), 100)
	assert.True(t, b.Fits(row("k", 5000)), "an empty block takes any row")
	buf = b.Append(buf, row("key1", 30)) // 3 + 4 + 30 + 9 = 46, with restarts 50
	assert.Equal(t, 50, b.Len(buf))
	assert.True(t, b.Fits(row("key2", 37)), "3 + 1 + 37 + 9 fills it exactly")
	assert.False(t, b.Fits(row("key2", 38)))
	buf = b.Append(buf, row("key2", 37))
	assert.Len(t, b.Finish(buf), 4+100)
	assert.Equal(t, 2, b.Rows())
	assert.Equal(t, "key2", string(b.LastKey()))
}

// Damage inside a block whose checksum holds: every byte set to every value must give rows
// or an error, and never reach outside the block.
func TestBlockWithAnyByteChanged(t *testing.T) {
	rows := []kv.Entry{}
	for i := range 20 {
		rows = append(rows, kv.Entry{Key: fmt.Appendf(nil, "key%02d", i), Value: []byte("v"), Seq: 9, CreateTS: 1, ExpireTS: kv.NoTS, Kind: kv.Kind(i % 3)})
	}
	for format, plain := range map[uint16][]byte{FormatV1: buildV1(rows), FormatV2: buildBlock(rows)} {
		for i := range plain {
			for v := range 256 {
				bad := bytes.Clone(plain)
				bad[i] = byte(v)
				exercise(t, bad, format)
			}
			exercise(t, plain[:i], format)
		}
	}
}

// exercise reads hostile block bytes in every way and checks that it ends.
func exercise(t testing.TB, plain []byte, format uint16) {
	b, err := DecodeBlock(plain, format)
	if err != nil {
		require.ErrorIs(t, err, kv.ErrCorrupt)
		return
	}
	var it blockIter
	n := 0
	for it.reset(b); it.next(); n++ {
		require.Less(t, n, len(plain), "no end")
	}
	if it.err() != nil {
		require.ErrorIs(t, it.err(), kv.ErrCorrupt)
	}
	for _, key := range [][]byte{nil, []byte("key07"), []byte("key15"), []byte("zzzzzzzzzzzzzzzzzzz")} {
		var e kv.Entry
		if _, _, err := b.get(key, kv.MaxSeq, &e); err != nil {
			require.ErrorIs(t, err, kv.ErrCorrupt)
		}
		if !it.seekGE(key) && it.err() != nil {
			require.ErrorIs(t, it.err(), kv.ErrCorrupt)
		}
		it.next()
	}
}

func TestK2_HostileLengthsAllocateNothing(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	row := func(parts ...[]byte) []byte {
		return append(bytes.Join(parts, nil), 0, 0, 0, 1)
	}
	for _, c := range []struct {
		name  string
		plain []byte
	}{
		{"key of 4 GiB", row([]byte{0}, huge, []byte{0, 'k'})},
		{"value of 4 GiB", row([]byte{0, 1}, huge, []byte{'k'})},
		{"varint of 6 bytes", row([]byte{0, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 0})},
		{"row without tail", row([]byte{0, 1, 1, 'k', 'v', 1, 2, 3})},
		{"bad flags", row([]byte{0, 1, 0, 'k', 0, 0, 0, 0, 0, 0, 0, 1, 0x10})},
		{"tombstone operand", row([]byte{0, 1, 0, 'k', 0, 0, 0, 0, 0, 0, 0, 1, 0x09})},
		{"timestamp cut", row([]byte{0, 1, 0, 'k', 0, 0, 0, 0, 0, 0, 0, 1, 0x04, 1, 2})},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := DecodeBlock(c.plain, FormatV2)
			if err != nil { // the key at a restart is read at once, the rest of a row when walked
				require.ErrorIs(t, err, kv.ErrCorrupt)
				return
			}
			var it blockIter
			it.reset(b)
			require.False(t, it.next())
			require.ErrorIs(t, it.err(), kv.ErrCorrupt)
			require.False(t, it.next(), "the error stays")
			require.ErrorIs(t, it.err(), kv.ErrCorrupt)
			var e kv.Entry
			_, _, err = b.get([]byte("k"), kv.MaxSeq, &e)
			require.ErrorIs(t, err, kv.ErrCorrupt)
			require.False(t, it.seekGE([]byte("k")))
			require.ErrorIs(t, it.err(), kv.ErrCorrupt)
			assert.LessOrEqual(t, cap(it.key), 64)
		})
	}
	for _, c := range []struct {
		name   string
		plain  []byte
		format uint16
	}{
		{"empty", nil, 2},
		{"no restarts", []byte{1, 2, 3, 0, 0}, 2},
		{"more restarts than bytes", []byte{1, 2, 3, 0xff, 0xff}, 2},
		{"first restart not 0", []byte{0, 0, 0, 0, 1, 0, 1}, 2},
		{"restarts not rising", []byte{0, 0, 0, 0, 0, 0, 0, 0, 2}, 2},
		{"restart beyond the rows", []byte{0, 0, 0, 0, 0, 0, 9, 0, 2}, 2},
		{"restart that shares", []byte{1, 0, 0, 0, 0, 0, 0, 1}, 2},
		{"unknown format", []byte{0, 0, 0, 0, 0, 0, 1}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := DecodeBlock(c.plain, c.format)
			require.ErrorIs(t, err, kv.ErrCorrupt)
		})
	}
	// A filter that claims to be long, and an index behind a broken vector.
	_, err := decodeFilters([]byte{0xff, 0xff, 0, 1, 'f', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, true)
	require.ErrorIs(t, err, kv.ErrCorrupt)
	_, err = decodeIndex([]byte(strings.Repeat("\xff", 64)))
	require.ErrorIs(t, err, kv.ErrCorrupt)
}
