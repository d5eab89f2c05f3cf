package memfs

import (
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/seam"
)

// TestFS: the disk of the tests and the system's do the same.
func TestFS(t *testing.T) {
	for name, f := range map[string]seam.FS{"memory": New(), "system": seam.OS{}} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			_, err := f.List(dir)
			require.ErrorIs(t, err, fs.ErrNotExist)
			_, err = f.Open(filepath.Join(dir, "x"), true)
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.NoError(t, f.MkdirAll(dir))
			require.NoError(t, f.MkdirAll(dir))
			x := filepath.Join(dir, "x")
			_, err = f.Open(x, false)
			require.ErrorIs(t, err, fs.ErrNotExist)
			file, err := f.Open(x, true)
			require.NoError(t, err)
			n, err := file.WriteAt([]byte("hello"), 100)
			require.NoError(t, err)
			require.Equal(t, 5, n)
			p := make([]byte, 10)
			n, err = file.ReadAt(p, 98)
			require.ErrorIs(t, err, io.EOF)
			require.Equal(t, "\x00\x00hello", string(p[:n]))
			_, err = file.ReadAt(p, 500)
			require.ErrorIs(t, err, io.EOF)
			size, err := file.Size()
			require.NoError(t, err)
			require.EqualValues(t, 105, size)
			require.NoError(t, file.Truncate(102))
			require.NoError(t, file.Sync())
			names, err := f.List(dir)
			require.NoError(t, err)
			require.Equal(t, []seam.FileInfo{{Name: "x", Size: 102}}, names)
			require.NoError(t, file.Close())
			require.ErrorIs(t, file.Close(), fs.ErrClosed)
			_, err = file.ReadAt(p, 0)
			require.ErrorIs(t, err, fs.ErrClosed)
			require.NoError(t, f.Rename(x, filepath.Join(dir, "y")))
			require.NoError(t, f.Sync(dir))
			require.NoError(t, f.Remove(x), "a missing file is no error")
			require.NoError(t, f.Remove(filepath.Join(dir, "y")))

			lock, err := f.Lock(filepath.Join(dir, "LOCK"))
			require.NoError(t, err)
			_, err = f.Lock(filepath.Join(dir, "LOCK"))
			require.ErrorIs(t, err, seam.ErrLocked)
			require.NoError(t, lock.Close())
			lock, err = f.Lock(filepath.Join(dir, "LOCK"))
			require.NoError(t, err)
			require.NoError(t, lock.Close())

			if runtime.GOOS != "windows" && name == "system" {
				_, err = f.Open(dir, false)
				require.ErrorIs(t, err, fs.ErrInvalid, "a directory is no file")
			}
		})
	}
}

func TestPowerCut(t *testing.T) {
	f := New()
	require.NoError(t, f.MkdirAll("/d"))
	for _, name := range []string{"/d/synced", "/d/content only", "/d/neither"} {
		file, err := f.Open(name, true)
		require.NoError(t, err)
		_, err = file.WriteAt([]byte("old"), 0)
		require.NoError(t, err)
		if name != "/d/neither" {
			require.NoError(t, file.Sync())
		}
		if name == "/d/synced" {
			require.NoError(t, f.Sync("/d"))
			_, err = file.WriteAt([]byte("new and longer"), 0)
			require.NoError(t, err)
		}
	}
	f.PowerCut(nil)
	_, err := f.Open("/d/synced", false)
	require.ErrorIs(t, err, ErrCrashed)
	again := f.Again()
	require.Equal(t, []string{"/d/synced"}, again.Names())
	file, err := again.Open("/d/synced", false)
	require.NoError(t, err)
	p := make([]byte, 3)
	_, err = file.ReadAt(p, 0)
	require.NoError(t, err)
	require.Equal(t, "old", string(p))
	size, err := file.Size()
	require.NoError(t, err)
	require.EqualValues(t, 3, size)
}
