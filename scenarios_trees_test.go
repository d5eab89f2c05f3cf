package slatedb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// F12: whatever flushes and compactions make of L0 and the runs, a point read, which picks its
// tables by their place and range, finds what a scan of everything finds, and both what was
// written. Checked after each change of the tree, from the writer and from a reader.
func TestF12_PointReadsFindWhatAFullScanFinds(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			o := testOptions()
			o.DisableCompactor, o.DisableGC = false, false
			o.BlockSize, o.MinFilterKeys = 1<<10, int(seed)*8-1
			o.Compactor = &CompactorOptions{
				CheckpointLifetime: time.Minute, TrivialMove: seed%2 == 1, SizeTiered: SizeTieredOptions{MinSources: 2, MaxSources: 3 + int(seed)},
				Worker: &WorkerOptions{MaxSSTBytes: 2 << 10, MinSubcompactionBytes: -1},
			}
			o.GC = &GCOptions{MinAge: -1, Interval: time.Minute}
			db := openTest(t, o)
			reader, err := OpenReader(ctx, "db", &ReaderOptions{Store: o.Store, Logger: quiet, PollInterval: -1, BlockCacheBytes: -1, MetaCacheBytes: -1})
			require.NoError(t, err)
			defer reader.Close(ctx)
			r := rand.New(rand.NewPCG(seed, 12))
			const keys = 120
			key := func(i int) []byte { return fmt.Appendf(nil, "k%04d", i) }
			want := map[string]string{}
			shapes := map[[2]int]bool{} // of L0 and runs
			check := func() {
				t.Helper()
				require.NoError(t, reader.Refresh(ctx))
				for _, h := range []ReadOps{db, reader} {
					got := map[string]string{}
					for _, e := range scanAll(t, h, nil) {
						got[string(e.Key)] = string(e.Value)
					}
					require.Equal(t, want, got)
					require.Len(t, scanAll(t, h, &ScanOptions{Order: Descending}), len(want))
					all := make([][]byte, keys)
					for i := range all {
						all[i] = key(i)
						v, err := h.Get(ctx, all[i])
						if w, ok := want[string(all[i])]; ok {
							require.NoError(t, err, "%s", all[i])
							require.Equal(t, w, string(v), "%s", all[i])
						} else {
							require.ErrorIs(t, err, ErrNotFound, "%s", all[i])
						}
					}
					vs, err := h.MultiGet(ctx, all, nil)
					require.NoError(t, err)
					for i, v := range vs {
						w, ok := want[string(all[i])]
						require.Equal(t, ok, v != nil, "%s", all[i])
						require.Equal(t, w, string(v), "%s", all[i])
					}
				}
				tree := &db.state.Load().man.Root
				shapes[[2]int{len(tree.L0), len(tree.Runs)}] = true
			}
			for step := range 40 {
				from, n := r.IntN(keys), 1+r.IntN(20) // of some ranges much, of some little
				var b WriteBatch
				for i := from; i < min(from+n, keys); i++ {
					if k := key(i); r.IntN(4) == 0 {
						b.Delete(k)
						delete(want, string(k))
					} else {
						want[string(k)] = fmt.Sprintf("%d/%0*d", step, r.IntN(200), i)
						b.Put(k, []byte(want[string(k)]))
					}
				}
				require.NoError(t, db.Write(ctx, &b))
				require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
				check()
				for range r.IntN(3) {
					time.Sleep(time.Duration(r.IntN(40)) * time.Second) // whatever the compactor finds to do
					check()
				}
			}
			require.Greater(t, len(shapes), 3, "%v", shapes)
			require.NoError(t, db.Compact(ctx))
			check()
		})
	}
}

// H4: a seek goes forward only, at every layer a scan may stand on: memtables, L0, runs, a
// transaction's own writes. One that would go back is refused, changes nothing, and the walk
// goes on where it was.
func TestH4_ASeekNeverGoesBack(t *testing.T) {
	ctx := context.Background()
	const rows = 200
	key := func(i int) []byte { return fmt.Appendf(nil, "k%04d", i) }
	for _, layer := range []string{"memtable", "L0", "run", "mixed"} {
		for _, order := range []Order{Ascending, Descending} {
			t.Run(fmt.Sprint(layer, " ", order), func(t *testing.T) {
				o := testOptions()
				o.BlockSize, o.DisableCompactor = 1<<10, false
				db := openTest(t, o)
				for i := range rows {
					_, err := db.PutWithOptions(ctx, key(i*7%rows), key(i), noWaitPut)
					require.NoError(t, err)
					if layer == "mixed" && i%50 == 25 {
						require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
					}
				}
				switch layer {
				case "L0":
					require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
				case "run":
					require.NoError(t, db.Compact(ctx))
				}
				tx, err := db.Begin(SnapshotIsolation)
				require.NoError(t, err)
				defer tx.Rollback()
				require.NoError(t, tx.Put(key(90), []byte("own")))
				for _, h := range []ReadOps{db, tx} {
					at := func(i int) []byte { // the i-th of the walk
						if order == Descending {
							i = rows - 1 - i
						}
						return key(i)
					}
					it, err := h.ScanWithOptions(ctx, All, &ScanOptions{Order: order})
					require.NoError(t, err)
					require.True(t, it.Seek(at(20)))
					for i := 20; i < rows-30; i++ {
						require.Equal(t, string(at(i)), string(it.Key()))
						for _, back := range []int{i - 1, i - 13, 0} {
							require.False(t, it.Seek(at(back)), "to %s from %s", at(back), at(i))
							require.ErrorIs(t, it.Err(), ErrInvalid)
							require.Equal(t, string(at(i)), string(it.Key()), "it has moved")
						}
						require.True(t, it.Seek(at(i)), "to where it is")
						if i%3 == 0 {
							i++
							require.True(t, it.Seek(at(i)))
							require.Equal(t, string(at(i)), string(it.Key()))
						}
						require.True(t, it.Next())
						require.NoError(t, it.Err())
					}
					require.NoError(t, it.Close())
				}
			})
		}
	}
}

var noWaitPut = &PutOptions{NoWait: true}
