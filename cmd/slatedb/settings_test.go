package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/settings"
)

const settingsSample = "testdata/settings.toml"

// withoutSettings hides the variables of the machine that runs the test.
func withoutSettings(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(strings.ToUpper(name), settings.Prefix) {
			t.Setenv(name, value)
			require.NoError(t, os.Unsetenv(name))
		}
	}
}

// TestConfigOutput compares what config prints; the JSON is an interface.
func TestConfigOutput(t *testing.T) {
	withoutSettings(t)
	t.Setenv("SLATEDB_COMPACTOR_OPTIONS__MAX_CONCURRENT_COMPACTIONS", "2")
	for _, c := range []struct{ name, args string }{
		{"config.txt", "config --config " + settingsSample},
		{"config.json", "config --json --config " + settingsSample},
		{"config-changed.txt", "config --changed --config " + settingsSample},
		{"config-reader.txt", "config --reader"},
		{"config-toml.txt", "config --format toml --config " + settingsSample},
	} {
		t.Run(c.name, func(t *testing.T) { compareGolden(t, c.name, slate(t, strings.Fields(c.args)...)) })
	}
}

func TestConfig(t *testing.T) {
	withoutSettings(t)
	t.Chdir(t.TempDir())
	assert.NotContains(t, ok(t, "config"), "*", "nothing is set")
	assert.Equal(t, []string{"SETTING", "VALUE", "UNIT", "SOURCE"}, strings.Fields(ok(t, "config", "--changed")))

	require.NoError(t, os.WriteFile("SlateDb.yaml", []byte("l0_max_ssts: 16\nl0_max_sst: 3\n"), 0o600))
	r := slate(t, "config", "--changed")
	assert.Regexp(t, `\*  l0_max_ssts +16 +SlateDb.yaml`, r.out)
	assert.Contains(t, r.err, "SlateDb.yaml: l0_max_sst: there is no such setting, did you mean l0_max_ssts?")
	fails(t, 1, "config", "--strict")

	// What it prints as a file says the same again.
	for _, f := range []string{"json", "toml", "yaml"} {
		file := "out." + f
		require.NoError(t, os.WriteFile(file, []byte(slate(t, "config", "--format", f).out), 0o600))
		assert.Regexp(t, `l0_max_ssts +16 +`+file, ok(t, "config", "--config", file, "--changed", "--strict"))
	}
	fails(t, 2, "config", "--format", "ini")
	fails(t, 1, "config", "--config", "none.toml")
	t.Setenv("CLOUD_PROVIDER", "memory")
	ok(t, "-p", "db", "config")
	assert.Contains(t, fails(t, 2, "config", "somewhere"), "want no arguments, got 1")
	require.NoError(t, os.WriteFile("bad.json", []byte(`{"l0_max_ssts":"many"}`), 0o600))
	assert.Contains(t, fails(t, 1, "config", "--config", "bad.json"), `bad.json: l0_max_ssts: it is the text "many", want an integer`)
}

// TestCommandsTakeSettings: commands that run something read a file, and refuse one with a
// name that no setting has.
func TestCommandsTakeSettings(t *testing.T) {
	withoutSettings(t)
	dir := t.TempDir()
	file, wrong := filepath.Join(dir, "s.json"), filepath.Join(dir, "w.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"compression_codec":"Zstd","compactor_options":null,"garbage_collector_options":{"wal_options":{"min_age":"2h"}}}`), 0o600))
	require.NoError(t, os.WriteFile(wrong, []byte(`{"compresion_codec":"Zstd"}`), 0o600))
	from, db := filepath.Join(dir, "files"), filepath.Join(dir, "db")
	require.NoError(t, os.Mkdir(from, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(from, "a"), []byte(strings.Repeat("text ", 1000)), 0o600))

	ok(t, "load", "--quiet", "--config", file, from, db)
	assert.Equal(t, slatedb.Zstd, newestCodec(latestOf(t, db)), "a loaded table is as the file says")
	for _, command := range []string{"run-compactor", "run-worker", "schedule-garbage-collection", "bench", "compact"} {
		assert.Contains(t, fails(t, 2, command, "--config", wrong, db), "did you mean compression_codec?", command)
	}
	assert.Contains(t, fails(t, 2, "load", "--config", wrong, from, db), "did you mean compression_codec?")

	plain := filepath.Join(dir, "plain")
	ok(t, "load", "--quiet", from, plain)
	ok(t, "compact", "--config", file, plain)
	assert.Equal(t, slatedb.Zstd, newestCodec(latestOf(t, plain)), "and so is a compacted one")
}

// TestScheduleOverSettings: schedules of the command line go over those of a file.
func TestScheduleOverSettings(t *testing.T) {
	file := &settingsFile{}
	dir := t.TempDir()
	path := filepath.Join(dir, "gc.toml")
	require.NoError(t, os.WriteFile(path, []byte("[garbage_collector_options]\nmanifest_options = \"none\"\n[garbage_collector_options.wal_options]\nmin_age = \"2h\"\n[garbage_collector_options.compacted_options]\nmin_age = \"3h\"\n"), 0o600))
	require.NoError(t, file.Set(path))
	schedules := map[string]*scheduleFlag{}
	for _, k := range gcKinds {
		schedules[k] = &scheduleFlag{}
	}
	require.NoError(t, schedules["wal"].Set("min_age=1m,period=2m"))
	g := file.collector()
	o := scheduled(&g, schedules, true)
	assert.Equal(t, &slatedb.GCKindOptions{MinAge: 60e9, Interval: 120e9}, o.WAL)
	assert.Equal(t, &slatedb.GCKindOptions{MinAge: 3 * 3600e9}, o.Compacted)
	assert.Equal(t, &slatedb.GCKindOptions{Disable: true}, o.Manifest)
	assert.Nil(t, o.Detach)
	assert.True(t, o.DisableBoundaryFiles)
	assert.False(t, o.DeleteWALFences)
}
