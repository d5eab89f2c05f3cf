package compactor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/compactor"
	"github.com/slatedb/slatedb-go/objstore"
)

// A database is written and flushed while a compactor of its own process runs beside it. The
// writer, a fresh reader and a plain map agree all the time.
func TestDatabaseBesideACompactor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := objstore.NewMemory()
		db, err := slatedb.Open(ctx, "db", &slatedb.Options{
			Store: s, Logger: quiet, MergeOperator: concatOp, DisableCompactor: true, DisableGC: true,
			BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20, L0MaxSSTs: 6,
		})
		require.NoError(t, err)
		stop := begin(t, compactor.New(config(s, "db", nil), compactor.Options{
			PollInterval: time.Second,
			Worker:       &compactor.WorkerOptions{MaxSSTBytes: 2000, MinSubcompactionBytes: -1},
		}))
		r := rand.New(rand.NewPCG(3, 4))
		want := map[string]string{}
		model := func() (out []string) {
			for k, v := range want {
				out = append(out, k+"="+v)
			}
			slices.Sort(out)
			return out
		}
		show := func(es []slatedb.Entry) (out []string) {
			for _, e := range es {
				out = append(out, string(e.Key)+"="+string(e.Value))
			}
			return out
		}
		for range 50 {
			var b slatedb.WriteBatch
			for range 30 {
				k := fmt.Sprintf("key%03d", r.IntN(100))
				switch v := fmt.Sprint(r.IntN(1000)); r.IntN(4) {
				case 0:
					b.Delete([]byte(k))
					delete(want, k)
				case 1:
					b.Merge([]byte(k), []byte(v))
					want[k] += v
				default:
					b.Put([]byte(k), []byte(v))
					want[k] = v
				}
			}
			require.NoError(t, db.Write(ctx, &b))
			// L0 holds 6 tables: without the compactor this would wait for ever.
			require.NoError(t, db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
			time.Sleep(700 * time.Millisecond)
			require.NoError(t, db.RefreshManifest(ctx))
			var mine []slatedb.Entry
			for e, err := range db.Entries(ctx, slatedb.All, nil) {
				require.NoError(t, err)
				mine = append(mine, e.Clone())
			}
			require.Equal(t, model(), show(mine))
		}
		require.Equal(t, model(), show(rows(t, s, "db", nil)))
		require.NoError(t, db.Close(ctx))
		time.Sleep(time.Minute)
		require.Equal(t, model(), show(rows(t, s, "db", nil)))
		stop()
	})
}
