package cloud_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

func TestSettings(t *testing.T) {
	t.Setenv("X_REGION", "env")
	t.Setenv("X_EMPTY", "")
	u, err := url.Parse("x://b?region=query&X_FLAG=Yes&wait=90&span=2m&n=7&twice=a&twice=b")
	require.NoError(t, err)
	s := cloud.NewSettings(u, "X_")
	assert.Equal(t, "query", s.String("X_REGION"))
	assert.True(t, s.InQuery("X_REGION"))
	assert.False(t, s.InQuery("X_OTHER"))
	assert.True(t, s.Bool("X_FLAG"))
	assert.Equal(t, 2*time.Minute, s.Duration("X_SPAN"))
	assert.EqualValues(t, 7, s.Int("X_N"))
	assert.Equal(t, "b", s.String("X_TWICE"))
	assert.Empty(t, s.String("X_EMPTY"))
	require.ErrorContains(t, s.Err(), `"wait"`)
	require.ErrorIs(t, s.Err(), kv.ErrInvalid)
	s.Ignore("X_WAIT")
	require.NoError(t, s.Err())
	assert.Equal(t, "env", cloud.NewSettings(nil, "X_").String("X_NONE", "X_REGION"))
	for _, span := range []string{"30 seconds", "30 second", "30s", "30 s"} {
		s := cloud.NewSettings(&url.URL{RawQuery: "d=" + url.QueryEscape(span)}, "X_")
		assert.Equal(t, 30*time.Second, s.Duration("X_D"), span)
		assert.NoError(t, s.Err())
	}
	for _, raw := range []string{"d=-1s", "d=x", "d=1 fortnight", "d=%zz"} {
		s := cloud.NewSettings(&url.URL{RawQuery: raw}, "X_")
		s.Duration("X_D")
		assert.ErrorIs(t, s.Err(), kv.ErrInvalid, raw)
	}
}

func TestRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		h    map[string]string
		want time.Duration
	}{
		"none":                {nil, 0},
		"seconds":             {map[string]string{"Retry-After": "3"}, 3 * time.Second},
		"milliseconds":        {map[string]string{"Retry-After": "3", "X-Ms-Retry-After-Ms": "250"}, 250 * time.Millisecond},
		"date":                {map[string]string{"Retry-After": "Mon, 02 Jan 2006 15:04:15 GMT", "Date": "Mon, 02 Jan 2006 15:04:05 GMT"}, 10 * time.Second},
		"date in the past":    {map[string]string{"Retry-After": "Mon, 02 Jan 2006 15:04:05 GMT", "Date": "Mon, 02 Jan 2006 15:04:15 GMT"}, 0},
		"date without a date": {map[string]string{"Retry-After": "Mon, 02 Jan 2006 15:04:05 GMT"}, 0},
		"nonsense":            {map[string]string{"Retry-After": "-5 or so"}, 0},
	} {
		h := http.Header{}
		for k, v := range c.h {
			h.Set(k, v)
		}
		assert.Equal(t, c.want, cloud.RetryAfter(h), name)
	}
}

func TestContentRange(t *testing.T) {
	for h, want := range map[string][2]int64{"bytes 5-9/10": {5, 10}, "bytes 0-0/1": {0, 1}, "bytes 7-8/*": {7, -1}} {
		first, total, ok := cloud.ContentRange(h)
		assert.True(t, ok, h)
		assert.Equal(t, want, [2]int64{first, total}, h)
	}
	for _, h := range []string{"", "bytes", "bytes */10", "bytes 5/10", "bytes -1-4/10", "items 1-2/3", "bytes 1-2/x", "bytes 1-2/-3", "bytes x-2/3"} {
		_, _, ok := cloud.ContentRange(h)
		assert.False(t, ok, h)
	}
}

func TestReadBody(t *testing.T) {
	b, err := cloud.ReadBody(iotest.OneByteReader(strings.NewReader("hello")), 5)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(b))
	b, err = cloud.ReadBody(strings.NewReader("hello"), -1)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(b))
	for _, size := range []int64{6, 4, 1 << 60} {
		_, err = cloud.ReadBody(strings.NewReader("hello"), size)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%d promised", size)
	}
	broken := errors.New("reset")
	_, err = cloud.ReadBody(io.MultiReader(strings.NewReader("he"), iotest.ErrReader(broken)), 5)
	require.ErrorIs(t, err, broken)
	_, err = cloud.ReadBody(io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(broken)), 5)
	require.ErrorIs(t, err, broken, "a checksum may fail at the end")
}

func TestAnswer(t *testing.T) {
	str := func(s string) *string { return &s }
	n := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		name string
		a    cloud.Answer
		off  int64
		want string
		is   error
		text string
	}{
		{name: "a part", a: cloud.Answer{Body: strings.NewReader("2345"), Range: str("bytes 2-5/10"), Length: n(4)}, off: 2, want: "2345"},
		{name: "cut at the end", a: cloud.Answer{Body: strings.NewReader("89"), Range: str("bytes 8-9/10")}, off: 8, want: "89", is: objstore.ErrRange},
		{name: "of unknown size", a: cloud.Answer{Body: strings.NewReader("2345"), Range: str("bytes 2-5/*")}, off: 2, want: "2345"},
		{name: "short", a: cloud.Answer{Body: strings.NewReader("23"), Range: str("bytes 2-5/10")}, off: 2, want: "23", is: io.ErrUnexpectedEOF},
		{name: "the whole object", a: cloud.Answer{Body: strings.NewReader("0123456789"), Length: n(10)}, want: "0123"},
		{name: "the whole object for its middle", a: cloud.Answer{Body: strings.NewReader("0123456789"), Range: str("")}, off: 2, text: "ignores ranges"},
		{name: "another part", a: cloud.Answer{Body: strings.NewReader("3456"), Range: str("bytes 3-6/10")}, off: 2, text: "ignores ranges"},
		{name: "nothing", a: cloud.Answer{Body: strings.NewReader(""), Length: n(0)}, off: 10, is: objstore.ErrRange},
		{name: "nonsense", a: cloud.Answer{Body: strings.NewReader("0123"), Range: str("bytes a lot")}, text: "Content-Range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := make([]byte, 4)
			got, err := c.a.ReadAt(t.Context(), "key", p, c.off)
			assert.Equal(t, c.want, string(p[:got]))
			switch {
			case c.is != nil:
				assert.ErrorIs(t, err, c.is)
			case c.text != "":
				assert.ErrorContains(t, err, c.text)
			default:
				assert.NoError(t, err)
			}
		})
	}
}

func TestExhausted(t *testing.T) {
	for _, c := range []struct {
		prefix, after string
		want          bool
	}{{"", "", false}, {"", "z", false}, {"a/", "a", false}, {"a/", "a/", false}, {"a/", "a/x", false}, {"a/", "a0", true}, {"b", "a", false}, {"b", "c", true}} {
		assert.Equal(t, c.want, cloud.Exhausted(c.prefix, c.after), "%+v", c)
	}
}

func TestBody(t *testing.T) {
	b := cloud.NewBody([]byte("hello"))
	require.NoError(t, iotest.TestReader(b, []byte("hello")))
	_, err := b.Seek(1, io.SeekStart)
	require.NoError(t, err)
	b.Release()
	_, err = b.Read(make([]byte, 1))
	require.Error(t, err)
	assert.NotErrorIs(t, err, io.EOF, "a released body does not look like a whole one")
	_, err = b.Seek(0, io.SeekStart)
	require.Error(t, err)
}

func TestParts(t *testing.T) {
	ctx := t.Context()
	whole := []byte(strings.Repeat("0123456789", 10))
	for size := int64(1); size <= 101; size += 9 {
		for _, stream := range []bool{false, true} {
			var mu sync.Mutex
			var flying, most atomic.Int32
			got := map[int]string{}
			send := func(_ context.Context, n int, p []byte) error {
				if f := flying.Add(1); f > most.Load() {
					most.Store(f)
				}
				defer flying.Add(-1)
				mu.Lock()
				defer mu.Unlock()
				got[n] = string(p)
				return nil
			}
			o := cloud.Parts{Env: seam.New(seam.Env{}), Size: size, Parallel: 3, Max: 1000}
			var n int
			var err error
			if stream {
				body := iotest.HalfReader(bytes.NewReader(whole))
				first, all, ferr := o.ReadFirst(body)
				require.NoError(t, ferr)
				if all {
					assert.Equal(t, whole, first)
					continue
				}
				n, err = o.SendStream(ctx, first, body, send)
			} else {
				n, err = o.SendBytes(ctx, whole, send)
			}
			require.NoError(t, err)
			var all string
			for i := 1; i <= n; i++ {
				all += got[i]
			}
			assert.Equal(t, string(whole), all, "parts of %d, stream %v", size, stream)
			assert.Len(t, got, n)
			assert.LessOrEqual(t, most.Load(), int32(3))
		}
	}
}

func TestPartsFail(t *testing.T) {
	o := cloud.Parts{Env: seam.New(seam.Env{}), Size: 10, Parallel: 2, Max: 5}
	refused := errors.New("refused")
	_, err := o.SendBytes(t.Context(), make([]byte, 50), func(_ context.Context, n int, _ []byte) error {
		if n == 2 {
			return refused
		}
		return nil
	})
	require.ErrorIs(t, err, refused)
	_, err = o.SendBytes(t.Context(), make([]byte, 51), func(context.Context, int, []byte) error { return nil })
	require.ErrorContains(t, err, "more than 5 parts")
	assert.True(t, objstore.IsPermanent(err))
	broken := errors.New("broken")
	_, err = o.SendStream(t.Context(), make([]byte, 10), iotest.ErrReader(broken), func(context.Context, int, []byte) error { return nil })
	require.ErrorIs(t, err, broken)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = o.SendBytes(ctx, make([]byte, 50), func(ctx context.Context, _ int, _ []byte) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestTransport(t *testing.T) {
	for name, h := range map[string]cloud.HTTP{
		"no such file": {CAFile: "not/there.pem"}, "no certificates": {CAFile: "cloud_test.go"}, "proxy": {ProxyURL: "user:hunter2@nowhere"},
	} {
		_, err := h.Transport()
		require.ErrorIs(t, err, kv.ErrInvalid, name)
		assert.NotContains(t, err.Error(), "hunter2")
	}
	tr, err := cloud.HTTP{ProxyURL: "http://proxy:3128", NoProxy: "local, .inner.net"}.Transport()
	require.NoError(t, err)
	for host, proxied := range map[string]bool{"a.example": true, "local": false, "x.inner.net": false, "inner.net": false, "notinner.net": true} {
		u, err := tr.Proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: host}})
		require.NoError(t, err)
		assert.Equal(t, proxied, u != nil, host)
	}
	_, err = cloud.HTTP{}.CheckEndpoint("http://h", "ALLOW")
	require.ErrorIs(t, err, kv.ErrInvalid)
	_, err = cloud.HTTP{AllowHTTP: true}.CheckEndpoint("http://h", "ALLOW")
	require.NoError(t, err)
	for _, bad := range []string{"", "h:1", "ftp://h", "https://"} {
		_, err = cloud.HTTP{AllowHTTP: true}.CheckEndpoint(bad, "ALLOW")
		require.ErrorIs(t, err, kv.ErrInvalid, bad)
	}
}

func TestClass(t *testing.T) {
	for status, want := range map[int]string{
		200: "open", 301: "permanent", 400: "permanent", 401: "permanent", 403: "permanent", 404: "permanent", 408: "open", 409: "permanent",
		425: "open", 429: "no effect", 500: "open", 501: "permanent", 502: "open", 503: "open", 504: "open",
	} {
		err := (&cloud.Error{Op: "put", Key: "k", Status: status, Err: fmt.Errorf("status %d", status)}).Class(t.Context())
		got := "open"
		if objstore.IsPermanent(err) {
			got = "permanent"
			assert.True(t, objstore.IsNoEffect(err), "%d", status)
		} else if objstore.IsNoEffect(err) {
			got = "no effect"
		}
		assert.Equal(t, want, got, "%d", status)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := (&cloud.Error{Err: errors.New("use of closed connection")}).Class(ctx)
	require.ErrorIs(t, err, context.Canceled)
	assert.False(t, objstore.IsNoEffect(err))
}
