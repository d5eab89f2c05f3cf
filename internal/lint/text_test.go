package lint

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// eachTextFile calls f for every file of the repository that is text.
func eachTextFile(t *testing.T, f func(name string, body []byte)) {
	t.Helper()
	root := repoRoot(t)
	for _, name := range trackedFiles(t) {
		body, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed while the test runs
		}
		require.NoError(t, err)
		if bytes.IndexByte(body[:min(len(body), 8<<10)], 0) < 0 {
			f(name, body)
		}
	}
}

// The patterns are put together from pieces, so that this file does not hold what it forbids.
var machinePath = regexp.MustCompile(`(^|[\s"'=(:,` + "`" + `])/(` + strings.Join([]string{"home", "root", "Users", "work", "workspace", "tm" + "p", "mnt", "private/var"}, "|") + `)/[A-Za-z0-9_.\-]|[A-Z]:\\Users\\`)

// TestNoMachinePaths: nothing in the repository names a place on somebody's machine.
func TestNoMachinePaths(t *testing.T) {
	eachTextFile(t, func(name string, body []byte) {
		for i, line := range strings.Split(string(body), "\n") {
			if m := machinePath.FindString(line); m != "" {
				t.Errorf("%s:%d: machine path %q", name, i+1, strings.TrimSpace(m))
			}
		}
	})
}

func TestNoMachinePathsSeesOne(t *testing.T) {
	slash := "/"
	for _, s := range []string{
		"see " + slash + "home/ann/x", `"` + slash + "tmp/a", "DIR=" + slash + "root/go", "file:" + slash + "work/main", "`" + slash + "mnt/d`",
	} {
		assert.True(t, machinePath.MatchString(s), "%s", s)
	}
	for _, s := range []string{
		"a/home/b", "file:///dir/db", "./tmp/x", "mode:/proc/self/stat", "#!/usr/bin/env bash", "github.com/x/root/y", "one /work here",
	} {
		assert.False(t, machinePath.MatchString(s), "%s", s)
	}
}

var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

// TestDocsMentionNoTODO: what is unfinished is an issue, not a remark in a file.
func TestDocsMentionNoTODO(t *testing.T) {
	eachTextFile(t, func(name string, body []byte) {
		switch {
		case strings.HasPrefix(name, "internal/lint/"), name == "LICENSE", strings.Contains(name, "testdata/"):
			return
		case strings.HasPrefix(name, "internal/flatbuf/"): // generated
			return
		}
		for i, line := range strings.Split(string(body), "\n") {
			if m := unfinished.FindString(line); m != "" {
				t.Errorf("%s:%d: %s", name, i+1, m)
			}
		}
	})
}
