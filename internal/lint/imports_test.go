package lint

import (
	"fmt"
	"go/parser"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A layer says what packages of this module a package may import. Imports point downwards
// only: skipping a layer is fine, looking back is not.
type layer struct {
	pkg string   // folder, or folder/... with everything below it; "" is the root package
	may []string // the same
}

// graph is checked top to bottom; the first line that fits a package counts. A package that
// fits none fails the test: give it its place here.
var graph = []layer{
	// Programs and tools, above the library. Nobody imports them.
	{"cmd/...", []string{"", "settings", "manifest", "sst", "wal", "objstore/...", "internal/kv", "internal/seam"}},
	{"examples/...", []string{"", "settings", "manifest", "cache", "ciphers", "operators", "objstore/..."}},
	{"internal/lint", nil},
	{"internal/interop", []string{"", "objstore/...", "manifest", "sst", "internal/testkit"}},
	{"internal/sim/...", []string{"", "manifest", "sst", "wal", "objstore/...", "internal/..."}},
	{"internal/testkit", nil},

	// Helpers for users, above the library too.
	{"settings", []string{"", "cache", "sst", "objstore"}},
	{"operators/...", []string{"", "internal/kv"}},
	{"ciphers/...", []string{"", "sst"}},
	{"metrics/...", []string{""}},

	// The library. compactor and gc do not know each other, nor do wal and manifest.
	{"", []string{
		"compactor", "gc", "cache", "diskcache", "wal", "manifest", "memtable", "sst", "objstore",
		"objstore/retry", "objstore/limit", "objstore/metered", "objstore/prefix", "objstore/hedge", "objstore/prices", "objstore/probe",
		"internal/...",
	}},
	{"compactor", []string{"cache", "manifest", "sst", "objstore", "internal/..."}},
	{"gc", []string{"cache", "wal", "manifest", "sst", "objstore", "internal/..."}},
	{"cache", []string{"sst", "objstore", "internal/..."}},
	{"diskcache", []string{"objstore", "internal/kv", "internal/seam"}},
	{"wal", []string{"sst", "objstore", "internal/..."}},
	{"manifest", []string{"sst", "objstore", "internal/..."}},
	{"memtable", []string{"internal/..."}},
	{"sst", []string{"objstore", "internal/..."}},
	{"objstore/...", []string{"objstore/...", "internal/..."}},

	// The vocabulary and the seams stand on nothing; pure tools stand on them.
	{"internal/kv", nil},
	{"internal/seam", nil},
	{"internal/flatbuf", nil},
	{"internal/...", []string{"internal/..."}},
}

// onlyBy narrows what the graph allows: who may import these packages at all.
var onlyBy = map[string][]string{
	// Generated types stop here: they appear in nobody's API.
	"internal/flatbuf": {"sst", "manifest"},
	"memtable":         {""},
	"objstore/faulty":  {"internal/sim/..."},
	"objstore/deviant": nil,
	"objstore/delay":   {"cmd/...", "internal/sim/..."},
	// A provider drags in a cloud SDK: a program that wants one imports it itself.
	"objstore/s3":         {"objstore/all", "cmd/...", "examples/..."},
	"objstore/gcs":        {"objstore/all", "cmd/...", "examples/..."},
	"objstore/azure":      {"objstore/all", "cmd/...", "examples/..."},
	"objstore/all":        {"cmd/...", "examples/..."},
	"objstore/cloud":      {"objstore/s3", "objstore/gcs", "objstore/azure"},
	"objstore/storetest":  {"objstore/servertest"},
	"objstore/servertest": nil,
	"internal/testkit":    {"internal/interop", "internal/sim/..."},
	"internal/memfs":      {"internal/sim/..."}, // a disk for tests
}

// external says who may import which module of others. std is free.
var external = map[string][]string{
	"github.com/google/flatbuffers":    {"sst", "manifest", "internal/flatbuf"},
	"github.com/klauspost/compress":    {"sst", "internal/codec"},
	"github.com/pierrec/lz4/v4":        {"sst", "internal/codec"},
	"github.com/bits-and-blooms/bloom": {"gc"},
	"github.com/oklog/ulid/v2":         {"", "cmd/...", "compactor", "gc", "cache", "wal", "manifest", "sst", "objstore/...", "internal/..."},
	"github.com/google/uuid":           {"", "cmd/...", "compactor", "gc", "manifest", "internal/..."},
	"github.com/stretchr/testify":      {"objstore/storetest", "objstore/servertest", "internal/sim/..."},
	"pgregory.net/rapid":               {"objstore/storetest", "objstore/servertest", "internal/sim/..."},
	"golang.org/x/sys":                 {"memtable", "objstore", "cache", "internal/..."},
	// What else these need is their own affair, and stays out of the root package.
	"": {"objstore/s3", "objstore/gcs", "objstore/azure", "objstore/thanos", "settings", "metrics/...", "operators/...", "ciphers/..."},
}

func TestImportGraph(t *testing.T) {
	for _, f := range goFiles(t, parser.ImportsOnly) {
		if f.isTest() {
			continue // a test may look anywhere; the compiler forbids cycles
		}
		for _, imp := range f.ast.Imports {
			to, err := strconv.Unquote(imp.Path.Value)
			require.NoError(t, err)
			if why := importProblem(f.dir, to); why != "" {
				t.Errorf("%s: %s", f.at(imp), why)
			}
		}
	}
}

// importProblem says why package dir of this module must not import path, or "".
func importProblem(dir, path string) string {
	if path == "C" {
		return "imports C; everything builds without cgo"
	}
	to, own := strings.CutPrefix(path, modulePath+"/")
	if path == modulePath {
		to, own = "", true
	}
	if !own {
		if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
			return "" // std
		}
		best, found := "", false
		for m := range external {
			if (path == m || strings.HasPrefix(path, m+"/") || m == "") && len(m) >= len(best) {
				best, found = m, true
			}
		}
		if found && underAny(dir, external[best]) || underAny(dir, external[""]) {
			return ""
		}
		return fmt.Sprintf("package %q may not import %s (table external)", dir, path)
	}
	if by, ok := onlyBy[to]; ok && !underAny(dir, by) {
		return fmt.Sprintf("package %q may not import %s (table onlyBy)", dir, to)
	}
	for _, l := range graph {
		if !under(dir, l.pkg) {
			continue
		}
		if !underAny(to, l.may) {
			return fmt.Sprintf("package %q may not import %q (table graph)", dir, to)
		}
		return ""
	}
	return fmt.Sprintf("package %q has no place in the table graph", dir)
}

// TestImportGraphSeesAWrongImport keeps the check itself honest.
func TestImportGraphSeesAWrongImport(t *testing.T) {
	for _, c := range []struct {
		dir, path string
		bad       bool
	}{
		{"sst", modulePath + "/objstore", false},
		{"sst", modulePath + "/manifest", true},
		{"objstore", modulePath + "/sst", true},
		{"wal", modulePath + "/manifest", true},
		{"manifest", modulePath + "/wal", true},
		{"gc", modulePath + "/compactor", true},
		{"compactor", modulePath + "/gc", true},
		{"sst", modulePath, true},
		{"cmd/slatedb", modulePath, false},
		{"", modulePath + "/cmd/slatedb", true},
		{"", modulePath + "/internal/flatbuf", true},
		{"sst", modulePath + "/internal/flatbuf", false},
		{"memtable", modulePath + "/objstore", true},
		{"internal/kv", modulePath + "/internal/seam", true},
		{"internal/merging", modulePath + "/internal/kv", false},
		{"internal/merging", modulePath + "/sst", true},
		{"", modulePath + "/objstore/s3", true},
		{"objstore/all", modulePath + "/objstore/s3", false},
		{"objstore/gcs", modulePath + "/objstore/cloud", false},
		{"objstore/retry", modulePath + "/objstore/cloud", true},
		{"objstore/cloud", "github.com/aws/aws-sdk-go-v2/aws", true},
		{"objstore/all", "github.com/aws/aws-sdk-go-v2/aws", true},
		{"wal", modulePath + "/internal/testkit", true},
		{"brandnew", modulePath + "/sst", true},
		{"sst", "github.com/klauspost/compress/zstd", false},
		{"wal", "github.com/klauspost/compress/zstd", true},
		{"objstore", "github.com/thanos-io/objstore", true},
		{"objstore/s3", "github.com/thanos-io/objstore", false},
		{"sst", "encoding/binary", false},
		{"sst", "C", true},
	} {
		got := importProblem(c.dir, c.path)
		assert.Equal(t, c.bad, got != "", "%q imports %s: %s", c.dir, c.path, got)
	}
}

// TestRootLinksNoCloud: what a program gets by importing the root package, all the way down.
func TestRootLinksNoCloud(t *testing.T) {
	allowed := map[string]bool{
		modulePath:                            true,
		"github.com/google/flatbuffers":       true,
		"github.com/google/uuid":              true,
		"github.com/klauspost/compress":       true,
		"github.com/oklog/ulid/v2":            true,
		"github.com/pierrec/lz4/v4":           true,
		"github.com/bits-and-blooms/bitset":   true,
		"github.com/bits-and-blooms/bloom/v3": true,
		"golang.org/x/sys":                    true,
	}
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	cmd.Dir = repoRoot(t)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	seen := map[string]bool{}
	for _, m := range strings.Fields(string(out)) {
		seen[m] = true
	}
	require.True(t, seen[modulePath], "go list printed: %s", out)
	var extra []string
	for m := range seen {
		if !allowed[m] {
			extra = append(extra, m)
		}
	}
	sort.Strings(extra)
	assert.Empty(t, extra, "the root package links modules it must not")
}

func itoa(n int) string { return strconv.Itoa(n) }
