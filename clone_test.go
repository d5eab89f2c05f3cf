package slatedb

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

func goldenManifest(t testing.TB, dir, db string, id uint64) *manifest.Manifest {
	t.Helper()
	key := fmt.Sprintf("%s/manifest/%020d.manifest", db, id)
	body, err := os.ReadFile(path.Join(dir, key))
	require.NoError(t, err)
	m, err := manifest.Decode(key, id, body)
	require.NoError(t, err)
	return m
}

// pinnedBy is the manifest that a checkpoint of the golden database's newest manifest pins.
func pinnedBy(t testing.TB, s objstore.Store, dir, db string, id uuid.UUID) *manifest.Manifest {
	t.Helper()
	m, err := manifest.NewStore(s, db, seam.New(seam.Env{})).Latest(context.Background())
	require.NoError(t, err)
	c := m.Checkpoint(id)
	require.NotNil(t, c, "checkpoint %s of %s", id, db)
	return goldenManifest(t, dir, db, c.ManifestID)
}

// idsOf returns the ids in the order in which a golden manifest has them, so that a plan made
// with it equals the manifest.
func idsOf(m *manifest.Manifest) func() uuid.UUID {
	next := 0
	return func() uuid.UUID { next++; return m.External[next-1].FinalCheckpoint }
}

func manifestText(t testing.TB, m *manifest.Manifest) string {
	b, err := m.MarshalJSON()
	require.NoError(t, err)
	return string(b)
}

// Our plans give the manifests that the Rust engine wrote, but for the random ids of views that
// are cut.
func TestGoldenClones(t *testing.T) {
	dir := golden018 + "/clones/store"
	s := memoryCopy(t, dir)
	end := func(k string) []byte { return []byte(k) }
	for _, c := range []struct {
		db      string
		sources []CloneSource
	}{
		{"cc", []CloneSource{{Path: "clone"}}},
		{"proj2", []CloneSource{{Path: "proj", Range: Range{Start: end("k0007"), End: end("k0010")}}}},
		{"union", []CloneSource{{Path: "u2"}, {Path: "u1"}}},
		{"unionp", []CloneSource{{Path: "u2", Range: Range{Start: end("Mk0005")}}, {Path: "u1", Range: Range{End: end("Ak0004")}}}},
	} {
		t.Run(c.db, func(t *testing.T) {
			want := goldenManifest(t, dir, c.db, 1)
			var ins []cloneInput
			var viewTimes []uint64
			mint := func(ms uint64) ulid.ULID {
				viewTimes = append(viewTimes, ms)
				var id ulid.ULID
				require.NoError(t, id.SetTime(ms))
				return id
			}
			for _, src := range c.sources {
				var entry manifest.ExternalDB
				for _, e := range want.External {
					if e.Path == src.Path {
						entry = e
					}
				}
				m := pinnedBy(t, s, dir, src.Path, entry.FinalCheckpoint)
				r, err := src.Range.clone()
				require.NoError(t, err)
				if r.Start != nil || r.End != nil {
					m = project(m, r, mint)
				}
				ins = append(ins, cloneInput{path: src.Path, checkpoint: entry.SourceCheckpoint, m: m})
			}
			var got *manifest.Manifest
			if len(ins) == 1 {
				got = cloneOne(ins[0], idsOf(want))
			} else {
				var err error
				byPath := map[string]uuid.UUID{}
				for _, e := range want.External {
					byPath[e.Path] = e.FinalCheckpoint
				}
				n := 0
				got, err = union(ins, func() uuid.UUID { n++; return byPath[c.sources[n-1].Path] }, mint)
				require.NoError(t, err)
			}
			require.NoError(t, got.Validate())
			// The ids of cut views have the time of the old ones and are otherwise random.
			wv, gv := slices.Collect(want.Views()), slices.Collect(got.Views())
			require.Equal(t, len(wv), len(gv))
			for i := range wv {
				require.Equal(t, wv[i].ID.Time(), gv[i].ID.Time())
				if wv[i].Visible != nil {
					gv[i].ID = wv[i].ID
				}
			}
			got.ID, got.FormatVersion = want.ID, want.FormatVersion
			require.Equal(t, manifestText(t, want), manifestText(t, got))
			wb, err := want.Encode()
			require.NoError(t, err)
			gb, err := got.Encode()
			require.NoError(t, err)
			require.Equal(t, wb, gb, "bytes")
			for _, ms := range viewTimes {
				require.Positive(t, ms)
			}
		})
	}
}

// table makes a view of a table with these keys; one id for each n.
func testTable(n byte, first, last string) sst.View {
	var id ulid.ULID
	_ = id.SetTime(1000 + uint64(n))
	id[15] = n
	v := sst.View{ID: id, Table: &sst.Handle{ID: sst.TableID(id), Format: sst.FormatV2, Info: sst.Info{First: []byte(first)}}}
	if last != "" {
		v.Table.Info.Last = []byte(last)
	}
	return v
}

func cutTable(v sst.View, start, end string, inclusive bool) sst.View {
	v.Visible = &kv.Range{Start: []byte(start), End: []byte(end), EndInclusive: inclusive}
	return v
}

func showRange(r kv.Range) string {
	open, shut := "[", ")"
	if r.EndInclusive {
		shut = "]"
	}
	return fmt.Sprintf("%s%s,%s%s", open, r.Start, r.End, shut)
}

func TestProjectTable(t *testing.T) {
	for _, c := range []struct {
		name string
		l0   []sst.View
		runs []sst.SortedRun
		r    Range
		want string // views; * = new id
	}{
		{"inside is unchanged", []sst.View{testTable(1, "b", "d")}, nil, Range{Start: []byte("a"), End: []byte("x")}, "1[b,d]"},
		{"cut to the physical range", []sst.View{testTable(1, "b", "f")}, nil, Range{Start: []byte("c"), End: []byte("z")}, "1*[c,f]"},
		{"both ends", []sst.View{testTable(1, "b", "f")}, nil, Range{Start: []byte("c"), End: []byte("e")}, "1*[c,e)"},
		{"end inclusive", []sst.View{testTable(1, "b", "f")}, nil, Range{End: []byte("e"), EndInclusive: true}, "1*[b,e]"},
		{"exact end is unchanged", []sst.View{testTable(1, "b", "f")}, nil, Range{End: []byte("f"), EndInclusive: true}, "1[b,f]"},
		{"start exclusive", []sst.View{testTable(1, "b", "f")}, nil, Range{Start: []byte("b"), StartExclusive: true}, "1*[b\x00,f]"},
		{"outside goes", []sst.View{testTable(1, "b", "d"), testTable(2, "m", "p")}, nil, Range{Start: []byte("e"), End: []byte("n")}, "2*[m,n)"},
		{"touching the excluded end goes", []sst.View{testTable(1, "b", "d")}, nil, Range{End: []byte("b")}, ""},
		{"touching the included end stays", []sst.View{testTable(1, "b", "d")}, nil, Range{End: []byte("b"), EndInclusive: true}, "1*[b,b]"},
		{"already cut", []sst.View{cutTable(testTable(1, "b", "h"), "c", "g", false)}, nil, Range{Start: []byte("d")}, "1*[d,g)"},
		{"already cut enough", []sst.View{cutTable(testTable(1, "b", "h"), "c", "g", false)}, nil, Range{Start: []byte("a"), End: []byte("g")}, "1[c,g)"},
		{"unknown last key", []sst.View{testTable(1, "b", "")}, nil, Range{Start: []byte("c"), End: []byte("g")}, "1*[c,g)"},
		{"run", nil, []sst.SortedRun{{ID: 3, Views: []sst.View{testTable(1, "a", "c"), testTable(2, "c", "f"), testTable(3, "g", "k")}}},
			Range{Start: []byte("c"), End: []byte("h")}, "run 3: 1*[c,c] 2[c,f] 3*[g,h)"},
		{"run without last keys", nil, []sst.SortedRun{{ID: 3, Views: []sst.View{testTable(1, "a", ""), testTable(2, "e", ""), testTable(3, "h", "")}}},
			Range{Start: []byte("b"), End: []byte("f")}, "run 3: 1*[b,e] 2*[e,f)"},
		{"run that becomes empty goes", nil, []sst.SortedRun{{ID: 3, Views: []sst.View{testTable(1, "a", "c")}}, {ID: 1, Views: []sst.View{testTable(2, "m", "n")}}},
			Range{Start: []byte("d")}, "run 1: 2[m,n]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := manifest.New("")
			m.Root.L0, m.Root.Runs = c.l0, c.runs
			m.Root.LastCompactedL0 = ulid.ULID{1}
			require.NoError(t, m.Validate())
			before := manifestText(t, m)
			r, err := c.r.clone()
			require.NoError(t, err)
			minted := map[ulid.ULID]bool{}
			p := project(m, r, func(ms uint64) ulid.ULID {
				var id ulid.ULID
				require.NoError(t, id.SetTime(ms))
				id[10] = byte(len(minted) + 1)
				minted[id] = true
				return id
			})
			require.NoError(t, p.Validate())
			require.Equal(t, before, manifestText(t, m), "the source is left alone")
			require.Equal(t, m.Root.LastCompactedL0, p.Root.LastCompactedL0, "watermarks stay")
			show := func(vs []sst.View) (out []string) {
				for i := range vs {
					star := ""
					if minted[vs[i].ID] {
						star = "*"
						require.Equal(t, vs[i].Table.ID.ULID().Time(), vs[i].ID.Time())
					}
					out = append(out, fmt.Sprintf("%d%s%s", vs[i].Table.ID.ULID()[15], star, showRange(viewRange(&vs[i]))))
				}
				return out
			}
			got := show(p.Root.L0)
			for _, r := range p.Root.Runs {
				got = append(got, fmt.Sprintf("run %d: %s", r.ID, strings.Join(show(r.Views), " ")))
			}
			require.Equal(t, c.want, strings.Join(got, " "))
		})
	}
}

func TestProjectSegments(t *testing.T) {
	m := manifest.New("x")
	m.Segments = []manifest.Segment{
		{Prefix: []byte("a/"), Tree: manifest.Tree{L0: []sst.View{testTable(1, "a/1", "a/5")}}},
		{Prefix: []byte("b/"), Tree: manifest.Tree{L0: []sst.View{testTable(2, "b/1", "b/5")}}},
	}
	m.External = []manifest.ExternalDB{
		{Path: "p", Tables: []ulid.ULID{m.Segments[0].L0[0].ID}}, {Path: "q", Tables: []ulid.ULID{m.Segments[1].L0[0].ID}},
	}
	p := project(m, kv.PrefixRange([]byte("b/")), seam.New(seam.Env{}).ULID)
	require.Len(t, p.Segments, 1)
	require.Equal(t, "b/", string(p.Segments[0].Prefix))
	require.Equal(t, m.Segments[1].L0, p.Segments[0].L0)
	require.Len(t, p.External, 1, "parents of which nothing is left go")
	require.Equal(t, "q", p.External[0].Path)
}

func TestUnionRefusals(t *testing.T) {
	env := seam.New(seam.Env{})
	in := func(path, extractor string, segs map[string]sst.View, l0 ...sst.View) cloneInput {
		m := manifest.New(extractor)
		m.Root.L0 = l0
		for _, p := range []string{"a/", "a/b/", "b/"} {
			if v, ok := segs[p]; ok {
				m.Segments = append(m.Segments, manifest.Segment{Prefix: []byte(p), Tree: manifest.Tree{L0: []sst.View{v}}})
			}
		}
		return cloneInput{path: path, m: m}
	}
	type segs = map[string]sst.View
	for _, c := range []struct {
		name string
		ins  []cloneInput
		want string // "" = accepted
	}{
		{"disjoint", []cloneInput{in("p", "", nil, testTable(1, "a", "c")), in("q", "", nil, testTable(2, "d", "e"))}, ""},
		{"empty source", []cloneInput{in("p", "", nil), in("q", "", nil, testTable(2, "d", "e"))}, ""},
		{"only empty sources", []cloneInput{in("p", "", nil), in("q", "", nil)}, ""},
		{"one key in both", []cloneInput{in("p", "", nil, testTable(1, "a", "d")), in("q", "", nil, testTable(2, "d", "e"))}, "overlap"},
		{"one inside the other", []cloneInput{in("p", "", nil, testTable(1, "a", "z")), in("q", "", nil, testTable(2, "d", "e"))}, "overlap"},
		{"interleaved", []cloneInput{in("p", "", nil, testTable(1, "a", "b"), testTable(3, "x", "z")), in("q", "", nil, testTable(2, "d", "e"))}, "overlap"},
		{"unknown end", []cloneInput{in("p", "", nil, testTable(1, "a", "")), in("q", "", nil, testTable(2, "d", "e"))}, "overlap"},
		{"cut away", []cloneInput{in("p", "", nil, cutTable(testTable(1, "a", "z"), "a", "d", false)), in("q", "", nil, testTable(2, "d", "e"))}, ""},
		{"extractors differ", []cloneInput{in("p", "x", nil), in("q", "", nil)}, "extractor"},
		{"segments", []cloneInput{in("p", "x", segs{"a/": testTable(1, "a/1", "a/2")}), in("q", "x", segs{"b/": testTable(2, "b/1", "b/2")})}, ""},
		{"shared segment", []cloneInput{in("p", "x", segs{"a/": testTable(1, "a/1", "a/2")}), in("q", "x", segs{"a/": testTable(2, "a/3", "a/4")})}, ""},
		{"overlap in a shared segment", []cloneInput{in("p", "x", segs{"a/": testTable(1, "a/1", "a/3")}), in("q", "x", segs{"a/": testTable(2, "a/3", "a/4")})}, "overlap"},
		{"no antichain", []cloneInput{in("p", "x", segs{"a/": testTable(1, "a/1", "a/3")}), in("q", "x", segs{"a/b/": testTable(2, "a/b/3", "a/b/4")})}, "prefix"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 {
				m, err := union(c.ins, env.UUID, env.ULID)
				if c.want != "" {
					require.ErrorIs(t, err, ErrInvalid)
					require.ErrorContains(t, err, c.want)
				} else {
					require.NoError(t, err)
					require.NoError(t, m.Validate())
					require.Len(t, m.External, 2)
				}
				slices.Reverse(c.ins)
			}
		})
	}
}

// world is a store with some databases and what each of them must hold.
type world struct {
	t     testing.TB
	ctx   context.Context
	store objstore.Store
	want  map[string]map[string]string
}

func newWorld(t testing.TB) *world {
	return &world{t: t, ctx: context.Background(), store: objstore.NewMemory(), want: map[string]map[string]string{}}
}

func (w *world) options() *Options {
	o := testOptions()
	o.Store, o.BlockCacheBytes, o.MetaCacheBytes, o.ManifestPollInterval = w.store, -1, -1, -1
	return o
}

// write opens the database, puts the keys and closes it.
func (w *world) write(db string, kind CloseFlush, kvs ...string) {
	w.t.Helper()
	d, err := Open(w.ctx, db, w.options())
	require.NoError(w.t, err)
	if w.want[db] == nil {
		w.want[db] = map[string]string{}
	}
	for i := 0; i < len(kvs); i += 2 {
		require.NoError(w.t, d.Put(w.ctx, []byte(kvs[i]), []byte(kvs[i+1])))
		w.want[db][kvs[i]] = kvs[i+1]
	}
	require.NoError(w.t, d.CloseWithOptions(w.ctx, &CloseOptions{Flush: kind}))
}

func (w *world) admin(db string) *Admin { return testAdmin(w.t, w.store, db) }

func entryMap(t testing.TB, r ReadOps) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, e := range scanAll(t, r, nil) {
		out[string(e.Key)] = string(e.Value)
	}
	return out
}

// check reads a database in every way and compares.
func (w *world) check(db string) {
	w.t.Helper()
	for _, mode := range []ReaderMode{FollowLatest, ManagedCheckpoint} {
		r := testReader(w.t, w.store, db, ReaderOptions{Mode: mode})
		require.Equal(w.t, w.want[db], entryMap(w.t, r), "%s, mode %d", db, mode)
		for k, v := range w.want[db] {
			got, err := r.Get(w.ctx, []byte(k))
			require.NoError(w.t, err)
			require.Equal(w.t, v, string(got))
		}
		require.NoError(w.t, r.Close(w.ctx))
	}
}

// clone is CreateClone on a fresh admin; what the clone must hold is copied.
func (w *world) clone(dst string, sources ...CloneSource) {
	w.t.Helper()
	require.NoError(w.t, w.admin(sources[0].Path).CreateClone(w.ctx, dst, sources...))
	w.want[dst] = map[string]string{}
	for _, s := range sources {
		r, err := s.Range.clone()
		require.NoError(w.t, err)
		for k, v := range w.want[s.Path] {
			if r.Contains([]byte(k)) {
				w.want[dst][k] = v
			}
		}
	}
}

var gcNow = &GCOptions{MinAge: -1, DeleteWALFences: true}

func TestCloneBasics(t *testing.T) {
	w := newWorld(t)
	w.write("par", CloseFlushMemtable, "a", "1", "b", "2")
	w.write("par", CloseFlushWAL, "c", "3") // in the WAL only
	m, err := w.admin("par").ReadManifest(w.ctx, 0)
	require.NoError(t, err)
	require.Less(t, m.ReplayAfterWAL, m.WALLastSeen)
	w.clone("clone", CloneSource{Path: "par"})
	cm, err := w.admin("clone").ReadManifest(w.ctx, 0)
	require.NoError(t, err)
	w.check("clone")
	require.EqualValues(t, 2, cm.ID, "two manifests")
	require.True(t, cm.Initialized)
	require.Equal(t, []uint64{m.WALLastSeen, m.ReplayAfterWAL, m.WriterEpoch}, []uint64{cm.WALLastSeen, cm.ReplayAfterWAL, cm.WriterEpoch})
	w.write("clone", CloseFlushMemtable, "a", "clone", "d", "4")
	w.write("par", CloseFlushMemtable, "a", "parent", "e", "5")
	w.check("clone")
	w.check("par")
	require.NoError(t, w.admin("par").CreateClone(w.ctx, "clone", CloneSource{}), "again is fine")
	w.check("clone")
	for _, db := range []string{"par", "clone"} {
		_, err := w.admin(db).RunGCOnce(w.ctx, gcNow)
		require.NoError(t, err)
		w.check("par")
		w.check("clone")
	}
	// The parent lets go of it: the clone cannot be relied on any more.
	for _, e := range cm.External {
		require.NoError(t, w.admin("par").DeleteCheckpoint(w.ctx, e.FinalCheckpoint))
	}
	require.ErrorIs(t, w.admin("par").CreateClone(w.ctx, "clone", CloneSource{}), ErrCorrupt)
}

func TestCloneRefusals(t *testing.T) {
	w := newWorld(t)
	w.write("par", CloseFlushMemtable, "a", "1")
	w.write("other", CloseFlushMemtable, "z", "1")
	w.write("wet", CloseFlushWAL, "m", "1")
	a := w.admin("par")
	ck, err := a.CreateCheckpoint(w.ctx, nil)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		dst     string
		sources []CloneSource
		want    error
	}{
		"no source":                {"x", nil, ErrInvalid},
		"itself":                   {"par", []CloneSource{{}}, ErrInvalid},
		"itself by path":           {"par", []CloneSource{{Path: "par"}}, ErrInvalid},
		"twice":                    {"x", []CloneSource{{}, {Path: "par"}}, ErrInvalid},
		"empty path":               {"", []CloneSource{{}}, ErrInvalid},
		"path out of the store":    {"../x", []CloneSource{{}}, ErrInvalid},
		"source out of the store":  {"x", []CloneSource{{Path: "/par"}}, ErrInvalid},
		"inverted range":           {"x", []CloneSource{{Range: Range{Start: []byte("b"), End: []byte("a")}}}, ErrInvalid},
		"empty range":              {"x", []CloneSource{{Range: Range{Start: []byte("b"), End: []byte("b")}}}, ErrInvalid},
		"no such source":           {"x", []CloneSource{{Path: "none"}}, ErrNoDatabase},
		"no such checkpoint":       {"x", []CloneSource{{CheckpointID: uuid.New()}}, ErrNotFound},
		"another database":         {"other", []CloneSource{{}}, ErrCorrupt},
		"projection of a wet WAL":  {"x", []CloneSource{{Path: "wet", Range: Prefix([]byte("m"))}}, ErrInvalid},
		"union with a wet WAL":     {"x", []CloneSource{{}, {Path: "wet"}}, ErrInvalid},
		"given checkpoint of both": {"x", []CloneSource{{CheckpointID: ck.ID}, {Path: "other", CheckpointID: ck.ID}}, ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, a.CreateClone(w.ctx, c.dst, c.sources...), c.want)
			_, err := w.admin("x").ReadManifest(w.ctx, 0)
			require.ErrorIs(t, err, ErrNoDatabase)
		})
	}
	w.check("par")
	w.check("other")
	w.check("wet")
	w.clone("dry", CloneSource{Path: "par"})
	_, err = w.store.Put(w.ctx, "rest/wal/00000000000000000009.sst", []byte("old"), objstore.Always)
	require.NoError(t, err)
	require.ErrorIs(t, a.CreateClone(w.ctx, "rest", CloneSource{}), ErrInvalid, "remains of another database")
	_, err = NewAdmin("", &AdminOptions{Store: w.store, Logger: quiet})
	require.NoError(t, err)
}

// A clone is made at every crash of its maker by calling again, by the same arguments; others
// are refused once it has begun.
func TestE2_CloneCrashAtEachCallAndRetry(t *testing.T) {
	rng := Range{Start: []byte("b"), End: []byte("x")}
	for _, kind := range []string{"clone", "checkpoint", "projection", "union", "chain"} {
		t.Run(kind, func(t *testing.T) {
			for n := 1; ; n++ {
				w := newWorld(t)
				w.write("par", CloseFlushMemtable, "a", "1", "b", "2", "c", "3")
				w.write("u", CloseFlushMemtable, "z", "4")
				sources, other := []CloneSource{{Path: "par"}}, CloneSource{Path: "par"}
				old, err := w.admin("par").CreateCheckpoint(w.ctx, nil)
				require.NoError(t, err)
				other.CheckpointID = old.ID
				switch kind {
				case "clone":
					w.write("par", CloseFlushWAL, "wal", "5", "wal2", "6")
				case "checkpoint":
					ck, err := w.admin("par").CreateCheckpoint(w.ctx, nil)
					require.NoError(t, err)
					sources[0].CheckpointID = ck.ID
				case "projection":
					sources[0].Range = rng
					other = CloneSource{Path: "par"}
				case "union":
					sources = append(sources, CloneSource{Path: "u"})
				case "chain":
					w.clone("mid", CloneSource{Path: "par"})
					w.write("mid", CloseFlushMemtable, "d", "6")
					sources[0].Path, other = "mid", CloneSource{Path: "par"}
				}
				s := faulty.New(w.store, nil)
				a, err := NewAdmin("par", &AdminOptions{Store: s, Logger: quiet, MaxRetries: 1})
				require.NoError(t, err)
				s.CrashAt((n+1)/2, n%2 == 0)
				err = a.CreateClone(w.ctx, "dst", sources...)
				crashed := s.Crashed()
				if !crashed {
					require.NoError(t, err)
				}
				require.NoError(t, a.Close())
				// The parent goes on and collects meanwhile.
				w.write("par", CloseFlushMemtable, "a", "changed", "new", "x")
				_, err = w.admin("par").RunGCOnce(w.ctx, gcNow)
				require.NoError(t, err)
				begun := true
				if _, err = w.admin("dst").ReadManifest(w.ctx, 0); err != nil {
					require.ErrorIs(t, err, ErrNoDatabase)
					begun = false
				}
				m, _ := w.admin("dst").ReadManifest(w.ctx, 0)
				finished := begun && m.Initialized
				if begun && !finished {
					_, err := Open(w.ctx, "dst", w.options())
					require.ErrorIs(t, err, ErrCorrupt, "half made")
					_, err = tryReader(w.store, "dst", ReaderOptions{})
					require.ErrorIs(t, err, ErrCorrupt)
					_, err = w.admin("dst").CreateCheckpoint(w.ctx, nil)
					require.ErrorIs(t, err, ErrCorrupt)
					require.ErrorIs(t, w.admin("dst").CreateClone(w.ctx, "dst2", CloneSource{}), ErrCorrupt)
				}
				if begun && (!finished || kind != "projection") { // a finished clone does not know its range
					require.ErrorIs(t, w.admin("par").CreateClone(w.ctx, "dst", other), ErrCorrupt, "other arguments, crash %d", n)
				}
				want := map[string]string{"a": "1", "b": "2", "c": "3"}
				if !begun { // nothing had been fixed yet
					want = maps.Clone(w.want["par"])
				}
				switch kind {
				case "clone":
					want["wal"], want["wal2"] = "5", "6"
				case "checkpoint":
					want = map[string]string{"a": "1", "b": "2", "c": "3"}
				case "projection":
					delete(want, "a")
				case "union":
					want["z"] = "4"
				case "chain":
					want = maps.Clone(w.want["mid"])
				}
				w.want["dst"] = want
				require.NoError(t, w.admin("par").CreateClone(w.ctx, "dst", sources...), "crash %d", n)
				w.check("dst")
				w.write("dst", CloseFlushMemtable, "own", "7")
				for _, db := range []string{"par", "dst", "u"} {
					_, err := w.admin(db).RunGCOnce(w.ctx, gcNow)
					require.NoError(t, err)
				}
				w.check("dst")
				w.check("par")
				if !crashed {
					require.Greater(t, n, 10)
					return
				}
			}
		})
	}
}

// A chain of clones, each deleted with the checkpoints that users made, in every order; what
// is left reads on while everybody collects.
func TestE3_ChainOfClonesDeletedInEveryOrder(t *testing.T) {
	names := []string{"c0", "c1", "c2", "c3"}
	var orders [][]int
	var permute func(done []int)
	permute = func(done []int) {
		if len(done) == len(names) {
			orders = append(orders, slices.Clone(done))
			return
		}
		for i := range names {
			if !slices.Contains(done, i) {
				permute(append(done, i))
			}
		}
	}
	permute(nil)
	require.Len(t, orders, 24)
	for _, order := range orders {
		w := newWorld(t)
		var cks []Checkpoint
		for i, n := range names {
			if i > 0 {
				w.clone(n, CloneSource{Path: names[i-1], CheckpointID: cks[i-1].ID})
			}
			w.write(n, CloseFlushMemtable, "all", n, "only-"+n, n)
			ck, err := w.admin(n).CreateCheckpoint(w.ctx, &CheckpointOptions{Name: "user"})
			require.NoError(t, err)
			cks = append(cks, ck)
		}
		gcAll := func() {
			for _, n := range names {
				if w.want[n] != nil {
					_, err := w.admin(n).RunGCOnce(w.ctx, gcNow)
					require.NoError(t, err)
				}
			}
		}
		// First the checkpoints of the users go, in this order.
		for _, i := range order {
			require.NoError(t, w.admin(names[i]).DeleteCheckpoint(w.ctx, cks[i].ID))
			gcAll()
		}
		for _, n := range names {
			w.check(n)
		}
		// Then the clones, as far as nobody depends on them: a clone's tables are its parents'.
		for _, i := range slices.Backward(order) {
			if i < len(names)-1 && w.want[names[i+1]] != nil {
				continue
			}
			_, err := w.admin(names[i]).DeleteDB(w.ctx, true)
			require.NoError(t, err)
			delete(w.want, names[i])
			gcAll()
			for n := range w.want {
				w.check(n)
			}
		}
	}
}

// Splitting a database by keys and putting the parts together again gives the database.
func TestE5_UnionOfASplitIsTheDatabase(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 12 {
		w := newWorld(t)
		for range 3 {
			var kvs []string
			for range 20 {
				kvs = append(kvs, fmt.Sprintf("k%02d", r.IntN(60)), fmt.Sprint(r.IntN(1000)))
			}
			w.write("db", CloseFlushMemtable, kvs...)
		}
		cuts := []string{""}
		for range 1 + r.IntN(4) {
			cuts = append(cuts, fmt.Sprintf("k%02d", r.IntN(62)))
		}
		slices.Sort(cuts)
		cuts = slices.Compact(cuts)
		var parts []CloneSource
		for i, c := range cuts {
			rng := Range{Start: []byte(c)}
			if i+1 < len(cuts) {
				rng.End = []byte(cuts[i+1])
			}
			name := fmt.Sprint("part", i)
			w.clone(name, CloneSource{Path: "db", Range: rng})
			w.check(name)
			parts = append(parts, CloneSource{Path: name})
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		if len(parts) < 2 {
			continue
		}
		w.clone("whole", parts...)
		require.Equal(t, w.want["db"], w.want["whole"])
		w.check("whole")
		require.ErrorIs(t, w.admin("db").CreateClone(w.ctx, "twice", parts[0], CloneSource{Path: "db"}), ErrInvalid, "overlap")
		// Sources with nothing but fences in their WAL are fine: each part was opened.
		for _, p := range parts {
			w.write(p.Path, CloseNoFlush)
		}
		w.clone("again", parts...)
		w.check("again")
	}
}

// E1: every kind of handle reads a clone, whose tables are its parents'.
func TestE1_EveryHandleReadsAClone(t *testing.T) {
	w := newWorld(t)
	w.write("a/par", CloseFlushMemtable, "a", "1", "b", "2")
	w.clone("deep/er/mid", CloneSource{Path: "a/par"})
	w.write("deep/er/mid", CloseFlushMemtable, "c", "3")
	w.clone("clone", CloneSource{Path: "deep/er/mid"})
	for _, db := range []string{"deep/er/mid", "clone"} {
		w.check(db)
		d, err := Open(w.ctx, db, w.options())
		require.NoError(t, err)
		require.Equal(t, w.want[db], entryMap(t, d))
		require.NoError(t, d.Close(w.ctx))
		ck, err := w.admin(db).CreateCheckpoint(w.ctx, nil)
		require.NoError(t, err)
		p := testReader(t, w.store, db, ReaderOptions{CheckpointID: ck.ID})
		require.Equal(t, w.want[db], entryMap(t, p))
		vs, err := p.MultiGet(w.ctx, [][]byte{[]byte("a"), []byte("c"), []byte("x")}, nil)
		require.NoError(t, err)
		require.Equal(t, [][]byte{[]byte("1"), []byte("3"), nil}, vs)
		require.NoError(t, p.Close(w.ctx))
	}
}

// E4: the pin in a parent goes when the clone uses none of its tables any more, parent first,
// and not while an old version of the clone is still held.
func TestE4_DetachIsParentFirst(t *testing.T) {
	w := newWorld(t)
	w.write("par", CloseFlushMemtable, "a", "1")
	w.clone("clone", CloneSource{Path: "par"})
	held, err := w.admin("clone").CreateCheckpoint(w.ctx, nil)
	require.NoError(t, err)
	// What a compaction of everything would leave: no table of the parent.
	env := seam.New(seam.Env{})
	_, err = manifest.NewStore(w.store, "clone", env).Update(w.ctx, func(m *manifest.Manifest) error {
		m.Root = manifest.Tree{}
		m.TrimExternal()
		return nil
	})
	require.NoError(t, err)
	pins := func() int {
		list, err := w.admin("par").ListCheckpoints(w.ctx, "")
		require.NoError(t, err)
		n := 0
		for _, c := range list {
			if c.ExpireTime.IsZero() {
				n++
			}
		}
		return n
	}
	_, err = w.admin("clone").RunGCOnce(w.ctx, gcNow)
	require.NoError(t, err)
	require.Equal(t, 1, pins(), "an old version still needs the parent")
	require.NoError(t, w.admin("clone").DeleteCheckpoint(w.ctx, held.ID))
	// Killed between the two edits: the clone still names the parent, and the next pass ends it.
	s := faulty.New(w.store, nil)
	s.Script(faulty.Rule{Method: "put", Key: "clone/manifest/", Kind: faulty.ErrorBefore, Err: objstore.Permanent(faulty.ErrInjected)})
	a := testAdmin(t, s, "clone")
	_, _ = a.RunGCOnce(w.ctx, gcNow)
	require.Zero(t, pins(), "parent first")
	m, err := w.admin("clone").ReadManifest(w.ctx, 0)
	require.NoError(t, err)
	require.Len(t, m.External, 1)
	_, err = w.admin("clone").RunGCOnce(w.ctx, gcNow)
	require.NoError(t, err)
	m, err = w.admin("clone").ReadManifest(w.ctx, 0)
	require.NoError(t, err)
	require.Empty(t, m.External)
}

// A random chain of clones, projections and unions against maps.
func TestModelOfClones(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t)
		names := []string{"d0"}
		w.write("d0", CloseFlushMemtable, "k05", "x")
		for step := range 14 {
			db := names[r.IntN(len(names))]
			switch r.IntN(4) {
			case 0, 1:
				var kvs []string
				for range r.IntN(6) {
					kvs = append(kvs, fmt.Sprintf("k%02d", r.IntN(40)), fmt.Sprint(step))
				}
				w.write(db, CloseFlushMemtable, kvs...)
			case 2:
				src := CloneSource{Path: db}
				if r.IntN(2) == 0 {
					lo := r.IntN(39)
					src.Range = Range{Start: fmt.Appendf(nil, "k%02d", lo), End: fmt.Appendf(nil, "k%02d", lo+1+r.IntN(20)),
						StartExclusive: r.IntN(2) == 0, EndInclusive: r.IntN(2) == 0}
					if rng, _ := src.Range.clone(); rng.Empty() {
						continue
					}
				}
				dst := fmt.Sprint("d", len(names))
				w.clone(dst, src)
				names = append(names, dst)
			case 3:
				mid := fmt.Appendf(nil, "k%02d", r.IntN(40))
				other := names[r.IntN(len(names))]
				if other == db {
					continue
				}
				dst := fmt.Sprint("d", len(names))
				w.clone(dst, CloneSource{Path: db, Range: Range{End: mid}}, CloneSource{Path: other, Range: Range{Start: mid}})
				names = append(names, dst)
			}
			if r.IntN(3) == 0 {
				for _, n := range names {
					_, err := w.admin(n).RunGCOnce(w.ctx, gcNow)
					require.NoError(t, err)
				}
			}
			for _, n := range names {
				w.check(n)
			}
		}
	}
}
