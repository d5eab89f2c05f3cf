package objstore

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func benchStores(b *testing.B, run func(b *testing.B, s Store)) {
	b.Run("store=memory", func(b *testing.B) { run(b, NewMemory()) })
	b.Run("store=dir", func(b *testing.B) {
		s, err := NewDir(b.TempDir())
		require.NoError(b, err)
		run(b, s)
	})
	b.Run("store=dir/sync=no", func(b *testing.B) {
		s, _ := newDir(b)
		run(b, s)
	})
}

func BenchmarkReadAt(b *testing.B) {
	benchStores(b, func(b *testing.B, s Store) {
		_, err := s.Put(b.Context(), "db/compacted/01.sst", make([]byte, 1<<20), Always)
		require.NoError(b, err)
		p := make([]byte, 4096)
		b.SetBytes(4096)
		b.ReportAllocs()
		for b.Loop() {
			_, _ = s.ReadAt(b.Context(), "db/compacted/01.sst", p, 8192)
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	benchStores(b, func(b *testing.B, s Store) {
		body := make([]byte, 4096)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			_, _ = s.Put(b.Context(), fmt.Sprintf("db/wal/%020d.sst", i), body, IfAbsent())
			i++
		}
	})
}

func BenchmarkList(b *testing.B) {
	benchStores(b, func(b *testing.B, s Store) {
		if d, ok := s.(*dirStore); ok && !d.noSync {
			b.Skip("as without sync")
		}
		for i := range 1000 {
			mustPut(b, s, fmt.Sprintf("db/wal/%020d.sst", i), "")
		}
		b.ReportAllocs()
		for b.Loop() {
			for range s.List(b.Context(), "db/wal/", "") {
			}
		}
	})
}
