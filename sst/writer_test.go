package sst

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func put(key, value string, seq kv.Seq) *kv.Entry {
	return &kv.Entry{Key: []byte(key), Value: []byte(value), Seq: seq, CreateTS: kv.NoTS, ExpireTS: kv.NoTS}
}

// Every codec, with and without transformer, block sizes from tiny to the largest, table and
// WAL object: what was written is read, and the metadata says where everything is.
func TestH9_RoundTripEveryCodecAndBlockSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t, 120)
		codec := rapid.SampledFrom(allCodecs).Draw(t, "codec")
		size := rapid.SampledFrom([]int{1, 64, 1024, 4096, 65_536, 1 << 20}).Draw(t, "block size")
		var tr Transformer
		if rapid.Bool().Draw(t, "transform") {
			tr = shift{}
		}
		w := NewWriter(WriterOptions{BlockSize: size, Codec: codec, Transformer: tr, Policies: []FilterPolicy{Bloom(10, BloomOptions{})}, MinFilterKeys: -1})
		for i := range rows {
			require.NoError(t, w.Add(&rows[i]))
		}
		body, info, err := w.Finish()
		require.NoError(t, err)
		o, err := OpenObject("table", body, tr)
		require.NoError(t, err)
		require.Equal(t, info, *o.Info())
		require.Equal(t, rows[0].Key, info.First)
		require.Equal(t, rows[len(rows)-1].Key, info.Last)
		got, err := collect(o)
		require.NoError(t, err)
		requireRows(t, rows, got)
		m, err := o.Meta()
		require.NoError(t, err)
		for i := range rows {
			maybe, err := mayContain(asking([]FilterPolicy{Bloom(1, BloomOptions{})}), m, &Query{Key: rows[i].Key})
			require.NoError(t, err)
			require.True(t, maybe)
		}
		s, ok, err := o.Stats()
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, uint64(len(rows)), s.Puts+s.Deletes+s.Merges)
		require.Len(t, s.Blocks, o.Index().Len())

		// The WAL form of the same rows.
		var b BlockBuilder
		buf := b.Reset(nil, 0)
		for i := range rows {
			buf = b.Append(buf, &rows[i])
		}
		if b.Len(buf) < 60_000 {
			n := len(b.Finish(buf))
			buf = append(b.Finish(buf), 0, 0, 0, 0)
			object, err := SealWAL(buf, []WALBlock{{0, n, rows[0].Seq}}, codec, tr)
			require.NoError(t, err)
			o, err := OpenObject("wal", object, tr)
			require.NoError(t, err)
			require.True(t, o.Info().WAL)
			got, err := collect(o)
			require.NoError(t, err)
			requireRows(t, rows, got)
		}
	})
}

func requireRows(t require.TestingT, want, got []kv.Entry) {
	require.Len(t, got, len(want))
	for i := range want {
		requireRow(t, &want[i], &got[i])
	}
}

func TestH7_KeyLengthLimits(t *testing.T) {
	for _, n := range []int{0, 1, 65_535, 65_536, 200_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := NewWriter(WriterOptions{})
			err := w.Add(&kv.Entry{Key: bytes.Repeat([]byte("k"), n), Value: []byte("v"), Seq: 1, CreateTS: 5, ExpireTS: kv.NoTS})
			if n == 0 {
				require.ErrorIs(t, err, kv.ErrInvalid)
				_, _, err = w.Finish()
				require.ErrorIs(t, err, kv.ErrInvalid, "the error stays")
				return
			}
			require.NoError(t, err)
			require.NoError(t, w.Add(put("z", "", 1)))
			body, _, err := w.Finish()
			require.NoError(t, err)
			o, err := OpenObject("t", body, nil)
			require.NoError(t, err)
			rows, err := collect(o)
			require.NoError(t, err)
			require.Len(t, rows, 2)
			assert.Len(t, rows[0].Key, n)
			assert.Equal(t, "z", string(rows[1].Key))
		})
	}
}

func TestWriterRefusesDisorder(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second *kv.Entry
	}{
		{"key below", put("b", "", 1), put("a", "", 1)},
		{"newer version behind older", put("a", "", 1), put("a", "", 2)},
		{"same version twice", put("a", "", 1), put("a", "", 1)},
		{"unknown kind", put("a", "", 1), &kv.Entry{Key: []byte("b"), Kind: 9}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewWriter(WriterOptions{})
			require.NoError(t, w.Add(c.first))
			require.ErrorIs(t, w.Add(c.second), kv.ErrInvalid)
			require.ErrorIs(t, w.Add(put("z", "", 1)), kv.ErrInvalid, "the error stays")
		})
	}
	w := NewWriter(WriterOptions{})
	_, _, err := w.Finish()
	require.ErrorIs(t, err, kv.ErrInvalid, "no rows")
	require.NoError(t, w.Add(put("a", "", 1)))
	_, _, err = w.Finish()
	require.NoError(t, err)
	_, _, err = w.Finish()
	require.ErrorIs(t, err, kv.ErrInvalid, "twice")
	require.ErrorIs(t, w.Add(put("b", "", 1)), kv.ErrInvalid)
}

func TestMinFilterKeys(t *testing.T) {
	for _, c := range []struct {
		name           string
		min, rows      int
		policies, want bool
	}{
		{"default, 999 rows", 0, 999, true, false},
		{"default, 1000 rows", 0, 1000, true, true},
		{"two, one row", 2, 1, true, false},
		{"always", -1, 1, true, true},
		{"no policy", -1, 1000, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := WriterOptions{MinFilterKeys: c.min}
			if c.policies {
				o.Policies = []FilterPolicy{Bloom(10, BloomOptions{})}
			}
			w := NewWriter(o)
			for i := range c.rows {
				require.NoError(t, w.Add(put(fmt.Sprintf("%05d", i), "", 1)))
			}
			require.Equal(t, c.rows, w.Rows())
			body, info, err := w.Finish()
			require.NoError(t, err)
			assert.Equal(t, c.want, info.FilterLen > 0)
			assert.True(t, c.want || info.FilterOffset == info.IndexOffset)
			_, err = OpenObject("t", body, nil)
			require.NoError(t, err)
		})
	}
}

func TestEstimateIsNearTheSize(t *testing.T) {
	w := NewWriter(WriterOptions{})
	for i := range 5000 {
		require.NoError(t, w.Add(put(fmt.Sprintf("%08d", i), "a value of some bytes", 1)))
	}
	estimate := w.EstimatedBytes()
	body, _, err := w.Finish()
	require.NoError(t, err)
	assert.InEpsilon(t, len(body), estimate, 0.1)
}

func TestBlockCountersSaturate(t *testing.T) {
	c := uint16(65_534)
	for range 3 {
		bump(&c)
	}
	assert.Equal(t, uint16(65_535), c)
}

type failing struct{ shift }

var errCipher = errors.New("no key")

func (failing) Encode([]byte) ([]byte, error) { return nil, errCipher }

func TestTransformerErrorReachesTheCaller(t *testing.T) {
	w := NewWriter(WriterOptions{Transformer: failing{}})
	require.NoError(t, w.Add(put("a", "", 1)))
	_, _, err := w.Finish()
	require.ErrorIs(t, err, errCipher)
	buf := buildBlock([]kv.Entry{*put("a", "", 1)})
	n := len(buf)
	_, err = SealWAL(append(buf, 0, 0, 0, 0), []WALBlock{{0, n, 1}}, NoCompression, failing{})
	require.ErrorIs(t, err, errCipher)
}

// Without codec and transformer the object is the caller's buffer.
func TestSealWALInPlace(t *testing.T) {
	plain := buildBlock([]kv.Entry{*put("a", "v", 3)})
	buf := make([]byte, 0, 4096)
	buf = append(append(buf, plain...), 9, 9, 9, 9)
	second := len(buf)
	buf = append(append(buf, plain...), 9, 9, 9, 9)
	out, err := SealWAL(buf, []WALBlock{{0, len(plain), 3}, {second, len(plain), 4}}, NoCompression, nil)
	require.NoError(t, err)
	assert.Same(t, &buf[0], &out[0])
	o, err := OpenObject("w", out, nil)
	require.NoError(t, err)
	assert.Equal(t, []byte{0, 0, 0, 0, 0, 0, 0, 3}, o.Info().First)
	assert.Equal(t, []byte{0, 0, 0, 0, 0, 0, 0, 4}, o.Index().Key(1))
	assert.Nil(t, o.Info().Last)

	for name, blocks := range map[string][]WALBlock{
		"none":             nil,
		"not at 0":         {{1, len(plain), 3}},
		"gap":              {{0, len(plain), 3}, {second + 1, len(plain), 4}},
		"beyond the end":   {{0, len(buf), 3}},
		"no room for crc":  {{0, len(buf) - 3, 3}},
		"negative":         {{0, -1, 3}},
		"empty":            {{0, 0, 3}},
		"length overflows": {{0, math.MaxInt, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := SealWAL(buf, blocks, NoCompression, nil)
			require.ErrorIs(t, err, kv.ErrInternal)
		})
	}
	_, err = SealWAL(buf, []WALBlock{{0, len(plain), 3}}, 9, nil)
	require.ErrorIs(t, err, kv.ErrInvalid)
}
