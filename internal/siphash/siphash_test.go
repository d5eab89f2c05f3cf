package siphash

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCheckValues(t *testing.T) {
	seq := make([]byte, 15)
	for i := range seq {
		seq[i] = byte(i)
	}
	for _, c := range []struct {
		name string
		in   []byte
		want uint64
	}{
		{"empty", nil, 0xd1fba762150c532c},
		{"15 bytes", seq, 0xf30eb725bb91c9ea},
		{"aaa", []byte("aaa"), 0xf752893a6c769652},
		{"apple", []byte("apple"), 0xe4305d08716d0e44},
	} {
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.want, Sum64(c.in)) })
	}
}

// Every input length mod 8 takes its own way through the tail.
func TestEveryLengthHashesDifferently(t *testing.T) {
	seen := map[uint64]int{}
	for n := range 64 {
		h := Sum64(make([]byte, n))
		old, dup := seen[h]
		assert.False(t, dup, "lengths %d and %d collide", old, n)
		seen[h] = n
	}
}

func TestNoAllocations(t *testing.T) {
	key := []byte("user:00000000000000001")
	assert.Zero(t, testing.AllocsPerRun(100, func() { sink += Sum64(key) }))
}

var sink uint64

func BenchmarkSum64(b *testing.B) {
	key := []byte("0123456789abcdef")
	b.ReportAllocs()
	for b.Loop() {
		sink += Sum64(key)
	}
}
