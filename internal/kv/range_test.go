package kv

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// universe holds every string of up to 3 of the bytes that matter.
func universe() [][]byte {
	out := [][]byte{{}}
	for at := 0; len(out[at]) < 3; at++ {
		for _, c := range []byte{0, 'a', 'b', 0xFF} {
			out = append(out, append(bytes.Clone(out[at]), c))
		}
	}
	return out
}

func genRange(t *rapid.T, label string) Range {
	bound := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 0xFF}), 0, 2))
	return Range{
		Start: bound.Draw(t, label+" start"), End: bound.Draw(t, label+" end"),
		StartExclusive: rapid.Bool().Draw(t, label+" startExclusive"), EndInclusive: rapid.Bool().Draw(t, label+" endInclusive"),
	}
}

// contains is the definition: an empty start is open, a nil end is open, flags count at a bound.
func contains(r Range, k []byte) bool {
	if c := bytes.Compare(k, r.Start); len(r.Start) > 0 && (c < 0 || (c == 0 && r.StartExclusive)) {
		return false
	}
	c := bytes.Compare(k, r.End)
	return r.End == nil || c < 0 || (c == 0 && r.EndInclusive)
}

func TestRangeModel(t *testing.T) {
	keys := universe()
	rapid.Check(t, func(t *rapid.T) {
		a, b := genRange(t, "a"), genRange(t, "b")
		both := a.Intersect(b)
		prefix := a.CommonPrefix()
		any := false
		for _, k := range keys {
			in := contains(a, k)
			any = any || in
			require.Equal(t, in, a.Contains(k), "%q in %q", k, a)
			require.Equal(t, in && contains(b, k), both.Contains(k), "%q in %q and %q", k, a, b)
			if in {
				require.True(t, bytes.HasPrefix(k, prefix), "%q in %q without %q", k, a, prefix)
			}
		}
		// Bounds of 2 bytes: a range that is not empty holds a key of at most 3.
		require.Equal(t, !any, a.Empty(), "%q", a)
		require.Equal(t, a.End != nil && bytes.Compare(a.Start, a.End) > 0, a.Inverted())
	})
}

func TestPrefixRange(t *testing.T) {
	for _, tt := range []struct{ prefix, end string }{
		{"a", "b"}, {"ab", "ac"}, {"a\xff", "b"}, {"a\xff\xff", "b"}, {"\x00", "\x01"},
	} {
		assert.Equal(t, []byte(tt.end), PrefixEnd([]byte(tt.prefix)))
		r := PrefixRange([]byte(tt.prefix))
		assert.Equal(t, []byte(tt.prefix), r.CommonPrefix(), "of the range of prefix %q", tt.prefix)
	}
	for _, p := range []string{"", "\xff", "\xff\xff"} {
		assert.Nil(t, PrefixEnd([]byte(p)))
	}
	for _, p := range universe() {
		r := PrefixRange(p)
		for _, k := range universe() {
			assert.Equal(t, bytes.HasPrefix(k, p), r.Contains(k), "%q in the range of prefix %q", k, p)
		}
	}
}
