package sst

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func benchRows(n int, value int) []kv.Entry {
	rng := rand.New(rand.NewSource(1))
	v := make([]byte, value)
	rng.Read(v)
	out := make([]kv.Entry, n)
	for i := range out {
		key := binary.BigEndian.AppendUint64([]byte("user:key"), uint64(i)*1009)
		out[i] = kv.Entry{Key: key, Value: v, Seq: kv.Seq(n - i), CreateTS: 1795409743751, ExpireTS: kv.NoTS}
	}
	return out
}

// benchBlock fills one block.
func benchBlock(tb testing.TB, target int) (*Block, []kv.Entry) {
	var b BlockBuilder
	buf := b.Reset(nil, target)
	rows := benchRows(10_000, 100)
	n := 0
	for b.Fits(&rows[n]) {
		buf = b.Append(buf, &rows[n])
		n++
	}
	blk, err := DecodeBlock(b.Finish(buf), FormatV2)
	require.NoError(tb, err)
	return blk, rows[:n]
}

func TestBlockAllocations(t *testing.T) {
	b, rows := benchBlock(t, 4096)
	var e kv.Entry
	i := 0
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		i = (i + 7) % len(rows)
		found, _, err := b.get(rows[i].Key, kv.MaxSeq, &e)
		if !found || err != nil {
			t.Fail()
		}
	}), "get")
	var it blockIter
	it.reset(b)
	it.next()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		it.reset(b)
		for it.next() {
		}
	}), "next")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		i = (i + 7) % len(rows)
		it.seekGE(rows[i].Key)
	}), "seekGE")

	p := Bloom(10, BloomOptions{})
	f := p.NewBuilder()
	for i := range rows {
		f.Add(&rows[i])
	}
	data := f.Build()
	m := &Meta{Filters: []NamedFilter{{"_bf", data}}}
	r := asking([]FilterPolicy{p})
	var q Query // part of a lookup's state, which is reused
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		q = Query{Key: rows[3].Key}
		if ok, err := mayContain(r, m, &q); !ok || err != nil {
			t.Fail()
		}
	}), "filter probe")
}

func BenchmarkBlockGet(b *testing.B) {
	for _, target := range []int{4096, 65536} {
		b.Run(fmt.Sprintf("block=%d/value=100", target), func(b *testing.B) {
			blk, rows := benchBlock(b, target)
			var e kv.Entry
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if i += 7; i >= len(rows) {
					i -= len(rows)
				}
				if found, _, _ := blk.get(rows[i].Key, kv.MaxSeq, &e); !found {
					b.Fatal("missing")
				}
			}
		})
	}
}

func BenchmarkBlockNext(b *testing.B) {
	blk, _ := benchBlock(b, 4096)
	var it blockIter
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		it.reset(blk)
		for it.next() {
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/row")
}

func BenchmarkBlockSeek(b *testing.B) {
	blk, rows := benchBlock(b, 4096)
	var it blockIter
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if i += 7; i >= len(rows) {
			i -= len(rows)
		}
		it.reset(blk)
		it.seekGE(rows[i].Key)
	}
}

func BenchmarkIndexLookup(b *testing.B) {
	var ib indexBuilder
	const n = 16 << 10
	keys := make([][]byte, n)
	for i := range n {
		keys[i] = binary.BigEndian.AppendUint64([]byte("user:key"), uint64(i)*32*1009)
		ib.add(uint64(i*4096), keys[i])
	}
	x, err := decodeIndex(ib.build())
	require.NoError(b, err)
	rng := rand.New(rand.NewSource(1))
	probe := make([][]byte, 4096)
	for i := range probe {
		probe[i] = binary.BigEndian.AppendUint64([]byte("user:key"), uint64(rng.Intn(n*32*1009)))
	}
	i, sum := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 1) & 4095
		sum += x.lookupStart(probe[i])
	}
}

func BenchmarkFilterProbe(b *testing.B) {
	rows := benchRows(100_000, 0)
	p := Bloom(10, BloomOptions{})
	f := p.NewBuilder()
	for i := range rows {
		f.Add(&rows[i])
	}
	data := f.Build()
	i := 0
	var q Query
	b.ReportAllocs()
	for b.Loop() {
		if i += 7; i >= len(rows) {
			i -= len(rows)
		}
		q = Query{Key: rows[i].Key}
		if ok, _ := p.MayContain(data, &q); !ok {
			b.Fatal("missing")
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	rows := benchRows(100_000, 100)
	for _, c := range []Codec{NoCompression, Snappy, Zlib, LZ4, Zstd} {
		b.Run("codec="+c.String(), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				w := NewWriter(WriterOptions{Policies: []FilterPolicy{Bloom(10, BloomOptions{})}, Codec: c, SizeHint: 15 << 20})
				for i := range rows {
					if err := w.Add(&rows[i]); err != nil {
						b.Fatal(err)
					}
				}
				body, _, err := w.Finish()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(body)))
				n += len(rows)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/row")
		})
	}
}

func BenchmarkReplay(b *testing.B) {
	rows := benchRows(100_000, 100)
	body := sealRows(b, rows, NoCompression, nil, WALBlockTarget)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		o, err := OpenObject("wal", body, nil)
		if err != nil {
			b.Fatal(err)
		}
		it := o.Rows()
		for it.Next() {
			n++
		}
		if it.Err() != nil {
			b.Fatal(it.Err())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/row")
}
