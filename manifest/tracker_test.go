package manifest

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
)

func unhex(s string) []byte { return must(hex.DecodeString(strings.ReplaceAll(s, " ", ""))) }

// The bytes are those of manifest.md section 6, written by the Rust engine.
func TestTrackerGoldenBytes(t *testing.T) {
	const t0 = 1795410080
	for name, c := range map[string]struct {
		hex    string
		points []TrackPoint
	}{
		"empty":    {"01 00000000 00000000 00000000", nil},
		"one pair": {"01 01000000 00000001 0000000000000001 00000001 000000006b03c802", []TrackPoint{{1, 1795409922}}},
		"six pairs": {"01 06000000 00000006 0000000000000001 80f800009c2ffffff63df8016d99b7ffe9266500 00000006 000000006b03c8a0 9f5fd0eb90",
			[]TrackPoint{{1, t0}, {2, t0 + 62}, {5000, t0 + 123}, {5001, t0 + 184}, {3000000, t0 + 259}, {3000001, t0 + 320}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeTracker(unhex(c.hex))
			require.NoError(t, err)
			assert.Equal(t, len(c.points), got.Len())
			assert.ElementsMatch(t, c.points, got.Points())
			want := NewTracker(c.points...)
			assert.Equal(t, unhex(c.hex), want.Append(nil))
		})
	}
}

// Version 2 only when a step does not fit 32 bits: releases before 0.18 cannot read it.
func TestTrackerVersionRule(t *testing.T) {
	for name, c := range map[string]struct {
		step uint64
		want byte
	}{
		"largest of 32 bits":  {math.MaxInt32, 1},
		"above 32 bits":       {math.MaxInt32 + 1, 2},
		"smallest of 32 bits": {1<<64 - 1<<31, 1},
		"below 32 bits":       {1<<64 - 1<<31 - 1, 2},
	} {
		tr := NewTracker(TrackPoint{Seq: 7}, TrackPoint{Seq: kv.Seq(7 + c.step)})
		b := tr.Append(nil)
		assert.Equal(t, c.want, b[0], name)
		got, err := DecodeTracker(b)
		require.NoError(t, err, name)
		assert.Equal(t, tr, got, name)
	}
}

func TestTrackerRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edge := rapid.SampledFrom([]int64{0, 1, -1, 63, -63, 64, -64, 255, -255, 256, -256, 2047, -2047, 2048, -2048,
			math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64})
		value := rapid.OneOf(edge, rapid.Int64(), rapid.Int64Range(-5000, 5000))
		tr := Tracker{points: []TrackPoint{}}
		for range rapid.IntRange(0, 40).Draw(t, "n") {
			tr.points = append(tr.points, TrackPoint{kv.Seq(value.Draw(t, "seq")), value.Draw(t, "unix")})
		}
		b := tr.Append(nil)
		got, err := DecodeTracker(b)
		require.NoError(t, err)
		assert.Equal(t, tr.points, got.points)
		assert.Equal(t, b, got.Append(nil))
	})
}

func TestTrackerRefusesDamage(t *testing.T) {
	good := unhex("01 01000000 00000001 0000000000000001 00000001 000000006b03c802")
	for n := range good {
		_, err := DecodeTracker(good[:n])
		assert.ErrorIs(t, err, errTracker, "%d bytes", n)
	}
	for name, h := range map[string]string{
		"version 0":       "00 00000000 00000000 00000000",
		"version 3":       "03 00000000 00000000 00000000",
		"bytes behind":    "01 00000000 00000000 00000000 00",
		"counts differ":   "01 00000000 00000001 00000000",
		"2^32 - 1 pairs":  "01 ffffffff ffffffff ffffffff",
		"count too large": "01 09000000 00000009 00000000 00000000 00",
	} {
		_, err := DecodeTracker(unhex(h))
		assert.ErrorIs(t, err, errTracker, name)
	}
}

func TestTrackerInsertRule(t *testing.T) {
	var tr Tracker
	assert.True(t, tr.Insert(1, 100))
	assert.False(t, tr.Insert(2, 159), "59 s later")
	assert.False(t, tr.Insert(2, 50), "clock went back")
	assert.True(t, tr.Insert(3, 160), "60 s later")
	assert.Equal(t, []TrackPoint{{1, 100}, {3, 160}}, tr.Points())

	tr = NewTracker(TrackPoint{1, math.MinInt64})
	assert.True(t, tr.Insert(2, math.MaxInt64), "the difference does not fit 64 bits")

	tr = Tracker{}
	for i := range int64(trackCapacity) {
		require.True(t, tr.Insert(kv.Seq(i), i*60))
	}
	assert.Equal(t, trackCapacity, tr.Len())
	old := tr.Clone()
	require.True(t, tr.Insert(trackCapacity, trackCapacity*60))
	assert.Equal(t, trackCapacity/2+1, tr.Len(), "indexes 0, 2, 4, ... stay")
	for i, p := range tr.Points() {
		assert.EqualValues(t, 2*i, p.Seq)
	}
	assert.Equal(t, trackCapacity, old.Len(), "a clone keeps its own")

	a, b := NewTracker(TrackPoint{1, 100}), NewTracker(TrackPoint{5, 120}, TrackPoint{6, 180})
	a.Merge(&b)
	assert.Equal(t, []TrackPoint{{1, 100}, {6, 180}}, a.Points())
}

func TestTrackerLookups(t *testing.T) {
	tr := NewTracker(TrackPoint{10, 1000}, TrackPoint{20, 2000}, TrackPoint{30, 3000})
	for _, c := range []struct {
		seq  kv.Seq
		up   bool
		want int64 // 0: none
	}{
		{5, true, 1000}, {5, false, 0}, {10, true, 1000}, {10, false, 1000}, {11, true, 2000}, {11, false, 1000},
		{30, true, 3000}, {30, false, 3000}, {31, true, 0}, {31, false, 3000},
	} {
		at, ok := tr.TimeOf(c.seq, c.up)
		assert.Equal(t, c.want != 0, ok, c)
		if ok {
			assert.Equal(t, c.want, at.Unix(), c)
		}
		seq, ok := tr.SeqAt(time.Unix(int64(c.seq)*100, 999), c.up)
		assert.Equal(t, c.want != 0, ok, c)
		if ok {
			assert.EqualValues(t, c.want/100, seq, c)
		}
	}
	var empty Tracker
	_, ok := empty.TimeOf(1, true)
	assert.False(t, ok)
	old := NewTracker(TrackPoint{1, -50}, TrackPoint{2, 50})
	seq, ok := old.SeqAt(time.Unix(-10, 0), false)
	assert.True(t, ok)
	assert.EqualValues(t, 1, seq, "times before 1970 are below those after")
}

// The golden object of an old release that cut a seq to 32 bits is read as it is.
func TestTrackerTruncatedByAnOldRelease(t *testing.T) {
	const path = "db/loose/sequence-tracker-truncated.manifest"
	m, err := Decode(path, 1, goldenFiles(t, ".manifest")[path])
	require.NoError(t, err)
	assert.EqualValues(t, uint64(5000000001), m.LastL0Seq)
	assert.EqualValues(t, 705032704, m.Tracker.Points()[1].Seq)
	_, ok := m.Tracker.TimeOf(5000000000, true)
	assert.False(t, ok)
}

func FuzzTracker(f *testing.F) {
	f.Add(unhex("01 00000000 00000000 00000000"))
	f.Add(unhex("01 06000000 00000006 0000000000000001 80f800009c2ffffff63df8016d99b7ffe9266500 00000006 000000006b03c8a0 9f5fd0eb90"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := DecodeTracker(b)
		if err != nil {
			require.ErrorIs(t, err, errTracker)
			return
		}
		again, err := DecodeTracker(tr.Append(nil))
		require.NoError(t, err)
		require.Equal(t, tr, again)
	})
}
