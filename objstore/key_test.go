package objstore

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func TestValidKey(t *testing.T) {
	for _, key := range []string{"a", "a/b", "...", "a/..b", ".hidden", "a:b", "a b", `back\slash`, "tenant:7/db", "#1", strings.Repeat("x", 1000)} {
		assert.NoError(t, ValidKey(key), "%q", key)
	}
	for key, why := range map[string]string{
		"": "empty", "/": "begins with a slash", "/a": "begins with a slash", "a/": "ends with a slash", "a//b": "empty segment",
		".": "segment", "..": "segment", "a/..": "segment", "./a": "segment", "a/../b": "segment", "a\x00": "NUL",
	} {
		err := ValidKey(key)
		assert.ErrorIs(t, err, ErrInvalidKey, "%q", key)
		assert.ErrorContains(t, err, why)
	}
	assert.Less(t, len(ValidKey("/"+strings.Repeat("x", 1<<20)).Error()), 1000, "a hostile key does not flood the log")
	assert.Zero(t, testing.AllocsPerRun(10, func() { _ = ValidKey("wal/00000000000000000001.sst") }))
}

func TestK5_PathsFromManifests(t *testing.T) {
	for _, p := range []string{"", "db", "a/b/c", "tenant:7/db", "a..b", "..."} {
		assert.NoError(t, ValidPath(p), "%q", p)
	}
	for _, p := range []string{
		"..", "../x", "a/../../x", "a/..", "/etc/passwd", "/", "a/", "a//b", "nul\x00", ".", "./a",
		"file:///etc/passwd", "file:/etc/passwd", "s3://other/bucket", "http://169.254.169.254/latest", "memory:///x", "x+y-z.0://h/p",
		`C:\x`, "C:/x", `\\host\share`, `..\x`, `a\..\..\x`,
	} {
		err := ValidPath(p)
		assert.ErrorIs(t, err, kv.ErrInvalid, "%q", p)
		assert.ErrorIs(t, err, ErrInvalidKey, "%q", p)
	}
}

func FuzzValidPath(f *testing.F) {
	for _, s := range []string{"a/b", "../x", "s3://b", `C:\`, "a//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if ValidPath(p) != nil {
			return
		}
		if strings.HasPrefix(p, "/") || strings.Contains(p, "\x00") || strings.Contains(p, "://") {
			t.Fatalf("%q was let through", p)
		}
		for s := range strings.SplitSeq(p, "/") {
			if s == ".." {
				t.Fatalf("%q was let through", p)
			}
		}
	})
}
