package compactor_test

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/compactor"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

var (
	quiet    = slog.New(slog.DiscardHandler)
	concatOp = slatedb.MergeFunc(func(_, existing, operand []byte) ([]byte, error) { return append(existing, operand...), nil })
)

// memoryCopy loads a directory into a memory store.
func memoryCopy(t testing.TB, dir string) objstore.Store {
	s := objstore.NewMemory()
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		_, err = s.Put(context.Background(), filepath.ToSlash(rel), body, objstore.Always)
		return err
	}))
	return s
}

// goldenTransform is the transformer of golden/db018/transform.
type goldenTransform struct{}

var goldenHead = []byte{0xa5, 0x48, 0x44, 0x52, 0x31, 0x32, 0x33, 0x34}

func (goldenTransform) Encode(b []byte) ([]byte, error) {
	out := append([]byte(nil), goldenHead...)
	for _, c := range b {
		out = append(out, c^0x5a)
	}
	return out, nil
}

func (goldenTransform) Decode(b []byte) ([]byte, error) {
	b = bytes.TrimPrefix(b, goldenHead)
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = c ^ 0x5a
	}
	return out, nil
}

// databases returns the paths of all databases in a store.
func databases(t testing.TB, s objstore.Store) []string {
	seen := map[string]bool{}
	var out []string
	for a, err := range s.List(context.Background(), "", "") {
		require.NoError(t, err)
		if dir := path.Dir(a.Key); path.Base(dir) == "manifest" && !seen[dir] {
			seen[dir] = true
			out = append(out, path.Dir(dir))
		}
	}
	return out
}

// rows is what a reader sees, both ways and by point.
func rows(t testing.TB, s objstore.Store, db string, tr slatedb.BlockTransformer) []slatedb.Entry {
	ctx := context.Background()
	r, err := slatedb.OpenReader(ctx, db, &slatedb.ReaderOptions{
		Mode: slatedb.FollowLatest, PollInterval: -1, Store: s, MergeOperator: concatOp, BlockTransformer: tr,
		Logger: quiet, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close(ctx)) }()
	var up, down []slatedb.Entry
	for e, err := range r.Entries(ctx, slatedb.All, nil) {
		require.NoError(t, err)
		up = append(up, e.Clone())
	}
	for e, err := range r.Entries(ctx, slatedb.All, &slatedb.ScanOptions{Order: slatedb.Descending}) {
		require.NoError(t, err)
		down = append(down, e.Clone())
	}
	require.Equal(t, len(up), len(down))
	for i := range up {
		require.Equal(t, up[i], down[len(down)-1-i])
		e, err := r.GetEntry(ctx, up[i].Key, nil)
		require.NoError(t, err)
		require.Equal(t, up[i], e)
	}
	return up
}

func config(s objstore.Store, db string, tr slatedb.BlockTransformer) compactor.Config {
	env := seam.New(seam.Env{})
	return compactor.Config{
		Objects: s, Root: db, Env: env, Logger: quiet, Manifests: manifest.NewStore(s, db, env),
		MergeOperator: concatOp, Transformer: tr,
	}
}

// begin runs c until stop.
func begin(t testing.TB, c *compactor.Compactor) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return func() { cancel(); require.NoError(t, <-done) }
}

// Every golden database reads the same before and after: what its own compactor left undone
// is finished, and then all is merged into one run a tree.
func TestGoldenDatabasesReadTheSameAfterCompaction(t *testing.T) {
	dirs, err := filepath.Glob("../testdata/golden/db018/*/store")
	require.NoError(t, err)
	dirs = append(dirs, "../testdata/golden/db/store")
	require.Greater(t, len(dirs), 10)
	for _, dir := range dirs {
		name := path.Base(path.Dir(filepath.ToSlash(dir)))
		var tr slatedb.BlockTransformer
		if name == "transform" {
			tr = goldenTransform{}
		}
		for _, db := range databases(t, memoryCopy(t, dir)) {
			t.Run(name+"/"+strings.ReplaceAll(db, "/", "_"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := context.Background()
					s := memoryCopy(t, dir)
					before := rows(t, s, db, tr)
					c := compactor.New(config(s, db, tr), compactor.Options{})
					stop := begin(t, c)
					time.Sleep(3 * time.Minute)
					require.Equal(t, before, rows(t, s, db, tr), "after what was left")
					man := manifest.NewStore(s, db, seam.New(seam.Env{}))
					m, err := man.Latest(ctx)
					require.NoError(t, err)
					list, err := c.Jobs().Latest(ctx)
					require.NoError(t, err)
					for _, j := range list.Jobs {
						require.True(t, j.Status.Finished(), "%s is %s", j.ID, j.Status)
					}
					for _, spec := range compactor.AllSpecs(m, list.Jobs) {
						j, err := c.Submit(ctx, spec)
						require.NoError(t, err)
						require.NoError(t, c.Await(ctx, j.ID))
					}
					m, err = man.Latest(ctx)
					require.NoError(t, err)
					for _, tree := range m.Trees() {
						require.Empty(t, tree.L0)
						require.LessOrEqual(t, len(tree.Runs), 1)
					}
					require.Equal(t, before, rows(t, s, db, tr), "after all of it")
					stop()
				})
			})
		}
	}
}

// The Rust engine was given the job that retention-l0 has Submitted; retention is the outcome.
// Ours must hold the very same rows.
func TestGoldenRetentionGivesTheSameRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		theirs := memoryCopy(t, "../testdata/golden/db018/retention/store")
		ours := memoryCopy(t, "../testdata/golden/db018/retention-l0/store")
		c := compactor.New(config(ours, "db", nil), compactor.Options{})
		stop := begin(t, c)
		time.Sleep(time.Minute)
		stop()
		want, got := dump(t, theirs), dump(t, ours)
		require.NotEmpty(t, want)
		require.Equal(t, want, got)
		list, err := c.Jobs().Latest(ctx)
		require.NoError(t, err)
		require.Equal(t, manifest.Completed, list.Jobs[0].Status)
	})
}
