//go:build linux || darwin

package objstore

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPipeDoesNotBlockAReader(t *testing.T) {
	s, dir := newDir(t)
	mustPut(t, s, "k", "x")
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o666))
	_, err := s.Get(t.Context(), "pipe")
	require.ErrorIs(t, err, ErrNotFound)
	_, err = s.Head(t.Context(), "pipe")
	require.ErrorIs(t, err, ErrNotFound)
	_, err = s.ReadAt(t.Context(), "pipe", make([]byte, 1), 0)
	require.Error(t, err)
	assert.Equal(t, []string{"k"}, listed(t, s))
}
