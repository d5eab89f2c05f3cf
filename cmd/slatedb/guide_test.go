package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// words splits a line as a shell does, as far as the guide needs it.
func words(line string) (out []string) {
	for _, m := range regexp.MustCompile(`"([^"]*)"|'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2]+m[3])
	}
	return out
}

// TestGuide runs the session that the operating guide shows, and finds every command that it
// names.
func TestGuide(t *testing.T) {
	page, err := os.ReadFile("../../docs/guides/operating.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, blocks)
	t.Chdir(t.TempDir())
	for _, b := range blocks {
		for _, line := range strings.Split(strings.TrimSpace(b[1]), "\n") {
			if strings.Contains(line, "$CHECKPOINT") {
				cs := document[[]checkpointJSON](t, "list-checkpoints", "--name", "nightly", "./orders")
				require.NotEmpty(t, cs, line)
				line = strings.ReplaceAll(line, "$CHECKPOINT", cs[0].ID)
			}
			args := words(line)
			require.Equal(t, "slatedb", args[0])
			ok(t, args[1:]...)
		}
	}

	for _, m := range regexp.MustCompile("(?m)^    slatedb ([^-].*)$").FindAllStringSubmatch(string(page), -1) {
		args := words(strings.SplitN(m[1], "#", 2)[0])
		if args[0] == "help" {
			continue
		}
		c, rest := find(args)
		require.NotNil(t, c, m[1])
		fs := newFlags(c)
		c.flags(fs)
		_, err := parse(fs, rest)
		require.NoError(t, err, m[1])
	}
}
