package sst_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// drawRows draws distinct versions over few keys, so that versions spread over blocks.
func drawRows(t *rapid.T, label string, n int) []row {
	keys := rapid.IntRange(1, 60).Draw(t, label+" keys")
	big := rapid.SampledFrom([]int{0, 10, 300, 1500}).Draw(t, label+" value")
	seen := map[string]bool{}
	var rows []row
	for i := range n {
		k := fmt.Sprintf("k%02d", rapid.IntRange(0, keys-1).Draw(t, "key"))
		if rapid.IntRange(0, 20).Draw(t, "form") == 0 {
			k += strings.Repeat("x", rapid.IntRange(1, 40).Draw(t, "long"))
		}
		r := row{key: k, seq: kv.Seq(i + 1), kind: kv.Kind(rapid.IntRange(0, 2).Draw(t, "kind"))}
		if r.kind != kv.Tombstone {
			r.value = strings.Repeat("v", big) + fmt.Sprint(i)
		}
		if !seen[fmt.Sprint(k, r.seq)] {
			rows = append(rows, r)
		}
	}
	sortRows(rows)
	return rows
}

func drawKey(t *rapid.T, label string) []byte {
	k := fmt.Sprintf("k%02d", rapid.IntRange(0, 62).Draw(t, label))
	switch rapid.IntRange(0, 9).Draw(t, label+" form") {
	case 0:
		return []byte(k[:rapid.IntRange(0, 2).Draw(t, label+" cut")])
	case 1:
		return []byte(k + "x")
	case 2:
		return []byte("zz")
	}
	return []byte(k)
}

func drawRange(t *rapid.T, label string) kv.Range {
	var r kv.Range
	if rapid.Bool().Draw(t, label+" hasStart") {
		r.Start = drawKey(t, label+" start")
		r.StartExclusive = rapid.Bool().Draw(t, label+" startExcl")
	}
	if rapid.Bool().Draw(t, label+" hasEnd") {
		r.End = drawKey(t, label+" end")
		r.EndInclusive = rapid.Bool().Draw(t, label+" endIncl")
	}
	return r
}

func drawCache(t *rapid.T) sst.BlockCache {
	switch rapid.IntRange(0, 4).Draw(t, "cache") {
	case 0:
		return nil
	case 1:
		return cache.New(cache.Options{BlockBytes: -1, MetaBytes: -1})
	case 2:
		return cache.New(cache.Options{BlockBytes: 1400, MetaBytes: 1000})
	case 3:
		return cache.New(cache.Options{BlockBytes: 6000, MetaBytes: 1 << 20})
	}
	return cache.New(cache.Options{BlockBytes: 64 << 20, MetaBytes: 64 << 20})
}

func drawWriter(t *rapid.T) sst.WriterOptions {
	return sst.WriterOptions{
		BlockSize:     rapid.SampledFrom([]int{1024, 4096, 65536}).Draw(t, "block"),
		Codec:         rapid.SampledFrom([]sst.Codec{sst.NoCompression, sst.NoCompression, sst.Snappy, sst.Zstd}).Draw(t, "codec"),
		Policies:      []sst.FilterPolicy{sst.Bloom(10, sst.BloomOptions{})},
		MinFilterKeys: -1,
	}
}

func drawGroup(t *rapid.T) sst.GroupOptions {
	return sst.GroupOptions{
		Fill:      rapid.Bool().Draw(t, "fill"),
		ReadAhead: rapid.SampledFrom([]int{0, -1, 1, 5000, 100000}).Draw(t, "readAhead"),
		MaxTasks:  rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "tasks"),
		RowsHint:  rapid.SampledFrom([]int{0, 1, 50}).Draw(t, "hint"),
	}
}

// walk drives an iterator with Next and Seek and compares it with the model, want being the
// rows in the iterator's order.
func walk(t *rapid.T, it kv.Iterator, want []row, desc bool) {
	at := -1
	var trace []string
	check := func(op string, ok bool) bool {
		trace = append(trace, op)
		require.NoError(t, it.Err(), "%v", trace)
		require.Equal(t, at < len(want), ok, "%v: at %d of %d", trace, at, len(want))
		if ok {
			require.Equal(t, want[at], rowOf(it.Entry()), "%v: row %d", trace, at)
		}
		return ok
	}
	seeks := rapid.Bool().Draw(t, "seeks")
	for {
		if seeks && rapid.IntRange(0, 6).Draw(t, "op") == 0 {
			k := string(drawKey(t, "seek"))
			i := max(at, 0)
			for i < len(want) && ((!desc && want[i].key < k) || (desc && want[i].key > k)) {
				i++
			}
			at = i
			if !check("seek "+k, it.Seek([]byte(k))) {
				break
			}
			continue
		}
		at++
		if !check("next", it.Next()) {
			break
		}
	}
	require.False(t, it.Next(), "next after the end")
	require.NoError(t, it.Close())
	require.NoError(t, it.Close())
}

// TestH1_H2_H3_IterAgainstModel walks single tables with random cuts, ranges and seeks.
func TestH1_H2_H3_IterAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objects := newCounting()
		s := objects.open(drawCache(t), sst.StoreOptions{Policies: []sst.FilterPolicy{sst.Bloom(10, sst.BloomOptions{})}})
		rows := drawRows(t, "rows", rapid.IntRange(1, 150).Draw(t, "n"))
		h := objects.addTable(t, "db", rows, drawWriter(t))
		var visible *kv.Range
		if rapid.Bool().Draw(t, "cut") {
			r := drawRange(t, "visible")
			visible = &r
		}
		v := view(s, h, visible)
		for range rapid.IntRange(1, 3).Draw(t, "walks") {
			r := drawRange(t, "range")
			desc := rapid.Bool().Draw(t, "desc")
			g := sst.NewGroup(context.Background(), s, drawGroup(t))
			want := inOrder(rows, r, desc)
			if visible != nil {
				want = inOrder(inOrder(rows, r, false), *visible, desc)
			}
			walk(t, g.Iter(v, r, desc), want, desc)
			require.Zero(t, s.Stats().ReadAhead)
		}
		// Point reads see the newest version at or below their number.
		for range 5 {
			k, limit := string(drawKey(t, "get")), kv.Seq(rapid.IntRange(0, 160).Draw(t, "max"))
			var want *row
			for i := range rows {
				if rows[i].key == k && rows[i].seq <= limit && (visible == nil || visible.Contains([]byte(k))) {
					want = &rows[i]
					break
				}
			}
			e, found, _, err := get(context.Background(), s, []*sst.ViewReader{v}, k, limit, true)
			require.NoError(t, err)
			require.Equal(t, want != nil, found, "get %s at %d", k, limit)
			if found {
				require.Equal(t, *want, rowOf(&e))
			}
		}
	})
}

// TestH3_RunAgainstModel cuts one sorted list into tables at any row, so that neighbours may
// share a boundary key (and a key may fill whole tables).
func TestH3_RunAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objects := newCounting()
		s := objects.open(drawCache(t), sst.StoreOptions{})
		rows := drawRows(t, "rows", rapid.IntRange(1, 150).Draw(t, "n"))
		o := drawWriter(t)
		tables := rapid.IntRange(1, 5).Draw(t, "tables")
		cuts := []int{0, len(rows)}
		for range tables - 1 {
			cuts = append(cuts, rapid.IntRange(0, len(rows)).Draw(t, "cut"))
		}
		slices.Sort(cuts)
		forget := rapid.IntRange(0, 3).Draw(t, "unknown last keys") == 0
		var run []*sst.ViewReader
		for i := 1; i < len(cuts); i++ {
			if part := rows[cuts[i-1]:cuts[i]]; len(part) > 0 {
				h := objects.addTable(t, "db", part, o)
				if forget {
					h.Info.Last = nil
				}
				run = append(run, view(s, h, nil))
			}
		}
		for range rapid.IntRange(1, 3).Draw(t, "walks") {
			r := drawRange(t, "range")
			desc := rapid.Bool().Draw(t, "desc")
			g := sst.NewGroup(context.Background(), s, drawGroup(t))
			walk(t, g.RunIter(run, r, desc), inOrder(rows, r, desc), desc)
			require.Zero(t, s.Stats().ReadAhead)
		}
		for range 5 {
			k, limit := string(drawKey(t, "get")), kv.Seq(rapid.IntRange(0, 160).Draw(t, "max"))
			i := slices.IndexFunc(rows, func(r row) bool { return r.key == k && r.seq <= limit })
			e, found, _, err := get(context.Background(), s, sst.FindInRun(run, []byte(k)), k, limit, false)
			require.NoError(t, err)
			require.Equal(t, i >= 0, found, "get %s at %d", k, limit)
			if found {
				require.Equal(t, rows[i], rowOf(&e))
			}
		}
	})
}
