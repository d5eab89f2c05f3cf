package diskcache

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
)

// onDisk is a cache on the system's disk with n parts of one big table in it.
func onDisk(tb testing.TB, part int64, n int) (*Cache, *Cached, Config) {
	conf := Config{Options: Options{Dir: tb.TempDir(), PartBytes: part, MaxBytes: 2 * int64(n) * part}, Env: seam.New(seam.Env{})}
	conf.MaxBytes = max(conf.MaxBytes, 4*slabBytes(1, part))
	c, err := Open(conf)
	require.NoError(tb, err)
	o := identify("s", "db/compacted/x.sst")
	data := make([]byte, part)
	for i := range n {
		c.keep(partKey{o, uint32(i)}, data, nil)
	}
	require.EqualValues(tb, n, c.Stats().Parts)
	cached, _ := c.Reads(objstore.NewMemory(), "s", new(Counts))
	return c, cached, conf
}

// TestOnTheSystemsDisk is the life of a cache on real files.
func TestOnTheSystemsDisk(t *testing.T) {
	c, cached, conf := onDisk(t, testPart, 100)
	p := make([]byte, 1000)
	for range 2 {
		for off := int64(0); off < 99*testPart; off += 900 {
			n, err := cached.ReadAt(t.Context(), "db/compacted/x.sst", p, off)
			require.NoError(t, err)
			require.Equal(t, 1000, n)
		}
		c.Close()
		var err error
		c, err = Open(conf)
		require.NoError(t, err)
		cached, _ = c.Reads(objstore.NewMemory(), "s", new(Counts))
	}
	c.Close()
}

func BenchmarkHit(b *testing.B) {
	for _, n := range []int{1 << 10, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			c, cached, _ := onDisk(b, defaultPartBytes, 512)
			defer c.Close()
			p := make([]byte, n)
			ctx := context.Background()
			off := int64(0)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for b.Loop() {
				off = (off*6364136223846793005 + 1442695040888963407) & (1<<62 - 1)
				at := off % (512*defaultPartBytes - int64(n))
				if _, err := cached.ReadAt(ctx, "db/compacted/x.sst", p, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRestart opens a directory with a warm set. The number of parts is what counts, so
// they are small here.
func BenchmarkRestart(b *testing.B) {
	for _, n := range []int{1 << 10, 1 << 15} {
		b.Run(fmt.Sprintf("parts=%d", n), func(b *testing.B) {
			c, _, conf := onDisk(b, testPart, n)
			c.Close()
			b.ReportAllocs()
			for b.Loop() {
				c, err := Open(conf)
				if err != nil || c.Stats().Parts != int64(n) {
					b.Fatal(err, c.Stats())
				}
				c.Close()
			}
			b.ReportMetric(float64(int64(n)*entryLen+int64((n*testPart+slabTarget-1)/slabTarget)*superLen), "bytes-read/op")
		})
	}
}
