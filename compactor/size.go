package compactor

import (
	"math"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/sst"
)

// ViewBytes estimates how many bytes of its table a view shows: the table's size times the
// share of the key space that is visible, where keys count as fractions in base 256 behind what
// all have in common.
func ViewBytes(v *sst.View) uint64 {
	size := v.Table.Info.EstimatedSize()
	i := &v.Table.Info
	if v.Visible == nil || i.Last == nil {
		return size
	}
	n := 0
	for n < len(i.First) && n < len(i.Last) && i.First[n] == i.Last[n] {
		n++
	}
	at := func(key []byte, open float64) float64 {
		if key == nil {
			return open
		}
		if len(key) < n {
			return 0
		}
		f, unit := 0.0, 1.0/256
		for _, c := range key[n:min(len(key), n+8)] {
			f += float64(c) * unit
			unit /= 256
		}
		return f
	}
	eff := effective(v)
	whole := at(i.Last, 1) - at(i.First, 0)
	shown := at(eff.End, 1) - at(eff.Start, 0)
	if shown <= 0 || whole <= 0 {
		return size
	}
	share := min(1, max(1e-6, shown/whole))
	return max(1, uint64(math.Round(float64(size)*share)))
}

func runBytes(r *sst.SortedRun) (n uint64) {
	for i := range r.Views {
		n += ViewBytes(&r.Views[i])
	}
	return n
}

// specBytes estimates the input of a job.
func specBytes(t *manifest.Tree, s *manifest.Spec) (n uint64) {
	for _, id := range s.L0Views {
		if i := findL0(t, id); i >= 0 {
			n += ViewBytes(&t.L0[i])
		}
	}
	for _, id := range s.Runs {
		if r := findRun(t, id); r != nil {
			n += runBytes(r)
		}
	}
	return n
}
