package slatedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/faulty"
)

// model is what a database must be: the commits in order, and the map they make.
type model struct {
	commits []modelCommit
	durable uint64 // newest seq that was acknowledged as durable
}

type modelCommit struct {
	seq uint64
	ops []modelOp
}

type modelOp struct {
	key, value string
	del        bool
}

// at returns the sorted rows after every commit up to seq.
func (m *model) at(seq uint64) []Entry {
	rows := map[string]Entry{}
	for _, c := range m.commits {
		if c.seq > seq {
			break
		}
		for _, o := range c.ops {
			if o.del {
				delete(rows, o.key)
			} else {
				rows[o.key] = Entry{Key: []byte(o.key), Value: []byte(o.value), Seq: c.seq}
			}
		}
	}
	out := make([]Entry, 0, len(rows))
	for _, e := range rows {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) })
	return out
}

// cut forgets the commits above seq, which a crash has lost.
func (m *model) cut(seq uint64) {
	m.commits = m.commits[:sort.Search(len(m.commits), func(i int) bool { return m.commits[i].seq > seq })]
}

func (m *model) last() uint64 {
	if len(m.commits) == 0 {
		return 0
	}
	return m.commits[len(m.commits)-1].seq
}

var quiet = slog.New(slog.DiscardHandler)

// machine runs one database and its model side by side.
type machine struct {
	t     *rapid.T
	inner objstore.Store
	store *faulty.Store
	o     Options
	db    *DB
	m     model
	ctx   context.Context

	crashCall  int // armed crash, 0 = none
	crashAfter bool
}

func modelOptions(t *rapid.T) Options {
	return Options{
		L0SSTSizeBytes: rapid.SampledFrom([]int{600, 4 << 10, 1 << 20}).Draw(t, "l0size"),
		BlockSize:      rapid.SampledFrom([]int{1 << 10, 4 << 10}).Draw(t, "block"),
		MinFilterKeys:  rapid.SampledFrom([]int{-1, 0}).Draw(t, "minfilter"),
		Compression:    rapid.SampledFrom([]Codec{NoCompression, Snappy, Zlib, LZ4, Zstd}).Draw(t, "codec"),
		DisableWAL:     rapid.IntRange(0, 3).Draw(t, "wal") == 0,
		L0MaxSSTs:      1 << 20, L0MaxSSTsPerKey: 1 << 20, MaxUnflushedBytes: 64 << 20,
		BlockCacheBytes:  rapid.SampledFrom([]int64{-1, 4 << 10, 1 << 20}).Draw(t, "cache"),
		MetaCacheBytes:   rapid.SampledFrom([]int64{-1, 4 << 10, 1 << 20}).Draw(t, "meta"),
		DisableCompactor: rapid.Bool().Draw(t, "nocompactor"), DisableGC: rapid.Bool().Draw(t, "nogc"),
		Compactor: &CompactorOptions{SizeTiered: SizeTieredOptions{MinSources: 2}, TrivialMove: rapid.Bool().Draw(t, "move"),
			Worker: &WorkerOptions{MaxSSTBytes: 2000, MinSubcompactionBytes: -1}},
		GC:            &GCOptions{MinAge: -1},
		FlushInterval: -1, ManifestPollInterval: -1, Logger: quiet, MaxRetries: 1,
	}
}

func (m *machine) open() {
	m.store, m.crashCall = faulty.New(m.inner, nil), 0
	m.o.Store = m.store
	db, err := Open(m.ctx, "db", &m.o)
	require.NoError(m.t, err)
	m.db = db
	// What came back is a prefix that holds everything acknowledged.
	got := db.Status().CommittedSeq
	require.GreaterOrEqual(m.t, got, m.m.durable, "a durable write is gone")
	require.LessOrEqual(m.t, got, m.m.last(), "more came back than was written")
	m.m.cut(got)
	m.m.durable = max(m.m.durable, got)
	m.check()
}

func (m *machine) check() {
	want := m.m.at(m.m.last())
	for _, o := range []*ScanOptions{nil, {Order: Descending}} {
		got, err := m.rows(o)
		if m.gone(err) {
			return
		}
		require.NoError(m.t, err)
		if o != nil {
			slices.Reverse(got)
		}
		m.compare(want, got)
	}
}

// gone reports whether a read failed because the armed crash has come, by a request of a
// background task, while it ran.
func (m *machine) gone(err error) bool {
	return err != nil && m.store.Crashed() && (errors.Is(err, ErrUnavailable) || errors.Is(err, ErrClosed))
}

func (m *machine) rows(o *ScanOptions) (out []Entry, err error) {
	for e, err := range m.db.Entries(m.ctx, All, o) {
		if err != nil {
			return nil, err
		}
		out = append(out, e.Clone())
	}
	return out, nil
}

func (m *machine) compare(want, got []Entry) {
	require.Equal(m.t, entryStrings(want), entryStrings(got))
}

func entryStrings(es []Entry) []string {
	out := make([]string, len(es))
	for i, e := range es {
		out[i] = fmt.Sprintf("%q=%q@%d", e.Key, short(e.Value), e.Seq)
	}
	return out
}

func short(v []byte) string {
	if len(v) > 40 {
		return fmt.Sprintf("%s…%d", v[:32], len(v))
	}
	return string(v)
}

type failer interface {
	require.TestingT
	Helper()
}

func scanRows(t failer, r ReadOps, rng Range, o *ScanOptions) []Entry {
	var out []Entry
	for e, err := range r.Entries(context.Background(), rng, o) {
		require.NoError(t, err)
		out = append(out, e.Clone())
	}
	return out
}

func drawKey(t *rapid.T) []byte {
	return []byte(rapid.StringMatching(`[ab\x00]{1,4}`).Draw(t, "key"))
}

func drawValue(t *rapid.T) []byte {
	n := rapid.SampledFrom([]int{0, 1, 10, 100, 3000}).Draw(t, "len")
	return bytes.Repeat([]byte{byte('a' + rapid.IntRange(0, 25).Draw(t, "fill"))}, n)
}

func drawRange(t *rapid.T) Range {
	r := Range{StartExclusive: rapid.Bool().Draw(t, "sx"), EndInclusive: rapid.Bool().Draw(t, "ei")}
	if rapid.Bool().Draw(t, "hasStart") {
		r.Start = drawKey(t)
	}
	if rapid.Bool().Draw(t, "hasEnd") {
		r.End = drawKey(t)
	}
	if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
		r.Start, r.End = []byte{}, []byte{}
	}
	return r
}

func inRange(r Range, k []byte) bool {
	if len(r.Start) > 0 {
		if c := bytes.Compare(k, r.Start); c < 0 || c == 0 && r.StartExclusive {
			return false
		}
	}
	if r.End != nil {
		if c := bytes.Compare(k, r.End); c > 0 || c == 0 && !r.EndInclusive {
			return false
		}
	}
	return true
}

// write runs one commit. While the store is dead its outcome is open.
func (m *machine) write(ops []modelOp, wait bool) {
	var b WriteBatch
	for _, o := range ops {
		if o.del {
			b.Delete([]byte(o.key))
		} else {
			b.Put([]byte(o.key), []byte(o.value))
		}
	}
	h, err := m.db.WriteWithOptions(m.ctx, &b, &WriteOptions{NoWait: true})
	if err != nil {
		require.ErrorIs(m.t, err, ErrClosed)
		return
	}
	m.m.commits = append(m.m.commits, modelCommit{h.Seq(), ops})
	if wait {
		if err := h.Await(m.ctx); err == nil {
			m.m.durable = max(m.m.durable, h.Seq())
		} else {
			require.ErrorIs(m.t, err, ErrClosed)
		}
	}
}

func (m *machine) dead() bool { return m.db.Status().Err != nil }

func (m *machine) actions() map[string]func(*rapid.T) {
	alive := func(f func(*rapid.T)) func(*rapid.T) {
		return func(t *rapid.T) {
			m.t = t
			if !m.dead() {
				f(t)
			}
		}
	}
	// A dead store answers nothing: reads then fail as unavailable, which other tests check.
	readable := func(f func(*rapid.T)) func(*rapid.T) {
		return alive(func(t *rapid.T) {
			if !m.store.Crashed() {
				m.store.CrashAt(0, false) // the armed crash waits for a request that is not a read's
				f(t)
				if m.crashCall > 0 {
					m.store.CrashAt(m.crashCall, m.crashAfter)
				}
			}
		})
	}
	return map[string]func(*rapid.T){
		"put": alive(func(t *rapid.T) {
			m.write([]modelOp{{key: string(drawKey(t)), value: string(drawValue(t))}}, rapid.Bool().Draw(t, "wait"))
		}),
		"delete": alive(func(t *rapid.T) {
			m.write([]modelOp{{key: string(drawKey(t)), del: true}}, rapid.Bool().Draw(t, "wait"))
		}),
		"batch": alive(func(t *rapid.T) {
			var ops []modelOp
			for range rapid.IntRange(1, 12).Draw(t, "n") {
				ops = append(ops, modelOp{key: string(drawKey(t)), value: string(drawValue(t)), del: rapid.IntRange(0, 3).Draw(t, "del") == 0})
			}
			m.write(ops, rapid.Bool().Draw(t, "wait"))
		}),
		"get": readable(func(t *rapid.T) {
			k := drawKey(t)
			v, err := m.db.Get(m.ctx, k)
			if m.gone(err) {
				return
			}
			for _, e := range m.m.at(m.m.last()) {
				if bytes.Equal(e.Key, k) {
					require.NoError(t, err)
					require.Equal(t, string(e.Value), string(v))
					require.NotNil(t, v)
					return
				}
			}
			require.ErrorIs(t, err, ErrNotFound)
		}),
		"multiget": readable(func(t *rapid.T) {
			keys := make([][]byte, rapid.IntRange(0, 20).Draw(t, "n"))
			for i := range keys {
				keys[i] = drawKey(t)
			}
			vs, err := m.db.MultiGet(m.ctx, keys, nil)
			if m.gone(err) {
				return
			}
			require.NoError(t, err)
			rows := map[string]string{}
			for _, e := range m.m.at(m.m.last()) {
				rows[string(e.Key)] = string(e.Value)
			}
			for i, k := range keys {
				want, ok := rows[string(k)]
				require.Equal(t, ok, vs[i] != nil, "key %q", k)
				require.Equal(t, want, string(vs[i]))
			}
		}),
		"remote": readable(func(t *rapid.T) {
			for { // uploads go on meanwhile: look until the number stood still
				before := m.db.Status().DurableSeq
				got, err := m.rows(&ScanOptions{Durability: DurabilityRemote})
				if m.gone(err) {
					return
				}
				require.NoError(t, err)
				if m.db.Status().DurableSeq == before {
					m.compare(m.m.at(before), got)
					return
				}
			}
		}),
		"scan": readable(func(t *rapid.T) { m.scan(t) }),
		"flushWAL": alive(func(t *rapid.T) {
			if err := m.db.Flush(m.ctx); err == nil {
				m.m.durable = m.m.last()
			} else {
				require.ErrorIs(t, err, ErrClosed)
			}
		}),
		"flushMemtable": alive(func(t *rapid.T) {
			if err := m.db.FlushWithOptions(m.ctx, &FlushOptions{Type: FlushMemtable}); err == nil {
				m.m.durable = m.m.last()
			} else {
				require.ErrorIs(t, err, ErrClosed)
			}
		}),
		"reopen": func(t *rapid.T) {
			m.t = t
			kind := rapid.SampledFrom([]CloseFlush{CloseFlushMemtable, CloseFlushWAL, CloseNoFlush}).Draw(t, "kind")
			if failed := m.dead(); m.db.CloseWithOptions(m.ctx, &CloseOptions{Flush: kind}) == nil && kind != CloseNoFlush && !failed {
				m.m.durable = m.m.last()
			}
			m.open()
		},
		"takeover": func(t *rapid.T) { // a second writer opens over the first
			m.t = t
			old := m.db
			m.open()
			require.NoError(t, func() error {
				err := old.Put(m.ctx, []byte("zombie"), nil)
				if err == nil {
					return errors.New("a fenced writer got a durable ack")
				}
				return nil
			}())
			_ = old.CloseWithOptions(m.ctx, &CloseOptions{Flush: CloseNoFlush})
		},
		"crash": func(t *rapid.T) { // the store dies at its n-th call from now, before or after the effect
			m.t = t
			m.crashCall, m.crashAfter = rapid.IntRange(1, 6).Draw(t, "call"), rapid.Bool().Draw(t, "after")
			m.store.CrashAt(m.crashCall, m.crashAfter)
		},
		"crashNow": func(t *rapid.T) {
			m.t = t
			m.store.Crash()
			_ = m.db.CloseWithOptions(m.ctx, &CloseOptions{Flush: CloseNoFlush})
			m.open()
		},
		"": func(t *rapid.T) {
			m.t = t
			if m.dead() {
				_ = m.db.Close(m.ctx)
				m.open()
			}
		},
	}
}

// scan walks a random range with random seeks in a random direction against the model.
func (m *machine) scan(t *rapid.T) {
	r := drawRange(t)
	o := &ScanOptions{Order: rapid.SampledFrom([]Order{Ascending, Descending}).Draw(t, "order"), CacheBlocks: rapid.Bool().Draw(t, "fill")}
	it, err := m.db.ScanWithOptions(m.ctx, r, o)
	if r.End != nil && bytes.Compare(r.Start, r.End) > 0 {
		require.ErrorIs(t, err, ErrInvalid)
		return
	}
	if m.gone(err) {
		return
	}
	require.NoError(t, err)
	defer it.Close()
	var want []Entry
	for _, e := range m.m.at(m.m.last()) {
		if inRange(r, e.Key) {
			want = append(want, e)
		}
	}
	cmp := bytes.Compare
	if o.Order == Descending {
		slices.Reverse(want)
		cmp = func(a, b []byte) int { return bytes.Compare(b, a) }
	}
	at := -1 // index in want of the current entry
	for range 3 * (len(want) + 2) {
		if rapid.IntRange(0, 3).Draw(t, "step") > 0 {
			ok := it.Next()
			if m.gone(it.Err()) {
				return
			}
			at = min(at+1, len(want))
			require.Equal(t, at < len(want), ok)
		} else {
			k := drawKey(t)
			if at >= 0 && at < len(want) && cmp(k, want[at].Key) < 0 {
				require.False(t, it.Seek(k))
				require.ErrorIs(t, it.Err(), ErrInvalid)
				require.Equal(t, string(want[at].Key), string(it.Key()), "a refused seek moves nothing")
				continue
			}
			if at >= len(want) {
				return
			}
			at = max(at, 0)
			for at < len(want) && cmp(want[at].Key, k) < 0 {
				at++
			}
			ok := it.Seek(k)
			if m.gone(it.Err()) {
				return
			}
			require.Equal(t, at < len(want), ok, "seek %q", k)
		}
		require.NoError(t, it.Err())
		if at < len(want) {
			require.Equal(t, entryStrings(want[at:at+1]), entryStrings([]Entry{it.Entry()}))
		}
	}
}

// The engine against a sorted map: every operation, reopen, takeover, and a crash at any
// store call, before or after its effect.
func TestModel(t *testing.T) {
	empty := emptyStores(t)
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{t: t, inner: empty(), o: modelOptions(t), ctx: context.Background()}
		m.open()
		defer func() { _ = m.db.CloseWithOptions(m.ctx, &CloseOptions{Flush: CloseNoFlush}) }()
		t.Repeat(m.actions())
		m.t = t
		if !m.dead() && !m.store.Crashed() {
			m.store.CrashAt(0, false)
			m.check()
		}
	})
}
