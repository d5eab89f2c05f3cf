package gc

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

const golden = "../testdata/golden/db018"

// load copies a golden store into the world.
func (w *world) load(t *testing.T, name string) {
	dir := filepath.Join(golden, name, "store")
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		body, err := os.ReadFile(path)
		w.put(filepath.ToSlash(rel), string(body))
		return err
	}))
}

// What the Rust engine was given, and what it deleted with age 0 and fences not kept.
func TestGoldenDeletesWhatTheRustEngineDeleted(t *testing.T) {
	var run struct {
		Before  [][2]any
		Deleted []string
	}
	raw, err := os.ReadFile(filepath.Join(golden, "gc", "gc-run.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &run))
	require.NotEmpty(t, run.Deleted)

	// The golden store is from after the run: take away what came later, and put back under
	// their names and sizes what was deleted. None of that is ever read.
	prepare := func(t *testing.T) (*world, *fake) {
		w := newWorld(t)
		w.clock.t = time.Unix(1795415200, 0) // a minute after the files; the compactor's checkpoint still lives
		w.load(t, "gc")
		before := map[string]int{}
		for _, o := range run.Before {
			name, size := o[0].(string), int(o[1].(float64))
			before[name] = size
			if !w.exists(name) {
				require.Contains(t, run.Deleted, name)
				w.put(name, strings.Repeat("x", size))
			}
		}
		for _, name := range w.names("") {
			if _, ok := before[name]; !ok {
				require.NoError(t, w.mem.Delete(w.ctx, name))
			}
		}
		return w, w.attach("db")
	}
	for _, c := range []struct {
		name    string
		o       Options
		fences  bool
		without bool // conditional overwrite
	}{
		{name: "fences go", o: Options{MinAge: -1, DeleteWALFences: true}, fences: true},
		{name: "fences stay", o: Options{MinAge: -1}},
		{name: "no conditional overwrite", o: Options{MinAge: -1, DeleteWALFences: true}, fences: true, without: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, db := prepare(t)
			store := faulty.New(w.mem, w.env)
			store.SetProperties(func(p *objstore.Properties) { p.IfVersion = !c.without })
			rep, err := db.collectorOn(store, c.o).RunOnce(w.ctx)
			require.NoError(t, err)
			want := slices.DeleteFunc(slices.Clone(run.Deleted), func(n string) bool {
				return !c.fences && n == "db/wal/00000000000000000001.sst"
			})
			assert.Equal(t, want, deletedNames(rep))
			assert.Len(t, rep.Kept, len(run.Before)-len(want)+len(db.latest().Checkpoints))
			for _, n := range want {
				assert.False(t, w.exists(n), n)
			}
			for file, id := range map[string]string{"manifest": "12", "compactions": "7"} {
				o, err := w.mem.Get(w.ctx, "db/gc/"+file+".boundary")
				require.NoError(t, err)
				assert.Equal(t, id, string(o.Body), "as in the golden boundary file")
			}
			assert.Equal(t, "not older than newest L0", reason(rep, "db/compacted/7ZZZZZZZZZZZZZZZZZZZZZZZZZ.sst"))
			assert.Equal(t, "in use by manifest 8", reason(rep, "db/compacted/01M83H9ZKDW4WZG8RVX7JJVGZR.sst"))
			assert.Equal(t, "checkpoint 15d534c4-f608-4c36-8034-f44f480dba31", reason(rep, "db/manifest/00000000000000000010.manifest"))
		})
	}
	t.Run("dry run", func(t *testing.T) {
		w, db := prepare(t)
		before := w.names("")
		rep := db.collect(Options{MinAge: -1, DeleteWALFences: true, DryRun: true})
		assert.Equal(t, run.Deleted, deletedNames(rep))
		assert.Equal(t, before, w.names(""))
	})
	t.Run("too young", func(t *testing.T) {
		_, db := prepare(t)
		rep := db.collect(Options{DeleteWALFences: true}) // everything was stored just now
		assert.Equal(t, []string{"db/compacted/01J00000000000000000000000.sst"}, deletedNames(rep), "its age is in its name")
		assert.Equal(t, "younger than min age 5m0s", reason(rep, "db/manifest/00000000000000000001.manifest"))
	})
}

// Six checkpoints of every kind pin all of the log; there was never a compaction.
func TestGoldenCheckpoints(t *testing.T) {
	w := newWorld(t)
	w.clock.t = time.Unix(1795415200, 0)
	w.load(t, "checkpoints")
	db := w.attach("db")
	pinned := map[uint64]bool{db.latest().ID: true}
	for _, c := range db.latest().Checkpoints {
		pinned[c.ManifestID] = true
	}
	require.Greater(t, len(pinned), 4)
	need := w.reachable("db")
	rep := db.collect(Options{MinAge: -1, DeleteWALFences: true})
	for _, n := range deletedNames(rep) {
		assert.Contains(t, n, "db/manifest/")
		assert.NotContains(t, need, n)
	}
	assert.Len(t, rep.Deleted, 9-len(pinned))
	assert.Equal(t, "in use by manifest 3", reason(rep, "db/wal/00000000000000000001.sst"), "a fence inside a pinned log")
	assert.Equal(t, "in use by manifest 4", reason(rep, "db/wal/00000000000000000003.sst"))
	assert.Equal(t, "at or above replay point", reason(rep, "db/wal/00000000000000000004.sst"))

	// Without them, and with a job and an L0 behind it, the old log goes.
	db.update(func(m *manifest.Manifest) { m.Checkpoints = nil })
	rep = db.collect(Options{MinAge: -1, DeleteWALFences: true})
	assert.Equal(t, "fence below replay point 4", reason(rep, "db/wal/00000000000000000001.sst"))
	assert.Equal(t, []string{"db/wal/00000000000000000004.sst", "db/wal/00000000000000000005.sst"}, w.names("db/wal/"))
	assert.Len(t, w.names("db/manifest/"), 1)
	assert.Len(t, w.names("db/compacted/"), 2)
}
