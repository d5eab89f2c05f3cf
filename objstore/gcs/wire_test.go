package gcs_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/gcs"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

// TestJ6_Wire breaks the connection below the SDK, before the emulator.
func TestJ6_Wire(t *testing.T) {
	base := os.Getenv("SLATEDB_TEST_GCS_URL")
	if base == "" {
		t.Skip("SLATEDB_TEST_GCS_URL is unset; make emulators sets it")
	}
	loc, err := url.Parse(fmt.Sprintf("%s/wire-%016x", base, rand.Uint64()))
	require.NoError(t, err)
	c, err := gcs.ConfigOf(loc)
	require.NoError(t, err)
	target, err := url.Parse(c.Endpoint)
	require.NoError(t, err)
	storetest.RunFaults(t, target.Host, func(t *testing.T, addr string) objstore.Store {
		c := c
		c.Endpoint = "http://" + addr
		s, err := gcs.New(t.Context(), c)
		require.NoError(t, err)
		return objstore.WithPrefix(s, strings.Trim(loc.Path, "/"))
	})
}
