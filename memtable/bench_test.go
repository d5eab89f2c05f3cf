package memtable

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/slatedb/slatedb-go/internal/kv"
)

const benchRows = 500_000

func mixed(i uint64) uint64 {
	i ^= i >> 33
	i *= 0xff51afd7ed558ccd
	i ^= i >> 33
	i *= 0xc4ceb9fe1a85ec53
	return i ^ i>>33
}

// benchKeys are the shapes of keys whose cost differs.
var benchKeys = []struct {
	name string
	key  func(dst []byte, i uint64) []byte
}{
	{"random-hex", func(d []byte, i uint64) []byte { return fmt.Appendf(d, "%016x", mixed(i)) }},
	{"random-shared", func(d []byte, i uint64) []byte { return fmt.Appendf(d, "tenant/17/%010d", mixed(i)%1e10) }},
	{"random-binary", func(d []byte, i uint64) []byte {
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(d, mixed(i)), i)
	}},
	{"sequential", func(d []byte, i uint64) []byte { return fmt.Appendf(d, "%016d", i) }},
}

func makeKeys(n int, key func([]byte, uint64) []byte) [][]byte {
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = key(nil, uint64(i))
	}
	return keys
}

func filled(keys [][]byte) *Table {
	t := New()
	e := kv.Entry{Value: make([]byte, 100), CreateTS: 1, ExpireTS: kv.NoTS}
	for i, k := range keys {
		e.Key, e.Seq = k, kv.Seq(i+1)
		t.Add(&e)
	}
	return t
}

// BenchmarkAdd fills tables of 500k rows of 100 bytes, one after another; ns/op is per row.
func BenchmarkAdd(b *testing.B) {
	for _, s := range benchKeys {
		b.Run("keys=500k/value=100/order="+s.name, func(b *testing.B) {
			keys := makeKeys(benchRows, s.key)
			e := kv.Entry{Value: make([]byte, 100), CreateTS: 1, ExpireTS: kv.NoTS}
			b.ReportAllocs()
			t, n := New(), 0
			for b.Loop() {
				if n == benchRows {
					t, n = New(), 0
				}
				e.Key, e.Seq = keys[n], kv.Seq(n+1)
				t.Add(&e)
				n++
			}
			b.ReportMetric(float64(t.MemoryBytes())/float64(t.Len()), "B/row")
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, s := range benchKeys {
		all := makeKeys(2*benchRows, s.key)
		t := filled(all[:benchRows])
		var e kv.Entry
		for _, miss := range []bool{false, true} {
			b.Run(fmt.Sprintf("keys=500k/order=%s/miss=%t", s.name, miss), func(b *testing.B) {
				keys := all[:benchRows]
				if miss {
					keys = all[benchRows:]
				}
				rng := rand.New(rand.NewPCG(1, 2))
				b.ReportAllocs()
				for b.Loop() {
					t.Get(keys[rng.IntN(benchRows)], kv.MaxSeq, &e)
				}
			})
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for _, s := range []int{0, 3} {
		t := filled(makeKeys(benchRows, benchKeys[s].key))
		for _, desc := range []bool{false, true} {
			b.Run(fmt.Sprintf("keys=500k/order=%s/desc=%t", benchKeys[s].name, desc), func(b *testing.B) {
				it := t.Iter(kv.Range{}, kv.MaxSeq, desc)
				b.ReportAllocs()
				for b.Loop() {
					if !it.Next() {
						it = t.Iter(kv.Range{}, kv.MaxSeq, desc)
					}
				}
			})
		}
	}
}
