package objstore

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func rootOf(t *testing.T, s Store) string {
	t.Helper()
	require.IsType(t, &dirStore{}, s)
	return s.(*dirStore).dir
}

func TestResolveMemory(t *testing.T) {
	for _, c := range []struct{ location, name, path string }{
		{"memory:///orders", "", "orders"},
		{"memory:///a/b/", "", "a/b"},
		{"memory:///", "", ""},
		{"memory://", "", ""},
		{"memory://named/orders", "named", "orders"},
		{"memory://named", "named", ""},
		{"MEMORY:///orders", "", "orders"},
		{"memory:///with%20space", "", "with space"},
	} {
		s, path, err := Resolve(t.Context(), c.location)
		require.NoError(t, err, c.location)
		assert.Equal(t, c.path, path, c.location)
		assert.Same(t, namedMemory(c.name), s, c.location)
	}
	a, _, err := Resolve(t.Context(), "memory://forget/x")
	require.NoError(t, err)
	ForgetMemory("forget")
	b, _, err := Resolve(t.Context(), "memory://forget/x")
	require.NoError(t, err)
	assert.NotSame(t, a, b)
}

func TestResolveDir(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths of another system")
	}
	base := t.TempDir()
	t.Chdir(base)
	base, err := os.Getwd() // without symbolic links, as the system tells it
	require.NoError(t, err)
	for _, c := range []struct{ location, root, path string }{
		{"file://" + base + "/x/orders", base + "/x", "orders"},
		{"file:" + base + "/x/orders", base + "/x", "orders"},
		{"file://localhost" + base + "/x/orders", base + "/x", "orders"},
		{"file://" + base + "/x/orders/", base + "/x", "orders"},
		{"file://" + base + "/with%20space/o%23", base + "/with space", "o#"},
		{base + "/y/orders", base + "/y", "orders"},
		{base + "/y/../z/orders", base + "/z", "orders"},
		{"orders", base, "orders"},
		{"./orders", base, "orders"},
		{"dir/orders", base + "/dir", "orders"},
		{"dir/what?100%", base + "/dir", "what?100%"},
		{"C:", base, "C:"},
		{"a:b/c", base + "/a:b", "c"},
		{base + "/y/sub/orders?root=" + base + "/y", base + "/y", "sub/orders"},
		{"file://" + base + "/y/sub/orders?root=" + base, base, "y/sub/orders"},
		{base + "?root=" + base, base, ""},
		{"sub/orders?root=.", base, "sub/orders"},
	} {
		s, path, err := Resolve(t.Context(), c.location)
		require.NoError(t, err, c.location)
		assert.Equal(t, c.root, rootOf(t, s), c.location)
		assert.Equal(t, c.path, path, c.location)
		assert.DirExists(t, c.root, "created if absent")
	}
}

func TestResolveRefuses(t *testing.T) {
	base := t.TempDir()
	for location, words := range map[string]string{
		"":                                 "empty",
		"nul\x00":                          "NUL",
		"s3://bucket/path":                 `import _ "github.com/slatedb/slatedb-go/objstore/s3"`,
		"s3a://bucket/path":                `objstore/s3"`,
		"gs://bucket/path":                 `objstore/gcs"`,
		"az://container/path":              `objstore/azure"`,
		"azure://container/path":           `objstore/azure"`,
		"adl://container/path":             `objstore/azure"`,
		"abfs://container@acc.dfs.core/p":  `objstore/azure"`,
		"abfss://container@acc.dfs.core/p": `objstore/all"`,
		"ftp://host/path":                  `unknown scheme "ftp"`,
		"https://example.com/x":            `unknown scheme "https"`,
		"https://s3.eu-west-1.amazonaws.com/bucket/path": `objstore/s3"`,
		"s3:///path":                    "names no bucket",
		"s3://bucket/a/../../b":         "segment",
		"s3://bucket/%2e%2e/b":          "segment",
		"memory:///a//b":                "empty segment",
		"memory:///../x":                "segment",
		"file://dir/path":               "names a host",
		"file:///a/b?fsync=no":          `parameter "fsync"`,
		"s3://user:p%zzsecret@b/path":   "location is not a URL",
		base + "/x?root=" + base + "/y": "not below its root",
	} {
		s, _, err := Resolve(t.Context(), location)
		require.ErrorIs(t, err, kv.ErrInvalid, location)
		assert.ErrorContains(t, err, words, location)
		assert.NotContains(t, err.Error(), "secret")
		assert.Nil(t, s)
	}
}

func TestRegister(t *testing.T) {
	var opened *url.URL
	store := NewMemory()
	Register("Test-Scheme", func(_ context.Context, u *url.URL) (Store, error) { opened = u; return store, nil })
	defer func() {
		schemes.Lock()
		defer schemes.Unlock()
		delete(schemes.openers, "test-scheme")
	}()
	s, path, err := Resolve(t.Context(), "test-scheme://bucket/a/b?region=x")
	require.NoError(t, err)
	assert.Same(t, store, s)
	assert.Equal(t, "a/b", path)
	assert.Equal(t, "bucket", opened.Host)
	assert.Equal(t, "x", opened.Query().Get("region"))

	s, err = Open(t.Context(), "test-scheme://bucket/a/b")
	require.NoError(t, err)
	_, err = s.Put(t.Context(), "k", nil, Always)
	require.NoError(t, err)
	_, err = store.Head(t.Context(), "a/b/k")
	require.NoError(t, err, "Open takes the whole location as the root")

	_, _, err = Resolve(t.Context(), "other://bucket/x")
	assert.ErrorContains(t, err, "test-scheme")
}

func TestWellKnownHosts(t *testing.T) {
	for in, want := range map[string]string{
		"https://s3.eu-west-1.amazonaws.com/bucket/a/b":           "s3://bucket/a/b?region=eu-west-1",
		"https://s3.amazonaws.com/bucket/a":                       "s3://bucket/a",
		"https://bucket.s3.us-east-2.amazonaws.com/a":             "s3://bucket/a?region=us-east-2",
		"https://bucket.s3.amazonaws.com/a":                       "s3://bucket/a",
		"https://acc.r2.cloudflarestorage.com/bucket/a":           "s3://bucket/a?endpoint=https%3A%2F%2Facc.r2.cloudflarestorage.com&region=auto",
		"https://acc.blob.core.windows.net/container/a":           "az://container/a?account_name=acc",
		"https://bucket.s3.us-east-2.amazonaws.com/a?region=mine": "s3://bucket/a?region=mine",
		"https://ec2.amazonaws.com/bucket":                        "https://ec2.amazonaws.com/bucket",
		"http://s3.eu-west-1.amazonaws.com/bucket/a":              "http://s3.eu-west-1.amazonaws.com/bucket/a",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		assert.Equal(t, want, wellKnownHost(u).String())
	}
}

func TestOpenDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s, err := Open(t.Context(), dir)
	require.NoError(t, err)
	_, err = s.Put(t.Context(), "a/k", []byte("x"), Always)
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(dir, "a", "k"))
	require.NoError(t, err)
	assert.Equal(t, "x", string(b))
}

func TestResolveHonoursContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := Resolve(ctx, "memory:///x")
	require.ErrorIs(t, err, context.Canceled)
}
