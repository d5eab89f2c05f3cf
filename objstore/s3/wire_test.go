package s3_test

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
	"github.com/slatedb/slatedb-go/objstore/s3"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

// TestJ6_Wire breaks the connection below the SDK, before a server in this process and, when
// there is one, before the emulator.
func TestJ6_Wire(t *testing.T) {
	t.Run("fake", func(t *testing.T) {
		f := &fake{objects: map[string]fakeObject{}, uploads: map[string]map[int][]byte{}, meta: map[string]string{}}
		srv := httptest.NewServer(f)
		t.Cleanup(srv.Close)
		storetest.RunFaults(t, strings.TrimPrefix(srv.URL, "http://"), func(t *testing.T, addr string) objstore.Store {
			s, err := s3.New(t.Context(), s3.Config{
				Bucket: "bucket", Endpoint: "http://" + addr, AccessKeyID: "id", SecretAccessKey: "secret", HTTP: cloud.HTTP{AllowHTTP: true},
			})
			require.NoError(t, err)
			return s
		})
	})
	t.Run("emulator", func(t *testing.T) {
		base := os.Getenv("SLATEDB_TEST_S3_URL")
		if base == "" {
			t.Skip("SLATEDB_TEST_S3_URL is unset; make emulators sets it")
		}
		loc, err := url.Parse(fmt.Sprintf("%s/wire-%016x", base, rand.Uint64()))
		require.NoError(t, err)
		c, err := s3.ConfigOf(loc)
		require.NoError(t, err)
		storetest.RunFaults(t, strings.TrimPrefix(c.Endpoint, "http://"), func(t *testing.T, addr string) objstore.Store {
			c := c
			c.Endpoint = "http://" + addr
			s, err := s3.New(t.Context(), c)
			require.NoError(t, err)
			return objstore.WithPrefix(s, strings.Trim(loc.Path, "/"))
		})
	})
}
