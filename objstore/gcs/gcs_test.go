package gcs_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
	"github.com/slatedb/slatedb-go/objstore/gcs"
)

func open(t *testing.T, h http.HandlerFunc) objstore.Store {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	s, err := gcs.New(t.Context(), gcs.Config{
		Bucket: "b", Endpoint: srv.URL, SkipSignature: true, HTTP: cloud.HTTP{AllowHTTP: true}, Multipart: 1 << 20, PartSize: 1 << 20,
	})
	require.NoError(t, err)
	return s
}

func TestErrors(t *testing.T) {
	ctx := t.Context()
	get := func(s objstore.Store) error { _, err := s.Get(ctx, "k"); return err }
	head := func(s objstore.Store) error { _, err := s.Head(ctx, "k"); return err }
	read := func(s objstore.Store) error { _, err := s.ReadAt(ctx, "k", make([]byte, 5), 7); return err }
	put := func(c objstore.Condition) func(objstore.Store) error {
		return func(s objstore.Store) error { _, err := s.Put(ctx, "k", []byte("x"), c); return err }
	}
	list := func(s objstore.Store) error {
		for _, err := range s.List(ctx, "p", "") {
			return err
		}
		return nil
	}
	remove := func(s objstore.Store) error { return s.Delete(ctx, "k") }
	create, update := objstore.IfAbsent(), objstore.IfVersion("17")
	const noBucket = `{"error":{"code":404,"message":"The specified bucket does not exist."}}`
	for _, c := range []struct {
		name      string
		do        func(objstore.Store) error
		status    int
		body      string
		after     string
		is        error
		permanent bool
		noEffect  bool
		wait      time.Duration
	}{
		{name: "get, missing", do: get, status: 404, is: objstore.ErrNotFound, permanent: true},
		{name: "head, missing", do: head, status: 404, is: objstore.ErrNotFound, permanent: true},
		// The SDK keeps nothing of this answer but its status.
		{name: "get, no bucket", do: get, status: 404, body: "<Error><Code>NoSuchBucket</Code></Error>", is: objstore.ErrNotFound, permanent: true},
		{name: "head, no bucket", do: head, status: 404, body: noBucket, permanent: true, noEffect: true},
		{name: "list, no bucket", do: list, status: 404, body: noBucket, permanent: true, noEffect: true},
		{name: "delete, no bucket", do: remove, status: 404, body: noBucket, permanent: true, noEffect: true},
		{name: "read, past the end", do: read, status: 416, is: objstore.ErrRange, permanent: true},
		{name: "get, denied", do: get, status: 403, permanent: true, noEffect: true},
		{name: "list, denied", do: list, status: 403, permanent: true, noEffect: true},
		{name: "get, unknown caller", do: get, status: 401, permanent: true, noEffect: true},
		{name: "head, unavailable", do: head, status: 503, after: "5", wait: 5 * time.Second},
		{name: "get, too many", do: get, status: 429, after: "5", noEffect: true, wait: 5 * time.Second},
		{name: "list, internal", do: list, status: 500},
		{name: "create, exists", do: put(create), status: 412, is: objstore.ErrPrecondition, permanent: true},
		{name: "create, denied", do: put(create), status: 403, permanent: true, noEffect: true},
		{name: "create, no bucket", do: put(create), status: 404, body: noBucket, permanent: true, noEffect: true},
		{name: "create, rate of one object", do: put(create), status: 429, noEffect: true},
		{name: "create, unavailable", do: put(create), status: 503},
		{name: "update, stale", do: put(update), status: 412, is: objstore.ErrPrecondition, permanent: true},
		{name: "update, gone", do: put(update), status: 404, is: objstore.ErrPrecondition, permanent: true},
		{name: "update, no bucket", do: put(update), status: 404, body: noBucket, permanent: true, noEffect: true},
		{name: "put, 412 without a condition", do: put(objstore.Always), status: 412, permanent: true, noEffect: true},
		{name: "put, invalid", do: put(objstore.Always), status: 400, permanent: true, noEffect: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n atomic.Int32
			err := c.do(open(t, func(w http.ResponseWriter, r *http.Request) {
				n.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			require.Error(t, err)
			assert.EqualValues(t, 1, n.Load(), "one call, one request")
			for _, answer := range []error{objstore.ErrPrecondition, objstore.ErrNotFound, objstore.ErrRange} {
				assert.Equal(t, answer == c.is, errors.Is(err, answer), "%v: %v", answer, err)
			}
			assert.Equal(t, c.permanent, objstore.IsPermanent(err), "%v", err)
			assert.Equal(t, c.noEffect, objstore.IsNoEffect(err), "%v", err)
			var after interface{ RetryAfter() time.Duration }
			if c.wait != 0 && assert.ErrorAs(t, err, &after) {
				assert.Equal(t, c.wait, after.RetryAfter())
			}
		})
	}
}

func TestConditionsOnTheWire(t *testing.T) {
	var got url.Values
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got = r.URL.Query()
		_, _ = io.WriteString(w, `{"name":"k","generation":"18"}`)
	})
	v, err := s.Put(t.Context(), "k", nil, objstore.IfAbsent())
	require.NoError(t, err)
	assert.Equal(t, objstore.Version("18"), v)
	assert.Equal(t, "0", got.Get("ifGenerationMatch"))
	assert.Equal(t, "multipart", got.Get("uploadType"), "one request")
	_, err = s.Put(t.Context(), "k", nil, objstore.IfVersion("17"))
	require.NoError(t, err)
	assert.Equal(t, "17", got.Get("ifGenerationMatch"))
	for _, v := range []objstore.Version{"", "0", "-1", "nonsense"} {
		got = nil
		_, err = s.Put(t.Context(), "k", nil, objstore.IfVersion(v))
		require.ErrorIs(t, err, objstore.ErrPrecondition)
		assert.Nil(t, got, "generation 0 would be no condition at all")
	}
}

func TestABrokenSourceFinishesNothing(t *testing.T) {
	var last atomic.Bool
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch span := r.Header.Get("Content-Range"); {
		case span == "": // the beginning
			w.Header().Set("Location", "http://"+r.Host+"/upload/session")
		case strings.HasSuffix(span, "/*"):
			_, to, _ := strings.Cut(strings.TrimSuffix(span, "/*"), "-")
			w.Header().Set("Range", "bytes=0-"+to)
			w.Header().Set("X-Http-Status-Code-Override", "308")
		default:
			last.Store(true)
			w.WriteHeader(500)
		}
	})
	broken := errors.New("the source broke")
	_, err := s.Upload(t.Context(), "k", io.MultiReader(bytes.NewReader(make([]byte, 3<<20+5)), iotest.ErrReader(broken)), objstore.Always)
	require.ErrorIs(t, err, broken)
	assert.True(t, objstore.IsNoEffect(err))
	assert.False(t, last.Load(), "no last chunk")
}

func TestConfigOf(t *testing.T) {
	for _, name := range []string{
		"STORAGE_EMULATOR_HOST", "GOOGLE_BASE_URL", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS",
	} {
		t.Setenv(name, "")
	}
	parse := func(t *testing.T, s string) (gcs.Config, error) {
		u, err := url.Parse(s)
		require.NoError(t, err)
		return gcs.ConfigOf(u)
	}
	t.Run("emulator", func(t *testing.T) {
		t.Setenv("STORAGE_EMULATOR_HOST", "localhost:4443")
		c, err := parse(t, "gs://b/p")
		require.NoError(t, err)
		assert.Equal(t, "http://localhost:4443", c.Endpoint)
		assert.True(t, c.SkipSignature)
		c, err = parse(t, "gs://b/p?base_url=https://q")
		require.NoError(t, err)
		assert.Equal(t, "https://q", c.Endpoint, "the query wins")
		assert.False(t, c.SkipSignature)
	})
	t.Run("a key in the query wins over a file in the environment", func(t *testing.T) {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "file")
		c, err := parse(t, "gs://b?service_account_key=%7B%7D")
		require.NoError(t, err)
		assert.Empty(t, c.CredentialsFile)
		assert.Equal(t, "{}", string(c.CredentialsJSON))
	})
	for name, q := range map[string]string{"unknown parameter": "base_ulr=x", "truth value": "allow_http=perhaps"} {
		t.Run("wrong "+name, func(t *testing.T) {
			_, err := parse(t, "gs://b?bearer_token=hunter2&"+q)
			require.ErrorIs(t, err, kv.ErrInvalid)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]gcs.Config{
		"no bucket":        {SkipSignature: true},
		"http":             {Bucket: "b", SkipSignature: true, Endpoint: "http://localhost:1"},
		"odd chunks":       {Bucket: "b", SkipSignature: true, PartSize: 1000},
		"no file":          {Bucket: "b", CredentialsFile: "not/there.json"},
		"no JSON":          {Bucket: "b", CredentialsJSON: []byte("secret")},
		"unknown type":     {Bucket: "b", CredentialsJSON: []byte(`{"type":"odd"}`)},
		"half an identity": {Bucket: "b", CredentialsJSON: []byte(`{"type":"service_account"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := gcs.New(t.Context(), c)
			require.ErrorIs(t, err, kv.ErrInvalid)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}
