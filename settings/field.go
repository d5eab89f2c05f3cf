package settings

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go"
)

// A Kind says how a field is written.
type Kind uint8

// The kinds of fields.
const (
	Section  Kind = iota // holds other fields; null turns it off, where it is Nullable
	Bool                 // true, false
	Integer              // a number without a fraction
	Bytes                // the same, of bytes
	Float                // a number
	Duration             // text such as "1s+500ms"
	Enum                 // one of Field.Values, in any case
	Text                 // any text
)

func (k Kind) String() string {
	return [...]string{"section", "bool", "integer", "bytes", "number", "duration", "enum", "text"}[min(k, Text)]
}

// A Field describes one setting. Fields and ReaderFields list them all.
type Field struct {
	// Name is the whole name, nested by dots: "compactor_options.poll_interval".
	Name string
	Kind Kind
	// Values are what an Enum may be.
	Values []string
	// Nullable: null is a value too.
	Nullable bool
	// Default is what holds when nobody says anything, as a JSON literal.
	Default string
	// RustDefault is the default of the Rust engine where it is another one, else "".
	RustDefault string
	// Adaptive says what the default does beyond its figure, or "". A value that is set,
	// even the same figure, is kept as it is.
	Adaptive string
	// Own: a setting of this engine, which the Rust engine does not have and ignores.
	Own bool
	// Option is the field of slatedb.Options or slatedb.ReaderOptions behind the setting;
	// "" when the setting is accepted and has no effect.
	Option string
	// Effect says what it does, in a line.
	Effect string
}

// Unit is the unit of the value, or "".
func (f *Field) Unit() string {
	switch {
	case f.Kind == Bytes:
		return "bytes"
	case f.Kind == Duration:
		return "duration"
	case strings.HasSuffix(f.Name, "_millis"):
		return "milliseconds"
	}
	return ""
}

// A field is a Field and the way to its value. Values are nil (null), bool, int64, float64,
// string or time.Duration; a section's are nil and true.
type field struct {
	Field
	def      any
	min, max int64  // of Integer, Bytes and Duration
	writers  string // name of the field that is used in place of this one
	strings  bool   // a number that files hold as text
	signed   bool   // a negative option means something else than the default
	also     func(v any) error
	get      func(*target) any
	set      func(*target, any)
	isAuto   func(*target) bool // left to adapt; nil = never
}

// parent is the name of the section around f, or "".
func (f *field) parent() string { return parentOf(f.Name) }

func parentOf(name string) string {
	i := strings.LastIndexByte(name, '.')
	return name[:max(i, 0)]
}

func leafOf(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// A mod is a peculiarity of one row of the table.
type mod func(*field)

func adaptive(what string) mod    { return func(f *field) { f.Adaptive = what } }
func rustDefault(lit string) mod  { return func(f *field) { f.RustDefault = lit } }
func atLeast(n int64) mod         { return func(f *field) { f.min = n } }
func atMost(n int64) mod          { return func(f *field) { f.max = min(f.max, n) } }
func check(c func(any) error) mod { return func(f *field) { f.also = c } }
func asText() mod                 { return func(f *field) { f.strings = true } }
func own() mod                    { return func(f *field) { f.Own = true } }
func only(values ...string) mod   { return func(f *field) { f.Values = values } }

// null lets the field be null, which the option holds as v.
func null[T number](v T) mod {
	return func(f *field) {
		f.Nullable, f.signed = true, true
		get, set := f.get, f.set
		f.get = func(t *target) any {
			if x := get(t); !isNegative(x) || v >= 0 {
				return x
			}
			return nil
		}
		f.set = func(t *target, x any) {
			if x == nil {
				x = canonical(v)
			}
			set(t, x)
		}
	}
}

// zero is for fields whose 0 the option holds as v, since its own 0 is the default.
func zero[T number](v T) mod {
	return func(f *field) {
		f.min, f.signed = 0, true
		get, set := f.get, f.set
		f.get = func(t *target) any {
			if x := get(t); !isNegative(x) {
				return x
			}
			return canonical(T(0))
		}
		f.set = func(t *target, x any) {
			if x == canonical(T(0)) {
				x = canonical(v)
			}
			set(t, x)
		}
	}
}

func isNegative(v any) bool {
	switch v := v.(type) {
	case int64:
		return v < 0
	case time.Duration:
		return v < 0
	}
	return false
}

// number are the types of options that hold numbers.
type number interface {
	int | int64 | float32 | time.Duration
}

// canonical is v as fields hold values.
func canonical[T number](v T) any {
	switch v := any(v).(type) {
	case int:
		return int64(v)
	case float32:
		// Through text, so that 0.1 stays 0.1.
		f, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
		return f
	default:
		return v
	}
}

// numeric makes the field of a number, of which the option's 0 means def.
func numeric[T number](kind Kind, name, option string, def T, p func(*target) *T, effect string, mods ...mod) field {
	f := field{Field: Field{Name: name, Kind: kind, Option: option, Effect: effect}, def: canonical(def), min: 1, max: math.MaxInt64}
	if _, ok := any(def).(int); ok {
		f.max = math.MaxInt
	}
	f.get = func(t *target) any {
		if v := *p(t); v > 0 || v < 0 && f.signed {
			return canonical(v)
		}
		return f.def
	}
	f.set = func(t *target, v any) {
		switch v := v.(type) {
		case int64:
			*p(t) = T(v)
		case float64:
			*p(t) = T(v)
		case time.Duration:
			*p(t) = T(v)
		}
	}
	f.isAuto = func(t *target) bool { return *p(t) == 0 }
	return f.finish(mods)
}

func duration(name, option string, def time.Duration, p func(*target) *time.Duration, effect string, mods ...mod) field {
	return numeric(Duration, name, option, def, p, effect, mods...)
}

// retries is null for no bound, which is the option's 0, and 0 for none, its -1.
func retries(name, option string, p func(*target) *int, effect string) field {
	f := field{
		Field: Field{Name: name, Kind: Integer, Nullable: true, Option: option, Effect: effect}, max: math.MaxUint32,
		get: func(t *target) any {
			if v := *p(t); v != 0 {
				return int64(max(v, 0))
			}
			return nil
		},
		set: func(t *target, v any) {
			switch v {
			case nil:
				*p(t) = 0
			case int64(0):
				*p(t) = -1
			default:
				*p(t) = int(v.(int64))
			}
		},
	}
	return f.finish([]mod{atMost(math.MaxInt)})
}

// toggle makes the field of a switch; def is its value at the option's false.
func toggle(name, option string, def bool, p func(*target) *bool, effect string, mods ...mod) field {
	f := field{
		Field: Field{Name: name, Kind: Bool, Option: option, Effect: effect}, def: def,
		get: func(t *target) any { return *p(t) != def },
		set: func(t *target, v any) { *p(t) = v.(bool) != def },
	}
	return f.finish(mods)
}

// section makes a section that null turns off; off is what the option calls that. A nil off
// makes one that is always there.
func section(name, option string, off func(*target) *bool, effect string, mods ...mod) field {
	f := field{
		Field: Field{Name: name, Kind: Section, Nullable: off != nil, Option: option, Effect: effect}, def: true,
		get: func(t *target) any {
			if off != nil && *off(t) {
				return nil
			}
			return true
		},
		set: func(t *target, v any) {
			if off != nil {
				*off(t) = v == nil
			}
		},
	}
	return f.finish(mods)
}

// accepted makes a field that the engine has no use for. What is said about it is kept in the
// Settings and nowhere else.
func accepted(kind Kind, name string, def any, effect string, mods ...mod) field {
	f := field{
		Field: Field{Name: name, Kind: kind, Nullable: def == nil, Effect: effect}, def: def, max: math.MaxInt64,
	}
	f.get = func(t *target) any {
		if v, ok := t.unused[name]; ok {
			return v
		}
		return def
	}
	f.set = func(t *target, v any) { t.unused[name] = v }
	return f.finish(mods)
}

// codec makes the field of a compression.
func codec(name, option string, p func(*target) *slatedb.Codec, effect string) field {
	f := field{
		Field: Field{Name: name, Kind: Enum, Values: codecNames[1:], Nullable: true, Option: option, Effect: effect},
		get:   func(t *target) any { return codecName(*p(t)) },
		set: func(t *target, v any) {
			*p(t) = slatedb.NoCompression
			if v != nil {
				*p(t) = slatedb.Codec(slices.Index(codecNames, v.(string)))
			}
		},
	}
	return f.finish(nil)
}

// codecNames are the names in files, by slatedb.Codec.
var codecNames = []string{slatedb.NoCompression: "", slatedb.Snappy: "Snappy", slatedb.Zlib: "Zlib", slatedb.LZ4: "Lz4", slatedb.Zstd: "Zstd"}

func codecName(c slatedb.Codec) any {
	if c == slatedb.NoCompression || int(c) >= len(codecNames) {
		return nil
	}
	return codecNames[c]
}

// finish applies the peculiarities of the row.
func (f *field) finish(mods []mod) field {
	for _, m := range mods {
		m(f)
	}
	if f.Adaptive == "" {
		f.isAuto = nil
	}
	f.Default = literal(f.def)
	return *f
}

// accept turns a value of a file into the field's own, or says what is wrong with it.
func (f *field) accept(raw any) (any, error) {
	v, err := f.typed(raw)
	if err != nil || v == nil {
		return nil, err
	}
	switch f.Kind {
	case Integer, Bytes:
		if n := v.(int64); n < f.min || n > f.max {
			return nil, fmt.Errorf("%d is out of range, want %s", n, f.limits(strconv.FormatInt(f.min, 10), strconv.FormatInt(f.max, 10)))
		}
	case Duration:
		if d := v.(time.Duration); int64(d) < f.min {
			return nil, fmt.Errorf("%s is out of range, want more than 0%s", durationText(d), f.orNull())
		}
	case Float:
		if x := v.(float64); !(x > 0) || x > math.MaxFloat32 || float32(x) == 0 {
			return nil, fmt.Errorf("%v is out of range, want a positive number", x)
		}
	}
	if f.also != nil {
		if err := f.also(v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func (f *field) limits(lo, hi string) string {
	if f.max == math.MaxInt64 {
		return lo + " or more" + f.orNull()
	}
	return lo + " to " + hi + f.orNull()
}

func (f *field) orNull() string {
	if f.Nullable {
		return ", or null"
	}
	return ""
}
