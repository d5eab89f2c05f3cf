package wal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/sst"
)

// stub is a memory store whose requests take time and fail as told.
type stub struct {
	objstore.Store
	delay time.Duration
	// before and after run around the n-th Put (from 1); an error is the Put's answer.
	before, after func(ctx context.Context, n int, key string) error
	get           func(key string, o objstore.Object) (objstore.Object, error)

	mu       sync.Mutex
	starts   []time.Time
	keys     []string
	gets     map[string]int
	heads    int
	inFlight int
	overlap  bool
	getting  int
	maxGets  int
}

func newStub(delay time.Duration) *stub {
	return &stub{Store: objstore.NewMemory(), delay: delay, gets: map[string]int{}}
}

func (s *stub) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	s.mu.Lock()
	s.starts, s.keys = append(s.starts, time.Now()), append(s.keys, key)
	n := len(s.starts)
	s.inFlight++
	s.overlap = s.overlap || s.inFlight > 1
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.inFlight--; s.mu.Unlock() }()
	if s.delay > 0 {
		select {
		case <-time.After(s.delay):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if s.before != nil {
		if err := s.before(ctx, n, key); err != nil {
			return "", err
		}
	}
	v, err := s.Store.Put(ctx, key, body, c)
	if err == nil && s.after != nil {
		err = s.after(ctx, n, key)
	}
	return v, err
}

func (s *stub) Get(ctx context.Context, key string) (objstore.Object, error) {
	s.mu.Lock()
	s.gets[key]++
	s.getting++
	s.maxGets = max(s.maxGets, s.getting)
	s.mu.Unlock()
	defer func() { s.mu.Lock(); s.getting--; s.mu.Unlock() }()
	if s.delay > 0 {
		select {
		case <-time.After(s.delay):
		case <-ctx.Done():
			return objstore.Object{}, ctx.Err()
		}
	}
	o, err := s.Store.Get(ctx, key)
	if err == nil && s.get != nil {
		return s.get(key, o)
	}
	return o, err
}

func (s *stub) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	s.mu.Lock()
	s.heads++
	s.mu.Unlock()
	return s.Store.Head(ctx, key)
}

func (s *stub) puts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.starts)
}

// log is a writer with its flusher and an owner that commits as the engine does.
type log struct {
	*Writer
	t      testing.TB
	cancel context.CancelCauseFunc
	ended  chan struct{}
	err    error // of Run, after ended

	commit sync.Mutex
	seq    kv.Seq
	sizes  map[kv.Seq]int // rows of each batch
}

func start(t testing.TB, s objstore.Store, next uint64, o Options) *log {
	ctx, cancel := context.WithCancelCause(context.Background())
	l := &log{Writer: NewWriter(s, next, 0, o), t: t, cancel: cancel, ended: make(chan struct{}), sizes: map[kv.Seq]int{}}
	go func() { l.err = l.Run(ctx); close(l.ended) }()
	return l
}

// stop ends Run and returns its error.
func (l *log) stop() error {
	l.cancel(nil)
	<-l.ended
	return l.err
}

// write commits a batch of n rows and returns its seq.
func (l *log) write(n int) kv.Seq { return l.writeValue(n, 10) }

func (l *log) writeValue(n, value int) kv.Seq {
	l.commit.Lock()
	defer l.commit.Unlock()
	l.seq++
	l.sizes[l.seq] = n
	l.Append(batch(l.seq, n, value))
	return l.seq
}

func batch(seq kv.Seq, n, value int) []kv.Entry {
	rows := make([]kv.Entry, n)
	for i := range rows {
		rows[i] = kv.Entry{
			Key: fmt.Appendf(nil, "key-%06d-%04d", seq, i), Value: make([]byte, value),
			Seq: seq, CreateTS: int64(seq), ExpireTS: kv.NoTS,
		}
	}
	return rows
}

// replayed is what a new owner finds: the seqs and row counts of all batches.
type replayed struct {
	seqs  []kv.Seq
	sizes []int
	ids   []uint64
}

func replay(t testing.TB, s objstore.Store, root string, from uint64) replayed {
	t.Helper()
	ctx := context.Background()
	tail, err := FindTail(ctx, s, seam.New(seam.Env{}), root, from-1)
	require.NoError(t, err)
	r := NewReplayer(ctx, s, ReplayOptions{Root: root, From: from, To: tail})
	defer r.Close()
	var out replayed
	for r.Next() {
		b := r.Batch()
		for _, e := range b {
			require.Equal(t, b[0].Seq, e.Seq)
		}
		out.seqs, out.sizes, out.ids = append(out.seqs, b[0].Seq), append(out.sizes, len(b)), append(out.ids, r.WALID())
	}
	require.NoError(t, r.Err())
	require.Equal(t, tail, r.Consumed())
	return out
}

// whole checks that batches 1..n are there, complete, each in one piece.
func (r replayed) whole(t testing.TB, l *log) {
	t.Helper()
	for i, seq := range r.seqs {
		require.Equal(t, kv.Seq(i+1), seq, "a hole or a split batch at position %d", i)
		require.Equal(t, l.sizes[seq], r.sizes[i], "rows of batch %d", seq)
	}
}

const goldenDir = "../testdata/golden/sst"

type sidecar struct {
	FormatVersion uint16 `json:"format_version"`
	Info          struct {
		Codec sst.Codec `json:"compression_format"`
	} `json:"info"`
	Rows []struct {
		Key      jsonBytes `json:"key"`
		Kind     string    `json:"kind"`
		Value    jsonBytes `json:"value"`
		Seq      kv.Seq    `json:"seq"`
		CreateTS *int64    `json:"create_ts"`
		ExpireTS *int64    `json:"expire_ts"`
	} `json:"rows"`
}

// jsonBytes is base64 or {"fill": byte, "len": n}.
type jsonBytes []byte

func (b *jsonBytes) UnmarshalJSON(p []byte) error {
	var f struct{ Fill, Len int }
	if json.Unmarshal(p, &f) == nil && p[0] == '{' {
		*b = make([]byte, f.Len)
		for i := range *b {
			(*b)[i] = byte(f.Fill)
		}
		return nil
	}
	var s *string
	if err := json.Unmarshal(p, &s); err != nil || s == nil {
		return err
	}
	d, err := base64.StdEncoding.DecodeString(*s)
	*b = d
	return err
}

func (c *sidecar) entries() []kv.Entry {
	ts := func(p *int64) int64 {
		if p == nil {
			return kv.NoTS
		}
		return *p
	}
	var out []kv.Entry
	for _, r := range c.Rows {
		kind := map[string]kv.Kind{"value": kv.Put, "tombstone": kv.Tombstone, "merge": kv.Merge}[r.Kind]
		out = append(out, kv.Entry{Key: r.Key, Value: r.Value, Seq: r.Seq, Kind: kind, CreateTS: ts(r.CreateTS), ExpireTS: ts(r.ExpireTS)})
	}
	return out
}

// golden returns an object and its sidecar; a fence has none.
func golden(t testing.TB, name string) ([]byte, sidecar) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(goldenDir, name))
	require.NoError(t, err)
	var c sidecar
	side, err := os.ReadFile(filepath.Join(goldenDir, name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(side, &c))
	return body, c
}

// requireRows compares rows; nil and empty bytes are equal.
func requireRows(t testing.TB, want, got []kv.Entry) {
	t.Helper()
	require.Equal(t, len(want), len(got), "rows")
	for i := range want {
		w, g := want[i], got[i]
		require.Equal(t, string(w.Key), string(g.Key), "key of row %d", i)
		require.Equal(t, string(w.Value), string(g.Value), "value of row %d", i)
		w.Key, w.Value, g.Key, g.Value = nil, nil, nil, nil
		require.Equal(t, w, g, "row %d", i)
	}
}
