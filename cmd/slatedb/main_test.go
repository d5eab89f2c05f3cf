package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/internal/testkit"
)

// result is what one run of the program left behind.
type result struct {
	code     int
	out, err string
}

func slate(t *testing.T, args ...string) result {
	t.Helper()
	return slateIn(t, "", args...)
}

// slateIn runs the program with an input.
func slateIn(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	code := run(t.Context(), args, &streams{strings.NewReader(in), &out, &err})
	return result{code, out.String(), err.String()}
}

// database makes a database with the given rows, "key=value", and returns its location.
func database(t *testing.T, rows ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "db")
	db, err := slatedb.Open(t.Context(), dir, nil)
	require.NoError(t, err)
	for _, r := range rows {
		k, v, _ := strings.Cut(r, "=")
		_, err := db.PutWithOptions(t.Context(), []byte(k), []byte(v), &slatedb.PutOptions{NoWait: true})
		require.NoError(t, err)
	}
	require.NoError(t, db.Close(t.Context()))
	return dir
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string // in standard output, when the code is 0
		err  string // in standard error, when it is not
	}{
		{"nothing", nil, 2, "", "usage: slatedb"},
		{"help", []string{"help"}, 0, "LOCATION is a folder or a URL", ""},
		{"flag help", []string{"--help"}, 0, "usage: slatedb", ""},
		{"help of a command", []string{"help", "scan"}, 0, "--prefix P", ""},
		{"help of a command by flag", []string{"get", "-h"}, 0, "example:", ""},
		{"help of no command", []string{"help", "frob"}, 2, "", `no command "frob"`},
		{"no command", []string{"frob"}, 2, "", `no command "frob"`},
		{"too few arguments", []string{"get", "x"}, 2, "", "want LOCATION KEY, got 1"},
		{"too many arguments", []string{"stats", "x", "y"}, 2, "", "want LOCATION, got 2"},
		{"unknown flag", []string{"scan", "--frob", "x"}, 2, "", "frob"},
		{"bad hex", []string{"get", "x", "0xzz"}, 2, "", "no hex number"},
		{"bad limit", []string{"scan", "x", "--limit", "-1"}, 2, "", "--limit is -1"},
		{"bounds the wrong way round", []string{"scan", "x", "--from", "b", "--to", "a"}, 2, "", "no key lies between b and a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := slate(t, c.args...)
			assert.Equal(t, c.code, r.code)
			assert.Contains(t, r.out, c.out)
			assert.Contains(t, r.err, c.err)
			if c.code == 0 {
				assert.Empty(t, r.err)
			} else {
				assert.Empty(t, r.out)
			}
		})
	}
	for _, c := range commands() {
		assert.Contains(t, slate(t, "help", c.name).out, "example:\n  slatedb "+c.name, "help shows an example")
	}
}

func TestMissingDatabase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nothing")
	for _, args := range [][]string{{"get", dir, "k"}, {"scan", dir}, {"stats", dir}} {
		r := slate(t, args...)
		assert.Equal(t, 1, r.code, "%v", args)
		assert.Contains(t, r.err, "slatedb "+args[0]+": open "+dir)
	}
}

func TestGet(t *testing.T) {
	db := database(t, "user:1=Alice", "two=line\nbreak", "\xff\x00=\x01\x02", "0xab=literal")
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string
	}{
		{"text", []string{db, "user:1"}, 0, "Alice"},
		{"bytes as they are", []string{db, "two"}, 0, "line\nbreak"},
		{"hex key", []string{db, "0xff00"}, 0, "\x01\x02"},
		{"literal key", []string{"--literal", db, "0xab"}, 0, "literal"},
		{"flags behind arguments", []string{db, "0xab", "--literal"}, 0, "literal"},
		{"absent", []string{db, "nobody"}, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := slate(t, append([]string{"get"}, c.args...)...)
			assert.Equal(t, c.code, r.code, r.err)
			assert.Equal(t, c.out, r.out)
		})
	}
	assert.Contains(t, slate(t, "get", db, "nobody").err, "no such key: nobody")

	var e entryJSON
	require.NoError(t, json.Unmarshal([]byte(slate(t, "get", "--json", db, "user:1").out), &e))
	assert.Equal(t, "user:1", *e.Key)
	assert.Equal(t, "Alice", *e.Value)
	assert.NotZero(t, e.Seq)
	require.NotNil(t, e.CreateTime)
	assert.Nil(t, e.ExpireTime)
	require.NoError(t, json.Unmarshal([]byte(slate(t, "get", "--json", db, "0xff00").out), &e))
	assert.Equal(t, "ff00", e.KeyHex)
}

func TestScan(t *testing.T) {
	db := database(t, "a=1", "b:1=x", "b:2=y\tz\n", "b:3=\xff\xfe", "c=3", "\xf0=bin")
	for _, c := range []struct {
		name string
		args []string
		out  string
	}{
		{"all", nil, "a\t1\nb:1\tx\nb:2\ty\\tz\\n\nb:3\t<2 bytes>\nc\t3\n0xf0\tbin\n"},
		{"prefix", []string{"--prefix", "b:"}, "b:1\tx\nb:2\ty\\tz\\n\nb:3\t<2 bytes>\n"},
		{"range", []string{"--from", "b:2", "--to", "c", "--keys"}, "b:2\nb:3\n"},
		{"narrowed prefix", []string{"--prefix", "b:", "--from", "b:2", "--to", "z", "--keys"}, "b:2\nb:3\n"},
		{"a bound outside the prefix", []string{"--prefix", "b:", "--from", "a", "--keys"}, "b:1\nb:2\nb:3\n"},
		{"reverse and limit", []string{"--reverse", "--limit", "2", "--keys"}, "0xf0\nc\n"},
		{"hex bound", []string{"--from", "0xf0", "--keys"}, "0xf0\n"},
		{"hex values", []string{"--prefix", "b:3", "--hex"}, "b:3\t0xfffe\n"},
		{"count", []string{"--count"}, "6 entries, 24 bytes\n"},
		{"count of a part as JSON", []string{"--count", "--prefix", "b", "--json"}, "{\"entries\":3,\"bytes\":16}\n"},
		{"nothing there", []string{"--prefix", "zz"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := slate(t, append([]string{"scan", db}, c.args...)...)
			assert.Equal(t, 0, r.code, r.err)
			assert.Equal(t, c.out, r.out)
		})
	}

	lines := strings.Split(strings.TrimSpace(slate(t, "scan", "--json", db).out), "\n")
	require.Len(t, lines, 6)
	for _, l := range lines {
		assert.True(t, json.Valid([]byte(l)), "%s", l)
	}
}

func TestStats(t *testing.T) {
	db := database(t, "a=1", "b=2")
	r := slate(t, "stats", "--json", db)
	require.Equal(t, 0, r.code, r.err)
	var s statsReport
	require.NoError(t, json.Unmarshal([]byte(r.out), &s))
	assert.NotZero(t, s.Manifest.ID)
	assert.NotZero(t, s.Manifest.WriterEpoch)
	require.NotEmpty(t, s.Trees)
	assert.Equal(t, 1, s.Trees[0].L0.Tables)
	assert.NotZero(t, s.Trees[0].L0.Bytes)
	assert.Empty(t, s.Checkpoints)
	assert.NotZero(t, s.Requests.Get)
	assert.Equal(t, s.WAL.Last, max(s.WAL.Last, s.WAL.ReplayAfter), "the log goes on behind the tables")
	kinds := map[string]int{}
	for _, o := range s.Objects {
		kinds[o.Kind] = o.Objects
		assert.GreaterOrEqual(t, o.Bytes, int64(0))
	}
	assert.Equal(t, 1, kinds["compacted"])
	assert.NotZero(t, kinds["manifest"])
	assert.NotZero(t, kinds["wal"])

	text := slate(t, "stats", db)
	assert.Equal(t, 0, text.code)
	for _, want := range []string{"manifest", "wal", "L0", "checkpoints", "objects compacted", "requests"} {
		assert.Contains(t, text.out, want)
	}
}

// A reading command must not take the database from its writer.
func TestReadingCommandsLeaveTheWriterAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := slatedb.Open(t.Context(), dir, nil)
	require.NoError(t, err)
	require.NoError(t, db.Put(t.Context(), []byte("k"), []byte("v")))

	assert.Equal(t, "v", slate(t, "get", dir, "k").out, "a durable row that no table holds yet")
	assert.Equal(t, "k\tv\n", slate(t, "scan", dir).out)
	assert.Equal(t, 0, slate(t, "stats", dir).code)

	require.NoError(t, db.Put(t.Context(), []byte("k"), []byte("w")), "the writer is fenced")
	require.NoError(t, db.Close(t.Context()))
	assert.Equal(t, "w", slate(t, "get", dir, "k").out)
}

// tree makes a folder of n files and returns it with what it holds.
func tree(t *testing.T, n int) (dir string, want map[string]string) {
	t.Helper()
	dir, want = t.TempDir(), map[string]string{}
	for i := range uint64(n) {
		name := fmt.Sprintf("d%d/e%d/f%04d", i%3, i%7, i)
		if i == 0 {
			name = "top"
		}
		want[name] = string(testkit.Value(i, int(testkit.Mix64(i)%5000)))
		p := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, []byte(want[name]), 0o644))
	}
	return dir, want
}

func TestLoad(t *testing.T) {
	dir, want := tree(t, 700)
	db := filepath.Join(t.TempDir(), "db")
	r := slate(t, "load", dir, db, "--verify")
	require.Equal(t, 0, r.code, r.err)
	assert.Empty(t, r.out, "progress goes to standard error")
	assert.Contains(t, r.err, "loaded 100%  700/700 files")
	assert.Contains(t, r.err, "verified 100%  700/700 files")
	for name, value := range want {
		r := slate(t, "get", db, name)
		require.Equal(t, 0, r.code, r.err)
		require.Equal(t, value, r.out, name)
		break // --verify has compared the rest
	}
	assert.Equal(t, len(want), strings.Count(slate(t, "scan", "--keys", db).out, "\n"))

	again := slate(t, "load", "--quiet", dir, db)
	assert.Equal(t, result{0, "", ""}, again)
}

func TestLoadNamesWhatItCannotStore(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need rights there")
	}
	dir, _ := tree(t, 3)
	require.NoError(t, os.Symlink("top", filepath.Join(dir, "link")))
	unreadable := os.Getuid() != 0
	if unreadable {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), nil, 0))
	}
	db := filepath.Join(t.TempDir(), "db")
	r := slate(t, "load", "--verify", dir, db)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "link: symbolic link")
	if unreadable {
		assert.Contains(t, r.err, "secret")
	}
	assert.Equal(t, 3, strings.Count(slate(t, "scan", "--keys", db).out, "\n"), "the rest is stored")

	for _, c := range []struct {
		name, dir, location string
		code                int
		err                 string
	}{
		{"no folder", filepath.Join(dir, "absent"), db, 1, "absent"},
		{"a file", filepath.Join(dir, "top"), db, 2, "not a folder"},
		{"an empty folder", t.TempDir(), db, 1, "holds no file"},
		{"a database inside the folder", dir, filepath.Join(dir, "db"), 2, "lies inside"},
		{"the same by URL", dir, "file://" + filepath.ToSlash(filepath.Join(dir, "db")), 2, "lies inside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := slate(t, "load", c.dir, c.location)
			assert.Equal(t, c.code, r.code)
			assert.Contains(t, r.err, c.err)
		})
	}
}

func TestVerifySeesADifference(t *testing.T) {
	db := database(t, "a=1", "b=2", "d=4")
	sum := func(s string) storedFile { return storedFile{s[:1], sha(s[2:])} }
	var errs bytes.Buffer
	l := &loader{io: &streams{nil, &bytes.Buffer{}, &errs}, location: db, quiet: true}

	l.stored = []storedFile{sum("a=1"), sum("b=2"), sum("d=4")}
	require.NoError(t, l.compare(t.Context()))

	l.stored = []storedFile{sum("d=4"), sum("b=9"), sum("c=3"), sum("e=5")}
	err := l.compare(t.Context())
	require.Error(t, err)
	assert.Contains(t, err.Error(), "3 of 4 files wrong")
	assert.Contains(t, errs.String(), "b differs")
	assert.Contains(t, errs.String(), "c is missing")
	assert.Contains(t, errs.String(), "e is missing")
}
