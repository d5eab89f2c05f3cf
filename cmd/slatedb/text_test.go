package main

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sha(s string) [sha256.Size]byte { return sha256.Sum256([]byte(s)) }

func TestKeysReadBackAsShown(t *testing.T) {
	for _, k := range []string{"a", "user:1", "é", "0x", "0xff", "\x00", "a\nb", "a\tb", "\xff\xfe", `back\slash`} {
		got, err := keyArg("KEY", showKey([]byte(k)))
		require.NoError(t, err)
		assert.Equal(t, k, string(got), "%q is shown as %q", k, showKey([]byte(k)))
		assert.NotContains(t, showKey([]byte(k)), "\n")
	}
	_, err := keyArg("KEY", "0x1")
	assert.Error(t, err)
}

func TestShowValue(t *testing.T) {
	assert.Equal(t, "", showValue(nil, false))
	assert.Equal(t, `a\nb\\`, showValue([]byte("a\nb\\"), false))
	assert.Equal(t, "<2 bytes>", showValue([]byte("a\x00"), false))
	assert.Equal(t, "0x6100", showValue([]byte("a\x00"), true))
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 10239: "10239 B", 10240: "10.0 KiB", 5 << 20: "5120.0 KiB", 20 << 20: "20.0 MiB", 64 << 30: "64.0 GiB",
	} {
		assert.Equal(t, want, bytesText(n))
	}
}

func TestProgress(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out, "loaded", 4, 100)
	p.every = 0
	p.begun = time.Now().Add(-2 * time.Second)
	p.add(50)
	assert.Contains(t, out.String(), "loaded  50%  1/4 files  50 B")
	out.Reset()

	p.terminal = true
	p.add(25)
	assert.True(t, strings.HasPrefix(out.String(), "\rloaded [==================      ]  75%"), "%q", out.String())
	out.Reset()
	p.note("not stored: %s", "x")
	assert.True(t, strings.HasPrefix(out.String(), "\r "), "the bar is wiped first: %q", out.String())
	assert.True(t, strings.HasSuffix(out.String(), "\rnot stored: x\n"), "%q", out.String())
	p.add(90) // more than announced: a file grew meanwhile
	p.done()
	assert.Contains(t, out.String(), "100%  3/4 files  165 B")
}
