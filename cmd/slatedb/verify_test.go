package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// verified runs the command and returns its report.
func verified(t *testing.T, location string, code int) verifyReport {
	t.Helper()
	r := slate(t, "verify", "--json", location)
	require.Equal(t, code, r.code, "%s%s", r.out, r.err)
	var v verifyReport
	require.NoError(t, json.Unmarshal([]byte(r.out), &v), "%s", r.out)
	assert.Equal(t, code == 0, v.Intact)
	return v
}

// goldenDBs are all databases of the original engine, as store and path.
func goldenDBs(t *testing.T) (out [][2]string) {
	t.Helper()
	stores, err := filepath.Glob(goldenDir + "/db018/*/store")
	require.NoError(t, err)
	for _, s := range append(stores, goldenDir+"/db/store/golden") {
		dbs, err := os.ReadDir(s)
		require.NoError(t, err)
		for _, d := range dbs {
			rel, _ := filepath.Rel(goldenDir, s)
			if strings.HasSuffix(rel, "golden") {
				out = append(out, [2]string{filepath.Dir(rel), "golden/" + d.Name()})
			} else {
				out = append(out, [2]string{rel, d.Name()})
			}
		}
	}
	require.Greater(t, len(out), 25)
	return out
}

func TestVerifyFindsGoldenDatabasesIntact(t *testing.T) {
	for _, db := range goldenDBs(t) {
		t.Run(filepath.ToSlash(filepath.Join(db[0], db[1])), func(t *testing.T) {
			root, err := filepath.Abs(filepath.Join(goldenDir, db[0]))
			require.NoError(t, err)
			args := []string{"verify", "--json", filepath.Join(root, db[1]) + "?root=" + root}
			if strings.Contains(db[0], "transform") {
				r := slate(t, args...)
				assert.Equal(t, 1, r.code, "blocks that cannot be read are not intact")
				args = append(args, "--opaque")
			}
			r := slate(t, args...)
			require.Equal(t, 0, r.code, "%s", r.out)
			var v verifyReport
			require.NoError(t, json.Unmarshal([]byte(r.out), &v))
			assert.Empty(t, v.Damage)
			assert.Empty(t, v.Warnings)
			assert.NotZero(t, v.Checked.Manifests)
			assert.NotZero(t, v.Checked.Tables+v.Checked.WAL)
			assert.Contains(t, r.err, "verified 100%")
		})
	}
}

// A victim is a copy of a golden database that a test damages.
type victim struct {
	t     *testing.T
	store objstore.Store
	root  string
	ms    *manifest.Store
}

func newVictim(t *testing.T, store, db string) (*victim, string) {
	t.Helper()
	location := goldenCopy(t, store, db)
	s, root, err := objstore.Resolve(t.Context(), location)
	require.NoError(t, err)
	return &victim{t, s, root, manifest.NewStore(s, root, seam.New(seam.Env{}))}, location
}

func (v *victim) get(key string) []byte {
	v.t.Helper()
	o, err := v.store.Get(context.Background(), key)
	require.NoError(v.t, err)
	return bytes.Clone(o.Body)
}

func (v *victim) put(key string, body []byte) {
	v.t.Helper()
	_, err := v.store.Put(context.Background(), key, body, objstore.Always)
	require.NoError(v.t, err)
}

func (v *victim) remove(key string) {
	v.t.Helper()
	require.NoError(v.t, v.store.Delete(context.Background(), key))
}

// flip changes one byte of an object.
func (v *victim) flip(key string, at uint64) {
	v.t.Helper()
	b := v.get(key)
	b[at] ^= 0x40
	v.put(key, b)
}

func (v *victim) latest() *manifest.Manifest {
	v.t.Helper()
	// A store of its own: others remember what they have read.
	m, err := manifest.NewStore(v.store, v.root, seam.New(seam.Env{})).Latest(context.Background())
	require.NoError(v.t, err)
	return m
}

// edit overwrites the newest manifest, which no engine does.
func (v *victim) edit(f func(m *manifest.Manifest)) {
	v.t.Helper()
	old := v.latest()
	m := old.Clone()
	f(m)
	body, err := m.Encode()
	require.NoError(v.t, err)
	v.put(v.ms.Key(old.ID), body)
}

// table returns an L0 table of the newest manifest.
func (v *victim) table() (*sst.Handle, string) {
	h := v.latest().Root.L0[0].Table
	return h, h.ID.Object(v.root)
}

func (v *victim) wal(id uint64) string { return sst.WALID(id).Object(v.root) }

// seal computes a section's checksum again.
func seal(body []byte, off, n uint64) {
	binary.BigEndian.PutUint32(body[off+n-4:], crc32.ChecksumIEEE(body[off:off+n-4]))
}

// goldenNone has filters and statistics in all tables, no compression, an L0 of several
// tables, a checkpoint, and log objects to replay. goldenRun has a sorted run of three tables.
const (
	goldenNone = "db018/none/store"
	goldenRun  = "db018/aligned/store"
)

func TestVerifyFindsDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		store  string // goldenNone when empty
		damage func(v *victim) (object string, offset int64)
		want   string
	}{
		{"flipped bit in a block", "", func(v *victim) (string, int64) {
			_, key := v.table()
			v.flip(key, 17)
			return key, 0
		}, "checksum mismatch"},
		{"flipped bit in the index", "", func(v *victim) (string, int64) {
			h, key := v.table()
			v.flip(key, h.Info.IndexOffset+3)
			return key, int64(h.Info.IndexOffset)
		}, "checksum mismatch"},
		{"flipped bit in the filter", "", func(v *victim) (string, int64) {
			h, key := v.table()
			v.flip(key, h.Info.FilterOffset+20)
			return key, int64(h.Info.FilterOffset)
		}, "checksum mismatch"},
		{"flipped bit in the statistics", "", func(v *victim) (string, int64) {
			h, key := v.table()
			v.flip(key, h.Info.StatsOffset+5)
			return key, int64(h.Info.StatsOffset)
		}, "checksum mismatch"},
		{"flipped bit in the metadata", "", func(v *victim) (string, int64) {
			_, key := v.table()
			b := v.get(key)
			at := binary.BigEndian.Uint64(b[len(b)-10:])
			v.flip(key, at+8)
			return key, int64(at)
		}, "checksum mismatch"},
		{"table cut short", "", func(v *victim) (string, int64) {
			_, key := v.table()
			b := v.get(key)
			v.put(key, b[:len(b)/2])
			return key, -2
		}, ""},
		{"empty table", "", func(v *victim) (string, int64) {
			_, key := v.table()
			v.put(key, nil)
			return key, 0
		}, "object of 0 bytes"},
		{"missing table", "", func(v *victim) (string, int64) {
			_, key := v.table()
			v.remove(key)
			return key, -1
		}, "missing, but needed by manifest"},
		{"another table under its name", goldenRun, func(v *victim) (string, int64) {
			_, key := v.table()
			v.put(key, v.get(v.latest().Root.Runs[0].Views[0].Table.ID.Object(v.root)))
			return key, -1
		}, "differ: First is"},
		{"keys out of order", "", func(v *victim) (string, int64) {
			key := replaceTable(v, func(b []byte, i *sst.Info) {
				b[bytes.Index(b, []byte("m\xb5"))] = 'A'
				seal(b, 0, firstSection(i))
			})
			return key, 0
		}, "stands behind key"},
		{"statistics that lie", "", func(v *victim) (string, int64) {
			var at uint64
			key := replaceTable(v, func(b []byte, i *sst.Info) {
				at = i.StatsOffset
				s := b[at : at+i.StatsLen]
				n := bytes.Index(s, binary.LittleEndian.AppendUint64(nil, 1235)) // value bytes
				require.GreaterOrEqual(v.t, n, 0)
				s[n]++
				seal(b, at, i.StatsLen)
			})
			return key, int64(at)
		}, "statistics say 1236 value bytes, there are 1235"},
		{"filter that denies a key", "", func(v *victim) (string, int64) {
			var at uint64
			key := replaceTable(v, func(b []byte, i *sst.Info) {
				at = i.FilterOffset
				o, err := sst.OpenObject("", b, nil)
				require.NoError(v.t, err)
				m, err := o.Meta()
				require.NoError(v.t, err)
				n := bytes.Index(b[at:], m.Filters[0].Data)
				require.Positive(v.t, n)
				clear(b[at+uint64(n)+2:][:len(m.Filters[0].Data)-2]) // all bits behind the number of probes
				seal(b, at, i.FilterLen)
			})
			return key, int64(at)
		}, "denies key"},
		{"rows newer than the manifest says", "", func(v *victim) (string, int64) {
			_, key := v.table()
			v.edit(func(m *manifest.Manifest) { m.LastL0Seq = 3 })
			return key, -2
		}, "but tables of manifest"},
		{"L0 tables the wrong way round", "", func(v *victim) (string, int64) {
			v.edit(func(m *manifest.Manifest) {
				require.Greater(v.t, len(m.Root.L0), 1)
				m.Root.L0[0], m.Root.L0[1] = m.Root.L0[1], m.Root.L0[0]
			})
			_, key := v.table()
			return key, -1
		}, "L0 table with seqs from"},
		{"views of a run that overlap", goldenRun, func(v *victim) (string, int64) {
			// Without a last key the manifest alone does not show it.
			h := *v.latest().Root.Runs[0].Views[0].Table
			h.Info.Last = nil
			v.edit(func(m *manifest.Manifest) {
				w := sst.View{ID: ulid.ULID{1}, Table: &h}
				m.Root.Runs[0].Views = []sst.View{w, w}
			})
			return h.ID.Object(v.root), -1
		}, "begins with key"},
		{"a segment with another's rows", "db018/segments/store", func(v *victim) (string, int64) {
			var key string
			v.edit(func(m *manifest.Manifest) {
				m.Segments[0].Prefix = []byte("Z/")
				for w := range m.Segments[0].Views() {
					key = w.Table.ID.Object(v.root)
				}
			})
			return key, -1
		}, "is in segment Z/"},
		{"flipped bit in the log", "", func(v *victim) (string, int64) {
			key := v.wal(v.latest().ReplayAfterWAL + 1)
			v.flip(key, 9)
			return key, 0
		}, "checksum mismatch"},
		{"log object cut to a few bytes", "", func(v *victim) (string, int64) {
			key := v.wal(v.latest().ReplayAfterWAL + 1)
			v.put(key, v.get(key)[:5])
			return key, 0
		}, "object of 5 bytes"},
		{"hole in the log", "db018/zstd/store", func(v *victim) (string, int64) {
			key := v.wal(v.latest().ReplayAfterWAL + 2)
			v.remove(key)
			return key, -1
		}, "missing, but needed by the replay"},
		{"log whose end is gone", "db018/zstd/store", func(v *victim) (string, int64) {
			m := v.latest()
			require.Greater(v.t, m.WALLastSeen, m.ReplayAfterWAL)
			for id := m.ReplayAfterWAL + 1; id < m.WALLastSeen+10; id++ {
				v.remove(v.wal(id))
			}
			return v.wal(m.ReplayAfterWAL + 1), -1
		}, "missing"},
		{"log object stored twice", "db018/zstd/store", func(v *victim) (string, int64) {
			from := v.latest().ReplayAfterWAL + 1
			for len(v.get(v.wal(from))) == 0 {
				from++
			}
			v.put(v.wal(from+1), v.get(v.wal(from)))
			return v.wal(from + 1), -1
		}, "the log before it goes up to"},
		{"replay point behind rows that no table has", "", func(v *victim) (string, int64) {
			last := uint64(0)
			v.edit(func(m *manifest.Manifest) {
				last = m.ReplayAfterWAL
				m.LastL0Seq = 1
			})
			return v.wal(last), -1
		}, "but replay begins behind it"},
		{"newest manifest unreadable", "", func(v *victim) (string, int64) {
			key := v.ms.Key(v.latest().ID)
			v.put(key, []byte("nonsense"))
			return key, -1
		}, "this is the newest manifest"},
		{"old manifest unreadable", "", func(v *victim) (string, int64) {
			key := v.ms.Key(2)
			v.put(key, v.get(key)[:30])
			return key, -2
		}, ""},
		{"pinned manifest missing", "", func(v *victim) (string, int64) {
			c := v.latest().Checkpoints[0]
			v.remove(v.ms.Key(c.ManifestID))
			return v.ms.Key(c.ManifestID), -1
		}, "pins it"},
		{"manifest that goes back", "", func(v *victim) (string, int64) {
			v.edit(func(m *manifest.Manifest) { m.WriterEpoch = 0 })
			return v.ms.Key(v.latest().ID), -1
		}, "writer epoch goes back from 1 to 0"},
		{"boundary above the newest manifest", "", func(v *victim) (string, int64) {
			key := v.ms.Boundary().Key()
			v.put(key, []byte("4711"))
			return key, -1
		}, "ids up to 4711 are dead"},
		{"boundary that is no number", "", func(v *victim) (string, int64) {
			key := v.ms.Boundary().Key()
			v.put(key, []byte("x"))
			return key, -1
		}, "not a number"},
		{"job list unreadable", "", func(v *victim) (string, int64) {
			key := manifest.NewCompactionsStore(v.store, v.root, seam.New(seam.Env{})).Key(2)
			v.put(key, []byte{1, 2, 3})
			return key, -1
		}, ""},
		{"output of a finished merge missing", "", func(v *victim) (string, int64) {
			cs := manifest.NewCompactionsStore(v.store, v.root, seam.New(seam.Env{}))
			h := *v.latest().Root.L0[0].Table
			h.ID = sst.TableID(ulid.MustNew(ulid.MaxTime(), bytes.NewReader(make([]byte, 16))))
			_, err := cs.Latest(context.Background())
			require.NoError(v.t, err)
			_, err = cs.Update(context.Background(), func(c *manifest.Compactions) error {
				c.Jobs = append(c.Jobs, manifest.Compaction{ID: h.ID.ULID(), Status: manifest.Compacted, Outputs: []*sst.Handle{&h}})
				return nil
			})
			require.NoError(v.t, err)
			return h.ID.Object(v.root), -1
		}, "missing, but needed by compaction"},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := c.store
			if store == "" {
				store = goldenNone
			}
			v, location := newVictim(t, store, "db")
			object, offset := c.damage(v)
			r := verified(t, location, 1)
			found := ""
			for _, f := range r.Damage {
				if f.Object == object && strings.Contains(f.Problem, c.want) && (f.Offset == offset || offset == -2) {
					found = f.Problem
				}
			}
			assert.NotEmpty(t, found, "want %q in %s at %d, got %+v", c.want, object, offset, r.Damage)

			text := slate(t, "verify", "--quiet", location)
			assert.Equal(t, 1, text.code)
			assert.Contains(t, text.out, "problem")
			assert.Contains(t, text.out, object)
			assert.NotContains(t, text.out, "intact")
			assert.Empty(t, text.err)
		})
	}
}

// replaceTable puts a table made here, and spoiled, into L0 and the manifest.
func replaceTable(v *victim, spoil func(body []byte, i *sst.Info)) string {
	v.t.Helper()
	w := sst.NewWriter(sst.WriterOptions{MinFilterKeys: -1, Policies: []sst.FilterPolicy{sst.Bloom(10, sst.BloomOptions{})}})
	for i, key := range []string{"a", "m\xb5", "z"} {
		value := bytes.Repeat([]byte("v"), 411+i)
		if i == 2 {
			value = value[:412]
		}
		require.NoError(v.t, w.Add(&kv.Entry{Key: []byte(key), Value: value, Seq: v.latest().LastL0Seq, CreateTS: kv.NoTS, ExpireTS: kv.NoTS}))
	}
	body, info, err := w.Finish()
	require.NoError(v.t, err)
	spoil(body, &info)
	h := &sst.Handle{ID: v.latest().Root.L0[0].Table.ID, Format: sst.FormatV2, Info: info}
	v.edit(func(m *manifest.Manifest) {
		m.Root.L0 = []sst.View{{ID: h.ID.ULID(), Table: h}}
		m.Checkpoints = nil
	})
	key := h.ID.Object(v.root)
	v.put(key, body)
	return key
}

// firstSection is where the data of a table with one block ends.
func firstSection(i *sst.Info) uint64 {
	if i.FilterLen > 0 {
		return i.FilterOffset
	}
	return i.IndexOffset
}

func TestReplacedTableIsCleanUntilItIsSpoiled(t *testing.T) {
	v, location := newVictim(t, goldenNone, "db")
	replaceTable(v, func([]byte, *sst.Info) {})
	verified(t, location, 0)
}

func TestVerifyNamesEveryDamagedBlock(t *testing.T) {
	v, location := newVictim(t, goldenRun, "db")
	h := v.latest().Root.Runs[0].Views[0].Table
	key := h.ID.Object(v.root)
	o, err := sst.OpenObject(key, v.get(key), nil)
	require.NoError(t, err)
	require.Greater(t, o.Index().Len(), 3)
	for _, i := range []int{1, 3} {
		v.flip(key, o.Index().Offset(i)+7)
	}
	r := verified(t, location, 1)
	require.Len(t, r.Damage, 2)
	for n, i := range []int{1, 3} {
		assert.Equal(t, int64(o.Index().Offset(i)), r.Damage[n].Offset)
	}
}

func TestVerifyOfAClone(t *testing.T) {
	v, location := newVictim(t, "db018/clones/store", "clone")
	verified(t, location, 0)

	parent := manifest.NewStore(v.store, "par", seam.New(seam.Env{}))
	m, err := parent.Latest(t.Context())
	require.NoError(t, err)
	final := v.latest().External[0].FinalCheckpoint
	require.NotEqual(t, uuid.Nil, final)
	_, err = parent.Update(t.Context(), func(m *manifest.Manifest) error {
		for i := range m.Checkpoints {
			if m.Checkpoints[i].ID == final {
				m.Checkpoints = append(m.Checkpoints[:i:i], m.Checkpoints[i+1:]...)
				return nil
			}
		}
		return fmt.Errorf("checkpoint %s is not in manifest %d", final, m.ID)
	})
	require.NoError(t, err)
	r := verified(t, location, 1)
	require.Len(t, r.Damage, 1)
	assert.Equal(t, parent.Key(m.ID+1), r.Damage[0].Object)
	assert.Contains(t, r.Damage[0].Problem, "is gone")

	borrowed := v.latest().External[0].Tables[0]
	v.remove(sst.TableID(borrowed).Object("par"))
	r = verified(t, location, 1)
	assert.Len(t, r.Damage, 2)
	assert.Equal(t, sst.TableID(borrowed).Object("par"), r.Damage[0].Object)
}

func TestVerifyListsOrphans(t *testing.T) {
	v, location := newVictim(t, goldenNone, "db")
	old := ulid.MustNew(1000, bytes.NewReader(make([]byte, 16)))
	v.put(sst.TableID(old).Object("db"), []byte("left behind"))
	v.put("db/compacted/notes.txt", []byte("hello"))
	v.put("db/wal/7.sst", nil)
	r := verified(t, location, 0)
	require.Len(t, r.Orphans, 3)
	assert.Equal(t, orphan{sst.TableID(old).Object("db"), 11, "no stored manifest names it"}, r.Orphans[0])
	assert.Equal(t, "not a name that a database uses", r.Orphans[1].Reason)
	assert.Equal(t, "db/wal/7.sst", r.Orphans[2].Object)
	assert.Contains(t, slate(t, "verify", location).out, "orphans")
}

func TestVerifyOpaqueStillChecksSums(t *testing.T) {
	v, location := newVictim(t, "db018/transform/store", "db")
	h, key := v.table()
	v.flip(key, h.Info.StatsOffset+1)
	r := slate(t, "verify", "--opaque", "--quiet", location)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.out, "statistics: checksum mismatch")
}

// A manifest has no checksum: whatever number it holds, verify ends.
func TestVerifyOfAbsurdNumbers(t *testing.T) {
	v, location := newVictim(t, goldenNone, "db")
	v.edit(func(m *manifest.Manifest) { m.WALLastSeen = 1<<64 - 1 })
	r := verified(t, location, 1)
	assert.Contains(t, r.Damage[len(r.Damage)-1].Problem, "18446744073709551615")
}

func TestVerifyWhereNothingIs(t *testing.T) {
	r := slate(t, "verify", filepath.Join(t.TempDir(), "nothing"))
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "no database")
	assert.Empty(t, r.out)
}

// A meddlingStore lets something happen before the first request for an object.
type meddlingStore struct {
	objstore.Store
	prefix string
	before func()
}

func (s *meddlingStore) Get(ctx context.Context, key string) (objstore.Object, error) {
	if f := s.before; f != nil && strings.HasPrefix(key, s.prefix) {
		s.before = nil
		f()
	}
	return s.Store.Get(ctx, key)
}

// What a collector takes away while verify runs was not needed any more: no damage.
func TestVerifyBesideACollector(t *testing.T) {
	run := func(t *testing.T, v *victim, prefix string, before func()) *verifyReport {
		c := &verifier{store: &meddlingStore{v.store, prefix, before}, root: v.root, jobs: 1}
		require.NoError(t, c.run(t.Context()))
		return &c.report
	}
	next := func(v *victim, f func(m *manifest.Manifest)) {
		_, err := v.ms.Update(t.Context(), func(m *manifest.Manifest) error { f(m); return nil })
		require.NoError(t, err)
	}
	t.Run("table", func(t *testing.T) {
		v, _ := newVictim(t, goldenNone, "db")
		v.edit(func(m *manifest.Manifest) { m.Checkpoints = nil })
		_, key := v.table()
		r := run(t, v, "db/compacted/", func() {
			next(v, func(m *manifest.Manifest) { m.Root.L0 = m.Root.L0[1:] })
			v.remove(key)
		})
		assert.Empty(t, r.Damage)
		assert.True(t, r.Intact)
	})
	t.Run("log object", func(t *testing.T) {
		v, _ := newVictim(t, "db018/zstd/store", "db")
		v.edit(func(m *manifest.Manifest) { m.Checkpoints = nil })
		id := v.latest().ReplayAfterWAL + 1
		r := run(t, v, "db/compacted/", func() {
			next(v, func(m *manifest.Manifest) { m.ReplayAfterWAL = id })
			v.remove(v.wal(id))
		})
		assert.Empty(t, r.Damage)
	})
	t.Run("but not what is needed", func(t *testing.T) {
		v, _ := newVictim(t, goldenNone, "db")
		_, key := v.table()
		r := run(t, v, "db/compacted/", func() {
			next(v, func(m *manifest.Manifest) { m.Checkpoints = nil })
			v.remove(key)
		})
		require.Len(t, r.Damage, 1)
		assert.Equal(t, key, r.Damage[0].Object)
	})
}
