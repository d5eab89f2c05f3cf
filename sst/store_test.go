package sst_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/sst"
)

// TestI1_DatabasesShareACache: two databases with a table of the same id keep their rows; a
// clone finds what its parent has cached; a dropped table is read anew.
func TestI1_DatabasesShareACache(t *testing.T) {
	objects := newCounting()
	c := cache.New(cache.Options{})
	env := seam.New(seam.Env{})
	a := sst.NewStore(objects, "a", c, sst.StoreOptions{Env: env})
	b := sst.NewStore(objects, "b", c, sst.StoreOptions{Env: env})
	ha := objects.addTable(t, "a", []row{{key: "k", value: "of a", seq: 1}}, sst.WriterOptions{})
	hb := objects.addTable(t, "b", []row{{key: "k", value: "of b", seq: 1}}, sst.WriterOptions{})
	objects.objects[ha.ID.Object("b")] = objects.objects[hb.ID.Object("b")]
	hb.ID = ha.ID
	read := func(s *sst.Store, h *sst.Handle) string {
		e, found, _, err := get(t.Context(), s, []*sst.ViewReader{view(s, h, nil)}, "k", kv.MaxSeq, true)
		require.NoError(t, err)
		require.True(t, found)
		return string(e.Value)
	}
	require.Equal(t, "of a", read(a, ha))
	require.Equal(t, "of b", read(b, hb))
	require.EqualValues(t, 4, objects.requests.Load())

	borrowed := *ha
	borrowed.Root = "a"
	require.Equal(t, "of a", read(b, &borrowed))
	require.EqualValues(t, 4, objects.requests.Load(), "the clone finds its parent's blocks")

	b.Drop(&borrowed)
	require.Equal(t, "of a", read(a, ha))
	require.EqualValues(t, 6, objects.requests.Load())
	require.Equal(t, "of b", read(b, hb))
	require.EqualValues(t, 6, objects.requests.Load(), "the other database's table is untouched")
}

// TestI2_CachedBlocksPinNothing fills the cache from large spans and from single reads: the
// heap grows by about what the cache is charged for.
func TestI2_CachedBlocksPinNothing(t *testing.T) {
	for _, codec := range []sst.Codec{sst.NoCompression, sst.Zstd} {
		objects := newCounting()
		rows := numbered(100_000, 60)
		h := objects.addTable(t, "db", rows, sst.WriterOptions{Codec: codec})
		heap := func() int64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before := heap()
		// Only every tenth block finds room, so that a pinned span would show tenfold.
		c := cache.New(cache.Options{BlockBytes: 1 << 20})
		s := objects.open(c, sst.StoreOptions{})
		it := sst.NewGroup(t.Context(), s, sst.GroupOptions{Fill: true}).Iter(view(s, h, nil), kv.Range{}, false)
		for it.Next() {
		}
		require.NoError(t, it.Close())
		grown := heap() - before
		st := c.Stats()
		charged := st.Blocks.Bytes + st.Meta.Bytes
		require.Greater(t, charged, int64(1<<20)-10_000)
		require.Less(t, grown, charged*5/4+100_000, "charged %d", charged)
		runtime.KeepAlive(c)
		runtime.KeepAlive(rows)
	}
}

func TestFindInRun(t *testing.T) {
	objects := newCounting()
	s := objects.open(nil, sst.StoreOptions{})
	var run []*sst.ViewReader
	for _, keys := range [][]string{{"b", "d"}, {"d", "d"}, {"d", "f"}, {"h", "k"}} {
		var rows []row
		for i, k := range keys {
			rows = append(rows, row{key: k, seq: kv.Seq(100 - 10*len(run) - i)})
		}
		run = append(run, view(s, objects.addTable(t, "db", rows, sst.WriterOptions{}), nil))
	}
	for _, c := range []struct {
		key         string
		first, last int
	}{
		{"a", 0, 0}, {"b", 0, 1}, {"c", 0, 1}, {"d", 0, 3}, {"e", 2, 3}, {"f", 2, 3}, {"g", 0, 0}, {"h", 3, 4}, {"k", 3, 4}, {"l", 0, 0},
	} {
		got := sst.FindInRun(run, []byte(c.key))
		require.Len(t, got, c.last-c.first, c.key)
		for i, v := range got {
			require.Same(t, run[c.first+i], v, c.key)
		}
	}
	require.Empty(t, sst.FindInRun(nil, []byte("x")), "a run may have no views")
	require.Len(t, sst.FindRangeInRun(run, kv.Range{Start: []byte("d"), End: []byte("h")}), 3)
	require.Len(t, sst.FindRangeInRun(run, kv.Range{Start: []byte("g"), End: []byte("h"), EndInclusive: true}), 1)
	require.Len(t, sst.FindRangeInRun(run, kv.Range{}), 4)
	require.Empty(t, sst.FindRangeInRun(run, kv.Range{Start: []byte("x")}))
}
