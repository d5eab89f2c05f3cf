package settings

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
)

// TestDiskCacheNeedsItsFolder: what is said waits until a step names the folder, and null
// turns a cache of the program off.
func TestDiskCacheNeedsItsFolder(t *testing.T) {
	s := New(nil)
	require.NoError(t, s.Merge(JSON, "a", []byte(`{"object_store_cache_options":{"root_folder":null,"part_size_bytes":65536,"max_cache_size_bytes":1024}}`)))
	o, err := s.Options()
	require.NoError(t, err)
	assert.Nil(t, o.DiskCache)
	assert.Empty(t, s.Warnings())

	require.NoError(t, s.MergeEnv(Prefix, []string{"SLATEDB_OBJECT_STORE_CACHE_OPTIONS__ROOT_FOLDER=parts"}))
	_, err = s.Options()
	require.ErrorIs(t, err, slatedb.ErrInvalid)
	require.ErrorContains(t, err, "settings: a: object_store_cache_options.max_cache_size_bytes: DiskCache.MaxBytes is 1024, want")
	require.NoError(t, s.Set("object_store_cache_options.max_cache_size_bytes", "null"))
	o, err = s.Options()
	require.NoError(t, err)
	assert.Equal(t, &slatedb.DiskCacheOptions{Dir: "parts", PartBytes: 65536, MaxBytes: -1}, o.DiskCache)
	again, err := s.Options()
	require.NoError(t, err)
	assert.NotSame(t, o.DiskCache, again.DiskCache)

	mine := &slatedb.DiskCacheOptions{Dir: "mine", Preload: slatedb.PreloadAll}
	r := NewReader(&slatedb.ReaderOptions{DiskCache: mine})
	require.NoError(t, r.Set("object_store_cache_options.preload_disk_cache_on_startup", `"l0sst"`))
	ro, err := r.Options()
	require.NoError(t, err)
	assert.Equal(t, &slatedb.DiskCacheOptions{Dir: "mine", Preload: slatedb.PreloadL0}, ro.DiskCache)
	assert.Equal(t, slatedb.PreloadAll, mine.Preload, "the caller's stays")
	require.NoError(t, r.Set("object_store_cache_options.root_folder", `null`))
	ro, err = r.Options()
	require.NoError(t, err)
	assert.Nil(t, ro.DiskCache)

	r = NewReader(&slatedb.ReaderOptions{DiskCache: &slatedb.DiskCacheOptions{Dir: "x", PartBytes: 5000}})
	_, err = r.Options()
	require.ErrorIs(t, err, slatedb.ErrInvalid, "what the program says is not rounded")
	require.ErrorContains(t, err, "part_size_bytes")
}

// TestPartSizes: any multiple of 1024 is accepted, and the power of two below it is used.
func TestPartSizes(t *testing.T) {
	for said, used := range map[int64]int64{
		1024: 4096, 3072: 4096, 4096: 4096, 5120: 4096, 8191 * 1024: 4 << 20, 8192: 8192, 12288: 8192, 131072: 131072, 3 << 20: 2 << 20,
		4<<20 - 1024: 2 << 20, 4 << 20: 4 << 20, 64 << 20: 4 << 20, 1 << 40: 4 << 20, 1<<63 - 1024: 4 << 20,
	} {
		s := New(&slatedb.Options{DiskCache: &slatedb.DiskCacheOptions{Dir: "x"}})
		require.NoError(t, s.Set("object_store_cache_options.part_size_bytes", fmt.Sprint(said)))
		o, err := s.Options()
		require.NoError(t, err)
		assert.Equal(t, used, o.DiskCache.PartBytes, said)
		v, _ := s.Value("object_store_cache_options.part_size_bytes")
		assert.Equal(t, fmt.Sprint(used), v.Value, "what is in effect")
	}
}

// TestOwnSettingsInFiles: a file holds a setting that the Rust engine does not have only
// where somebody changed it.
func TestOwnSettingsInFiles(t *testing.T) {
	for f := JSON; f <= YAML; f++ {
		text, err := Marshal(nil, f)
		require.NoError(t, err)
		assert.False(t, strings.Contains(string(text), "mirror"), "%s", text)
		text, err = Marshal(&slatedb.Options{DiskCache: &slatedb.DiskCacheOptions{Dir: "x", Mirror: true}}, f)
		require.NoError(t, err)
		o, err := Parse(f, text)
		require.NoError(t, err)
		assert.True(t, o.DiskCache.Mirror)
	}
}
