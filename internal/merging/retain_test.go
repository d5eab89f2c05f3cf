package merging

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func TestRetain(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		min      kv.Seq
		bottom   bool
		want     string
	}{
		{"one boundary version", "a@5=5 a@4=4 a@3=3 a@2=2 a@1=1", 3, false, "a@5=5 a@4=4 a@3=3"},
		{"nothing pinned", "a@5=5 a@4=4 a@3=3", 9, false, "a@5=5"},
		{"everything pinned (F4)", "a@5=5 a@4- a@3=3", 0, true, "a@5=5 a@4- a@3=3"},
		{"boundary at the pin", "a@5=5 a@3=3 a@2=2", 3, false, "a@5=5 a@3=3"},
		{"the newest stays, however old", "a@1=1", 9, true, "a@1=1"},

		{"tombstone stays above the bottom (F2)", "a@5- a@4=4 b@1-", 9, false, "a@5- b@1-"},
		{"tombstone goes at the bottom", "a@5- a@4=4 b@1- c@1=x", 9, true, "c@1=x"},
		{"trailing tombstones only", "a@9- a@8=8 a@7- a@6-", 5, true, "a@9- a@8=8"},
		{"tombstone as boundary goes at the bottom", "a@9=9 a@8- a@3- a@2=2", 4, true, "a@9=9"},
		{"tombstone as boundary stays above it", "a@9=9 a@8- a@3- a@2=2", 4, false, "a@9=9 a@8- a@3-"},
		{"waiting tombstones of one key are not another's", "a@9- a@8- b@9- b@8=8 c@9-", 5, true, "b@9- b@8=8"},

		{"expired value becomes a tombstone (F1)", "a@5=5~10^4 a@4=4", 9, false, "a@5-^4"},
		{"and goes at the bottom, with what it hides", "a@5=5~10 a@4=4", 9, true, ""},
		{"pinned older version stays below it", "a@5=5~10 a@4=4", 4, true, "a@5- a@4=4"},
		{"not yet expired", "a@5=5~11 a@4=4", 9, false, "a@5=5~11"},
		{"expired before 1970", "a@5=5~-3", 9, false, "a@5-"},
		{"expired boundary version", "a@5=5 a@4=4~10 a@3=3", 4, true, "a@5=5"},

		{"operands on a value", "a@5+5 a@4+4 a@3=3 a@2=2", 9, false, "a@5=345"},
		{"operands on a tombstone", "a@5+5 a@4+4 a@3- a@2=2", 9, false, "a@5=45"},
		{"operands on nothing stay an operand", "a@5+5 a@4+4", 9, true, "a@5+45"},
		{"create is the highest", "a@5+5^1 a@4+4^7 a@3=3^2", 9, false, "a@5=345^7"},
		{"operands above the barrier pass (F5)", "a@5+5 a@4+4 a@3+3 a@2+2 a@1=1", 3, false, "a@5+5 a@4+4 a@3=123"},
		{"nothing below the barrier folds over it", "a@5+5 a@4+4 a@3=3", 4, false, "a@5+5 a@4=34"},
		{"operands never end the walk", "a@5+5~20 a@4+4~30 a@3=3~40 a@2=2", 9, false, "a@5+5~20 a@4+4~30 a@3=3~40"},
		{"equal expiry folds (F13)", "a@5+5~20 a@4+4~20 a@3+3~30 a@2+2~30 a@1=1", 9, false, "a@5+45~20 a@3+23~30 a@1=1"},
		{"base with equal expiry", "a@5+5~20 a@4=4~20 a@3=3", 9, false, "a@5=45~20"},
		{"base with another expiry", "a@5+5 a@4=4~20 a@3=3", 9, false, "a@5+5 a@4=4~20"},
		{"tombstone is no base for an operand that expires", "a@5+5~20 a@4- a@3=3", 9, false, "a@5+5~20 a@4-"},
		{"the same at the bottom", "a@5+5~20 a@4- a@3=3", 9, true, "a@5+5~20"},

		{"expired operand goes without a tombstone (F5)", "a@5+5~10 a@4=4 a@3=3", 9, false, "a@4=4"},
		{"expired operands alone", "a@5+5~10 a@4+4~9", 9, false, ""},
		{"expired operand between", "a@5+5 a@4+4~10 a@3+3", 9, false, "a@5+5 a@3+3"},
		{"expired operand above the barrier goes too", "a@5+5~10 a@4+4~20", 1, false, "a@4+4~20"},
		{"expired operands with their expired base", "a@5+5~10^3 a@4=4~10 a@3=3", 9, false, "a@5-^3"},

		{"the same rows twice", "a@5=5 a@5=5 a@3=3 a@3=3 a@2=2", 3, false, "a@5=5 a@3=3"},
		{"operands twice", "a@5+5 a@5+5 a@4+4 a@4+4 a@3=3 a@3=3", 9, false, "a@5=345"},
		{"operands twice above the barrier", "a@5+5 a@5+5 a@4+4 a@4+4", 0, false, "a@5+5 a@4+4"},
		{"tombstones twice", "a@5- a@5- a@4=4 a@4=4", 4, true, "a@5- a@4=4"},
		{"empty key", "@5=5 @4=4 a@1=1", 9, false, "@5=5 a@1=1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, op := range []kv.MergeOperator{&appending{}, &batching{}} {
				it := Retain(newList(rows(tt.in), false), RetainOptions{MinSeq: tt.min, Now: 10, Operator: op, Bottom: tt.bottom})
				assert.Equal(t, texts(rows(tt.want)), drain(it))
				assert.False(t, it.Next())
				assert.NoError(t, it.Close())
			}
		})
	}
}

func TestRetainWithoutOperator(t *testing.T) {
	in := rows("a@5+5 a@4+4~10 a@3=3 a@2=2 b@1=x")
	it := Retain(newList(in, false), RetainOptions{MinSeq: 9, Now: 10})
	assert.Equal(t, texts(rows("a@5+5 a@3=3 b@1=x")), drain(it))
	assert.NoError(t, it.Err())

	it = Retain(newList(in, false), RetainOptions{MinSeq: 9, Now: 10, RequireOperator: true})
	assert.Empty(t, drain(it))
	assert.ErrorIs(t, it.Err(), kv.ErrInvalid)
	assert.ErrorIs(t, it.Close(), kv.ErrInvalid)
}

func TestRetainCounts(t *testing.T) {
	expired, folds := map[kv.Kind]int{}, []int{}
	it := Retain(newList(rows("a@5=5~10 b@5+5~10 b@4+4~11 c@5+5 c@4+4 c@3=3 d@2+2 e@2+2 e@1-"), false), RetainOptions{
		MinSeq: 9, Now: 10, Operator: &appending{},
		OnExpired: func(k kv.Kind) { expired[k]++ },
		OnFold:    func(n int) { folds = append(folds, n) },
	})
	drain(it)
	assert.Equal(t, map[kv.Kind]int{kv.Put: 1, kv.Merge: 1}, expired)
	assert.Equal(t, []int{2, 1}, folds)
}

func TestRetainSeek(t *testing.T) {
	for _, desc := range []bool{false, true} {
		in := rows("a@5- a@4=4 b@5+5 b@4=4 c@5- d@9- d@8=8")
		src := newList(in, desc)
		it := Retain(src, RetainOptions{MinSeq: 5, Operator: &appending{}, Bottom: true, Desc: desc})
		if desc {
			require.True(t, it.Seek([]byte("c")))
			assert.Equal(t, `b@5 put "45"`, show(it.Entry()))
			require.True(t, it.Seek([]byte("d")), "never backward")
			assert.Equal(t, `b@5 put "45"`, show(it.Entry()))
			continue
		}
		require.True(t, it.Seek([]byte("a")))
		assert.Equal(t, `b@5 put "45"`, show(it.Entry()))
		require.True(t, it.Seek([]byte("a")), "never backward")
		assert.Equal(t, `b@5 put "45"`, show(it.Entry()))
		require.True(t, it.Seek([]byte("c")))
		assert.Equal(t, `d@9 tombstone ""`, show(it.Entry()))
		require.True(t, it.Next())
		assert.Equal(t, `d@8 put "8"`, show(it.Entry()))
		require.False(t, it.Seek([]byte("z")))
	}
}

// retainModel applies the rules stage by stage to each key.
func retainModel(all []kv.Entry, o RetainOptions, desc bool) []kv.Entry {
	var groups [][]kv.Entry
	for _, e := range newList(all, desc).rows {
		n := len(groups)
		if n == 0 || !bytes.Equal(groups[n-1][0].Key, e.Key) {
			groups = append(groups, []kv.Entry{e})
		} else if g := groups[n-1]; g[len(g)-1].Seq != e.Seq {
			groups[n-1] = append(g, e)
		}
	}
	var out []kv.Entry
	for _, g := range groups {
		var folded []kv.Entry
		for i := 0; i < len(g); i++ {
			e := g[i].Clone()
			if e.Kind != kv.Merge || e.Seq > o.MinSeq {
				folded = append(folded, e)
				continue
			}
			ops := [][]byte{e.Value}
			for i+1 < len(g) && g[i+1].ExpireTS == e.ExpireTS && e.Kind == kv.Merge {
				i++
				e.CreateTS = max(e.CreateTS, g[i].CreateTS)
				if g[i].Kind != kv.Tombstone {
					ops = append(ops, g[i].Value)
				}
				if g[i].Kind != kv.Merge {
					e.Kind = kv.Put
				}
			}
			slices.Reverse(ops)
			e.Value = bytes.Join(ops, nil)
			folded = append(folded, e)
		}
		var kept []kv.Entry
		for _, e := range folded {
			if e.Kind != kv.Tombstone && e.Expired(o.Now) {
				if e.Kind == kv.Merge {
					continue
				}
				e.Kind, e.Value, e.ExpireTS = kv.Tombstone, nil, kv.NoTS
			}
			kept = append(kept, e)
			if e.Kind != kv.Merge && e.Seq <= o.MinSeq {
				break
			}
		}
		for o.Bottom && len(kept) > 0 && kept[len(kept)-1].Kind == kv.Tombstone {
			kept = kept[:len(kept)-1]
		}
		out = append(out, kept...)
	}
	return out
}

func TestRetainModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		desc := rapid.Bool().Draw(t, "desc")
		all := genRows(t, "all")
		o := RetainOptions{
			MinSeq: kv.Seq(rapid.IntRange(0, 21).Draw(t, "min")), Now: int64(rapid.IntRange(0, 20).Draw(t, "now")),
			Operator: &appending{}, Bottom: rapid.Bool().Draw(t, "bottom"), Desc: desc,
		}
		twice := newList(append(slices.Clone(all), all[:len(all)/2]...), desc)
		got := drain(Retain(New(desc, twice, newList(nil, desc)), o))
		require.Equal(t, texts(retainModel(all, o, desc)), got)
	})
}

// TestF_CompactionNeverChangesReads: any subset of neighbouring tables is compacted, by age, and
// every reader that may still come sees what it saw before (F1, F2, F4, F5).
func TestF_CompactionNeverChangesReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := genRows(t, "all")
		slices.SortStableFunc(all, func(a, b kv.Entry) int { return int(b.Seq) - int(a.Seq) })
		// Tables by age: seq ranges do not overlap.
		var tables [][]kv.Entry
		for at := 0; at < len(all); {
			n := at + rapid.IntRange(1, 8).Draw(t, "size")
			for n = min(n, len(all)); n < len(all) && all[n].Seq == all[n-1].Seq; n++ {
			}
			tables = append(tables, all[at:n])
			at = n
		}
		minSeq := kv.Seq(rapid.IntRange(0, 21).Draw(t, "min"))
		now := int64(rapid.IntRange(0, 20).Draw(t, "now"))
		merged := func(ts [][]kv.Entry) kv.Iterator {
			var ls []kv.Iterator
			for _, tab := range ts {
				ls = append(ls, newList(tab, false))
			}
			return New(false, ls...)
		}
		read := func(ts [][]kv.Entry, max kv.Seq, at int64) []string {
			var out []string
			it := Resolve(merged(ts), ResolveOptions{Max: max, Operator: &appending{}, Now: func() int64 { return at }})
			for it.Next() {
				out = append(out, fmt.Sprintf("%s=%s", it.Entry().Key, it.Entry().Value))
			}
			require.NoError(t, it.Err())
			return out
		}
		before := tables
		for range rapid.IntRange(1, 3).Draw(t, "compactions") {
			if len(tables) == 0 {
				break
			}
			i := rapid.IntRange(0, len(tables)-1).Draw(t, "from")
			j := rapid.IntRange(i+1, len(tables)).Draw(t, "to")
			it := Retain(merged(tables[i:j]), RetainOptions{MinSeq: minSeq, Now: now, Operator: &appending{}, Bottom: j == len(tables)})
			var out []kv.Entry
			for it.Next() {
				out = append(out, it.Entry().Clone())
			}
			require.NoError(t, it.Err())
			tables = slices.Concat(tables[:i], [][]kv.Entry{out}, tables[j:])
		}
		// A reader's clock is never behind the data clock of a compaction, and its seq not below minSeq.
		for max := minSeq; max <= 21; max++ {
			for _, at := range []int64{now, now + 6} {
				require.Equal(t, read(before, max, at), read(tables, max, at), "max %d at %d", max, at)
			}
		}
	})
}

func TestNextAllocations(t *testing.T) {
	plain := func() []kv.Iterator {
		var ls []kv.Iterator
		for i := range 3 {
			ls = append(ls, newStripe(i, 3, 20_000))
		}
		return ls
	}
	its := map[string]kv.Iterator{
		"merge":   New(false, plain()...),
		"resolve": Resolve(New(false, plain()...), ResolveOptions{Max: kv.MaxSeq}),
		"retain":  Retain(New(false, plain()...), RetainOptions{MinSeq: kv.MaxSeq}),
	}
	for name, it := range its {
		require.True(t, it.Next())
		assert.Zero(t, testing.AllocsPerRun(5000, func() { it.Next() }), name)
	}
}
