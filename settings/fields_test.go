package settings

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
)

// A said is one setting of the specification, a value that is not its default, and where the
// program finds it.
type said struct {
	name, literal string
	in            func(o *slatedb.Options) any // nil: accepted, no effect
	want          any
}

// start is what a setting is laid over that has an effect only with another one.
func start(name string) *slatedb.DiskCacheOptions {
	if !strings.HasPrefix(name, "object_store_cache_options.") || strings.HasSuffix(name, ".root_folder") {
		return nil
	}
	return &slatedb.DiskCacheOptions{Dir: "cache"}
}

// everySetting lists the settings by hand, so that a row that is lost or renamed shows.
var everySetting = []said{
	{"flush_interval", `"250ms"`, func(o *slatedb.Options) any { return o.FlushInterval }, 250 * time.Millisecond},
	{"wal_enabled", `false`, func(o *slatedb.Options) any { return o.DisableWAL }, true},
	{"manifest_poll_interval", `"1s+500ms"`, func(o *slatedb.Options) any { return o.ManifestPollInterval }, 1500 * time.Millisecond},
	{"manifest_update_timeout", `"5s"`, func(o *slatedb.Options) any { return o.ManifestUpdateTimeout }, 5 * time.Second},
	{"min_filter_keys", `7`, func(o *slatedb.Options) any { return o.MinFilterKeys }, 7},
	{"l0_sst_size_bytes", `1048576`, func(o *slatedb.Options) any { return o.L0SSTSizeBytes }, 1 << 20},
	{"max_wal_flushes_before_l0_flush", `5000`, func(o *slatedb.Options) any { return o.MaxWALFlushesBeforeL0Flush }, 5000},
	{"l0_max_ssts", `9`, func(o *slatedb.Options) any { return o.L0MaxSSTs }, 9},
	{"l0_max_ssts_per_key", `10`, func(o *slatedb.Options) any { return o.L0MaxSSTsPerKey }, 10},
	{"l0_flush_parallelism", `11`, func(o *slatedb.Options) any { return o.L0FlushParallelism }, 11},
	{"max_unflushed_bytes", `536870912`, func(o *slatedb.Options) any { return o.MaxUnflushedBytes }, 1 << 29},
	{"compression_codec", `"Zstd"`, func(o *slatedb.Options) any { return o.Compression }, slatedb.Zstd},
	{"metric_level", `"Debug"`, nil, nil},
	{"default_ttl_millis", `60000`, func(o *slatedb.Options) any { return o.DefaultTTL }, time.Minute},
	{"object_store_max_retries", `3`, func(o *slatedb.Options) any { return o.MaxRetries }, 3},

	{"compactor_options", `null`, func(o *slatedb.Options) any { return o.DisableCompactor }, true},
	{"compactor_options.poll_interval", `"2s"`, func(o *slatedb.Options) any { return o.Compactor.PollInterval }, 2 * time.Second},
	{"compactor_options.manifest_update_timeout", `"3s"`, func(o *slatedb.Options) any { return o.Compactor.ManifestUpdateTimeout }, 3 * time.Second},
	{"compactor_options.max_concurrent_compactions", `2`, func(o *slatedb.Options) any { return o.Compactor.MaxConcurrent }, 2},
	{"compactor_options.enable_trivial_move", `true`, func(o *slatedb.Options) any { return o.Compactor.TrivialMove }, true},
	{"compactor_options.scheduler_options.min_compaction_sources", `"3"`, func(o *slatedb.Options) any { return o.Compactor.SizeTiered.MinSources }, 3},
	{"compactor_options.scheduler_options.max_compaction_sources", `"12"`, func(o *slatedb.Options) any { return o.Compactor.SizeTiered.MaxSources }, 12},
	{"compactor_options.scheduler_options.include_size_threshold", `"2.5"`, func(o *slatedb.Options) any { return o.Compactor.SizeTiered.IncludeSizeThreshold }, float32(2.5)},
	{"compactor_options.scheduler_options.sorted_run_consolidation_threshold", `"6"`, func(o *slatedb.Options) any { return o.Compactor.SizeTiered.ConsolidationThreshold }, 6},
	{"compactor_options.metric_level", `"Debug"`, nil, nil},
	{"compactor_options.commit_compacted_interval", `"4s"`, func(o *slatedb.Options) any { return o.Compactor.CommitInterval }, 4 * time.Second},
	{"compactor_options.enable_experimental_incremental_compaction", `true`, nil, nil},
	{"compactor_options.checkpoint_lifetime", `"1h"`, func(o *slatedb.Options) any { return o.Compactor.CheckpointLifetime }, time.Hour},
	{"compactor_options.worker_heartbeat_timeout", `"45s"`, func(o *slatedb.Options) any { return o.Compactor.WorkerHeartbeatTimeout }, 45 * time.Second},
	{"compactor_options.object_store_max_retries", `4`, func(o *slatedb.Options) any { return o.Compactor.MaxRetries }, 4},

	{"compactor_options.worker", `null`, func(o *slatedb.Options) any { return o.Compactor.DisableWorker }, true},
	{"compactor_options.worker.max_concurrent_compactions", `2`, func(o *slatedb.Options) any { return o.Compactor.Worker.MaxConcurrent }, 2},
	{"compactor_options.worker.compactions_poll_interval", `"7s"`, func(o *slatedb.Options) any { return o.Compactor.Worker.PollInterval }, 7 * time.Second},
	{"compactor_options.worker.heartbeat_interval", `"8s"`, func(o *slatedb.Options) any { return o.Compactor.Worker.HeartbeatInterval }, 8 * time.Second},
	{"compactor_options.worker.max_sst_size", `268435456`, func(o *slatedb.Options) any { return o.Compactor.Worker.MaxSSTBytes }, int64(256 << 20)},
	{"compactor_options.worker.max_fetch_tasks", `5`, func(o *slatedb.Options) any { return o.Compactor.Worker.FetchTasks }, 5},
	{"compactor_options.worker.bytes_to_fetch", `65536`, func(o *slatedb.Options) any { return o.Compactor.Worker.BytesToFetch }, 65536},
	{"compactor_options.worker.max_subcompactions", `0`, func(o *slatedb.Options) any { return o.Compactor.Worker.MaxSubcompactions }, 1},
	{"compactor_options.worker.min_filter_keys", `5`, nil, nil},
	{"compactor_options.worker.compression_codec", `"Lz4"`, nil, nil},
	{"compactor_options.worker.metric_level", `"Debug"`, nil, nil},
	{"compactor_options.worker.object_store_max_retries", `0`, func(o *slatedb.Options) any { return o.Compactor.Worker.MaxRetries }, -1},

	{"object_store_cache_options.root_folder", `"/var/cache/db"`, func(o *slatedb.Options) any { return o.DiskCache.Dir }, "/var/cache/db"},
	{"object_store_cache_options.max_cache_size_bytes", `1073741824`, func(o *slatedb.Options) any { return o.DiskCache.MaxBytes }, int64(1 << 30)},
	{"object_store_cache_options.part_size_bytes", `65536`, func(o *slatedb.Options) any { return o.DiskCache.PartBytes }, int64(65536)},
	{"object_store_cache_options.cache_on_flush", `true`, func(o *slatedb.Options) any { return o.DiskCache.OnFlush }, true},
	{"object_store_cache_options.cache_on_compaction", `true`, func(o *slatedb.Options) any { return o.DiskCache.OnCompaction }, true},
	{"object_store_cache_options.preload_disk_cache_on_startup", `"AllSst"`, func(o *slatedb.Options) any { return o.DiskCache.Preload }, slatedb.PreloadAll},
	{"object_store_cache_options.scan_interval", `"60s"`, func(o *slatedb.Options) any { return o.DiskCache.ScanInterval }, time.Minute},
	{"object_store_cache_options.max_open_file_handles", `50`, func(o *slatedb.Options) any { return o.DiskCache.MaxOpenFiles }, 50},
	{"object_store_cache_options.mirror", `true`, func(o *slatedb.Options) any { return o.DiskCache.Mirror }, true},

	{"garbage_collector_options", `null`, func(o *slatedb.Options) any { return o.DisableGC }, true},
	{"garbage_collector_options.manifest_options", `null`, func(o *slatedb.Options) any { return o.GC.Manifest.Disable }, true},
	{"garbage_collector_options.manifest_options.interval", `"1m"`, func(o *slatedb.Options) any { return o.GC.Manifest.Interval }, time.Minute},
	{"garbage_collector_options.manifest_options.min_age", `"1d"`, func(o *slatedb.Options) any { return o.GC.Manifest.MinAge }, 24 * time.Hour},
	{"garbage_collector_options.manifest_options.dry_run", `true`, func(o *slatedb.Options) any { return o.GC.Manifest.DryRun }, true},
	{"garbage_collector_options.wal_options", `null`, func(o *slatedb.Options) any { return o.GC.WAL.Disable }, true},
	{"garbage_collector_options.wal_options.interval", `"2m"`, func(o *slatedb.Options) any { return o.GC.WAL.Interval }, 2 * time.Minute},
	{"garbage_collector_options.wal_options.min_age", `"0s"`, func(o *slatedb.Options) any { return o.GC.WAL.MinAge }, time.Duration(-1)},
	{"garbage_collector_options.wal_options.dry_run", `true`, func(o *slatedb.Options) any { return o.GC.WAL.DryRun }, true},
	{"garbage_collector_options.wal_fence_options", `null`, func(o *slatedb.Options) any { return o.GC.WALFence.Disable }, true},
	{"garbage_collector_options.wal_fence_options.interval", `"3m"`, func(o *slatedb.Options) any { return o.GC.WALFence.Interval }, 3 * time.Minute},
	{"garbage_collector_options.wal_fence_options.min_age", `"30d"`, func(o *slatedb.Options) any { return o.GC.WALFence.MinAge }, 720 * time.Hour},
	{"garbage_collector_options.wal_fence_options.dry_run", `false`, func(o *slatedb.Options) any { return o.GC.DeleteWALFences }, true},
	{"garbage_collector_options.compacted_options", `null`, func(o *slatedb.Options) any { return o.GC.Compacted.Disable }, true},
	{"garbage_collector_options.compacted_options.interval", `"4m"`, func(o *slatedb.Options) any { return o.GC.Compacted.Interval }, 4 * time.Minute},
	{"garbage_collector_options.compacted_options.min_age", `"1h"`, func(o *slatedb.Options) any { return o.GC.Compacted.MinAge }, time.Hour},
	{"garbage_collector_options.compacted_options.dry_run", `true`, func(o *slatedb.Options) any { return o.GC.Compacted.DryRun }, true},
	{"garbage_collector_options.compactions_options", `null`, func(o *slatedb.Options) any { return o.GC.Compactions.Disable }, true},
	{"garbage_collector_options.compactions_options.interval", `"5m"`, func(o *slatedb.Options) any { return o.GC.Compactions.Interval }, 5 * time.Minute},
	{"garbage_collector_options.compactions_options.min_age", `"2h"`, func(o *slatedb.Options) any { return o.GC.Compactions.MinAge }, 2 * time.Hour},
	{"garbage_collector_options.compactions_options.dry_run", `true`, func(o *slatedb.Options) any { return o.GC.Compactions.DryRun }, true},
	{"garbage_collector_options.detach_options", `null`, func(o *slatedb.Options) any { return o.GC.Detach.Disable }, true},
	{"garbage_collector_options.detach_options.interval", `"6m"`, func(o *slatedb.Options) any { return o.GC.Detach.Interval }, 6 * time.Minute},
	{"garbage_collector_options.metric_level", `"Debug"`, nil, nil},
	{"garbage_collector_options.boundary_files_enabled", `false`, func(o *slatedb.Options) any { return o.GC.DisableBoundaryFiles }, true},
	{"garbage_collector_options.object_store_max_retries", `5`, func(o *slatedb.Options) any { return o.GC.MaxRetries }, 5},
}

var everyReaderSetting = []struct {
	name, literal string
	in            func(o *slatedb.ReaderOptions) any
	want          any
}{
	{"manifest_poll_interval", `"2s"`, func(o *slatedb.ReaderOptions) any { return o.PollInterval }, 2 * time.Second},
	{"checkpoint_lifetime", `"20m"`, func(o *slatedb.ReaderOptions) any { return o.CheckpointLifetime }, 20 * time.Minute},
	{"max_memtable_bytes", `1024`, nil, nil},
	{"skip_wal_replay", `true`, func(o *slatedb.ReaderOptions) any { return o.SkipWALReplay }, true},
	{"metric_level", `"Debug"`, nil, nil},
	{"object_store_max_retries", `0`, func(o *slatedb.ReaderOptions) any { return o.MaxRetries }, -1},
}

// fileWith writes a file that holds one setting.
func fileWith(f Format, name, literal string) string {
	parts := strings.Split(name, ".")
	leaf := parts[len(parts)-1]
	switch f {
	case JSON:
		return `{"` + strings.Join(parts, `":{"`) + `":` + literal + strings.Repeat("}", len(parts))
	case TOML:
		if literal == "null" {
			literal = `"none"`
		}
		text := ""
		if len(parts) > 1 {
			text = "[" + strings.Join(parts[:len(parts)-1], ".") + "]\n"
		}
		return text + leaf + " = " + literal + "\n"
	}
	text := ""
	for i, p := range parts[:len(parts)-1] {
		text += strings.Repeat("  ", i) + p + ":\n"
	}
	return text + strings.Repeat("  ", len(parts)-1) + leaf + ": " + literal + "\n"
}

// envWith is the variable for it, nested by sep.
func envWith(name, literal, sep string) string {
	text := literal
	if strings.HasPrefix(literal, `"`) {
		_ = json.Unmarshal([]byte(literal), &text)
	}
	return Prefix + strings.ToUpper(strings.ReplaceAll(name, ".", sep)) + "=" + text
}

// TestEverySettingFromEverySource: each setting of the specification, under its name, from
// JSON, TOML, YAML and the environment, ends in its option.
func TestEverySettingFromEverySource(t *testing.T) {
	sources := map[string]func(s *layers, name, literal string) error{
		"JSON": func(s *layers, name, literal string) error {
			return s.Merge(JSON, "f", []byte(fileWith(JSON, name, literal)))
		},
		"TOML": func(s *layers, name, literal string) error {
			return s.Merge(TOML, "f", []byte(fileWith(TOML, name, literal)))
		},
		"YAML": func(s *layers, name, literal string) error {
			return s.Merge(YAML, "f", []byte(fileWith(YAML, name, literal)))
		},
		"env, dot": func(s *layers, name, literal string) error {
			return s.MergeEnv(Prefix, []string{"HOME=x", envWith(name, literal, ".")})
		},
		"env, underscores": func(s *layers, name, literal string) error {
			return s.MergeEnv(Prefix, []string{envWith(name, literal, "__")})
		},
		"Set": func(s *layers, name, literal string) error { return s.Set(name, literal) },
	}
	check := func(t *testing.T, s *layers, name, literal, source string, in func() any, want any) {
		v, ok := s.Value(name)
		require.True(t, ok)
		assert.False(t, v.IsDefault, "the sample is the default")
		assert.NotEqual(t, "default", v.Source)
		if in != nil {
			assert.Equal(t, want, in())
			assert.NotEmpty(t, v.Option)
		} else {
			assert.Empty(t, v.Option)
		}
		got := v.Value
		if f := s.table.byName[name]; f.Kind == Duration { // written in other units perhaps
			a, err := f.accept(strings.Trim(literal, `"`))
			require.NoError(t, err)
			literal = quote(durationText(a.(time.Duration)))
		} else if f.strings {
			literal = strings.Trim(literal, `"`)
		}
		if name == "compactor_options.worker.max_subcompactions" {
			literal = "1" // what 0 means
		}
		assert.Equal(t, literal, got)
	}
	for source, merge := range sources {
		t.Run(source, func(t *testing.T) {
			for _, c := range everySetting {
				t.Run(c.name, func(t *testing.T) {
					s := New(&slatedb.Options{DiskCache: start(c.name)})
					s.Strict = true
					require.NoError(t, merge(&s.layers, c.name, c.literal))
					o, err := s.Options()
					require.NoError(t, err)
					var in func() any
					if c.in != nil {
						in = func() any { return c.in(o) }
					}
					check(t, &s.layers, c.name, c.literal, source, in, c.want)
				})
			}
			for _, c := range everySetting {
				if !strings.HasPrefix(c.name, "object_store_cache_options.") {
					continue
				}
				t.Run("reader "+c.name, func(t *testing.T) {
					s := NewReader(&slatedb.ReaderOptions{DiskCache: start(c.name)})
					s.Strict = true
					require.NoError(t, merge(&s.layers, c.name, c.literal))
					o, err := s.Options()
					require.NoError(t, err)
					in := func() any { return c.in(&slatedb.Options{DiskCache: o.DiskCache}) }
					check(t, &s.layers, c.name, c.literal, source, in, c.want)
				})
			}
			for _, c := range everyReaderSetting {
				t.Run("reader "+c.name, func(t *testing.T) {
					s := NewReader(nil)
					s.Strict = true
					require.NoError(t, merge(&s.layers, c.name, c.literal))
					o, err := s.Options()
					require.NoError(t, err)
					var in func() any
					if c.in != nil {
						in = func() any { return c.in(o) }
					}
					check(t, &s.layers, c.name, c.literal, source, in, c.want)
				})
			}
		})
	}
}

// TestTableIsTheSpecification: the hand-written list and the table name the same settings.
func TestTableIsTheSpecification(t *testing.T) {
	want := map[string]bool{
		// Sections that cannot be off have no value of their own.
		"compactor_options.scheduler_options": true, "object_store_cache_options": true,
	}
	for _, c := range everySetting {
		assert.False(t, want[c.name], "%s is listed twice", c.name)
		want[c.name] = true
	}
	for _, f := range Fields() {
		assert.True(t, want[f.Name], "%s is in the table and not in the list", f.Name)
		delete(want, f.Name)
		assert.NotEmpty(t, f.Effect, f.Name)
		assert.True(t, strings.HasSuffix(f.Effect, "."), "%s: %s", f.Name, f.Effect)
		if f.Kind == Enum {
			assert.NotEmpty(t, f.Values, f.Name)
		}
		assert.Equal(t, f.Name == "object_store_cache_options.mirror", f.Own, f.Name)
	}
	assert.Empty(t, want, "in the list and not in the table")
	assert.Len(t, ReaderFields(), len(everyReaderSetting)+len(cacheFields()))
}

// TestWrongValues: every field refuses what is not of its kind and what is out of its range,
// and names itself and the file.
func TestWrongValues(t *testing.T) {
	bad := map[Kind][]string{
		Section:  {`1`, `"x"`, `[]`, `true`},
		Bool:     {`1`, `"yes"`, `null`, `{}`, `[true]`},
		Integer:  {`"x"`, `1.5`, `-1`, `true`, `{}`, `[1]`, `99999999999999999999`, `1e3`},
		Bytes:    {`"64MiB"`, `-1`, `0`, `1.5`, `false`, `{}`, `99999999999999999999`},
		Float:    {`"x"`, `0`, `-1`, `true`, `1e300`, `{}`},
		Duration: {`5`, `"5 parsecs"`, `""`, `"-1s"`, `"1s+"`, `true`, `{}`, `{"secs":1}`, `{"secs":-1,"nanos":0}`, `"999999999y"`, `[]`},
		Enum:     {`"Gzip"`, `1`, `true`, `{}`, `""`},
		Text:     {`1`, `true`, `{}`, `[]`},
	}
	special := map[string][]string{
		"max_wal_flushes_before_l0_flush": {`4095`}, "flush_interval": {`"0s"`}, "default_ttl_millis": {`0`, `9223372036855`},
		"l0_flush_parallelism": {`0`}, "object_store_max_retries": {`4294967296`}, "min_filter_keys": {`4294967296`},
		"object_store_cache_options.part_size_bytes": {`1000`}, "compactor_options.max_concurrent_compactions": {`0`},
		"compactor_options.poll_interval": {`null`},
	}
	for _, f := range Fields() {
		for _, literal := range append(bad[f.Kind], special[f.Name]...) {
			t.Run(f.Name+" "+literal, func(t *testing.T) {
				s := New(nil)
				err := s.Merge(JSON, "SlateDb.json", []byte(fileWith(JSON, f.Name, literal)))
				require.ErrorIs(t, err, slatedb.ErrInvalid)
				var e *Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, f.Name, e.Name)
				assert.Equal(t, "SlateDb.json", e.Source)
				for _, v := range s.Values() {
					assert.Equal(t, "default", v.Source, "a failed step changed %s", v.Name)
				}
			})
		}
	}
	for _, literal := range []string{`"500ms"`, `{"secs":0,"nanos":5}`} {
		err := NewReader(nil).Merge(JSON, "", []byte(fileWith(JSON, "checkpoint_lifetime", literal)))
		require.ErrorIs(t, err, slatedb.ErrInvalid)
	}
}

// TestNullTurnsOff: what null means, by each way to say it.
func TestNullTurnsOff(t *testing.T) {
	for _, f := range Fields() {
		if !f.Nullable {
			continue
		}
		for _, how := range []string{
			fileWith(JSON, f.Name, "null"), fileWith(JSON, f.Name, `"none"`), fileWith(JSON, f.Name, `"NULL"`),
		} {
			s := New(nil)
			require.NoError(t, s.Merge(JSON, "", []byte(how)), how)
			v, _ := s.Value(f.Name)
			want := "null"
			if strings.HasSuffix(f.Name, "_options.interval") {
				want = `"600s"` // of the collector's intervals it means the default
			}
			assert.Equal(t, want, v.Value, how)
		}
	}
	o, err := Parse(YAML, []byte("flush_interval: null\nobject_store_cache_options:\n  max_cache_size_bytes: ~\n"))
	require.NoError(t, err)
	assert.Negative(t, o.FlushInterval)
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"100ms": 100 * time.Millisecond, "5m": 5 * time.Minute, "1s+500ms": 1500 * time.Millisecond, "1s500ms": 1500 * time.Millisecond,
		"1m 30s": 90 * time.Second, "1m+30": 90 * time.Second, "90": 90 * time.Second, " 2 H ": 2 * time.Hour, "1us": time.Microsecond,
		"3µs": 3 * time.Microsecond, "4ns": 4, "1mon": 30 * 24 * time.Hour, "1y": 365 * 24 * time.Hour, "0s": 0, "1w+1d": 8 * 24 * time.Hour,
		"001ms": time.Millisecond, "9223372036s": 9223372036 * time.Second,
	} {
		got, err := parseDuration(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
		again, err := parseDuration(durationText(got))
		require.NoError(t, err)
		assert.Equal(t, got, again)
	}
	for _, text := range []string{"", "s", "+1s", "1s+", "1s++1s", "-1s", "1.5s", "1 fortnight", "9223372037s", "18446744073709551616s", "300y", "1s+292y+292y", "1s,", "١s"} {
		_, err := parseDuration(text)
		assert.Error(t, err, text)
	}
	assert.Equal(t, "1s+500ms", durationText(1500*time.Millisecond))
	assert.Equal(t, "0s", durationText(0))
	assert.Equal(t, "1us+1ns", durationText(1001))
}

func ExampleSet() {
	o := &slatedb.Options{}
	fmt.Println(Set(o, "compactor_options.worker.max_subcompactions", `8`), o.Compactor.Worker.MaxSubcompactions)
	fmt.Println(Set(o, "flush_intervall", `"1s"`))
	// Output:
	// <nil> 8
	// settings: flush_intervall: there is no such setting, did you mean flush_interval?
}
