package slatedb

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
)

// deleting is the marker of a database that is being deleted.
const deletingMarker = ".deleting"

// deletesAtOnce is how many objects are deleted at once.
const deletesAtOnce = 8

// DeleteDB deletes the database with all its objects and returns their keys. Without confirm
// it deletes nothing and returns the keys that it would delete. It takes back what holds
// tables in the parents of a clone. Clones of this database lose the tables they share with
// it: delete them first. Writers and readers should be closed.
//
// A marker object stands while it deletes, so that it can be called again after a crash; on
// an empty place it succeeds. Where objects are but neither a database nor a marker, it
// refuses with ErrNoDatabase, and where another database lies inside this one with
// ErrInvalid.
func (a *Admin) DeleteDB(ctx context.Context, confirm bool) ([]string, error) {
	ctx, end, err := a.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	keys, err := a.deleteDB(ctx, confirm)
	return keys, a.done("delete", err)
}

func (a *Admin) deleteDB(ctx context.Context, confirm bool) ([]string, error) {
	marker := path.Join(a.h.path, deletingMarker)
	main := a.stores()[0]
	var keys []string     // all of them
	var found [2][]string // by store
	marked := false
	for i, s := range a.stores() {
		for o, err := range s.List(ctx, a.prefix(), "") {
			if err != nil {
				return nil, err
			}
			if i == 0 && o.Key == marker {
				marked = true
				continue
			}
			if sub := strings.TrimPrefix(o.Key, a.prefix()); !databaseObject(sub) && manifestKey(sub) {
				return nil, invalidf("another database lies inside this one: %s", o.Key)
			}
			found[i] = append(found[i], o.Key)
			keys = append(keys, o.Key)
		}
	}
	if len(keys) == 0 && !marked {
		return nil, nil
	}
	m, err := a.manifests().Latest(ctx)
	switch {
	case err == nil:
	case marked && errors.Is(err, ErrCorrupt): // half deleted
	default:
		return nil, err // ErrNoDatabase: what is there is none of ours
	}
	if !confirm {
		return keys, nil
	}
	if m != nil {
		if err := a.h.namesWALStore(m, "AdminOptions"); err != nil {
			return nil, err
		}
		if err := a.letGo(ctx, m); err != nil {
			return nil, err
		}
	}
	a.h.conf.env.Point("delete.before-marker")
	defer a.forget()
	if _, err := main.Put(ctx, marker, nil, objstore.Always); err != nil {
		return nil, err
	}
	for i, s := range a.stores() {
		// The manifests last: until then a second call finds what it must let go of.
		slices.SortStableFunc(found[i], func(x, y string) int {
			return a.manifestLast(x) - a.manifestLast(y)
		})
		if err := a.deleteAll(ctx, s, found[i]); err != nil {
			return nil, err
		}
	}
	a.h.conf.env.Point("delete.before-unmark")
	return keys, main.Delete(ctx, marker)
}

func (a *Admin) manifestLast(key string) int {
	if manifestKey(strings.TrimPrefix(key, a.prefix())) {
		return 1
	}
	return 0
}

// letGo removes the checkpoints that a clone has in its parents.
func (a *Admin) letGo(ctx context.Context, m *manifest.Manifest) error {
	if len(m.External) > 0 {
		if err := a.h.prove(ctx, false); err != nil {
			return err
		}
	}
	for _, e := range m.External {
		_, err := update(ctx, a.manifestsOf(e.Path), func(m *manifest.Manifest) error { return removeCheckpoint(m, e.FinalCheckpoint) })
		if err != nil && !errors.Is(err, ErrNoDatabase) {
			return fmt.Errorf("parent %q: %w", e.Path, err)
		}
	}
	return nil
}

func (a *Admin) deleteAll(ctx context.Context, s objstore.Store, keys []string) error {
	for part := range slices.Chunk(keys, deletesAtOnce) {
		g, gctx := a.h.conf.env.Group(ctx)
		for _, k := range part {
			g.Go("delete", func() error { return s.Delete(gctx, k) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// stores are the stores with objects of the database.
func (a *Admin) stores() []objstore.Store {
	out := []objstore.Store{a.h.component("admin", a.h.raw)}
	if a.h.conf.WALStore != nil && !sameStore(a.h.rawWAL, a.h.raw) {
		out = append(out, a.h.component("admin", a.h.rawWAL))
	}
	return out
}

// prefix is what the keys of the database begin with.
func (a *Admin) prefix() string {
	if a.h.path == "" {
		return ""
	}
	return a.h.path + "/"
}

// databaseObject reports whether a key, relative to a database's path, is one of the kinds of
// objects that a database has.
func databaseObject(key string) bool {
	if key == deletingMarker {
		return true
	}
	dir, name, ok := strings.Cut(key, "/")
	if !ok || strings.Contains(name, "/") {
		return false
	}
	switch dir {
	case "manifest", "compactions", "wal", "compacted", "gc":
		return true
	}
	return false
}

// manifestKey reports whether a key is that of a manifest, of this database or of one
// further down.
func manifestKey(key string) bool {
	return path.Base(path.Dir(key)) == "manifest" && strings.HasSuffix(key, ".manifest")
}
