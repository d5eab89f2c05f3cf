package s3_test

import (
	"testing"

	"github.com/slatedb/slatedb-go/objstore/servertest"

	_ "github.com/slatedb/slatedb-go/objstore/s3"
)

const server = "SLATEDB_TEST_S3_URL"

func TestConformance(t *testing.T) { servertest.Conformance(t, server) }

func TestMultipart(t *testing.T) {
	s := servertest.Open(t, servertest.Folder(t, server)+"?multipart_threshold=6000000&part_size=5242880")
	servertest.Parts(t, s, 13<<20, "0123456789abcdef0123456789abcdef-3")
}
