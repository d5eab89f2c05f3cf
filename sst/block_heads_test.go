package sst

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// TestPlacesAgreeWithKeys: the numbers beside a block's header lead to the row that a walk from
// the first one finds, whatever the keys share, end in or tie with, and never behind it.
func TestPlacesAgreeWithKeys(t *testing.T) {
	jumps, mid := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"", "a", "b", "\x00", "\xff", "prefix", "0123456789abcdef"})
		heads := []string{"", "shared-by-all-of-the-keys-in-a-block:", "x"}
		if rapid.Bool().Draw(t, "one head") {
			heads = []string{rapid.SampledFrom(heads).Draw(t, "of all")}
		}
		key := rapid.Custom(func(t *rapid.T) []byte {
			return bytes.Join([][]byte{
				[]byte(rapid.SampledFrom(heads).Draw(t, "head")),
				[]byte(piece.Draw(t, "1")), []byte(piece.Draw(t, "2")), []byte(piece.Draw(t, "3")), []byte(piece.Draw(t, "4")),
			}, nil)
		})
		keys := rapid.SliceOfN(key, 1, 200).Draw(t, "keys")
		slices.SortFunc(keys, bytes.Compare)
		value := make([]byte, rapid.SampledFrom([]int{0, 10, 100, 200, 2000}).Draw(t, "value"))
		var bb BlockBuilder
		buf := bb.Reset(nil, 1<<16)
		rows := []kv.Entry{}
		for i, k := range keys {
			e := kv.Entry{Key: k, Value: value, Seq: kv.Seq(1000 - i), ExpireTS: kv.NoTS, CreateTS: kv.NoTS}
			if !bb.Fits(&e) {
				break
			}
			buf = bb.Append(buf, &e)
			rows = append(rows, e)
		}
		b, err := DecodeBlock(bb.Finish(buf), FormatV2)
		require.NoError(t, err)
		for range 2 {
			for _, k := range append(keys, key.Draw(t, "other"), nil, []byte{0xff, 0xff}) {
				want := slices.IndexFunc(rows, func(e kv.Entry) bool { return bytes.Compare(e.Key, k) >= 0 })
				var it blockIter
				it.reset(b)
				require.Equal(t, want >= 0, it.seekGE(k), "%q in %q", k, keys)
				require.NoError(t, it.err())
				var e kv.Entry
				found, _, err := b.get(k, kv.MaxSeq, &e)
				require.NoError(t, err)
				require.Equal(t, want >= 0 && bytes.Equal(rows[want].Key, k), found, "%q in %q", k, keys)
				if want < 0 {
					continue
				}
				require.True(t, bytes.Equal(rows[want].Key, it.e.Key))
				require.Equal(t, rows[want].Seq, it.e.Seq, "%q in %q", k, keys)
				if found {
					require.Equal(t, rows[want].Seq, e.Seq)
				}
				pos, matched := b.seekStart(k)
				if matched > 0 {
					mid++
				}
				if pos > 0 {
					jumps++
				}
				// What follows is whole, too.
				for i := want + 1; i < min(want+20, len(rows)); i++ {
					require.True(t, it.next())
					require.True(t, bytes.Equal(rows[i].Key, it.e.Key))
				}
			}
			b.refine()
		}
	})
	require.Positive(t, jumps)
	require.Positive(t, mid)
}

// TestPlacesLieClose: a search in a block of the usual size walks some hundred bytes at most,
// and the numbers take no memory of their own.
func TestPlacesLieClose(t *testing.T) {
	for _, c := range []struct{ target, value, within int }{{4096, 100, 600}, {4096, 0, 400}, {65536, 100, 800}, {65536, 3000, 3100}} {
		var bb BlockBuilder
		buf := bb.Reset(nil, c.target)
		rows := []kv.Entry{}
		for i := 0; ; i++ {
			e := kv.Entry{Key: fmt.Appendf(nil, "some:prefix:%08d", i*i), Value: make([]byte, c.value), Seq: 1, ExpireTS: kv.NoTS, CreateTS: kv.NoTS}
			if !bb.Fits(&e) {
				break
			}
			buf = bb.Append(buf, &e)
			rows = append(rows, e)
		}
		b, err := DecodeBlock(bb.Finish(buf), FormatV2)
		require.NoError(t, err)
		plain := b.Bytes()
		b.refine()
		require.LessOrEqual(t, float64(b.Bytes()), 1.02*float64(plain))
		if c.target == 4096 {
			require.Equal(t, plain, b.Bytes())
		}
		for _, e := range rows {
			var it blockIter
			it.reset(b)
			require.True(t, it.seekGE(e.Key))
			pos, _ := b.seekStart(e.Key)
			require.LessOrEqual(t, it.pos-pos, c.within, "%s", e.Key)
		}
	}
}

// TestNoPlacesInDamagedRows: a block whose rows are damaged is searched as before; a search that
// comes to the damage says so.
func TestNoPlacesInDamagedRows(t *testing.T) {
	var bb BlockBuilder
	buf := bb.Reset(nil, 4096)
	at := []int{}
	for i := range 30 {
		at = append(at, len(buf))
		buf = bb.Append(buf, &kv.Entry{Key: fmt.Appendf(nil, "key%04d", i), Value: make([]byte, 100), Seq: 1, ExpireTS: kv.NoTS, CreateTS: kv.NoTS})
	}
	buf = bb.Finish(buf)
	for bad := 1; bad < 30; bad++ {
		if bad == 16 {
			continue // a restart: seen at once
		}
		plain := bytes.Clone(buf)
		plain[at[bad]] = 60 // shares more than the key before has
		b, err := DecodeBlock(plain, FormatV2)
		require.NoError(t, err)
		b.refine()
		require.Empty(t, b.heads)
		for i := range 30 {
			var it blockIter
			it.reset(b)
			ok := it.seekGE(fmt.Appendf(nil, "key%04d", i))
			require.Equal(t, i < bad || (i > 16 && bad < 16), ok)
			if !ok {
				require.ErrorIs(t, it.err(), kv.ErrCorrupt)
			}
		}
	}
}
