package objstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

func newDir(t testing.TB) (*dirStore, string) {
	dir := t.TempDir()
	s, err := NewDirWithOptions(dir, DirOptions{NoSync: true})
	require.NoError(t, err)
	return s.(*dirStore), dir
}

func mustPut(t testing.TB, s Store, key, body string) Version {
	t.Helper()
	v, err := s.Put(t.Context(), key, []byte(body), Always)
	require.NoError(t, err)
	return v
}

// files lists what is really there.
func files(t *testing.T, dir string) (out []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && p != dir {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	}))
	return out
}

func listed(t *testing.T, s Store) (out []string) {
	t.Helper()
	for a, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		out = append(out, a.Key)
	}
	return out
}

func TestJ8_NothingButObjectsIsLeftBehind(t *testing.T) {
	s, dir := newDir(t)
	ctx := t.Context()
	v := mustPut(t, s, "a/b/one", "1")
	_, err := s.Put(ctx, "a/b/one", []byte("2"), IfVersion(v))
	require.NoError(t, err)
	_, err = s.Put(ctx, "a/b/one", nil, IfVersion(v))
	require.ErrorIs(t, err, ErrPrecondition)
	_, err = s.Put(ctx, "a/two", nil, IfAbsent())
	require.NoError(t, err)
	_, err = s.Put(ctx, "a/two", nil, IfAbsent())
	require.ErrorIs(t, err, ErrPrecondition)
	_, err = s.Upload(ctx, "a/three", iotestErr{}, Always)
	require.Error(t, err)
	want := []string{"a", "a/b", "a/b/one", "a/two"}
	if !canLockFolders {
		want = append([]string{lockName}, want...)
	}
	assert.Equal(t, want, files(t, dir))
	require.NoError(t, s.Delete(ctx, "a/b/one"))
	require.NoError(t, s.Delete(ctx, "a/two"))
	assert.Empty(t, listed(t, s))
	assert.LessOrEqual(t, len(files(t, dir)), 1, "empty folders go, the root stays")
	assert.DirExists(t, dir)
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestJ8_DeleteIsOneFile(t *testing.T) {
	s, dir := newDir(t)
	mustPut(t, s, "a/b", "x")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o777))
	require.NoError(t, s.Delete(t.Context(), "a"))
	require.NoError(t, s.Delete(t.Context(), "empty"))
	assert.Equal(t, []string{"a", "a/b", "empty"}, files(t, dir))
}

func TestJ8_NoWayOut(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege")
	}
	outside := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o666))
	s, dir := newDir(t)
	mustPut(t, s, "in/real", "r")
	for link, target := range map[string]string{
		"link": outside, "file": filepath.Join(outside, "secret"), "up": "../" + filepath.Base(outside), "dangling": "nowhere",
		"in/sibling": "../other/x", "loop": ".", "in/loop": "..", "in/self": "self",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	mustPut(t, s, "other/x", "x")
	for _, key := range []string{"link/secret", "file", "up/secret", "../" + filepath.Base(outside) + "/secret"} {
		_, err := s.Get(t.Context(), key)
		require.Error(t, err, key)
		require.True(t, IsPermanent(err), "%s: %v", key, err)
	}
	_, err := s.Put(t.Context(), "link/new", nil, Always)
	require.Error(t, err)
	require.True(t, IsPermanent(err))
	assert.NoFileExists(t, filepath.Join(outside, "new"))
	require.Error(t, s.Delete(t.Context(), "link/secret"))
	assert.FileExists(t, filepath.Join(outside, "secret"))
	assert.Equal(t, []string{"in/real", "in/sibling", "other/x"}, listed(t, s), "links inside are followed, once")
	mustPut(t, s, "file", "own")
	b, err := os.ReadFile(filepath.Join(outside, "secret"))
	require.NoError(t, err)
	assert.Equal(t, "s", string(b), "an overwrite replaces the link, not its target")
}

func TestTemporaryFilesOfACrash(t *testing.T) {
	s, dir := newDir(t)
	mustPut(t, s, "k", "x")
	next := tempNumber.Load() + 1
	for i := range uint64(5) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "k#"+strconv.FormatUint(next+i, 10)), []byte("half"), 0o666))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x#"), nil, 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x#a1"), nil, 0o666))
	assert.Equal(t, []string{"k", "x#a1"}, listed(t, s))
	mustPut(t, s, "k", "y") // steps over the names that are taken
	for _, key := range []string{"k#1", "a/k#007", "x#"} {
		_, err := s.Put(t.Context(), key, nil, Always)
		require.ErrorIs(t, err, ErrInvalidKey, key)
		_, err = s.Get(t.Context(), key)
		require.ErrorIs(t, err, ErrInvalidKey, key)
	}
	mustPut(t, s, "a#1/k", "a folder may be called so")
	assert.Equal(t, []string{"a#1/k", "k", "x#a1"}, listed(t, s))
}

func TestVersionFormat(t *testing.T) {
	s, dir := newDir(t)
	v := mustPut(t, s, "k", "hello")
	fi, err := os.Stat(filepath.Join(dir, "k"))
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("%x-%x-%x", inode(fi), fi.ModTime().UnixMicro(), 5), string(v))
}

// stillClock never moves, as the time of a filesystem does not for milliseconds.
type stillClock struct{ seam.SystemClock }

func (stillClock) Now() time.Time { return time.Unix(1_700_000_000, 0) }

func TestVersionsNeverRepeat(t *testing.T) {
	dir := t.TempDir()
	seen := map[Version]bool{}
	for handle := range 3 {
		s, err := NewDirWithOptions(dir, DirOptions{NoSync: true, Clock: stillClock{}})
		require.NoError(t, err)
		for i := range 200 {
			v := mustPut(t, s, "k", "same size")
			require.False(t, seen[v], "handle %d write %d: version %s again", handle, i, v)
			seen[v] = true
			// A filesystem with fine timestamps would hide a missing stamp, so look at it.
			a, err := s.Head(t.Context(), "k")
			require.NoError(t, err)
			want := stillClock{}.Now().Add(time.Duration(len(seen)-1) * time.Microsecond)
			require.Equal(t, want.UnixMicro(), a.Modified.UnixMicro())
		}
	}
}

func TestUpdateBetweenFolderViews(t *testing.T) {
	// Two roots over the same file: one lock all the same.
	high, dir := newDir(t)
	low, err := NewDirWithOptions(filepath.Join(dir, "db"), DirOptions{NoSync: true})
	require.NoError(t, err)
	mustPut(t, high, "db/n", "0")
	var wg sync.WaitGroup
	for _, s := range []Store{WithPrefix(high, "db"), low} {
		for range 4 {
			wg.Go(func() {
				for range 25 {
					assert.NoError(t, increment(t, s, "n"))
				}
			})
		}
	}
	wg.Wait()
	o, err := low.Get(t.Context(), "n")
	require.NoError(t, err)
	assert.Equal(t, "200", string(o.Body))
}

func increment(t testing.TB, s Store, key string) error {
	for {
		o, err := s.Get(t.Context(), key)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(o.Body))
		if err != nil {
			return err
		}
		_, err = s.Put(t.Context(), key, []byte(strconv.Itoa(n+1)), IfVersion(o.Version))
		if !errors.Is(err, ErrPrecondition) {
			return err
		}
	}
}

// TestTwoProcesses runs this test binary again: every process creates, counts, and fights
// over folders that come and go.
func TestTwoProcesses(t *testing.T) {
	const workDir = "OBJSTORE_TEST_DIR"
	work := func(dir, name string) {
		s, err := NewDirWithOptions(dir, DirOptions{NoSync: true})
		require.NoError(t, err)
		won := 0
		for i := range 100 {
			_, err := s.Put(t.Context(), fmt.Sprintf("race/%d", i), []byte(name), IfAbsent())
			if err == nil {
				won++
			} else {
				require.ErrorIs(t, err, ErrPrecondition)
			}
			require.NoError(t, increment(t, s, "counter"))
			mustPut(t, s, "come/and/go/"+name, "x")
			require.NoError(t, s.Delete(t.Context(), "come/and/go/"+name))
		}
		mustPut(t, s, "won/"+name, strconv.Itoa(won))
	}
	if dir := os.Getenv(workDir); dir != "" {
		work(dir, strconv.Itoa(os.Getpid()))
		return
	}
	s, dir := newDir(t)
	mustPut(t, s, "counter", "0")
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$", "-test.count=1")
			cmd.Env = append(os.Environ(), workDir+"="+dir)
			out, err := cmd.CombinedOutput()
			assert.NoError(t, err, string(out))
		})
	}
	wg.Go(func() { work(dir, "parent") })
	wg.Wait()
	o, err := s.Get(t.Context(), "counter")
	require.NoError(t, err)
	assert.Equal(t, "300", string(o.Body))
	total := 0
	for a, err := range s.List(t.Context(), "won/", "") {
		require.NoError(t, err)
		o, err := s.Get(t.Context(), a.Key)
		require.NoError(t, err)
		n, err := strconv.Atoi(string(o.Body))
		require.NoError(t, err)
		total += n
	}
	assert.Equal(t, 100, total, "each race has one winner")
	assert.False(t, slices.ContainsFunc(files(t, dir), func(f string) bool { return isTempName(f) && f != lockName }), "no temporary file is left")
}

func TestFoldersComeAndGo(t *testing.T) {
	s, dir := newDir(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			key := fmt.Sprintf("a/b/c/%d", i)
			for range 100 {
				_, err := s.Put(t.Context(), key, nil, []Condition{Always, IfAbsent()}[i%2])
				assert.NoError(t, err)
				assert.NoError(t, s.Delete(t.Context(), key))
			}
		})
	}
	wg.Wait()
	assert.Empty(t, listed(t, s))
	require.NoError(t, os.RemoveAll(dir))
	_, err := s.Get(t.Context(), "a/b/c/1")
	require.ErrorIs(t, err, ErrNotFound)
	assert.Empty(t, listed(t, s))
	mustPut(t, s, "a/b/c/1", "the root is made again")
}

func TestNoHardLinks(t *testing.T) {
	if !haveFileLocks {
		t.Skip("no locks")
	}
	s, dir := newDir(t)
	s.noLinks.Store(true)
	var wg sync.WaitGroup
	for round := range 10 {
		var won, lost sync.Map
		for i := range 16 {
			wg.Go(func() {
				_, err := s.Put(t.Context(), fmt.Sprintf("k%d", round), []byte(strconv.Itoa(i)), IfAbsent())
				if err == nil {
					won.Store(i, true)
				} else if assert.ErrorIs(t, err, ErrPrecondition) {
					lost.Store(i, true)
				}
			})
		}
		wg.Wait()
		n := 0
		won.Range(func(any, any) bool { n++; return true })
		assert.Equal(t, 1, n)
	}
	assert.LessOrEqual(t, len(files(t, dir)), 11)
}

func TestReadableErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	_, err := NewDir(file)
	require.ErrorIs(t, err, kv.ErrInvalid)
	assert.ErrorContains(t, err, file+" is a file, a directory is needed")
	_, err = NewDir(filepath.Join(file, "below"))
	require.Error(t, err)
	assert.ErrorContains(t, err, "file")

	s, err := NewDirWithOptions(dir, DirOptions{NoSync: true})
	require.NoError(t, err)
	mustPut(t, s, "k", "x")
	mustPut(t, s, "folder/k", "x")
	for _, c := range []Condition{Always, IfAbsent()} {
		_, err = s.Put(t.Context(), "k/below/it", nil, c)
		require.ErrorIs(t, err, kv.ErrInvalid)
		assert.ErrorContains(t, err, "k is a file, a directory is needed")
		assert.True(t, IsPermanent(err))
		_, err = s.Put(t.Context(), "folder", nil, c)
		require.ErrorIs(t, err, kv.ErrInvalid)
		require.NotErrorIs(t, err, ErrPrecondition)
		assert.ErrorContains(t, err, "folder is a directory")
		assert.True(t, IsPermanent(err))
	}
	_, err = s.Put(t.Context(), strings.Repeat("x", 300), nil, Always)
	require.Error(t, err)
	assert.True(t, IsPermanent(err))

	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		return // permissions do not bind here
	}
	require.NoError(t, os.Chmod(dir, 0o555))
	defer os.Chmod(dir, 0o777)
	_, err = s.Put(t.Context(), "new", nil, Always)
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.ErrorContains(t, err, "is not writable")
	assert.True(t, IsPermanent(err))
	assert.True(t, IsNoEffect(err))
}

func TestDirHoldsNoDescriptor(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("counts by /proc")
	}
	count := func() int {
		e, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(e)
	}
	s, _ := newDir(t)
	mustPut(t, s, "a/k", "x")
	before := count()
	for range 50 {
		v := mustPut(t, s, "a/k", "x")
		_, _ = s.Put(t.Context(), "a/k", nil, IfVersion(v))
		_, _ = s.Put(t.Context(), "a/k", nil, IfAbsent())
		_, _ = s.Get(t.Context(), "a/k")
		_, _ = s.Get(t.Context(), "a")
		_, _ = s.ReadAt(t.Context(), "none", make([]byte, 1), 0)
		listed(t, s)
		for range s.List(t.Context(), "", "") {
			break
		}
		_ = s.Delete(t.Context(), "a/k")
	}
	assert.LessOrEqual(t, count(), before)
}

func TestSyncedDirWorksToo(t *testing.T) {
	s, err := NewDir(filepath.Join(t.TempDir(), "new", "root"))
	require.NoError(t, err)
	mustPut(t, s, "a/b/c", "x")
	_, err = s.Put(t.Context(), "a/b/d", nil, IfAbsent())
	require.NoError(t, err)
	require.NoError(t, s.Delete(t.Context(), "a/b/c"))
	assert.Equal(t, []string{"a/b/d"}, listed(t, s))
}
