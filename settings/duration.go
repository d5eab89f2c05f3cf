package settings

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// durationUnits are the units of a duration, in lower case. A month has 30 days and a year
// 365, as in files for the Rust engine; so m is a minute.
var durationUnits = map[string]time.Duration{
	"":   time.Second,
	"ns": time.Nanosecond, "nsec": time.Nanosecond, "nsecond": time.Nanosecond, "nanosecond": time.Nanosecond,
	"us": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond, "µsec": time.Microsecond,
	"usecond": time.Microsecond, "µsecond": time.Microsecond, "microsecond": time.Microsecond,
	"ms": time.Millisecond, "msec": time.Millisecond, "millisecond": time.Millisecond,
	"s": time.Second, "sec": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
	"mon": 30 * 24 * time.Hour, "month": 30 * 24 * time.Hour, "months": 30 * 24 * time.Hour,
	"y": 365 * 24 * time.Hour, "year": 365 * 24 * time.Hour, "years": 365 * 24 * time.Hour,
}

// parseDuration reads "5m", "1s+500ms", "1m 30s", "1m30s" and "90", which is seconds.
func parseDuration(text string) (time.Duration, error) {
	bad := fmt.Errorf(`%q is no duration such as "100ms", "5m" or "1s+500ms"`, text)
	rest := strings.ToLower(strings.TrimSpace(text))
	var total uint64
	for first := true; first || rest != ""; first = false {
		if !first {
			rest = strings.TrimLeft(strings.TrimPrefix(rest, "+"), " ")
		}
		count, after := cutWhile(rest, func(r rune) bool { return r >= '0' && r <= '9' })
		n, err := strconv.ParseUint(count, 10, 64)
		if err != nil {
			return 0, bad
		}
		name, after := cutWhile(strings.TrimLeft(after, " "), func(r rune) bool { return r > '9' })
		unit, ok := durationUnits[name]
		if !ok {
			return 0, bad
		}
		rest = strings.TrimLeft(after, " ")
		hi, part := bits.Mul64(n, uint64(unit))
		sum, carry := bits.Add64(total, part, 0)
		if hi != 0 || carry != 0 || sum > math.MaxInt64 {
			return 0, fmt.Errorf("%q is longer than 292 years", text)
		}
		total = sum
	}
	return time.Duration(total), nil
}

// cutWhile splits s behind the runes for which f holds.
func cutWhile(s string, f func(rune) bool) (head, tail string) {
	n := strings.IndexFunc(s, func(r rune) bool { return !f(r) })
	if n < 0 {
		n = len(s)
	}
	return s[:n], s[n:]
}

// durationText is the shortest text for d that parseDuration reads, in the form of the Rust
// engine: at most seconds, milliseconds and what is below.
func durationText(d time.Duration) string {
	var parts []string
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "us"}, {time.Nanosecond, "ns"}} {
		if n := d / u.unit; n > 0 {
			parts = append(parts, strconv.FormatInt(int64(n), 10)+u.name)
			d -= n * u.unit
		}
	}
	if parts == nil {
		return "0s"
	}
	return strings.Join(parts, "+")
}
