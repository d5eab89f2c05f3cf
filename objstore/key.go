package objstore

import (
	"fmt"
	"strings"

	"github.com/slatedb/slatedb-go/internal/kv"
)

// ValidKey returns an error that is ErrInvalidKey when key is not one that every store
// takes. The rules leave out exactly what some cloud, gateway or filesystem cannot hold, so
// that a database can be copied from any store to any other.
func ValidKey(key string) error {
	if why := badKey(key); why != "" {
		return fmt.Errorf("key %q %s: %w", clip(key), why, ErrInvalidKey)
	}
	return nil
}

// ValidPath checks a database path: "" (the store's root) or a key. A path may come out of
// a manifest that someone else wrote, so it is data: an absolute path, "..", a NUL byte and
// everything that looks like a URL or a drive is refused. The error is kv.ErrInvalid and
// ErrInvalidKey.
func ValidPath(p string) error {
	if p == "" {
		return nil
	}
	why := badKey(p)
	if why == "" && looksLikeURL(p) {
		why = "looks like a URL or a drive, not a path inside the store"
	}
	if why == "" && (strings.HasPrefix(p, `\`) || hasDotDot(p, '\\')) {
		why = "leaves its root on a system with backslash paths"
	}
	if why != "" {
		return fmt.Errorf("database path %q %s: %w (%w)", clip(p), why, kv.ErrInvalid, ErrInvalidKey)
	}
	return nil
}

// badKey says what is wrong with key, or "". It runs on every request: one pass, no
// allocation.
func badKey(key string) string {
	if key == "" {
		return "is empty"
	}
	start := 0
	for i := 0; i <= len(key); i++ {
		if i < len(key) && key[i] != '/' {
			if key[i] == 0 {
				return "holds a NUL byte"
			}
			continue
		}
		switch key[start:i] {
		case "":
			switch {
			case i == 0:
				return "begins with a slash"
			case i == len(key):
				return "ends with a slash"
			}
			return "has an empty segment"
		case ".", "..":
			return `has a "." or ".." segment`
		}
		start = i + 1
	}
	return ""
}

// looksLikeURL reports whether p begins like scheme:/... or a Windows drive. A colon alone
// is fine ("tenant:7/db").
func looksLikeURL(p string) bool {
	i := strings.IndexByte(p, ':')
	if i <= 0 || i+1 >= len(p) || (p[i+1] != '/' && p[i+1] != '\\') {
		return false
	}
	return isScheme(p[:i])
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || !(s[i] >= '0' && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.')) {
			return false
		}
	}
	return s != ""
}

func hasDotDot(p string, sep rune) bool {
	for s := range strings.FieldsFuncSeq(p, func(r rune) bool { return r == sep || r == '/' }) {
		if s == ".." {
			return true
		}
	}
	return false
}

// clip keeps hostile keys from flooding a message.
func clip(s string) string {
	const most = 200 // arbitrary, longer than any key of ours
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// opError says which operation on which object went wrong. It is formatted only when
// somebody reads it: "not found" and "precondition failed" are ordinary answers here.
type opError struct {
	op, key string
	err     error
}

func (e *opError) Error() string { return e.op + " " + clip(e.key) + ": " + e.err.Error() }
func (e *opError) Unwrap() error { return e.err }

func fail(op, key string, err error) error { return &opError{op, key, err} }
