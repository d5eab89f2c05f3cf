package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/sst"
)

// ok runs the program and returns what it printed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := slate(t, args...)
	require.Equal(t, 0, r.code, "%v: %s%s", args, r.out, r.err)
	return r.out
}

// fails runs the program and returns what it said.
func fails(t *testing.T, code int, args ...string) string {
	t.Helper()
	r := slate(t, args...)
	require.Equal(t, code, r.code, "%v: %s%s", args, r.out, r.err)
	return r.err
}

// document runs the program with --json and decodes what it printed.
func document[T any](t *testing.T, args ...string) (v T) {
	t.Helper()
	out := ok(t, append(args, "--json")...)
	require.NoError(t, json.Unmarshal([]byte(out), &v), "%s", out)
	return v
}

func TestPutAndDelete(t *testing.T) {
	db := filepath.Join(t.TempDir(), "db")
	assert.Contains(t, fails(t, 1, "delete", db, "k"), "no database", "delete makes no database")
	assert.NoDirExists(t, filepath.Join(db, "manifest"))

	ok(t, "put", db, "k", "v")
	assert.Equal(t, "v", ok(t, "get", db, "k"))
	ok(t, "put", db, "0xff", "0x0001")
	assert.Equal(t, "\x00\x01", ok(t, "get", db, "0xff"))
	ok(t, "put", "--literal", db, "0xff", "0x0001")
	assert.Equal(t, "0x0001", ok(t, "get", "--literal", db, "0xff"))

	r := slateIn(t, "from\nstdin", "put", db, "in")
	require.Equal(t, 0, r.code, r.err)
	assert.Equal(t, "from\nstdin", ok(t, "get", db, "in"))
	file := filepath.Join(t.TempDir(), "value")
	require.NoError(t, os.WriteFile(file, []byte("of a file"), 0o644))
	ok(t, "put", "--file", file, db, "f")
	assert.Equal(t, "of a file", ok(t, "get", db, "f"))
	assert.Contains(t, fails(t, 2, "put", "--file", file, db, "f", "x"), "both given")
	assert.Contains(t, fails(t, 1, "put", "--file", file+"-absent", db, "f"), "absent")

	j := document[map[string]any](t, "put", db, "ttl", "x", "--ttl", "7days 30min")
	assert.NotZero(t, j["seq"])
	var e entryJSON
	require.NoError(t, json.Unmarshal([]byte(ok(t, "get", "--json", db, "ttl")), &e))
	assert.Equal(t, 7*day+30*time.Minute, e.ExpireTime.Sub(*e.CreateTime))

	ok(t, "delete", db, "k")
	assert.Contains(t, fails(t, 1, "get", db, "k"), "no such key")
	assert.NotZero(t, document[map[string]any](t, "delete", db, "nobody")["seq"])
	verified(t, db, 0)
}

func TestPutIntoADatabaseWithSegments(t *testing.T) {
	for _, name := range []string{"fixed3", "until-47"} {
		require.NotNil(t, extractorNamed(name), name)
		assert.Equal(t, name, extractorNamed(name).Name())
	}
	for _, name := range []string{"", "slash", "fixed", "until-4700", "fixed03"} {
		assert.Nil(t, extractorNamed(name), name)
	}
	db := goldenCopy(t, "db018/segments/store", "db")
	assert.Contains(t, fails(t, 1, "put", db, "a/x", "v"), "extractor", "an extractor that is not known here")
}

func TestScanForms(t *testing.T) {
	db := database(t, "a=1", "0xff=x", "\xff=\x00\x01")
	for _, c := range []struct {
		name string
		args []string
		out  string
	}{
		{"hex keys", []string{"--key", "hex"}, "30786666\tx\n61\t1\nff\t<2 bytes>\n"},
		{"hex bounds", []string{"--key", "hex", "--from", "62"}, "ff\t<2 bytes>\n"},
		{"text bounds", []string{"--key", "utf8", "--prefix", "0x", "--value", "none"}, "0xff\n"},
		{"text keys", []string{"--key", "utf8", "--from", "b", "--value", "len"}, "\uFFFD\t2\n"},
		{"hex values", []string{"--value", "hex", "--from", "b"}, "0xff\t0x0001\n"},
		{"lengths", []string{"--value", "len", "--max-keys", "2"}, "0x30786666\t1\na\t1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.out, ok(t, append([]string{"scan", db}, c.args...)...))
		})
	}
	assert.Contains(t, fails(t, 2, "scan", "--key", "base64", db), "want auto, hex or utf8")
	assert.Contains(t, fails(t, 2, "scan", "--value", "x", db), "want auto, hex, utf8, len or none")
	assert.Contains(t, fails(t, 2, "scan", "--key", "hex", "--from", "xyz", db), "no hex number")
}

func TestCheckpointCommands(t *testing.T) {
	db := database(t, "a=1", "b=2")
	c := document[checkpointJSON](t, "create-checkpoint", "-l", "1h", "-n", "first", db)
	id := c.ID
	assert.Equal(t, "first", c.Name)
	assert.InDelta(t, time.Hour, c.ExpireTime.Sub(*c.CreateTime), float64(2*time.Second), "times are whole seconds")
	ok(t, "put", db, "a", "changed")

	assert.Equal(t, "1", ok(t, "get", "--checkpoint", id, db, "a"))
	assert.Equal(t, "a\t1\nb\t2\n", ok(t, "scan", "-c", id, db))
	assert.Equal(t, "changed", ok(t, "get", db, "a"))

	second := document[checkpointJSON](t, "create-checkpoint", "--source", id, "--name", "second", db)
	assert.Equal(t, c.ManifestID, second.ManifestID)
	assert.Nil(t, second.ExpireTime)
	assert.Len(t, document[[]checkpointJSON](t, "list-checkpoints", db), 2)
	assert.Len(t, document[[]checkpointJSON](t, "list-checkpoints", "--name", "second", db), 1)
	text := ok(t, "list-checkpoints", db)
	for _, want := range []string{"CHECKPOINT", id, "expires in ", "never expires", "first"} {
		assert.Contains(t, text, want)
	}

	r := document[checkpointJSON](t, "refresh-checkpoint", db, id)
	assert.Nil(t, r.ExpireTime, "without a lifetime it never expires")
	r = document[checkpointJSON](t, "refresh-checkpoint", "--id", id, "--lifetime", "2 days", db)
	assert.NotNil(t, r.ExpireTime)
	assert.Contains(t, ok(t, "refresh-checkpoint", "-l", "3days", db, id), " days")

	ok(t, "delete-checkpoint", db, id)
	ok(t, "delete-checkpoint", db, id)
	assert.Len(t, document[[]checkpointJSON](t, "list-checkpoints", db), 1)
	assert.Contains(t, fails(t, 1, "refresh-checkpoint", db, id), "not found")
	assert.Contains(t, fails(t, 1, "scan", "--checkpoint", id, db), "not found")
	assert.Contains(t, fails(t, 2, "delete-checkpoint", db), "want a checkpoint")
	assert.Contains(t, fails(t, 2, "delete-checkpoint", db, "x"), "no checkpoint id")
	assert.Contains(t, fails(t, 2, "delete-checkpoint", "--id", id, db, id), "given twice")
	assert.Contains(t, fails(t, 2, "create-checkpoint", "-l", "soon", db), `duration "soon"`)
	verified(t, db, 0)
}

func TestCloneAndDeleteDB(t *testing.T) {
	db := database(t, "a=1", "b=2", "c=3")
	root := filepath.Dir(db)
	ok(t, "clone", db, "copy")
	dst := filepath.Join(root, "copy") + "?root=" + root
	assert.Equal(t, "a\t1\nb\t2\nc\t3\n", ok(t, "scan", dst))
	ok(t, "clone", "--from", "b", "--to", "c", db, "part")
	assert.Equal(t, "b\t2\n", ok(t, "scan", filepath.Join(root, "part")+"?root="+root))
	ok(t, "put", dst, "a", "of the copy")
	assert.Equal(t, "1", ok(t, "get", db, "a"))
	s := document[statsReport](t, "stats", dst)
	require.Len(t, s.Parents, 1)
	assert.Equal(t, "db", s.Parents[0].Path)
	assert.Contains(t, ok(t, "stats", dst), "parent db")
	assert.Contains(t, ok(t, "read-manifest", dst), "PARENT")
	table := document[map[string]any](t, "read-manifest", dst)["ssts"].([]any)[0].(map[string]any)["id"].(string)
	assert.Contains(t, ok(t, "sst", "dump", dst, table), "db/compacted/"+table, "a borrowed table is found in its parent")
	verified(t, dst, 0)
	verified(t, db, 0)

	ok(t, "clone", "--to", "b", db, "left")
	ok(t, "clone", "--from", "b", db, "right")
	ok(t, "clone", "--with", "right", filepath.Join(root, "left")+"?root="+root, "both")
	assert.Equal(t, "a\t1\nb\t2\nc\t3\n", ok(t, "scan", filepath.Join(root, "both")+"?root="+root))

	r := slate(t, "delete-db", dst)
	assert.Equal(t, 0, r.code)
	assert.Contains(t, r.out, "copy/manifest/")
	assert.Contains(t, r.err, "nothing was deleted")
	dry := document[struct {
		Deleted bool
		Objects []string
	}](t, "delete-db", dst)
	assert.False(t, dry.Deleted)
	assert.NotEmpty(t, dry.Objects)
	assert.Equal(t, "of the copy", ok(t, "get", dst, "a"))
	before := len(document[[]checkpointJSON](t, "list-checkpoints", db))
	gone := document[struct{ Deleted bool }](t, "delete-db", "--confirm", dst)
	assert.True(t, gone.Deleted)
	assert.Contains(t, fails(t, 1, "get", dst, "a"), "no database")
	assert.Len(t, document[[]checkpointJSON](t, "list-checkpoints", db), before-1, "its pin in the parent goes too")
	assert.Equal(t, "1", ok(t, "get", db, "a"))
}

func TestVersionCommands(t *testing.T) {
	db := database(t, "a=1")
	assert.Contains(t, fails(t, 1, "read-manifest", "--id", "4711", db), "no manifest 4711")
	assert.Contains(t, fails(t, 1, "read-compactions", "--id", "4711", db), "no compactions 4711")
	assert.Contains(t, fails(t, 2, "list-manifests", "-s", "9", "-e", "2", db), "--start 9 is above --end 2")
	assert.Contains(t, fails(t, 2, "manifest", "diff", db, "0", "1"), "versions begin with 1")
	assert.Contains(t, fails(t, 2, "manifest", "diff", db, "x", "1"), "want a number")
	assert.Contains(t, fails(t, 2, "read-compaction", db), "want a job")
	assert.Contains(t, fails(t, 2, "read-compaction", db, "x"), "no ULID")
	assert.Contains(t, fails(t, 2, "sst", "dump", db, "x"), "no ULID")
	assert.Contains(t, fails(t, 1, "sst", "dump", db, "01J9Z5Y6C3W6M1V8R7Q0K2N4PB"), "no such table")
	assert.Contains(t, fails(t, 1, "wal", "dump", db, "4711"), "no log object from 4711 to 4711")
	assert.Contains(t, fails(t, 2, "wal", "dump", db, "0"), "no object id")
	assert.Contains(t, fails(t, 2, "wal", "dump", db, "3", "2"), "above")
	assert.Contains(t, fails(t, 2, "seq-to-ts", db, "x"), "want a number")
	assert.Contains(t, fails(t, 2, "ts-to-seq", db, "yesterday"), "is no time")
	assert.Contains(t, fails(t, 2, "ts-to-seq", "--round", "x", db, "1"), "want up or down")
	assert.Contains(t, fails(t, 1, "ts-to-seq", db, "1"), "not found")

	golden := goldenCopy(t, "db018/incremental/store", "db")
	job := document[struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}](t, "read-compaction", golden, "01M83H9WX9HAY6ZEKXK7GJA3FR")
	assert.Equal(t, "Running", job.Status)
	assert.Contains(t, ok(t, "read-compaction", "-i", "01M83H9WX9HAY6ZEKXK7GJA3FR", golden), "run 0")
	assert.Contains(t, fails(t, 1, "read-compaction", "--compactions-id", "2", golden, "01M83H9WX9HAY6ZEKXK7GJA3FR"), "no job")

	tracker := goldenCopy(t, "db018/tracker2/store", "db")
	at := document[struct {
		Unix int64 `json:"unix_secs"`
		Seq  uint64
	}](t, "seq-to-ts", "--round", "up", tracker, "5")
	back := ok(t, "ts-to-seq", tracker, fmt.Sprint(at.Unix))
	assert.NotEmpty(t, back)
	assert.Equal(t, back, ok(t, "ts-to-seq", tracker, time.Unix(at.Unix, 0).UTC().Format(time.RFC3339)))
}

// A dump shows what it can before the damage, and fails.
func TestDumpOfDamagedObjects(t *testing.T) {
	v, location := newVictim(t, goldenRun, "db")
	h, key := v.table()
	o, err := sst.OpenObject(key, v.get(key), nil)
	require.NoError(t, err)
	v.flip(key, o.Index().Offset(o.Index().Len()-1)+2)
	r := slate(t, "sst", "dump", location, h.ID.String())
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "checksum mismatch")
	assert.Contains(t, r.out, "SEQ")

	v.flip(v.wal(2), 5)
	r = slate(t, "wal", "dump", location)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "checksum mismatch")
	assert.Contains(t, r.out, v.wal(3), "the others are shown")
}

func TestRustForm(t *testing.T) {
	for _, name := range []string{"CLOUD_PROVIDER", "LOCAL_PATH", "AWS_BUCKET", "AWS_BUCKET_NAME", "AZURE_CONTAINER", "AZURE_CONTAINER_NAME", "GOOGLE_BUCKET", "GCP_BUCKET"} {
		t.Setenv(name, "")
		require.NoError(t, os.Unsetenv(name))
	}
	t.Chdir(t.TempDir())
	db := database(t, "a=1")
	assert.Contains(t, fails(t, 2, "-p", "db", "scan"), "needs the variable CLOUD_PROVIDER")

	file := filepath.Join(t.TempDir(), "settings")
	require.NoError(t, os.WriteFile(file, []byte("# a store\nexport CLOUD_PROVIDER=local\nLOCAL_PATH=\""+filepath.Dir(db)+"\" \n\n"), 0o644))
	assert.Equal(t, "a\t1\n", ok(t, "-e", file, "-p", "db", "scan"))
	assert.Equal(t, "a\t1\n", ok(t, "--path", "db", "scan"), "the file has set the variables of this process")
	assert.Equal(t, "1", ok(t, "-p", "db", "get", "a"))
	assert.True(t, json.Valid([]byte(ok(t, "-p", "db", "read-manifest"))), "reads print JSON, as there")
	assert.True(t, json.Valid([]byte(ok(t, "-p", "db", "list-checkpoints"))))
	assert.True(t, json.Valid([]byte(ok(t, "--env-file", file, "-p", "db", "create-checkpoint", "-l", "7days 30min"))))
	assert.Contains(t, ok(t, "read-manifest", db), "writer epoch")
	dir, _ := tree(t, 2)
	ok(t, "-p", "loaded", "load", "--quiet", dir)
	assert.Equal(t, 2, strings.Count(ok(t, "-p", "loaded", "scan", "--keys"), "\n"))
	assert.Contains(t, fails(t, 2, "-p", "db", "get"), "want LOCATION KEY without LOCATION, got 0")
	assert.Contains(t, fails(t, 2, "-p", "db", "get", "a", "b"), "got 2")

	require.NoError(t, os.WriteFile(file, []byte("nonsense\n"), 0o644))
	assert.Contains(t, fails(t, 2, "-e", file, "-p", "db", "scan"), "want NAME=value")
	assert.Contains(t, fails(t, 2, "-e", file+"x", "-p", "db", "scan"), "settingsx")
	assert.Contains(t, fails(t, 2, "-x"), "not defined")
	assert.Contains(t, fails(t, 2, "-p", "db"), "usage")
}

func TestLocate(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for _, p := range pairs {
				if v, ok := strings.CutPrefix(p, name+"="); ok {
					return v
				}
			}
			return ""
		}
	}
	for _, c := range []struct {
		name string
		env  func(string) string
		want string
		err  string
	}{
		{"memory", env("CLOUD_PROVIDER=memory"), "memory:///a/b", ""},
		{"aws", env("CLOUD_PROVIDER=AWS", "AWS_BUCKET=x"), "s3://x/a/b", ""},
		{"aws, other name", env("CLOUD_PROVIDER=aws", "AWS_BUCKET_NAME=x"), "s3://x/a/b", ""},
		{"azure", env("CLOUD_PROVIDER=azure", "AZURE_CONTAINER=x"), "az://x/a/b", ""},
		{"gcp", env("CLOUD_PROVIDER=gcp", "GOOGLE_BUCKET=x"), "gs://x/a/b", ""},
		{"aws without bucket", env("CLOUD_PROVIDER=aws"), "", "needs AWS_BUCKET"},
		{"local without folder", env("CLOUD_PROVIDER=local"), "", "needs LOCAL_PATH"},
		{"none", env(), "", "needs the variable CLOUD_PROVIDER"},
		{"unknown", env("CLOUD_PROVIDER=punch-cards"), "", `"punch-cards"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := locate("a/b", c.env)
			if c.err != "" {
				assert.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"7days 30min": 7*day + 30*time.Minute, "1h30m": 90 * time.Minute, "1s+500ms": 1500 * time.Millisecond, "0": 0, "0s": 0,
		"2 weeks 1 day": 15 * day, "1.5h": 90 * time.Minute, "100ms": 100 * time.Millisecond, "1M": 2630016 * time.Second, "3us": 3 * time.Microsecond,
	} {
		got, err := parseDuration(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
	for _, s := range []string{"", " ", "5", "h", "-5s", "5 fortnights", "1..2s", "1s,2s", "999999999 years"} {
		_, err := parseDuration(s)
		assert.Error(t, err, "%q", s)
	}
}

func TestRoughly(t *testing.T) {
	now := time.Unix(1e9, 0)
	for d, want := range map[time.Duration]string{
		75 * time.Second: "expires in 1m15s", 50 * time.Hour: "expires in 2 days", 90 * time.Minute: "expires in 1h30m",
		-5 * time.Second: "expired 5s ago", 0: "expired 0s ago",
	} {
		assert.Equal(t, want, lifeText(now.Add(d), now))
	}
	assert.Equal(t, "never expires", lifeText(time.Time{}, now))
}

// Every command says no to what it does not know, and to a database that is not there.
func TestEveryCommand(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	id := uuid.NewString()
	args := map[string][]string{
		"get": {absent, "k"}, "delete": {absent, "k"}, "sst dump": {absent, "01J9Z5Y6C3W6M1V8R7Q0K2N4PB"},
		"manifest diff": {absent, "1", "2"}, "read-compaction": {absent, "01J9Z5Y6C3W6M1V8R7Q0K2N4PB"},
		"seq-to-ts": {absent, "1"}, "ts-to-seq": {absent, "1"}, "refresh-checkpoint": {absent, id}, "delete-checkpoint": {absent, id},
		"clone": {absent, "copy"}, "schedule-garbage-collection": nil, "bench": nil, "put": nil, "load": nil, "wal dump": nil, "delete-db": nil, "probe": nil, "config": nil,
	}
	for _, c := range commands() {
		words := strings.Fields(c.name)
		assert.Contains(t, fails(t, 2, append(words, "--frob")...), "frob", c.name)
		if c.nargs > 0 {
			assert.Contains(t, fails(t, 2, words...), "want "+c.args, c.name)
		}
		assert.NotEmpty(t, c.group, c.name)
		a, special := args[c.name]
		if !special {
			a = []string{absent}
		}
		if a != nil {
			assert.Contains(t, fails(t, 1, append(words, a...)...), "no database", c.name)
		}
	}
	assert.NoDirExists(t, filepath.Join(absent, "manifest"))
}
