package memtable

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// The pieces of a range hold its rows, all of them and no others.
func TestSampleCountsTheRowsOfARange(t *testing.T) {
	for _, n := range []int{0, 1, 13, 14, 15, 500, 20_000} {
		for _, ascending := range []bool{true, false} {
			tab := New()
			rnd := rand.New(rand.NewPCG(3, uint64(n)))
			key := func(i int) []byte { return []byte(fmt.Sprintf("k%06d", i)) }
			for i := range n {
				k := i
				if !ascending {
					k = rnd.IntN(n)
				}
				tab.Add(&kv.Entry{Key: key(k), Seq: kv.Seq(i + 1), CreateTS: kv.NoTS, ExpireTS: kv.NoTS})
			}
			for range 50 {
				r := kv.Range{Start: key(rnd.IntN(n + 1)), End: key(rnd.IntN(n + 1)), StartExclusive: rnd.IntN(2) == 0, EndInclusive: rnd.IntN(2) == 0}
				if rnd.IntN(4) == 0 {
					r.Start = nil
				}
				if rnd.IntN(4) == 0 {
					r.End = nil
				}
				want := 0
				for it := tab.Iter(r, kv.MaxSeq, false); it.Next(); {
					want++
				}
				got, steps, prev := 0, 0, []byte(nil)
				tab.Sample(r, func(first []byte, rows int) bool {
					require.True(t, r.Contains(first))
					require.LessOrEqual(t, string(prev), string(first))
					prev = first
					got += rows
					steps++
					return true
				})
				require.Equal(t, want, got)
				if !r.Empty() {
					require.LessOrEqual(t, steps, want/4+2)
				}
			}
			stopped := 0
			tab.Sample(kv.Range{}, func([]byte, int) bool { stopped++; return false })
			require.Equal(t, min(n, 1), stopped)
		}
	}
}
