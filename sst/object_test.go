package sst

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// readAll reads everything of an object: rows, filters and statistics.
func readAll(body []byte) (rows []kv.Entry, err error) {
	o, err := OpenObject("object", body, nil)
	if err != nil {
		return nil, err
	}
	if rows, err = collect(o); err != nil {
		return nil, err
	}
	if _, err = o.Meta(); err != nil {
		return nil, err
	}
	_, _, err = o.Stats()
	return rows, err
}

func requireCorruption(t testing.TB, err error, size int) {
	t.Helper()
	var c *CorruptionError
	require.ErrorIs(t, err, kv.ErrCorrupt)
	require.True(t, errors.As(err, &c), "%v", err)
	require.Equal(t, "object", c.Object)
	require.True(t, c.Offset >= 0 && c.Offset <= int64(size), "offset %d of %d", c.Offset, size)
	require.Contains(t, err.Error(), "object")
}

func TestBadGoldenObjectsAreCorrupt(t *testing.T) {
	n := 0
	for _, p := range findObjects(t, golden+"sst/bad") {
		if strings.HasSuffix(p, "wal-good-reference.sst") {
			continue
		}
		n++
		t.Run(filepath.Base(p), func(t *testing.T) {
			body := readFile(t, p)
			_, err := readAll(body)
			requireCorruption(t, err, len(body))
		})
	}
	assert.Equal(t, 12, n)
}

func TestTinyObjectsAreCorrupt(t *testing.T) {
	for n := range 12 {
		for _, fill := range []byte{0, 1, 0xff} {
			_, err := readAll(bytes.Repeat([]byte{fill}, n))
			requireCorruption(t, err, n)
		}
	}
}

var smallObjects = []string{"sst/tiny-compacted.sst", "sst/bad/wal-good-reference.sst", "sst/multi-zstd-wal.sst", "sst/v1/wal-00000000000000000003.sst"}

func TestK3_EveryFlippedBitIsNoticed(t *testing.T) {
	for _, name := range smallObjects {
		t.Run(filepath.Base(name), func(t *testing.T) {
			body := readFile(t, golden+name)
			want, err := readAll(body)
			require.NoError(t, err)
			for i := range body {
				for bit := range 8 {
					body[i] ^= 1 << bit
					if got, err := readAll(body); err != nil {
						requireCorruption(t, err, len(body))
					} else {
						sameRows(t, want, got)
					}
					body[i] ^= 1 << bit
				}
			}
		})
	}
}

func TestK3_EveryTruncationIsNoticed(t *testing.T) {
	for _, name := range smallObjects {
		t.Run(filepath.Base(name), func(t *testing.T) {
			body := readFile(t, golden+name)
			for i := range body {
				_, err := readAll(body[:i])
				requireCorruption(t, err, i)
				if i > 0 {
					_, err = readAll(body[i:])
					requireCorruption(t, err, len(body)-i)
				}
			}
		})
	}
}

// Metadata that is sealed correctly but lies: the sections must be checked against the
// object, not only against their checksums.
func TestK2_MetadataThatLies(t *testing.T) {
	base := readFile(t, golden+"sst/tiny-compacted.sst")
	o, err := OpenObject("object", base, nil)
	require.NoError(t, err)
	start := int(binary.BigEndian.Uint64(base[len(base)-10:]))
	for name, change := range map[string]func(*Info){
		"index beyond the object":      func(i *Info) { i.IndexOffset = 1 << 40 },
		"index offset wraps":           func(i *Info) { i.IndexOffset = 1<<64 - 10 },
		"index of no bytes":            func(i *Info) { i.IndexLen = 0 },
		"index shorter than its crc":   func(i *Info) { i.IndexLen = 3 },
		"index length wraps":           func(i *Info) { i.IndexLen = 1<<64 - 1 },
		"filter beyond the object":     func(i *Info) { i.FilterOffset = 1 << 40 },
		"filter over everything":       func(i *Info) { i.FilterOffset, i.FilterLen = 0, 1<<63 },
		"statistics beyond the object": func(i *Info) { i.StatsOffset = uint64(len(base)) },
		"data ends at 0":               func(i *Info) { i.FilterOffset = 0 },
		"another codec":                func(i *Info) { i.Codec = LZ4 },
		"codec 5":                      func(i *Info) { i.Codec = 5 },
		"no filter, so data runs on":   func(i *Info) { i.FilterLen = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			info := *o.Info()
			change(&info)
			bad := appendTail(bytes.Clone(base[:start]), &info)
			_, err := readAll(bad)
			requireCorruption(t, err, len(bad))
		})
	}
}

// The table says format 1 while its blocks are format 2: an error or nothing, no panic.
func TestWrongFormatIsSurvived(t *testing.T) {
	for _, p := range findObjects(t, golden+"sst") {
		body := bytes.Clone(readFile(t, p))
		if len(body) < 20 {
			continue
		}
		body[len(body)-1] ^= 3
		if _, err := readAll(body); err != nil {
			requireCorruption(t, err, len(body))
		}
	}
}

func TestWithoutTheTransformerNothingIsRead(t *testing.T) {
	n := 0
	for _, p := range findObjects(t, golden+"db018/transform") {
		body := readFile(t, p)
		if len(body) == 0 {
			continue
		}
		n++
		_, err := readAll(body)
		requireCorruption(t, err, len(body))
		require.ErrorContains(t, err, "was it written with a block transformer")
	}
	assert.NotZero(t, n)

	body := bytes.Clone(readFile(t, golden+"sst/tiny-compacted.sst"))
	o, err := OpenObject("object", body, nil)
	require.NoError(t, err)
	body[o.Info().IndexOffset] ^= 1
	_, err = OpenObject("object", body, nil)
	requireCorruption(t, err, len(body))
	require.NotContains(t, err.Error(), "transformer", "damage is not put down to a transformer")
}

type refusing struct{ err error }

func (refusing) Encode(p []byte) ([]byte, error) { return p, nil }
func (r refusing) Decode([]byte) ([]byte, error) { return nil, r.err }

type keyError struct{ id int }

func (keyError) Error() string { return "no such key" }

// What a transformer returns is damage, whatever its kind; its own type can be had.
func TestTransformerErrorsAreDamage(t *testing.T) {
	body := readFile(t, golden+"sst/tiny-compacted.sst")
	for _, cause := range []error{keyError{7}, kv.ErrInvalid, io.EOF} {
		_, err := OpenObject("object", body, refusing{cause})
		requireCorruption(t, err, len(body))
		require.NotErrorIs(t, err, cause)
		require.ErrorContains(t, err, cause.Error())
		var k keyError
		if _, own := cause.(keyError); own {
			require.ErrorAs(t, err, &k)
			require.Equal(t, 7, k.id)
		} else {
			require.False(t, errors.As(err, &k))
		}
	}
}

// Damaged statistics cost no read, but asking for them says so.
func TestDamagedStatisticsDoNotStopReads(t *testing.T) {
	body := bytes.Clone(readFile(t, golden+"sst/tiny-compacted.sst"))
	body[300] ^= 1
	o, err := OpenObject("object", body, nil)
	require.NoError(t, err)
	m, err := o.Meta()
	require.NoError(t, err)
	assert.Nil(t, m.Stats)
	assert.Len(t, m.Filters, 1)
	_, _, err = o.Stats()
	requireCorruption(t, err, len(body))
}

// What the iterator returns outlives it.
func TestReplayedRowsStayValid(t *testing.T) {
	rows := benchRows(5000, 10)
	o, err := OpenObject("wal", sealRows(t, rows, Snappy, nil, WALBlockTarget), nil)
	require.NoError(t, err)
	got, err := collect(o)
	require.NoError(t, err)
	sameRows(t, rows, got)
	_ = append(got[0].Key, 0xee)
	assert.Equal(t, rows[1].Key, got[1].Key, "keys are clipped")

	allocs := testing.AllocsPerRun(3, func() {
		it := o.Rows()
		for it.Next() {
		}
	})
	assert.Less(t, allocs, 100.0, "a few per block, none per row")
}
