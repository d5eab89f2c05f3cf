package cloud

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// Settings looks names up in the query of a URL first, then in the environment. A name is
// given as the environment has it ("AWS_REGION"); the query takes it in lower case, with or
// without the provider's prefix ("aws_region", "region").
//
// Values may be secrets: no message holds one.
type Settings struct {
	prefix string // "AWS_"
	query  map[string]string
	asked  map[string]bool
	lookup func(string) (string, bool)
	bad    []string
}

// NewSettings returns the settings of u for names with the given prefix. u may be nil.
func NewSettings(u *url.URL, prefix string) *Settings {
	s := &Settings{prefix: prefix, query: map[string]string{}, asked: map[string]bool{}, lookup: os.LookupEnv}
	if u == nil {
		return s
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		s.bad = append(s.bad, "the query of the URL cannot be read")
	}
	for name, v := range values {
		s.query[strings.ToLower(name)] = v[len(v)-1]
	}
	return s
}

// String returns the first of names that is set, or "". All of them are looked for in the
// query before any in the environment. An empty variable is not set.
func (s *Settings) String(names ...string) string {
	v, _ := s.find(names)
	return v
}

func (s *Settings) find(names []string) (value, name string) {
	for _, n := range names {
		long := strings.ToLower(n)
		short := strings.TrimPrefix(long, strings.ToLower(s.prefix))
		s.asked[long], s.asked[short] = true, true
	}
	for _, n := range names {
		long := strings.ToLower(n)
		for _, q := range []string{strings.TrimPrefix(long, strings.ToLower(s.prefix)), long} {
			if v, ok := s.query[q]; ok {
				return v, q
			}
		}
	}
	for _, n := range names {
		if v, ok := s.lookup(n); ok && v != "" {
			return v, n
		}
	}
	return "", ""
}

// InQuery reports whether the URL sets one of names.
func (s *Settings) InQuery(names ...string) bool {
	for _, n := range names {
		long := strings.ToLower(n)
		if s.query[long] != "" || s.query[strings.TrimPrefix(long, strings.ToLower(s.prefix))] != "" {
			return true
		}
	}
	return false
}

// Bool reads a truth value: true, 1, yes, on and their opposites in any case.
func (s *Settings) Bool(names ...string) bool {
	v, name := s.find(names)
	switch strings.ToLower(v) {
	case "", "false", "0", "no", "off", "n", "f":
		return false
	case "true", "1", "yes", "on", "y", "t":
		return true
	}
	s.bad = append(s.bad, name+" is neither true nor false")
	return false
}

// Duration reads a span such as "5s", "500ms" or "1 minute"; 0 when unset.
func (s *Settings) Duration(names ...string) time.Duration {
	v, name := s.find(names)
	if v == "" {
		return 0
	}
	if d, err := time.ParseDuration(strings.ReplaceAll(v, " ", "")); err == nil && d >= 0 {
		return d
	}
	number, unit, _ := strings.Cut(strings.TrimSpace(v), " ")
	n, err := strconv.ParseUint(number, 10, 31)
	unit = strings.TrimSuffix(strings.TrimSpace(unit), "s")
	for u, d := range map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour} {
		if err == nil && unit == u {
			return time.Duration(n) * d
		}
	}
	s.bad = append(s.bad, name+" is not a duration")
	return 0
}

// Int reads a number that is not negative; 0 when unset.
func (s *Settings) Int(names ...string) int64 {
	v, name := s.find(names)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		s.bad = append(s.bad, name+" is not a number")
		return 0
	}
	return n
}

// Ignore accepts names that mean nothing here.
func (s *Settings) Ignore(names ...string) {
	for _, n := range names {
		s.find([]string{n})
	}
}

// HTTP reads the settings of the transport, under the provider's prefix.
func (s *Settings) HTTP() HTTP {
	p := s.prefix
	s.Ignore(p+"POOL_IDLE_TIMEOUT", p+"HTTP2_ONLY", p+"HTTP2_KEEP_ALIVE_INTERVAL", p+"HTTP2_KEEP_ALIVE_TIMEOUT",
		p+"HTTP2_KEEP_ALIVE_WHILE_IDLE", p+"HTTP2_MAX_FRAME_SIZE", p+"RANDOMIZE_ADDRESSES", p+"DEFAULT_CONTENT_TYPE")
	return HTTP{
		AllowHTTP:                s.Bool(p + "ALLOW_HTTP"),
		AllowInvalidCertificates: s.Bool(p + "ALLOW_INVALID_CERTIFICATES"),
		CAFile:                   s.String(p + "CA_FILE"),
		ConnectTimeout:           s.Duration(p + "CONNECT_TIMEOUT"),
		ResponseTimeout:          s.Duration(p+"READ_TIMEOUT", p+"TIMEOUT"),
		IdlePerHost:              int(min(s.Int(p+"POOL_MAX_IDLE_PER_HOST"), 1<<16)),
		HTTP1Only:                s.Bool(p + "HTTP1_ONLY"),
		ProxyURL:                 s.String(p + "PROXY_URL"),
		ProxyCAFile:              s.String(p + "PROXY_CA_FILE"),
		NoProxy:                  s.String(p + "PROXY_EXCLUDES"),
		UserAgent:                s.String(p + "USER_AGENT"),
	}
}

// Err returns what was wrong with the values that were asked for, and names the parameters
// of the URL that nobody asked for: a misspelt one must not pass in silence. It is
// kv.ErrInvalid.
func (s *Settings) Err() error {
	bad := slices.Clone(s.bad)
	for name := range s.query {
		if !s.asked[name] {
			bad = append(bad, fmt.Sprintf("parameter %q is unknown", name[:min(len(name), 100)]))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	slices.Sort(bad)
	return fmt.Errorf("settings: %s: %w", strings.Join(bad, "; "), kv.ErrInvalid)
}
