//go:build interop

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/manifest"
)

var appendOperator = slatedb.MergeFunc(func(_, existing, operand []byte) ([]byte, error) {
	return append(existing, operand...), nil
})

var quiet = slog.New(slog.DiscardHandler)

func (s setup) options() *slatedb.Options {
	o := &slatedb.Options{
		BlockSize: s.blockKB << 10, MinFilterKeys: s.filterKeys, L0SSTSizeBytes: s.l0KB << 10,
		L0MaxSSTs: 100_000, L0MaxSSTsPerKey: 100_000, // nobody compacts here, as in the peer
		DisableCompactor: true, DisableGC: true,
		MergeOperator: appendOperator, BlockCacheBytes: 16 << 20, Logger: quiet,
	}
	if s.compact {
		o.DisableCompactor = false
		o.Compactor = &slatedb.CompactorOptions{
			SizeTiered:         slatedb.SizeTieredOptions{MinSources: 2},
			CheckpointLifetime: time.Second, WorkerHeartbeatTimeout: 2 * time.Second,
			Worker: &slatedb.WorkerOptions{MaxSSTBytes: 8 << 10, MaxSubcompactions: 3, MinSubcompactionBytes: 16 << 10},
		}
	}
	switch s.codec {
	case "Snappy":
		o.Compression = slatedb.Snappy
	case "Zlib":
		o.Compression = slatedb.Zlib
	case "Lz4":
		o.Compression = slatedb.LZ4
	case "Zstd":
		o.Compression = slatedb.Zstd
	}
	return o
}

func (s setup) closeOptions() *slatedb.CloseOptions {
	if s.keepWAL {
		return &slatedb.CloseOptions{Flush: slatedb.CloseFlushWAL}
	}
	return nil
}

// goApply lets this engine write ops.
func goApply(t *testing.T, dir string, s setup, ops []op) {
	t.Helper()
	db, err := slatedb.Open(t.Context(), at(dir), s.options())
	require.NoError(t, err)
	write(t, db, ops)
	require.NoError(t, db.CloseWithOptions(t.Context(), s.closeOptions()))
	if s.compact {
		requireNobodysJobs(t, dir)
	}
}

// requireNobodysJobs checks that no job is left claimed by a worker that has ended.
func requireNobodysJobs(t *testing.T, dir string) {
	t.Helper()
	jobs, err := admin(t, dir, "db").ReadCompactions(t.Context(), 0)
	require.NoError(t, err)
	for _, j := range jobs.Jobs {
		require.NotEqual(t, manifest.Running, j.Status, "job %s is held by worker %v", j.ID, j.Worker)
	}
}

func write(t *testing.T, db *slatedb.DB, ops []op) {
	t.Helper()
	ctx := t.Context()
	for _, o := range ops {
		var err error
		switch o.Op {
		case "put":
			_, err = db.PutWithOptions(ctx, o.K, o.V, &slatedb.PutOptions{
				TTL: time.Duration(o.TTLms) * time.Millisecond, NoWait: true,
			})
		case "merge":
			_, err = db.MergeWithOptions(ctx, o.K, o.V, &slatedb.PutOptions{
				TTL: time.Duration(o.TTLms) * time.Millisecond, NoWait: true,
			})
		case "delete":
			_, err = db.DeleteWithOptions(ctx, o.K, &slatedb.WriteOptions{NoWait: true})
		case "batch":
			var b slatedb.WriteBatch
			for _, x := range o.Ops {
				switch x.Op {
				case "put":
					b.Put(x.K, x.V)
				case "merge":
					b.Merge(x.K, x.V)
				default:
					b.Delete(x.K)
				}
			}
			_, err = db.WriteWithOptions(ctx, &b, &slatedb.WriteOptions{NoWait: true})
		case "txn":
			err = db.Update(ctx, slatedb.SerializableSnapshot, func(tx *slatedb.Txn) error { return inTxn(ctx, tx, o.Ops) })
		case "flush":
			kind := slatedb.FlushWAL
			if o.Type == "memtable" {
				kind = slatedb.FlushMemtable
			}
			err = db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: kind})
		default:
			require.FailNow(t, "this engine cannot apply", o.Op)
		}
		require.NoError(t, err)
	}
}

// inTxn applies ops in a transaction. A merge is done by hand now and then: read, append, put.
func inTxn(ctx context.Context, tx *slatedb.Txn, ops []op) error {
	for i, x := range ops {
		var err error
		switch {
		case x.Op == "delete":
			err = tx.Delete(x.K)
		case x.Op == "merge" && i%2 == 0:
			err = tx.Merge(x.K, x.V)
		case x.Op == "merge":
			var old []byte
			if old, err = tx.Get(ctx, x.K); err == nil || errors.Is(err, slatedb.ErrNotFound) {
				err = tx.Put(x.K, append(bytes.Clone(old), x.V...))
			}
		default:
			err = tx.PutWithOptions(x.K, x.V, &slatedb.PutOptions{TTL: time.Duration(x.TTLms) * time.Millisecond})
		}
		if err != nil {
			return fmt.Errorf("%s %q: %w", x.Op, []byte(x.K), err)
		}
	}
	return nil
}

// reads is what a writer and a reader have in common.
type reads = slatedb.ReadOps

func openReader(t *testing.T, dir string) *slatedb.Reader {
	t.Helper()
	return openReaderIn(t, dir, "db", slatedb.ReaderOptions{Mode: slatedb.FollowLatest})
}

func openReaderIn(t *testing.T, dir, name string, o slatedb.ReaderOptions) *slatedb.Reader {
	t.Helper()
	o.MergeOperator, o.BlockCacheBytes, o.PollInterval, o.Logger = appendOperator, 16<<20, -1, quiet
	r, err := slatedb.OpenReader(t.Context(), in(dir, name), &o)
	require.NoError(t, err)
	return r
}

// goRows lets this engine read everything, without disturbing a writer.
func goRows(t *testing.T, dir string, order slatedb.Order) []row {
	t.Helper()
	return goRowsOf(t, dir, "db", slatedb.ReaderOptions{Mode: slatedb.FollowLatest}, order)
}

func goRowsOf(t *testing.T, dir, name string, o slatedb.ReaderOptions, order slatedb.Order) []row {
	t.Helper()
	r := openReaderIn(t, dir, name, o)
	defer func() { require.NoError(t, r.Close(t.Context())) }()
	return scanRows(t, r, order)
}

func scanRows(t *testing.T, r reads, order slatedb.Order) (rows []row) {
	t.Helper()
	for e, err := range r.Entries(t.Context(), slatedb.All, &slatedb.ScanOptions{Order: order}) {
		require.NoError(t, err)
		rows = append(rows, rowOf(e.Clone()))
	}
	return rows
}

func rowOf(e slatedb.Entry) row {
	x := row{K: e.Key, V: e.Value, Seq: e.Seq}
	if !e.CreateTime.IsZero() {
		x.Create = e.CreateTime.UnixMilli()
	}
	if !e.ExpireTime.IsZero() {
		ms := e.ExpireTime.UnixMilli()
		x.Expire = &ms
	}
	return x
}

// requireEntries checks point reads with their metadata.
func requireEntries(t *testing.T, r reads, want []row) {
	t.Helper()
	got := make([]row, 0, len(want))
	for _, w := range want {
		e, err := r.GetEntry(t.Context(), w.K, nil)
		require.NoError(t, err, "get %q", []byte(w.K))
		got = append(got, rowOf(e))
	}
	requireSame(t, got, want, "go, one by one", "python")
}

// requireGets checks point reads of every key of the model, and of keys that are not there.
func requireGets(t *testing.T, r reads, m model, absent [][]byte) {
	t.Helper()
	ctx := t.Context()
	keys := make([][]byte, 0, len(m)+len(absent))
	for _, k := range m.keys() {
		v, err := r.Get(ctx, []byte(k))
		require.NoError(t, err, "get %q", k)
		require.Equal(t, string(m[k].value), string(v), "get %q", k)
		require.NotNil(t, v, "get %q: a stored empty value is not nil", k)
		keys = append(keys, []byte(k))
	}
	for _, k := range absent {
		_, err := r.Get(ctx, k)
		require.ErrorIs(t, err, slatedb.ErrNotFound, "get %q", k)
		keys = append(keys, k)
	}
	values, err := r.MultiGet(ctx, keys, nil)
	require.NoError(t, err)
	require.Len(t, values, len(keys))
	for i, k := range keys {
		want, there := m[string(k)]
		require.Equal(t, there, values[i] != nil, "multi-get %q, which has %d bytes", k, len(want.value))
		require.Equal(t, string(want.value), string(values[i]), "multi-get %q", k)
	}
}

// absentKeys are keys of the generator that the model does not hold, and some it never made.
func absentKeys(g *gen, m model) (out [][]byte) {
	for range 40 {
		k := g.key()
		if _, there := m[string(k)]; !there {
			out = append(out, k)
		}
		out = append(out, append(append([]byte{}, k...), '!'))
	}
	return out
}
