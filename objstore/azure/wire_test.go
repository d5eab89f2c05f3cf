package azure_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/azure"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

// TestJ6_Wire breaks the connection below the SDK, before the emulator.
func TestJ6_Wire(t *testing.T) {
	base := os.Getenv("SLATEDB_TEST_AZURE_URL")
	if base == "" {
		t.Skip("SLATEDB_TEST_AZURE_URL is unset; make emulators sets it")
	}
	loc, err := url.Parse(fmt.Sprintf("%s/wire-%016x", base, rand.Uint64()))
	require.NoError(t, err)
	c, err := azure.ConfigOf(loc)
	require.NoError(t, err)
	require.NotEmpty(t, c.ConnectionString)
	_, rest, _ := strings.Cut(c.ConnectionString, "BlobEndpoint=")
	real, _, _ := strings.Cut(rest, ";")
	target, err := url.Parse(real)
	require.NoError(t, err)
	c.ConnectionString, c.Emulator = "", true
	storetest.RunFaults(t, target.Host, func(t *testing.T, addr string) objstore.Store {
		c := c
		c.Endpoint = "http://" + addr
		s, err := azure.New(t.Context(), c)
		require.NoError(t, err)
		return objstore.WithPrefix(s, strings.Trim(loc.Path, "/"))
	})
}
