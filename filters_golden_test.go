package slatedb

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// The filters of tables that the Rust engine wrote are understood: prefixes and points that are
// not there are turned away without a data block.
func TestGoldenFiltersAreEffective(t *testing.T) {
	ctx := context.Background()
	s := memoryCopy(t, golden018+"/filters/store")
	for _, c := range []struct {
		name          string
		policies      []FilterPolicy
		point, prefix bool
	}{
		{"all of them", goldenReaderOptions("filters", s).FilterPolicies, true, true},
		{"whole keys", []FilterPolicy{BloomFilter(1, BloomOptions{})}, true, false}, // the number of bits is no part of the name
		{"prefixes", []FilterPolicy{BloomFilter(10, BloomOptions{Extractor: fixed3{}, NoWholeKeys: true})}, true, true},
		{"nothing in it", []FilterPolicy{BloomFilter(8, BloomOptions{NoWholeKeys: true})}, false, false},
		{"other extractor", []FilterPolicy{BloomFilter(10, BloomOptions{Extractor: PrefixLength(2)})}, false, false},
		{"none", []FilterPolicy{}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := goldenReaderOptions("filters", s)
			o.FilterPolicies = c.policies
			r, err := OpenReader(ctx, "db", o)
			require.NoError(t, err)
			defer r.Close(ctx)
			rows := scanAll(t, r, nil)
			require.NotEmpty(t, rows)
			for _, e := range rows {
				v, err := r.Get(ctx, e.Key)
				require.NoError(t, err, "get %q", e.Key)
				require.Equal(t, e.Value, v)
				if len(e.Key) >= 3 {
					require.NotEmpty(t, scanRows(t, r, Prefix(e.Key[:3]), nil), "prefix %q", e.Key[:3])
				}
			}
			negative := func(kind string) float64 {
				return metric(t, r.Metrics(), "slatedb.db.sst_filter_negative_count", "kind", kind)
			}
			points, prefixes := negative("point"), negative("prefix")
			for _, e := range rows {
				absent := append([]byte{e.Key[0], 0x01, 0x02}, e.Key...)
				_, err := r.Get(ctx, absent)
				require.ErrorIs(t, err, ErrNotFound)
				require.Empty(t, scanRows(t, r, Prefix(absent), nil))
			}
			require.Equal(t, c.point, negative("point") > points)
			require.Equal(t, c.prefix, negative("prefix") > prefixes)
		})
	}
}
