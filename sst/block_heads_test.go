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

// TestRestartSearchAgreesWithKeys: the numbers beside a block's header lead to the same
// restart as comparing the keys, whatever the keys share, end in or tie with.
func TestRestartSearchAgreesWithKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"", "a", "b", "\x00", "\xff", "prefix", "0123456789abcdef"})
		key := rapid.Custom(func(t *rapid.T) []byte {
			return bytes.Join([][]byte{
				[]byte(rapid.SampledFrom([]string{"", "shared-by-all-of-the-keys-in-a-block:", "x"}).Draw(t, "head")),
				[]byte(piece.Draw(t, "1")), []byte(piece.Draw(t, "2")), []byte(piece.Draw(t, "3")), []byte(piece.Draw(t, "4")),
			}, nil)
		})
		keys := rapid.SliceOfN(key, 1, 200).Draw(t, "keys")
		slices.SortFunc(keys, bytes.Compare)
		var bb BlockBuilder
		buf := bb.Reset(nil, 1<<16)
		for i, k := range keys {
			buf = bb.Append(buf, &kv.Entry{Key: k, Seq: kv.Seq(1000 - i), ExpireTS: kv.NoTS, CreateTS: kv.NoTS})
		}
		b, err := DecodeBlock(bb.Finish(buf), FormatV2)
		require.NoError(t, err)
		for _, k := range append(keys, key.Draw(t, "other"), nil, []byte{0xff, 0xff}) {
			want := 0
			for i := range int(b.restarts) {
				if r, ok := b.restartKey(i); ok && bytes.Compare(r, k) < 0 {
					want = b.restartOffset(i)
				}
			}
			require.Equal(t, want, b.restartBelow(k), fmt.Sprintf("%q in %q", k, keys))
		}
	})
}
