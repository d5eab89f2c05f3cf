package compactor_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/manifest"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// dump lists every row of the tables that the newest manifest of "db" names.
func dump(t testing.TB, s objstore.Store) []string {
	m, err := manifest.NewStore(s, "db", seam.New(seam.Env{})).Latest(context.Background())
	require.NoError(t, err)
	var out []string
	for v := range m.Views() {
		o, err := s.Get(context.Background(), v.Table.ID.Object("db"))
		require.NoError(t, err)
		table, err := sst.OpenObject(o.Key, o.Body, nil)
		require.NoError(t, err)
		it := table.Rows()
		for it.Next() {
			e := it.Entry()
			out = append(out, fmt.Sprintf("%s@%d %s %q create %d expire %d", e.Key, e.Seq, e.Kind, e.Value, e.CreateTS, e.ExpireTS))
		}
		require.NoError(t, it.Err())
	}
	return out
}
