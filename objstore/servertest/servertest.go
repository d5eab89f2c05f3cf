package servertest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/retry"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

// Rounds is how often Conformance runs each race on the store as it is.
const Rounds = 50

// Folder returns the URL of an empty folder of the bucket in the environment variable. Without
// one it ends the test, as the package says.
func Folder(t testing.TB, variable string) string {
	t.Helper()
	base := os.Getenv(variable)
	if base != "" {
		return fmt.Sprintf("%s/test-%016x", base, rand.Uint64())
	}
	if os.Getenv("SLATEDB_TEST_SERVERS") != "" {
		t.Fatalf("SLATEDB_TEST_SERVERS is set and %s is not", variable)
	}
	t.Skipf("%s is unset; make emulators sets it", variable)
	return ""
}

// Open opens a store and ends the test when that fails.
func Open(t testing.TB, location string) objstore.Store {
	t.Helper()
	s, err := objstore.Open(t.Context(), location)
	require.NoError(t, err)
	return s
}

// Conformance runs the suite that every store passes, on the store as it is and with retries.
func Conformance(t *testing.T, variable string) {
	Folder(t, variable)
	open := func(t *testing.T) objstore.Store { return Open(t, Folder(t, variable)) }
	t.Run("plain", func(t *testing.T) { storetest.RunRounds(t, Rounds, open) })
	t.Run("with retries", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) objstore.Store { return retry.New(open(t), retry.Options{}) })
	})
}

// Parts checks conditions and put-ids of bodies of size bytes, for which s was opened so that
// they go up in parts. stale is a version that no object has, in the form of one that went up
// in parts; "" skips what needs it.
func Parts(t *testing.T, s objstore.Store, size int, stale objstore.Version) {
	ctx := t.Context()
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	check := func(t *testing.T, key, putID string) objstore.Version {
		t.Helper()
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
			return s.Upload(ctx, key, bytes.NewBuffer(bytes.Clone(body)), c)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := c.put(c.name, objstore.IfAbsent().WithPutID("first"))
			require.NoError(t, err)
			assert.Equal(t, v, check(t, c.name, "first"))
			_, err = c.put(c.name, objstore.IfAbsent().WithPutID("second"))
			require.ErrorIs(t, err, objstore.ErrPrecondition)
			if stale != "" {
				_, err = c.put(c.name, objstore.IfVersion(stale).WithPutID("third"))
				require.ErrorIs(t, err, objstore.ErrPrecondition)
			}
			_, err = c.put(c.name+"-missing", objstore.IfVersion(v))
			require.ErrorIs(t, err, objstore.ErrPrecondition)
			check(t, c.name, "first")
			w, err := c.put(c.name, objstore.IfVersion(v).WithPutID("fourth"))
			require.NoError(t, err)
			assert.Equal(t, w, check(t, c.name, "fourth"))
			if w != v { // equal bytes have equal versions on some
				_, err = c.put(c.name, objstore.IfVersion(v).WithPutID("fifth"))
				require.ErrorIs(t, err, objstore.ErrPrecondition)
				check(t, c.name, "fourth")
			}
			_, err = c.put(c.name, objstore.Always)
			require.NoError(t, err)
			check(t, c.name, "")
		})
	}
	t.Run("a racing create has one winner", func(t *testing.T) {
		// Some servers answer the losers of such a race with a conflict that is to be asked again.
		patient := retry.New(s, retry.Options{Min: time.Millisecond})
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = patient.Put(context.WithoutCancel(ctx), "race", body, objstore.IfAbsent().WithPutID(fmt.Sprint(i)))
			})
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			if err != nil {
				assert.ErrorIs(t, err, objstore.ErrPrecondition)
				continue
			}
			assert.Equal(t, -1, winner, "two winners")
			winner = i
		}
		check(t, "race", fmt.Sprint(winner))
	})
}
