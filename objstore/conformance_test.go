package objstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/storetest"
)

func TestConformance(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) objstore.Store { return objstore.NewMemory() })
	})
	t.Run("dir", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) objstore.Store {
			s, err := objstore.NewDir(t.TempDir())
			require.NoError(t, err)
			return s
		})
	})
	t.Run("dir without sync", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) objstore.Store {
			s, err := objstore.NewDirWithOptions(t.TempDir(), objstore.DirOptions{NoSync: true})
			require.NoError(t, err)
			return s
		})
	})
	t.Run("prefix of memory", func(t *testing.T) {
		storetest.Run(t, func(*testing.T) objstore.Store {
			s := objstore.NewMemory()
			for _, stranger := range []string{"db", "db-", "db0/a", "d", "other/db/x"} {
				_, err := s.Put(t.Context(), stranger, nil, objstore.Always)
				require.NoError(t, err)
			}
			return objstore.WithPrefix(s, "db")
		})
	})
	t.Run("prefix of dir", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) objstore.Store {
			s, err := objstore.NewDirWithOptions(t.TempDir(), objstore.DirOptions{NoSync: true})
			require.NoError(t, err)
			return objstore.WithPrefix(s, "some/db")
		})
	})
}
