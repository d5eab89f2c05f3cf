package s3_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/objstore"
)

// D8: a database writes an object in parts, and part k fails: for a moment, then it is sent
// again and the write succeeds; or for good, then the write fails. Either way no upload is open
// after Close, where nobody would see it and everybody pay for it.
func TestD8_NoUploadIsLeftOpen(t *testing.T) {
	value := bytes.Repeat([]byte("0123456789abcdef"), 12<<20/16) // three parts
	for _, passing := range []bool{true, false} {
		for k := 1; k <= 4; k++ { // the fourth: the completion
			if passing && k%2 == 1 {
				continue // waits for a second or two each
			}
			t.Run(strconv.FormatBool(passing)+" "+strconv.Itoa(k), func(t *testing.T) {
				ctx := t.Context()
				f, store := open(t, nil)
				failures := make(chan struct{}, 1000)
				f.before = func(w http.ResponseWriter, r *http.Request, kind string) bool {
					if !(kind == "part" && r.URL.Query().Get("partNumber") == strconv.Itoa(k) || kind == "complete" && k == 4) {
						return false
					}
					if passing && len(failures) > 0 {
						return false
					}
					failures <- struct{}{}
					_, _ = io.Copy(io.Discard, r.Body)
					if passing {
						fail(w, 503, "SlowDown")
					} else {
						fail(w, 403, "AccessDenied")
					}
					return true
				}
				db, err := slatedb.Open(ctx, "db", &slatedb.Options{
					Store: store, DisableCompactor: true, DisableGC: true, Logger: slog.New(slog.DiscardHandler), BlockCacheBytes: -1, MetaCacheBytes: -1, MaxRetries: 3,
				})
				require.NoError(t, err)
				err = db.Put(ctx, []byte("large"), value)
				closed := db.Close(ctx)
				if passing {
					require.NoError(t, err)
					require.NoError(t, closed)
				} else {
					require.Error(t, err)
					require.NotErrorIs(t, err, objstore.ErrPrecondition)
				}
				require.NotEmpty(t, failures)
				f.mu.Lock()
				defer f.mu.Unlock()
				assert.Zero(t, len(f.uploads), "open uploads")
			})
		}
	}
}
