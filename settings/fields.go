package settings

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slatedb/slatedb-go"
)

// A fieldTable is all there is to set in one kind of options.
type fieldTable struct {
	rows   []field
	byName map[string]*field
	below  map[string][]string // names of the fields of a section, by its name; "" is the top
}

func newTable(groups ...[]field) *fieldTable {
	t := &fieldTable{rows: slices.Concat(groups...), byName: make(map[string]*field), below: make(map[string][]string)}
	for i := range t.rows {
		f := &t.rows[i]
		t.byName[f.Name] = f
		t.below[f.parent()] = append(t.below[f.parent()], f.Name)
	}
	return t
}

// The tables are made on first use and never change.
var (
	dbTable = sync.OnceValue(func() *fieldTable {
		return newTable(dbFields(), compactorFields(), workerFields(), cacheFields(), gcFields())
	})
	readerTable = sync.OnceValue(func() *fieldTable {
		return newTable(readerFields(), cacheFields())
	})
)

func (t *fieldTable) list() []Field {
	out := make([]Field, len(t.rows))
	for i := range t.rows {
		out[i] = t.rows[i].Field
		out[i].Values = slices.Clone(out[i].Values)
	}
	return out
}

// Fields lists what there is to set in slatedb.Options, sections before their fields.
func Fields() []Field { return dbTable().list() }

// ReaderFields lists what there is to set in slatedb.ReaderOptions.
func ReaderFields() []Field { return readerTable().list() }

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// The phrases of settings that the engine has no use for.
const (
	metricLevelEffect = "Accepted, no effect: every metric is at level Info, as in the Rust engine."
	timeoutOfHandle   = "Gives up an update of the manifest. Embedded, the writer's manifest_update_timeout counts."
)

func dbFields() []field {
	return []field{
		duration("flush_interval", "FlushInterval", 100*time.Millisecond, func(t *target) *time.Duration { return &t.db.FlushInterval },
			"Longest time a row that nobody waits for stays out of the WAL; null: no timer.", null(time.Duration(-1))),
		toggle("wal_enabled", "DisableWAL", true, func(t *target) *bool { return &t.db.DisableWAL },
			"Writes a WAL; false: a write is durable when its memtable is in L0."),
		duration("manifest_poll_interval", "ManifestPollInterval", time.Second, func(t *target) *time.Duration { return &t.db.ManifestPollInterval },
			"How often the writer looks for changes of other processes; null: never.", null(time.Duration(-1)),
			adaptive("backs off to 20s while nothing happens")),
		duration("manifest_update_timeout", "ManifestUpdateTimeout", 300*time.Second, func(t *target) *time.Duration { return &t.db.ManifestUpdateTimeout },
			"Gives up an update of the manifest, conflicts included."),
		minFilterKeys(),
		numeric(Bytes, "l0_sst_size_bytes", "L0SSTSizeBytes", 64*mib, func(t *target) *int { return &t.db.L0SSTSizeBytes },
			"Size at which a memtable is flushed, and the most one WAL object takes."),
		numeric(Integer, "max_wal_flushes_before_l0_flush", "MaxWALFlushesBeforeL0Flush", 4096, func(t *target) *int { return &t.db.MaxWALFlushesBeforeL0Flush },
			"Freezes the memtable after so many WAL objects, which bounds replay.", atLeast(4096)),
		numeric(Integer, "l0_max_ssts", "L0MaxSSTs", 8, func(t *target) *int { return &t.db.L0MaxSSTs },
			"Most tables in L0 of one tree; then flushes wait for the compactor."),
		numeric(Integer, "l0_max_ssts_per_key", "L0MaxSSTsPerKey", 8, func(t *target) *int { return &t.db.L0MaxSSTsPerKey },
			"Most L0 tables that may cover one key."),
		numeric(Integer, "l0_flush_parallelism", "L0FlushParallelism", 4, func(t *target) *int { return &t.db.L0FlushParallelism },
			"Memtables that are uploaded at once."),
		numeric(Bytes, "max_unflushed_bytes", "MaxUnflushedBytes", gib, func(t *target) *int { return &t.db.MaxUnflushedBytes },
			"Most that waits in memory for an upload; from half of it on writes are delayed. More than l0_sst_size_bytes."),
		compression(),
		accepted(Enum, "metric_level", "Info", metricLevelEffect, only("Info", "Debug")),
		defaultTTL(),
		retries("object_store_max_retries", "MaxRetries", func(t *target) *int { return &t.db.MaxRetries },
			"Retries of one store request; null: no bound, 0: none."),
	}
}

func minFilterKeys() field {
	return numeric(Integer, "min_filter_keys", "MinFilterKeys", 1000, func(t *target) *int { return &t.db.MinFilterKeys },
		"Fewest rows of a table that gets filters; 0: every table.", zero(-1), atMost(math.MaxUint32))
}

func compression() field {
	return codec("compression_codec", "Compression", func(t *target) *slatedb.Codec { return &t.db.Compression },
		"Compression of new tables and WAL objects; null: none.")
}

// defaultTTL is 0 in the option for none, and counts milliseconds in files.
func defaultTTL() field {
	f := field{
		Field: Field{
			Name: "default_ttl_millis", Kind: Integer, Nullable: true, Option: "DefaultTTL",
			Effect: "Time to live of puts that name none; null: they do not expire.",
		},
		min: 1, max: math.MaxInt64 / int64(time.Millisecond),
		get: func(t *target) any {
			if d := t.db.DefaultTTL; d > 0 {
				return max(d.Milliseconds(), 1)
			}
			return nil
		},
		set: func(t *target, v any) {
			n, _ := v.(int64)
			t.db.DefaultTTL = time.Duration(n) * time.Millisecond
		},
	}
	return f.finish(nil)
}

func compactorFields() []field {
	const in = "compactor_options."
	return []field{
		section("compactor_options", "DisableCompactor", func(t *target) *bool { return &t.db.DisableCompactor },
			"The compactor in this process; null: none."),
		duration(in+"poll_interval", "Compactor.PollInterval", 5*time.Second, func(t *target) *time.Duration { return &t.compactor.PollInterval },
			"How often the job list and the manifest are looked at.", adaptive("embedded, backs off to 1m while nothing happens")),
		duration(in+"manifest_update_timeout", "Compactor.ManifestUpdateTimeout", 300*time.Second,
			func(t *target) *time.Duration { return &t.compactor.ManifestUpdateTimeout }, timeoutOfHandle),
		numeric(Integer, in+"max_concurrent_compactions", "Compactor.MaxConcurrent", 4, func(t *target) *int { return &t.compactor.MaxConcurrent },
			"Most jobs that are free to claim or running."),
		toggle(in+"enable_trivial_move", "Compactor.TrivialMove", false, func(t *target) *bool { return &t.compactor.TrivialMove },
			"Lets inputs that do not overlap become the output as they are."),
		section(in+"scheduler_options", "Compactor.SizeTiered", nil, "What shapes the size-tiered scheduler; numbers as text."),
		numeric(Integer, in+"scheduler_options.min_compaction_sources", "Compactor.SizeTiered.MinSources", 4,
			func(t *target) *int { return &t.compactor.SizeTiered.MinSources }, "Fewest sources of a job.", asText()),
		numeric(Integer, in+"scheduler_options.max_compaction_sources", "Compactor.SizeTiered.MaxSources", 8,
			func(t *target) *int { return &t.compactor.SizeTiered.MaxSources }, "Most sources of a job.", asText()),
		numeric(Float, in+"scheduler_options.include_size_threshold", "Compactor.SizeTiered.IncludeSizeThreshold", float32(4),
			func(t *target) *float32 { return &t.compactor.SizeTiered.IncludeSizeThreshold },
			"How many times larger than the smallest a run may be to be merged with it.", asText()),
		numeric(Integer, in+"scheduler_options.sorted_run_consolidation_threshold", "Compactor.SizeTiered.ConsolidationThreshold", 0,
			func(t *target) *int { return &t.compactor.SizeTiered.ConsolidationThreshold },
			"Number of runs above which neighbours are merged whatever their sizes; 0 and 1: never.", asText(), atLeast(0)),
		accepted(Enum, in+"metric_level", nil, metricLevelEffect, only("Info", "Debug")),
		duration(in+"commit_compacted_interval", "Compactor.CommitInterval", time.Second, func(t *target) *time.Duration { return &t.compactor.CommitInterval },
			"How often the job list is looked at while another process has a job."),
		accepted(Bool, in+"enable_experimental_incremental_compaction", false,
			"Accepted, no effect: a job's output is published when all of it is there."),
		duration(in+"checkpoint_lifetime", "Compactor.CheckpointLifetime", 900*time.Second, func(t *target) *time.Duration { return &t.compactor.CheckpointLifetime },
			"How long tables that a commit dropped stay protected for readers."),
		duration(in+"worker_heartbeat_timeout", "Compactor.WorkerHeartbeatTimeout", 30*time.Second,
			func(t *target) *time.Duration { return &t.compactor.WorkerHeartbeatTimeout },
			"A worker without a sign of life for so long loses its job."),
		retries(in+"object_store_max_retries", "Compactor.MaxRetries", func(t *target) *int { return &t.compactor.MaxRetries },
			"Retries of one store request of the compactor; null: as the handle, 0: none."),
	}
}

func workerFields() []field {
	const in = "compactor_options.worker."
	return []field{
		section("compactor_options.worker", "Compactor.DisableWorker", func(t *target) *bool { return &t.compactor.DisableWorker },
			"The worker in this process; null: workers of other processes merge."),
		numeric(Integer, in+"max_concurrent_compactions", "Compactor.Worker.MaxConcurrent", 4, func(t *target) *int { return &t.worker.MaxConcurrent },
			"Jobs of the worker at once."),
		duration(in+"compactions_poll_interval", "Compactor.Worker.PollInterval", 5*time.Second, func(t *target) *time.Duration { return &t.worker.PollInterval },
			"How often a worker of its own process looks for jobs."),
		duration(in+"heartbeat_interval", "Compactor.Worker.HeartbeatInterval", 10*time.Second, func(t *target) *time.Duration { return &t.worker.HeartbeatInterval },
			"How often a worker shows that it lives, and saves how far it is."),
		numeric(Bytes, in+"max_sst_size", "Compactor.Worker.MaxSSTBytes", int64(128*mib), func(t *target) *int64 { return &t.worker.MaxSSTBytes },
			"Size at which the next output table is begun.", rustDefault("268435456"), adaptive("shared by the ranges of a job that is split")),
		numeric(Integer, in+"max_fetch_tasks", "Compactor.Worker.FetchTasks", 4, func(t *target) *int { return &t.worker.FetchTasks },
			"Requests under way for each input."),
		numeric(Bytes, in+"bytes_to_fetch", "Compactor.Worker.BytesToFetch", 2*mib, func(t *target) *int { return &t.worker.BytesToFetch },
			"Bytes of one such request."),
		numeric(Integer, in+"max_subcompactions", "Compactor.Worker.MaxSubcompactions", 4, func(t *target) *int { return &t.worker.MaxSubcompactions },
			"Key ranges, merged side by side, that a job is split into; 0 and 1: no split.", zero(1)),
		accepted(Integer, in+"min_filter_keys", int64(1000),
			"Accepted, no effect: the writer's min_filter_keys is used.", atLeast(0), atMost(math.MaxUint32), asWriters(minFilterKeys())),
		accepted(Enum, in+"compression_codec", nil,
			"Accepted, no effect: the writer's compression_codec is used.", only(codecNames[1:]...), asWriters(compression())),
		accepted(Enum, in+"metric_level", nil, metricLevelEffect, only("Info", "Debug")),
		retries(in+"object_store_max_retries", "Compactor.Worker.MaxRetries", func(t *target) *int { return &t.worker.MaxRetries },
			"Retries of one store request of a worker of its own process; null: as the handle, 0: none."),
	}
}

// asWriters shows what the writer has when nobody says anything.
func asWriters(of field) mod {
	return func(f *field) {
		f.writers, f.Adaptive = of.Name, "that of the writer"
		f.isAuto = func(t *target) bool {
			_, said := t.unused[f.Name]
			return !said
		}
		get := f.get
		f.get = func(t *target) any {
			if _, said := t.unused[f.Name]; said {
				return get(t)
			}
			return of.get(t)
		}
	}
}

func gcFields() []field {
	const in = "garbage_collector_options."
	fields := []field{
		section("garbage_collector_options", "DisableGC", func(t *target) *bool { return &t.db.DisableGC },
			"The garbage collector in this process; null: none."),
	}
	for _, k := range []struct {
		kind               int
		name, option, what string
	}{
		{kindManifest, "manifest_options", "GC.Manifest", "old manifests"},
		{kindWAL, "wal_options", "GC.WAL", "WAL objects whose rows are in tables"},
		{kindWALFence, "wal_fence_options", "GC.WALFence", "the empty WAL objects that keep out older writers"},
		{kindCompacted, "compacted_options", "GC.Compacted", "tables that nobody needs"},
		{kindCompactions, "compactions_options", "GC.Compactions", "old job lists"},
		{kindDetach, "detach_options", "GC.Detach", "what ties a clone to parents that it no longer needs"},
	} {
		name := in + k.name
		fields = append(fields, gcKind(k.kind, name, k.option, k.what), gcInterval(k.kind, name, k.option))
		if k.kind == kindDetach {
			continue
		}
		fields = append(fields, gcMinAge(k.kind, name, k.option))
		if k.kind == kindWALFence {
			fields = append(fields, fenceDryRun(name))
		} else {
			fields = append(fields, gcDryRun(k.kind, name, k.option))
		}
	}
	return append(fields,
		accepted(Enum, in+"metric_level", nil, metricLevelEffect, only("Info", "Debug")),
		toggle(in+"boundary_files_enabled", "GC.DisableBoundaryFiles", true, func(t *target) *bool { return &t.gc.DisableBoundaryFiles },
			"Raises the boundary files before manifests and job lists are deleted; false for stores that cannot overwrite conditionally."),
		retries(in+"object_store_max_retries", "GC.MaxRetries", func(t *target) *int { return &t.gc.MaxRetries },
			"Retries of one store request of the collector; null: as the handle, 0: none."),
	)
}

// gcKind is the section of one kind of garbage. One whose Interval is negative is never
// collected in the background, and so is off.
func gcKind(i int, name, option, what string) field {
	f := section(name, option+".Disable", func(t *target) *bool { return &t.kinds[i].Disable }, "Collects "+what+"; null: not.")
	off := func(t *target) bool {
		every := t.kinds[i].Interval
		if every == 0 {
			every = t.gc.Interval
		}
		return t.kinds[i].Disable || every < 0
	}
	set := f.set
	f.get = func(t *target) any {
		if off(t) {
			return nil
		}
		return true
	}
	f.set = func(t *target, v any) {
		set(t, v)
		if v != nil && off(t) {
			t.kinds[i].Interval = gcDefaultInterval
		}
	}
	return f
}

const (
	gcDefaultInterval = 10 * time.Minute
	gcDefaultMinAge   = 5 * time.Minute
)

// gcInterval: null is the default, not never.
func gcInterval(i int, name, option string) field {
	f := duration(name+".interval", option+".Interval", gcDefaultInterval, func(t *target) *time.Duration { return &t.kinds[i].Interval },
		"Time from one pass to the next; null: the default.")
	f.Nullable = true
	get, set := f.get, f.set
	f.get = func(t *target) any {
		if t.kinds[i].Interval == 0 && t.gc.Interval > 0 {
			return t.gc.Interval
		}
		return get(t)
	}
	f.set = func(t *target, v any) {
		switch {
		case v != nil:
			set(t, v)
		case t.gc.Interval == 0:
			t.kinds[i].Interval = 0
		default:
			t.kinds[i].Interval = gcDefaultInterval
		}
	}
	return f
}

func gcMinAge(i int, name, option string) field {
	f := duration(name+".min_age", option+".MinAge", gcDefaultMinAge, func(t *target) *time.Duration { return &t.kinds[i].MinAge },
		"Age below which nothing is deleted; 0s: any age.", zero(time.Duration(-1)))
	get := f.get
	f.get = func(t *target) any {
		if t.kinds[i].MinAge == 0 && t.gc.MinAge != 0 {
			return max(t.gc.MinAge, 0)
		}
		return get(t)
	}
	return f
}

func gcDryRun(i int, name, option string) field {
	f := toggle(name+".dry_run", option+".DryRun", false, func(t *target) *bool { return &t.kinds[i].DryRun },
		"Only says what would be deleted.")
	set := f.set
	f.get = func(t *target) any { return t.kinds[i].DryRun || t.gc.DryRun }
	f.set = func(t *target, v any) {
		t.spreadDryRun()
		set(t, v)
	}
	return f
}

// fenceDryRun is true unless the program or the file asks for the fences' deletion, which
// the option calls by its name.
func fenceDryRun(name string) field {
	f := field{
		Field: Field{
			Name: name + ".dry_run", Kind: Bool, Option: "GC.DeleteWALFences",
			Effect: "false: deletes fences. Keep min_age well above a minute, and above any pause of a writer of the Rust engine, which would report rows stored that nobody will read.",
		},
		def: true,
		get: func(t *target) any { return !t.gc.DeleteWALFences || t.kinds[kindWALFence].DryRun || t.gc.DryRun },
		set: func(t *target, v any) {
			t.spreadDryRun()
			t.gc.DeleteWALFences = !v.(bool)
			t.kinds[kindWALFence].DryRun = false
		},
	}
	return f.finish(nil)
}

func readerFields() []field {
	return []field{
		duration("manifest_poll_interval", "PollInterval", 10*time.Second, func(t *target) *time.Duration { return &t.reader.PollInterval },
			"How often the reader looks for news; null: only Refresh does.", null(time.Duration(-1)),
			adaptive("backs off to 60s while nothing happens")),
		duration("checkpoint_lifetime", "CheckpointLifetime", 600*time.Second, func(t *target) *time.Duration { return &t.reader.CheckpointLifetime },
			"How long a managed reader's checkpoint outlives a reader that has died. At least 1s and twice manifest_poll_interval.", atLeast(int64(time.Second))),
		accepted(Bytes, "max_memtable_bytes", int64(64*mib), "Accepted, no effect: a reader makes one memtable of the log at each poll.", atLeast(1)),
		toggle("skip_wal_replay", "SkipWALReplay", false, func(t *target) *bool { return &t.reader.SkipWALReplay },
			"Reads only what has reached tables."),
		accepted(Enum, "metric_level", nil, metricLevelEffect, only("Info", "Debug")),
		retries("object_store_max_retries", "MaxRetries", func(t *target) *int { return &t.reader.MaxRetries },
			"Retries of one store request; null: no bound, 0: none."),
	}
}

// The names that settings had in earlier versions.
var renamed = map[string][]string{
	"default_ttl":                           {"default_ttl_millis"},
	"compactor_options.max_sst_size":        {"compactor_options.worker.max_sst_size"},
	"compactor_options.max_fetch_tasks":     {"compactor_options.worker.max_fetch_tasks"},
	"object_store_cache_options.cache_puts": {"object_store_cache_options.cache_on_flush", "object_store_cache_options.cache_on_compaction"},
}

// What became of settings that are none any more.
var retired = map[string]string{
	"filter_bits_per_key":    "filters are made by Options.FilterPolicies",
	"max_unflushed_memtable": "max_unflushed_bytes bounds the memory",
	"block_cache_options":    "the block cache is Options.BlockCache or Options.BlockCacheBytes",
	"flush_ms":               "flush_interval takes its place",
}

// consistent checks what single fields cannot.
func consistent(t *target) error {
	by := dbTable().byName
	room, table := by["max_unflushed_bytes"].get(t).(int64), by["l0_sst_size_bytes"].get(t).(int64)
	if room <= table {
		return &Error{Name: "max_unflushed_bytes", Reason: fmt.Sprintf("%d is not more than l0_sst_size_bytes, which is %d", room, table)}
	}
	if err := diskConsistent(t); err != nil {
		return err
	}
	if err := t.options().Validate(); err != nil {
		return &Error{Reason: strings.TrimPrefix(err.Error(), "slatedb: ")}
	}
	return nil
}

func readerConsistent(t *target) error {
	poll, life := orDefault(t.reader.PollInterval, 10*time.Second), orDefault(t.reader.CheckpointLifetime, 600*time.Second)
	if t.reader.Mode == slatedb.ManagedCheckpoint && life/2 < poll {
		return &Error{Name: "checkpoint_lifetime", Reason: fmt.Sprintf("%s is less than twice manifest_poll_interval, which is %s", durationText(life), durationText(poll))}
	}
	return diskConsistent(t)
}

func orDefault(v, d time.Duration) time.Duration {
	if v == 0 {
		return d
	}
	return v
}

var errPart = errors.New("a part is a multiple of 1024 bytes")
