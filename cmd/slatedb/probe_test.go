package main

import (
	"context"
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/deviant"
	"github.com/slatedb/slatedb-go/objstore/probe"
)

func init() {
	objstore.Register("careless", func(context.Context, *url.URL) (objstore.Store, error) {
		return deviant.New(objstore.NewMemory(), deviant.IgnoresIfAbsent), nil
	})
}

func TestProbe(t *testing.T) {
	dir := t.TempDir()
	out := ok(t, "probe", "memory://probe/db", dir)
	for _, c := range probe.Capabilities() {
		assert.Contains(t, out, string(c))
	}
	assert.Contains(t, out, "memory://probe/db")
	assert.NotContains(t, out, "failed")

	r := slate(t, "probe", "memory://probe/db", "careless://b/db?secret=hunter2")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.out, `fails create-if-absent`)
	assert.NotContains(t, r.out, "hunter2")

	r = slate(t, "probe", "--json", "careless://b/db", "memory://probe/db", "nowhere://b")
	assert.Equal(t, 1, r.code)
	var all []probed
	require.NoError(t, json.Unmarshal([]byte(r.out), &all), "%s", r.out)
	require.Len(t, all, 3)
	assert.False(t, all[0].Usable)
	assert.Equal(t, probe.Failed, all[0].Result(probe.CreateIfAbsent).State)
	assert.True(t, all[1].Usable)
	assert.Equal(t, 21, all[1].Requests)
	assert.Contains(t, all[2].Error, "unknown scheme")
}

func TestStatsCost(t *testing.T) {
	db := database(t, "a=1", "b=2")
	assert.Nil(t, document[statsReport](t, "stats", db).Cost, "a folder costs nothing")
	s := document[statsReport](t, "stats", "--prices", "s3", db)
	require.NotNil(t, s.Cost)
	var bytes int64
	for _, o := range s.Objects {
		bytes += o.Bytes
	}
	assert.InDelta(t, float64(bytes)/(1<<30)*0.023, s.Cost.StorageMonth, 1e-12)
	assert.Positive(t, s.Cost.ThisCommand)
	assert.Contains(t, ok(t, "stats", "--prices", "r2", db), "prices of r2")
	assert.Contains(t, fails(t, 2, "stats", "--prices", "gold", db), "no price table")
}
