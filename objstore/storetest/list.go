package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
)

func keys(t *testing.T, s objstore.Store, prefix, after string) []string {
	t.Helper()
	var out []string
	for a, err := range s.List(t.Context(), prefix, after) {
		require.NoError(t, err)
		out = append(out, a.Key)
	}
	return out
}

// boundary holds keys whose order changes when folders are walked by name: '-' and '.' lie
// below the slash, '0' and letters above.
var boundary = []string{
	"a-b", "a.b", "a/b", "a/b-c", "a/b.c/d", "a/c/d", "a/c0", "a0", "ab", "abc/c", "b/x/y/z", "b/x-", "b/x0", "b0/x", "z",
	"wal/00000000000000000001.sst", "wal/00000000000000000002.sst", "wal/00000000000000000010.sst", "ü", "\U0010ffff",
}

func sorted() []string {
	s := slices.Clone(boundary)
	slices.Sort(s)
	return s
}

func fill(t *testing.T, s objstore.Store) {
	t.Helper()
	for _, k := range boundary {
		put(t, s, k, k)
	}
}

func listOrder(t *testing.T, s objstore.Store) {
	assert.Empty(t, keys(t, s, "", ""), "empty store")
	fill(t, s)
	assert.Equal(t, sorted(), keys(t, s, "", ""))
	require.NoError(t, s.Delete(t.Context(), "a/b"))
	put(t, s, "new", "")
	got := keys(t, s, "", "")
	assert.NotContains(t, got, "a/b")
	assert.Contains(t, got, "new", "a listing sees what was written before")
}

func listPrefixAfter(t *testing.T, s objstore.Store) {
	fill(t, s)
	all := sorted()
	prefixes := []string{"", "a", "a/", "a/b", "a/b.", "a/b.c/", "ab", "b/x", "b/x/", "wal/", "wal/0000000000000000000", "q", "zz", "a/b/"}
	afters := slices.Concat([]string{"", "a", "a/", "a/b.c", "a/b.c/", "a/zz", "b/x/y/", "wal/00000000000000000005", "~", "\xff", "0"}, all)
	for _, p := range prefixes {
		for _, after := range afters {
			var want []string
			for _, k := range all {
				if strings.HasPrefix(k, p) && k > after {
					want = append(want, k)
				}
			}
			if got := keys(t, s, p, after); !slices.Equal(want, got) {
				t.Errorf("list prefix %q after %q: got %q, want %q", p, after, got, want)
			}
		}
	}
}

func listMany(t *testing.T, s objstore.Store) {
	n := 1100 // more than one page of every cloud
	if testing.Short() || s.Properties().Local {
		n = 120 // a local store has no pages, and may sync each file
	}
	var want []string
	for i := range n {
		k := fmt.Sprintf("many/%d/%d", i%7, i)
		put(t, s, k, "")
		want = append(want, k)
	}
	slices.Sort(want)
	assert.Equal(t, want, keys(t, s, "many/", ""))
	assert.Equal(t, want[n-10:], keys(t, s, "many/", want[n-11]))
}

func listAttributes(t *testing.T, s objstore.Store) {
	put(t, s, "a/one", "1")
	put(t, s, "a/three", "333")
	for a, err := range s.List(t.Context(), "a/", "") {
		require.NoError(t, err)
		h, err := s.Head(t.Context(), a.Key)
		require.NoError(t, err)
		assert.Equal(t, h.Size, a.Size)
		assert.False(t, a.Modified.IsZero())
		if a.Version != "" {
			assert.Equal(t, h.Version, a.Version)
		}
	}
}

func listLeft(t *testing.T, s objstore.Store) {
	fill(t, s)
	n := 0
	for _, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		if n++; n == 3 {
			break
		}
	}
	assert.Equal(t, 3, n)
	seq := s.List(t.Context(), "a", "")
	for range 2 { // a sequence may be walked again
		n = 0
		for range seq {
			n++
		}
		assert.Positive(t, n)
	}
	assert.Len(t, slices.Collect(func(yield func(string) bool) {
		for a, err := range s.List(t.Context(), "", "") {
			assert.NoError(t, err)
			assert.NoError(t, s.Delete(t.Context(), a.Key)) // a collector deletes while it lists
			if !yield(a.Key) {
				return
			}
		}
	}), len(boundary))
	assert.Empty(t, keys(t, s, "", ""))
}
