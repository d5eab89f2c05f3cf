package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/retry"
	"github.com/slatedb/slatedb-go/objstore/storetest"

	_ "github.com/slatedb/slatedb-go/objstore/s3"
)

// emulator is the URL of an empty folder of the bucket in SLATEDB_TEST_S3_URL.
func emulator(t *testing.T) string {
	t.Helper()
	base := os.Getenv("SLATEDB_TEST_S3_URL")
	if base == "" {
		t.Skip("SLATEDB_TEST_S3_URL is unset; make emulators sets it")
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

func TestMultipart(t *testing.T) {
	ctx := t.Context()
	s, err := objstore.Open(ctx, emulator(t)+"?multipart_threshold=6000000&part_size=5242880")
	require.NoError(t, err)
	body := make([]byte, 13<<20)
	for i := range body {
		body[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	check := func(t *testing.T, key, putID string) objstore.Version {
		o, err := s.Get(ctx, key)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(body, o.Body))
		assert.Equal(t, putID, o.PutID)
		return o.Version
	}
	for _, c := range []struct {
		name string
		put  func(key string, c objstore.Condition) (objstore.Version, error)
	}{
		{"put", func(key string, c objstore.Condition) (objstore.Version, error) { return s.Put(ctx, key, body, c) }},
		{"upload", func(key string, c objstore.Condition) (objstore.Version, error) {
			return s.Upload(ctx, key, bytes.NewBuffer(body[:len(body):len(body)]), c)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := c.put(c.name, objstore.IfAbsent().WithPutID("first"))
			require.NoError(t, err)
			assert.Equal(t, v, check(t, c.name, "first"))
			_, err = c.put(c.name, objstore.IfAbsent().WithPutID("second"))
			require.ErrorIs(t, err, objstore.ErrPrecondition)
			_, err = c.put(c.name, objstore.IfVersion("0123456789abcdef0123456789abcdef-3").WithPutID("third"))
			require.ErrorIs(t, err, objstore.ErrPrecondition)
			_, err = c.put(c.name+"-missing", objstore.IfVersion(v))
			require.ErrorIs(t, err, objstore.ErrPrecondition)
			check(t, c.name, "first")
			_, err = c.put(c.name, objstore.IfVersion(v).WithPutID("fourth"))
			require.NoError(t, err)
			check(t, c.name, "fourth")
			_, err = c.put(c.name, objstore.Always)
			require.NoError(t, err)
			check(t, c.name, "")
		})
	}
	t.Run("a racing create has one winner", func(t *testing.T) {
		errs := make(chan error, 4)
		for i := range cap(errs) {
			go func() {
				_, err := s.Put(context.WithoutCancel(ctx), "race", body, objstore.IfAbsent().WithPutID(fmt.Sprint(i)))
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
	})
}
