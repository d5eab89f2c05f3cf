package lint

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// snippetFiles are the pages whose Go blocks are compiled.
var snippetFiles = []string{"README.md"}

// packagesOfSnippets resolves the names that a fragment uses without importing them.
var packagesOfSnippets = map[string]string{
	"slatedb": modulePath, "objstore": modulePath + "/objstore", "cache": modulePath + "/cache",
	"settings": modulePath + "/settings", "manifest": modulePath + "/manifest",
	"context": "context", "errors": "errors", "fmt": "fmt", "log": "log", "slog": "log/slog", "os": "os",
	"time": "time", "bytes": "bytes", "strings": "strings", "uuid": "github.com/google/uuid",
	"binary": "encoding/binary", "sync": "sync", "signal": "os/signal", "http": "net/http", "io": "io",
}

// givenToFragments are the variables a fragment may use without declaring them. They are
// package variables, which need not all be used.
const givenToFragments = `
var (
	ctx             context.Context
	db              *slatedb.DB
	reader          *slatedb.Reader
	k, v, key, value []byte
	err             error
)
`

// A snippet is one Go block of a page.
type snippet struct {
	page string
	line int
	code string
}

var goBlock = regexp.MustCompile("(?ms)^```go[^\n]*\n(.*?)^```")

func snippetsOf(page, text string) (out []snippet) {
	for _, m := range goBlock.FindAllStringSubmatchIndex(text, -1) {
		out = append(out, snippet{page: page, line: 1 + strings.Count(text[:m[2]], "\n"), code: text[m[2]:m[3]]})
	}
	return out
}

// complete reports whether s is a program by itself.
func (s snippet) complete() bool {
	return regexp.MustCompile(`(?m)^package main$`).MatchString(s.code)
}

// needsCloud reports whether s opens something that is not on this machine: then it is built
// and not run.
func (s snippet) needsCloud() bool {
	return regexp.MustCompile(`"(s3a?|gs|az|azure|abfss?)://`).MatchString(s.code)
}

// source returns s as a file of package main.
func (s snippet) source() (string, error) {
	if s.complete() {
		return s.code, nil
	}
	code := strings.ReplaceAll(s.code, "…", "") // the dots of a page, as in { … }
	wrapped := "package main\n" + code
	if _, err := parser.ParseFile(token.NewFileSet(), "", wrapped, 0); err != nil { // not declarations, so statements
		imports, body := splitImports(code)
		wrapped = "package main\n" + imports + "func fragment() error {\n" + body + "\n"
		f, err := parser.ParseFile(token.NewFileSet(), "", wrapped+"return nil\n}\n", 0)
		if err != nil {
			return "", fmt.Errorf("neither declarations nor statements: %w", err)
		}
		// What a fragment declares and leaves to the reader's imagination counts as used.
		for _, name := range declared(f) {
			wrapped += "_ = " + name + "\n"
		}
		wrapped += "return nil\n}\n"
	}
	wrapped += givenToFragments + "\nfunc main() {}\n"
	f, err := parser.ParseFile(token.NewFileSet(), "", wrapped, 0)
	if err != nil {
		return "", err
	}
	var imports strings.Builder
	for _, name := range usedPackages(f) {
		fmt.Fprintf(&imports, "import %s %q\n", name, packagesOfSnippets[name])
	}
	return strings.Replace(wrapped, "package main\n", "package main\n"+imports.String(), 1), nil
}

// splitImports moves import lines in front of the statements.
func splitImports(code string) (imports, rest string) {
	for _, line := range strings.SplitAfter(code, "\n") {
		if strings.HasPrefix(line, "import ") {
			imports += line
		} else {
			rest += line
		}
	}
	return imports, rest
}

// declared lists the variables that the outermost block of function fragment declares.
func declared(f *ast.File) (names []string) {
	seen := map[string]bool{"_": true}
	add := func(id *ast.Ident) {
		if !seen[id.Name] {
			seen[id.Name] = true
			names = append(names, id.Name)
		}
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "fragment" {
			continue
		}
		for _, st := range fn.Body.List {
			switch st := st.(type) {
			case *ast.AssignStmt:
				if st.Tok != token.DEFINE {
					continue
				}
				for _, l := range st.Lhs {
					if id, ok := l.(*ast.Ident); ok {
						add(id)
					}
				}
			case *ast.DeclStmt:
				if g, ok := st.Decl.(*ast.GenDecl); ok && g.Tok == token.VAR {
					for _, sp := range g.Specs {
						for _, id := range sp.(*ast.ValueSpec).Names {
							add(id)
						}
					}
				}
			}
		}
	}
	return names
}

// usedPackages lists the known package names that f uses and does not import.
func usedPackages(f *ast.File) (names []string) {
	have := map[string]bool{}
	for _, imp := range f.Imports {
		p := strings.Trim(imp.Path.Value, `"`)
		have[p[strings.LastIndex(p, "/")+1:]] = true
		if p == modulePath {
			have["slatedb"] = true
		}
	}
	used := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && packagesOfSnippets[x.Name] != "" && !have[x.Name] {
				used[x.Name] = true
			}
		}
		return true
	})
	for n := range used {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// TestReadmeSnippets: what a page shows compiles, and whole programs end well.
func TestReadmeSnippets(t *testing.T) {
	root := repoRoot(t)
	for _, page := range snippetFiles {
		text, err := os.ReadFile(filepath.Join(root, page))
		require.NoError(t, err)
		all := snippetsOf(page, string(text))
		require.NotEmpty(t, all, "%s shows no Go", page)
		programs := 0
		for _, s := range all {
			if s.complete() {
				programs++
			}
		}
		assert.NotZero(t, programs, "%s shows no complete program", page)
		for _, s := range all {
			t.Run(fmt.Sprintf("%s:%d", s.page, s.line), func(t *testing.T) { tryOut(t, root, s) })
		}
	}
}

// tryOut builds s in a module of its own that uses this checkout, and runs it.
func tryOut(t *testing.T, root string, s snippet) {
	src, err := s.source()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(src), 0o644))
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	text := strings.Replace(string(mod), "module "+modulePath+"\n", "module snippet\n", 1)
	text += fmt.Sprintf("\nrequire %s v0.0.0\nreplace %s => %s\n", modulePath, modulePath, filepath.ToSlash(root))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o644))

	bin := filepath.Join(dir, "snippet.exe")
	goCommand(t, dir, "build", "-o", bin, ".")
	if !s.complete() || s.needsCloud() {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin)
	cmd.Dir = dir // what it stores in a relative folder goes with the test
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "the program printed:\n%s", out)
}

func goCommand(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		require.NoError(t, err, "go %s:\n%s", strings.Join(args, " "), out)
	}
	require.NoError(t, err)
}

func TestSnippetsAreFoundAndWrapped(t *testing.T) {
	page := "# x\n\n```go\npackage main\n\nfunc main() {}\n```\n\ntext\n\n```sh\nls\n```\n\n" +
		"```go\ndb, err := slatedb.Open(ctx, \"memory:///a\", nil)\nfor e, err := range db.Entries(ctx, slatedb.All, nil) { … }\n```\n" +
		"```go\ntype mine struct{ d time.Duration }\n```\n"
	all := snippetsOf("p.md", page)
	require.Len(t, all, 3)
	assert.Equal(t, 4, all[0].line)
	assert.True(t, all[0].complete())
	assert.False(t, all[1].complete())

	src, err := all[1].source()
	require.NoError(t, err)
	assert.Contains(t, src, `import slatedb "`+modulePath+`"`)
	assert.Contains(t, src, `import context "context"`)
	assert.Contains(t, src, "_ = db\n")
	assert.Contains(t, src, "_ = err\n")

	src, err = all[2].source()
	require.NoError(t, err)
	assert.Contains(t, src, `import time "time"`)
	assert.NotContains(t, src, "func fragment")

	_, err = snippet{code: "db.Put(("}.source()
	assert.Error(t, err)
	assert.True(t, snippet{code: `Open(ctx, "s3://b/x", nil)`}.needsCloud())
	assert.False(t, snippet{code: `Open(ctx, "memory:///x", nil) // or s3://`}.needsCloud())
}
