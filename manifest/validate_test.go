package manifest

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

// tid returns the id of a test table made at ms.
func tid(ms uint64, n byte) (id ulid.ULID) {
	_ = id.SetTime(ms)
	id[15] = n
	return id
}

func table(id ulid.ULID, first, last string) *sst.Handle {
	return &sst.Handle{ID: sst.TableID(id), Format: sst.FormatV2, Info: sst.Info{
		First: []byte(first), Last: []byte(last), IndexOffset: 100, IndexLen: 20, CompositeFilter: true,
	}}
}

func view(ms uint64, n byte, first, last string) sst.View {
	id := tid(ms, n)
	return sst.View{ID: id, Table: table(id, first, last)}
}

// sample is a small manifest in which everything occurs.
func sample() *Manifest {
	m := New("slash")
	m.WriterEpoch, m.CompactorEpoch = 2, 1
	m.ReplayAfterWAL, m.WALLastSeen, m.LastL0Tick, m.LastL0Seq, m.SnapshotMinSeq = 5, 7, 1700, 90, 80
	m.Tracker = NewTracker(TrackPoint{1, 1000}, TrackPoint{50, 1060})
	cut := view(1002, 3, "b", "y")
	cut.Visible = &kv.Range{Start: []byte("c"), End: []byte("k"), EndInclusive: true}
	m.Root = Tree{LastCompactedL0: tid(1000, 1), L0: []sst.View{view(1003, 4, "a", "m"), cut},
		Runs: []sst.SortedRun{{ID: 9}, {ID: 4, Views: []sst.View{view(999, 5, "a", "f"), view(999, 6, "f", "z")}}}}
	m.Segments = []Segment{{Prefix: []byte("a/"), Tree: Tree{L0: []sst.View{view(1004, 7, "a/1", "a/2")}}}, {Prefix: []byte{0xff, 0}}}
	m.Checkpoints = []Checkpoint{{ID: uuid.UUID{1}, ManifestID: 3, CreateTime: time.Unix(50, 0).UTC(), Name: "one"},
		{ID: uuid.UUID{2}, ManifestID: 4, CreateTime: time.Unix(60, 0).UTC(), ExpireTime: time.Unix(90, 0).UTC()}}
	m.External = []ExternalDB{{Path: "parent/db", SourceCheckpoint: uuid.UUID{3}, FinalCheckpoint: uuid.UUID{4}, Tables: []ulid.ULID{tid(999, 5)}}}
	m.Root.Runs[1].Views[0].Table.Root = "parent/db"
	return m
}

func TestSampleRoundTrip(t *testing.T) {
	m := sample()
	require.NoError(t, m.Validate())
	got, err := Decode("m", 0, must(m.Encode()))
	require.NoError(t, err)
	assert.Equal(t, m, got)
	assert.Equal(t, "parent/db", got.Root.Runs[1].Views[0].Table.Root, "a borrowed table is read from its parent")
	assert.Empty(t, got.Root.L0[0].Table.Root)
}

func TestValidateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		breakIt func(*Manifest)
		want    string
	}{
		"runs not descending":        {func(m *Manifest) { m.Root.Runs[0].ID = 3 }, "must descend"},
		"run twice in a tree":        {func(m *Manifest) { m.Root.Runs[0].ID = 4 }, "must descend"},
		"run in two trees":           {func(m *Manifest) { m.Segments[0].Runs = []sst.SortedRun{{ID: 4}} }, "two trees"},
		"view without table":         {func(m *Manifest) { m.Root.L0[0].Table = nil }, "no table"},
		"table without first key":    {func(m *Manifest) { m.Root.L0[0].Table.Info.First = nil }, "no first key"},
		"WAL object as table":        {func(m *Manifest) { m.Root.L0[0].Table.Info.WAL = true }, "WAL"},
		"visible start excluded":     {func(m *Manifest) { m.Root.L0[1].Visible.StartExclusive = true }, "excludes its start"},
		"visible range elsewhere":    {func(m *Manifest) { m.Root.L0[1].Visible = &kv.Range{Start: []byte("z")} }, "does not meet"},
		"visible range empty":        {func(m *Manifest) { m.Root.L0[1].Visible = &kv.Range{Start: []byte("c"), End: []byte("c")} }, "does not meet"},
		"run views overlap":          {func(m *Manifest) { m.Root.Runs[1].Views[1].Table.Info.First = []byte("e") }, "begins before"},
		"run views descend":          {func(m *Manifest) { v := m.Root.Runs[1].Views; v[0], v[1] = v[1], v[0] }, "begins before"},
		"segment without prefix":     {func(m *Manifest) { m.Segments[0].Prefix = nil }, "empty prefix"},
		"segments out of order":      {func(m *Manifest) { s := m.Segments; s[0], s[1] = s[1], s[0] }, "out of order"},
		"segment twice":              {func(m *Manifest) { m.Segments[1].Prefix = []byte("a/") }, "begins with"},
		"segment inside a segment":   {func(m *Manifest) { m.Segments[1].Prefix = []byte("a/b") }, "begins with"},
		"K5 parent path with ..":     {func(m *Manifest) { m.External[0].Path = "a/../../b" }, "external"},
		"K5 absolute parent path":    {func(m *Manifest) { m.External[0].Path = "/etc" }, "external"},
		"K5 parent path with NUL":    {func(m *Manifest) { m.External[0].Path = "a\x00b" }, "external"},
		"K5 parent path is a URL":    {func(m *Manifest) { m.External[0].Path = "s3://other/db" }, "external"},
		"K5 parent path is file URL": {func(m *Manifest) { m.External[0].Path = "file:///etc" }, "external"},
		"K5 empty parent path":       {func(m *Manifest) { m.External[0].Path = "" }, "external"},
	} {
		t.Run(name, func(t *testing.T) {
			m := sample()
			c.breakIt(m)
			err := m.Validate()
			require.ErrorContains(t, err, c.want)
			assert.ErrorIs(t, err, errContent)
			if name == "view without table" || name == "segments out of order" { // cannot be written; are sorted on reading
				return
			}
			_, err = Decode("R/manifest/1.manifest", 1, must(m.Encode()))
			var corrupt *sst.CorruptionError
			require.ErrorAs(t, err, &corrupt)
			assert.Equal(t, "R/manifest/1.manifest", corrupt.Object)
			assert.ErrorIs(t, err, kv.ErrCorrupt)
		})
	}
}

func TestTablesWithoutLastKeyInARun(t *testing.T) {
	m := sample()
	m.Root.Runs[1].Views[0].Table.Info.Last = nil
	assert.NoError(t, m.Validate(), "ends where the next one begins")
}

// K4: no checksum protects these objects, so every flipped bit must end in a typed error or in
// a value that is valid. Nothing may panic.
func TestK4_FlippedBitsAndTruncations(t *testing.T) {
	man := must(sample().Encode())
	jobs := must(sampleJobs().Encode())
	var v1 []byte
	for path, b := range goldenFiles(t, ".manifest") {
		if path == "db/loose/v1-0.12.1.manifest" {
			v1 = b
		}
	}
	require.NotEmpty(t, v1)
	tryManifest := func(b []byte) {
		m, err := Decode("m", 1, b)
		if err != nil {
			assert.ErrorIs(t, err, kv.ErrCorrupt)
			return
		}
		assert.NoError(t, m.Validate())
		again, err := Decode("m", 1, must(m.Encode()))
		if assert.NoError(t, err) {
			_, err = json.Marshal(again)
			assert.NoError(t, err)
		}
	}
	tryJobs := func(b []byte) {
		c, err := DecodeCompactions("c", 1, b)
		if err != nil {
			assert.ErrorIs(t, err, kv.ErrCorrupt)
			return
		}
		again, err := DecodeCompactions("c", 1, must(c.Encode()))
		if assert.NoError(t, err) {
			_, err = json.Marshal(again)
			assert.NoError(t, err)
		}
	}
	for _, x := range []struct {
		b   []byte
		try func([]byte)
	}{{man, tryManifest}, {v1, tryManifest}, {jobs, tryJobs}} {
		for n := range x.b {
			x.try(x.b[:n:n])
		}
		for bit := range 8 * len(x.b) {
			b := append([]byte(nil), x.b...)
			b[bit/8] ^= 1 << (bit % 8)
			x.try(b)
		}
	}
}

func TestDecodeNamesTheVersion(t *testing.T) {
	for name, b := range map[string][]byte{"empty": nil, "one byte": {0}, "version 0": {0, 0, 0, 0}, "version 3": {0, 3, 0, 0}, "little endian": {2, 0}} {
		_, err := Decode("m", 1, b)
		assert.ErrorIs(t, err, kv.ErrCorrupt, name)
		_, err = DecodeCompactions("m", 1, b)
		assert.ErrorIs(t, err, kv.ErrCorrupt, name)
	}
}

func sampleJobs() *Compactions {
	out := table(tid(2001, 1), "a", "b")
	return &Compactions{FormatVersion: 2, CompactorEpoch: 3, Jobs: []Compaction{
		{ID: tid(1999, 1), Status: Completed, Spec: Spec{L0Views: []ulid.ULID{tid(1, 1)}, Runs: []uint32{7, 2}, Destination: 2}, Outputs: []*sst.Handle{out}},
		{ID: tid(2000, 2), Status: Running, Spec: Spec{Segment: []byte("a/"), Runs: []uint32{1}, Destination: 9}, Worker: &Worker{"w1", 55},
			Context: &Context{RetentionMinSeq: 12, Ranges: []Subcompaction{
				{Range: kv.Range{End: []byte("h")}, Outputs: []*sst.Handle{out}, Done: true},
				{Range: kv.Range{Start: []byte("h"), End: []byte("p")}},
				{Range: kv.Range{Start: []byte("p")}}}}},
		{ID: tid(2000, 3), Status: Submitted, Spec: Spec{Drain: true, Segment: []byte("b/"), L0Views: []ulid.ULID{tid(2, 1)}}},
	}}
}

func TestSampleJobsRoundTrip(t *testing.T) {
	c := sampleJobs()
	got, err := DecodeCompactions("c", 0, must(c.Encode()))
	require.NoError(t, err)
	assert.Equal(t, c, got)
}

func TestValidateRefusesJobs(t *testing.T) {
	for name, breakIt := range map[string]func(*Compactions){
		"drain of the root tree":  func(c *Compactions) { c.Jobs[2].Spec.Segment = nil },
		"output without keys":     func(c *Compactions) { c.Jobs[0].Outputs[0].Info.First = nil },
		"partition has a gap":     func(c *Compactions) { c.Jobs[1].Context.Ranges[1].Range.Start = []byte("i") },
		"partition open inside":   func(c *Compactions) { c.Jobs[1].Context.Ranges[1].Range.End = nil },
		"partition closed at end": func(c *Compactions) { c.Jobs[1].Context.Ranges[2].Range.End = []byte("z") },
		"partition end inclusive": func(c *Compactions) { c.Jobs[1].Context.Ranges[0].Range.EndInclusive = true },
	} {
		c := sampleJobs()
		breakIt(c)
		assert.ErrorIs(t, c.Validate(), errContent, name)
		_, err := DecodeCompactions("c", 1, must(c.Encode()))
		assert.ErrorIs(t, err, kv.ErrCorrupt, name)
	}
}

func TestJobListHelpers(t *testing.T) {
	c := sampleJobs()
	assert.Equal(t, Running, c.Job(tid(2000, 2)).Status)
	assert.Nil(t, c.Job(tid(5, 5)))
	c.Put(Compaction{ID: tid(2000, 1), Status: Failed})
	c.Put(Compaction{ID: tid(2000, 3), Status: Scheduled, Spec: c.Jobs[3].Spec})
	require.Len(t, c.Jobs, 4)
	require.NoError(t, c.Validate(), "in order")
	c.Trim()
	require.Len(t, c.Jobs, 3, "the newest finished job stays")
	assert.Equal(t, []Status{Failed, Running, Scheduled}, []Status{c.Jobs[0].Status, c.Jobs[1].Status, c.Jobs[2].Status})
}

// Envelope 1 has no destination; the old name of the L0 list counts only where the new one is
// absent.
func TestOldCompactions(t *testing.T) {
	const path = "db/loose/envelope1-0.12.1.compactions"
	c, err := DecodeCompactions(path, 1, goldenFiles(t, ".compactions")[path])
	require.NoError(t, err)
	assert.EqualValues(t, 1, c.FormatVersion)
	require.Len(t, c.Jobs, 1)
	assert.Len(t, c.Jobs[0].Spec.L0Views, 4)

	b := must(sampleJobs().Encode())
	b[1] = 1
	c, err = DecodeCompactions("c", 1, b)
	require.NoError(t, err)
	assert.EqualValues(t, 2, c.Jobs[0].Spec.Destination, "the smallest source run")
	assert.EqualValues(t, 1, c.Jobs[1].Spec.Destination)
}

// genManifest draws a valid manifest.
func genManifest(t *rapid.T) *Manifest {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	m := New("")
	m.Initialized = r.IntN(2) == 0
	m.WriterEpoch, m.CompactorEpoch, m.ReplayAfterWAL, m.WALLastSeen = r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()
	m.LastL0Tick, m.LastL0Seq, m.SnapshotMinSeq = r.Int64()-r.Int64(), kv.Seq(r.Uint64()), kv.Seq(r.Uint64N(3))
	key := func() []byte {
		b := make([]byte, r.IntN(4))
		for i := range b {
			b[i] = byte('a' + r.IntN(3))
		}
		return b
	}
	n := byte(0)
	random := func() sst.View {
		n++
		v := view(r.Uint64N(1000), n, "", "")
		a, b := key(), key()
		if string(a) > string(b) {
			a, b = b, a
		}
		v.Table.Info.First, v.Table.Info.Last = a, b
		if r.IntN(4) == 0 {
			v.Table.Info.Last = nil
		}
		v.Table.Info.Codec = sst.Codec(r.IntN(5))
		if r.IntN(3) == 0 {
			v.Visible = &kv.Range{Start: a, End: append(b, 'z'), EndInclusive: r.IntN(2) == 0}
		}
		return v
	}
	nextRun := uint32(1000)
	tree := func() (t Tree) {
		for range r.IntN(4) {
			t.L0 = append(t.L0, random())
		}
		for range r.IntN(3) {
			nextRun -= 1 + r.Uint32N(5)
			run := sst.SortedRun{ID: nextRun}
			for range r.IntN(2) {
				run.Views = append(run.Views, random())
			}
			t.Runs = append(t.Runs, run)
		}
		if r.IntN(2) == 0 {
			t.LastCompactedL0 = tid(r.Uint64N(1000), 9)
		}
		return t
	}
	m.Root = tree()
	for i := range r.IntN(4) {
		m.Segments = append(m.Segments, Segment{Prefix: []byte{byte('a' + i), byte(r.Uint32())}, Tree: tree()})
	}
	for range r.IntN(3) {
		c := Checkpoint{ID: uuid.New(), ManifestID: r.Uint64(), CreateTime: time.Unix(int64(r.Uint32()), 0).UTC(), Name: string(key())}
		if r.IntN(2) == 0 {
			c.ExpireTime = time.Unix(1+int64(r.Uint32()>>1), 0).UTC()
		}
		m.Checkpoints = append(m.Checkpoints, c)
	}
	tables := m.tableList()
	for i := range r.IntN(3) {
		e := ExternalDB{Path: "p/" + string(rune('a'+i)), SourceCheckpoint: uuid.New()}
		for j, h := range tables {
			if j%3 == i {
				h.Root = e.Path
				e.Tables = append(e.Tables, h.ID.ULID())
			}
		}
		m.External = append(m.External, e)
	}
	for i := range r.IntN(10) {
		m.Tracker.Insert(kv.Seq(r.Uint64()), int64(i)*r.Int64N(100))
	}
	return m
}

func TestManifestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := genManifest(t)
		require.NoError(t, m.Validate())
		b, err := m.Encode()
		require.NoError(t, err)
		got, err := Decode("m", 0, b)
		require.NoError(t, err)
		if m.Tracker.Len() == 0 {
			m.Tracker, got.Tracker = Tracker{}, Tracker{}
		}
		require.Equal(t, m, got)
		again, err := got.Encode()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func FuzzManifest(f *testing.F) {
	n := 0
	for _, b := range goldenFiles(f, ".manifest") {
		if n++; len(b) < 3000 && n < 60 {
			f.Add(b)
		}
	}
	f.Add(must(sample().Encode()))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode("m", 1, b)
		if err != nil {
			require.ErrorIs(t, err, kv.ErrCorrupt)
			return
		}
		again, err := Decode("m", 1, must(m.Encode()))
		require.NoError(t, err)
		m.FormatVersion, m.WALObjectStoreURI = 2, ""
		require.Equal(t, must(json.Marshal(m)), must(json.Marshal(again)))
	})
}

func FuzzCompactions(f *testing.F) {
	n := 0
	for _, b := range goldenFiles(f, ".compactions") {
		if n++; len(b) < 3000 && n < 60 {
			f.Add(b)
		}
	}
	f.Add(must(sampleJobs().Encode()))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCompactions("c", 1, b)
		if err != nil {
			require.ErrorIs(t, err, kv.ErrCorrupt)
			return
		}
		again, err := DecodeCompactions("c", 1, must(c.Encode()))
		require.NoError(t, err)
		c.FormatVersion = 2
		require.Equal(t, must(json.Marshal(c)), must(json.Marshal(again)))
	})
}

func FuzzBoundary(f *testing.F) {
	for _, b := range goldenFiles(f, ".boundary") {
		f.Add(b)
	}
	f.Add([]byte(" 18446744073709551615\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseBoundary(b); err != nil {
			require.ErrorIs(t, err, errContent)
		}
	})
}
