package slatedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
	"github.com/slatedb/slatedb-go/sst"
)

// The scenarios of section K on the level of DB: damaged and hostile objects, foreign files,
// wrong places and wrong options.

// patched is a store in which one object has another body. Writes go through.
type patched struct {
	objstore.Store
	key  string
	body []byte
}

func (p *patched) Get(ctx context.Context, key string) (objstore.Object, error) {
	o, err := p.Store.Get(ctx, key)
	if err == nil && key == p.key {
		o.Body, o.Size = p.body, int64(len(p.body))
	}
	return o, err
}

func (p *patched) ReadAt(ctx context.Context, key string, b []byte, off int64) (int, error) {
	if key != p.key {
		return p.Store.ReadAt(ctx, key, b, off)
	}
	if off >= int64(len(p.body)) {
		return 0, objstore.ErrRange
	}
	n := copy(b, p.body[off:])
	if n < len(b) {
		return n, objstore.ErrRange
	}
	return n, nil
}

func (p *patched) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	a, err := p.Store.Head(ctx, key)
	if err == nil && key == p.key {
		a.Size = int64(len(p.body))
	}
	return a, err
}

func objects(t testing.TB, s objstore.Store) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for a, err := range s.List(context.Background(), "", "") {
		require.NoError(t, err)
		o, err := s.Get(context.Background(), a.Key)
		require.NoError(t, err)
		out[a.Key] = o.Body
	}
	return out
}

func storeOf(t testing.TB, objs map[string][]byte) objstore.Store {
	t.Helper()
	s := objstore.NewMemory()
	for k, b := range objs {
		_, err := s.Put(context.Background(), k, b, objstore.Always)
		require.NoError(t, err)
	}
	return s
}

// smallDB is a database with tables, WAL objects that were not flushed, deletes and expiries.
func smallDB(t testing.TB, codec Codec) (objs map[string][]byte, want []string) {
	t.Helper()
	ctx := context.Background()
	o := testOptions()
	o.MinFilterKeys, o.Compression, o.FlushInterval, o.ManifestPollInterval = -1, codec, -1, -1
	db, err := Open(ctx, "db", o)
	require.NoError(t, err)
	put := func(k, v string) { require.NoError(t, db.Put(ctx, []byte(k), []byte(v))) }
	put("a", "1")
	put("b", "two")
	_, err = db.PutWithOptions(ctx, []byte("c"), []byte("3"), &PutOptions{TTL: 1000 * time.Hour})
	require.NoError(t, err)
	require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	put("b", "newer")
	require.NoError(t, db.Delete(ctx, []byte("a")))
	put("d", "4")
	want = entryStrings(scanRows(t, db, All, nil))
	require.Len(t, want, 3)
	require.NoError(t, db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseFlushWAL}))
	return objects(t, o.Store), want
}

// answersRight reads everything in every way. Each answer is right or an ErrCorrupt.
func answersRight(t testing.TB, r ReadOps, want []string, what string) (damaged bool) {
	t.Helper()
	ctx := context.Background()
	for _, order := range []Order{Ascending, Descending} {
		var got []string
		var failed error
		for e, err := range r.Entries(ctx, All, &ScanOptions{Order: order}) {
			if failed = err; err == nil {
				got = append(got, entryStrings([]Entry{e})...)
			}
		}
		w := slices.Clone(want)
		if order == Descending {
			slices.Reverse(w)
		}
		if failed != nil {
			damaged = true
			if !errors.Is(failed, ErrCorrupt) {
				t.Fatalf("%s: scan: %v", what, failed)
			}
			w = w[:min(len(w), len(got))]
		}
		if !slices.Equal(w, got) {
			t.Fatalf("%s: scan order %d: silently wrong: want %v, got %v", what, order, w, got)
		}
	}
	for _, k := range []string{"a", "b", "c", "d", "e"} {
		e, err := r.GetEntry(ctx, []byte(k), nil)
		i := slices.IndexFunc(want, func(s string) bool { return strings.HasPrefix(s, fmt.Sprintf("%q=", k)) })
		switch {
		case errors.Is(err, ErrCorrupt):
			damaged = true
		case errors.Is(err, ErrNotFound) && i < 0:
		case err == nil && i >= 0 && want[i] == entryStrings([]Entry{e})[0]:
		default:
			t.Fatalf("%s: get %q: %v, %v", what, k, e, err)
		}
	}
	return damaged
}

// Every bit of every table and WAL object flipped, every truncation, and one byte appended:
// opening and reading give a typed error that names the object, or the right answer. Of a
// manifest, which carries no checksum, only that nothing panics or hangs is asked (K4).
func TestK3K4_EveryBitAndEveryTruncation(t *testing.T) {
	ctx := context.Background()
	codecs := []Codec{NoCompression, Snappy}
	if testing.Short() {
		codecs = codecs[:1]
	}
	for _, codec := range codecs {
		objs, want := smallDB(t, codec)
		base := storeOf(t, objs)
		tally := map[string][2]int{}
		try := func(key string, body []byte, what string, write bool) {
			t.Helper()
			kind := strings.Split(key, "/")[1]
			p := &patched{Store: base, key: key, body: body}
			if write {
				p.Store = storeOf(t, objs)
			}
			var h interface {
				ReadOps
				Close(context.Context) error
			}
			var err error
			if write {
				h, err = Open(ctx, "db", &Options{DisableCompactor: true, DisableGC: true, Store: p, Logger: quiet, ManifestPollInterval: -1, FlushInterval: -1, MaxRetries: 1, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
			} else {
				h, err = OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: p, Logger: quiet, MaxRetries: 1, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
			}
			n := tally[kind]
			defer func() { tally[kind] = n }()
			if err != nil {
				n[0]++
				var c *CorruptionError
				if kind != "manifest" && (!errors.Is(err, ErrCorrupt) || !errors.As(err, &c) || c.Object != key) {
					t.Fatalf("%s: open: %v, want a CorruptionError of %s", what, err, key)
				}
				if errors.Is(err, ErrInternal) {
					t.Fatalf("%s: open: %v", what, err)
				}
				return
			}
			if kind == "manifest" {
				n[1]++
				for _, err := range h.Entries(ctx, All, nil) {
					if errors.Is(err, ErrInternal) {
						t.Fatalf("%s: %v", what, err)
					}
				}
				if db, ok := h.(*DB); ok {
					_ = db.Put(ctx, []byte("x"), nil)
				}
				_ = h.Close(ctx)
				return
			}
			if answersRight(t, h, want, what) {
				n[0]++
			} else {
				n[1]++
			}
			if db, ok := h.(*DB); ok {
				_ = db.CloseWithOptions(ctx, &CloseOptions{Flush: CloseNoFlush})
			} else {
				_ = h.Close(ctx)
			}
		}
		keys := make([]string, 0, len(objs))
		for k := range objs {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		lastManifest := ""
		for _, k := range keys {
			if strings.Contains(k, "/manifest/") {
				lastManifest = k
			}
		}
		for _, key := range keys {
			body := objs[key]
			isManifest := strings.Contains(key, "/manifest/")
			if isManifest && key != lastManifest {
				continue // nobody reads the older ones
			}
			for i := range body {
				for bit := range 8 {
					// A writer is the dearer way to open and takes every eighth bit.
					write := (i+bit)%8 == 0
					if testing.Short() && (i*8+bit)%5 != 0 {
						continue
					}
					b := bytes.Clone(body)
					b[i] ^= 1 << bit
					try(key, b, fmt.Sprintf("%s byte %d bit %d", key, i, bit), write)
				}
			}
			for n := range len(body) {
				if n == 0 && strings.Contains(key, "/wal/") {
					continue // a WAL object of no bytes is a fence, by the format
				}
				try(key, body[:n], fmt.Sprintf("%s cut to %d", key, n), n%8 == 0)
			}
			try(key, append(bytes.Clone(body), 0), key+" and a byte", true)
			try(key, append(bytes.Clone(body), body...), key+" twice", false)
		}
		t.Logf("codec %d: errors and right answers by kind: %v", codec, tally)
		require.Positive(t, tally["wal"][0])
		require.Positive(t, tally["compacted"][0])
	}
}

// An object that is not there, or is another one's, is corruption of that object, never
// ErrNotFound and never the end of the log.
func TestK3_MissingAndSwappedObjects(t *testing.T) {
	ctx := context.Background()
	objs, want := smallDB(t, NoCompression)
	firstReplayed := sst.WALID(latestManifest(t, storeOf(t, objs)).ReplayAfterWAL + 1).Object("db")
	for key := range objs {
		if strings.Contains(key, "/manifest/") {
			continue
		}
		t.Run(key, func(t *testing.T) {
			if strings.Contains(key, "/compacted/") {
				s := storeOf(t, objs)
				require.NoError(t, s.Delete(ctx, key))
				o := testOptions()
				o.Store = s
				db := openTest(t, o)
				_, err := db.Get(ctx, []byte("c"))
				var c *CorruptionError
				require.ErrorAs(t, err, &c)
				require.Equal(t, key, c.Object)
				require.NotErrorIs(t, err, ErrNotFound)
			}
			for other, body := range objs {
				if other == key || strings.Contains(other, "/manifest/") {
					continue
				}
				if strings.Contains(key, "/wal/") && (len(body) == 0 || !strings.Contains(other, "/wal/") || key <= firstReplayed) {
					// A fence has no bytes; an object of the log does not say its number, so
					// what betrays a wrong one is the order of its rows behind another.
					continue
				}
				p := &patched{Store: storeOf(t, objs), key: key, body: body}
				r, err := OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: p, Logger: quiet, MaxRetries: 1, BlockCacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
				if err != nil {
					require.ErrorIs(t, err, ErrCorrupt, "%s instead of %s", other, key)
					continue
				}
				answersRight(t, r, want, other+" instead of "+key)
				require.NoError(t, r.Close(ctx))
			}
		})
	}
}

// latestManifest reads the newest manifest of a database.
func latestManifest(t testing.TB, s objstore.Store) *manifest.Manifest {
	t.Helper()
	m, err := manifest.NewStore(s, "db", seam.New(seam.Env{})).Latest(context.Background())
	require.NoError(t, err)
	return m
}

// plant writes m as the next manifest, without the checks of a writer.
func plant(t testing.TB, s objstore.Store, m *manifest.Manifest) {
	t.Helper()
	m = m.Clone()
	m.ID++
	body, err := m.Encode()
	require.NoError(t, err)
	_, err = s.Put(context.Background(), fmt.Sprintf("db/manifest/%020d.manifest", m.ID), body, objstore.IfAbsent())
	require.NoError(t, err)
}

// A manifest is data: paths in it that lead out of the database's store are refused before
// anything is asked of them, and no address in it is dialled.
func TestK5_HostilePathsInAManifest(t *testing.T) {
	ctx := context.Background()
	objs, _ := smallDB(t, NoCompression)
	for _, path := range []string{
		"..", "../other", "a/../../b", "/etc", "a//b", "a/", "./a", "a/.", "a\x00b", "", "file:///etc", "http://169.254.169.254/latest", "s3://bucket/x",
		strings.Repeat("../", 50) + "x",
	} {
		t.Run(fmt.Sprintf("%q", path), func(t *testing.T) {
			inner := storeOf(t, objs)
			m := latestManifest(t, inner).Clone()
			m.External = []manifest.ExternalDB{{Path: path, Tables: []ulid.ULID{m.Root.L0[0].Table.ID.ULID()}}}
			plant(t, inner, m)
			s := faulty.New(inner, nil)
			s.Record(true)
			before := len(objects(t, inner))
			o := testOptions()
			o.Store = s
			_, err := Open(ctx, "db", o)
			require.ErrorIs(t, err, ErrCorrupt)
			_, err = OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: s, Logger: quiet})
			require.ErrorIs(t, err, ErrCorrupt)
			for _, r := range s.Log() {
				require.True(t, strings.HasPrefix(r.Key, "db/"), "asked for %q", r.Key)
				require.NotContains(t, r.Key, "..")
			}
			require.Len(t, objects(t, inner), before, "nothing was claimed")
		})
	}
	// The address of a WAL store is compared with the options, never used.
	m := manifest.New("")
	m.WALObjectStoreURI = "http://169.254.169.254/"
	conf, err := (&Options{}).resolve()
	require.NoError(t, err)
	require.ErrorIs(t, (&DB{handle: &handle{conf: conf}}).mayWrite(m), ErrInvalid)
}

// A compressed block says how long it is only inside; what grows beyond all bounds is refused
// without the memory for it (K6, and K2 for lengths).
func TestK2_HostileLengthsInAManifest(t *testing.T) {
	ctx := context.Background()
	objs, _ := smallDB(t, NoCompression)
	for name, change := range map[string]func(*sst.Info){
		"index far away":   func(i *sst.Info) { i.IndexOffset = 1 << 62 },
		"index huge":       func(i *sst.Info) { i.IndexLen = 1 << 62 },
		"index 8 GiB":      func(i *sst.Info) { i.IndexLen = 8 << 30 },
		"filter huge":      func(i *sst.Info) { i.FilterLen = 1<<64 - 1 },
		"filter overflows": func(i *sst.Info) { i.FilterOffset, i.FilterLen = 1<<63, 1<<63 },
		"statistics huge":  func(i *sst.Info) { i.StatsLen = 1 << 40 },
		"no index":         func(i *sst.Info) { i.IndexLen = 0 },
		"wrong codec":      func(i *sst.Info) { i.Codec = Zstd },
	} {
		t.Run(name, func(t *testing.T) {
			s := storeOf(t, objs)
			m := latestManifest(t, s).Clone()
			h := *m.Root.L0[0].Table
			change(&h.Info)
			m.Root.L0[0].Table = &h
			plant(t, s, m)
			o := testOptions()
			o.Store = s
			db, err := Open(ctx, "db", o)
			if err != nil {
				require.ErrorIs(t, err, ErrCorrupt)
				return
			}
			defer db.Close(ctx)
			_, err = db.Get(ctx, []byte("c"))
			require.ErrorIs(t, err, ErrCorrupt)
			it, err := db.Scan(ctx, nil, nil)
			require.NoError(t, err)
			for it.Next() {
			}
			require.ErrorIs(t, it.Close(), ErrCorrupt)
		})
	}
}

// Names that are no ids are none of ours: they are neither read nor in the way. An object
// with a right name and wrong bytes is corruption.
func TestK_ForeignFiles(t *testing.T) {
	ctx := context.Background()
	objs, want := smallDB(t, NoCompression)
	s := storeOf(t, objs)
	for _, name := range []string{
		"db/README", "db/manifest/latest", "db/manifest/1.manifest", "db/manifest/99999999999999999999.manifest", "db/manifest/0000000000000000000a.manifest",
		"db/manifest/00000000000000000000.manifest", "db/manifest/00000000000000000009.manifest.tmp", "db/manifest/00000000000000000009.manifest/x",
		"db/manifest/ 0000000000000000009.manifest", "db/manifest/+0000000000000000009.manifest", "db/manifest/~",
		"db/wal/garbage", "db/wal/7.sst", "db/wal/99999999999999999999.sst", "db/wal/00000000000000000009.sst.tmp", "db/wal/~", "db/wal/sub/00000000000000000009.sst",
		"db/compacted/garbage.sst", "db/compacted/00000000000000000000000000.sst", "db/compacted/~.sst", "db/gc/other", "db2/manifest/00000000000000000099.manifest",
	} {
		_, err := s.Put(ctx, name, []byte("garbage"), objstore.Always)
		require.NoError(t, err)
	}
	for range 2 {
		r, err := OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, PollInterval: -1, Store: s, Logger: quiet})
		require.NoError(t, err)
		require.Equal(t, want, entryStrings(scanRows(t, r, All, nil)))
		require.NoError(t, r.Close(ctx))
		o := testOptions()
		o.Store = s
		db, err := Open(ctx, "db", o)
		require.NoError(t, err)
		require.Equal(t, want, entryStrings(scanRows(t, db, All, nil)))
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		require.NoError(t, db.Close(ctx))
	}
	key := fmt.Sprintf("db/manifest/%020d.manifest", latestManifest(t, s).ID+1)
	for _, body := range [][]byte{nil, {0}, []byte("garbage"), make([]byte, 1<<16)} {
		_, err := s.Put(ctx, key, body, objstore.Always)
		require.NoError(t, err)
		o := testOptions()
		o.Store = s
		_, err = Open(ctx, "db", o)
		var c *CorruptionError
		require.ErrorAs(t, err, &c)
		require.Equal(t, key, c.Object)
		_, err = OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, Store: s, Logger: quiet})
		require.ErrorIs(t, err, ErrCorrupt)
	}
	for _, body := range []string{"x", "-1", "99999999999999999999", strings.Repeat("9", 1<<16)} {
		s := storeOf(t, objs)
		_, err := s.Put(ctx, "db/gc/manifest.boundary", []byte(body), objstore.Always)
		require.NoError(t, err)
		o := testOptions()
		o.Store = s
		_, err = Open(ctx, "db", o)
		require.ErrorIs(t, err, ErrCorrupt, "boundary %q", body[:min(30, len(body))])
	}
}

// A half-made clone is nobody's database yet: it is refused and nothing is claimed.
func TestK_HalfMadeDatabase(t *testing.T) {
	ctx := context.Background()
	s := objstore.NewMemory()
	m := manifest.New("")
	m.Initialized = false
	plant(t, s, m)
	before := objects(t, s)
	o := testOptions()
	o.Store = s
	_, err := Open(ctx, "db", o)
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "half-made")
	_, err = OpenReader(ctx, "db", &ReaderOptions{Mode: FollowLatest, Store: s, Logger: quiet})
	require.ErrorIs(t, err, ErrCorrupt)
	require.Equal(t, before, objects(t, s))
	_, err = OpenReader(ctx, "none", &ReaderOptions{Mode: FollowLatest, Store: s, Logger: quiet})
	require.ErrorIs(t, err, ErrNoDatabase)
	require.ErrorIs(t, err, ErrCorrupt)
	require.NotErrorIs(t, err, ErrNotFound)
}

// Places that cannot be opened give a typed error that says what is wrong.
func TestK_Locations(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	open := func(loc string) error {
		db, err := Open(ctx, loc, &Options{DisableCompactor: true, DisableGC: true, Logger: quiet, MaxRetries: 1})
		if err == nil {
			_ = db.Close(ctx)
		}
		_, rerr := OpenReader(ctx, loc, &ReaderOptions{Mode: FollowLatest, Logger: quiet, MaxRetries: 1})
		require.Error(t, rerr, loc)
		return err
	}
	for loc, say := range map[string]string{
		"": "empty", "nope://bucket/x": `"nope"`, "a\x00b": "NUL", "file://host/x": "host", "memory:///a/../b": "",
	} {
		err := open(loc)
		require.ErrorIs(t, err, ErrInvalid, "%q", loc)
		require.ErrorContains(t, err, say, "%q", loc)
	}
	for loc, pkg := range map[string]string{"s3://b/p": "objstore/s3", "gs://b/p": "objstore/gcs", "az://c/p": "objstore/azure"} {
		err := open(loc)
		if err == nil || !errors.Is(err, ErrInvalid) {
			continue // the provider is linked into this test binary
		}
		require.ErrorContains(t, err, pkg)
	}
	for _, loc := range []string{file, filepath.Join(file, "sub"), filepath.Join(file, "a", "b")} {
		err := open(loc)
		require.Error(t, err, loc)
		require.True(t, errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid), "%v", err)
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "x", string(b), "the file is untouched")
	}
	o := testOptions()
	for _, path := range []string{"..", "../x", "a/../../b", "/a", "a//b", "a\x00"} {
		_, err := Open(ctx, path, o)
		require.ErrorIs(t, err, ErrInvalid, "%q", path)
		_, err = OpenReader(ctx, path, &ReaderOptions{Mode: FollowLatest, Store: o.Store})
		require.ErrorIs(t, err, ErrInvalid, "%q", path)
	}
	require.Empty(t, objects(t, o.Store))
	if os.Geteuid() == 0 {
		t.Log("root may write everywhere: the unwritable directory is left out")
		return
	}
	ro := filepath.Join(dir, "ro")
	require.NoError(t, os.Mkdir(ro, 0o500))
	err := open(filepath.Join(ro, "db"))
	require.True(t, errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid), "%v", err)
}

// Every option out of its range is ErrInvalid under its own name, before the store is asked
// anything.
func TestK_BadOptionsNameTheField(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		field string
		set   func(*Options)
	}{
		{"BlockSize", func(o *Options) { o.BlockSize = -1 }},
		{"BlockSize", func(o *Options) { o.BlockSize = 512 }},
		{"BlockSize", func(o *Options) { o.BlockSize = 5000 }},
		{"BlockSize", func(o *Options) { o.BlockSize = 128 << 10 }},
		{"L0SSTSizeBytes", func(o *Options) { o.L0SSTSizeBytes = -1 }},
		{"MaxUnflushedBytes", func(o *Options) { o.MaxUnflushedBytes = -1 }},
		{"MaxUnflushedBytes", func(o *Options) { o.MaxUnflushedBytes = 1 }},
		{"MaxUnflushedBytes", func(o *Options) { o.MaxUnflushedBytes, o.L0SSTSizeBytes = 1<<20, 1<<20 }},
		{"L0SSTSizeBytes", func(o *Options) { o.L0SSTSizeBytes = 1 << 30 }},
		{"MaxWALFlushesBeforeL0Flush", func(o *Options) { o.MaxWALFlushesBeforeL0Flush = 4095 }},
		{"MaxWALFlushesBeforeL0Flush", func(o *Options) { o.MaxWALFlushesBeforeL0Flush = -1 }},
		{"L0FlushParallelism", func(o *Options) { o.L0FlushParallelism = -1 }},
		{"L0MaxSSTs", func(o *Options) { o.L0MaxSSTs = -1 }},
		{"L0MaxSSTsPerKey", func(o *Options) { o.L0MaxSSTsPerKey = -1 }},
		{"Compression", func(o *Options) { o.Compression = 99 }},
		{"MinFlushGap", func(o *Options) { o.MinFlushGap = -1 }},
		{"BlockCache", func(o *Options) { o.BlockCache = sharedCache(); o.BlockCacheBytes = 1 }},
		{"BlockCache", func(o *Options) { o.BlockCache = sharedCache(); o.MetaCacheBytes = 1 }},
		{"SegmentExtractor", func(o *Options) { o.SegmentExtractor = slash("") }},
		{"FilterPolicies[1]", func(o *Options) { o.FilterPolicies = []FilterPolicy{BloomFilter(10, BloomOptions{}), nil} }},
		{"FilterPolicies[0]", func(o *Options) {
			o.FilterPolicies = []FilterPolicy{BloomFilter(10, BloomOptions{Extractor: slash(strings.Repeat("x", 1<<16))})}
		}},
	} {
		o := testOptions()
		s := faulty.New(o.Store, nil)
		o.Store, o.BlockCacheBytes, o.MetaCacheBytes = s, 0, 0
		c.set(o)
		err := o.Validate()
		require.ErrorIs(t, err, ErrInvalid, c.field)
		require.ErrorContains(t, err, c.field)
		_, err = Open(ctx, "db", o)
		require.ErrorIs(t, err, ErrInvalid, c.field)
		require.ErrorContains(t, err, c.field)
		require.Zero(t, s.Requests(), c.field)
	}
	require.NoError(t, (*Options)(nil).Validate())
	require.NoError(t, (&Options{}).Validate())
	require.NoError(t, (&Options{FlushInterval: -1, ManifestPollInterval: -1, MinFilterKeys: -1, DefaultTTL: -1, BlockCacheBytes: -1, MetaCacheBytes: -1, ManifestUpdateTimeout: -1}).Validate())
	for _, o := range []*ReaderOptions{{Mode: 9}, {Mode: PinnedCheckpoint}} {
		s := faulty.New(objstore.NewMemory(), nil)
		o.Store = s
		_, err := OpenReader(ctx, "db", o)
		require.ErrorIs(t, err, ErrInvalid)
		require.ErrorContains(t, err, "ReaderOptions.")
		require.Zero(t, s.Requests())
	}
}

// A database that cannot be opened with the given options is refused before its running writer
// is fenced: no epoch, no fence, and the writer goes on.
func TestK_FailedOpenNeverFencesARunningWriter(t *testing.T) {
	ctx := context.Background()
	for _, extractor := range []PrefixExtractor{nil, slash("slash")} {
		inner := objstore.NewMemory()
		o := testOptions()
		o.Store, o.SegmentExtractor, o.ManifestPollInterval = inner, extractor, -1
		db := openTest(t, o)
		require.NoError(t, db.Put(ctx, []byte("tenant/1"), []byte("v")))
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
		epoch := latestManifest(t, inner).WriterEpoch
		before := objects(t, inner)
		attempts := map[string]func(*Options){
			"bad option":      func(o *Options) { o.L0MaxSSTs = -1 },
			"other extractor": func(o *Options) { o.SegmentExtractor = slash("other") },
			"dishonest store": func(o *Options) {
				s := faulty.New(inner, nil)
				s.SetProperties(func(p *objstore.Properties) { p.IfAbsent = false })
				o.Store = s
			},
			"dishonest WAL store": func(o *Options) {
				s := faulty.New(objstore.NewMemory(), nil)
				s.SetProperties(func(p *objstore.Properties) { p.IfAbsent = false })
				o.WALStore = s
			},
		}
		if extractor == nil {
			attempts["an extractor for a database without"] = func(o *Options) { o.SegmentExtractor = slash("slash") }
		} else {
			attempts["no extractor"] = func(o *Options) { o.SegmentExtractor = nil }
			attempts["an extractor that disagrees"] = func(o *Options) { o.SegmentExtractor = named{fixed3{}, "slash"} }
			attempts["an extractor that panics"] = func(o *Options) { o.SegmentExtractor = panicExtractor("slash") }
		}
		for name, change := range attempts {
			bad := *o
			change(&bad)
			_, err := Open(ctx, "db", &bad)
			require.ErrorIs(t, err, ErrInvalid, name)
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		_, err := Open(gone, "db", o)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, before, objects(t, inner), "nothing was written")
		require.Equal(t, epoch, latestManifest(t, inner).WriterEpoch)
		require.NoError(t, db.Put(ctx, []byte("tenant/2"), []byte("v")))
		require.NoError(t, db.FlushWithOptions(ctx, &FlushOptions{Type: FlushMemtable}))
	}
}

type named struct {
	PrefixExtractor
	name string
}

func (n named) Name() string { return n.name }

type panicExtractor string

func (p panicExtractor) Name() string                     { return string(p) }
func (panicExtractor) PrefixLen([]byte, bool) (int, bool) { panic("extractor") }
