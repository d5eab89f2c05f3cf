//go:build interop

package interop

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// place returns an empty place for databases, which both engines reach: a directory, or, when
// SLATEDB_TEST_URL names a bucket, a folder of it as a URL. The build tag emulators links what
// reaches a bucket.
func place(t *testing.T) string {
	t.Helper()
	base := os.Getenv("SLATEDB_TEST_URL")
	if base != "" {
		return fmt.Sprintf("%s/interop-%016x", base, rand.Uint64())
	}
	if needServer {
		t.Fatal("the build tag emulators is set and SLATEDB_TEST_URL is not")
	}
	return t.TempDir()
}

// needServer is set by the build tag: a run for a server must not pass without one.
var needServer bool

func remote(place string) bool { return strings.Contains(place, "://") }

// at is the location of the database that the scripts call path=db.
func at(place string) string { return in(place, "db") }

// in is the location of the one that they call path=NAME. The store's root is that of the file
// system or the bucket, as in the scripts, so that both engines have the same names for a
// clone's parents.
func in(place, name string) string {
	if remote(place) {
		return place + "/" + name
	}
	return filepath.Join(place, name) + "?root=/"
}

// pathIn is the path of that database inside the store.
func pathIn(place, name string) string {
	if u, err := url.Parse(place); remote(place) && err == nil {
		place = u.Path
	}
	return strings.TrimPrefix(filepath.ToSlash(place), "/") + "/" + name
}

// storeArg is how the scripts are told of a place.
func storeArg(place string) string {
	if remote(place) {
		return place
	}
	return "file://" + filepath.ToSlash(place)
}
