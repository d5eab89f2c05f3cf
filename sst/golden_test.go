package sst

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// Objects written by the Rust engine and by an independent script, with what they hold.
const golden = "../testdata/golden/"

// b64 is bytes in a sidecar: base64, {"fill", "len"}, or null.
type b64 struct{ b []byte }

func (v *b64) UnmarshalJSON(j []byte) error {
	var fill struct {
		Fill byte
		Len  int
	}
	var s *string
	if j[0] == '{' {
		err := json.Unmarshal(j, &fill)
		v.b = bytes.Repeat([]byte{fill.Fill}, fill.Len)
		return err
	}
	if err := json.Unmarshal(j, &s); err != nil || s == nil {
		return err
	}
	b, err := base64.StdEncoding.DecodeString(*s)
	v.b = append([]byte{}, b...)
	return err
}

type goldenRow struct {
	Key, Value b64
	Kind       string
	Seq        uint64
	CreateTS   *int64 `json:"create_ts"`
	ExpireTS   *int64 `json:"expire_ts"`
}

type goldenObject struct {
	Kind   string
	Format uint16 `json:"format_version"`
	Info   struct {
		First        b64    `json:"first_entry"`
		Last         b64    `json:"last_entry"`
		IndexOffset  uint64 `json:"index_offset"`
		IndexLen     uint64 `json:"index_len"`
		FilterOffset uint64 `json:"filter_offset"`
		FilterLen    uint64 `json:"filter_len"`
		StatsOffset  uint64 `json:"stats_offset"`
		StatsLen     uint64 `json:"stats_len"`
		Codec        uint8  `json:"compression_format"`
		Type         uint8  `json:"sst_type"`
		FilterFormat uint8  `json:"filter_format"`
	}
	Target int `json:"block_target_size"`
	Blocks []struct {
		Offset     uint64
		IndexKey   b64    `json:"index_key"`
		EncodedLen uint32 `json:"encoded_len_field"`
		Rows       int
		PlainLen   int `json:"plain_len"`
	}
	Stats *struct {
		Puts    uint64      `json:"num_puts"`
		Deletes uint64      `json:"num_deletes"`
		Merges  uint64      `json:"num_merges"`
		Keys    uint64      `json:"raw_key_size"`
		Values  uint64      `json:"raw_val_size"`
		Blocks  [][3]uint16 `json:"block_stats"`
	}
	Filters []struct {
		Name string
		Data b64
	}
	LegacyFilter b64 `json:"legacy_filter"`
	Rows         []goldenRow
	ExpectError  string `json:"expect_error"`
}

func (r *goldenRow) entry() kv.Entry {
	e := kv.Entry{Key: r.Key.b, Value: r.Value.b, Seq: kv.Seq(r.Seq), CreateTS: kv.NoTS, ExpireTS: kv.NoTS}
	e.Kind = map[string]kv.Kind{"value": kv.Put, "merge": kv.Merge, "tombstone": kv.Tombstone}[r.Kind]
	if r.CreateTS != nil {
		e.CreateTS = *r.CreateTS
	}
	if r.ExpireTS != nil {
		e.ExpireTS = *r.ExpireTS
	}
	return e
}

// forEachGolden runs f for every object of golden/sst that is not empty and not bad.
func forEachGolden(t *testing.T, f func(t *testing.T, name string, body []byte, g *goldenObject)) {
	n := 0
	for _, p := range findObjects(t, golden+"sst") {
		name := strings.TrimPrefix(p, golden+"sst/")
		j, err := os.ReadFile(p + ".json")
		require.NoError(t, err)
		var g goldenObject
		require.NoError(t, json.Unmarshal(j, &g), name)
		body := readFile(t, p)
		if g.ExpectError != "" || len(body) == 0 {
			continue
		}
		n++
		t.Run(name, func(t *testing.T) { f(t, name, body, &g) })
	}
	require.Greater(t, n, 35, "golden objects are missing")
}

func findObjects(t testing.TB, dir string) (out []string) {
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".sst") {
			out = append(out, filepath.ToSlash(p))
		}
		return err
	}))
	return out
}

func readFile(t testing.TB, p string) []byte {
	b, err := os.ReadFile(p)
	require.NoError(t, err)
	return b
}

// collect returns all rows; their slices stay as the iterator gave them.
func collect(o *Object) (out []kv.Entry, err error) {
	it := o.Rows()
	for it.Next() {
		out = append(out, *it.Entry())
	}
	return out, it.Err()
}

// sameRows compares rows; empty and nil slices are the same value.
func sameRows(t testing.TB, want, got []kv.Entry) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		w, g := want[i], got[i]
		if !bytes.Equal(w.Key, g.Key) || !bytes.Equal(w.Value, g.Value) {
			require.Equal(t, w, g, "row %d", i)
		}
		w.Key, w.Value, g.Key, g.Value = nil, nil, nil, nil
		require.Equal(t, w, g, "row %d", i)
	}
}

func (g *goldenObject) entries() (out []kv.Entry) {
	for i := range g.Rows {
		out = append(out, g.Rows[i].entry())
	}
	return out
}

func TestGoldenObjectsDecode(t *testing.T) {
	forEachGolden(t, func(t *testing.T, name string, body []byte, g *goldenObject) {
		o, err := OpenObject(name, body, nil)
		require.NoError(t, err)
		assert.Equal(t, g.Format, o.Format())
		i := o.Info()
		assert.Equal(t, Info{
			First: g.Info.First.b, Last: g.Info.Last.b,
			IndexOffset: g.Info.IndexOffset, IndexLen: g.Info.IndexLen,
			FilterOffset: g.Info.FilterOffset, FilterLen: g.Info.FilterLen,
			StatsOffset: g.Info.StatsOffset, StatsLen: g.Info.StatsLen,
			Codec: Codec(g.Info.Codec), WAL: g.Info.Type == 1, CompositeFilter: g.Info.FilterFormat == 1,
		}, *i)

		x := o.Index()
		require.Equal(t, len(g.Blocks), x.Len())
		for i, want := range g.Blocks {
			assert.Equal(t, want.Offset, x.Offset(i))
			assert.Equal(t, want.IndexKey.b, append([]byte{}, x.Key(i)...))
			assert.Equal(t, want.EncodedLen, x.EncodedLen(i))
			b, err := o.Block(i)
			require.NoError(t, err)
			assert.Len(t, b.data, want.PlainLen)
			n := 0
			var it blockIter
			for it.reset(b); it.next(); {
				n++
			}
			require.NoError(t, it.err())
			assert.Equal(t, want.Rows, n)
		}
		rows, err := collect(o)
		require.NoError(t, err)
		sameRows(t, g.entries(), rows)

		m, err := o.Meta()
		require.NoError(t, err)
		if i.CompositeFilter {
			require.Len(t, m.Filters, len(g.Filters))
			for k, f := range g.Filters {
				assert.Equal(t, NamedFilter{f.Name, f.Data.b}, m.Filters[k])
			}
		} else {
			require.Equal(t, i.FilterLen > 0, len(m.Filters) == 1)
		}
		s, ok, err := o.Stats()
		require.NoError(t, err)
		require.Equal(t, g.Info.StatsLen > 0, ok)
		if ok && g.Stats != nil {
			want := Stats{Puts: g.Stats.Puts, Deletes: g.Stats.Deletes, Merges: g.Stats.Merges, RawKeyBytes: g.Stats.Keys, RawValueBytes: g.Stats.Values, Blocks: []BlockStats{}}
			for _, b := range g.Stats.Blocks {
				want.Blocks = append(want.Blocks, BlockStats{b[0], b[1], b[2]})
			}
			assert.Equal(t, want, s)
		}
	})
}

// fixed3 is the extractor of the golden filters.
type fixed3 struct{}

func (fixed3) Name() string { return "fixed3" }
func (fixed3) PrefixLen(b []byte, _ bool) (int, bool) {
	return 3, len(b) >= 3
}

// policiesLike makes policies that build filters with the names and sizes of these.
func policiesLike(t *testing.T, name string, fs []NamedFilter, rows int) (ps []FilterPolicy) {
	for _, f := range fs {
		bits := 10
		switch {
		case strings.HasSuffix(name, "filter-prefix-compacted.sst"):
			bits = 12
		case strings.HasSuffix(name, "filter-composite-compacted.sst"):
			bits = map[string]int{"_bf:p=fixed3:wh=0": 20, "_bf": 10, "_bf:wh=0": 8}[f.Name]
		case strings.Contains(name, "db018/filters"):
			bits = map[string]int{"_bf:p=fixed3": 12, "_bf:p=fixed3:wh=0": 20, "_bf": 10, "_bf:wh=0": 8}[f.Name]
		}
		o := BloomOptions{NoWholeKeys: strings.HasSuffix(f.Name, ":wh=0")}
		if strings.Contains(f.Name, ":p=fixed3") {
			o.Extractor = fixed3{}
		}
		p := Bloom(bits, o)
		require.Equal(t, f.Name, p.Name())
		ps = append(ps, p)
	}
	return ps
}

// shift is the transformer of db018/transform.
type shift struct{}

var shiftHead = []byte{0xa5, 0x48, 0x44, 0x52, 0x31, 0x32, 0x33, 0x34}

func (shift) EncodedOverhead() int { return len(shiftHead) }
func (shift) Encode(p []byte) ([]byte, error) {
	out := append([]byte{}, shiftHead...)
	for _, c := range p {
		out = append(out, c^0x5a)
	}
	return out, nil
}
func (shift) Decode(p []byte) ([]byte, error) {
	if !bytes.HasPrefix(p, shiftHead) {
		return nil, os.ErrInvalid
	}
	out := make([]byte, 0, len(p))
	for _, c := range p[len(shiftHead):] {
		out = append(out, c^0x5a)
	}
	return out, nil
}

// rebuild writes the rows of o again with the settings that show in it and compares section
// by section, or as a whole when nothing is compressed.
func rebuild(t *testing.T, name string, body []byte, o *Object, tr Transformer, target int) {
	info := o.Info()
	rows, err := collect(o)
	require.NoError(t, err)
	m, err := o.Meta()
	require.NoError(t, err)
	if info.WAL {
		rebuildWAL(t, name, body, o, rows, tr, target)
		return
	}
	ps := policiesLike(t, name, m.Filters, len(rows))
	w := NewWriter(WriterOptions{BlockSize: target, Codec: info.Codec, Transformer: tr, Policies: ps, MinFilterKeys: -1})
	for i := range rows {
		require.NoError(t, w.Add(&rows[i]))
	}
	mine, mineInfo, err := w.Finish()
	require.NoError(t, err)
	p, err := OpenObject("mine", mine, tr)
	require.NoError(t, err)
	sameInfo := mineInfo
	assert.Equal(t, sameInfo, *p.Info())
	sameBlocks(t, o, p)
	pm, err := p.Meta()
	require.NoError(t, err)
	assert.Equal(t, m.Filters, pm.Filters)
	sameBytes(t, m.Stats, pm.Stats, "statistics bytes")
	for i := range o.index.Len() {
		assert.Equal(t, o.index.Key(i), p.index.Key(i), "index key %d", i)
	}
	if info.Codec == NoCompression {
		sameBytes(t, body, mine, "whole object")
	} else {
		a, _ := openSection(body[info.IndexOffset:][:info.IndexLen], info.Codec, tr, 1<<20)
		b, _ := openSection(mine[mineInfo.IndexOffset:][:mineInfo.IndexLen], info.Codec, tr, 1<<20)
		sameSize := len(body) == len(mine) // offsets in it depend on the compressor
		assert.True(t, !sameSize || bytes.Equal(a, b), "index bytes")
	}
}

// sameBytes says where two objects part, not what all their bytes are.
func sameBytes(t testing.TB, want, got []byte, what string) {
	t.Helper()
	if n := matchLen(want, got); n < max(len(want), len(got)) {
		t.Errorf("%s: want %d bytes, got %d; from %d on:\nwant % x\ngot  % x", what, len(want), len(got), n,
			want[n:min(n+48, len(want))], got[n:min(n+48, len(got))])
	}
}

func sameBlocks(t *testing.T, o, p *Object) {
	require.Equal(t, o.index.Len(), p.index.Len(), "number of blocks")
	for i := range o.index.Len() {
		a, err := o.Block(i)
		require.NoError(t, err)
		b, err := p.Block(i)
		require.NoError(t, err)
		sameBytes(t, a.data, b.data, "block")
	}
}

func rebuildWAL(t *testing.T, name string, body []byte, o *Object, rows []kv.Entry, tr Transformer, target int) {
	mine := sealRows(t, rows, o.info.Codec, tr, target)
	p, err := OpenObject("mine", mine, tr)
	require.NoError(t, err)
	sameBlocks(t, o, p)
	for i := range o.index.Len() {
		assert.Equal(t, o.index.Key(i), p.index.Key(i))
	}
	if o.info.Codec == NoCompression && !strings.HasPrefix(name, "synthetic/") && !strings.HasPrefix(name, "bad/") {
		sameBytes(t, body, mine, "whole object")
	}
}

// sealRows makes a WAL object the way package wal does.
func sealRows(t testing.TB, rows []kv.Entry, codec Codec, tr Transformer, target int) []byte {
	var b BlockBuilder
	var blocks []WALBlock
	buf := b.Reset(nil, target)
	first := kv.Seq(0)
	start := 0
	end := func() {
		want := b.Len(buf)
		buf = b.Finish(buf)
		require.Equal(t, want, len(buf)-start)
		blocks = append(blocks, WALBlock{start, len(buf) - start, first})
		buf = append(buf, 1, 2, 3, 4)
		start = len(buf)
		buf = b.Reset(buf, target)
	}
	for i := range rows {
		if !b.Fits(&rows[i]) {
			end()
		}
		if b.Rows() == 0 {
			first = rows[i].Seq
		}
		buf = b.Append(buf, &rows[i])
	}
	end()
	out, err := SealWAL(buf, blocks, codec, tr)
	require.NoError(t, err)
	return out
}

func TestGoldenObjectsRebuildByteEqual(t *testing.T) {
	forEachGolden(t, func(t *testing.T, name string, body []byte, g *goldenObject) {
		o, err := OpenObject(name, body, nil)
		require.NoError(t, err)
		if o.Format() == FormatV1 || len(g.Rows) == 0 || !o.info.CompositeFilter {
			t.Skip("this shape is read only")
		}
		rebuild(t, name, body, o, nil, g.Target)
	})
}

// The blocks and filters of old objects are equal too, only their tails differ.
func TestGoldenLegacyBlocksAndFiltersRebuild(t *testing.T) {
	forEachGolden(t, func(t *testing.T, name string, body []byte, g *goldenObject) {
		o, err := OpenObject(name, body, nil)
		require.NoError(t, err)
		if len(g.Rows) == 0 || o.info.CompositeFilter {
			t.Skip("not an old object")
		}
		if o.Format() == FormatV2 {
			p, err := OpenObject("mine", sealRows(t, g.entries(), o.info.Codec, nil, g.Target), nil)
			require.NoError(t, err)
			sameBlocks(t, o, p)
		} else {
			rows := g.entries()
			for i, want := range g.Blocks {
				b, err := o.Block(i)
				require.NoError(t, err)
				sameBytes(t, b.data, buildV1(rows[:want.Rows]), "block of format 1")
				rows = rows[want.Rows:]
			}
		}
		if o.info.FilterLen > 0 {
			b := Bloom(10, BloomOptions{}).NewBuilder()
			for _, e := range g.entries() {
				b.Add(&e)
			}
			m, err := o.Meta()
			require.NoError(t, err)
			assert.Equal(t, m.Filters[0].Data, b.Build())
		}
	})
}

// Every object of the golden databases is rebuilt from its rows. Aligned tables are only
// read, since this engine does not write them.
func TestGoldenDatabasesParseAndRebuild(t *testing.T) {
	n := 0
	for _, dir := range []string{"db", "db018"} {
		for _, p := range findObjects(t, golden+dir) {
			body := readFile(t, p)
			if len(body) == 0 {
				continue
			}
			n++
			name := strings.TrimPrefix(p, golden)
			t.Run(name, func(t *testing.T) {
				var tr Transformer
				if strings.Contains(name, "db018/transform") {
					tr = shift{}
				}
				o, err := OpenObject(name, body, tr)
				if len(body) <= footerLen { // planted there to see what garbage collection does
					require.ErrorIs(t, err, kv.ErrCorrupt)
					return
				}
				require.NoError(t, err)
				rows, err := collect(o)
				require.NoError(t, err)
				if o.index.Len() == 0 {
					return // a fence of old releases
				}
				require.NotEmpty(t, rows)
				padded := o.index.lens != nil
				for i := 1; i < len(rows) && !o.info.WAL; i++ {
					require.Negative(t, kv.Compare(&rows[i-1], &rows[i]))
				}
				if o.info.CompositeFilter && !padded && !strings.Contains(name, "aligned") {
					target := WALBlockTarget
					if !o.info.WAL {
						target = guessTarget(t, o)
					}
					rebuild(t, name, body, o, tr, target)
				}
			})
		}
	}
	require.Greater(t, n, 250, "golden objects are missing")
}

// guessTarget finds the smallest block size of the format that no block with several rows
// passes.
func guessTarget(t *testing.T, o *Object) int {
	longest := 0
	for i := range o.index.Len() {
		b, err := o.Block(i)
		require.NoError(t, err)
		var it blockIter
		it.reset(b)
		if first := it.next(); first && it.next() {
			longest = max(longest, len(b.data))
		}
	}
	for _, kib := range []int{1, 2, 4, 8, 16, 32, 64} {
		if longest <= kib<<10 {
			return kib << 10
		}
	}
	require.Fail(t, "block too long", "%d bytes", longest)
	return 0
}
