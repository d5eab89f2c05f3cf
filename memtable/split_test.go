package memtable

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// TestReadersBetweenTheTwoStoresOfASplit: the parent knows the new right node already, and
// still names the old one, which holds the right one's rows too. Whoever reads then sees each
// row once and in order.
func TestReadersBetweenTheTwoStoresOfASplit(t *testing.T) {
	for _, shape := range benchKeys {
		for _, distinct := range []uint64{40, 1 << 40} {
			t.Run(shape.name, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(1, distinct))
				tab := New()
				var rows []kv.Entry // sorted
				var now kv.Seq      // all up to here are in
				gaps := 0
				tab.between = func() {
					gaps++
					checkReads(t, tab, rnd, rows, now)
				}
				for s := kv.Seq(1); s <= 2500; s++ {
					e := kv.Entry{Key: shape.key(nil, mixed(uint64(s))%distinct), Seq: s, Value: []byte("v"), CreateTS: 1, ExpireTS: kv.NoTS}
					tab.Add(&e)
					at, _ := slices.BinarySearchFunc(rows, e, func(a, b kv.Entry) int { return kv.Compare(&a, &b) })
					rows = slices.Insert(rows, at, e)
					now = s
				}
				require.Greater(t, gaps, 100)
				require.NoError(t, tab.checkInvariants())
			})
		}
	}
}

// checkReads compares walks in both directions and seeks with the sorted rows.
func checkReads(t *testing.T, tab *Table, rnd *rand.Rand, rows []kv.Entry, max kv.Seq) {
	same := func(it *Iter, want func(i int) *kv.Entry, n int, what string) {
		for i := range n {
			if !it.Next() {
				t.Fatalf("%s ends after %d rows", what, i)
			}
			if w := want(i); it.e.Seq != w.Seq || !bytes.Equal(it.e.Key, w.Key) {
				t.Fatalf("%s: row %d is %q@%d, want %q@%d", what, i, it.e.Key, it.e.Seq, w.Key, w.Seq)
			}
		}
		if n == len(rows) && it.Next() {
			t.Fatalf("%s goes on with %q@%d", what, it.e.Key, it.e.Seq)
		}
	}
	same(tab.Iter(kv.Range{}, max, false), func(i int) *kv.Entry { return &rows[i] }, len(rows), "ascending")
	desc := slices.Clone(rows)
	slices.SortStableFunc(desc, func(a, b kv.Entry) int { return bytes.Compare(b.Key, a.Key) })
	same(tab.Iter(kv.Range{}, max, true), func(i int) *kv.Entry { return &desc[i] }, len(rows), "descending")
	for range 20 {
		i := rnd.IntN(len(rows))
		for i > 0 && bytes.Equal(rows[i-1].Key, rows[i].Key) {
			i--
		}
		it := tab.Iter(kv.Range{Start: rows[i].Key}, max, false)
		same(it, func(j int) *kv.Entry { return &rows[i+j] }, min(40, len(rows)-i), "from a key")
		j := rnd.IntN(len(desc))
		for j > 0 && bytes.Equal(desc[j-1].Key, desc[j].Key) {
			j--
		}
		it = tab.Iter(kv.Range{End: desc[j].Key, EndInclusive: true}, max, true)
		same(it, func(i int) *kv.Entry { return &desc[j+i] }, min(40, len(desc)-j), "down from a key")
		var e kv.Entry
		if !tab.Get(rows[i].Key, max, &e) || e.Seq != rows[i].Seq {
			t.Fatalf("get %q: seq %d, want %d", rows[i].Key, e.Seq, rows[i].Seq)
		}
	}
	count := 0
	tab.Sample(kv.Range{}, func(_ []byte, n int) bool { count += n; return true })
	if count != len(rows) && count != len(rows)+1 { // the row that is being added may be there
		t.Fatalf("%d rows sampled, want %d", count, len(rows))
	}
}
