package cache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/sst"
)

func key(n int) sst.TableKey {
	var u ulid.ULID
	u[3], u[14], u[15] = 1, byte(n>>8), byte(n)
	return sst.TableKey{Scope: 1, ID: sst.TableID(u)}
}

// block makes a block with one row, charged about size bytes.
func block(t require.TestingT, size int) *sst.Block {
	var b sst.BlockBuilder
	dst := b.Reset(nil, size)
	dst = b.Append(dst, &kv.Entry{Key: []byte("k"), Value: make([]byte, max(0, size-150)), Seq: 1, CreateTS: kv.NoTS, ExpireTS: kv.NoTS})
	x, err := sst.DecodeBlock(b.Finish(dst), sst.FormatV2)
	require.NoError(t, err)
	return x
}

// meta makes metadata of its own, charged about 500 bytes.
func meta(t require.TestingT) *sst.Meta {
	w := sst.NewWriter(sst.WriterOptions{})
	require.NoError(t, w.Add(&kv.Entry{Key: []byte("k"), Seq: 1, CreateTS: kv.NoTS, ExpireTS: kv.NoTS}))
	body, _, err := w.Finish()
	require.NoError(t, err)
	o, err := sst.OpenObject("o", body, nil)
	require.NoError(t, err)
	m, err := o.Meta()
	require.NoError(t, err)
	return m
}

func sized(c *Cache, n, blocks int) *sst.Cells {
	cells := c.Cells(key(n))
	cells.Size(blocks)
	return cells
}

// checkInvariants recounts everything: bytes are the sum of what hangs in the cells, within
// the budget, and each has one entry.
func (c *Cache) checkInvariants(t require.TestingT) {
	shards := []*shard{&c.meta}
	for i := range c.blocks {
		shards = append(shards, &c.blocks[i])
	}
	for _, s := range shards {
		s.mu.Lock()
		sum, stale := int64(0), 0
		seen := map[flightKey]bool{}
		for _, e := range s.mu.ring {
			v := load(e.cells, e.i)
			if v == (sst.Loaded{}) {
				stale++
				continue
			}
			require.False(t, seen[flightKey(e)], "two entries")
			seen[flightKey(e)] = true
			sum += charge(v)
		}
		require.Equal(t, sum, s.mu.bytes)
		require.Equal(t, stale, s.mu.stale)
		require.LessOrEqual(t, s.mu.bytes, s.budget)
		require.LessOrEqual(t, s.mu.hand, len(s.mu.ring))
		s.mu.Unlock()
	}
}

func TestShardCount(t *testing.T) {
	for _, c := range []struct {
		budget int64
		procs  int
		want   int
	}{
		{512 << 20, 2, 8}, {512 << 20, 3, 16}, {512 << 20, 64, 256}, {64 << 20, 64, 64}, {3 << 20, 8, 2}, {1 << 20, 8, 1}, {10, 8, 1}, {0, 1, 1},
	} {
		require.Equal(t, c.want, shardCount(c.budget, c.procs), "%d bytes, %d procs", c.budget, c.procs)
	}
}

func TestUsedBlocksSurviveASweep(t *testing.T) {
	c := New(Options{BlockBytes: 10 * block(t, 1000).Bytes()})
	cells := sized(c, 1, 100)
	for i := range 10 {
		c.Admit(cells, i, block(t, 1000))
	}
	require.Equal(t, 10, c.Stats().Blocks.Entries)
	for i := range 5 {
		require.NotNil(t, cells.Block(i))
	}
	for i := 10; i < 15; i++ {
		c.Admit(cells, i, block(t, 1000))
		c.checkInvariants(t)
	}
	for i := range 15 {
		require.Equal(t, i < 5 || i >= 10, cells.Blocks()[i].Load() != nil, "block %d", i)
	}
	st := c.Stats().Blocks
	require.EqualValues(t, 5, st.Evictions)
	require.EqualValues(t, 15, st.Admits)
}

func TestTinyAndNegativeBudgets(t *testing.T) {
	for _, budget := range []int64{-1, 1, 500} {
		c := New(Options{BlockBytes: budget, MetaBytes: -1})
		cells := sized(c, 1, 10)
		c.Admit(cells, 0, block(t, 1000))
		c.AdmitMeta(cells, meta(t))
		c.Admit(cells, -1, block(t, 10))
		c.Admit(cells, 10, block(t, 10)) // no such cell
		c.checkInvariants(t)
		require.Zero(t, c.Stats().Blocks.Bytes)
		require.EqualValues(t, 1, c.Stats().Blocks.Rejected)
		l, leader := c.Join(cells, 3)
		require.True(t, leader)
		c.Finish(cells, 3, l, sst.Loaded{Block: block(t, 2000)}, nil, true)
		require.Nil(t, cells.Block(3))
	}
}

func TestJoinSharesOneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{})
		cells := sized(c, 1, 10)
		l, leader := c.Join(cells, 4)
		require.True(t, leader)
		b := block(t, 100)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				l, leader := c.Join(cells, 4)
				require.False(t, leader)
				v, err := l.Wait(t.Context())
				require.NoError(t, err)
				require.Same(t, b, v.Block)
			})
		}
		synctest.Wait()
		require.Equal(t, 1, c.Stats().Blocks.Loading)
		require.EqualValues(t, 5, c.Stats().Blocks.Joins)
		c.Finish(cells, 4, l, sst.Loaded{Block: b}, nil, true)
		wg.Wait()
		require.Zero(t, c.Stats().Blocks.Loading)

		// Who comes later finds it; who comes after a failure starts again.
		l, leader = c.Join(cells, 4)
		require.False(t, leader)
		v, err := l.Wait(t.Context())
		require.NoError(t, err)
		require.Same(t, b, v.Block)
		l, leader = c.Join(cells, 5)
		require.True(t, leader)
		c.Finish(cells, 5, l, sst.Loaded{}, errors.New("boom"), true)
		_, leader = c.Join(cells, 5)
		require.True(t, leader)
		require.EqualValues(t, 1, c.Stats().Blocks.Errors)
	})
}

func TestDropGivesBytesBackAtOnce(t *testing.T) {
	c := New(Options{BlockBytes: 64 << 20})
	require.Greater(t, len(c.blocks), 1)
	keep, drop := sized(c, 1, 100), sized(c, 2, 100)
	for i := range 100 {
		c.Admit(keep, i, block(t, 1000))
		c.Admit(drop, i, block(t, 1000))
	}
	c.AdmitMeta(drop, meta(t))
	require.Equal(t, 1, c.Stats().Meta.Entries)
	one := c.Stats().Blocks.Bytes / 2
	_, leader := c.Join(drop, sst.MetaBlock)
	require.False(t, leader, "it is there")
	c.Drop(key(2))
	c.checkInvariants(t)
	require.Equal(t, one, c.Stats().Blocks.Bytes)
	require.Equal(t, 100, c.Stats().Blocks.Entries)
	require.Zero(t, c.Stats().Meta.Bytes)
	require.True(t, drop.Dropped.Load())
	c.Admit(drop, 3, block(t, 1000))
	require.Nil(t, drop.Block(3))
	require.NotSame(t, drop, c.Cells(key(2)))
	c.Drop(key(77)) // unknown

	// Filling and dropping for ever does not grow the rings.
	for n := range 200 {
		cells := sized(c, 10+n, 100)
		for i := range 100 {
			c.Admit(cells, i, block(t, 200))
		}
		c.Drop(key(10 + n))
	}
	c.checkInvariants(t)
	entries := 0
	for i := range c.blocks {
		entries += len(c.blocks[i].mu.ring)
	}
	require.LessOrEqual(t, entries, 300)
	require.Equal(t, 100, c.Stats().Blocks.Entries)
}

func TestCellsOfUnusedTablesAreForgotten(t *testing.T) {
	c := New(Options{})
	held := sized(c, 0, 1)
	for n := 1; n < 20_000; n++ {
		sized(c, n, 1)
		if n%2_000 == 0 {
			runtime.GC()
		}
	}
	require.Less(t, c.Stats().Tables, 15_000)
	require.Same(t, held, c.Cells(key(0)))
	// What holds a block is kept by the ring alone.
	c.Admit(sized(c, 5, 1), 0, block(t, 100))
	runtime.GC()
	require.NotNil(t, c.Cells(key(5)).Block(0))
	runtime.KeepAlive(held)
}

func TestCloseEmpties(t *testing.T) {
	c := New(Options{})
	cells := sized(c, 1, 10)
	c.Admit(cells, 1, block(t, 100))
	l, _ := c.Join(cells, 2)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	require.Nil(t, cells.Block(1))
	c.Finish(cells, 2, l, sst.Loaded{Block: block(t, 100)}, nil, true)
	v, err := l.Wait(t.Context())
	require.NoError(t, err)
	require.NotNil(t, v.Block)
	require.Nil(t, cells.Block(2))
	require.Zero(t, c.Stats().Blocks.Bytes)
}

func TestI1_ScopesKeepDatabasesApart(t *testing.T) {
	c := New(Options{})
	a, b := c.Scope("a"), c.Scope("b")
	require.NotEqual(t, a, b)
	require.Equal(t, a, c.Scope("a"))
	id := key(1).ID
	x, y := c.Cells(sst.TableKey{Scope: a, ID: id}), c.Cells(sst.TableKey{Scope: b, ID: id})
	require.NotSame(t, x, y)
	require.Same(t, x, c.Cells(sst.TableKey{Scope: a, ID: id}))
}

func TestCacheStateMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(Options{BlockBytes: int64(rapid.IntRange(200, 20_000).Draw(t, "budget")), MetaBytes: 1000})
		if rapid.Bool().Draw(t, "sharded") {
			c.blocks = make([]shard, 4)
			for i := range c.blocks {
				c.blocks[i].init(c.opts.BlockBytes / 4)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { c.checkInvariants(t) },
			"admit": func(t *rapid.T) {
				cells := sized(c, rapid.IntRange(0, 3).Draw(t, "table"), 20)
				c.Admit(cells, rapid.IntRange(0, 21).Draw(t, "i"), block(t, rapid.IntRange(150, 3000).Draw(t, "size")))
			},
			"meta": func(t *rapid.T) { c.AdmitMeta(sized(c, rapid.IntRange(0, 3).Draw(t, "table"), 20), meta(t)) },
			"touch": func(t *rapid.T) {
				sized(c, rapid.IntRange(0, 3).Draw(t, "table"), 20).Block(rapid.IntRange(0, 19).Draw(t, "i"))
			},
			"drop": func(t *rapid.T) { c.Drop(key(rapid.IntRange(0, 3).Draw(t, "table"))) },
		})
	})
}

// TestStress lets many goroutines load, admit, hit and drop, while another checks that the
// budget is never passed.
func TestStress(t *testing.T) {
	c := New(Options{BlockBytes: 4 << 20, MetaBytes: 1 << 20})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range 4000 {
				cells := sized(c, r.IntN(20), 200)
				i := r.IntN(200)
				switch op := r.IntN(100); {
				case op < 1:
					c.Drop(cells.Key)
				case op < 40:
					cells.Block(i)
				case op < 60:
					c.Admit(cells, i, block(t, 500<<r.IntN(4)))
				default:
					l, leader := c.Join(cells, i)
					if leader {
						c.Finish(cells, i, l, sst.Loaded{Block: block(t, 500<<r.IntN(4))}, nil, op < 95)
					} else if v, err := l.Wait(t.Context()); err != nil || v.Block == nil {
						t.Error("no block", err)
					}
				}
				if st := c.Stats().Blocks; st.Bytes > st.Budget {
					t.Errorf("%d bytes of %d", st.Bytes, st.Budget)
				}
			}
		})
	}
	wg.Wait()
	c.checkInvariants(t)
	require.Zero(t, c.Stats().Blocks.Loading)
	for n := range 20 {
		c.Drop(key(n))
	}
	require.Zero(t, c.Stats().Blocks.Bytes)
}

func BenchmarkHit(b *testing.B) {
	c := New(Options{})
	cells := sized(c, 1, 1024)
	for i := range 1024 {
		c.Admit(cells, i, block(b, 4096))
	}
	b.ReportAllocs()
	for _, par := range []bool{false, true} {
		b.Run(fmt.Sprintf("parallel=%t", par), func(b *testing.B) {
			b.ReportAllocs()
			if par {
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						cells.Block(i & 1023)
					}
				})
				return
			}
			i := 0
			for b.Loop() {
				cells.Block(i & 1023)
				i++
			}
		})
	}
}

func BenchmarkAdmitEvict(b *testing.B) {
	c := New(Options{BlockBytes: 64 << 20})
	cells := sized(c, 1, 1<<20)
	blocks := make([]*sst.Block, 1024)
	for i := range blocks {
		blocks[i] = block(b, 4096)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c.Admit(cells, i&(1<<20-1), blocks[i&1023])
		i++
	}
}
