package objstore

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// An Opener opens the bucket or container that u names. The path of u is none of its
// business: the caller looks after it.
type Opener func(ctx context.Context, u *url.URL) (Store, error)

var schemes struct {
	sync.RWMutex
	openers map[string]Opener
}

// Register makes Open and Resolve use opener for URLs of a scheme. A store's package calls
// it from init; the last call for a scheme wins.
func Register(scheme string, opener func(ctx context.Context, u *url.URL) (Store, error)) {
	schemes.Lock()
	defer schemes.Unlock()
	if schemes.openers == nil {
		schemes.openers = make(map[string]Opener)
	}
	schemes.openers[strings.ToLower(scheme)] = opener
}

// providers names the package that knows a scheme which this one only knows of.
var providers = map[string]string{
	"s3": "s3", "s3a": "s3",
	"gs":    "gcs",
	"az":    "azure",
	"azure": "azure", "adl": "azure", "abfs": "azure", "abfss": "azure",
}

// Open returns the store whose root is the given URL or directory: everything below it,
// under keys relative to it. Where Resolve splits a location into store and database path,
// Open takes all of it as the store.
func Open(ctx context.Context, location string) (Store, error) {
	l, err := parse(location)
	if err != nil {
		return nil, err
	}
	if l.dir {
		return NewDir(filepath.Join(l.root, filepath.FromSlash(l.path)))
	}
	s, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	return WithPrefix(s, l.path), nil
}

// Resolve returns the store that a database location names and the database's path inside
// it, which is "" for the store's root:
//
//	memory:///path, memory://name/path   one store per name and process
//	file:///dir/path, dir/path, /x, C:\x the last element is the path, the rest the root;
//	                                     ?root=/dir puts the root higher
//	s3://bucket/path and other schemes   the bucket; a package must have registered it
//
// Wrong locations are kv.ErrInvalid.
func Resolve(ctx context.Context, location string) (s Store, path string, err error) {
	l, err := parse(location)
	if err != nil {
		return nil, "", err
	}
	s, err = l.open(ctx)
	return s, l.path, err
}

// location is a parsed one: either a directory or a URL of another scheme.
type location struct {
	dir  bool
	root string   // of a directory
	url  *url.URL // else
	path string
}

func (l *location) open(ctx context.Context) (Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.dir {
		return NewDir(l.root)
	}
	schemes.RLock()
	opener := schemes.openers[l.url.Scheme]
	schemes.RUnlock()
	if opener != nil {
		u, skip, err := skipProbe(l.url)
		if err != nil {
			return nil, err
		}
		s, err := opener(ctx, u)
		if err == nil && skip {
			s = vouched{s}
		}
		return s, err
	}
	if l.url.Scheme == "memory" {
		return namedMemory(l.url.Host), nil
	}
	if p, ok := providers[l.url.Scheme]; ok {
		const base = "github.com/slatedb/slatedb-go/objstore/"
		return nil, fmt.Errorf("scheme %q needs its provider: import _ %q (or import _ %q for all of them): %w",
			l.url.Scheme, base+p, base+"all", kv.ErrInvalid)
	}
	return nil, fmt.Errorf("unknown scheme %q (known: %s, or a directory): %w",
		l.url.Scheme, strings.Join(knownSchemes(), ", "), kv.ErrInvalid)
}

// skipProbe takes the one parameter out of u that every provider's location has.
func skipProbe(u *url.URL) (_ *url.URL, skip bool, err error) {
	const name = "skip_probe"
	q := u.Query()
	if !q.Has(name) {
		return u, false, nil
	}
	if skip, err = strconv.ParseBool(q.Get(name)); err != nil {
		return nil, false, fmt.Errorf("parameter %s is true or false: %w", name, kv.ErrInvalid)
	}
	q.Del(name)
	out := *u
	out.RawQuery = q.Encode()
	return &out, skip, nil
}

// vouched is a store that is not tried at open.
type vouched struct{ Store }

func (v vouched) Properties() Properties {
	p := v.Store.Properties()
	p.NoProbe = true
	return p
}

func knownSchemes() []string {
	known := []string{"file", "memory"}
	schemes.RLock()
	defer schemes.RUnlock()
	for s := range schemes.openers {
		known = append(known, s)
	}
	for s := range providers {
		known = append(known, s)
	}
	slices.Sort(known)
	return slices.Compact(known)
}

func parse(loc string) (*location, error) {
	if loc == "" {
		return nil, fmt.Errorf("empty location: %w", kv.ErrInvalid)
	}
	if strings.IndexByte(loc, 0) >= 0 {
		return nil, fmt.Errorf("location %q holds a NUL byte: %w", clip(loc), kv.ErrInvalid)
	}
	if !isURL(loc) {
		// A question mark is fine in a file name, so only this one parameter is cut off.
		name, root, _ := strings.Cut(loc, "?root=")
		return parseDir(name, root)
	}
	u, err := url.Parse(loc)
	if err != nil {
		// url.Error repeats the whole URL, which may hold a secret; its cause does not.
		if ue, ok := err.(*url.Error); ok {
			err = ue.Err
		}
		return nil, fmt.Errorf("location is not a URL: %v: %w", err, kv.ErrInvalid)
	}
	u = wellKnownHost(u)
	if u.Scheme == "file" {
		return parseFile(u)
	}
	path := strings.Trim(u.Path, "/")
	if err := ValidPath(path); err != nil {
		return nil, err
	}
	if u.Host == "" && u.Scheme != "memory" {
		return nil, fmt.Errorf("location %s:///... names no bucket: %w", u.Scheme, kv.ErrInvalid)
	}
	return &location{url: u, path: path}, nil
}

// isURL tells a URL from a directory. One letter before the colon is a Windows drive.
func isURL(loc string) bool {
	scheme, rest, found := strings.Cut(loc, ":")
	if !found || len(scheme) < 2 || !isScheme(scheme) {
		return false
	}
	return strings.HasPrefix(rest, "//") || (strings.EqualFold(scheme, "file") && strings.HasPrefix(rest, "/"))
}

func parseFile(u *url.URL) (*location, error) {
	if u.Host != "" && !strings.EqualFold(u.Host, "localhost") {
		return nil, fmt.Errorf("location file://%s/... names a host; write file:///dir/path, or a plain path for a relative one: %w",
			u.Host, kv.ErrInvalid)
	}
	for name := range u.Query() {
		if name != "root" {
			return nil, fmt.Errorf("parameter %q of a file location is unknown: %w", clip(name), kv.ErrInvalid)
		}
	}
	name := u.Path
	if runtime.GOOS == "windows" && len(name) > 2 && name[2] == ':' {
		name = name[1:] // file:///C:/dir
	}
	if name == "" {
		name = "/"
	}
	return parseDir(name, u.Query().Get("root"))
}

// parseDir splits a directory into the store's root and the path below it.
func parseDir(name, root string) (*location, error) {
	if name == "" {
		return nil, fmt.Errorf("empty directory name: %w", kv.ErrInvalid)
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("directory %s: %w", clip(name), err)
	}
	if root == "" {
		root = filepath.Dir(abs)
	} else if root, err = filepath.Abs(root); err != nil {
		return nil, fmt.Errorf("root of %s: %w", clip(name), err)
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return nil, fmt.Errorf("directory %s is not below its root %s: %w", clip(abs), clip(root), kv.ErrInvalid)
	}
	path := filepath.ToSlash(rel)
	if path == "." {
		path = ""
	}
	if err := ValidPath(path); err != nil {
		return nil, err
	}
	return &location{dir: true, root: root, path: path}, nil
}

// wellKnownHost turns the https form of a bucket, as cloud consoles show it, into the form
// with a scheme of its own.
func wellKnownHost(u *url.URL) *url.URL {
	if u.Scheme != "https" {
		return u
	}
	host := strings.ToLower(u.Hostname())
	out := *u
	query := out.Query()
	inPath := func(scheme string) {
		bucket, path, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		out.Scheme, out.Host, out.Path, out.RawPath = scheme, bucket, "/"+path, ""
	}
	if name, ok := strings.CutSuffix(host, ".amazonaws.com"); ok {
		bucket, region, dotted := strings.Cut(name, ".s3.")
		if r, ok := strings.CutPrefix(name, "s3."); ok {
			inPath("s3")
			region = r
		} else if name == "s3" {
			inPath("s3")
		} else if dotted {
			out.Scheme, out.Host = "s3", bucket
		} else if name, ok := strings.CutSuffix(name, ".s3"); ok {
			out.Scheme, out.Host = "s3", name
		} else {
			return u
		}
		if region != "" && !query.Has("region") {
			query.Set("region", region)
		}
	} else if strings.HasSuffix(host, ".r2.cloudflarestorage.com") {
		inPath("s3")
		if !query.Has("endpoint") {
			query.Set("endpoint", "https://"+host)
		}
		if !query.Has("region") {
			query.Set("region", "auto")
		}
	} else if account, ok := strings.CutSuffix(host, ".blob.core.windows.net"); ok {
		inPath("az")
		if !query.Has("account_name") {
			query.Set("account_name", account)
		}
	} else {
		return u
	}
	out.RawQuery = query.Encode()
	return &out
}

var memories struct {
	sync.Mutex
	byName map[string]Store
}

// namedMemory returns the one store of a name.
func namedMemory(name string) Store {
	memories.Lock()
	defer memories.Unlock()
	s := memories.byName[name]
	if s == nil {
		s = NewMemory()
		if memories.byName == nil {
			memories.byName = make(map[string]Store)
		}
		memories.byName[name] = s
	}
	return s
}

// ForgetMemory drops the store of memory://name, so that its memory is freed once nobody
// holds it; the next Open of that name makes an empty one. Handles that are open keep the
// old store. The name of memory:/// is "".
func ForgetMemory(name string) {
	memories.Lock()
	defer memories.Unlock()
	delete(memories.byName, name)
}
