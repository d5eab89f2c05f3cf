package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

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
