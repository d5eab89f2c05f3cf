package gcs_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/gcs"
	"github.com/slatedb/slatedb-go/objstore/servertest"
)

const server = "SLATEDB_TEST_GCS_URL"

func TestConformance(t *testing.T) { servertest.Conformance(t, server) }

func TestResumable(t *testing.T) {
	s := servertest.Open(t, servertest.Folder(t, server)+"?multipart_threshold=3000000&part_size=1048576")
	servertest.Parts(t, s, 5<<20, "")
}

// TestJ1_LostAnswerOnEmulator: between client and emulator stands a proxy that eats answers.
func TestJ1_LostAnswerOnEmulator(t *testing.T) {
	u, err := url.Parse(servertest.Folder(t, server))
	require.NoError(t, err)
	c, err := gcs.ConfigOf(u)
	require.NoError(t, err)
	c.Multipart, c.PartSize = 3<<20, 1<<20
	lost := func(r *http.Request) bool {
		return strings.HasPrefix(r.URL.Path, "/upload/") && r.URL.Query().Get("uploadType") == "multipart"
	}
	bodies := map[string][]byte{"small": []byte("x"), "larger": make([]byte, 2<<20)}
	servertest.LostAnswers(t, c.Endpoint, lost, bodies, func(endpoint string) (objstore.Store, error) {
		c.Endpoint = endpoint
		s, err := gcs.New(t.Context(), c)
		return objstore.WithPrefix(s, u.Path[1:]), err
	})
}
