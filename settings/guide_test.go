package settings

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the tables of the guide")

const guide = "../docs/guides/settings.md"

// guideTable is the table of the guide for some fields.
func guideTable(fields []Field) string {
	b := &strings.Builder{}
	b.WriteString("| setting | is | default | option | effect |\n|---|---|---|---|---|\n")
	for _, f := range fields {
		is := f.Kind.String()
		if f.Unit() != "" {
			is = f.Unit()
		}
		if f.Nullable {
			is += ", null"
		}
		dflt := strings.Trim(f.Default, `"`)
		if f.Kind == Section {
			dflt = "on"
			if !f.Nullable {
				dflt = ""
			}
		}
		if f.Adaptive != "" {
			dflt = fmt.Sprintf("*%s: %s*", dflt, f.Adaptive)
		}
		if f.RustDefault != "" {
			dflt += "; Rust: " + f.RustDefault
		}
		effect := f.Effect
		if f.Kind == Enum {
			effect += " One of " + strings.Join(f.Values, ", ") + "."
		}
		if f.Own {
			effect += " Not one of the Rust engine, which ignores it."
		}
		option := ""
		if f.Option != "" {
			option = "`" + f.Option + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", f.Name, is, dflt, option, effect)
	}
	return b.String()
}

// TestGuideTable: the guide's tables are the table of fields.
func TestGuideTable(t *testing.T) {
	page, err := os.ReadFile(guide)
	require.NoError(t, err)
	text := strings.ReplaceAll(string(page), "\r\n", "\n")
	var own []Field
	for _, f := range ReaderFields() {
		if !strings.HasPrefix(f.Name, "object_store_cache_options") {
			own = append(own, f)
		}
	}
	want := text
	for name, fields := range map[string][]Field{"settings": Fields(), "reader settings": own} {
		part := regexp.MustCompile(`(?s)(<!-- ` + name + `[^>]*-->\n).*?(<!-- end of ` + name + ` -->)`)
		require.Len(t, part.FindAllString(text, -1), 1, name)
		want = part.ReplaceAllStringFunc(want, func(s string) string {
			m := part.FindStringSubmatch(s)
			return m[1] + guideTable(fields) + m[2]
		})
	}
	if *rewrite {
		require.NoError(t, os.WriteFile(guide, []byte(want), 0o644))
		return
	}
	assert.Equal(t, want, text, "go test ./settings -run TestGuideTable -rewrite")
}

// TestGuideFile: the file that the guide shows is right.
func TestGuideFile(t *testing.T) {
	page, err := os.ReadFile(guide)
	require.NoError(t, err)
	files := regexp.MustCompile("(?ms)^```toml\n(.*?)^```").FindAllStringSubmatch(string(page), -1)
	require.Len(t, files, 1)
	s := New(nil)
	s.Strict = true
	require.NoError(t, s.Merge(TOML, "guide", []byte(files[0][1])))
	o, err := s.Options()
	require.NoError(t, err)
	assert.Equal(t, slatedb.Zstd, o.Compression)
	assert.True(t, o.Compactor.DisableWorker)
	var environ []string
	for _, m := range regexp.MustCompile(`(?m)^    (SLATEDB_\S+)$`).FindAllStringSubmatch(string(page), -1) {
		environ = append(environ, m[1])
	}
	require.Len(t, environ, 4)
	require.NoError(t, s.MergeEnv(Prefix, environ))
	assert.Contains(t, string(page), `l0_max_ssts: it is the text "many", want an integer`)
	err = s.Merge(TOML, "SlateDb.toml", []byte(`l0_max_ssts = "many"`))
	assert.ErrorContains(t, err, `settings: SlateDb.toml: l0_max_ssts: it is the text "many", want an integer`)
}

func Example() {
	o, err := Parse(YAML, []byte(`
flush_interval: 20ms
compactor_options:
  worker: null
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	db, err := slatedb.Open(context.Background(), "memory://settings-example/db", o)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(o.FlushInterval, o.Compactor.DisableWorker, db.Close(context.Background()))
	// Output: 20ms true <nil>
}
