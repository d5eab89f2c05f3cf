package flatbuf

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const goldenDir = "../../testdata/golden"

// roots are the buffers that have a Verify function, with an accessor for each.
var roots = []struct {
	name   string
	verify func([]byte) error
	open   func([]byte) any
}{
	{"SsTableInfo", VerifySsTableInfo, func(b []byte) any { return GetRootAsSsTableInfo(b, 0) }},
	{"SsTableIndex", VerifySsTableIndex, func(b []byte) any { return GetRootAsSsTableIndex(b, 0) }},
	{"SstStats", VerifySstStats, func(b []byte) any { return GetRootAsSstStats(b, 0) }},
	{"ManifestV1", VerifyManifestV1, func(b []byte) any { return GetRootAsManifestV1(b, 0) }},
	{"ManifestV2", VerifyManifestV2, func(b []byte) any { return GetRootAsManifestV2(b, 0) }},
	{"CompactionsV1", VerifyCompactionsV1, func(b []byte) any { return GetRootAsCompactionsV1(b, 0) }},
}

// walker calls every generated getter below a table, and reads every byte it returns.
type walker struct{ sum, tables int }

func (w *walker) walk(v reflect.Value) {
	if v.IsNil() {
		return
	}
	w.tables++
	t := v.Type()
	for i := range t.NumMethod() {
		m := t.Method(i)
		if m.Name == "Init" || m.Name == "Table" || strings.HasPrefix(m.Name, "Mutate") {
			continue
		}
		switch args := m.Type.NumIn() - 1; {
		case args == 0:
			out := v.Method(i).Call(nil)[0]
			if b, ok := out.Interface().([]byte); ok {
				for _, c := range b {
					w.sum += int(c)
				}
			}
		case args == 1 && m.Type.In(1) == reflect.TypeFor[*flatbuffers.Table]():
			w.union(v, m.Name, i)
		case args == 1 && m.Type.In(1).Kind() == reflect.Pointer:
			w.walk(v.Method(i).Call([]reflect.Value{reflect.New(m.Type.In(1).Elem())})[0])
		default: // (j int) and (obj, j int)
			n := v.MethodByName(m.Name + "Length").Call(nil)[0].Interface().(int)
			for j := range n {
				if args == 1 {
					v.Method(i).Call([]reflect.Value{reflect.ValueOf(j)})
					continue
				}
				obj := reflect.New(m.Type.In(1).Elem())
				if v.Method(i).Call([]reflect.Value{obj, reflect.ValueOf(j)})[0].Bool() {
					w.walk(obj)
				}
			}
		}
	}
}

func (w *walker) union(v reflect.Value, name string, i int) {
	var t flatbuffers.Table
	if !v.Method(i).Call([]reflect.Value{reflect.ValueOf(&t)})[0].Bool() {
		return
	}
	typ := v.MethodByName(name + "Type").Call(nil)[0].Uint()
	var target interface {
		Init([]byte, flatbuffers.UOffsetT)
	}
	switch {
	case name == "Spec" && typ == 1:
		target = new(TieredCompactionSpec)
	case name == "Spec" && typ == 2:
		target = new(DrainSegmentSpec)
	case name == "Ctx" && typ == 1:
		target = new(TieredCompactionContext)
	case name == "Metadata" && typ == 1:
		target = new(WriterCheckpoint)
	default:
		return
	}
	target.Init(t.Bytes, t.Pos)
	w.walk(reflect.ValueOf(target))
}

// goldens returns the flatbuffers inside golden objects with this extension, without their
// envelope.
func goldens(t testing.TB, ext string, version uint16) [][]byte {
	var out [][]byte
	require.NoError(t, filepath.WalkDir(goldenDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ext) {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && binary.BigEndian.Uint16(b) == version {
			out = append(out, b[2:])
		}
		return err
	}))
	require.NotEmpty(t, out)
	return out
}

func TestVerifyAcceptsGoldenObjects(t *testing.T) {
	check := func(bufs [][]byte, verify func([]byte) error, open func([]byte) any) {
		for _, b := range bufs {
			require.NoError(t, verify(b))
			var w walker
			w.walk(reflect.ValueOf(open(b)))
			assert.Positive(t, w.tables)
		}
	}
	check(goldens(t, ".manifest", 1), VerifyManifestV1, roots[3].open)
	check(goldens(t, ".manifest", 2), VerifyManifestV2, roots[4].open)
	check(goldens(t, ".compactions", 2), VerifyCompactionsV1, roots[5].open)
}

// The tables that the verifier walks must be those of the schema: same slots, same kinds, same
// required fields.
func TestTablesMatchTheSchema(t *testing.T) {
	described := map[string]*table{}
	var collect func(x *table, depth int)
	collect = func(x *table, depth int) {
		require.Less(t, depth, maxDepth, "the schema must not be recursive")
		described[x.name] = x
		for _, f := range x.fields {
			if f.table != nil {
				collect(f.table, depth+1)
			}
			for _, u := range f.union {
				collect(u, depth+1)
			}
		}
	}
	for _, r := range []*table{tSsTableInfo, tSsTableIndex, tSstStats, tManifestV1, tManifestV2, tCompactionsV1} {
		collect(r, 0)
	}
	scalars := map[string]uint8{"uint64": 8, "ulong": 8, "long": 8, "uint32": 4, "uint": 4, "uint16": 2, "ushort": 2, "ubyte": 1, "bool": 1}
	files, err := filepath.Glob("schema/*.fbs")
	require.NoError(t, err)
	var text strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		text.WriteString(regexp.MustCompile(`//.*`).ReplaceAllString(string(b), ""))
	}
	for _, m := range regexp.MustCompile(`enum (\w+) : byte`).FindAllStringSubmatch(text.String(), -1) {
		scalars[m[1]] = 1
	}
	unions := map[string][]string{}
	for _, m := range regexp.MustCompile(`union (\w+) \{([^}]*)\}`).FindAllStringSubmatch(text.String(), -1) {
		for _, member := range strings.Split(m[2], ",") {
			unions[m[1]] = append(unions[m[1]], strings.TrimSpace(member))
		}
	}
	seen := 0
	fields := regexp.MustCompile(`(\w+)\s*:\s*(\[?)(\w+)\]?([^;]*);`)
	for _, m := range regexp.MustCompile(`table (\w+) \{([^}]*)\}`).FindAllStringSubmatch(text.String(), -1) {
		got := described[m[1]]
		require.NotNil(t, got, m[1])
		seen++
		slot := 0
		for _, f := range fields.FindAllStringSubmatch(m[2], -1) {
			where := m[1] + "." + f[1]
			if members, ok := unions[f[3]]; ok {
				require.Equal(t, field{kind: kindScalar, size: 1}, got.fields[slot], where)
				slot++
				require.Equal(t, kindUnion, got.fields[slot].kind, where)
				for i, u := range got.fields[slot].union {
					assert.Equal(t, members[i], u.name, where)
				}
				assert.Len(t, got.fields[slot].union, len(members), where)
			} else {
				x := got.fields[slot]
				size, isScalar := scalars[f[3]]
				switch isVector := f[2] == "["; {
				case isScalar && isVector:
					assert.Equal(t, kindVector, x.kind, where)
					assert.Equal(t, size, x.size, where)
				case isScalar:
					assert.Equal(t, kindScalar, x.kind, where)
					assert.Equal(t, size, x.size, where)
				case f[3] == "string":
					assert.Equal(t, kindString, x.kind, where)
				default:
					want := kindTable
					if isVector {
						want = kindTables
					}
					assert.Equal(t, want, x.kind, where)
					assert.Equal(t, f[3], x.table.name, where)
				}
			}
			assert.Equal(t, strings.Contains(f[4], "required"), got.fields[slot].required, where)
			slot++
		}
		assert.Len(t, got.fields, slot, m[1])
	}
	assert.Equal(t, len(described), seen)
}

// Every truncation and every flipped bit of small objects: either refused, or walked without
// a panic.
func TestDamagedBuffersAreRefusedOrSafe(t *testing.T) {
	smallest := func(bufs [][]byte, atLeast int) []byte {
		var out []byte
		for _, b := range bufs {
			if len(b) >= atLeast && (out == nil || len(b) < len(out)) {
				out = b
			}
		}
		return out
	}
	for _, c := range []struct {
		name string
		root int
		buf  []byte
	}{
		{"manifest v1", 3, smallest(goldens(t, ".manifest", 1), 600)},
		{"manifest v2", 4, smallest(goldens(t, ".manifest", 2), 900)},
		{"compactions", 5, smallest(goldens(t, ".compactions", 2), 500)},
		{"index", 1, index(5)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := roots[c.root]
			require.NoError(t, r.verify(c.buf))
			try := func(b []byte) (ok bool) {
				if err := r.verify(b); err != nil {
					assert.ErrorIs(t, err, ErrInvalid)
					return false
				}
				var w walker
				w.walk(reflect.ValueOf(r.open(b)))
				return true
			}
			for n := range c.buf {
				try(c.buf[:n:n])
			}
			accepted := 0
			for bit := range 8 * len(c.buf) {
				b := append([]byte(nil), c.buf...)
				b[bit/8] ^= 1 << (bit % 8)
				if try(b) {
					accepted++
				}
			}
			assert.Positive(t, accepted)
			assert.Less(t, accepted, 8*len(c.buf))
		})
	}
}

// index returns an SsTableIndex of n blocks.
func index(n int) []byte {
	b := NewBuilder(64 * n)
	items := make([]Offset, n)
	for i := range items {
		key := binary.BigEndian.AppendUint64(nil, uint64(i)*7919)
		at := b.Bytes(key)
		b.StartTable()
		b.U64(0, uint64(i)*4096)
		b.Ref(1, at)
		b.U32(2, 4096)
		items[i] = b.EndTable()
	}
	metas := b.Offsets(items)
	b.StartTable()
	b.Ref(0, metas)
	out, _ := b.Finish(nil, b.EndTable())
	return out
}

// Tables shared many times unfold to far more than the buffer. The verifier must neither
// follow them all nor let anybody else do it.
func TestK2_SharedTablesDoNotUnfold(t *testing.T) {
	const width = 2000
	b := NewBuilder(0)
	repeat := func(o Offset) []Offset {
		out := make([]Offset, width)
		for i := range out {
			out[i] = o
		}
		return out
	}
	id := func() Offset { b.StartTable(); b.U64(1, 1); return b.EndTable() }
	u := id()
	b.StartTable()
	b.Ref(0, u)
	b.Ref(1, u)
	view := b.EndTable()
	views := b.Offsets(repeat(view))
	b.StartTable()
	b.Ref(1, views)
	run := b.EndTable()
	empty := b.Offsets(nil)
	runs := b.Offsets(repeat(run)) // width * width views
	b.StartTable()
	b.Ref(8, empty)
	b.Ref(9, empty)
	b.Ref(10, runs)
	b.Ref(12, empty)
	buf, ok := b.Finish(nil, b.EndTable())
	require.True(t, ok)
	err := VerifyManifestV2(buf)
	require.ErrorIs(t, err, ErrInvalid)
	assert.ErrorContains(t, err, "unfolds")

	// The same with one big key in many block metas.
	b = NewBuilder(0)
	key := b.Bytes(make([]byte, 100_000))
	b.StartTable()
	b.Ref(1, key)
	meta := b.EndTable()
	metas := b.Offsets(repeat(meta))
	b.StartTable()
	b.Ref(0, metas)
	buf, _ = b.Finish(nil, b.EndTable())
	assert.ErrorContains(t, VerifySsTableIndex(buf), "unfolds")
}

func TestVerifyNamesWhatIsWrong(t *testing.T) {
	good := index(3)
	require.NoError(t, VerifySsTableIndex(good))
	for name, c := range map[string]struct {
		buf  []byte
		want string
	}{
		"empty":              {nil, "leave the buffer"},
		"root outside":       {[]byte{200, 0, 0, 0, 0, 0, 0, 0}, "leaves the buffer"},
		"root at itself":     {make([]byte, 8), "offset 0"},
		"root not aligned":   {append([]byte{6, 0, 0, 0}, good[4:]...), "aligned"},
		"required is absent": {func() []byte { b := NewBuilder(0); b.StartTable(); o, _ := b.Finish(nil, b.EndTable()); return o }(), "missing"},
	} {
		err := VerifySsTableIndex(c.buf)
		assert.ErrorIs(t, err, ErrInvalid, name)
		assert.ErrorContains(t, err, c.want, name)
	}
	// A string must end with a zero and be UTF-8.
	text := func(s string) []byte {
		b := NewBuilder(0)
		at, none := b.String(s), b.Offsets(nil)
		b.StartTable()
		for _, slot := range []int{8, 9, 10, 12} {
			b.Ref(slot, none)
		}
		b.Ref(17, at)
		out, _ := b.Finish(nil, b.EndTable())
		return out
	}
	ok := text("name")
	require.NoError(t, VerifyManifestV2(ok))
	assert.ErrorContains(t, VerifyManifestV2(text("na\xffme")), "UTF-8")
	i := strings.Index(string(ok), "name")
	ok[i+4] = 'x'
	assert.ErrorContains(t, VerifyManifestV2(ok), "terminator")
}

// The builder must write what the runtime's builder writes, but for vtables of tables of
// different length.
func TestBuilderReadsBack(t *testing.T) {
	buf := index(300)
	x := GetRootAsSsTableIndex(buf, 0)
	require.Equal(t, 300, x.BlockMetaLength())
	var m BlockMeta
	for i := range 300 {
		require.True(t, x.BlockMeta(&m, i))
		assert.Equal(t, uint64(i)*4096, m.Offset())
		assert.Equal(t, uint64(i)*7919, binary.BigEndian.Uint64(m.FirstKeyBytes()))
	}
	_, ok := NewBuilder(0).Finish(nil, 0)
	assert.True(t, ok)
}

func FuzzVerify(f *testing.F) {
	for _, b := range goldens(f, ".manifest", 1)[:3] {
		f.Add(uint8(3), b)
	}
	for _, b := range goldens(f, ".manifest", 2)[:5] {
		f.Add(uint8(4), b)
	}
	for _, b := range goldens(f, ".compactions", 2)[:5] {
		f.Add(uint8(5), b)
	}
	f.Add(uint8(1), index(3))
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		r := roots[int(which)%len(roots)]
		if r.verify(b) == nil {
			var w walker
			w.walk(reflect.ValueOf(r.open(b)))
		}
	})
}

func BenchmarkVerifyIndex(b *testing.B) {
	buf := index(16 << 10)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if err := VerifySsTableIndex(buf); err != nil {
			b.Fatal(err)
		}
	}
}
