//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"testing"
)

// TestMain puts a translator between the original engine and a Google emulator. The engine's
// client writes with the XML interface of Google Cloud Storage, which the emulator has for
// reading only: what it puts becomes an upload of the JSON interface, with the same condition.
// And it asks for a token before it writes, unless a key says that there is none to ask for.
func TestMain(m *testing.M) {
	host := os.Getenv("STORAGE_EMULATOR_HOST")
	if host == "" {
		os.Exit(m.Run())
	}
	s := httptest.NewServer(&gcsXML{base: "http://" + host, read: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: host}) }}})
	pythonEnv = append(os.Environ(), "GOOGLE_BASE_URL="+s.URL, "GOOGLE_ALLOW_HTTP=true",
		`GOOGLE_SERVICE_ACCOUNT_KEY={"gcs_base_url":"`+s.URL+`","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}`)
	code := m.Run()
	s.Close()
	os.Exit(code)
}

// pythonEnv is the environment of the original engine; nil is ours.
var pythonEnv []string

// gcsXML translates puts and hands on everything else.
type gcsXML struct {
	base string
	read *httputil.ReverseProxy
}

func (g *gcsXML) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut || r.URL.RawQuery != "" {
		g.read.ServeHTTP(w, r)
		return
	}
	if err := g.put(w, r); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

// put translates the upload of an object.
func (g *gcsXML) put(w http.ResponseWriter, r *http.Request) error {
	bucket, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !ok {
		return fmt.Errorf("no object in %q", r.URL.Path)
	}
	meta := map[string]string{}
	for k := range r.Header {
		if m, ok := strings.CutPrefix(strings.ToLower(k), "x-goog-meta-"); ok {
			meta[m] = r.Header.Get(k)
		}
	}
	var body bytes.Buffer
	mp := multipart.NewWriter(&body)
	part, err := mp.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/json"}})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(part).Encode(map[string]any{"name": name, "metadata": meta}); err != nil {
		return err
	}
	if part, err = mp.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/octet-stream"}}); err != nil {
		return err
	}
	if _, err := io.Copy(part, r.Body); err != nil {
		return err
	}
	if err := mp.Close(); err != nil {
		return err
	}
	q := url.Values{"uploadType": {"multipart"}, "name": {name}}
	if gen := r.Header.Get("x-goog-if-generation-match"); gen != "" {
		q.Set("ifGenerationMatch", gen)
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, g.base+"/upload/storage/v1/b/"+bucket+"/o?"+q.Encode(), &body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "multipart/related; boundary="+mp.Boundary())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var o struct{ Etag, Generation string }
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(text)
		return nil
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	w.Header().Set("ETag", `"`+strings.Trim(o.Etag, `"`)+`"`)
	w.Header().Set("x-goog-generation", o.Generation)
	return nil
}
