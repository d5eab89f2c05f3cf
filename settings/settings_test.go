package settings

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// cleanEnv hides the variables of the machine that runs the test.
func cleanEnv(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); len(name) > len(Prefix) && strings.EqualFold(name[:len(Prefix)], Prefix) {
			t.Setenv(name, value) // restores it afterwards
			require.NoError(t, os.Unsetenv(name))
		}
	}
}

// logged gathers what the default logger is told.
func logged(t *testing.T) *bytes.Buffer {
	t.Helper()
	b := &bytes.Buffer{}
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(b, nil)))
	t.Cleanup(func() { slog.SetDefault(was) })
	return b
}

// TestLoadPrecedence: each file over the one before, the environment over all, and what a
// file does not name stays.
func TestLoadPrecedence(t *testing.T) {
	cleanEnv(t)
	t.Chdir(t.TempDir())
	o, err := Load()
	require.NoError(t, err)
	assert.Equal(t, &slatedb.Options{}, o, "no file, no variable: the defaults")

	write(t, ".", "SlateDb.json", `{"l0_max_ssts":1,"l0_max_ssts_per_key":1,"l0_flush_parallelism":1,"min_filter_keys":1,"object_store_max_retries":1,
		"compactor_options":{"max_concurrent_compactions":1,"worker":{"max_fetch_tasks":1}}}`)
	write(t, ".", "SlateDb.toml", "l0_max_ssts_per_key = 2\nl0_flush_parallelism = 2\nmin_filter_keys = 2\nobject_store_max_retries = 2\n[compactor_options.worker]\nmax_concurrent_compactions = 2\n")
	write(t, ".", "SlateDb.yaml", "l0_flush_parallelism: 3\nmin_filter_keys: 3\nobject_store_max_retries: 3\n")
	write(t, ".", "SlateDb.yml", "min_filter_keys: 4\nobject_store_max_retries: 4\n")
	t.Setenv("SLATEDB_OBJECT_STORE_MAX_RETRIES", "5")
	t.Setenv("SLATEDB_COMPACTOR_OPTIONS__WORKER__BYTES_TO_FETCH", "5")
	o, err = Load()
	require.NoError(t, err)
	assert.Equal(t, &slatedb.Options{
		L0MaxSSTs: 1, L0MaxSSTsPerKey: 2, L0FlushParallelism: 3, MinFilterKeys: 4, MaxRetries: 5,
		Compactor: &slatedb.CompactorOptions{
			MaxConcurrent: 1, Worker: &slatedb.WorkerOptions{FetchTasks: 1, MaxConcurrent: 2, BytesToFetch: 5},
		},
	}, o)

	s := New(nil)
	require.NoError(t, s.Load("."))
	for name, source := range map[string]string{
		"l0_max_ssts": "SlateDb.json", "l0_max_ssts_per_key": "SlateDb.toml", "l0_flush_parallelism": "SlateDb.yaml",
		"min_filter_keys": "SlateDb.yml", "object_store_max_retries": "SLATEDB_OBJECT_STORE_MAX_RETRIES", "flush_interval": "default",
	} {
		v, ok := s.Value(name)
		require.True(t, ok)
		assert.Equal(t, source, v.Source, name)
	}

	write(t, ".", "SlateDb.yml", "min_filter_keys: x\n")
	_, err = Load()
	require.ErrorIs(t, err, slatedb.ErrInvalid)
	assert.ErrorContains(t, err, "SlateDb.yml: min_filter_keys: it is the text \"x\", want an integer")
}

// TestUnknownNames: reported with their place and the nearest name there is, to the logger,
// or as errors when Strict.
func TestUnknownNames(t *testing.T) {
	cleanEnv(t)
	for _, c := range []struct{ name, nearest string }{
		{"flush_intervall", "flush_interval"},
		{"l0_max_sst", "l0_max_ssts"},
		{"compactor_options.pol_interval", "compactor_options.poll_interval"},
		{"compactor_options.worker.max_sst_bytes", "compactor_options.worker.max_sst_size"},
		{"compactor_options.scheduler_options.min_sources", ""},
		{"heartbeat_interval", "compactor_options.worker.heartbeat_interval"},
		{"garbage_collector_options.wal_option.dry_run", ""},
		{"entirely_else", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for f := JSON; f <= YAML; f++ {
				s := New(nil)
				require.NoError(t, s.Merge(f, "the file", []byte(fileWith(f, c.name, "1"))))
				ws := s.Warnings()
				require.Len(t, ws, 1)
				assert.Equal(t, "the file", ws[0].Source)
				assert.True(t, strings.HasPrefix(c.name, ws[0].Name), "%s", ws[0])
				if c.nearest != "" {
					assert.Equal(t, c.nearest, ws[0].Nearest)
					assert.Contains(t, ws[0].String(), "did you mean "+c.nearest)
				}

				s = New(nil)
				s.Strict = true
				err := s.Merge(f, "the file", []byte(fileWith(f, c.name, "1")))
				require.ErrorIs(t, err, slatedb.ErrInvalid)
				assert.ErrorContains(t, err, "the file: "+ws[0].Name)
			}
		})
	}
	out := logged(t)
	path := write(t, t.TempDir(), "a.json", `{"flush_intervall":"1s","l0_max_ssts":3}`)
	o, err := File(path)
	require.NoError(t, err)
	assert.Equal(t, 3, o.L0MaxSSTs)
	assert.Contains(t, out.String(), "flush_intervall")
	assert.Contains(t, out.String(), "did you mean flush_interval?")

	t.Setenv("APP_L0_MAX_SST", "3")
	_, err = Env("APP_")
	require.NoError(t, err)
	assert.Contains(t, out.String(), "source=APP_L0_MAX_SST")
}

// TestOldNames: what settings were called in earlier versions still counts, less than the
// name of today, and turns on nothing.
func TestOldNames(t *testing.T) {
	s := New(nil)
	s.Strict = true
	require.NoError(t, s.Merge(JSON, "", []byte(`{"default_ttl":5000,"object_store_cache_options":{"cache_puts":true,"root_folder":"x"},
		"compactor_options":{"max_sst_size":1000,"max_fetch_tasks":3,"worker":{"max_fetch_tasks":5}}}`)))
	o, err := s.Options()
	require.NoError(t, err)
	assert.Equal(t, 5*time.Second, o.DefaultTTL)
	assert.Equal(t, &slatedb.WorkerOptions{MaxSSTBytes: 1000, FetchTasks: 5}, o.Compactor.Worker)
	assert.Equal(t, &slatedb.DiskCacheOptions{Dir: "x", OnFlush: true, OnCompaction: true}, o.DiskCache)
	assert.GreaterOrEqual(t, len(s.Warnings()), 4)

	s = New(nil)
	require.NoError(t, s.Merge(YAML, "", []byte("compactor_options:\n  worker: null\n  max_sst_size: 1000\n")))
	o, err = s.Options()
	require.NoError(t, err)
	assert.True(t, o.Compactor.DisableWorker)

	s = New(nil)
	require.NoError(t, s.Set("default_ttl", "7"))
	require.ErrorIs(t, s.Set("filter_bits_per_key", "10"), slatedb.ErrInvalid)
	require.NoError(t, s.Merge(TOML, "", []byte("filter_bits_per_key = 10")))
	require.Len(t, s.Warnings(), 1)
	assert.Contains(t, s.Warnings()[0].Reason, "FilterPolicies")
}

// TestSections: null and objects, in files of their own.
func TestSections(t *testing.T) {
	s := New(&slatedb.Options{DisableCompactor: true, DisableGC: true})
	state := func() (bool, bool) {
		o, err := s.Options()
		require.NoError(t, err)
		return o.DisableCompactor, o.DisableGC
	}
	require.NoError(t, s.Merge(JSON, "", []byte(`{"l0_max_ssts":5}`)))
	c, g := state()
	assert.True(t, c && g, "what is not named stays")
	require.NoError(t, s.Merge(JSON, "", []byte(`{"compactor_options":{"worker":null},"garbage_collector_options":{}}`)))
	c, g = state()
	assert.False(t, c || g, "an object turns its section on")
	require.NoError(t, s.MergeEnv(Prefix, []string{"SLATEDB_COMPACTOR_OPTIONS=null", "slatedb_garbage_collector_options=NONE"}))
	c, g = state()
	assert.True(t, c && g)
	require.NoError(t, s.MergeEnv(Prefix, []string{"SLATEDB_COMPACTOR_OPTIONS__WORKER__MAX_FETCH_TASKS=2", `SLATEDB_GARBAGE_COLLECTOR_OPTIONS={"wal_options":{"min_age":"1h"}}`}))
	c, g = state()
	assert.False(t, c || g, "a field of it does too")
	o, err := s.Options()
	require.NoError(t, err)
	assert.False(t, o.Compactor.DisableWorker)
	assert.Equal(t, time.Hour, o.GC.WAL.MinAge)

	for _, clash := range [][]string{
		{"SLATEDB_COMPACTOR_OPTIONS=null", "SLATEDB_COMPACTOR_OPTIONS.POLL_INTERVAL=1s"},
		{"SLATEDB_COMPACTOR_OPTIONS.POLL_INTERVAL=1s", "SLATEDB_COMPACTOR_OPTIONS=null"},
		{"SLATEDB_L0_MAX_SSTS=1", "slatedb_l0_max_ssts=2"},
		{"SLATEDB_COMPACTOR_OPTIONS={"},
	} {
		require.ErrorIs(t, s.MergeEnv(Prefix, clash), slatedb.ErrInvalid, "%v", clash)
	}
}

// TestCollectorOfTheProgram: options for all kinds of garbage at once are shown with each
// kind, and a kind that a file names is its own.
func TestCollectorOfTheProgram(t *testing.T) {
	s := New(&slatedb.Options{GC: &slatedb.GCOptions{MinAge: time.Hour, Interval: -1, DryRun: true, WAL: &slatedb.GCKindOptions{MinAge: time.Minute, Interval: time.Second}}})
	for name, want := range map[string]string{
		"manifest_options": "null", "manifest_options.min_age": `"3600s"`, "manifest_options.dry_run": "true",
		"wal_options": "true", "wal_options.min_age": `"60s"`, "wal_options.interval": `"1s"`, "wal_fence_options.dry_run": "true",
	} {
		v, _ := s.Value("garbage_collector_options." + name)
		assert.Equal(t, want, v.Value, name)
	}
	require.NoError(t, s.Set("garbage_collector_options.manifest_options", `{"dry_run":false}`))
	require.NoError(t, s.Set("garbage_collector_options.wal_fence_options.dry_run", `false`))
	o, err := s.Options()
	require.NoError(t, err)
	assert.Equal(t, &slatedb.GCKindOptions{Interval: 10 * time.Minute}, o.GC.Manifest)
	assert.False(t, o.GC.DryRun)
	assert.True(t, o.GC.WAL.DryRun, "the others keep it")
	assert.True(t, o.GC.DeleteWALFences)
	assert.False(t, o.GC.WALFence.DryRun)
}

// TestSetChangesAllOrNothing: values that are wrong, or wrong together, leave the options be.
func TestSetChangesAllOrNothing(t *testing.T) {
	store := slatedb.MergeFunc(nil)
	o := &slatedb.Options{MergeOperator: store, Compactor: &slatedb.CompactorOptions{MaxConcurrent: 2}}
	compactor, before := o.Compactor, *o
	for _, c := range []struct{ name, literal string }{
		{"flush_interval", `5`}, {"flush_interval", `"x"`}, {"flush_interval", `"1s",`}, {"flush_interval", ``}, {"flush_interval", `"1s"} {`},
		{"nothing", `5`}, {"", `5`}, {"max_unflushed_bytes", `1`}, {"l0_sst_size_bytes", `1073741824`},
		{"compactor_options", `{"max_concurrent_compactions":9,"poll":1}`}, {"compactor_options", `{"max_concurrent_compactions":9,"poll_interval":1}`},
		{"compactor_options.scheduler_options", `null`},
	} {
		require.ErrorIs(t, Set(o, c.name, c.literal), slatedb.ErrInvalid, "%v", c)
		assert.Equal(t, before, *o, "%v", c)
	}
	require.NoError(t, Set(o, "compactor_options", `{"max_concurrent_compactions":9,"worker":null}`))
	assert.Equal(t, &slatedb.CompactorOptions{MaxConcurrent: 9, DisableWorker: true}, o.Compactor)
	assert.Equal(t, slatedb.CompactorOptions{MaxConcurrent: 2}, *compactor, "what others hold is not written to")
	assert.True(t, o.MergeOperator != nil)
}

// TestValuesThatExcludeEachOther are found at the end, since a later step may reconcile them.
func TestValuesThatExcludeEachOther(t *testing.T) {
	s := New(nil)
	require.NoError(t, s.Merge(JSON, "a.json", []byte(`{"max_unflushed_bytes":1000000}`)))
	_, err := s.Options()
	require.ErrorIs(t, err, slatedb.ErrInvalid)
	assert.ErrorContains(t, err, "a.json: max_unflushed_bytes: 1000000 is not more than l0_sst_size_bytes, which is 67108864")
	require.NoError(t, s.Set("l0_sst_size_bytes", "999999"))
	_, err = s.Options()
	require.NoError(t, err)

	r := NewReader(nil)
	require.NoError(t, r.Merge(JSON, "r.json", []byte(`{"manifest_poll_interval":{"secs":400,"nanos":0}}`)))
	_, err = r.Options()
	require.ErrorIs(t, err, slatedb.ErrInvalid)
	require.NoError(t, r.Merge(JSON, "r.json", []byte(`{"checkpoint_lifetime":{"secs":800,"nanos":0}}`)))
	o, err := r.Options()
	require.NoError(t, err)
	assert.Equal(t, &slatedb.ReaderOptions{PollInterval: 400 * time.Second, CheckpointLifetime: 800 * time.Second}, o)

	s = New(nil) // a worker that was told otherwise than the writer
	require.NoError(t, s.Merge(JSON, "w.json", []byte(`{"compression_codec":"Zstd","compactor_options":{"worker":{"compression_codec":"Zstd"}}}`)))
	assert.Empty(t, s.Warnings())
	require.NoError(t, s.Set("compression_codec", `"Snappy"`))
	require.Len(t, s.Warnings(), 1)
	assert.Contains(t, s.Warnings()[0].String(), `w.json: compactor_options.worker.compression_codec: "Zstd" has no effect`)
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := File(filepath.Join(dir, "none.toml"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	for name, text := range map[string]string{
		"a.ini": "x", "noextension": "x", "list.json": "[]", "null.json": "null", "twice.json": "{} {}", "empty.json": "", "half.json": `{"a":`,
		"a.toml": "= 1", "a.yaml": "a: [", "list.yml": "- 1\n", "number.yaml": "5", "date.toml": "flush_interval = 2020-01-01",
		"large.json": `{"flush_interval":"` + strings.Repeat("1s+", maxFile/3) + `1s"}`, "keys.yaml": "compactor_options:\n  1: 2\n  [a]: 3\n",
		"nul.toml": "a = \"\x00\"", "deep.toml": "a = " + strings.Repeat("[", 60000), "deep.yaml": strings.Repeat("[", 60000), "deep.json": strings.Repeat(`{"a":`, 10000),
	} {
		_, err := File(write(t, dir, name, text))
		require.ErrorIs(t, err, slatedb.ErrInvalid, name)
		assert.ErrorContains(t, err, name)
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d.json"), 0o700))
	_, err = File(filepath.Join(dir, "d.json"))
	require.ErrorIs(t, err, slatedb.ErrInvalid)
	for _, name := range []string{"ok.yaml", "ok.toml", "ok.yml"} {
		o, err := File(write(t, dir, name, "# nothing\n"))
		require.NoError(t, err)
		assert.Equal(t, &slatedb.Options{}, o)
	}
	_, err = Parse(Format(9), nil)
	require.ErrorIs(t, err, slatedb.ErrInvalid)
	o, err := ReaderFile(write(t, dir, "reader.toml", "skip_wal_replay = true\n"))
	require.NoError(t, err)
	assert.Equal(t, &slatedb.ReaderOptions{SkipWALReplay: true}, o)
}

// TestFileOfTheRustEngine: a file with every setting at the Rust engine's default says the
// same here, but for what the table documents.
func TestFileOfTheRustEngine(t *testing.T) {
	for _, name := range []string{"rust-defaults.json", "rust-defaults.toml", "rust-defaults.yaml"} {
		t.Run(name, func(t *testing.T) {
			s := New(nil)
			s.Strict = true
			require.NoError(t, s.MergeFile(filepath.Join("testdata", name)))
			assert.Empty(t, s.Warnings())
			o, err := s.Options()
			require.NoError(t, err)
			assert.Nil(t, o.DiskCache, "a part size and no folder")
			different := map[string]string{}
			for _, v := range s.Values() {
				if !v.IsDefault {
					different[v.Name] = v.Value
					assert.True(t, v.Adaptive != "" || v.RustDefault == v.Value, v.Name)
				}
				if !strings.HasSuffix(name, ".toml") && v.Kind != Section && !v.Own { // TOML cannot say null
					assert.NotEqual(t, "default", v.Source, "%s is missing in the file", v.Name)
				}
			}
			want := map[string]string{
				"manifest_poll_interval": `"1s"`, "compactor_options.poll_interval": `"5s"`,
				"compactor_options.worker.max_sst_size": "268435456", "object_store_cache_options.part_size_bytes": "4194304",
			}
			if !strings.HasSuffix(name, ".toml") {
				want["compactor_options.worker.compression_codec"] = "null" // said, and the same
				want["compactor_options.worker.min_filter_keys"] = "1000"
			} else {
				want["compactor_options.worker.min_filter_keys"] = "1000"
			}
			assert.Equal(t, want, different)
		})
	}
}

// TestMarshalRoundTrip: what Marshal writes has the same effect, in each format, for random
// settings.
func TestMarshalRoundTrip(t *testing.T) {
	literals := map[string][]string{}
	for _, c := range everySetting {
		literals[c.name] = []string{c.literal}
	}
	for _, f := range Fields() {
		if f.Nullable {
			literals[f.Name] = append(literals[f.Name], "null")
		}
		if f.Kind == Section && f.Nullable {
			literals[f.Name] = append(literals[f.Name], "{}")
		}
	}
	literals["object_store_cache_options.root_folder"] = append(literals["object_store_cache_options.root_folder"], `"C:\\a \"b\" <é>\u007f\u0001#"`)
	names := make([]string, 0, len(literals))
	for _, f := range Fields() {
		if literals[f.Name] != nil {
			names = append(names, f.Name)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := New(nil)
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			require.NoError(t, s.Set(name, rapid.SampledFrom(literals[name]).Draw(t, "literal")))
		}
		for f := JSON; f <= YAML; f++ {
			text, err := s.Marshal(f)
			require.NoError(t, err)
			again := New(nil)
			again.Strict = true
			require.NoError(t, again.Merge(f, "", text), "%s", text)
			theirs := again.Values()
			for i, v := range s.Values() {
				if v.Off {
					continue // a section that is off says nothing about its fields
				}
				require.Equal(t, v.Value, theirs[i].Value, "%s in %s\n%s", v.Name, f, text)
				if v.Adaptive != "" {
					require.Equal(t, v.IsDefault, theirs[i].IsDefault, "%s in %s", v.Name, f)
				}
			}
		}
		if text, err := s.Marshal(JSON); assert.NoError(t, err) {
			require.True(t, json.Valid(text))
		}
	})
	_, err := Marshal(nil, Format(7))
	require.ErrorIs(t, err, slatedb.ErrInvalid)
	bad := New(nil)
	bad.t.disk.Dir = "\xff"
	_, err = bad.Marshal(JSON)
	require.ErrorIs(t, err, slatedb.ErrInvalid)
}

// TestNewKeepsWhatItGot: options pass through, none is shared with the caller.
func TestNewKeepsWhatItGot(t *testing.T) {
	in := &slatedb.Options{
		BlockSize: 8192, FlushInterval: -1, MaxRetries: -1, MinFilterKeys: -1, Compactor: &slatedb.CompactorOptions{Worker: &slatedb.WorkerOptions{MaxConcurrent: -3}},
		GC: &slatedb.GCOptions{Detach: &slatedb.GCKindOptions{Disable: true}, MinAge: -1}, MinFlushGap: time.Second,
		DiskCache: &slatedb.DiskCacheOptions{Dir: "d", MaxBytes: -1, PartBytes: 8192, ScanInterval: -1, Preload: slatedb.PreloadL0, Mirror: true},
	}
	asked := 0
	supplier := func(slatedb.CompactionFilterContext) (slatedb.CompactionFilter, error) { asked++; return nil, nil }
	in.CompactionFilter = supplier
	s := New(in)
	out, err := s.Options()
	require.NoError(t, err)
	require.NotNil(t, out.CompactionFilter)
	_, _ = out.CompactionFilter(slatedb.CompactionFilterContext{})
	assert.Equal(t, 1, asked, "it is the same function")
	without := *in
	without.CompactionFilter, out.CompactionFilter = nil, nil // functions do not compare
	assert.Equal(t, &without, out)
	assert.NotNil(t, in.CompactionFilter)
	assert.NotSame(t, in.Compactor, out.Compactor)
	assert.NotSame(t, in.DiskCache, out.DiskCache)
	for f := JSON; f <= YAML; f++ {
		a, err := Marshal(in, f)
		require.NoError(t, err)
		b, err := Marshal(&without, f)
		require.NoError(t, err)
		assert.Equal(t, string(b), string(a))
	}
	require.NoError(t, Set(in, "l0_max_ssts", "5"))
	assert.NotNil(t, in.CompactionFilter)
	for name, want := range map[string]string{
		"flush_interval": "null", "object_store_max_retries": "0", "min_filter_keys": "0", "compactor_options.worker.max_concurrent_compactions": "4",
		"garbage_collector_options.detach_options": "null", "garbage_collector_options.wal_options.min_age": `"0s"`,
		"object_store_cache_options.max_cache_size_bytes": "null", "object_store_cache_options.scan_interval": "null",
		"object_store_cache_options.preload_disk_cache_on_startup": `"L0Sst"`, "object_store_cache_options.mirror": "true",
	} {
		v, _ := s.Value(name)
		assert.Equal(t, want, v.Value, name)
	}
	v, _ := s.Value("flush_interval")
	assert.Equal(t, "program", v.Source)
	_, ok := s.Value("nothing")
	assert.False(t, ok)
}

// FuzzParse: no bytes make a panic, and what is accepted can be written and read again.
func FuzzParse(f *testing.F) {
	for format := JSON; format <= YAML; format++ {
		text, err := Marshal(nil, format)
		require.NoError(f, err)
		f.Add(uint8(format), text)
		for _, c := range everySetting {
			f.Add(uint8(format), []byte(fileWith(format, c.name, c.literal)))
		}
	}
	f.Add(uint8(YAML), []byte("a: &a [x, *a]\n<<: *a\n"))
	f.Add(uint8(TOML), []byte("[[compactor_options]]\n[compactor_options.worker]\na=1"))
	f.Fuzz(func(t *testing.T, format uint8, data []byte) {
		s := New(nil)
		_ = s.MergeEnv("", strings.Split(string(data), "\n"))
		for _, f := range []string{"flush_interval", "compactor_options", string(data)} {
			_ = Set(&slatedb.Options{}, f, string(data))
		}
		s = New(nil)
		if err := s.Merge(Format(format%3), "f", data); err != nil {
			require.ErrorIs(t, err, slatedb.ErrInvalid)
			return
		}
		_ = s.Warnings()
		if _, err := s.Options(); err != nil {
			require.ErrorIs(t, err, slatedb.ErrInvalid)
		}
		text, err := s.Marshal(Format(format / 3 % 3))
		if err != nil {
			require.ErrorIs(t, err, slatedb.ErrInvalid)
			return
		}
		again := New(nil)
		again.Strict = true
		require.NoError(t, again.Merge(Format(format/3%3), "f", text))
	})
}

// TestStepsAreWhole: a file of which one value is wrong changes nothing, and each wrong value
// is named.
func TestStepsAreWhole(t *testing.T) {
	s := New(nil)
	err := s.Merge(JSON, "f", []byte(`{"enable":1,"l0_max_ssts":3,"metric_level":"Debug","compactor_options":null,"flush_interval":1,"wal_enabled":1}`))
	require.ErrorIs(t, err, slatedb.ErrInvalid)
	assert.ErrorContains(t, err, "f: flush_interval: ")
	assert.ErrorContains(t, err, "f: wal_enabled: ")
	o, err := s.Options()
	require.NoError(t, err)
	assert.Equal(t, &slatedb.Options{}, o)
	assert.Empty(t, s.Warnings())
	for _, v := range s.Values() {
		assert.True(t, v.IsDefault && v.Source == "default", v.Name)
	}
}
