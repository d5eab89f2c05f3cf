package main

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the files in testdata")

const goldenDir = "../../testdata/golden"

// goldenCopy copies a golden object store and returns the location of a database in it.
func goldenCopy(t *testing.T, store, db string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(goldenDir, store))))
	return filepath.Join(dir, filepath.FromSlash(db)) + "?root=" + dir
}

// masks hide what differs from run to run.
var masks = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`"location": "[^"]*"`), `"location": "LOCATION"`},
	{regexp.MustCompile(`"last_modified": "[^"]*"`), `"last_modified": "TIME"`},
	{regexp.MustCompile(`"expired": (true|false)`), `"expired": "BY THE CLOCK"`},
	{regexp.MustCompile(`(?m)  \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`), `  TIME`},
	{regexp.MustCompile(`(expired .* ago|expires in [0-9hdays ms]+?)(  +|\n)`), "BY THE CLOCK$2"},
	{regexp.MustCompile(` +\n`), "\n"},
}

// TestGoldenOutput compares what commands print about databases of the original engine, byte
// for byte: the JSON is an interface.
func TestGoldenOutput(t *testing.T) {
	for _, c := range []struct{ name, store, db, args string }{
		{"stats", "db018/segments/store", "db", "stats"},
		{"stats-clone", "db018/clones/store", "union", "stats"},
		{"verify", "db018/none/store", "db", "verify --quiet"},
		{"verify-orphan", "db018/gc/store", "db", "verify --quiet"},
		{"read-manifest", "db018/clones/store", "unionp", "read-manifest"},
		{"read-manifest-id", "db018/segments/store", "db", "read-manifest --id 9"},
		{"list-manifests", "db018/gc/store", "db", "list-manifests"},
		{"list-manifests-part", "db018/none/store", "db", "list-manifests -s 3 -e 6"},
		{"list-compactions", "db018/none/store", "db", "list-compactions"},
		{"read-compactions", "db018/incremental/store", "db", "read-compactions"},
		{"read-compactions-id", "db018/none/store", "db", "read-compactions -i 2"},
		{"list-checkpoints", "db018/checkpoints/store", "db", "list-checkpoints"},
		{"manifest-diff", "db018/segments/store", "db", "manifest diff LOCATION 7 latest"},
		{"manifest-diff-none", "db018/segments/store", "db", "manifest diff LOCATION 7 7"},
		{"sst-dump", "db018/retention-l0/store", "db", "sst dump LOCATION " + tableIn(t, "db018/retention-l0/store/db")},
		{"sst-dump-blocks", "db018/filters/store", "db", "sst dump --info --blocks LOCATION " + tableIn(t, "db018/filters/store/db")},
		{"wal-dump", "db018/nowal/store", "db", "wal dump --limit 3"},
		{"wal-dump-one", "db018/tracker2/store", "db", "wal dump --keys LOCATION 2"},
		{"seq-to-ts", "db018/tracker2/store", "db", "seq-to-ts --round up LOCATION 5"},
		{"scan", "db018/retention/store", "db", "scan --operands --limit 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			location := goldenCopy(t, c.store, c.db)
			args := strings.Fields(c.args)
			if !strings.Contains(c.args, "LOCATION") {
				args = append(args, "LOCATION")
			}
			for i := range args {
				if args[i] == "LOCATION" {
					args[i] = location
				}
			}
			compareGolden(t, c.name+".txt", slate(t, args...))
			compareGolden(t, c.name+".json", slate(t, append(args, "--json")...))
		})
	}
}

// tableIn is the first table of a golden database.
func tableIn(t *testing.T, db string) string {
	t.Helper()
	es, err := os.ReadDir(filepath.Join(goldenDir, db, "compacted"))
	require.NoError(t, err)
	require.NotEmpty(t, es)
	return strings.TrimSuffix(es[0].Name(), ".sst")
}

func compareGolden(t *testing.T, name string, r result) {
	t.Helper()
	require.Equal(t, 0, r.code, "%s", r.err)
	require.Empty(t, r.err)
	got := r.out
	for _, m := range masks {
		got = m.from.ReplaceAllString(got, m.to)
	}
	if strings.Contains(got, "BY THE CLOCK") {
		got = regexp.MustCompile(`   +`).ReplaceAllString(got, "  ") // columns are as wide as what is masked
	}
	file := filepath.Join("testdata", name)
	if *rewrite {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run the test with -rewrite to make it")
	assert.Equal(t, string(want), got)
}
