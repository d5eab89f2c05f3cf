package s3_test

import (
	"bytes"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
	"github.com/slatedb/slatedb-go/objstore/deviant"
	"github.com/slatedb/slatedb-go/objstore/s3"
)

// fake is a small S3: PUT with conditions, GET, HEAD, DELETE and uploads in parts.
type fake struct {
	mu       sync.Mutex
	objects  map[string]fakeObject
	uploads  map[string]map[int][]byte // open ones
	meta     map[string]string         // put-id of an open upload
	requests []string                  // method and what kind, in order
	// before may answer instead; true: it did.
	before func(w http.ResponseWriter, r *http.Request, kind string) bool
	// drop breaks the connection off after the effect, instead of answering.
	drop     func(kind string) bool
	careless bool // ignores conditions
	kind     deviant.Kind
	listed   map[string]bool // for a stale list
}

type fakeObject struct {
	body        []byte
	etag, putID string
}

const metaHeader = "X-Amz-Meta-" + objstore.PutIDKey

func kindOf(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == "POST" && q.Has("uploads"):
		return "create"
	case r.Method == "POST":
		return "complete"
	case q.Has("partNumber"):
		return "part"
	case r.Method == "DELETE" && q.Has("uploadId"):
		return "abort"
	case r.Method == "GET" && q.Has("list-type"):
		return "list"
	}
	return strings.ToLower(r.Method)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := kindOf(r)
	f.mu.Lock()
	f.requests = append(f.requests, kind)
	before, drop := f.before, f.drop
	f.mu.Unlock()
	if before != nil && before(w, r, kind) {
		return
	}
	if drop != nil && drop(kind) {
		f.serve(httptest.NewRecorder(), r, kind)
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	f.serve(w, r, kind)
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>made up</Message></Error>`, code)
}

// refused answers when the condition of r does not hold.
func (f *fake) refused(w http.ResponseWriter, r *http.Request) bool {
	o, found := f.objects[r.URL.Path]
	switch match := r.Header.Get("If-Match"); {
	case f.careless, f.kind == deviant.IgnoresIfAbsent && match == "", f.kind == deviant.IgnoresIfVersion && match != "",
		f.kind == deviant.UpdatesMissing && match != "" && !found:
		return false
	case f.kind == deviant.Conflicts && (r.Header.Get("If-None-Match") == "*" && found || match != "" && match != o.etag):
		fail(w, 409, "ConditionalRequestConflict")
	case r.Header.Get("If-None-Match") == "*" && found, match != "" && found && match != o.etag:
		fail(w, 412, "PreconditionFailed")
	case match != "" && !found:
		fail(w, 404, "NoSuchKey")
	default:
		return false
	}
	return true
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request, kind string) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	key, id := r.URL.Path, r.URL.Query().Get("uploadId")
	switch kind {
	case "put":
		if f.refused(w, r) {
			return
		}
		o := fakeObject{body, fmt.Sprintf(`"%x"`, md5.Sum(body)), r.Header.Get(metaHeader)}
		if f.kind == deviant.NoMetadata {
			o.putID = ""
		}
		f.objects[key] = o
		w.Header().Set("ETag", o.etag)
	case "create":
		id = strconv.Itoa(len(f.requests))
		f.uploads[id], f.meta[id] = map[int][]byte{}, r.Header.Get(metaHeader)
		fmt.Fprintf(w, `<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>`, id)
	case "part":
		n, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
		f.uploads[id][n] = body
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
	case "abort":
		delete(f.uploads, id)
		w.WriteHeader(204)
	case "complete":
		if f.refused(w, r) {
			return
		}
		parts, found := f.uploads[id]
		if !found {
			fail(w, 404, "NoSuchUpload")
			return
		}
		var order struct {
			Part []struct{ PartNumber int }
		}
		if err := xml.Unmarshal(body, &order); err != nil {
			fail(w, 400, "MalformedXML")
			return
		}
		var whole []byte
		for _, p := range order.Part {
			whole = append(whole, parts[p.PartNumber]...)
		}
		delete(f.uploads, id)
		o := fakeObject{whole, fmt.Sprintf(`"%x-%d"`, md5.Sum(whole), len(parts)), f.meta[id]}
		f.objects[key] = o
		fmt.Fprintf(w, `<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>`, o.etag)
	case "get", "head":
		o, found := f.objects[key]
		if !found {
			fail(w, 404, "NoSuchKey")
			return
		}
		w.Header().Set("ETag", o.etag)
		if o.putID != "" {
			w.Header().Set(metaHeader, o.putID)
		}
		switch f.kind {
		case deviant.ShortBodies:
			if r.Method == "GET" {
				w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
				w.WriteHeader(200)
				_, _ = w.Write(o.body[:len(o.body)/2])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
		case deviant.WholeForRange:
			r.Header.Del("Range")
		}
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(o.body))
	case "list":
		f.list(w, r)
	case "delete":
		delete(f.objects, key)
		w.WriteHeader(204)
	}
}

// list is ListObjectsV2 in pages of two.
func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	q, root := r.URL.Query(), "/bucket/"
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	seen := f.listed
	if after == "" || q.Get("continuation-token") == "" {
		f.listed = map[string]bool{}
		for k := range f.objects {
			f.listed[k] = true
		}
	}
	var keys []string
	for k := range f.objects {
		key := strings.TrimPrefix(k, root)
		if strings.HasPrefix(key, q.Get("prefix")) && key > after && (f.kind != deviant.StaleList || seen[k]) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	const page = 2
	more := len(keys) > page
	keys = keys[:min(page, len(keys))]
	fmt.Fprintf(w, `<ListBucketResult><IsTruncated>%v</IsTruncated>`, more)
	for _, k := range keys {
		o := f.objects[root+k]
		fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>%d</Size><ETag>%s</ETag><LastModified>2025-01-01T00:00:00Z</LastModified></Contents>`, k, len(o.body), o.etag)
	}
	if more {
		fmt.Fprintf(w, `<NextContinuationToken>%s</NextContinuationToken>`, keys[page-1])
	}
	fmt.Fprint(w, `</ListBucketResult>`)
}

func (f *fake) count(kind string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if r == kind {
			n++
		}
	}
	return n
}

// open returns a store on a new fake.
func open(t *testing.T, set func(*s3.Config)) (*fake, objstore.Store) {
	t.Helper()
	f := &fake{objects: map[string]fakeObject{}, uploads: map[string]map[int][]byte{}, meta: map[string]string{}}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	c := s3.Config{
		Bucket: "bucket", Endpoint: srv.URL, AccessKeyID: "id", SecretAccessKey: "secret", NoProbe: true,
		HTTP: cloud.HTTP{AllowHTTP: true}, Multipart: 6 << 20, PartSize: 5 << 20,
	}
	if set != nil {
		set(&c)
	}
	s, err := s3.New(t.Context(), c)
	require.NoError(t, err)
	return f, s
}
