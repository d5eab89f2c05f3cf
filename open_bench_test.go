package slatedb

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// manyTables is a database of n tables with ten rows each: the first l0 of them in L0, the rest
// in one sorted run.
func manyTables(t testing.TB, n, l0 int) (objstore.Store, []byte) {
	t.Helper()
	ctx := context.Background()
	s := objstore.NewMemory()
	db, err := Open(ctx, "db", &Options{Store: s, Logger: quiet, DisableCompactor: true, DisableGC: true})
	require.NoError(t, err)
	require.NoError(t, db.Close(ctx))
	env := seam.New(seam.Env{})
	views := make([]sst.View, n)
	var seq kv.Seq
	for i := range views {
		w := sst.NewWriter(sst.WriterOptions{BlockSize: 4 << 10, Policies: []sst.FilterPolicy{BloomFilter(10, BloomOptions{})}, MinFilterKeys: 1})
		for j := range 10 {
			seq++
			require.NoError(t, w.Add(&kv.Entry{Key: tableKey(i, j), Value: []byte("value"), Seq: seq, CreateTS: 1, ExpireTS: kv.NoTS}))
		}
		body, info, err := w.Finish()
		require.NoError(t, err)
		h := &sst.Handle{ID: sst.TableID(env.ULID(1_000_000 + uint64(i))), Format: sst.FormatV2, Info: info}
		_, err = s.Put(ctx, h.ID.Object("db"), body, objstore.Always)
		require.NoError(t, err)
		views[i] = sst.View{ID: h.ID.ULID(), Table: h}
	}
	_, err = manifest.NewStore(s, "db", env).Update(ctx, func(m *manifest.Manifest) error {
		for i := range views[:l0] {
			m.Root.L0 = append(m.Root.L0, views[n-1-i])
		}
		m.Root.Runs = []sst.SortedRun{{ID: 0, Views: views[:n-l0]}}
		m.Root.LastCompactedL0 = views[n-l0-1].ID
		m.LastL0Seq, m.LastL0Tick = seq, 1
		return nil
	})
	require.NoError(t, err)
	return s, tableKey(n/2, 5)
}

func tableKey(table, row int) []byte { return fmt.Appendf(nil, "key/%07d/%02d", table, row) }

// BenchmarkOpenManyTables opens a database and reads one key. It also reports the requests of
// both, and the size of the manifest, which opening reads once and writes once.
func BenchmarkOpenManyTables(b *testing.B) {
	for _, c := range []struct{ n, l0 int }{{100, 10}, {1_000, 10}, {10_000, 10}, {10_000, 1_000}} {
		b.Run(fmt.Sprintf("tables=%d/l0=%d", c.n, c.l0), func(b *testing.B) {
			ctx := context.Background()
			inner, key := manyTables(b, c.n, c.l0)
			s := faulty.New(inner, nil)
			var open, get time.Duration
			var openReqs, getReqs int
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				begin, sent := time.Now(), s.Requests()
				db, err := Open(ctx, "db", &Options{
					Store: s, Logger: quiet, DisableCompactor: true, DisableGC: true, BlockCacheBytes: 8 << 20, MetaCacheBytes: 8 << 20,
				})
				require.NoError(b, err)
				open += time.Since(begin)
				openReqs += s.Requests() - sent
				begin, sent = time.Now(), s.Requests()
				_, err = db.Get(ctx, key)
				require.NoError(b, err)
				get += time.Since(begin)
				getReqs += s.Requests() - sent
				b.StopTimer()
				require.NoError(b, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))
				b.StartTimer()
			}
			b.StopTimer()
			b.ReportMetric(float64(open.Microseconds())/float64(b.N), "open-us")
			b.ReportMetric(float64(get.Microseconds())/float64(b.N), "get-us")
			m, err := manifest.NewStore(inner, "db", seam.New(seam.Env{})).Latest(ctx)
			require.NoError(b, err)
			body, err := m.Encode()
			require.NoError(b, err)
			b.ReportMetric(float64(len(body)), "manifest-bytes")
			b.ReportMetric(float64(openReqs)/float64(b.N), "open-requests")
			b.ReportMetric(float64(getReqs)/float64(b.N), "get-requests")
		})
	}
}
