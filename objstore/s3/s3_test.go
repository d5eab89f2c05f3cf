package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
	"github.com/slatedb/slatedb-go/objstore/deviant"
	"github.com/slatedb/slatedb-go/objstore/probe"
	"github.com/slatedb/slatedb-go/objstore/retry"
	"github.com/slatedb/slatedb-go/objstore/s3"
)

// What an error must be.
type want struct {
	is        error
	permanent bool
	noEffect  bool
	after     time.Duration
}

var (
	refused   = want{is: objstore.ErrPrecondition, permanent: true}
	missing   = want{is: objstore.ErrNotFound, permanent: true}
	lost      = want{}
	untouched = want{noEffect: true}
	forGood   = want{permanent: true, noEffect: true}
)

func (w want) check(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	if w.is != nil {
		assert.ErrorIs(t, err, w.is)
	}
	for _, other := range []error{objstore.ErrPrecondition, objstore.ErrNotFound, objstore.ErrRange, objstore.ErrNotSupported} {
		if other != w.is {
			assert.NotErrorIs(t, err, other)
		}
	}
	assert.Equal(t, w.permanent, objstore.IsPermanent(err), "permanent: %v", err)
	if w.is == nil || w.noEffect {
		assert.Equal(t, w.noEffect, objstore.IsNoEffect(err), "no effect: %v", err)
	}
	var after interface{ RetryAfter() time.Duration }
	if w.after != 0 && assert.ErrorAs(t, err, &after) {
		assert.Equal(t, w.after, after.RetryAfter())
	}
}

func TestErrors(t *testing.T) {
	ctx := t.Context()
	get := func(s objstore.Store) error { _, err := s.Get(ctx, "k"); return err }
	head := func(s objstore.Store) error { _, err := s.Head(ctx, "k"); return err }
	read := func(s objstore.Store) error { _, err := s.ReadAt(ctx, "k", make([]byte, 5), 7); return err }
	put := func(c objstore.Condition) func(objstore.Store) error {
		return func(s objstore.Store) error { _, err := s.Put(ctx, "k", []byte("x"), c); return err }
	}
	big := make([]byte, 7<<20)
	large := func(c objstore.Condition) func(objstore.Store) error {
		return func(s objstore.Store) error { _, err := s.Put(ctx, "k", big, c); return err }
	}
	list := func(s objstore.Store) error {
		for _, err := range s.List(ctx, "p", "") {
			return err
		}
		return nil
	}
	remove := func(s objstore.Store) error { return s.Delete(ctx, "k") }
	create, update := objstore.IfAbsent(), objstore.IfVersion("v")
	for _, c := range []struct {
		name   string
		do     func(objstore.Store) error
		status int
		code   string
		header string // "Name: value"
		want   want
	}{
		{"get, missing", get, 404, "NoSuchKey", "", missing},
		{"head, missing", head, 404, "", "", missing},
		{"read, missing", read, 404, "NoSuchKey", "", missing},
		{"read, past the end", read, 416, "InvalidRange", "", want{is: objstore.ErrRange, permanent: true}},
		{"get, no bucket", get, 404, "NoSuchBucket", "", forGood},
		{"get, no account", get, 404, "XAdminUserNotFound", "", forGood},
		{"list, no bucket", list, 404, "NoSuchBucket", "", forGood},
		{"get, denied", get, 403, "AccessDenied", "", forGood},
		{"head, denied", head, 403, "", "", forGood},
		{"list, denied", list, 403, "AccessDenied", "", forGood},
		{"delete, denied", remove, 403, "AccessDenied", "", forGood},
		{"get, wrong signature", get, 403, "SignatureDoesNotMatch", "", forGood},
		{"get, wrong region", get, 301, "PermanentRedirect", "", forGood},
		{"get, slow down", get, 503, "SlowDown", "Retry-After: 3", want{noEffect: true, after: 3 * time.Second}},
		{"get, unavailable", get, 503, "ServiceUnavailable", "Retry-After: 2", want{after: 2 * time.Second}},
		{"get, a gateway's page", get, 502, "", "", lost},
		{"get, too many", get, 429, "", "Retry-After: 7", want{noEffect: true, after: 7 * time.Second}},
		{"list, internal", list, 500, "InternalError", "", lost},
		{"put, denied", put(objstore.Always), 403, "AccessDenied", "", forGood},
		{"put, 412 without a condition", put(objstore.Always), 412, "PreconditionFailed", "", forGood},
		{"put, body damaged on the way", put(objstore.Always), 400, "BadDigest", "", untouched},
		{"put, too slow", put(objstore.Always), 400, "RequestTimeout", "", lost},
		{"put, clock", put(create), 403, "RequestTimeTooSkewed", "", untouched},
		{"put, invalid", put(create), 400, "InvalidArgument", "", forGood},
		{"create, exists", put(create), 412, "PreconditionFailed", "", refused},
		{"create, another under way", put(create), 409, "ConditionalRequestConflict", "", untouched},
		{"create, other conflict", put(create), 409, "BucketAlreadyExists", "", forGood},
		{"create, no bucket", put(create), 404, "NoSuchBucket", "", forGood},
		{"create, 404", put(create), 404, "NoSuchKey", "", forGood},
		{"create, slow down", put(create), 503, "SlowDown", "Retry-After: 1", want{noEffect: true, after: time.Second}},
		{"create, internal", put(create), 500, "InternalError", "", lost},
		{"create, unknown to the server", put(create), 501, "NotImplemented", "", want{is: objstore.ErrNotSupported, permanent: true, noEffect: true}},
		{"update, stale", put(update), 412, "PreconditionFailed", "", refused},
		{"update, gone", put(update), 404, "NoSuchKey", "", refused},
		{"update, no bucket", put(update), 404, "NoSuchBucket", "", forGood},
		{"update, another under way", put(update), 409, "ConditionalRequestConflict", "", untouched},
		{"create in parts, denied at once", large(create), 403, "AccessDenied", "", forGood},
		{"create in parts, unavailable at once", large(create), 503, "ServiceUnavailable", "", untouched},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, s := open(t, nil)
			f.before = func(w http.ResponseWriter, r *http.Request, _ string) bool {
				_, _ = io.Copy(io.Discard, r.Body)
				if name, value, ok := strings.Cut(c.header, ": "); ok {
					w.Header().Set(name, value)
				}
				if c.code == "" {
					w.WriteHeader(c.status)
				} else {
					fail(w, c.status, c.code)
				}
				return true
			}
			c.want.check(t, c.do(s))
			assert.Len(t, f.requests, 1, "one call, one request")
		})
	}
}

func TestErrorsOfCompletion(t *testing.T) {
	big := make([]byte, 7<<20)
	for _, c := range []struct {
		name   string
		cond   objstore.Condition
		answer func(w http.ResponseWriter)
		want   want
	}{
		{"412", objstore.IfAbsent(), func(w http.ResponseWriter) { fail(w, 412, "PreconditionFailed") }, refused},
		{"404 on an update", objstore.IfVersion("v"), func(w http.ResponseWriter) { fail(w, 404, "NoSuchKey") }, refused},
		{"409", objstore.IfAbsent(), func(w http.ResponseWriter) { fail(w, 409, "ConditionalRequestConflict") }, untouched},
		{"503", objstore.IfAbsent(), func(w http.ResponseWriter) { fail(w, 503, "ServiceUnavailable") }, lost},
		{"the upload is gone", objstore.IfVersion("v"), func(w http.ResponseWriter) { fail(w, 404, "NoSuchUpload") }, lost},
		{"200 with an error in the body", objstore.IfAbsent(), func(w http.ResponseWriter) { fail(w, 200, "InternalError") }, lost},
		{"200 with a refusal in the body", objstore.IfAbsent(), func(w http.ResponseWriter) { fail(w, 200, "PreconditionFailed") }, refused},
		{"200 with nothing", objstore.IfAbsent(), func(w http.ResponseWriter) {}, lost},
		{"200 with half an answer", objstore.IfAbsent(), func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<CompleteMultipartUploadResult><ET") }, lost},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, s := open(t, nil)
			f.before = func(w http.ResponseWriter, r *http.Request, kind string) bool {
				if kind == "complete" {
					c.answer(w)
				}
				return kind == "complete"
			}
			_, err := s.Put(t.Context(), "k", big, c.cond)
			c.want.check(t, err)
			assert.Equal(t, 1, f.count("complete"))
			assert.Equal(t, 1, f.count("abort"))
			assert.Empty(t, f.uploads, "no parts are left")
			assert.Empty(t, f.objects)
		})
	}
}

func TestTransportErrors(t *testing.T) {
	ctx := t.Context()
	t.Run("nobody listens", func(t *testing.T) {
		_, s := open(t, func(c *s3.Config) { c.Endpoint = "http://127.0.0.1:1" })
		_, err := s.Put(ctx, "k", nil, objstore.IfAbsent())
		untouched.check(t, err)
	})
	t.Run("the answer is lost", func(t *testing.T) {
		f, s := open(t, nil)
		f.drop = func(string) bool { return true }
		_, err := s.Put(ctx, "k", nil, objstore.IfAbsent())
		lost.check(t, err)
	})
	t.Run("no answer in time", func(t *testing.T) {
		f, s := open(t, func(c *s3.Config) { c.HTTP.ResponseTimeout = 20 * time.Millisecond })
		f.before = func(_ http.ResponseWriter, r *http.Request, _ string) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return true
		}
		_, err := s.Put(ctx, "k", nil, objstore.IfAbsent())
		require.ErrorIs(t, err, context.DeadlineExceeded) // which the retry decorator knows not to be the caller's
		assert.False(t, objstore.IsNoEffect(err))
	})
	t.Run("cancelled under way", func(t *testing.T) {
		f, s := open(t, nil)
		ctx, cancel := context.WithCancel(ctx)
		f.before = func(_ http.ResponseWriter, r *http.Request, _ string) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			cancel()
			<-r.Context().Done()
			return true
		}
		_, err := s.Put(ctx, "k", nil, objstore.IfAbsent())
		require.ErrorIs(t, err, context.Canceled)
		assert.False(t, objstore.IsNoEffect(err))
	})
	t.Run("short bodies", func(t *testing.T) {
		f, s := open(t, nil)
		_, err := s.Put(ctx, "k", []byte("0123456789"), objstore.Always)
		require.NoError(t, err)
		f.before = func(w http.ResponseWriter, r *http.Request, kind string) bool {
			if kind != "get" {
				return false
			}
			w.Header().Set("Content-Length", "10")
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", "bytes 0-9/10")
				w.WriteHeader(206)
			}
			_, _ = io.WriteString(w, "0123")
			return true
		}
		_, err = s.Get(ctx, "k")
		lost.check(t, err)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		_, err = s.ReadAt(ctx, "k", make([]byte, 10), 0)
		lost.check(t, err)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
	t.Run("a server that ignores ranges", func(t *testing.T) {
		f, s := open(t, nil)
		f.before = func(w http.ResponseWriter, _ *http.Request, kind string) bool {
			_, _ = io.WriteString(w, "0123456789")
			return true
		}
		p := make([]byte, 4)
		n, err := s.ReadAt(ctx, "k", p, 0)
		require.NoError(t, err)
		assert.Equal(t, "0123", string(p[:n]))
		_, err = s.ReadAt(ctx, "k", p, 2)
		require.Error(t, err)
		assert.True(t, objstore.IsPermanent(err))
	})
}

// TestJ1_LostAnswerIsSettledByPutID: the store applied the write and the network ate the
// answer. The retry decorator reads the put-id back.
func TestJ1_LostAnswerIsSettledByPutID(t *testing.T) {
	ctx := t.Context()
	big := bytes.Repeat([]byte("big "), 2<<20)
	quick := retry.Options{Min: time.Millisecond, Max: time.Millisecond}
	for name, body := range map[string][]byte{"one put": []byte("small"), "in parts": big} {
		kind := map[bool]string{true: "complete", false: "put"}[len(body) > 6<<20]
		once := func(f *fake) func(string) bool {
			return func(k string) bool { return k == kind && f.count(kind) == 1 }
		}
		t.Run(name+", create", func(t *testing.T) {
			f, inner := open(t, nil)
			f.drop = once(f)
			s := retry.New(inner, quick)
			v, err := s.Put(ctx, "k", body, objstore.IfAbsent())
			require.NoError(t, err)
			assert.Equal(t, 1, f.count(kind), "not sent again")
			o, err := s.Get(ctx, "k")
			require.NoError(t, err)
			assert.Equal(t, o.Version, v)
			assert.Len(t, o.PutID, 26)
			_, err = s.Put(ctx, "k", body, objstore.IfAbsent())
			require.ErrorIs(t, err, objstore.ErrPrecondition)
		})
		t.Run(name+", update", func(t *testing.T) {
			f, inner := open(t, nil)
			s := retry.New(inner, quick)
			v, err := inner.Put(ctx, "k", []byte("old"), objstore.Always)
			require.NoError(t, err)
			n := f.count(kind)
			f.drop = func(k string) bool { return k == kind && f.count(kind) == n+1 }
			_, err = s.Put(ctx, "k", body, objstore.IfVersion(v))
			require.NoError(t, err)
			_, err = s.Put(ctx, "k", body, objstore.IfVersion(v))
			require.ErrorIs(t, err, objstore.ErrPrecondition)
		})
		t.Run(name+", refused by a stranger", func(t *testing.T) {
			f, inner := open(t, nil)
			_, err := inner.Put(ctx, "k", []byte("stranger"), objstore.Always.WithPutID("theirs"))
			require.NoError(t, err)
			n := f.count(kind)
			f.drop = func(k string) bool { return k == kind && f.count(kind) == n+1 }
			_, err = retry.New(inner, quick).Put(ctx, "k", body, objstore.IfAbsent())
			require.ErrorIs(t, err, objstore.ErrPrecondition)
		})
	}
	t.Run("a stream in parts", func(t *testing.T) {
		f, inner := open(t, nil)
		f.drop = func(k string) bool { return k == "complete" && f.count("complete") == 1 }
		_, err := retry.New(inner, quick).Upload(ctx, "k", bytes.NewBuffer(bytes.Clone(big)), objstore.IfAbsent())
		require.NoError(t, err)
		o, err := inner.Get(ctx, "k")
		require.NoError(t, err)
		assert.True(t, bytes.Equal(big, o.Body))
	})
	t.Run("a lost part is sent again", func(t *testing.T) {
		f, inner := open(t, nil)
		f.drop = func(k string) bool { return k == "part" && f.count("part") == 1 }
		_, err := inner.Upload(ctx, "k", bytes.NewBuffer(bytes.Clone(big)), objstore.IfAbsent())
		require.NoError(t, err)
		o, err := inner.Get(ctx, "k")
		require.NoError(t, err)
		assert.True(t, bytes.Equal(big, o.Body))
	})
}

func TestUploadAborts(t *testing.T) {
	ctx := t.Context()
	broken := errors.New("the source broke")
	big := make([]byte, 12<<20)
	t.Run("source", func(t *testing.T) {
		f, s := open(t, nil)
		_, err := s.Upload(ctx, "k", io.MultiReader(bytes.NewReader(big), errReader{broken}), objstore.Always)
		require.ErrorIs(t, err, broken)
		assert.True(t, objstore.IsNoEffect(err))
		assert.Empty(t, f.uploads)
		assert.Empty(t, f.objects)
	})
	t.Run("a part is refused", func(t *testing.T) {
		f, s := open(t, nil)
		f.before = func(w http.ResponseWriter, r *http.Request, kind string) bool {
			if kind == "part" && r.URL.Query().Get("partNumber") == "2" {
				_, _ = io.Copy(io.Discard, r.Body)
				fail(w, 403, "AccessDenied")
				return true
			}
			return false
		}
		_, err := s.Upload(ctx, "k", bytes.NewReader(big), objstore.IfAbsent())
		forGood.check(t, err)
		assert.Empty(t, f.uploads)
		assert.Empty(t, f.objects)
	})
	t.Run("cancelled", func(t *testing.T) {
		f, s := open(t, nil)
		ctx, cancel := context.WithCancel(ctx)
		f.before = func(_ http.ResponseWriter, r *http.Request, kind string) bool {
			if kind != "part" {
				return false
			}
			cancel()
			_, _ = io.Copy(io.Discard, r.Body)
			return true
		}
		_, err := s.Upload(ctx, "k", bytes.NewReader(big), objstore.IfAbsent())
		require.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, f.uploads, "the abort runs although ctx has ended")
	})
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

// TestJ4_DeviantServers: the same traits as in package probe's test, on the wire.
func TestJ4_DeviantServers(t *testing.T) {
	refused := map[deviant.Kind]probe.Capability{
		deviant.IgnoresIfAbsent: probe.CreateIfAbsent, deviant.IgnoresIfVersion: probe.UpdateIfMatch,
		deviant.UpdatesMissing: probe.UpdateIfMatch, deviant.ShortBodies: probe.WholeBody, deviant.StaleList: probe.ListAfterWrite,
		deviant.WholeForRange: probe.RangeRead, deviant.NoMetadata: probe.Metadata,
	}
	for _, k := range append(deviant.Kinds(), deviant.Honest) {
		t.Run(k.String(), func(t *testing.T) {
			f, s := open(t, nil)
			f.kind = k
			rep, err := probe.Run(t.Context(), s, &probe.Options{Path: "db", Retry: &retry.Options{Min: time.Millisecond, Max: time.Millisecond}})
			require.NoError(t, err)
			assert.Empty(t, f.objects, "the probe cleans up")
			var e *probe.Error
			if want, bad := refused[k]; bad {
				require.ErrorAs(t, rep.Err(), &e)
				assert.Equal(t, want, e.Capability, "%+v", rep)
			} else {
				require.NoError(t, rep.Err())
			}
		})
	}
}

func TestProbeSettings(t *testing.T) {
	f, s := open(t, func(c *s3.Config) { c.NoConditionalPut = true })
	_, err := s.Put(t.Context(), "a", nil, objstore.IfAbsent())
	require.ErrorIs(t, err, objstore.ErrNotSupported)
	assert.Empty(t, f.requests)
	assert.False(t, s.Properties().IfAbsent)
	_, s = open(t, func(c *s3.Config) { c.NoProbe = true })
	assert.True(t, s.Properties().NoProbe)
	assert.Empty(t, s.Properties().Prices, "a server of one's own")
	noEnv(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	for loc, want := range map[string]string{
		"s3://b/db?region=eu-west-1": "s3", "s3://b--use1-az4--x-s3/db": "s3-express",
		"https://acc.r2.cloudflarestorage.com/b/db?skip_probe=true": "r2", "s3://b/db?endpoint=https://minio:9000": "",
	} {
		s, err := objstore.Open(t.Context(), loc)
		require.NoError(t, err, loc)
		assert.Equal(t, want, s.Properties().Prices, loc)
		assert.Equal(t, strings.Contains(loc, "skip_probe"), s.Properties().NoProbe, loc)
	}
	_, err = objstore.Open(t.Context(), "s3://b/db?skip_probe=perhaps")
	require.ErrorIs(t, err, kv.ErrInvalid)
}

func TestPutDoesNotReadTheBodyAfterwards(t *testing.T) {
	f, s := open(t, nil)
	f.before = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		fail(w, 412, "PreconditionFailed") // before the body was read
		return true
	}
	body := make([]byte, 4<<20)
	for range 20 {
		_, err := s.Put(t.Context(), "k", body, objstore.IfAbsent())
		require.Error(t, err)
		for i := range body { // the race detector watches
			body[i]++
		}
	}
}

func TestRequestHeaders(t *testing.T) {
	f, s := open(t, func(c *s3.Config) {
		c.CustomerKey = bytes.Repeat([]byte{7}, 32)
		c.RequesterPays = true
		c.HTTP.UserAgent = "tester"
	})
	var got http.Header
	f.before = func(_ http.ResponseWriter, r *http.Request, _ string) bool { got = r.Header.Clone(); return false }
	_, err := s.Put(t.Context(), "k", []byte("x"), objstore.IfVersion("abc").WithPutID("id"))
	require.ErrorIs(t, err, objstore.ErrPrecondition)
	assert.Equal(t, `"abc"`, got.Get("If-Match"))
	assert.Equal(t, "id", got.Get("x-amz-meta-slatedbputid"))
	assert.Equal(t, "AES256", got.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm"))
	assert.Equal(t, "requester", got.Get("X-Amz-Request-Payer"))
	assert.Contains(t, got.Get("User-Agent"), "tester")
	assert.Contains(t, got.Get("Authorization"), "x-amz-request-payer", "and it is signed")
	assert.Len(t, got.Get("X-Amz-Content-Sha256"), 64, "the signature covers the body")
	assert.Empty(t, got.Get("X-Amz-Checksum-Crc32"), "no checksum that other servers do not know")
}

// noEnv clears what is read from the environment: these tests also run where it names a server.
func noEnv(t *testing.T) {
	for _, name := range []string{
		"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ALLOW_HTTP",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
	} {
		t.Setenv(name, "")
	}
}

func TestConfigOf(t *testing.T) {
	parse := func(t *testing.T, s string) (s3.Config, error) {
		u, err := url.Parse(s)
		require.NoError(t, err)
		return s3.ConfigOf(u)
	}
	noEnv(t)
	t.Run("environment, most particular name first", func(t *testing.T) {
		t.Setenv("AWS_ENDPOINT", "https://c")
		c, err := parse(t, "s3://b")
		require.NoError(t, err)
		assert.Equal(t, "https://c", c.Endpoint)
		t.Setenv("AWS_ENDPOINT_URL", "https://b")
		t.Setenv("AWS_ENDPOINT_URL_S3", "https://a")
		t.Setenv("AWS_DEFAULT_REGION", "r")
		c, err = parse(t, "s3://b/some/path")
		require.NoError(t, err)
		assert.Equal(t, "https://a", c.Endpoint)
		assert.Equal(t, "r", c.Region)
		assert.Equal(t, "b", c.Bucket)
	})
	t.Run("the query wins", func(t *testing.T) {
		t.Setenv("AWS_ENDPOINT_URL_S3", "https://env")
		t.Setenv("AWS_REGION", "env")
		for _, q := range []string{"endpoint=https://q&region=q", "aws_endpoint=https://q&aws_region=q", "AWS_ENDPOINT_URL=https://q&default_region=q"} {
			c, err := parse(t, "s3://b?"+q)
			require.NoError(t, err, q)
			assert.Equal(t, "https://q", c.Endpoint, q)
			assert.Equal(t, "q", c.Region, q)
		}
	})
	t.Run("well-known hosts", func(t *testing.T) {
		for loc, host := range map[string]string{
			"https://s3.eu-west-1.amazonaws.com/bucket/p": "", "https://bucket.s3.eu-west-1.amazonaws.com/p": "",
			"https://acc.r2.cloudflarestorage.com/bucket/p": "",
		} {
			s, err := objstore.Open(t.Context(), loc+"?access_key_id=a&secret_access_key=b")
			require.NoError(t, err, loc)
			assert.Equal(t, "s3", s.Properties().Name, host)
		}
	})
	for name, q := range map[string]string{
		"unknown parameter": "regoin=x", "no truth value": "allow_http=perhaps", "condition": "conditional_put=maybe",
		"key": "sse_customer_key_base64=%25", "number": "part_size=big", "duration": "connect_timeout=soon",
	} {
		t.Run("wrong "+name, func(t *testing.T) {
			_, err := parse(t, "s3://b?secret_access_key=hunter2&"+q)
			require.ErrorIs(t, err, kv.ErrInvalid)
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestNewRefuses(t *testing.T) {
	ok := s3.Config{Bucket: "b", AccessKeyID: "a", SecretAccessKey: "s"}
	for name, set := range map[string]func(*s3.Config){
		"no bucket":             func(c *s3.Config) { c.Bucket = "" },
		"half a key":            func(c *s3.Config) { c.SecretAccessKey = "" },
		"http":                  func(c *s3.Config) { c.Endpoint = "http://localhost:1" },
		"no URL":                func(c *s3.Config) { c.Endpoint = "localhost:1" },
		"tiny parts":            func(c *s3.Config) { c.PartSize = 1 << 20 },
		"short customer key":    func(c *s3.Config) { c.CustomerKey = []byte("short") },
		"checksum":              func(c *s3.Config) { c.Checksum = "md4" },
		"both styles":           func(c *s3.Config) { c.PathStyle, c.VirtualHosted = true, true },
		"certificate not there": func(c *s3.Config) { c.HTTP = cloud.HTTP{CAFile: "not/there.pem"} },
	} {
		t.Run(name, func(t *testing.T) {
			c := ok
			set(&c)
			_, err := s3.New(t.Context(), c)
			require.ErrorIs(t, err, kv.ErrInvalid)
		})
	}
}

func TestListRefusesDisorder(t *testing.T) {
	f, s := open(t, nil)
	f.before = func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		_, _ = io.WriteString(w, `<ListBucketResult><Contents><Key>p/</Key></Contents><Contents><Key>p/b</Key></Contents><Contents><Key>p/a</Key></Contents></ListBucketResult>`)
		return true
	}
	var seen []string
	var last error
	for a, err := range s.List(t.Context(), "p/", "") {
		if last = err; err == nil {
			seen = append(seen, a.Key)
		}
	}
	assert.Equal(t, []string{"p/b"}, seen, "a folder's placeholder is no object of ours")
	require.Error(t, last)
	assert.True(t, objstore.IsPermanent(last))
}
