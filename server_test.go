package slatedb

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
)

// The model, kill and distributed tests run on memory and a directory, or on a server: SLATEDB_TEST_URL names
// a bucket, and the build tag emulators links the providers, which the tests have no need of
// otherwise:
//
//	scripts/with-emulators.sh s3 -- go test -tags emulators -run 'TestModel$|TestKill$' .

// needServer is set by the build tag: a run for a server must not pass without one.
var needServer bool

// serverFolder returns the URL of an empty folder of the server; "" when the run is not for one.
func serverFolder(t testing.TB) string {
	t.Helper()
	base := os.Getenv("SLATEDB_TEST_URL")
	if base == "" {
		require.False(t, needServer, "the build tag emulators is set and SLATEDB_TEST_URL is not")
		return ""
	}
	return fmt.Sprintf("%s/test-%016x", base, rand.Uint64())
}

// emptyStores returns a function that makes empty stores: in memory, or on the server.
func emptyStores(t testing.TB) func() objstore.Store {
	t.Helper()
	folder := serverFolder(t)
	if folder == "" {
		return func() objstore.Store { return objstore.NewMemory() }
	}
	all, err := objstore.Open(t.Context(), folder)
	require.NoError(t, err)
	n := 0
	return func() objstore.Store {
		n++
		return objstore.WithPrefix(all, fmt.Sprint(n))
	}
}
