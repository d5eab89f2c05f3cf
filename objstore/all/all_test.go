package all_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/objstore"
	_ "github.com/slatedb/slatedb-go/objstore/all"
)

func TestEverySchemeOpens(t *testing.T) {
	for _, name := range []string{
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_USE_EMULATOR", "STORAGE_EMULATOR_HOST",
	} {
		t.Setenv(name, "")
	}
	const s3 = "access_key_id=a&secret_access_key=b"
	const azure = "account_name=acme&account_key=a2V5"
	for loc, name := range map[string]string{
		"s3://b/p?" + s3: "s3", "s3a://b/p?" + s3: "s3",
		"https://s3.eu-west-1.amazonaws.com/b/p?" + s3: "s3", "https://b.s3.us-west-2.amazonaws.com/p?" + s3: "s3",
		"https://acc.r2.cloudflarestorage.com/b/p?" + s3: "s3",
		"gs://b/p?skip_signature=true":                   "gcs",
		"az://c/p?" + azure:                              "azure", "azure://c/p?" + azure: "azure", "adl://c/p?" + azure: "azure",
		"abfs://c/p?" + azure: "azure", "abfss://c@acme.dfs.core.windows.net/p?account_key=a2V5": "azure",
		"https://acme.blob.core.windows.net/c/p?account_key=a2V5": "azure",
	} {
		s, path, err := objstore.Resolve(t.Context(), loc)
		if assert.NoError(t, err, loc) {
			assert.Equal(t, name, s.Properties().Name, loc)
			assert.Equal(t, "p", path, loc)
		}
	}
}

// TestEngine runs the database on every emulator there is: open, write, flush, reopen, fence.
func TestEngine(t *testing.T) {
	for _, name := range []string{"S3", "GCS", "AZURE"} {
		t.Run(name, func(t *testing.T) {
			base := os.Getenv("SLATEDB_TEST_" + name + "_URL")
			if base == "" {
				t.Skipf("SLATEDB_TEST_%s_URL is unset; make emulators sets it", name)
			}
			u, err := url.Parse(base)
			require.NoError(t, err)
			ctx := t.Context()
			loc := u.JoinPath(fmt.Sprintf("engine-%016x", rand.Uint64()), "db").String()
			db, err := slatedb.Open(ctx, loc, nil)
			require.NoError(t, err)
			require.NoError(t, db.Put(ctx, []byte("a"), []byte("1")))
			require.NoError(t, db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
			require.NoError(t, db.Put(ctx, []byte("b"), []byte("2")))
			require.NoError(t, db.Close(ctx))

			old, err := slatedb.Open(ctx, loc, nil)
			require.NoError(t, err)
			defer old.Close(ctx)
			for k, want := range map[string]string{"a": "1", "b": "2"} {
				v, err := old.Get(ctx, []byte(k))
				require.NoError(t, err)
				assert.Equal(t, want, string(v))
			}
			young, err := slatedb.Open(ctx, loc, nil)
			require.NoError(t, err)
			defer young.Close(ctx)
			require.NoError(t, young.Put(ctx, []byte("a"), []byte("young")))
			require.ErrorIs(t, old.Put(ctx, []byte("a"), []byte("old")), slatedb.ErrFenced)
			v, err := young.Get(ctx, []byte("a"))
			require.NoError(t, err)
			assert.Equal(t, "young", string(v))
		})
	}
}
