package operators

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	slatedb "github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/objstore"
)

var all = []struct {
	name string
	op   slatedb.MergeOperator
	draw func(t *rapid.T, label string) []byte // an operand
}{
	{"AddInt64", AddInt64, drawNumber}, {"AddUint64", AddUint64, drawNumber},
	{"MaxInt64", MaxInt64, drawNumber}, {"MinInt64", MinInt64, drawNumber},
	{"MaxUint64", MaxUint64, drawNumber}, {"MinUint64", MinUint64, drawNumber},
	{"MaxBytes", MaxBytes, drawBytes}, {"MinBytes", MinBytes, drawBytes},
	{"Append", Append([]byte(", ")), drawBytes}, {"Append without separator", Append(nil), drawBytes},
	{"List", List, func(t *rapid.T, l string) []byte { return Elements(drawElements(t, l)...) }},
	{"Union", Union, func(t *rapid.T, l string) []byte { return Set(drawElements(t, l)...) }},
}

func drawNumber(t *rapid.T, label string) []byte { return Int64(rapid.Int64().Draw(t, label)) }
func drawBytes(t *rapid.T, label string) []byte {
	return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, label)...)
}

func drawElements(t *rapid.T, label string) [][]byte {
	return rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]byte("ab")), 0, 3), 0, 4).Draw(t, label)
}

// TestLaws: identity, associativity in every grouping, and batches that equal single steps.
func TestLaws(t *testing.T) {
	for _, tt := range all {
		t.Run(tt.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				merge := func(a, b []byte) []byte {
					// As lent by the engine: clipped, and not to be changed.
					before := string(b)
					v, err := tt.op.Merge([]byte("k"), a[:len(a):len(a)], b)
					require.NoError(t, err)
					require.Equal(t, before, string(b), "the operand was changed")
					require.NotNil(t, v)
					return v
				}
				x, y, z := tt.draw(t, "x"), tt.draw(t, "y"), tt.draw(t, "z")
				require.Equal(t, x, merge(nil, x), "merge(none, x) is x")
				left := merge(merge(x, y), z)
				require.Equal(t, left, merge(x, merge(y, z)), "(x y) z = x (y z)")
				b, ok := tt.op.(slatedb.BatchMerger)
				if !ok {
					return
				}
				v, err := b.MergeBatch(nil, nil, [][]byte{x, y, z})
				require.NoError(t, err)
				require.Equal(t, left, v, "a batch from nothing")
				v, err = b.MergeBatch(nil, x[:len(x):len(x)], [][]byte{y, z})
				require.NoError(t, err)
				require.Equal(t, left, v, "a batch on a value")
			})
		})
	}
}

func TestValues(t *testing.T) {
	num := func(n int64) []byte { return Int64(n) }
	for _, tt := range []struct {
		name string
		op   slatedb.MergeOperator
		a, b []byte
		want []byte
	}{
		{"sum", AddInt64, num(5), num(-7), num(-2)},
		{"sum wraps", AddInt64, num(math.MaxInt64), num(1), num(math.MinInt64)},
		{"signed max", MaxInt64, num(-1), num(1), num(1)},
		{"signed min", MinInt64, num(-1), num(1), num(-1)},
		{"unsigned max", MaxUint64, num(-1), num(1), num(-1)},
		{"unsigned min", MinUint64, num(-1), num(1), num(1)},
		{"max bytes", MaxBytes, []byte("b"), []byte("ab"), []byte("b")},
		{"min bytes", MinBytes, []byte("b"), []byte("ab"), []byte("ab")},
		{"separator", Append([]byte(",")), []byte("a"), []byte("b"), []byte("a,b")},
		{"separator behind an empty value", Append([]byte(",")), []byte{}, []byte("b"), []byte(",b")},
		{"union", Union, Set([]byte("b"), []byte("a")), Set([]byte("c"), []byte("a"), []byte("a")), Set([]byte("a"), []byte("b"), []byte("c"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.op.Merge(nil, tt.a, tt.b)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
	assert.Equal(t, []byte{2, 1, 0, 0, 0, 0, 0, 0}, Uint64(258), "little endian")
	n, err := DecodeInt64(Int64(-3))
	require.NoError(t, err)
	assert.EqualValues(t, -3, n)
	n, err = DecodeInt64(nil)
	require.NoError(t, err)
	assert.Zero(t, n)
	_, err = DecodeUint64([]byte("seven"))
	require.ErrorIs(t, err, slatedb.ErrInvalid)
}

// TestBadOperands: whatever the bytes, an error and no panic.
func TestBadOperands(t *testing.T) {
	for _, tt := range []struct {
		name string
		op   slatedb.MergeOperator
		a, b []byte
	}{
		{"short number", AddInt64, nil, []byte("1234567")},
		{"empty stored number", AddInt64, []byte{}, Int64(1)},
		{"cut element", List, nil, []byte{5, 'a'}},
		{"endless length", List, nil, bytes.Repeat([]byte{0xFF}, 11)},
		{"cut set", Union, nil, []byte{5, 'a'}},
		{"unsorted set", Union, nil, Elements([]byte("b"), []byte("a"))},
		{"twice in a set", Union, nil, Elements([]byte("a"), []byte("a"))},
		{"bad stored set", Union, []byte{9}, Set([]byte("a"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.op.Merge(nil, tt.a, tt.b)
			require.ErrorIs(t, err, slatedb.ErrInvalid)
			if b, ok := tt.op.(slatedb.BatchMerger); ok {
				_, err = b.MergeBatch(nil, tt.a, [][]byte{tt.b})
				require.ErrorIs(t, err, slatedb.ErrInvalid)
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		for _, tt := range all {
			_, _ = tt.op.Merge(nil, drawBytes(t, "a"), drawBytes(t, "b"))
		}
	})
}

// TestThroughTheEngine folds in memory, in a flush and at read, and once per batch.
func TestThroughTheEngine(t *testing.T) {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "db", &slatedb.Options{Store: objstore.NewMemory(), MergeOperator: Append([]byte("/"))})
	require.NoError(t, err)
	defer db.Close(ctx)
	k := []byte("k")
	var b slatedb.WriteBatch
	b.Merge(k, []byte("a"))
	b.Merge(k, []byte("b"))
	require.NoError(t, db.Write(ctx, &b))
	require.NoError(t, db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
	require.NoError(t, db.Merge(ctx, k, []byte("c")))
	require.NoError(t, db.Merge(ctx, k, []byte("d")))
	require.NoError(t, db.FlushWithOptions(ctx, &slatedb.FlushOptions{Type: slatedb.FlushMemtable}))
	require.NoError(t, db.Merge(ctx, k, []byte("e")))
	v, err := db.Get(ctx, k)
	require.NoError(t, err)
	require.Equal(t, "a/b/c/d/e", string(v))
}

func ExampleAppend() {
	op := Append([]byte(","))
	first, _ := op.Merge(nil, nil, []byte("a"))
	both, _ := op.Merge(nil, first, []byte("b"))
	fmt.Printf("%s %s\n", first, both)
	// Output: a a,b
}

func ExampleSet() {
	u, _ := Union.Merge(nil, Set([]byte("red"), []byte("blue")), Set([]byte("red"), []byte("green")))
	for e, err := range All(u) {
		fmt.Printf("%s %v\n", e, err)
	}
	// Output:
	// blue <nil>
	// green <nil>
	// red <nil>
}

func ExampleInt64() {
	ctx := context.Background()
	db, err := slatedb.Open(ctx, "memory://ex-int64/db", &slatedb.Options{MergeOperator: AddInt64})
	if err != nil {
		panic(err)
	}
	defer db.Close(ctx)
	for range 3 {
		if err := db.Merge(ctx, []byte("visits"), Int64(1)); err != nil {
			panic(err)
		}
	}
	v, err := db.Get(ctx, []byte("visits"))
	if err != nil {
		panic(err)
	}
	n, err := DecodeInt64(v)
	fmt.Println(n, err)
	// Output: 3 <nil>
}
