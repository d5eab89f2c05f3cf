package merging

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
)

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		max      kv.Seq
		want     []string
	}{
		{"newest wins", "a@3=new a@1=old b@2=x", 9, []string{`a@3 put "new"`, `b@2 put "x"`}},
		{"versions above max are not there", "a@3=new a@1=old b@4=x", 2, []string{`a@1 put "old"`}},
		{"tombstone hides", "a@3- a@1=old b@2=x", 9, []string{`b@2 put "x"`}},
		{"tombstone above max hides nothing", "a@3- a@1=old", 2, []string{`a@1 put "old"`}},
		{"expired value is a tombstone (F1)", "a@3=x~10 a@1=old b@1=y~11", 9, []string{`b@1 put "y" x11`}},
		{"expired value above max is not there", "a@3=x~10 a@1=old", 2, []string{`a@1 put "old"`}},
		{"operands on a value", "a@3+c a@2+b a@1=a", 9, []string{`a@3 merge "abc"`}},
		{"operands on a tombstone", "a@3+c a@2- a@1=a", 9, []string{`a@3 merge "c"`}},
		{"operands on nothing", "a@3+c a@2+b b@1=x", 9, []string{`a@3 merge "bc"`, `b@1 put "x"`}},
		{"operands at the end", "a@3+c a@2+b", 9, []string{`a@3 merge "bc"`}},
		{"operand above max", "a@3+c a@2+b a@1=a", 2, []string{`a@2 merge "ab"`}},
		{"expired operand is absent (F5)", "a@3+c~10 a@2+b a@1=a", 9, []string{`a@2 merge "ab"`}},
		{"expired operand alone: the value below", "a@3+c~10 a@1=a b@1=x", 9, []string{`a@1 put "a"`, `b@1 put "x"`}},
		{"all operands expired", "a@3+c~10 a@2+b~3", 9, []string{}},
		{"expired base is a tombstone", "a@3+c a@2=b~10 a@1=a", 9, []string{`a@3 merge "c"`}},
		{"expired operand over expired base", "a@3+c~9 a@2=b~10 a@1=a", 9, []string{}},
		{"expiry is the smallest, create the highest", "a@3+c~30^5 a@2+b^7 a@1=a~20^1", 9, []string{`a@3 merge "abc" c7 x20`}},
		{"expiry of an expired base does not count", "a@3+c~30 a@1=a~10", 9, []string{`a@3 merge "c" x30`}},
		{"the same rows twice", "a@3+c a@3+c a@2=a a@2=a b@1=x b@1=x", 9, []string{`a@3 merge "ac"`, `b@1 put "x"`}},
		{"empty key and values", "@3= @2=x a@1=", 9, []string{`@3 put ""`, `a@1 put ""`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, op := range []kv.MergeOperator{&appending{}, &batching{}} {
				it := Resolve(newList(rows(tt.in), false), ResolveOptions{Max: tt.max, Operator: op, Now: func() int64 { return 10 }})
				assert.Equal(t, tt.want, drain(it))
				assert.NoError(t, it.Close())
			}
		})
	}
}

// resolveModel is the specification without cleverness.
func resolveModel(all []kv.Entry, max kv.Seq, now int64, desc bool) []string {
	byKey := map[string][]kv.Entry{}
	var order []kv.Entry
	for _, e := range newList(all, desc).rows {
		if e.Seq > max {
			continue
		}
		k := string(e.Key)
		if n := len(byKey[k]); n == 0 {
			order = append(order, e)
		} else if byKey[k][n-1].Seq == e.Seq {
			continue
		}
		byKey[k] = append(byKey[k], e)
	}
	out := []string{}
	for _, first := range order {
		var ops []kv.Entry
		var base *kv.Entry
		for _, e := range byKey[string(first.Key)] {
			if e.Kind == kv.Merge {
				if !e.Expired(now) {
					ops = append(ops, e)
				}
				continue
			}
			if e.Kind == kv.Put && !e.Expired(now) {
				base = &e
			}
			break
		}
		if len(ops) == 0 {
			if base != nil {
				out = append(out, show(base))
			}
			continue
		}
		res := ops[0]
		res.Value = nil
		if base != nil {
			res.Value = bytes.Clone(base.Value)
			ops = append(ops, *base)
		}
		for i := len(ops) - 1; i >= 0; i-- {
			o := ops[i]
			if o.Kind == kv.Merge {
				res.Value = append(res.Value, o.Value...)
			}
			if o.CreateTS > res.CreateTS {
				res.CreateTS = o.CreateTS
			}
			if o.ExpireTS != kv.NoTS && (res.ExpireTS == kv.NoTS || o.ExpireTS < res.ExpireTS) {
				res.ExpireTS = o.ExpireTS
			}
		}
		out = append(out, show(&res))
	}
	return out
}

func TestResolveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		desc := rapid.Bool().Draw(t, "desc")
		all := genRows(t, "all")
		// Spread over sources, some rows twice.
		parts := make([][]kv.Entry, 3)
		for _, e := range all {
			for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 2), 1, 2, rapid.ID[int]).Draw(t, "in") {
				parts[i] = append(parts[i], e)
			}
		}
		var sources []kv.Iterator
		for _, p := range parts {
			sources = append(sources, newList(p, desc))
		}
		max := kv.Seq(rapid.IntRange(0, 21).Draw(t, "max"))
		now := int64(rapid.IntRange(0, 20).Draw(t, "now"))
		asked := 0
		o := ResolveOptions{Max: max, Operator: &appending{}, Desc: desc, Now: func() int64 { asked++; return now }}
		want := resolveModel(all, max, now, desc)
		it := Resolve(New(desc, sources...), o)
		pos := -1
		for {
			var ok bool
			if rapid.IntRange(0, 5).Draw(t, "seek") == 0 {
				key := rapid.SampledFrom([]string{"", "a", "aaa", "b", "samePrefix1", "z"}).Draw(t, "to")
				ok = it.Seek([]byte(key))
				for pos = maxInt(pos, 0); pos < len(want); pos++ {
					k, _, _ := strings.Cut(want[pos], "@")
					if c := strings.Compare(k, key); c == 0 || (c > 0) != desc {
						break
					}
				}
			} else {
				ok = it.Next()
				pos++
			}
			require.Equal(t, pos < len(want), ok, "row %d of %v", pos, want)
			if !ok {
				break
			}
			require.Equal(t, want[pos], show(it.Entry()))
		}
		require.NoError(t, it.Err())
		require.LessOrEqual(t, asked, 1, "the clock is asked once")
	})
}

func maxInt(a, b int) int { return max(a, b) }

func TestResolveAsksTheClockLazily(t *testing.T) {
	asked := 0
	it := Resolve(newList(rows("a@1=x b@2=x c@3=x~5 d@4=x~50"), false), ResolveOptions{Max: 9, Now: func() int64 { asked++; return 10 }})
	require.True(t, it.Next())
	require.True(t, it.Next())
	assert.Zero(t, asked)
	require.True(t, it.Next())
	assert.Equal(t, "d", string(it.Entry().Key))
	assert.Equal(t, 1, asked)
}

func TestResolveWithoutOperator(t *testing.T) {
	it := Resolve(newList(rows("a@1=x b@2+y c@1=x"), false), ResolveOptions{Max: 9})
	assert.Equal(t, []string{`a@1 put "x"`}, drain(it))
	assert.ErrorIs(t, it.Err(), kv.ErrInvalid)
	assert.ErrorContains(t, it.Err(), "merge operator missing")
	assert.False(t, it.Next())
	assert.ErrorIs(t, it.Close(), kv.ErrInvalid)

	it = Resolve(newList(rows("b@2+y b@1=x c@1=x"), false), ResolveOptions{Max: 1})
	assert.Equal(t, []string{`b@1 put "x"`, `c@1 put "x"`}, drain(it), "an operand above max is not met")
	assert.NoError(t, it.Err())
}

// TestL3_FailingOperator: an operator that fails or panics at each call stops the walk with its error.
func TestL3_FailingOperator(t *testing.T) {
	const in = "a@9=x b@8+2 b@7+1 c@6+3 c@5+2 c@4=0 d@1=x"
	wantErr := errors.New("no more")
	for at := 1; at <= 4; at++ {
		for _, how := range []string{"error", "panic"} {
			for _, stage := range []string{"resolve", "retain"} {
				t.Run(fmt.Sprintf("%s/%s/call=%d", stage, how, at), func(t *testing.T) {
					calls := 0
					op := operatorFunc(func(_, existing, operand []byte) ([]byte, error) {
						if calls++; calls == at {
							if how == "panic" {
								panic("no more")
							}
							return nil, wantErr
						}
						return append(existing, operand...), nil
					})
					var it kv.Iterator = Resolve(newList(rows(in), false), ResolveOptions{Max: 9, Operator: op})
					if stage == "retain" {
						it = Retain(newList(rows(in), false), RetainOptions{MinSeq: 9, Operator: op})
					}
					got := drain(it)
					assert.Less(t, len(got), 4)
					assert.ErrorIs(t, it.Err(), kv.ErrInvalid)
					var p *seam.PanicError
					if how == "panic" {
						assert.ErrorAs(t, it.Err(), &p)
					} else {
						assert.ErrorIs(t, it.Err(), wantErr)
					}
					first := it.Err()
					assert.False(t, it.Next())
					assert.False(t, it.Seek([]byte("d")))
					assert.Equal(t, first, it.Err(), "sticky")
					assert.Equal(t, first, it.Close())
				})
			}
		}
	}
}

func TestResolveOperatorArguments(t *testing.T) {
	type call struct{ existing, operand string }
	var calls []call
	op := operatorFunc(func(key, existing, operand []byte) ([]byte, error) {
		c := call{string(existing), string(operand)}
		if existing == nil {
			c.existing = "nil"
		}
		calls = append(calls, c)
		assert.Equal(t, len(operand), cap(operand), "operand is clipped")
		assert.Equal(t, len(existing), cap(existing), "existing is clipped")
		assert.Equal(t, len(key), cap(key), "key is clipped")
		return append(existing, operand...), nil
	})
	run := func(in string) []call {
		calls = nil
		drain(Resolve(newList(rows(in), false), ResolveOptions{Max: 9, Operator: op}))
		return calls
	}
	assert.Equal(t, []call{{"nil", "1"}, {"1", "2"}}, run("k@2+2 k@1+1"))
	assert.Equal(t, []call{{"", "1"}}, run("k@2+1 k@1="), "an empty value is not nil")
	assert.Equal(t, []call{{"nil", "1"}}, run("k@2+1 k@1-"))
	assert.Equal(t, []call{{"nil", ""}, {"", "1"}}, run("k@2+1 k@1+"), "an empty result is not nil")
}

func TestResolveBatches(t *testing.T) {
	var in []kv.Entry
	var want string
	for i := range 250 {
		in = append(in, kv.Entry{Key: []byte("k"), Seq: kv.Seq(i + 1), Kind: kv.Merge, Value: fmt.Appendf(nil, "%d,", i), CreateTS: kv.NoTS, ExpireTS: kv.NoTS})
		want += fmt.Sprintf("%d,", i)
	}
	op := &batching{}
	it := Resolve(newList(in, false), ResolveOptions{Max: 1000, Operator: op})
	require.True(t, it.Next())
	assert.Equal(t, want, string(it.Entry().Value))
	assert.Equal(t, []int{100, 100, 50}, op.sizes)
	assert.Zero(t, op.calls)
}

func TestResolveKeysOnly(t *testing.T) {
	op := &appending{}
	it := Resolve(newList(rows("a@2+x~20 a@1=y~15 b@3+x~5 c@1=z"), false), ResolveOptions{Max: 9, Operator: op, KeysOnly: true, Now: func() int64 { return 10 }})
	require.True(t, it.Next())
	assert.Equal(t, "a", string(it.Entry().Key))
	assert.Equal(t, int64(15), it.Entry().ExpireTS)
	require.True(t, it.Next())
	assert.Equal(t, "c", string(it.Entry().Key))
	assert.False(t, it.Next())
	assert.Zero(t, op.calls)
}
