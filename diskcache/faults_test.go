package diskcache

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/memfs"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// damages are what can become of a file: by a crash, a power cut, or a rotten disk.
func damages(r *rand.Rand) map[string]func(b []byte) []byte {
	at := func(b []byte) int { return r.IntN(max(1, len(b))) }
	return map[string]func(b []byte) []byte{
		"torn":       func(b []byte) []byte { return b[:at(b)] },
		"zeroed":     func(b []byte) []byte { return make([]byte, len(b)) },
		"zero pages": func(b []byte) []byte { i := at(b) &^ 4095; clear(b[i:min(i+8192, len(b))]); return b },
		"truncated":  func(b []byte) []byte { return b[:min(len(b), superLen+100)] },
		"empty":      func(b []byte) []byte { return b[:0] },
		"a bit":      func(b []byte) []byte { b[at(b)] ^= 1 << r.IntN(8); return b },
		"a bit of the head": func(b []byte) []byte {
			b[r.IntN(superLen)] ^= 1 << r.IntN(8)
			return b
		},
		"a bit of the entries": func(b []byte) []byte {
			i := superLen + r.IntN(entryLen*10)
			b[i] ^= 1 << r.IntN(8)
			return b
		},
		"entries of another place": func(b []byte) []byte {
			e := bytes.Clone(b[superLen : superLen+entryLen])
			copy(b[superLen:], b[superLen+entryLen:superLen+2*entryLen])
			copy(b[superLen+entryLen:], e)
			return b
		},
		"parts of another place": func(b []byte) []byte {
			i := int(dataAt(64))
			e := bytes.Clone(b[i : i+testPart])
			copy(b[i:], b[i+testPart:i+2*testPart])
			copy(b[i+testPart:], e)
			return b
		},
		"noise": func(b []byte) []byte {
			for range 100 {
				b[at(b)] = byte(r.Uint32())
			}
			return b
		},
	}
}

const slabZero = "/disk/slatedb-parts/000000.slab"

// TestI4_DamagedFiles: torn, zeroed, truncated and flipped files, found at the start or under
// an open cache: every answer is right, and afterwards the cache is warm again.
func TestI4_DamagedFiles(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for name, damage := range damages(r) {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/running=%v", name, running), func(t *testing.T) {
				for range 4 {
					w := newWorld(t, 8, 64)
					w.all()
					if !running {
						w.c.Close()
					}
					w.fs.Change(slabZero, func(b []byte) []byte { return damage(b) })
					if !running {
						w.fs = w.fs.Again()
						w.open()
					}
					w.all()
					w.check()
					w.all()
					requests, _ := w.reads(w.all)
					if running || w.c.Stats().WriteErrors == 0 && len(w.c.avoid) == 0 {
						require.Zero(t, requests, "warm again")
					}
					w.c.Close()
				}
			})
		}
	}
}

// TestI4_EntriesAreChecked: every single flipped bit of an entry makes it invalid.
func TestI4_EntriesAreChecked(t *testing.T) {
	e := entry{key: partKey{identify("s", "k"), 7}, n: 1000, seq: 99}
	e.sum(make([]byte, 1000), testPart)
	b := e.append(nil, 3, 4)
	require.Len(t, b, entryLen)
	got, ok := decodeEntry(b, 3, 4, testPart)
	require.True(t, ok)
	require.Equal(t, e, got)
	_, ok = decodeEntry(b, 3, 5, testPart)
	require.False(t, ok, "an entry of another slot")
	for i := range 8 * entryLen {
		b[i/8] ^= 1 << (i % 8)
		_, ok := decodeEntry(b, 3, 4, testPart)
		require.False(t, ok, "bit %d", i)
		b[i/8] ^= 1 << (i % 8)
	}
}

// TestI6_DiskErrorsCostOnlySpeed: EIO, EACCES, ENOSPC, short writes and a removed directory,
// for every kind of operation: no read fails, the failure is counted, and the cache comes back
// when the disk does.
func TestI6_DiskErrorsCostOnlySpeed(t *testing.T) {
	for _, kind := range []string{"mkdir", "open", "create", "list", "lock", "read", "write"} {
		for _, fault := range []memfs.Verdict{{Err: memfs.ErrIO}, {Err: fs.ErrPermission}, {Err: memfs.ErrFull}, {Err: memfs.ErrFull, Short: true}} {
			for _, from := range []string{"start", "warm"} {
				t.Run(fmt.Sprintf("%s/%v/short=%v/%s", kind, fault.Err, fault.Short, from), func(t *testing.T) {
					w := newWorld(t, 8, 20)
					if from == "warm" {
						w.all()
					}
					w.c.Close()
					w.fs = w.fs.Again()
					broken := func(op memfs.Op) memfs.Verdict {
						if op.Kind == kind {
							return fault
						}
						return memfs.Verdict{}
					}
					if from == "start" || kind != "read" && kind != "write" && kind != "create" {
						w.fs.Hook(broken)
					}
					w.open()
					w.fs.Hook(broken)
					w.all()
					w.all()
					if kind != "open" || from == "warm" { // a new disk opens nothing
						s := w.c.Stats()
						if kind != "create" || from == "start" { // a warm one has its files
							require.NotZero(t, s.ReadErrors+s.WriteErrors, "counted")
						}
					}
					w.fs.Hook(nil)
					w.skip(2 * time.Minute)
					w.all()
					w.all()
					if kind == "open" && from == "warm" {
						// The file that could not be opened is left alone until the next start.
						w.reopen()
						w.all()
					}
					require.NotZero(t, w.c.Stats().Parts, "back")
					require.False(t, w.c.Stats().Off)
					w.check()
					w.c.Close()
				})
			}
		}
	}
}

// TestI6_DirectoryRemoved: open files go on serving; the look after ScanInterval makes the
// directory anew. A directory removed before the first file is made anew at once.
func TestI6_DirectoryRemoved(t *testing.T) {
	w := newWorld(t, 8, 64)
	w.fs.RemoveAll("/disk")
	w.all()
	w.skip(time.Minute)
	w.all()
	w.all()
	require.Contains(t, w.fs.Names(), slabZero)
	w.fs.RemoveAll("/disk")
	requests, _ := w.reads(w.all)
	require.Zero(t, requests, "what is open is still there")
	w.skip(2 * time.Hour)
	w.put("db/compacted/later.sst", make([]byte, 10))
	w.all() // the miss looks
	w.all()
	require.Contains(t, w.fs.Names(), slabZero)
	w.check()
	w.reopen()
	requests, _ = w.reads(w.all)
	require.Zero(t, requests)
	w.c.Close()
}

// TestI6_FullDiskKeepsServing: a disk that fills up keeps what it has; after the wait it is
// tried again. While it is full a miss fetches no more than was asked for.
func TestI6_FullDiskKeepsServing(t *testing.T) {
	w := newWorld(t, 20, 128)
	for _, k := range w.keys[:8] {
		w.get(k, 0, len(w.tables[k]))
	}
	w.settle()
	held := w.c.Stats().Parts
	w.fs.Limit(w.fs.Used())
	w.all()
	s := w.c.Stats()
	require.GreaterOrEqual(t, s.Parts, held)
	require.NotZero(t, s.WriteErrors)
	require.LessOrEqual(t, s.WriteErrors, int64(3), "not tried again and again")
	k := w.keys[19]
	requests, n := w.reads(func() { w.get(k, 0, 7) })
	require.Equal(t, []int{1, 7}, []int{requests, n})
	requests, _ = w.reads(func() { w.get(w.keys[0], 0, len(w.tables[w.keys[0]])) })
	require.Zero(t, requests)
	w.fs.Limit(0)
	w.skip(2 * time.Minute)
	w.all()
	requests, _ = w.reads(w.all)
	require.Zero(t, requests)
	w.check()
	w.c.Close()
}

// TestJ7_PowerCut: nothing is ever synced, so a power cut may leave any mixture of old and new
// pages, names without content, and zeros. What is read afterwards is right.
func TestJ7_PowerCut(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 60 {
		w := newWorld(t, 12, 30)
		for range 60 {
			w.random(r)
		}
		w.settle()
		before := map[string][]byte{}
		for _, n := range w.fs.Names() {
			w.fs.Change(n, func(b []byte) []byte { before[n] = bytes.Clone(b); return b })
		}
		for range 60 {
			w.random(r)
		}
		mixed := w.fs
		w.settle()
		mixed.PowerCut(func(name string, _, written []byte) []byte {
			out := make([]byte, len(written))
			for at := 0; at < len(out); at += 512 {
				end := min(at+512, len(out))
				switch old := before[name]; r.IntN(4) {
				case 0: // lost: zeros
				case 1:
					if at < len(old) {
						copy(out[at:end], old[at:])
					}
				default:
					copy(out[at:end], written[at:])
				}
			}
			if r.IntN(4) == 0 {
				out = out[:r.IntN(len(out))]
			}
			return out
		})
		w.c.Close()
		w.fs = w.fs.Again()
		w.open()
		w.all()
		w.check()
		w.c.Close()
	}
}

// TestJ9_NamesThatVanish: a listing of the directory shows files that are gone when they are
// opened, and a listing of the store is never answered by the cache.
func TestJ9_NamesThatVanish(t *testing.T) {
	w := newWorld(t, 8, 64)
	w.all()
	w.c.Close()
	w.fs = w.fs.Again()
	gone := w.fs
	w.fs.Hook(func(op memfs.Op) memfs.Verdict {
		if op.Kind == "open" {
			gone.Change(slabZero, func([]byte) []byte { return nil })
		}
		return memfs.Verdict{}
	})
	w.open()
	w.fs.Hook(nil)
	w.all()
	w.check()

	// The store shows less in its listing than it has: tables are read by name all the same,
	// and what it hides is not made up from what is cached.
	w.store.Script(faulty.Rule{Method: "list", Kind: faulty.Hide})
	for a, err := range w.read.List(t.Context(), "", "") {
		t.Fatal(a, err)
	}
	w.all()
	require.NoError(t, w.read.Delete(t.Context(), w.keys[0]))
	_, err := w.read.Head(t.Context(), w.keys[0])
	require.ErrorIs(t, err, objstore.ErrNotFound)
	w.c.Close()
}

// TestCrashAtEveryStep kills the process at each operation of the disk, with and without half
// of a write done. The next process answers right, stays inside its bound, and is warm with
// what was there before.
func TestCrashAtEveryStep(t *testing.T) {
	script := func(w *world) {
		for i := range 30 {
			k := w.keys[i%len(w.keys)]
			p := make([]byte, len(w.tables[k]))
			_, err := w.read.ReadAt(context.Background(), k, p, 0)
			require.NoError(w.t, err)
			require.Equal(w.t, w.tables[k], p)
			w.settle()
		}
	}
	w := newWorld(t, 6, 16)
	script(w)
	steps := w.fs.Ops()
	w.c.Close()
	require.Greater(t, steps, 50)
	for _, half := range []bool{false, true} {
		for n := 1; n <= steps; n += 1 + n/40 {
			w := newWorld(t, 6, 16)
			w.c.Close()
			w.fs = memfs.New()
			w.fs.CrashAt(n, half)
			w.open()
			script(w)
			held := w.c.Stats().Parts
			w.c.Close()
			w.fs = w.fs.Again()
			w.open()
			if held > 0 && !w.c.Stats().Off {
				require.GreaterOrEqual(t, w.c.Stats().Parts, held-1, "all but the part of the crash, at step %d", n)
			}
			w.all()
			script(w)
			w.check()
			w.c.Close()
		}
	}
}

// TestAnswersUnderRandomFaults is the property: whatever the disk does, answers are those of
// the store.
func TestAnswersUnderRandomFaults(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, 15, 8+r.IntN(60))
		all := damages(r)
		for range 25 {
			rate := r.IntN(3)
			dice := rand.New(rand.NewPCG(seed, r.Uint64()))
			lock := make(chan struct{}, 1)
			w.fs.Hook(func(op memfs.Op) memfs.Verdict {
				lock <- struct{}{}
				n := dice.IntN(20)
				<-lock
				if n < rate {
					return memfs.Verdict{Err: memfs.ErrIO, Short: n == 0}
				}
				return memfs.Verdict{}
			})
			for range 20 {
				w.random(r)
			}
			w.settle()
			w.skip(time.Duration(r.IntN(100)) * time.Minute)
			switch r.IntN(6) {
			case 0:
				w.c.Close()
				w.fs = w.fs.Again()
				if r.IntN(2) == 0 {
					w.opts.MaxBytes = slabBytes(8+r.IntN(60), testPart)
				}
				w.open()
			case 1:
				for name, f := range all {
					if strings.Contains(name, "place") || strings.Contains(name, "entries") {
						continue
					}
					if b := w.fs.Names(); len(b) > 0 {
						w.fs.Change(b[0], func(b []byte) []byte {
							if len(b) < superLen {
								return b
							}
							return f(b)
						})
					}
					break
				}
			case 2:
				k := w.keys[r.IntN(len(w.keys))]
				w.read.Release(k)
			case 3:
				w.fs.Limit(int64(r.IntN(60 * testPart)))
			}
		}
		w.fs.Hook(nil)
		w.all()
		w.c.Close()
	}
}

func FuzzDecode(f *testing.F) {
	e := entry{key: partKey{identify("s", "k"), 1}, n: 10, seq: 1}
	e.sum(make([]byte, 10), testPart)
	g := geometry{part: testPart, perSlab: 4, slabs: 1, last: 4}
	f.Add(e.append(nil, 0, 0))
	f.Add(g.superblock(0))
	f.Add(trailer(e.key.object, 100, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := decodeEntry(b, 0, 0, testPart); ok {
			require.Equal(t, b[:entryLen-4], append([]byte(nil), e.append(nil, 0, 0)[:entryLen-4]...))
			e.check(b, 0, testPart)
		}
		if g.judgeHead(b, 0) == ours {
			require.Equal(t, g.superblock(0), b)
		}
		_ = judgeTrailer(b, e.key.object, int64(len(b)))
		_, _ = slabNumber(string(b))
	})
}
