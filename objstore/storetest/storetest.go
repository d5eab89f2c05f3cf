package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
)

// Run runs the suite. open returns an empty store and cleans up through t.
func Run(t *testing.T, open func(t *testing.T) objstore.Store) {
	t.Helper()
	n := 20
	if testing.Short() {
		n = 3
	}
	RunRounds(t, n, open)
}

// RunRounds is Run with n rounds of each race, which are 20 there, 3 with -short.
func RunRounds(t *testing.T, n int, open func(t *testing.T) objstore.Store) {
	t.Helper()
	rounds := func(f func(*testing.T, objstore.Store, int)) func(*testing.T, objstore.Store) {
		return func(t *testing.T, s objstore.Store) { f(t, s, n) }
	}
	for _, c := range []struct {
		name string
		run  func(*testing.T, objstore.Store)
	}{
		{"put and get", putAndGet},
		{"overwrite makes a new version", overwrite},
		{"missing objects", missing},
		{"empty body", emptyBody},
		{"big body", bigBody},
		{"the body belongs to the caller", bodyIsCopied},
		{"ranges", ranges},
		{"create", create},
		{"update", update},
		{"put-id", putID},
		{"upload", upload},
		{"upload that breaks off", uploadBreaks},
		{"upload under a condition", uploadCondition},
		{"delete", remove},
		{"list order", listOrder},
		{"list prefix and after", listPrefixAfter},
		{"list many", listMany},
		{"list attributes", listAttributes},
		{"list left early", listLeft},
		{"ended context", endedContext},
		{"invalid keys", invalidKeys},
		{"racing creates", rounds(raceCreate)},
		{"racing updates", rounds(raceUpdate)},
		{"racing uploads", rounds(raceUpload)},
		{"counter by compare and swap", casCounter},
		{"no torn get", rounds(tornGet)},
		{"readers during create", rounds(readersDuringCreate)},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func put(t *testing.T, s objstore.Store, key, body string) objstore.Version {
	t.Helper()
	v, err := s.Put(t.Context(), key, []byte(body), objstore.Always)
	require.NoError(t, err)
	return v
}

func body(t *testing.T, s objstore.Store, key string) string {
	t.Helper()
	o, err := s.Get(t.Context(), key)
	require.NoError(t, err)
	return string(o.Body)
}

func putAndGet(t *testing.T, s objstore.Store) {
	const key = "db/wal/00000000000000000001.sst"
	v := put(t, s, key, "hello")
	o, err := s.Get(t.Context(), key)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(o.Body))
	assert.Equal(t, key, o.Key)
	assert.EqualValues(t, 5, o.Size)
	assert.False(t, o.Modified.IsZero())
	a, err := s.Head(t.Context(), key)
	require.NoError(t, err)
	assert.Equal(t, key, a.Key)
	assert.EqualValues(t, 5, a.Size)
	if s.Properties().IfVersion {
		assert.NotEmpty(t, v)
		assert.Equal(t, v, o.Version, "Put, Get and Head tell one version")
		assert.Equal(t, v, a.Version)
	}
	for _, key := range []string{"with space", "ünï/ço-dé", "a+b=c&d,e;f@g!", "percent%2Fsign", strings.Repeat("x", 150), "d/e/e/p/e/r/x"} {
		put(t, s, key, key)
		assert.Equal(t, key, body(t, s, key))
	}
}

func overwrite(t *testing.T, s objstore.Store) {
	seen := map[objstore.Version]bool{}
	for i := range 10 {
		seen[put(t, s, "k", fmt.Sprint(i))] = true
		assert.Equal(t, fmt.Sprint(i), body(t, s, "k"))
	}
	if s.Properties().IfVersion {
		assert.Len(t, seen, 10)
	}
}

func missing(t *testing.T, s objstore.Store) {
	put(t, s, "a/b", "x")
	for _, key := range []string{"none", "a/c", "a/b/c", "a", "b/a"} {
		_, err := s.Get(t.Context(), key)
		assert.ErrorIs(t, err, objstore.ErrNotFound, "get %s", key)
		_, err = s.Head(t.Context(), key)
		assert.ErrorIs(t, err, objstore.ErrNotFound, "head %s", key)
		_, err = s.ReadAt(t.Context(), key, make([]byte, 1), 0)
		assert.ErrorIs(t, err, objstore.ErrNotFound, "read %s", key)
	}
}

func emptyBody(t *testing.T, s objstore.Store) {
	for key, b := range map[string][]byte{"nil": nil, "empty": {}} {
		_, err := s.Put(t.Context(), key, b, objstore.Always)
		require.NoError(t, err)
		o, err := s.Get(t.Context(), key)
		require.NoError(t, err)
		assert.Empty(t, o.Body)
		assert.Zero(t, o.Size)
		_, err = s.ReadAt(t.Context(), key, make([]byte, 1), 0)
		assert.ErrorIs(t, err, objstore.ErrRange)
	}
}

func bigBody(t *testing.T, s objstore.Store) {
	big := pattern(3<<20, 1)
	_, err := s.Put(t.Context(), "big", big, objstore.Always)
	require.NoError(t, err)
	o, err := s.Get(t.Context(), "big")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(big, o.Body))
	p := make([]byte, 1<<20)
	n, err := s.ReadAt(t.Context(), "big", p, 1_500_001)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(big[1_500_001:][:n], p) && n == len(p))
}

func bodyIsCopied(t *testing.T, s objstore.Store) {
	b := []byte("before")
	_, err := s.Put(t.Context(), "k", b, objstore.Always)
	require.NoError(t, err)
	copy(b, "XXXXXX")
	assert.Equal(t, "before", body(t, s, "k"))
	o, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	_ = append(o.Body, "tail"...)
	assert.Equal(t, "before", body(t, s, "k"))
	put(t, s, "k", "AFTER!")
	assert.Equal(t, "before", string(o.Body), "a body handed out never changes")
}

func ranges(t *testing.T, s objstore.Store) {
	put(t, s, "k", "0123456789")
	for _, c := range []struct {
		name     string
		off      int64
		len      int
		want     string
		pastEnds bool
	}{
		{"whole", 0, 10, "0123456789", false},
		{"front", 0, 3, "012", false},
		{"middle", 4, 2, "45", false},
		{"to the end", 7, 3, "789", false},
		{"last byte", 9, 1, "9", false},
		{"past the end", 8, 5, "89", true},
		{"whole and more", 0, 11, "0123456789", true},
		{"at the end", 10, 1, "", true},
		{"behind the end", 11, 1, "", true},
		{"far behind", 1 << 40, 1, "", true},
		{"nothing", 3, 0, "", false},
		{"nothing at the end", 10, 0, "", false},
		{"negative", -1, 1, "", true},
	} {
		p := bytes.Repeat([]byte{'#'}, c.len)
		n, err := s.ReadAt(t.Context(), "k", p, c.off)
		assert.Equal(t, c.want, string(p[:max(n, 0)]), c.name)
		if c.pastEnds {
			assert.ErrorIs(t, err, objstore.ErrRange, c.name)
		} else {
			assert.NoError(t, err, c.name)
		}
	}
}

func create(t *testing.T, s objstore.Store) {
	if !s.Properties().IfAbsent {
		_, err := s.Put(t.Context(), "k", nil, objstore.IfAbsent())
		require.ErrorIs(t, err, objstore.ErrNotSupported)
		t.Skip("no create-if-absent")
	}
	v, err := s.Put(t.Context(), "k", []byte("first"), objstore.IfAbsent())
	require.NoError(t, err)
	for _, b := range []string{"second", "first"} { // equal bytes are no exception
		_, err = s.Put(t.Context(), "k", []byte(b), objstore.IfAbsent())
		require.ErrorIs(t, err, objstore.ErrPrecondition)
	}
	o, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, "first", string(o.Body))
	if s.Properties().IfVersion {
		assert.Equal(t, v, o.Version)
	}
	require.NoError(t, s.Delete(t.Context(), "k"))
	_, err = s.Put(t.Context(), "k", []byte("third"), objstore.IfAbsent())
	require.NoError(t, err, "a deleted object is absent")
	_, err = s.Put(t.Context(), "new/folder/k", nil, objstore.IfAbsent())
	require.NoError(t, err)
}

func update(t *testing.T, s objstore.Store) {
	if !s.Properties().IfVersion {
		v := put(t, s, "k", "x")
		_, err := s.Put(t.Context(), "k", nil, objstore.IfVersion(v))
		require.ErrorIs(t, err, objstore.ErrNotSupported)
		t.Skip("no update-if-match")
	}
	_, err := s.Put(t.Context(), "k", []byte("x"), objstore.IfVersion("1"))
	require.ErrorIs(t, err, objstore.ErrPrecondition, "missing object")
	_, err = s.Get(t.Context(), "k")
	require.ErrorIs(t, err, objstore.ErrNotFound, "a refused update writes nothing")

	v1 := put(t, s, "k", "one")
	v2, err := s.Put(t.Context(), "k", []byte("two"), objstore.IfVersion(v1))
	require.NoError(t, err)
	assert.NotEqual(t, v1, v2)
	for _, stale := range []objstore.Version{v1, "", "nonsense"} {
		_, err = s.Put(t.Context(), "k", []byte("bad"), objstore.IfVersion(stale))
		require.ErrorIs(t, err, objstore.ErrPrecondition, "version %q", stale)
	}
	assert.Equal(t, "two", body(t, s, "k"))
	o, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	assert.Equal(t, v2, o.Version)
	require.NoError(t, s.Delete(t.Context(), "k"))
	_, err = s.Put(t.Context(), "k", nil, objstore.IfVersion(v2))
	require.ErrorIs(t, err, objstore.ErrPrecondition, "deleted object")
}

func putID(t *testing.T, s objstore.Store) {
	_, err := s.Put(t.Context(), "k", []byte("x"), objstore.Always.WithPutID("id-1"))
	require.NoError(t, err, "a store without put-ids ignores them")
	if !s.Properties().PutID {
		t.Skip("keeps no put-id")
	}
	check := func(key, want string) {
		t.Helper()
		a, err := s.Head(t.Context(), key)
		require.NoError(t, err)
		assert.Equal(t, want, a.PutID)
		o, err := s.Get(t.Context(), key)
		require.NoError(t, err)
		assert.Equal(t, want, o.PutID)
	}
	check("k", "id-1")
	_, err = s.Put(t.Context(), "k", []byte("y"), objstore.IfAbsent().WithPutID("id-2"))
	require.ErrorIs(t, err, objstore.ErrPrecondition)
	check("k", "id-1")
	put(t, s, "k", "without")
	check("k", "")
	_, err = s.Put(t.Context(), "new", nil, objstore.IfAbsent().WithPutID("id-3"))
	require.NoError(t, err)
	check("new", "id-3")
	_, err = s.Upload(t.Context(), "up", strings.NewReader("u"), objstore.IfAbsent().WithPutID("id-4"))
	require.NoError(t, err)
	check("up", "id-4")
}

func upload(t *testing.T, s objstore.Store) {
	big := pattern(1<<20+17, 2)
	for name, r := range map[string]io.Reader{
		"seekable": bytes.NewReader(big),
		"plain":    io.MultiReader(bytes.NewReader(big)),
		"drips":    iotest.HalfReader(bytes.NewReader(big)),
	} {
		v, err := s.Upload(t.Context(), "up/"+name, r, objstore.Always)
		require.NoError(t, err)
		o, err := s.Get(t.Context(), "up/"+name)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(big, o.Body), name)
		if s.Properties().IfVersion {
			assert.Equal(t, o.Version, v)
		}
	}
	_, err := s.Upload(t.Context(), "up/empty", strings.NewReader(""), objstore.Always)
	require.NoError(t, err)
	assert.Empty(t, body(t, s, "up/empty"))
}

func uploadBreaks(t *testing.T, s objstore.Store) {
	broken := errors.New("source broke")
	put(t, s, "old", "old")
	for _, key := range []string{"new", "old"} {
		r := io.MultiReader(bytes.NewReader(pattern(100_000, 3)), iotest.ErrReader(broken))
		_, err := s.Upload(t.Context(), key, r, objstore.Always)
		require.ErrorIs(t, err, broken)
	}
	_, err := s.Get(t.Context(), "new")
	require.ErrorIs(t, err, objstore.ErrNotFound, "nothing is visible of a broken upload")
	assert.Equal(t, "old", body(t, s, "old"))
	assert.Equal(t, []string{"old"}, keys(t, s, "", ""))
}

func uploadCondition(t *testing.T, s objstore.Store) {
	if !s.Properties().IfAbsent {
		t.Skip("no create-if-absent")
	}
	_, err := s.Upload(t.Context(), "k", strings.NewReader("one"), objstore.IfAbsent())
	require.NoError(t, err)
	_, err = s.Upload(t.Context(), "k", strings.NewReader("two"), objstore.IfAbsent())
	require.ErrorIs(t, err, objstore.ErrPrecondition)
	assert.Equal(t, "one", body(t, s, "k"))
}

func remove(t *testing.T, s objstore.Store) {
	require.NoError(t, s.Delete(t.Context(), "none"), "a missing object is no error")
	require.NoError(t, s.Delete(t.Context(), "no/folder/none"))
	put(t, s, "a/b", "x")
	put(t, s, "a/c", "y")
	require.NoError(t, s.Delete(t.Context(), "a"), "a folder is no object")
	require.NoError(t, s.Delete(t.Context(), "a/b/c"))
	assert.Equal(t, []string{"a/b", "a/c"}, keys(t, s, "", ""), "delete removes one object, not a tree")
	require.NoError(t, s.Delete(t.Context(), "a/b"))
	require.NoError(t, s.Delete(t.Context(), "a/b"))
	_, err := s.Get(t.Context(), "a/b")
	require.ErrorIs(t, err, objstore.ErrNotFound)
	assert.Equal(t, "y", body(t, s, "a/c"))
	require.NoError(t, s.Delete(t.Context(), "a/c"))
	assert.Empty(t, keys(t, s, "", ""))
	put(t, s, "a/b", "again")
	assert.Equal(t, "again", body(t, s, "a/b"))
}

func endedContext(t *testing.T, s objstore.Store) {
	put(t, s, "k", "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Get(ctx, "k")
	assert.ErrorIs(t, err, context.Canceled)
	_, err = s.ReadAt(ctx, "k", make([]byte, 1), 0)
	assert.ErrorIs(t, err, context.Canceled)
	_, err = s.Head(ctx, "k")
	assert.ErrorIs(t, err, context.Canceled)
	_, err = s.Put(ctx, "k", []byte("y"), objstore.Always)
	assert.ErrorIs(t, err, context.Canceled)
	_, err = s.Upload(ctx, "k", strings.NewReader("y"), objstore.Always)
	assert.ErrorIs(t, err, context.Canceled)
	assert.ErrorIs(t, s.Delete(ctx, "k"), context.Canceled)
	n := 0
	for _, err := range s.List(ctx, "", "") {
		assert.ErrorIs(t, err, context.Canceled)
		n++
	}
	assert.Equal(t, 1, n, "the error is one pair, and the last")
	assert.Equal(t, "x", body(t, s, "k"), "nothing was written")
}

func invalidKeys(t *testing.T, s objstore.Store) {
	for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "a/.", "a/..", "../a", "a/../b", "a/./b", "nul\x00byte", "../../etc/passwd"} {
		_, err := s.Put(t.Context(), key, nil, objstore.Always)
		assert.ErrorIs(t, err, objstore.ErrInvalidKey, "put %q", key)
		_, err = s.Upload(t.Context(), key, strings.NewReader(""), objstore.Always)
		assert.ErrorIs(t, err, objstore.ErrInvalidKey, "upload %q", key)
		_, err = s.Get(t.Context(), key)
		assert.ErrorIs(t, err, objstore.ErrInvalidKey, "get %q", key)
		_, err = s.ReadAt(t.Context(), key, make([]byte, 1), 0)
		assert.ErrorIs(t, err, objstore.ErrInvalidKey, "read %q", key)
		_, err = s.Head(t.Context(), key)
		assert.ErrorIs(t, err, objstore.ErrInvalidKey, "head %q", key)
		assert.ErrorIs(t, s.Delete(t.Context(), key), objstore.ErrInvalidKey, "delete %q", key)
	}
	for _, prefix := range []string{"/", "../", "a//", "./"} {
		assert.Empty(t, keys(t, s, prefix, ""), "list %q", prefix)
	}
}

// pattern returns n bytes that differ between seeds at every place.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16) ^ seed
	}
	return b
}
