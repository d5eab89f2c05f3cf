package lint

import (
	"go/ast"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// aboveTheSeams are the packages that run outside the engine and may use what they like.
var aboveTheSeams = []string{
	"internal/seam", "internal/testkit", "internal/lint", "internal/interop", "internal/sim/...",
	"cmd/...", "examples/...", "objstore/storetest", "objstore/servertest",
}

// A door is one thing of the outside world, and the files that may use it themselves.
type door struct {
	what string   // import path, or import path and name
	why  string   // what to use instead
	ok   []string // file name patterns of path.Match, relative to the root
}

var (
	dirStore  = []string{"objstore/dir*.go", "objstore/file*.go"}
	providers = []string{"objstore/s3/*.go", "objstore/gcs/*.go", "objstore/azure/*.go", "objstore/thanos/*.go", "objstore/cloud/*.go"}
	loaders   = []string{"settings/*.go"}
)

var doorImports = []door{
	{"os", "seam.FS, or a Store", append(append(append([]string{}, dirStore...), providers...), loaders...)},
	{"os/exec", "nothing: the engine starts no programs", nil},
	{"os/signal", "nothing: signals belong to the program", nil},
	{"io/ioutil", "a Store", nil},
	{"net", "a Store", providers},
	{"net/http", "a Store", providers},
	{"math/rand", "seam.Env.Uint64", nil},
	{"math/rand/v2", "seam.Env.Uint64", nil},
	{"crypto/rand", "seam.Env.Rand", []string{"ciphers/*.go", "ciphers/*/*.go"}},
	{"golang.org/x/sync/errgroup", "seam.Group", nil},
	{"golang.org/x/sync/singleflight", "the cache's own", nil},
}

var doorNames = []door{
	{"time.Now", "seam.Clock", nil},
	{"time.Since", "seam.Clock", nil},
	{"time.Until", "seam.Clock", nil},
	{"time.Sleep", "seam.Env.Sleep", nil},
	{"time.After", "seam.Clock.NewTimer", nil},
	{"time.AfterFunc", "seam.Clock.NewTimer and Spawn", nil},
	{"time.NewTimer", "seam.Clock.NewTimer", nil},
	{"time.NewTicker", "seam.Clock.NewTimer", nil},
	{"time.Tick", "seam.Clock.NewTimer", nil},
	// The goroutine it starts is out of the seams' hands; ending a context by it is harmless.
	{"context.AfterFunc", "Spawn: it starts a goroutine", []string{"sst/group.go"}},
}

func (d door) open(file string) bool {
	for _, p := range d.ok {
		if ok, _ := path.Match(p, file); ok {
			return true
		}
	}
	return false
}

func TestSeams(t *testing.T) {
	for _, f := range goFiles(t, 0) {
		for _, problem := range seamProblems(f) {
			t.Error(problem)
		}
	}
}

// seamProblems lists what f does past the seams.
func seamProblems(f *goFile) (problems []string) {
	if f.isTest() || underAny(f.dir, aboveTheSeams) {
		return nil
	}
	say := func(n ast.Node, what, why string) {
		problems = append(problems, f.at(n)+": "+what+"; use "+why)
	}
	names := map[string]string{} // local name of an import -> path
	for _, imp := range f.ast.Imports {
		p, _ := strconv.Unquote(imp.Path.Value)
		name := path.Base(p)
		if imp.Name != nil {
			name = imp.Name.Name
		}
		if name == "." {
			say(imp, "dot import of "+p, "its name: the check needs it")
		}
		names[name] = p
		for _, d := range doorImports {
			if d.what == p && !d.open(f.name) {
				say(imp, "imports "+p, d.why)
			}
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			say(n, "go statement", "seam.Env.Spawn or seam.Group")
		case *ast.CallExpr:
			// sync.WaitGroup.Go starts a goroutine and takes one argument; seam.Group.Go two.
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Go" && len(n.Args) == 1 {
				say(n, "Go with one argument, as of sync.WaitGroup", "seam.Group")
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok || names[x.Name] == "" {
				return true
			}
			full := names[x.Name] + "." + n.Sel.Name
			for _, d := range doorNames {
				if d.what == full && !d.open(f.name) {
					say(n, full, d.why)
				}
			}
		}
		return true
	})
	return problems
}

func TestSeamsSeesWhatIsForbidden(t *testing.T) {
	src := func(imports, body string) string {
		return "package p\nimport (\n" + imports + "\n)\nfunc f() {\n" + body + "\n}\n"
	}
	for _, c := range []struct {
		name, file, src string
		want            string // "" = nothing wrong
	}{
		{"clock", "wal/a.go", src(`"time"`, `_ = time.Now()`), "time.Now"},
		{"clock by another name", "wal/a.go", src(`t "time"`, `_ = t.Now()`), "time.Now"},
		{"clock as a value", "wal/a.go", src(`"time"`, `now := time.Now; _ = now`), "time.Now"},
		{"since", "a.go", src(`"time"`, `_ = time.Since(time.Time{})`), "time.Since"},
		{"durations are no clock", "wal/a.go", src(`"time"`, `_ = time.Second`), ""},
		{"timer", "gc/a.go", src(`"time"`, `_ = time.NewTicker(1)`), "time.NewTicker"},
		{"goroutine", "a.go", src(``, `go f()`), "go statement"},
		{"goroutine of a wait group", "a.go", src(`"sync"`, `var wg sync.WaitGroup; wg.Go(f)`), "WaitGroup"},
		{"goroutine of a group", "a.go", src(``, `g.Go("poll", f)`), ""},
		{"random", "cache/a.go", src(`"math/rand/v2"`, `_ = rand.Int()`), "math/rand/v2"},
		{"file", "sst/a.go", src(`"os"`, `_ = os.Args`), "imports os"},
		{"file in the directory store", "objstore/dir_unix.go", src(`"os"`, `_ = os.Args`), ""},
		{"file in a program", "cmd/slatedb/a.go", src(`"os"`, `_ = os.Args`), ""},
		{"clock in a test", "wal/a_test.go", src(`"time"`, `_ = time.Now()`), ""},
		{"clock in the seams", "internal/seam/a.go", src(`"time"`, `_ = time.Now()`), ""},
		{"dot import", "wal/a.go", src(`. "time"`, `_ = Now()`), "dot import"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(seamProblems(parseSource(t, c.file, c.src)), "\n")
			if c.want == "" {
				assert.Empty(t, got)
			} else {
				assert.Contains(t, got, c.want)
			}
		})
	}
}
