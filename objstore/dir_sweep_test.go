package objstore

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/seam"
)

// setClock stands where it is set.
type setClock struct {
	seam.SystemClock
	us atomic.Int64
}

func (c *setClock) Now() time.Time                { return time.UnixMicro(c.us.Load()) }
func (c *setClock) add(d time.Duration)           { c.us.Add(d.Microseconds()) }
func (c *setClock) ago(d time.Duration) time.Time { return c.Now().Add(-d) }

func newSetClock() *setClock {
	c := &setClock{}
	c.us.Store(time.Now().UnixMicro())
	return c
}

func newDirAt(t *testing.T, dir string, c seam.Clock) Store {
	s, err := NewDirWithOptions(dir, DirOptions{NoSync: true, Clock: c})
	require.NoError(t, err)
	return s
}

// left makes a file as a process leaves it that was killed so long ago.
func left(t *testing.T, dir, name string, at time.Time) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
	require.NoError(t, os.WriteFile(path, []byte("half"), 0o666))
	require.NoError(t, os.Chtimes(path, at, at))
}

// TestStaleTemporariesGo: a listing removes what killed processes left in the folders that it
// reads, a day after their last sign, and nothing else.
func TestStaleTemporariesGo(t *testing.T) {
	clock := newSetClock()
	dir := t.TempDir()
	s := newDirAt(t, dir, clock)
	mustPut(t, s, "db/wal/1", "x")
	mustPut(t, s, "db/other/k", "x")
	mustPut(t, s, "db/a#1/k", "a folder may be called so")
	old, young := clock.ago(25*time.Hour), clock.ago(22*time.Hour)
	for _, name := range []string{"db/wal/1#1", "db/wal/1#281474976710655", "db/wal/2#007", "db/t#1"} {
		left(t, dir, name, old)
	}
	stay := []string{"db/wal/x#", "db/wal/#1", "db/wal/#x#", "db/wal/x#a1", "db/wal/x", lockName, "db/" + lockName, "db/other/k#1"}
	for _, name := range stay {
		left(t, dir, name, old)
	}
	for _, name := range []string{"db/wal/3#1", "db/wal/future#1"} {
		left(t, dir, name, young)
	}
	future := clock.Now().Add(100 * time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "db/wal/future#1"), future, future))
	require.NoError(t, os.Chtimes(filepath.Join(dir, "db/a#1"), old, old))

	list := func(prefix string) {
		for _, err := range s.List(t.Context(), prefix, "") {
			require.NoError(t, err)
		}
	}
	list("db/wal/9") // no key of the answer: the folder is read all the same
	assert.Subset(t, files(t, dir), append(stay, "db/wal/1", "db/wal/3#1", "db/wal/future#1", "db/t#1", "db/other/k#1"))
	assert.NotContains(t, files(t, dir), "db/wal/1#1")
	assert.NotContains(t, files(t, dir), "db/wal/1#281474976710655")
	assert.NotContains(t, files(t, dir), "db/wal/2#007")

	list("")
	assert.NotContains(t, files(t, dir), "db/t#1")
	assert.NotContains(t, files(t, dir), "db/other/k#1")
	assert.Contains(t, files(t, dir), "db/a#1/k")
	assert.Contains(t, files(t, dir), lockName)

	// A folder is not looked through at each listing.
	clock.add(59 * time.Minute)
	left(t, dir, "db/wal/4#1", old)
	list("db/wal/")
	assert.Contains(t, files(t, dir), "db/wal/4#1")
	clock.add(2 * time.Minute)
	list("db/wal/")
	assert.NotContains(t, files(t, dir), "db/wal/4#1")
	assert.Contains(t, files(t, dir), "db/wal/3#1", "younger than a day")
	clock.add(time.Hour)
	list("db/wal/")
	assert.NotContains(t, files(t, dir), "db/wal/3#1")
	assert.Contains(t, files(t, dir), "db/wal/future#1")
}

// TestManyStaleTemporaries: one listing removes a bounded number, the next ones the rest.
func TestManyStaleTemporaries(t *testing.T) {
	clock := newSetClock()
	dir := t.TempDir()
	s := newDirAt(t, dir, clock)
	for i := range 1200 {
		left(t, dir, "k#"+strconv.Itoa(i), clock.ago(25*time.Hour))
	}
	listed(t, s)
	assert.Equal(t, 200, len(files(t, dir)))
	listed(t, s)
	assert.Equal(t, 0, len(files(t, dir)))
}

// sleeper is a body in the middle of which its process stops for two days, while another one
// lists.
type sleeper struct {
	io.ReadSeeker
	nap func()
}

func (s *sleeper) Read(p []byte) (int, error) {
	n, err := s.ReadSeeker.Read(p)
	if err == io.EOF && s.nap != nil {
		s.nap()
		s.nap = nil
	}
	return n, err
}

// TestWriterThatWakesUp: a writer that slept until its temporary file was removed stores
// nothing, says that nothing happened, and can do it again.
func TestWriterThatWakesUp(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a file that is open is not removed")
	}
	for _, noLinks := range []bool{false, true} {
		for name, cond := range map[string]func(Version) Condition{
			"always":  func(Version) Condition { return Always },
			"create":  func(Version) Condition { return IfAbsent() },
			"version": IfVersion,
		} {
			t.Run(name+" no links "+strconv.FormatBool(noLinks), func(t *testing.T) {
				dir, clock := t.TempDir(), newSetClock()
				s := newDirAt(t, dir, clock).(*dirStore)
				s.noLinks.Store(noLinks)
				var before Version
				if name == "version" {
					before = mustPut(t, s, "db/k", "before")
				}
				mustPut(t, s, "db/stays", "")
				var mine string
				body := &sleeper{bytes.NewReader([]byte("whole")), func() {
					for _, f := range files(t, dir) {
						if isTempName(f) {
							mine = f
						}
					}
					require.NotEmpty(t, mine)
					clock.add(48 * time.Hour)
					listed(t, newDirAt(t, dir, clock)) // another process
					require.NotContains(t, files(t, dir), mine)
				}}
				_, err := s.Upload(t.Context(), "db/k", body, cond(before))
				require.Error(t, err)
				assert.True(t, IsNoEffect(err), "%v", err)
				assert.False(t, IsPermanent(err), "%v", err)
				require.ErrorContains(t, err, "temporary file")
				require.NotErrorIs(t, err, ErrPrecondition)
				require.NotErrorIs(t, err, ErrNotFound)
				o, err := s.Get(t.Context(), "db/k")
				if name == "version" {
					require.NoError(t, err)
					assert.Equal(t, "before", string(o.Body))
				} else {
					require.ErrorIs(t, err, ErrNotFound)
				}
				_, err = s.Put(t.Context(), "db/k", []byte("whole"), cond(before))
				require.NoError(t, err)
			})
		}
	}
}

// TestRenameOfARemovedTemporary: the same where the process stops between the last byte and
// the rename, and where the folder is gone with the file.
func TestRenameOfARemovedTemporary(t *testing.T) {
	for name, c := range map[string]Condition{"always": Always, "create": IfAbsent()} {
		for _, folderToo := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s, dir := newDir(t)
				r, err := os.OpenRoot(dir)
				require.NoError(t, err)
				defer r.Close()
				temp, _, err := s.writeTemp(r, "db/k", nil, func(*os.File) error { return nil })
				require.NoError(t, err)
				require.NoError(t, r.Remove(temp))
				if folderToo {
					require.NoError(t, r.Remove("db"))
				}
				err = s.commit(context.Background(), r, temp, "db/k", c)
				require.ErrorIs(t, err, os.ErrNotExist)
				assert.Empty(t, listed(t, s))
				mustPut(t, s, "db/k", "x")
			})
		}
	}
}

// TestTemporaryNamesAreNotUsedAgain: a process that wakes up finds its temporary file gone,
// never another one's under that name, since each process counts from somewhere else.
func TestTemporaryNamesAreNotUsedAgain(t *testing.T) {
	const tell = "OBJSTORE_TEST_TEMP"
	if os.Getenv(tell) != "" {
		s, dir := newDir(t)
		r, err := os.OpenRoot(dir)
		require.NoError(t, err)
		defer r.Close()
		temp, _, err := s.writeTemp(r, "k", nil, func(*os.File) error { return nil })
		require.NoError(t, err)
		_, _ = os.Stdout.WriteString("\nname " + temp + "\n")
		return
	}
	seen := map[string]bool{}
	for range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTemporaryNamesAreNotUsedAgain$", "-test.count=1")
		cmd.Env = append(os.Environ(), tell+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		_, name, ok := strings.Cut(string(out), "\nname ")
		require.True(t, ok, "%s", out)
		name, _, _ = strings.Cut(name, "\n")
		require.True(t, isTempName(name), name)
		require.LessOrEqual(t, len(name), len("k#")+15)
		require.False(t, seen[name], "%s again", name)
		seen[name] = true
	}
}
