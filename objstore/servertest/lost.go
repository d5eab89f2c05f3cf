package servertest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/retry"
)

// LostAnswers checks that a conditional write whose answer is lost between server and client is
// settled by its put-id: it succeeds once, and never counts as another's.
//
// open returns an empty store whose requests go to endpoint, behind which the server is. lost
// says of which requests the answer may be lost; each body must make exactly one of them.
func LostAnswers(t *testing.T, server string, lost func(*http.Request) bool, bodies map[string][]byte,
	open func(endpoint string) (objstore.Store, error)) {
	ctx := t.Context()
	target, err := url.Parse(server)
	require.NoError(t, err)
	var drop atomic.Int32 // how many answers to lose
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lost(r) && drop.Add(-1) >= 0 {
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	inner, err := open(proxy.URL)
	require.NoError(t, err)
	s := retry.New(inner, retry.Options{Min: time.Millisecond, Max: time.Millisecond})
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			require.NotEmpty(t, body)
			is := func(v objstore.Version) {
				t.Helper()
				assert.LessOrEqual(t, drop.Load(), int32(0), "no answer was lost")
				a, err := s.Head(ctx, name)
				require.NoError(t, err)
				assert.Equal(t, a.Version, v)
				drop.Store(1)
			}
			drop.Store(1)
			v, err := s.Put(ctx, name, body, objstore.IfAbsent())
			require.NoError(t, err)
			is(v)
			v, err = s.Put(ctx, name, append(body, 'y'), objstore.IfVersion(v))
			require.NoError(t, err)
			is(v)
			_, err = s.Put(ctx, name, body, objstore.IfAbsent())
			require.ErrorIs(t, err, objstore.ErrPrecondition)
			is(v)
			drop.Store(0)
		})
	}
}
