package lint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/slatedb/slatedb-go"

// repoRoot returns the folder of the module's go.mod.
func repoRoot(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	require.NoError(t, err)
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && bytes.Contains(b, []byte("module "+modulePath+"\n")) {
			return dir
		}
		up := filepath.Dir(dir)
		require.NotEqual(t, dir, up, "no go.mod of %s above the test", modulePath)
		dir = up
	}
}

// A goFile is one parsed source file of the module.
type goFile struct {
	name string // relative to the root, with slashes
	dir  string // its folder, "" for the root
	ast  *ast.File
	fset *token.FileSet
}

func (f *goFile) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

// at returns a position as file:line.
func (f *goFile) at(n ast.Node) string {
	p := f.fset.Position(n.Pos())
	return f.name + ":" + itoa(p.Line)
}

// goFiles parses every Go file of the module, whatever its build constraints, without the
// modules nested in it.
func goFiles(t *testing.T, mode parser.Mode) []*goFile {
	t.Helper()
	root := repoRoot(t)
	var files []*goFile
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			name := d.Name()
			if rel != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil && rel != "." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		a, err := parser.ParseFile(fset, rel, src, mode|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(rel)
		if dir == "." {
			dir = ""
		}
		files = append(files, &goFile{name: rel, dir: dir, ast: a, fset: fset})
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

// parseSource makes a goFile of a text, for tests of the checks themselves.
func parseSource(t *testing.T, name, src string) *goFile {
	t.Helper()
	fset := token.NewFileSet()
	a, err := parser.ParseFile(fset, name, src, parser.ParseComments)
	require.NoError(t, err)
	dir := path.Dir(name)
	if dir == "." {
		dir = ""
	}
	return &goFile{name: name, dir: dir, ast: a, fset: fset}
}

// trackedFiles lists the files that are in the repository or would be added to it. Outside a
// clone (an unpacked archive) it is everything but the scripts' own folder.
func trackedFiles(t *testing.T) (names []string) {
	t.Helper()
	root := repoRoot(t)
	add := func(name string) {
		if st, err := os.Lstat(filepath.Join(root, name)); err == nil && st.Mode().IsRegular() {
			names = append(names, name)
		}
	}
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		for _, n := range strings.Split(string(out), "\x00") {
			if n != "" {
				add(n)
			}
		}
	} else {
		err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == ".git" || d.Name() == ".cache") {
				return filepath.SkipDir
			}
			rel, err := filepath.Rel(root, p)
			add(filepath.ToSlash(rel))
			return err
		})
		require.NoError(t, err)
	}
	require.NotEmpty(t, names)
	return names
}

// under reports whether dir is pattern, or lies below it when pattern ends in "/...".
func under(dir, pattern string) bool {
	if p, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == p || strings.HasPrefix(dir, p+"/")
	}
	return dir == pattern
}

func underAny(dir string, patterns []string) bool {
	for _, p := range patterns {
		if under(dir, p) {
			return true
		}
	}
	return false
}
