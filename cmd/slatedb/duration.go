package main

import (
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// units of a duration. Months and years are averages.
var units = map[string]time.Duration{
	"ns": time.Nanosecond, "nsec": time.Nanosecond,
	"us": time.Microsecond, "µs": time.Microsecond, "usec": time.Microsecond,
	"ms": time.Millisecond, "msec": time.Millisecond,
	"s": time.Second, "sec": time.Second, "secs": time.Second, "second": time.Second, "seconds": time.Second,
	"m": time.Minute, "min": time.Minute, "mins": time.Minute, "minute": time.Minute, "minutes": time.Minute,
	"h": time.Hour, "hr": time.Hour, "hrs": time.Hour, "hour": time.Hour, "hours": time.Hour,
	"d": day, "day": day, "days": day,
	"w": 7 * day, "week": 7 * day, "weeks": 7 * day,
	"M": 2630016 * time.Second, "month": 2630016 * time.Second, "months": 2630016 * time.Second,
	"y": 31557600 * time.Second, "year": 31557600 * time.Second, "years": 31557600 * time.Second,
}

// parseDuration reads "7days 30min", "1h30m", "1s+500ms" and "0".
func parseDuration(s string) (time.Duration, error) {
	bad := usagef(`duration %q, want such as "30min", "1h30m" or "7days 30min"`, s)
	rest := strings.TrimSpace(s)
	if rest == "0" {
		return 0, nil
	}
	if rest == "" {
		return 0, bad
	}
	var sum float64
	for rest != "" {
		n := 0
		for n < len(rest) && (rest[n] >= '0' && rest[n] <= '9' || rest[n] == '.') {
			n++
		}
		number, err := strconv.ParseFloat(rest[:n], 64)
		if err != nil {
			return 0, bad
		}
		rest = strings.TrimLeft(rest[n:], " ")
		n = strings.IndexFunc(rest, func(r rune) bool { return r == ' ' || r == '+' || r >= '0' && r <= '9' })
		if n < 0 {
			n = len(rest)
		}
		unit, ok := units[rest[:n]]
		if !ok {
			return 0, bad
		}
		sum += number * float64(unit)
		rest = strings.TrimLeft(rest[n:], " +")
	}
	if sum >= 1<<63 {
		return 0, usagef("duration %q is too long", s)
	}
	return time.Duration(sum), nil
}

// durationFlag is a flag.Value for parseDuration.
type durationFlag struct {
	d   time.Duration
	set bool
}

func (f *durationFlag) String() string { return f.d.String() }

func (f *durationFlag) Set(s string) (err error) {
	f.d, err = parseDuration(s)
	f.set = err == nil
	return err
}
