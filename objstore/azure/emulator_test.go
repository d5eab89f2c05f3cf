package azure_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/azure"
	"github.com/slatedb/slatedb-go/objstore/retry"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

// emulator is the URL of an empty folder of the container in SLATEDB_TEST_AZURE_URL.
func emulator(t *testing.T) string {
	t.Helper()
	base := os.Getenv("SLATEDB_TEST_AZURE_URL")
	if base == "" {
		t.Skip("SLATEDB_TEST_AZURE_URL is unset; make emulators sets it")
	}
	return fmt.Sprintf("%s/test-%016x", base, rand.Uint64())
}

func TestConformance(t *testing.T) {
	emulator(t)
	open := func(t *testing.T) objstore.Store {
		s, err := objstore.Open(t.Context(), emulator(t))
		require.NoError(t, err)
		return s
	}
	t.Run("plain", func(t *testing.T) { storetest.Run(t, open) })
	t.Run("with retries", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) objstore.Store { return retry.New(open(t), retry.Options{}) })
	})
}

func TestBlocks(t *testing.T) {
	ctx := t.Context()
	s, err := objstore.Open(ctx, emulator(t)+"?multipart_threshold=3000000&part_size=1000000")
	require.NoError(t, err)
	body := make([]byte, 5<<20)
	for i := range body {
		body[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	check := func(t *testing.T, key, putID string) {
		o, err := s.Get(ctx, key)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(body, o.Body))
		assert.Equal(t, putID, o.PutID)
	}
	for _, c := range []struct {
		name string
		put  func(key string, c objstore.Condition) (objstore.Version, error)
	}{
		{"put", func(key string, c objstore.Condition) (objstore.Version, error) { return s.Put(ctx, key, body, c) }},
		{"upload", func(key string, c objstore.Condition) (objstore.Version, error) {
			return s.Upload(ctx, key, bytes.NewBuffer(bytes.Clone(body)), c)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := c.put(c.name, objstore.IfAbsent().WithPutID("first"))
			require.NoError(t, err)
			check(t, c.name, "first")
			_, err = c.put(c.name, objstore.IfAbsent().WithPutID("second"))
			require.ErrorIs(t, err, objstore.ErrPrecondition)
			_, err = c.put(c.name+"-missing", objstore.IfVersion(v))
			require.ErrorIs(t, err, objstore.ErrPrecondition)
			check(t, c.name, "first")
			_, err = c.put(c.name, objstore.IfVersion(v).WithPutID("fourth"))
			require.NoError(t, err)
			check(t, c.name, "fourth")
			_, err = c.put(c.name, objstore.IfVersion(v).WithPutID("fifth"))
			require.ErrorIs(t, err, objstore.ErrPrecondition)
		})
	}
	t.Run("a racing create has one winner", func(t *testing.T) {
		errs := make(chan error, 4)
		patient := retry.New(s, retry.Options{Min: time.Millisecond})
		for range cap(errs) {
			go func() {
				_, err := patient.Put(context.WithoutCancel(ctx), "race", body, objstore.IfAbsent())
				errs <- err
			}()
		}
		won := 0
		for range cap(errs) {
			if err := <-errs; err == nil {
				won++
			} else {
				assert.ErrorIs(t, err, objstore.ErrPrecondition)
			}
		}
		assert.Equal(t, 1, won)
		check(t, "race", func() string { a, _ := s.Head(ctx, "race"); return a.PutID }())
	})
}

// TestJ1_LostAnswerOnEmulator: between client and emulator stands a proxy that eats answers.
func TestJ1_LostAnswerOnEmulator(t *testing.T) {
	ctx := t.Context()
	loc := emulator(t)
	u, err := url.Parse(loc)
	require.NoError(t, err)
	c, err := azure.ConfigOf(u)
	require.NoError(t, err)
	require.NotEmpty(t, c.ConnectionString)
	var real string
	for part := range bytes.SplitSeq([]byte(c.ConnectionString), []byte(";")) {
		if v, ok := bytes.CutPrefix(part, []byte("BlobEndpoint=")); ok {
			real = string(v)
		}
	}
	target, err := url.Parse(real)
	require.NoError(t, err)
	var drop atomic.Int32 // how many answers of PUTs to eat
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" && r.URL.Query().Get("comp") != "block" && drop.Add(-1) >= 0 {
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	c.ConnectionString = ""
	c.Emulator, c.Endpoint = true, proxy.URL
	c.Multipart, c.PartSize = 3<<20, 1<<20
	inner, err := azure.New(ctx, c)
	require.NoError(t, err)
	s := objstore.WithPrefix(retry.New(inner, retry.Options{Min: time.Millisecond, Max: time.Millisecond}), u.Path[1:])
	for name, body := range map[string][]byte{"small": []byte("x"), "in blocks": make([]byte, 4<<20)} {
		t.Run(name, func(t *testing.T) {
			drop.Store(1)
			v, err := s.Put(ctx, name, body, objstore.IfAbsent())
			require.NoError(t, err)
			assert.Negative(t, drop.Add(-1), "an answer was lost")
			a, err := s.Head(ctx, name)
			require.NoError(t, err)
			assert.Equal(t, a.Version, v)
			drop.Store(1)
			v, err = s.Put(ctx, name, append(body, 'y'), objstore.IfVersion(v))
			require.NoError(t, err)
			drop.Store(1)
			_, err = s.Put(ctx, name, body, objstore.IfAbsent())
			require.ErrorIs(t, err, objstore.ErrPrecondition)
			a, err = s.Head(ctx, name)
			require.NoError(t, err)
			assert.Equal(t, a.Version, v)
			drop.Store(0)
		})
	}
}
