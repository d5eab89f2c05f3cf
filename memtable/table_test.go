package memtable

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// model is the table as a sorted slice.
type model []kv.Entry

func (m *model) add(e kv.Entry) {
	e = e.Clone()
	i := sort.Search(len(*m), func(i int) bool { return kv.Compare(&(*m)[i], &e) >= 0 })
	if i < len(*m) && kv.Compare(&(*m)[i], &e) == 0 {
		(*m)[i] = e
		return
	}
	*m = slices.Insert(*m, i, e)
}

func (m model) get(key []byte, max kv.Seq) (kv.Entry, bool) {
	for _, e := range m {
		if bytes.Equal(e.Key, key) && e.Seq <= max {
			return e, true
		}
	}
	return kv.Entry{}, false
}

// scan returns the rows as an iterator must yield them.
func (m model) scan(r kv.Range, max kv.Seq, desc bool) []kv.Entry {
	var groups [][]kv.Entry
	for _, e := range m {
		if e.Seq > max || !r.Contains(e.Key) {
			continue
		}
		if n := len(groups); n > 0 && bytes.Equal(groups[n-1][0].Key, e.Key) {
			groups[n-1] = append(groups[n-1], e)
		} else {
			groups = append(groups, []kv.Entry{e})
		}
	}
	if desc {
		slices.Reverse(groups)
	}
	return slices.Concat(groups...)
}

func show(e *kv.Entry) string {
	return fmt.Sprintf("%q@%d %v %x c=%d e=%d", e.Key, e.Seq, e.Kind, e.Value, e.CreateTS, e.ExpireTS)
}

func showAll(es []kv.Entry) []string {
	out := make([]string, 0, len(es))
	for i := range es {
		out = append(out, show(&es[i]))
	}
	return out
}

// genKey draws keys that meet: short ones, shared prefixes, neighbours, zero and 0xFF bytes.
func genKey() *rapid.Generator[[]byte] {
	return rapid.OneOf(
		rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 'b', 0xFF}), 0, 4),
		rapid.Map(rapid.IntRange(0, 40), func(i int) []byte { return fmt.Appendf(nil, "tenant/17/order/%08d", i) }),
		rapid.Map(rapid.IntRange(0, 9), func(i int) []byte {
			return append(bytes.Repeat([]byte{'p'}, 8), make([]byte, i)...)
		}),
	)
}

func genRange(t *rapid.T) kv.Range {
	bound := rapid.OneOf(rapid.Just([]byte(nil)), genKey())
	return kv.Range{
		Start: bound.Draw(t, "start"), End: bound.Draw(t, "end"),
		StartExclusive: rapid.Bool().Draw(t, "startExclusive"), EndInclusive: rapid.Bool().Draw(t, "endInclusive"),
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab, m := New(), model{}
		var keys [][]byte
		var seq kv.Seq
		n := rapid.IntRange(0, 400).Draw(t, "rows")
		hot := rapid.Bool().Draw(t, "hot") // few keys, so that versions fill leaves
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		pool := rapid.SliceOfN(genKey(), 1, 80).Draw(t, "keys")
		if hot {
			pool = pool[:min(3, len(pool))]
		}
		for i := range n {
			if rng.IntN(3) == 0 {
				seq++
			}
			e := kv.Entry{
				Key: pool[rng.IntN(len(pool))], Seq: seq + kv.Seq(rng.IntN(2)), CreateTS: int64(i), ExpireTS: kv.NoTS,
				Kind: kv.Kind(rng.IntN(3)),
			}
			if e.Kind != kv.Tombstone {
				e.Value = bytes.Repeat([]byte{byte(i)}, rng.IntN(20))
				if rng.IntN(50) == 0 {
					e.Value = bytes.Repeat([]byte{byte(i)}, bigValue+rng.IntN(3))
				}
			}
			if rng.IntN(4) == 0 {
				e.ExpireTS = int64(rng.IntN(100)) - 50
			}
			if rng.IntN(16) == 0 {
				e.CreateTS = kv.NoTS
			}
			tab.Add(&e)
			m.add(e)
			keys = append(keys, e.Key)
			if i%16 == 0 || i == n-1 {
				require.NoError(t, tab.checkInvariants())
			}
		}
		require.Equal(t, len(m), tab.Len())

		for _, k := range append(keys, pool...) {
			max := kv.Seq(rng.IntN(int(seq) + 3))
			var got kv.Entry
			ok := tab.Get(k, max, &got)
			want, wantOK := m.get(k, max)
			require.Equal(t, wantOK, ok, "get %q at %d", k, max)
			if ok {
				require.Equal(t, show(&want), show(&got))
			}
		}

		for range 4 {
			r := genRange(t)
			max := kv.Seq(rng.IntN(int(seq) + 3))
			if rng.IntN(3) == 0 {
				max = kv.MaxSeq
			}
			desc := rng.IntN(2) == 0
			want := m.scan(r, max, desc)
			var got []kv.Entry
			it := tab.Iter(r, max, desc)
			for it.Next() {
				got = append(got, it.Entry().Clone())
			}
			require.False(t, it.Next(), "Next after the end")
			require.Equal(t, showAll(want), showAll(got), "range %q max %d desc %v", r, max, desc)

			// Steps and seeks mixed. pos is the model's position, -1 before the first row.
			it = tab.Iter(r, max, desc)
			pos := -1
			for range 12 {
				var ok bool
				if rng.IntN(2) == 0 {
					pos++
					ok = it.Next()
				} else {
					k := pool[rng.IntN(len(pool))]
					ok = it.Seek(k)
					if pos = max0(pos); pos < len(want) {
						for pos < len(want) && behind(want[pos].Key, k, desc) {
							pos++
						}
					}
				}
				require.Equal(t, pos < len(want), ok)
				if !ok {
					break
				}
				require.Equal(t, show(&want[pos]), show(it.Entry()))
			}
			require.NoError(t, it.Err())
			require.NoError(t, it.Close())
			require.NoError(t, it.Close())
			require.False(t, it.Next())
		}
	})
}

func max0(i int) int { return max(i, 0) }

func behind(a, b []byte, desc bool) bool {
	c := bytes.Compare(a, b)
	if desc {
		return c > 0
	}
	return c < 0
}

// TestLargeOrders builds trees of several levels by every shape of insertion.
func TestLargeOrders(t *testing.T) {
	const n = 30_000
	orders := map[string]func(i int) int{
		"ascending":  func(i int) int { return i },
		"descending": func(i int) int { return n - i },
		"random":     func(i int) int { return int(mixed(uint64(i)) % 1e9) },
		"batches":    func(i int) int { return int(mixed(uint64(i/100))%1e4)*100 + i%100 },
		"two runs":   func(i int) int { return i%2*1e6 + i },
	}
	for name, f := range orders {
		t.Run(name, func(t *testing.T) {
			tab := New()
			want := map[string]kv.Seq{}
			for i := range n {
				k := fmt.Sprintf("some/shared/prefix/%09d", f(i))
				e := kv.Entry{Key: []byte(k), Seq: kv.Seq(i + 1), Value: []byte(k), CreateTS: 1, ExpireTS: kv.NoTS}
				tab.Add(&e)
				want[k] = e.Seq
				if i%5000 == 0 {
					require.NoError(t, tab.checkInvariants())
				}
			}
			require.NoError(t, tab.checkInvariants())
			require.Equal(t, n, tab.Len())
			var e kv.Entry
			for k, s := range want {
				require.True(t, tab.Get([]byte(k), kv.MaxSeq, &e), k)
				require.Equal(t, s, e.Seq)
				require.Equal(t, k, string(e.Value))
				require.False(t, tab.Get([]byte(k+"x"), kv.MaxSeq, &e))
			}
			assert.Less(t, tab.MemoryBytes(), int64(n*250), "bytes held for %d rows", n)
		})
	}
}

// TestH1_OneKeyManyVersions: versions of one key over many leaves.
func TestH1_OneKeyManyVersions(t *testing.T) {
	tab := New()
	const n = 3000
	for i := range n {
		for _, k := range []string{"a", "k", "z"} {
			if k != "k" && i%100 != 0 {
				continue
			}
			tab.Add(&kv.Entry{Key: []byte(k), Seq: kv.Seq(2 * (i + 1)), CreateTS: 1, ExpireTS: kv.NoTS})
		}
	}
	require.NoError(t, tab.checkInvariants())
	var e kv.Entry
	for i := range n {
		for _, max := range []kv.Seq{kv.Seq(2 * (i + 1)), kv.Seq(2*(i+1) + 1)} {
			require.True(t, tab.Get([]byte("k"), max, &e))
			require.Equal(t, kv.Seq(2*(i+1)), e.Seq)
		}
	}
	require.False(t, tab.Get([]byte("k"), 1, &e))
	for _, desc := range []bool{false, true} {
		it := tab.Iter(kv.Range{Start: []byte("k"), End: []byte("l")}, 1001, desc)
		for s := kv.Seq(1000); s > 0; s -= 2 {
			require.True(t, it.Next())
			require.Equal(t, s, it.Entry().Seq)
		}
		require.False(t, it.Next())
	}
}

func TestAddEqualVersionReplaces(t *testing.T) {
	tab := New()
	for _, v := range []string{"old", "newer"} {
		tab.Add(&kv.Entry{Key: []byte("k"), Seq: 7, Value: []byte(v), CreateTS: 1, ExpireTS: kv.NoTS})
	}
	var e kv.Entry
	require.True(t, tab.Get([]byte("k"), 7, &e))
	assert.Equal(t, "newer", string(e.Value))
	assert.Equal(t, 1, tab.Len())
	assert.Equal(t, int64(1+5+rowOverhead), tab.EncodedBytes())
}

// TestH7_Limits: empty and huge keys and values, values around the border of the arena.
func TestH7_Limits(t *testing.T) {
	tab := New()
	keys := []string{"", "k", strings.Repeat("k", 65_535), strings.Repeat("k", 65_536), strings.Repeat("k", maxChunk+1)}
	values := []int{0, 1, bigValue, bigValue + 1, maxChunk, maxChunk + 1}
	var seq kv.Seq
	for _, k := range keys {
		for _, v := range values {
			seq++
			tab.Add(&kv.Entry{Key: []byte(k), Seq: seq, Value: bytes.Repeat([]byte{byte(seq)}, v), CreateTS: kv.NoTS, ExpireTS: int64(seq)})
		}
	}
	seq = 0
	var e kv.Entry
	for _, k := range keys {
		for _, v := range values {
			seq++
			require.True(t, tab.Get([]byte(k), seq, &e))
			require.Equal(t, len(k), len(e.Key))
			require.Equal(t, bytes.Repeat([]byte{byte(seq)}, v), e.Value)
			require.Equal(t, int64(seq), e.ExpireTS)
			require.Equal(t, kv.NoTS, e.CreateTS)
			require.Equal(t, len(e.Value), cap(e.Value), "an append must not reach a neighbour")
			require.Equal(t, len(e.Key), cap(e.Key))
		}
	}
	require.NoError(t, tab.checkInvariants())
}

func TestIdleTableIsSmall(t *testing.T) {
	tab := New()
	assert.Zero(t, tab.MemoryBytes())
	var e kv.Entry
	assert.False(t, tab.Get([]byte("k"), kv.MaxSeq, &e))
	assert.False(t, tab.Iter(kv.Range{}, kv.MaxSeq, true).Next())
	assert.False(t, tab.Iter(kv.Range{}, kv.MaxSeq, false).Seek([]byte("k")))
	tab.Add(&kv.Entry{Key: []byte("k"), Seq: 1, ExpireTS: kv.NoTS})
	assert.LessOrEqual(t, tab.MemoryBytes(), int64(20<<10))
}

func TestAllocations(t *testing.T) {
	keys := makeKeys(20_000, benchKeys[0].key)
	tab := filled(keys)
	var e kv.Entry
	i := 0
	assert.Zero(t, testing.AllocsPerRun(1000, func() { i++; tab.Get(keys[i], kv.MaxSeq, &e) }), "Get")
	for _, desc := range []bool{false, true} {
		it := tab.Iter(kv.Range{}, kv.MaxSeq, desc)
		assert.Zero(t, testing.AllocsPerRun(1000, func() { it.Next() }), "Next desc=%v", desc)
	}
	e = kv.Entry{Value: make([]byte, 100), ExpireTS: kv.NoTS}
	fresh := makeKeys(40_000, benchKeys[0].key)[20_000:]
	i = 0
	assert.Zero(t, testing.AllocsPerRun(10_000, func() { e.Key, e.Seq = fresh[i], kv.Seq(i+30_000); tab.Add(&e); i++ }), "Add, chunks spread out")
}
