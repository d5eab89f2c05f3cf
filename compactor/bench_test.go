package compactor

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/testkit"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// BenchmarkJob merges 4 tables of 250,000 rows of 16 + 100 bytes from and to memory. With
// one range there is one core at work.
func BenchmarkJob(b *testing.B) {
	const tables, rows = 4, 250_000
	for _, c := range []struct {
		name    string
		overlap bool
		parts   int
		codec   sst.Codec
		bloom   bool
	}{
		{"disjoint keys", false, 1, sst.NoCompression, true},
		{"disjoint keys, no filter", false, 1, sst.NoCompression, false},
		{"same keys", true, 1, sst.NoCompression, true},
		{"disjoint keys, 4 ranges", false, 4, sst.NoCompression, true},
		{"disjoint keys, lz4", false, 1, sst.LZ4, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := newWorld(b)
			var policies []sst.FilterPolicy
			if c.bloom {
				policies = append(policies, sst.Bloom(10, sst.BloomOptions{}))
			}
			spec := manifest.Spec{}
			for n := range tables {
				keys := make([]uint64, rows)
				for i := range keys {
					keys[i] = uint64(i * tables)
					if !c.overlap {
						keys[i] += uint64(n)
					}
				}
				entries := make([]kv.Entry, rows)
				for i, k := range keys {
					entries[i] = kv.Entry{Key: testkit.Key(k), Value: testkit.Value(k, 100), Seq: kv.Seq(n*rows + i + 1), CreateTS: 1_700_000_000_000, ExpireTS: kv.NoTS}
				}
				slices.SortFunc(entries, func(a, b kv.Entry) int { return kv.Compare(&a, &b) })
				sw := sst.NewWriter(sst.WriterOptions{Policies: policies, SizeHint: 33 << 20, Codec: c.codec})
				for i := range entries {
					require.NoError(b, sw.Add(&entries[i]))
				}
				body, info, err := sw.Finish()
				require.NoError(b, err)
				h := &sst.Handle{ID: sst.TableID(w.env.ULID(uint64(n + 1))), Format: sst.FormatV2, Info: info}
				_, err = w.store.Put(context.Background(), h.ID.Object("db"), body, objstore.Always)
				require.NoError(b, err)
				_, err = w.writer.Update(context.Background(), func(m *manifest.Manifest) error {
					m.AddL0(nil, sst.View{ID: h.ID.ULID(), Table: h})
					m.LastL0Seq, m.SnapshotMinSeq = tables*rows, tables*rows
					return nil
				})
				require.NoError(b, err)
				spec.L0Views = append([]ulid.ULID{h.ID.ULID()}, spec.L0Views...)
			}
			conf := w.config(w.store, 2)
			conf.BlockSize, conf.Policies, conf.Codec = 0, policies, c.codec
			worker := NewWorker(conf, WorkerOptions{MaxSubcompactions: c.parts, MaxSSTBytes: 64 << 20})
			b.SetBytes(tables * rows * 116)
			b.ReportAllocs()
			runtime.GC()
			for b.Loop() {
				task := worker.newTask(context.Background(), &manifest.Compaction{ID: w.env.ULID(1), Spec: spec, Status: manifest.Running})
				require.NoError(b, task.work())
				b.StopTimer()
				for _, r := range task.mu.ranges {
					for _, h := range r.Outputs {
						require.NoError(b, w.store.Delete(context.Background(), h.ID.Object("db")))
					}
				}
				b.StartTimer()
			}
		})
	}
}

// A row costs no allocation: what a job allocates is per block and per table.
func TestJobDoesNotAllocatePerRow(t *testing.T) {
	run := func(rows int) float64 {
		w := newWorld(t)
		for n := range 4 {
			var es []kv.Entry
			for i := range rows {
				e := put(fmt.Sprintf("%08d", i*4+n), "value")
				e.CreateTS = 1
				es = append(es, e)
			}
			w.flush(es...)
		}
		conf := w.config(w.store, 2)
		conf.BlockSize = 4096
		spec := AllSpecs(w.latest(), nil)[0]
		worker := NewWorker(conf, WorkerOptions{MaxSubcompactions: 1})
		return testing.AllocsPerRun(3, func() {
			task := worker.newTask(context.Background(), &manifest.Compaction{ID: w.env.ULID(uint64(time.Now().UnixMilli())), Spec: spec})
			require.NoError(t, task.work())
		})
	}
	few, many := run(2000), run(12000)
	require.Less(t, (many-few)/40000, 0.15, "allocations a row: %v for 8000 rows, %v for 48000", few, many)
}
