package manifest

import (
	"fmt"
	"testing"

	"github.com/slatedb/slatedb-go/sst"
)

// big returns a manifest of n tables in one run.
func big(n int) *Manifest {
	m := New("")
	run := sst.SortedRun{ID: 1}
	for i := range n {
		v := view(uint64(1000+i), byte(i), fmt.Sprintf("key-%08d", 2*i), fmt.Sprintf("key-%08d", 2*i+1))
		run.Views = append(run.Views, v)
	}
	m.Root.Runs = []sst.SortedRun{run}
	return m
}

func BenchmarkManifest(b *testing.B) {
	m := big(4000)
	body := must(m.Encode())
	b.Run("encode/tables=4000", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			must(m.Encode())
		}
	})
	b.Run("decode/tables=4000", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			must(Decode("m", 1, body))
		}
	})
	b.Run("clone/tables=4000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Clone()
		}
	})
}
