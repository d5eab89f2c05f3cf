//go:build interop

package interop

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
)

var plain = setup{codec: "none", blockKB: 4, filterKeys: 1000, l0KB: 1024}

// A writer of the original engine is put out of action when this one opens the database, and
// nothing that it had made durable is lost.
func TestGoFencesPython(t *testing.T) {
	dir := place(t)
	py := openSession(t, "writer", dir)
	require.True(t, py.do("put", []byte("a"), []byte("python")).OK)

	db, err := slatedb.Open(t.Context(), at(dir), plain.options())
	require.NoError(t, err)
	v, err := db.Get(t.Context(), []byte("a"))
	require.NoError(t, err)
	assert.Equal(t, "python", string(v))
	require.NoError(t, db.Put(t.Context(), []byte("b"), []byte("go")))

	r := py.do("put", []byte("b"), []byte("too late"))
	require.False(t, r.OK, "a fenced writer acknowledged a put")
	assert.Contains(t, r.Text, "FENCED", "%s: %s", r.Error, r.Text)

	require.NoError(t, db.Put(t.Context(), []byte("c"), []byte("go on")))
	require.NoError(t, db.Close(t.Context()))
	requireModel(t, model{"a": {value: []byte("python")}, "b": {value: []byte("go")}, "c": {value: []byte("go on")}},
		pyRows(t, dir, false), "python")
}

// The other way round.
func TestPythonFencesGo(t *testing.T) {
	dir := place(t)
	db, err := slatedb.Open(t.Context(), at(dir), plain.options())
	require.NoError(t, err)
	require.NoError(t, db.Put(t.Context(), []byte("a"), []byte("go")))

	py := openSession(t, "writer", dir)
	got := py.do("get", []byte("a"), nil)
	require.NotNil(t, got.V, "%s %s", got.Error, got.Text)
	assert.Equal(t, "go", string(*got.V))
	require.True(t, py.do("put", []byte("b"), []byte("python")).OK)

	err = db.Put(t.Context(), []byte("b"), []byte("too late"))
	require.ErrorIs(t, err, slatedb.ErrFenced)
	require.ErrorIs(t, err, slatedb.ErrClosed)
	require.ErrorIs(t, db.Put(t.Context(), []byte("c"), nil), slatedb.ErrFenced, "it stays so")
	_ = db.Close(t.Context()) // a fenced handle has nothing to flush; what it says is not the matter here

	require.True(t, py.do("put", []byte("c"), []byte("go on")).OK)
	require.True(t, py.do("close", nil, nil).OK)
	requireModel(t, model{"a": {value: []byte("go")}, "b": {value: []byte("python")}, "c": {value: []byte("go on")}},
		goRows(t, dir, slatedb.Ascending), "go")
}

// A reader of one engine follows a writer of the other without disturbing it.
func TestReadersFollowTheOtherEnginesWriter(t *testing.T) {
	t.Run("go follows python", func(t *testing.T) {
		dir := place(t)
		py := openSession(t, "writer", dir)
		m := model{}
		for i := range 5 {
			k := []byte{'k', byte('0' + i)}
			require.True(t, py.do("put", k, []byte("v")).OK)
			m[string(k)] = modelRow{value: []byte("v")}
			requireModel(t, m, goRows(t, dir, slatedb.Ascending), "go")
		}
		require.True(t, py.do("close", nil, nil).OK)
		requireModel(t, m, goRows(t, dir, slatedb.Ascending), "go")
	})
	t.Run("python follows go", func(t *testing.T) {
		dir := place(t)
		db, err := slatedb.Open(t.Context(), at(dir), plain.options())
		require.NoError(t, err)
		m := model{}
		for i := range 5 {
			k := []byte{'k', byte('0' + i)}
			require.NoError(t, db.Put(t.Context(), k, []byte("v")))
			m[string(k)] = modelRow{value: []byte("v")}
			requireModel(t, m, pyRows(t, dir, false), "python")
		}
		require.NoError(t, db.Close(t.Context()))
		requireModel(t, m, pyRows(t, dir, false), "python")
	})
}
