package azure_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/azure"
	"github.com/slatedb/slatedb-go/objstore/servertest"
)

const server = "SLATEDB_TEST_AZURE_URL"

func TestConformance(t *testing.T) { servertest.Conformance(t, server) }

func TestBlocks(t *testing.T) {
	s := servertest.Open(t, servertest.Folder(t, server)+"?multipart_threshold=3000000&part_size=1000000")
	servertest.Parts(t, s, 5<<20, "")
}

// TestJ1_LostAnswerOnEmulator: between client and emulator stands a proxy that eats answers.
func TestJ1_LostAnswerOnEmulator(t *testing.T) {
	u, err := url.Parse(servertest.Folder(t, server))
	require.NoError(t, err)
	c, err := azure.ConfigOf(u)
	require.NoError(t, err)
	var endpoint string
	for part := range strings.SplitSeq(c.ConnectionString, ";") {
		if v, ok := strings.CutPrefix(part, "BlobEndpoint="); ok {
			endpoint = v
		}
	}
	require.NotEmpty(t, endpoint, "the emulator is named by a connection string")
	c.ConnectionString = ""
	c.Multipart, c.PartSize = 3<<20, 1<<20
	lost := func(r *http.Request) bool { return r.Method == "PUT" && r.URL.Query().Get("comp") != "block" }
	bodies := map[string][]byte{"small": []byte("x"), "in blocks": make([]byte, 4<<20)}
	servertest.LostAnswers(t, endpoint, lost, bodies, func(endpoint string) (objstore.Store, error) {
		c.Emulator, c.Endpoint = true, endpoint
		s, err := azure.New(t.Context(), c)
		return objstore.WithPrefix(s, u.Path[1:]), err
	})
}
