package testkit

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The bytes are shared with the drivers of the other engines, so they are pinned here.
func TestGeneratorsGiveTheBytesOfTheOtherDrivers(t *testing.T) {
	assert.Equal(t, "e220a8397b1dcdaf", string(Key(0)))
	assert.Equal(t, "910a2dec89025cc1", string(Key(1)))
	assert.Len(t, Key(1<<40), KeyBytes)

	v := Value(7, 21)
	require.Len(t, v, 21)
	// The peers fill the first n/2 bytes with little endian words of the chained mix.
	want := fmt.Appendf(nil, "%016x", reverse(Mix64(7)))
	assert.Equal(t, string(want), fmt.Sprintf("%x", v[:8]))
	assert.Equal(t, "xxxxxxxxxxx", string(v[10:]))
	assert.Empty(t, Value(1, 0))
	assert.Equal(t, "x", string(Value(1, 1)))
	assert.Equal(t, "keep"+string(Key(3)), string(AppendKey([]byte("keep"), 3)))
	assert.Equal(t, "keep"+string(Value(3, 9)), string(AppendValue([]byte("keep"), 3, 9)))
}

func reverse(x uint64) (y uint64) {
	for range 8 {
		y, x = y<<8|x&0xFF, x>>8
	}
	return y
}

// fakeT records what NoLeaks does to a test.
type fakeT struct {
	testing.TB
	cleanup func()
	errors  []string
}

func (f *fakeT) Helper()                   {}
func (f *fakeT) Failed() bool              { return false }
func (f *fakeT) Cleanup(g func())          { f.cleanup = g }
func (f *fakeT) Errorf(s string, a ...any) { f.errors = append(f.errors, fmt.Sprintf(s, a...)) }

func TestNoLeaks(t *testing.T) {
	t.Run("a goroutine that stays is named", func(t *testing.T) {
		f := &fakeT{TB: t}
		NoLeaks(f)
		stop := make(chan struct{})
		go func() { staysHere(stop) }()
		for range 100 {
			runtime.Gosched()
		}
		f.cleanup()
		close(stop)
		require.Len(t, f.errors, 1)
		assert.Contains(t, f.errors[0], "staysHere")
	})
	t.Run("one that ends soon is waited for", func(t *testing.T) {
		f := &fakeT{TB: t}
		NoLeaks(f)
		stop := make(chan struct{})
		go func() { staysHere(stop) }()
		go func() { close(stop) }()
		f.cleanup()
		assert.Empty(t, f.errors)
	})
	t.Run("one from before does not count", func(t *testing.T) {
		stop := make(chan struct{})
		go func() { staysHere(stop) }()
		for range 100 {
			runtime.Gosched()
		}
		f := &fakeT{TB: t}
		NoLeaks(f)
		f.cleanup()
		close(stop)
		assert.Empty(t, f.errors)
	})
}

func staysHere(stop chan struct{}) { <-stop }
