package sst

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func bloomOf(p FilterPolicy, keys ...string) []byte {
	b := p.NewBuilder()
	for _, k := range keys {
		b.Add(&kv.Entry{Key: []byte(k)})
	}
	return b.Build()
}

func TestBloomNames(t *testing.T) {
	for want, o := range map[string]BloomOptions{
		"_bf":               {},
		"_bf:p=fixed3":      {Extractor: fixed3{}},
		"_bf:p=fixed3:wh=0": {Extractor: fixed3{}, NoWholeKeys: true},
		"_bf:wh=0":          {NoWholeKeys: true},
	} {
		assert.Equal(t, want, Bloom(10, o).Name())
	}
}

// The example of the format's specification.
func TestBloomBits(t *testing.T) {
	got := bloomOf(Bloom(10, BloomOptions{}), "aaa", "apple", "apricot", "banana", "cherry", "cherry", "zed")
	assert.Equal(t, []byte{0, 6, 0xe3, 8, 0x71, 0x32, 0x39, 0x35, 0xac, 0x99, 0x42}, got)
}

func TestBloomQueries(t *testing.T) {
	whole, both := Bloom(10, BloomOptions{}), Bloom(10, BloomOptions{Extractor: fixed3{}})
	cuts, none := Bloom(20, BloomOptions{Extractor: fixed3{}, NoWholeKeys: true}), Bloom(8, BloomOptions{NoWholeKeys: true})
	keys := []string{"abcdef", "abcxyz", "qq"}
	for _, c := range []struct {
		name string
		p    FilterPolicy
		q    Query
		want bool
	}{
		{"whole: present", whole, Query{Key: []byte("abcdef")}, true},
		{"whole: absent", whole, Query{Key: []byte("nope")}, false},
		{"whole: prefixes are not answered", whole, Query{Kind: QueryPrefix, Key: []byte("nope")}, true},
		{"whole: ranges are not answered", whole, Query{Kind: QueryRange}, true},
		{"both: absent point with a known prefix", both, Query{Key: []byte("abcnone")}, false},
		{"both: present prefix", both, Query{Kind: QueryPrefix, Key: []byte("abcd")}, true},
		{"both: absent prefix", both, Query{Kind: QueryPrefix, Key: []byte("xyzw")}, false},
		{"both: prefix too short to cut", both, Query{Kind: QueryPrefix, Key: []byte("x")}, true},
		{"cuts: point by its prefix", cuts, Query{Key: []byte("abcnone")}, true},
		{"cuts: point with an unknown prefix", cuts, Query{Key: []byte("xyznone")}, false},
		{"cuts: point too short to cut", cuts, Query{Key: []byte("zz")}, true},
		{"none: answers nothing", none, Query{Key: []byte("nope")}, true},
		{"none: answers no prefix", none, Query{Kind: QueryPrefix, Key: []byte("nope")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := bloomOf(c.p, keys...)
			for range 2 { // the second time from the memo
				got, err := c.p.MayContain(data, &c.q)
				require.NoError(t, err)
				assert.Equal(t, c.want, got)
			}
		})
	}
}

// One query, many tables and more policies than it can remember.
func TestQueryServesManyPolicies(t *testing.T) {
	q := Query{Kind: QueryPrefix, Key: []byte("abcd")}
	for i := range 5 {
		p := Bloom(10+i, BloomOptions{Extractor: fixed3{}})
		for range 2 {
			yes, err := p.MayContain(bloomOf(p, "abcx"), &q)
			require.NoError(t, err)
			assert.True(t, yes)
			no, err := p.MayContain(bloomOf(p, "other"), &q)
			require.NoError(t, err)
			assert.False(t, no)
		}
	}
}

func TestBloomHasNoFalseNegatives(t *testing.T) {
	for _, bits := range []int{0, 1, 2, 7, 10, 33} {
		p := Bloom(bits, BloomOptions{Extractor: fixed3{}})
		b := p.NewBuilder()
		for i := range 500 {
			b.Add(&kv.Entry{Key: fmt.Appendf(nil, "%07d", i)})
		}
		data := b.Build()
		wrong := 0
		for i := range 1000 {
			q := Query{Key: fmt.Appendf(nil, "%07d", i)}
			yes, err := p.MayContain(data, &q)
			require.NoError(t, err)
			if i < 500 && bits > 0 {
				require.True(t, yes, "key %d at %d bits", i, bits)
			} else if yes {
				wrong++
			}
		}
		if bits >= 10 {
			assert.Less(t, wrong, 25, "wrong maybes of 500 at %d bits", bits)
		}
	}
}

func TestH8_HostileFilters(t *testing.T) {
	p := Bloom(10, BloomOptions{})
	q := Query{Key: []byte("key")}
	for _, c := range []struct {
		name string
		data []byte
		want bool
		err  bool
	}{
		{"no bytes", nil, false, true},
		{"one byte", []byte{0}, false, true},
		{"no bits", []byte{0, 6}, false, false},
		{"no bits, most probes", []byte{0xff, 0xff}, false, false},
		{"no probes", []byte{0, 0, 0}, true, false},
		{"most probes, all set", []byte{0xff, 0xff, 0xff}, true, false},
		{"most probes, none set", []byte{0xff, 0xff, 0, 0, 0}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := p.MayContain(c.data, &q)
			if c.err {
				require.ErrorIs(t, err, kv.ErrCorrupt)
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestPruningAcrossPolicies(t *testing.T) {
	whole, cuts := Bloom(10, BloomOptions{}), Bloom(20, BloomOptions{Extractor: fixed3{}, NoWholeKeys: true})
	m := &Meta{Filters: []NamedFilter{
		{"unknown", nil},
		{cuts.Name(), bloomOf(cuts, "abc1")},
		{whole.Name(), bloomOf(whole, "abc1")},
	}}
	ask := func(key string, ps ...FilterPolicy) bool {
		yes, err := mayContain(asking(ps), m, &Query{Key: []byte(key)})
		require.NoError(t, err)
		return yes
	}
	assert.True(t, ask("abc1", whole, cuts))
	assert.False(t, ask("abc2", whole, cuts), "the whole key is enough")
	assert.True(t, ask("abc2", cuts), "the prefix alone does not know")
	assert.False(t, ask("xyz1", cuts))
	assert.True(t, ask("xyz1"), "no policy, no answer")

	m.Filters[2].Data = []byte{1}
	_, err := mayContain(asking([]FilterPolicy{whole}), m, &Query{Key: []byte("abc1")})
	require.ErrorIs(t, err, kv.ErrCorrupt)

	legacy, err := decodeFilters(bloomOf(whole, "abc1"), false)
	require.NoError(t, err)
	m = &Meta{Filters: legacy}
	assert.False(t, ask("nope", whole))
	assert.True(t, ask("nope", Bloom(10, BloomOptions{Extractor: fixed3{}})), "only a policy named exactly _bf may ask it")
}

func TestFilterBlockRoundTripAndDamage(t *testing.T) {
	fs := []NamedFilter{{"_bf", []byte{0, 6, 1}}, {"", []byte{}}, {"größe", []byte("x")}}
	plain := appendFilters(nil, fs)
	got, err := decodeFilters(append(plain, "trailing"...), true)
	require.NoError(t, err)
	assert.Equal(t, fs, got)
	for i := range plain {
		_, err := decodeFilters(plain[:i], true)
		require.ErrorIs(t, err, kv.ErrCorrupt, "cut at %d", i)
	}
	_, err = decodeFilters(appendFilters(nil, []NamedFilter{{"\xff\xfe", nil}}), true)
	require.ErrorIs(t, err, kv.ErrCorrupt, "name is not UTF-8")
	long := binary.BigEndian.AppendUint64([]byte{0, 1, 0, 0}, 1<<63)
	_, err = decodeFilters(long, true)
	require.ErrorIs(t, err, kv.ErrCorrupt)
}

// asking is a reader that has these policies, and nothing else.
func asking(ps []FilterPolicy) *Reader {
	return &Reader{s: NewStore(nil, "", nil, StoreOptions{Policies: ps}), h: &Handle{}, object: "filters"}
}

// mayContain asks a table's filters as reads do.
func mayContain(r *Reader, m *Meta, q *Query) (bool, error) {
	v, _, err := r.mayContain(m, q)
	return v != filterNo, err
}
