package merging

import (
	"fmt"
	"testing"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// stripe is a source as cheap as can be: a slice of ready entries.
type stripe struct {
	rows []kv.Entry
	at   int
}

// newStripe holds n rows whose keys are spread at random over k stripes.
func newStripe(i, k, n int) *stripe {
	s := &stripe{at: -1}
	x := uint64(1)
	for c := 0; len(s.rows) < n; c++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		if int(x>>32)%k == i {
			s.rows = append(s.rows, kv.Entry{
				Key: fmt.Appendf(nil, "%016x", uint64(c)<<40), Seq: kv.Seq(c + 1), CreateTS: 1, ExpireTS: kv.NoTS, Value: make([]byte, 100),
			})
		}
	}
	return s
}

func (s *stripe) Next() bool           { s.at++; return s.at < len(s.rows) }
func (s *stripe) Seek(key []byte) bool { panic("not needed") }
func (s *stripe) Entry() *kv.Entry     { return &s.rows[s.at] }
func (s *stripe) Err() error           { return nil }
func (s *stripe) Close() error         { return nil }

func BenchmarkNext(b *testing.B) {
	const n = 50_000
	for _, k := range []int{1, 3, 12, 100} {
		var stripes []*stripe
		for i := range k {
			stripes = append(stripes, newStripe(i, k, n/k))
		}
		sources := func() []kv.Iterator {
			var out []kv.Iterator
			for _, s := range stripes {
				s.at = -1
				out = append(out, s)
			}
			return out
		}
		for _, stage := range []struct {
			name string
			make func() kv.Iterator
		}{
			{"merge", func() kv.Iterator { return New(false, sources()...) }},
			{"resolve", func() kv.Iterator { return Resolve(New(false, sources()...), ResolveOptions{Max: kv.MaxSeq}) }},
			{"retain", func() kv.Iterator { return Retain(New(false, sources()...), RetainOptions{MinSeq: kv.MaxSeq}) }},
		} {
			b.Run(fmt.Sprintf("stage=%s/sources=%d", stage.name, k), func(b *testing.B) {
				it := stage.make()
				b.ReportAllocs()
				for b.Loop() {
					if !it.Next() {
						it = stage.make()
					}
				}
			})
		}
	}
}
