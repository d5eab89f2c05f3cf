package cloud

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// HTTP are the options of the transport. The zero value is a good default.
type HTTP struct {
	// AllowHTTP permits an endpoint without TLS. Default: refused, so that keys and data do
	// not leave in the clear by a slip.
	AllowHTTP bool
	// AllowInvalidCertificates turns the check of the server's certificate off. For tests.
	AllowInvalidCertificates bool
	// CAFile names a PEM file with certificates to trust besides the system's.
	CAFile string
	// TLS is cloned and used as the base of the TLS settings. nil: TLS 1.2 or newer.
	TLS *tls.Config
	// ConnectTimeout bounds connecting and the TLS handshake, each. Default 5s.
	ConnectTimeout time.Duration
	// ResponseTimeout bounds the wait for the first byte of an answer once the request is
	// sent. Default 30s. How long a body takes is bounded by the caller's ctx.
	ResponseTimeout time.Duration
	// IdlePerHost is how many idle connections are kept. Default 128: a scan or a
	// compaction fetches in parallel, and a new TLS connection costs two round trips.
	IdlePerHost int
	HTTP1Only   bool
	// ProxyURL is the proxy of every request. Default: HTTPS_PROXY and NO_PROXY as usual.
	ProxyURL string
	// ProxyCAFile names a PEM file to trust, as CAFile does.
	ProxyCAFile string
	// NoProxy lists hosts, comma separated, that ProxyURL is not used for: a name stands for
	// itself and what is below it.
	NoProxy string
	// UserAgent is added to the SDK's.
	UserAgent string
}

// Transport returns a new transport with these options. Wrong ones are kv.ErrInvalid.
func (h HTTP) Transport() (*http.Transport, error) {
	set, err := h.Options()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{}
	set(t)
	return t, nil
}

// Options returns what sets these options on a transport, for SDKs that make their own.
// Wrong ones are kv.ErrInvalid.
func (h HTTP) Options() (func(*http.Transport), error) {
	connect := h.ConnectTimeout
	if connect <= 0 {
		connect = 5 * time.Second
	}
	response := h.ResponseTimeout
	if response <= 0 {
		response = 30 * time.Second
	}
	idle := h.IdlePerHost
	if idle <= 0 {
		idle = 128
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if h.TLS != nil {
		conf = h.TLS.Clone()
	}
	if h.AllowInvalidCertificates {
		conf.InsecureSkipVerify = true
	}
	for _, file := range []string{h.CAFile, h.ProxyCAFile} {
		if file == "" {
			continue
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("certificates: %w: %w", err, kv.ErrInvalid)
		}
		if conf.RootCAs == nil {
			if conf.RootCAs, err = x509.SystemCertPool(); err != nil {
				conf.RootCAs = x509.NewCertPool()
			}
		}
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificates: %s holds none: %w", file, kv.ErrInvalid)
		}
	}
	proxy := http.ProxyFromEnvironment
	if h.ProxyURL != "" {
		u, err := url.Parse(h.ProxyURL)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("the proxy is not a URL: %w", kv.ErrInvalid) // it may hold a password
		}
		proxy = func(r *http.Request) (*url.URL, error) {
			if excluded(r.URL.Hostname(), h.NoProxy) {
				return nil, nil
			}
			return u, nil
		}
	}
	dialer := &net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}
	return func(t *http.Transport) {
		t.Proxy = proxy
		t.DialContext = dialer.DialContext
		t.TLSClientConfig = conf.Clone()
		t.TLSHandshakeTimeout = connect
		t.ResponseHeaderTimeout = response
		t.ExpectContinueTimeout = time.Second
		t.IdleConnTimeout = 90 * time.Second
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, idle
		// Bodies are stored bytes; nothing between may unpack them. Large buffers save calls.
		t.DisableCompression = true
		t.WriteBufferSize, t.ReadBufferSize = 64<<10, 64<<10
		t.ForceAttemptHTTP2 = !h.HTTP1Only
		if h.HTTP1Only {
			t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}
	}, nil
}

// CheckEndpoint returns the endpoint as a URL with scheme and host, kv.ErrInvalid when it is
// none or goes without TLS and that is not permitted. setting names the permission.
func (h HTTP) CheckEndpoint(endpoint, setting string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("the endpoint is not a URL of the form https://host: %w", kv.ErrInvalid)
	}
	if u.Scheme == "http" && !h.AllowHTTP {
		return nil, fmt.Errorf("the endpoint %s goes without TLS, which %s permits: %w", u.Host, setting, kv.ErrInvalid)
	}
	return u, nil
}

func excluded(host, list string) bool {
	for _, e := range strings.Split(list, ",") {
		e = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(e), "*"), ".")
		if e != "" && (host == e || strings.HasSuffix(host, "."+e)) {
			return true
		}
	}
	return false
}

// UserAgent sets the User-Agent suffix on every request that passes.
type UserAgent struct {
	Base  http.RoundTripper
	Agent string
}

// RoundTrip implements http.RoundTripper.
func (u UserAgent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", strings.TrimSpace(r.Header.Get("User-Agent")+" "+u.Agent))
	return u.Base.RoundTrip(r)
}
