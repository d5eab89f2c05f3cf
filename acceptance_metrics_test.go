package slatedb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/memfs"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/delay"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// accFigures are all figures by name and labels; the ids of workers are left out.
func accFigures(m Metrics) map[string]float64 {
	out := map[string]float64{}
	for x := range m.All() {
		labels := slices.Clone(x.Labels)
		for i := 0; i+1 < len(labels); i += 2 {
			if labels[i] == "worker_id" {
				labels[i+1] = "*"
			}
		}
		out[strings.Join(append([]string{x.Name}, labels...), " ")] += x.Value
	}
	return out
}

// accTold keeps what a recorder is told of gauges, for those that change and are back again
// within a step, or were set before the first look.
type accTold struct {
	mu   sync.Mutex
	seen map[string]bool // names that were told a value other than 0
}

func (a *accTold) Count(string, uint64, ...string) {}

func (a *accTold) Gauge(name string, v float64, _ ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[name] = a.seen[name] || v != 0
}

// TestEveryMetricMoves is line 30: a figure that nothing ever changes is worth nothing. Each step
// names the figures that it moves.
func TestEveryMetricMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := faulty.New(objstore.NewMemory(), nil)
		told := &accTold{seen: map[string]bool{}}
		base := func() *Options {
			o := mergeOptions()
			o.Store, o.MinFilterKeys, o.DisableGC, o.MetricsRecorder = s, -1, false, told
			o.GC = &GCOptions{Interval: time.Hour, MinAge: time.Minute}
			o.FilterPolicies = []FilterPolicy{BloomFilter(3, BloomOptions{Extractor: PrefixLength(2)})}
			return o
		}
		db, err := Open(ctx, "db", base())
		require.NoError(t, err)
		moved := map[string]bool{} // every figure that was seen, and whether it moved
		var before map[string]float64
		step := func(name string, do func(), figures ...string) {
			t.Helper()
			before = accFigures(db.Metrics())
			do()
			after := accFigures(db.Metrics())
			for k, v := range after {
				moved[k] = moved[k] || v != before[k]
			}
			for _, f := range figures {
				f = "slatedb." + f
				_, known := after[f]
				require.True(t, known, "%s: there is no %s in %v", name, f, slices.Sorted(maps.Keys(after)))
				require.NotEqual(t, before[f], after[f], "%s moves %s", name, f)
			}
		}
		put := func(k string) { require.NoError(t, db.Put(ctx, []byte(k), []byte("v"))) }
		get := func(k string) { _, _ = db.Get(ctx, []byte(k)) }

		step("put", func() { put("aa1") }, "db.write_ops", "db.write_batch_count", "db.memtable_write_bytes",
			"db.total_mem_size_bytes", "wal.wal_buffer_flushes", "wal.wal_flush_bytes")
		step("put without waiting", func() {
			_, err := db.PutWithOptions(ctx, []byte("aa2"), nil, noWait)
			require.NoError(t, err)
		}, "wal.wal_buffer_estimated_bytes")
		step("WAL flush", func() { require.NoError(t, db.Flush(ctx)) }, "wal.wal_buffer_flush_requests", "db.request_count op flush")
		step("merges", func() {
			for range 2 {
				require.NoError(t, db.Merge(ctx, []byte("mm"), []byte("x")))
			}
		})
		step("get", func() { get("mm") }, "db.request_count op get", "merge_operator_operands path read")
		step("scan", func() { scanRows(t, db, All, nil) }, "db.request_count op scan")
		step("memtable flush", func() { flushMem(t, db) }, "db.immutable_memtable_flushes", "db.l0_flush_bytes", "db.l0_sst_count",
			"db.segment_max_l0_sst_count", "db.sst_view_count", "db.sst_count", "memtable_flush.memtable_freeze_count", "memtable_flush.flush_request_count",
			"memtable_flush.l0_upload_count", "memtable_flush.l0_flush_count", "merge_operator_operands path flush", "db.total_mem_size_bytes")
		step("filters, point", func() {
			get("aa1")
			for i := range 400 { // some are false positives
				get(fmt.Sprintf("aa%d", 10+i))
			}
		}, "db_cache.access_count entry_kind filter result hit", "db_cache.access_count entry_kind index result hit",
			"db_cache.access_count entry_kind data_block result hit", "db.sst_filter_positive_count kind point", "db.sst_filter_negative_count kind point", "db.sst_filter_false_positive_count kind point")
		step("filters, prefix", func() {
			scanRows(t, db, Prefix([]byte("aa")), nil)
			for i := range 400 {
				scanRows(t, db, Prefix(fmt.Appendf(nil, "%c%c", 'b'+i/20, 'a'+i%20)), nil)
			}
		}, "db.sst_filter_positive_count kind prefix", "db.sst_filter_negative_count kind prefix", "db.sst_filter_false_positive_count kind prefix")
		step("checkpoint", func() {
			_, err := db.CreateCheckpoint(ctx, CheckpointAll, nil)
			require.NoError(t, err)
		}, "memtable_flush.checkpoint_request_count")
		step("manifest", func() { require.NoError(t, db.RefreshManifest(ctx)) }, "memtable_flush.manifest_refresh_count", "object_store.request_count component db store_type main op get api get cause manifest",
			"object_store.request_duration_seconds_count component db store_type main op get api get cause manifest",
			"object_store.request_duration_seconds_bucket component db store_type main op get api get cause manifest le +Inf")
		var snap *Snapshot
		var tx *Txn
		step("snapshot and transaction", func() {
			var err error
			snap, err = db.Snapshot()
			require.NoError(t, err)
			tx, err = db.Begin(SnapshotIsolation)
			require.NoError(t, err)
			put("aa1")
		}, "db.snapshot_count", "db.transaction_count", "db.transaction_tracked_keys")
		step("conflict", func() {
			require.NoError(t, tx.Put([]byte("aa1"), nil))
			require.ErrorIs(t, tx.Commit(ctx), ErrConflict)
			require.NoError(t, snap.Close())
		}, "db.transaction_conflict_count", "db.snapshot_count", "db.transaction_count")

		// Compaction, in this process.
		require.NoError(t, db.Close(ctx))
		o := base()
		o.DisableCompactor = false
		o.Store = delay.New(s, delay.Options{Put: 10 * time.Millisecond}) // so that a job takes time
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		step("misses of the cache", func() { get("aa1") }, "db_cache.access_count entry_kind data_block result miss")
		step("compaction", func() {
			for _, p := range []*PutOptions{{TTL: time.Second}, nil} {
				_, err := db.PutWithOptions(ctx, []byte("tt"), nil, p)
				require.NoError(t, err)
				_, err = db.MergeWithOptions(ctx, []byte("mm"), []byte("y"), p)
				require.NoError(t, err)
				require.NoError(t, db.Merge(ctx, []byte("m2"), []byte("x")))
				if p != nil {
					_, err = db.PutWithOptions(ctx, []byte("tt1"), nil, p)
					require.NoError(t, err)
				}
				flushMem(t, db)
				time.Sleep(2 * time.Second)
			}
			require.NoError(t, db.Compact(ctx))
			time.Sleep(time.Minute)
		}, "db.sorted_run_count", "merge_operator_operands path compact", "compactor.last_compaction_timestamp_sec", "compactor.jobs_claimed",
			"compactor.bytes_compacted worker_id *", "compactor.ssts_written worker_id *", "compactor.worker_last_heartbeat_ms worker_id *",
			"compactor.expired_entries_purged entry_type value", "compactor.expired_entries_purged entry_type merge",
			"object_store.request_count component compactor store_type main op put api put cause compactor")
		for _, f := range []string{"epoch", "running_compactions", "total_bytes_being_compacted", "total_throughput_bytes_per_sec"} {
			name := "slatedb.compactor." + f
			told.mu.Lock()
			require.True(t, told.seen[name], name)
			told.mu.Unlock()
			require.Contains(t, strings.Join(slices.Sorted(maps.Keys(accFigures(db.Metrics()))), "\n"), name)
			moved[name] = true
		}
		step("garbage collection", func() { time.Sleep(3 * time.Hour) }, "gc.count")
		step("garbage collection, with more to keep", func() {
			for range 3 {
				put("gc")
				flushMem(t, db)
			}
			require.NoError(t, db.Compact(ctx))
			time.Sleep(10 * time.Minute)
			_, err := db.CreateCheckpoint(ctx, CheckpointAll, &CheckpointOptions{Lifetime: 24 * time.Hour})
			require.NoError(t, err)
			put("gc")
			flushMem(t, db)
			require.NoError(t, db.Compact(ctx))
			time.Sleep(3 * time.Hour)
		}, "gc.version_count resource manifest")
		for _, f := range []string{"manifest", "wal", "compactions"} { // the first pass, at a random moment, may have been before
			require.NotZero(t, accFigures(db.Metrics())["slatedb.gc.deleted_count resource "+f], f)
		}
		require.NoError(t, db.Close(ctx))

		// What only goes wrong.
		o = base()
		o.L0MaxSSTs = 1
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		stall := func(stage func()) func() {
			return func() {
				stage()
				short, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				require.ErrorIs(t, db.FlushWithOptions(short, memtableFlush), context.DeadlineExceeded)
			}
		}
		step("full L0", stall(func() { put("aa1"); flushMem(t, db); put("aa1") }), "db.l0_stall_count type num_ssts")
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL}))
		o = base()
		o.L0MaxSSTsPerKey = 1
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		step("one key in every table of L0", stall(func() { put("aa1") }), "db.l0_stall_count type num_ssts_per_key")
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL}))
		o = base()
		o.L0MaxSSTs, o.L0SSTSizeBytes, o.MaxUnflushedBytes = 1, 1<<10, 4<<10
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		step("back-pressure", func() {
			short, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			for i := 0; ; i++ {
				if db.Put(short, fmt.Appendf(nil, "big%d", i), make([]byte, 1<<10)) != nil {
					break
				}
			}
		}, "db.backpressure_count")
		require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush}))

		// A worker that died.
		o = base()
		o.DisableCompactor, o.Compactor = false, &CompactorOptions{DisableWorker: true}
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		step("reclaimed job", func() {
			for range 2 {
				put("rc")
				flushMem(t, db)
			}
			short, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			require.ErrorIs(t, db.Compact(short), context.DeadlineExceeded, "nobody does the job")
			_, err := manifest.NewCompactionsStore(s, "db", db.conf.env).Update(ctx, func(c *manifest.Compactions) error {
				for i := range c.Jobs {
					if j := &c.Jobs[i]; j.Status == manifest.Scheduled {
						j.Status, j.Worker = manifest.Running, &manifest.Worker{ID: "dead", HeartbeatMillis: uint64(time.Now().UnixMilli())}
						return nil
					}
				}
				return errors.New("no job")
			})
			require.NoError(t, err)
			time.Sleep(5 * time.Minute)
		}, "compactor.jobs_reclaimed")
		require.NoError(t, db.Close(ctx))

		// A local disk.
		o = base()
		o.DisableGC, o.BlockCacheBytes, o.MetaCacheBytes = true, -1, -1
		o.DiskCache, o.diskFS = &DiskCacheOptions{Dir: "/disk", PartBytes: 4 << 10, MaxBytes: 64 << 10}, memfs.New()
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		step("disk cache", func() {
			for i := range 100 {
				_, err := db.PutWithOptions(ctx, fmt.Appendf(nil, "disk%03d", i), make([]byte, 4<<10), noWait)
				require.NoError(t, err)
			}
			flushMem(t, db)
			for range 2 {
				for i := range 100 {
					get(fmt.Sprintf("disk%03d", i))
				}
				synctest.Wait()
				get("disk099")
			}
		}, "object_store_cache.part_access_count", "object_store_cache.part_hit_count", "object_store_cache.cache_keys",
			"object_store_cache.cache_bytes", "object_store_cache.evicted_keys", "object_store_cache.evicted_bytes")
		require.NoError(t, db.Close(ctx))

		// A store that fails.
		o = base()
		db, err = Open(ctx, "db", o)
		require.NoError(t, err)
		step("failing requests", func() {
			s.Script(faulty.Rule{Method: "get", Kind: faulty.ErrorBefore, Nth: 1})
			require.NoError(t, db.RefreshManifest(ctx))
		}, "object_store.error_count component db store_type main op get api get cause manifest")
		step("damage", func() {
			s.Script(faulty.Rule{Method: "read", Kind: faulty.Alter, Change: func(b []byte) []byte { b[len(b)/2] ^= 1; return b }})
			_, err := db.Get(ctx, []byte("disk050"))
			require.ErrorIs(t, err, ErrCorrupt)
			s.Clear()
		}, "db_cache.error_count")
		require.NoError(t, db.Close(ctx))

		// A clone.
		a, err := NewAdmin("db", &AdminOptions{Store: s, Logger: quiet})
		require.NoError(t, err)
		defer a.Close()
		require.NoError(t, a.CreateClone(ctx, "copy", CloneSource{}))
		db, err = Open(ctx, "copy", base())
		require.NoError(t, err)
		require.Equal(t, 1.0, accFigures(db.Metrics())["slatedb.db.external_db_count"])
		require.NoError(t, db.Close(ctx))
		o = base()
		o.DisableCompactor = false
		db, err = Open(ctx, "copy", o)
		require.NoError(t, err)
		step("detaching a clone", func() {
			put("zz")
			require.NoError(t, db.CompactWithOptions(ctx, &CompactOptions{Rewrite: true}))
			time.Sleep(3 * time.Hour)
		}, "db.external_db_count")
		require.NoError(t, db.Close(ctx))

		// A name counts as moved when one of its label sets did.
		names := map[string]bool{}
		for f, ok := range moved {
			name, _, _ := strings.Cut(f, " ")
			name = strings.TrimSuffix(name, "_bucket") // a histogram
			names[name] = names[name] || ok
		}
		for _, name := range referenceMetrics {
			if !names[name] && unmovedMetrics[name] == "" {
				t.Errorf("nothing here moves %s", name)
			}
		}
	})
}

// referenceMetrics are the figures that the Rust engine has.
var referenceMetrics = []string{
	"slatedb.db.request_count",
	"slatedb.db.write_ops",
	"slatedb.db.write_batch_count",
	"slatedb.db.backpressure_count",
	"slatedb.db.l0_stall_count",
	"slatedb.db.immutable_memtable_flushes",
	"slatedb.db.l0_flush_bytes",
	"slatedb.db.memtable_write_bytes",
	"slatedb.db.sst_filter_positive_count",
	"slatedb.db.sst_filter_negative_count",
	"slatedb.db.sst_filter_false_positive_count",
	"slatedb.db.total_mem_size_bytes",
	"slatedb.db.l0_sst_count",
	"slatedb.db.segment_max_l0_sst_count",
	"slatedb.db.sorted_run_count",
	"slatedb.db.sst_view_count",
	"slatedb.db.sst_count",
	"slatedb.db.external_db_count",
	"slatedb.merge_operator_operands",
	"slatedb.wal.wal_buffer_flushes",
	"slatedb.wal.wal_buffer_flush_requests",
	"slatedb.wal.wal_buffer_estimated_bytes",
	"slatedb.wal.wal_flush_bytes",
	"slatedb.memtable_flush.memtable_freeze_count",
	"slatedb.memtable_flush.checkpoint_request_count",
	"slatedb.memtable_flush.flush_request_count",
	"slatedb.memtable_flush.l0_upload_count",
	"slatedb.memtable_flush.l0_flush_count",
	"slatedb.memtable_flush.manifest_refresh_count",
	"slatedb.db_cache.access_count",
	"slatedb.db_cache.error_count",
	"slatedb.object_store_cache.part_hit_count",
	"slatedb.object_store_cache.part_access_count",
	"slatedb.object_store_cache.cache_keys",
	"slatedb.object_store_cache.cache_bytes",
	"slatedb.object_store_cache.evicted_keys",
	"slatedb.object_store_cache.evicted_bytes",
	"slatedb.object_store.request_count",
	"slatedb.object_store.error_count",
	"slatedb.object_store.request_duration_seconds",
	"slatedb.compactor.epoch",
	"slatedb.compactor.last_compaction_timestamp_sec",
	"slatedb.compactor.total_bytes_being_compacted",
	"slatedb.compactor.total_throughput_bytes_per_sec",
	"slatedb.compactor.jobs_claimed",
	"slatedb.compactor.jobs_reclaimed",
	"slatedb.compactor.incremental_released_bytes",
	"slatedb.compactor.expired_entries_purged",
	"slatedb.compactor.bytes_compacted",
	"slatedb.compactor.ssts_written",
	"slatedb.compactor.running_compactions",
	"slatedb.compactor.worker_last_heartbeat_ms",
	"slatedb.gc.count",
	"slatedb.gc.deleted_count",
	"slatedb.gc.version_count",
}

// unmovedMetrics are those that nothing moves, and why.
var unmovedMetrics = map[string]string{
	"slatedb.compactor.incremental_released_bytes": "there is no incremental publication: a job's output is published as a whole",
}
