package sst_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/cache"
	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// benchKey is the hex form of a mixed counter, 16 bytes.
func benchKey(i int) []byte {
	b := make([]byte, 16)
	putBenchKey(b, i)
	return b
}

func putBenchKey(b []byte, i int) {
	x := uint64(i) * 0x9E3779B97F4A7C15
	x ^= x >> 29
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], x)
	hex.Encode(b, raw[:])
}

type benchData struct {
	objects *countingStore
	cache   *cache.Cache
	s       *sst.Store
	views   []*sst.ViewReader
	keys    [][]byte
}

// benchTables holds three tables of 350,000 rows each, over the same key space, all cached.
var benchTables = sync.OnceValue(func() *benchData {
	const tables, each = 3, 350_000
	d := &benchData{objects: newCounting(), cache: cache.New(cache.Options{BlockBytes: 512 << 20})}
	policies := []sst.FilterPolicy{sst.Bloom(10, sst.BloomOptions{})}
	d.s = d.objects.open(d.cache, sst.StoreOptions{Policies: policies})
	parts := make([][]row, tables)
	value := string(make([]byte, 100))
	for i := range tables * each {
		k := benchKey(i)
		d.keys = append(d.keys, k)
		parts[i%tables] = append(parts[i%tables], row{key: string(k), value: value, seq: kv.Seq(i + 1)})
	}
	for _, p := range parts {
		sortRows(p)
		h := d.objects.addTable(fataler{}, "db", p, sst.WriterOptions{Policies: policies})
		d.views = append(d.views, view(d.s, h, nil))
	}
	g := sst.NewGroup(context.Background(), d.s, sst.GroupOptions{Fill: true})
	for _, v := range d.views {
		it := g.Iter(v, kv.Range{}, false)
		for it.Next() {
		}
		require.NoError(fataler{}, it.Close())
	}
	return d
})

type fataler struct{}

func (fataler) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (fataler) FailNow()                  { panic("failed") }

func BenchmarkGetCached(b *testing.B) {
	d := benchTables()
	for _, miss := range []bool{false, true} {
		b.Run(fmt.Sprintf("tables=3/rows=1050k/miss=%t", miss), func(b *testing.B) {
			before := d.objects.requests.Load()
			b.ReportAllocs()
			var l sst.Lookup
			var e kv.Entry
			i, found := 0, 0
			key := make([]byte, 16)
			for b.Loop() {
				i += 7919
				putBenchKey(key, i%len(d.keys))
				if miss {
					key[15] ^= 0x40
				}
				l.Reset(key, nil)
				for _, v := range d.views {
					verdict, err := v.Get(&l, kv.MaxSeq, &e)
					if err != nil || verdict == sst.Missing {
						b.Fatal(verdict, err)
					}
					if verdict == sst.Found {
						found++
						break
					}
				}
			}
			require.Equal(b, before, d.objects.requests.Load())
			if !miss {
				require.GreaterOrEqual(b, found, b.N)
			}
		})
	}
}

func BenchmarkScanCached(b *testing.B) {
	d := benchTables()
	for _, desc := range []bool{false, true} {
		b.Run(fmt.Sprintf("raw/desc=%t", desc), func(b *testing.B) {
			b.ReportAllocs()
			g := sst.NewGroup(context.Background(), d.s, sst.GroupOptions{})
			its := make([]kv.Iterator, len(d.views))
			for i := range its {
				its[i] = g.Iter(d.views[i], kv.Range{}, desc)
			}
			n := 0
			for b.Loop() {
				n++
				if !its[n%len(its)].Next() {
					b.StopTimer()
					for i := range its {
						require.NoError(b, its[i].Err())
						its[i] = g.Iter(d.views[i], kv.Range{}, desc)
					}
					b.StartTimer()
				}
			}
		})
	}
}

func BenchmarkSeek10Cached(b *testing.B) {
	d := benchTables()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i += 7919
		g := sst.NewGroup(context.Background(), d.s, sst.GroupOptions{})
		for _, v := range d.views {
			it := g.Iter(v, kv.Range{Start: d.keys[i%len(d.keys)]}, false)
			for range 4 {
				it.Next()
			}
			it.Close()
		}
	}
}
