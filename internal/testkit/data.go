package testkit

import "encoding/binary"

// Mix64 spreads i over 64 bits, one to one. Part of the generators that the benchmark
// drivers of every engine share, do not change.
func Mix64(z uint64) uint64 {
	z += 0x9E3779B97F4A7C15
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}

// KeyBytes is the length of every key made by Key.
const KeyBytes = 16

// Key returns key number i: 16 lower case hex digits, in no order of i, all different.
func Key(i uint64) []byte { return AppendKey(make([]byte, 0, KeyBytes+1), i) }

// AppendKey appends key number i to dst.
func AppendKey(dst []byte, i uint64) []byte {
	const digits = "0123456789abcdef"
	h := Mix64(i)
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[h>>shift&15])
	}
	return dst
}

// Value returns value number i of n bytes: the first half random, the rest repeated, so that
// it compresses about two to one.
func Value(i uint64, n int) []byte { return AppendValue(make([]byte, 0, n), i, n) }

// AppendValue appends value number i of n bytes to dst.
func AppendValue(dst []byte, i uint64, n int) []byte {
	half := len(dst) + n/2
	end := len(dst) + n
	var b [8]byte
	for s := i; len(dst) < half; {
		s = Mix64(s)
		binary.LittleEndian.PutUint64(b[:], s)
		dst = append(dst, b[:min(8, half-len(dst))]...)
	}
	for len(dst) < end {
		dst = append(dst, 'x')
	}
	return dst
}
