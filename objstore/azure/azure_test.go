package azure_test

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
	"github.com/slatedb/slatedb-go/objstore/azure"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

func open(t *testing.T, h http.HandlerFunc) objstore.Store {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	s, err := azure.New(t.Context(), azure.Config{
		Container: "c", Account: "acme", AccountKey: "a2V5", Endpoint: srv.URL,
		HTTP: cloud.HTTP{AllowHTTP: true}, Multipart: 1 << 20, PartSize: 1 << 20,
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
	create, update := objstore.IfAbsent(), objstore.IfVersion("v")
	for _, c := range []struct {
		name      string
		do        func(objstore.Store) error
		status    int
		code      string
		after     string
		is        error
		permanent bool
		noEffect  bool
		wait      time.Duration
	}{
		{name: "get, missing", do: get, status: 404, code: "BlobNotFound", is: objstore.ErrNotFound, permanent: true},
		{name: "head, missing", do: head, status: 404, code: "BlobNotFound", is: objstore.ErrNotFound, permanent: true},
		{name: "get, no container", do: get, status: 404, code: "ContainerNotFound", permanent: true, noEffect: true},
		{name: "delete, no container", do: remove, status: 404, code: "ContainerNotFound", permanent: true, noEffect: true},
		{name: "read, past the end", do: read, status: 416, code: "InvalidRange", is: objstore.ErrRange, permanent: true},
		{name: "get, denied", do: get, status: 403, code: "AuthorizationFailure", permanent: true, noEffect: true},
		{name: "list, denied", do: list, status: 403, code: "AuthorizationFailure", permanent: true, noEffect: true},
		{name: "get, busy", do: get, status: 503, code: "ServerBusy", after: "4", wait: 4 * time.Second},
		{name: "get, too many", do: get, status: 429, after: "4", noEffect: true, wait: 4 * time.Second},
		{name: "get, timed out", do: get, status: 500, code: "OperationTimedOut"},
		{name: "create, exists", do: put(create), status: 409, code: "BlobAlreadyExists", is: objstore.ErrPrecondition, permanent: true},
		{name: "create, exists, as 412", do: put(create), status: 412, code: "ConditionNotMet", is: objstore.ErrPrecondition, permanent: true},
		{name: "create, other conflict", do: put(create), status: 409, code: "ContainerBeingDeleted", permanent: true, noEffect: true},
		{name: "create, immutable", do: put(create), status: 409, code: "BlobImmutableDueToPolicy", permanent: true, noEffect: true},
		{name: "create, busy", do: put(create), status: 503, code: "ServerBusy"},
		{name: "update, stale", do: put(update), status: 412, code: "ConditionNotMet", is: objstore.ErrPrecondition, permanent: true},
		{name: "update, gone", do: put(update), status: 404, code: "BlobNotFound", is: objstore.ErrPrecondition, permanent: true},
		{name: "update, no container", do: put(update), status: 404, code: "ContainerNotFound", permanent: true, noEffect: true},
		{name: "update, 409 is no answer to it", do: put(update), status: 409, code: "BlobAlreadyExists", permanent: true, noEffect: true},
		{name: "put, damaged", do: put(objstore.Always), status: 400, code: "Md5Mismatch", noEffect: true},
		{name: "put, 412 without a condition", do: put(objstore.Always), status: 412, code: "ConditionNotMet", permanent: true, noEffect: true},
		{name: "put, invalid", do: put(objstore.Always), status: 400, code: "InvalidHeaderValue", permanent: true, noEffect: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n atomic.Int32
			err := c.do(open(t, func(w http.ResponseWriter, r *http.Request) {
				n.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("X-Ms-Error-Code", c.code)
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				w.WriteHeader(c.status)
			}))
			require.Error(t, err)
			assert.EqualValues(t, 1, n.Load(), "one call, one request")
			for _, answer := range []error{objstore.ErrPrecondition, objstore.ErrNotFound, objstore.ErrRange} {
				assert.Equal(t, answer == c.is, errors.Is(err, answer), "%v", answer)
			}
			assert.Equal(t, c.permanent, objstore.IsPermanent(err), "%v", err)
			assert.Equal(t, c.noEffect, objstore.IsNoEffect(err), "%v", err)
			assert.NotContains(t, err.Error(), "\n", "the SDK's page of text")
			var after interface{ RetryAfter() time.Duration }
			if c.wait != 0 && assert.ErrorAs(t, err, &after) {
				assert.Equal(t, c.wait, after.RetryAfter())
			}
		})
	}
}

func TestDeleteOfNothing(t *testing.T) {
	s := open(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Ms-Error-Code", "BlobNotFound")
		w.WriteHeader(404)
	})
	require.NoError(t, s.Delete(t.Context(), "k"))
}

func TestBlocksOfALostRace(t *testing.T) {
	var ids []string
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Query().Get("comp") {
		case "block":
			w.WriteHeader(201)
		case "blocklist":
			ids = append(ids, r.Header.Get("If-None-Match"))
			w.Header().Set("X-Ms-Error-Code", "InvalidBlockList")
			w.WriteHeader(400)
		}
	})
	_, err := s.Put(t.Context(), "k", make([]byte, 3<<20), objstore.IfAbsent())
	require.Error(t, err)
	assert.False(t, objstore.IsPermanent(err), "the next attempt learns who won")
	assert.True(t, objstore.IsNoEffect(err))
	assert.Equal(t, []string{"*"}, ids, "the condition is on the block list")
}

func TestABrokenSourceCommitsNothing(t *testing.T) {
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		assert.Equal(t, "block", r.URL.Query().Get("comp"))
		w.WriteHeader(201)
	})
	broken := errors.New("the source broke")
	_, err := s.Upload(t.Context(), "k", io.MultiReader(bytes.NewReader(make([]byte, 3<<20)), iotest.ErrReader(broken)), objstore.Always)
	require.ErrorIs(t, err, broken)
	assert.True(t, objstore.IsNoEffect(err))
}

func TestShortBodies(t *testing.T) {
	s := open(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		if r.Header.Get("X-Ms-Range") != "" {
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(206)
		}
		_, _ = io.WriteString(w, "0123")
	})
	_, err := s.Get(t.Context(), "k")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.False(t, objstore.IsPermanent(err))
	_, err = s.ReadAt(t.Context(), "k", make([]byte, 10), 0)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	n, err := s.ReadAt(t.Context(), "k", nil, 5)
	require.NoError(t, err, "an empty range is not the rest of the blob")
	assert.Zero(t, n)
}

func TestConfigOf(t *testing.T) {
	for _, name := range []string{
		"AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_USE_EMULATOR", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY",
		"AZURE_ALLOW_HTTP", "AZURE_STORAGE_ENDPOINT",
	} {
		t.Setenv(name, "")
	}
	parse := func(t *testing.T, s string) (azure.Config, error) {
		u, err := url.Parse(s)
		require.NoError(t, err)
		return azure.ConfigOf(u)
	}
	t.Run("the query wins", func(t *testing.T) {
		t.Setenv("AZURE_STORAGE_ACCOUNT_NAME", "env")
		c, err := parse(t, "az://c")
		require.NoError(t, err)
		assert.Equal(t, "env", c.Account)
		for _, q := range []string{"account_name=q", "storage_account_name=q", "azure_storage_account_name=q"} {
			c, err = parse(t, "az://c?"+q)
			require.NoError(t, err)
			assert.Equal(t, "q", c.Account, q)
		}
	})
	t.Run("a URL that names an account does not mean that of a connection string", func(t *testing.T) {
		t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=other;AccountKey=a2V5")
		c, err := parse(t, "az://c")
		require.NoError(t, err)
		assert.NotEmpty(t, c.ConnectionString)
		c, err = parse(t, "az://c?account_name=acme")
		require.NoError(t, err)
		assert.Empty(t, c.ConnectionString)
	})
	t.Run("container@account", func(t *testing.T) {
		c, err := parse(t, "abfss://box@acme.dfs.core.windows.net/path")
		require.NoError(t, err)
		assert.Equal(t, []string{"box", "acme", "https://acme.blob.core.windows.net"}, []string{c.Container, c.Account, c.Endpoint})
	})
	for name, q := range map[string]string{"unknown parameter": "acount_name=x", "truth value": "allow_http=perhaps", "encryption": "storage_encryption_key=x"} {
		t.Run("wrong "+name, func(t *testing.T) {
			_, err := parse(t, "az://c?account_key=hunter2&"+q)
			require.ErrorIs(t, err, kv.ErrInvalid)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]azure.Config{
		"no container":      {Account: "a", AccountKey: "a2V5"},
		"no account":        {Container: "c", AccountKey: "a2V5"},
		"http":              {Container: "c", Account: "a", AccountKey: "a2V5", Endpoint: "http://localhost:1"},
		"key is no base64":  {Container: "c", Account: "a", AccountKey: "%%%"},
		"connection string": {Container: "c", ConnectionString: "nonsense"},
		"huge blocks":       {Container: "c", Account: "a", AccountKey: "a2V5", PartSize: 1 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := azure.New(t.Context(), c)
			require.ErrorIs(t, err, kv.ErrInvalid)
			assert.NotContains(t, strings.ToLower(err.Error()), "a2v5")
		})
	}
}
