package settings

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// envText is a value from the environment, where all is text.
type envText string

// typed turns a value as the parsers give it into one of the field's kind.
func (f *field) typed(raw any) (any, error) {
	if raw == nil || nullText(raw) {
		if f.Nullable {
			return nil, nil
		}
		return nil, f.want(raw)
	}
	if text, ok := raw.(envText); ok {
		return f.fromText(string(text))
	}
	switch f.Kind {
	case Section:
		return nil, f.want(raw)
	case Bool:
		if b, ok := raw.(bool); ok {
			return b, nil
		}
	case Integer, Bytes, Float:
		if s, ok := raw.(string); ok && f.strings {
			return f.fromText(s)
		}
		if f.Kind == Float {
			if x, ok := asFloat(raw); ok {
				return x, nil
			}
			return nil, f.want(raw)
		}
		n, ok, err := asInteger(raw)
		if err != nil {
			return nil, fmt.Errorf("%w, want %s", err, f.limits(strconv.FormatInt(f.min, 10), strconv.FormatInt(f.max, 10)))
		}
		if ok {
			return n, nil
		}
	case Duration:
		switch x := raw.(type) {
		case string:
			return f.fromText(x)
		case map[string]any:
			return f.serdeDuration(x)
		}
	case Enum:
		if s, ok := raw.(string); ok {
			return f.fromText(s)
		}
	case Text:
		if s, ok := raw.(string); ok {
			return s, nil
		}
	}
	return nil, f.want(raw)
}

// nullText says whether raw is the text that stands for null where there is none.
func nullText(raw any) bool {
	s, ok := raw.(string)
	if text, env := raw.(envText); env {
		s, ok = string(text), true
	}
	return ok && (strings.EqualFold(s, "null") || strings.EqualFold(s, "none"))
}

// fromText reads a value from plain text.
func (f *field) fromText(text string) (any, error) {
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' {
		text = text[1 : n-1] // the environment for the Rust engine may quote
	}
	switch f.Kind {
	case Bool:
		switch strings.ToLower(text) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
	case Integer, Bytes:
		n, ok, err := asInteger(json.Number(text))
		if ok || err != nil {
			return n, err
		}
	case Float:
		if x, ok := asFloat(json.Number(text)); ok {
			return x, nil
		}
	case Duration:
		return parseDurationAny(text)
	case Enum:
		for _, v := range f.Values {
			if strings.EqualFold(v, text) {
				return v, nil
			}
		}
		if near := nearest(text, f.Values); near != "" {
			return nil, fmt.Errorf("%q is unknown, did you mean %q? Want %s", text, near, f.wanted())
		}
	case Text:
		return text, nil
	}
	return nil, f.want(text)
}

func parseDurationAny(text string) (any, error) {
	d, err := parseDuration(text)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// serdeDuration reads {"secs": 10, "nanos": 0}, the form in which the Rust engine writes
// durations that have none of their own.
func (f *field) serdeDuration(m map[string]any) (any, error) {
	secs, ok1, err1 := asInteger(m["secs"])
	nanos, ok2, err2 := asInteger(m["nanos"])
	if !ok1 || !ok2 || err1 != nil || err2 != nil || len(m) != 2 ||
		secs < 0 || secs > int64(math.MaxInt64/time.Second)-1 || nanos < 0 || nanos >= int64(time.Second) {
		return nil, f.want(m)
	}
	return time.Duration(secs)*time.Second + time.Duration(nanos), nil
}

// asInteger takes the integers of all parsers. An error is one that does not fit.
func asInteger(raw any) (int64, bool, error) {
	switch x := raw.(type) {
	case int:
		return int64(x), true, nil
	case int64:
		return x, true, nil
	case uint64:
		if x <= math.MaxInt64 {
			return int64(x), true, nil
		}
		return 0, false, fmt.Errorf("%d is out of range", x)
	case json.Number:
		n, err := strconv.ParseInt(string(x), 10, 64)
		if err == nil {
			return n, true, nil
		}
		if ne, ok := err.(*strconv.NumError); ok && ne.Err == strconv.ErrRange {
			return 0, false, fmt.Errorf("%s is out of range", clip(string(x)))
		}
	}
	return 0, false, nil
}

func asFloat(raw any) (float64, bool) {
	switch x := raw.(type) {
	case float64:
		return x, true
	case json.Number:
		v, err := strconv.ParseFloat(string(x), 64)
		return v, err == nil
	}
	n, ok, err := asInteger(raw)
	return float64(n), ok && err == nil
}

// want is the error of a value of a wrong type.
func (f *field) want(raw any) error {
	return fmt.Errorf("%s, want %s", describe(raw), f.wanted())
}

func (f *field) wanted() string {
	switch f.Kind {
	case Section:
		if f.Nullable {
			return "a section or null"
		}
		return "a section"
	case Bool:
		return "true or false"
	case Integer:
		return "an integer" + f.orNull()
	case Bytes:
		return "an integer of bytes" + f.orNull()
	case Float:
		return "a number"
	case Duration:
		return `a duration such as "100ms" or "5m"` + f.orNull()
	case Enum:
		return strings.Join(f.Values, ", ") + f.orNull()
	}
	return "text" + f.orNull()
}

// describe names a wrong value in an error.
func describe(raw any) string {
	switch x := raw.(type) {
	case nil:
		return "it is null"
	case string:
		return "it is the text " + strconv.Quote(clip(x))
	case envText:
		return "it is the text " + strconv.Quote(clip(string(x)))
	case map[string]any, map[any]any:
		return "it is a section"
	case []any, []map[string]any:
		return "it is a list"
	case time.Time:
		return "it is a date"
	case json.Number:
		return "it is " + clip(string(x))
	}
	return "it is " + clip(fmt.Sprint(raw))
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// literal is v in JSON.
func literal(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(x)
	case int64:
		return strconv.FormatInt(x, 10)
	case float64:
		s := strconv.FormatFloat(x, 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return s
	case time.Duration:
		return strconv.Quote(durationText(x))
	case string:
		return quote(x)
	}
	return "null"
}

// quote writes text so that JSON, YAML and TOML all read it.
func quote(s string) string {
	b := &strings.Builder{}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string cannot fail
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}
