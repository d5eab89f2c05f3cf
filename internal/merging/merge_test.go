package merging

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/invariants"
	"github.com/slatedb/slatedb-go/internal/kv"
)

func TestMergeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		desc := rapid.Bool().Draw(t, "desc")
		k := rapid.SampledFrom([]int{0, 1, 2, 3, 5, linearHeads + 1, 40}).Draw(t, "sources")
		var sources []kv.Iterator
		var want []kv.Entry // sources in order, so that a stable sort gives ties to the earlier
		for i := range k {
			rs := newList(genRows(t, fmt.Sprint(i)), desc).rows
			sources = append(sources, newList(rs, desc))
			want = append(want, rs...)
		}
		slices.SortStableFunc(want, func(a, b kv.Entry) int { return compare(&a, &b, desc) })
		it := New(desc, sources...)
		pos := -1
		for {
			var ok bool
			if rapid.IntRange(0, 9).Draw(t, "seek") == 0 {
				key := []byte(rapid.SampledFrom([]string{"", "a", "aaa", "b", "samePrefix1", "z"}).Draw(t, "to"))
				ok = it.Seek(key)
				for pos = max(pos, 0); pos < len(want); pos++ {
					c := bytes.Compare(want[pos].Key, key)
					if c == 0 || (c > 0) != desc {
						break
					}
				}
			} else {
				ok = it.Next()
				pos++
			}
			require.Equal(t, pos < len(want), ok, "row %d of %d", pos, len(want))
			if !ok {
				break
			}
			require.Equal(t, show(&want[pos]), show(it.Entry()))
		}
		require.False(t, it.Next())
		require.NoError(t, it.Close())
		require.NoError(t, it.Close())
		for _, s := range sources {
			require.NotZero(t, s.(*list).closed)
		}
	})
}

// TestH5_ErrorIsStickyAndNeverAnEnd injects an error into each source at each move.
func TestH5_ErrorIsStickyAndNeverAnEnd(t *testing.T) {
	parts := []string{"a@1=x c@9=x c@2- e@1=x", "b@3+x c@8+y", "a@5=z d@4=x", ""}
	var total int
	for src := range parts {
		for at := 1; ; at++ {
			build := func() ([]kv.Iterator, *list) {
				var ls []kv.Iterator
				for _, p := range parts {
					ls = append(ls, newList(rows(p), false))
				}
				l := ls[src].(*list)
				l.failAt = at
				return ls, l
			}
			stages := map[string]func(kv.Iterator) kv.Iterator{
				"merge":   func(it kv.Iterator) kv.Iterator { return it },
				"resolve": func(it kv.Iterator) kv.Iterator { return Resolve(it, ResolveOptions{Max: 100, Operator: &appending{}}) },
				"retain": func(it kv.Iterator) kv.Iterator {
					return Retain(it, RetainOptions{MinSeq: 100, Operator: &appending{}, Bottom: true})
				},
			}
			hit := false
			for name, stage := range stages {
				clean, _ := build()
				clean[src].(*list).failAt = 0
				want := drain(stage(New(false, clean...)))
				ls, l := build()
				it := stage(New(false, ls...))
				got := drain(it)
				if l.err == nil {
					require.NoError(t, it.Err())
					require.Equal(t, want, got)
					continue
				}
				hit = true
				total++
				msg := fmt.Sprintf("%s: source %d, move %d", name, src, at)
				require.ErrorIs(t, it.Err(), errInjected, msg)
				require.Less(t, len(got), len(want)+1, msg)
				require.Equal(t, want[:len(got)], got, msg)
				require.False(t, it.Next(), msg)
				require.False(t, it.Seek([]byte("z")), msg)
				require.ErrorIs(t, it.Close(), errInjected, msg)
				require.ErrorIs(t, it.Close(), errInjected, msg)
				for _, s := range ls {
					require.NotZero(t, s.(*list).closed, msg)
				}
			}
			if !hit {
				break
			}
		}
	}
	require.Greater(t, total, 20)
}

// F8: whichever source has which version of a key, the merge gives all of them, newest first in
// both directions, also after seeks. Seen on the merge itself: what folds versions above it
// would hide the oldest coming first.
func TestF8_VersionsComeNewestFirst(t *testing.T) {
	for _, k := range []int{2, 3, linearHeads, linearHeads + 1, 40} {
		for _, desc := range []bool{false, true} {
			const versions = 97
			rows := make([][]kv.Entry, k)
			n := 0
			for _, key := range []string{"a", "b", "c"} {
				for seq := range versions {
					e := kv.Entry{Key: []byte(key), Value: fmt.Append(nil, seq), Seq: kv.Seq(seq + 1)}
					i := (seq*seq + seq/3) % k // old and new ones anywhere
					rows[i] = append(rows[i], e)
					n++
				}
			}
			for _, seek := range []string{"", "b"} {
				var sources []kv.Iterator
				for i := range rows {
					slices.SortFunc(rows[i], func(a, b kv.Entry) int { return compare(&a, &b, desc) })
					sources = append(sources, newList(rows[i], desc))
				}
				it := New(desc, sources...)
				next := it.Next
				got, last := 0, kv.Entry{}
				if seek != "" {
					next = func() bool {
						if got == 0 {
							return it.Seek([]byte(seek))
						}
						return it.Next()
					}
				}
				for next() {
					e := it.Entry().Clone()
					if got > 0 {
						c := bytes.Compare(last.Key, e.Key)
						require.True(t, c == 0 && e.Seq < last.Seq || c != 0 && (c > 0) == desc, "%s after %s", show(&e), show(&last))
					}
					last, got = e, got+1
				}
				require.NoError(t, it.Close())
				want := n
				if seek != "" {
					want = 2 * versions
				}
				require.Equal(t, want, got)
			}
		}
	}
}

func TestMergeErrorInSeek(t *testing.T) {
	a, b := newList(rows("a@1=x c@1=x"), false), newList(rows("b@1=x"), false)
	a.failAt = 2
	it := New(false, a, b)
	require.True(t, it.Next())
	require.False(t, it.Seek([]byte("b")))
	require.ErrorIs(t, it.Err(), errInjected)
	require.False(t, it.Next())
}

func TestMergeShapes(t *testing.T) {
	one := newList(rows("a@1=x"), false)
	if !invariants.Enabled {
		assert.Same(t, kv.Iterator(one), New(false, one), "one source needs no merge")
	}
	none := New(false)
	assert.False(t, none.Next())
	assert.False(t, none.Seek([]byte("a")))
	assert.NoError(t, none.Close())

	// A full tie: both appear, the earlier source first.
	it := New(false, newList(rows("k@5=first"), false), newList(rows("k@5=second"), false))
	assert.Equal(t, []string{`k@5 put "first"`, `k@5 put "second"`}, drain(it))

	it = New(false, newList(rows("a@1=x"), false), newList(rows("b@1=x"), false))
	require.True(t, it.Next())
	require.NoError(t, it.Close())
	assert.False(t, it.Next(), "closed")
	assert.False(t, it.Seek([]byte("b")), "closed")
}

// TestF8_OrderIsChecked: a source out of order is found, not masked.
func TestF8_OrderIsChecked(t *testing.T) {
	for _, tt := range []struct {
		name string
		desc bool
		rows string
		ok   bool
	}{
		{"ascending", false, "a@2=x a@1=x b@9=x", true},
		{"descending", true, "b@2=x b@1=x a@9=x", true},
		{"same version twice", false, "a@2=x a@2=x", true},
		{"lowest seq first", false, "a@1=x a@2=x", false},
		{"lowest seq first, descending", true, "a@1=x a@2=x", false},
		{"key falls", false, "b@1=x a@1=x", false},
		{"key rises in a descending source", true, "a@1=x b@1=x", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &checked{src: &list{rows: rows(tt.rows), desc: tt.desc}, desc: tt.desc}
			n := len(drain(c))
			if tt.ok {
				assert.NoError(t, c.Close())
				assert.Equal(t, len(rows(tt.rows)), n)
			} else {
				assert.ErrorIs(t, c.Err(), kv.ErrInternal)
				assert.ErrorIs(t, c.Close(), kv.ErrInternal)
			}
		})
	}
}
