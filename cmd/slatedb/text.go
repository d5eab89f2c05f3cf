package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// keyForm says how keys stand on the command line and in the output.
type keyForm string

// valueForm says how values are printed.
type valueForm string

func (f *keyForm) String() string { return string(*f) }

func (f *keyForm) Set(s string) error {
	if s != "auto" && s != "hex" && s != "utf8" {
		return usagef("%q is no form of keys, want auto, hex or utf8", s)
	}
	*f = keyForm(s)
	return nil
}

func (f *valueForm) String() string { return string(*f) }

func (f *valueForm) Set(s string) error {
	if s != "auto" && s != "hex" && s != "utf8" && s != "len" && s != "none" {
		return usagef("%q is no form of values, want auto, hex, utf8, len or none", s)
	}
	*f = valueForm(s)
	return nil
}

// parse reads a key or a bound: text, hex, or with auto hex after 0x.
func (f keyForm) parse(what, s string) ([]byte, error) {
	switch f {
	case "utf8":
		return []byte(s), nil
	case "hex":
		b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
		if err != nil {
			return nil, usagef("%s %q is no hex number", what, s)
		}
		return b, nil
	}
	return keyArg(what, s)
}

func (f keyForm) show(b []byte) string {
	switch f {
	case "utf8":
		return oneLine.Replace(strings.ToValidUTF8(string(b), "\uFFFD"))
	case "hex":
		return hex.EncodeToString(b)
	}
	return showKey(b)
}

func (f valueForm) show(b []byte) string {
	switch f {
	case "utf8":
		return oneLine.Replace(strings.ToValidUTF8(string(b), "\uFFFD"))
	case "len":
		return strconv.Itoa(len(b))
	}
	return showValue(b, f == "hex")
}

// keyArg reads a key or a bound from the command line: text, or bytes in hex after 0x.
func keyArg(what, s string) ([]byte, error) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return []byte(s), nil
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, usagef("%s %q begins with 0x and is no hex number", what, s)
	}
	return b, nil
}

// isText reports whether b can be shown as it is: printable UTF-8, and no 0x in front, which
// stands for hex.
func isText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' {
			return false
		}
	}
	return true
}

// showKey prints a key so that keyArg reads it back: text, or 0x and hex.
func showKey(b []byte) string {
	if len(b) > 0 && isText(b) && !strings.HasPrefix(string(b), "0x") && !strings.ContainsAny(string(b), "\n\t\r") {
		return string(b)
	}
	return "0x" + hex.EncodeToString(b)
}

// oneLine escapes what would break the line, so that every entry is one.
var oneLine = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`)

// showValue prints a value on one line: text, or a note of its length.
func showValue(b []byte, asHex bool) string {
	switch {
	case asHex:
		return "0x" + hex.EncodeToString(b)
	case isText(b):
		return oneLine.Replace(string(b))
	}
	return fmt.Sprintf("<%d bytes>", len(b))
}

// bytesText prints a number of bytes for people.
func bytesText(n int64) string {
	switch f := float64(n); {
	case n < 0:
		return fmt.Sprintf("%d B", n)
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%.1f KiB", f/(1<<10))
	case n < 10<<30:
		return fmt.Sprintf("%.1f MiB", f/(1<<20))
	default:
		return fmt.Sprintf("%.1f GiB", f/(1<<30))
	}
}

// plural prints n things.
func plural(n int, thing string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// number reads a number of the command line.
func number(what, s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, usagef("%s is %q, want a number", what, s)
	}
	return n, nil
}

// pointInTime reads seconds since 1970, or a time as in 2026-01-31T12:00:00Z.
func pointInTime(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usagef("%q is no time, want seconds since 1970 or such as 2026-01-31T12:00:00Z", s)
	}
	return t, nil
}
