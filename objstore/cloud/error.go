package cloud

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/slatedb/slatedb-go/objstore"
)

// An Error is a failed request as the provider told it.
type Error struct {
	Op, Key string
	Status  int    // of the HTTP response; 0: there was none
	Code    string // the provider's own name of the error
	After   time.Duration
	Err     error
}

func (e *Error) Error() string {
	return e.Op + " " + clip(e.Key) + ": " + e.Err.Error()
}

// Unwrap returns the SDK's error.
func (e *Error) Unwrap() error { return e.Err }

// RetryAfter is how long the server asked to wait, 0 when it did not say.
func (e *Error) RetryAfter() time.Duration { return e.After }

// HTTPStatus is the status of the response, 0 when there was none.
func (e *Error) HTTPStatus() int { return e.Status }

// Conflict reports whether the server says that another request is in the way. A provider's
// package decides whether that is worth another attempt; see retry.
func (e *Error) Conflict() bool { return e.Status == http.StatusConflict }

// Answer returns e as one of objstore's answers: it matches answer and still tells the cause.
func (e *Error) Answer(answer error) error { return &answered{answer, e} }

type answered struct{ answer, cause error }

func (a *answered) Error() string   { return a.cause.Error() + ": " + a.answer.Error() }
func (a *answered) Unwrap() []error { return []error{a.answer, a.cause} }

// Class says what e means for a caller who does not know the provider, by what every
// provider has in common:
//
//	no response, never connected     transient, nothing was written
//	no response                      transient, and a write may have been
//	wrong certificate                permanent, nothing was written
//	408, 425, 5xx                    transient, and a write may have been
//	429                              transient, nothing was written
//	501                              objstore.ErrNotSupported, nothing was written
//	any other                        permanent, nothing was written
//
// The end of ctx comes back as that.
func (e *Error) Class(ctx context.Context) error {
	if e.Status == 0 {
		return e.transport(ctx)
	}
	switch {
	case e.Status == http.StatusTooManyRequests:
		return objstore.NoEffect(e)
	case e.Status == http.StatusNotImplemented:
		return objstore.NoEffect(e.Answer(objstore.ErrNotSupported))
	case e.Status == http.StatusRequestTimeout, e.Status == http.StatusTooEarly, e.Status >= 500, e.Status < 300:
		return e // below 300: the answer came and made no sense
	}
	return objstore.Permanent(objstore.NoEffect(e))
}

func (e *Error) transport(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		if errors.Is(e, err) {
			return e
		}
		return e.Answer(err)
	}
	var cert *tls.CertificateVerificationError
	if errors.As(e, &cert) {
		return objstore.Permanent(objstore.NoEffect(e))
	}
	var dial *net.OpError
	if errors.As(e, &dial) && dial.Op == "dial" {
		return objstore.NoEffect(e)
	}
	var dns *net.DNSError
	if errors.As(e, &dns) {
		return objstore.NoEffect(e)
	}
	return e
}

// RetryAfter reads the header of that name: seconds, or a date, which is taken against the
// response's own Date so that no clock is needed.
func RetryAfter(h http.Header) time.Duration {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if n, err := strconv.ParseUint(h.Get(name), 10, 31); err == nil {
			return time.Duration(n) * time.Millisecond
		}
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}

// Fail is an error of our own making about an operation on a key.
func Fail(op, key string, err error) error { return fmt.Errorf("%s %s: %w", op, clip(key), err) }

func clip(s string) string {
	const most = 200 // arbitrary, longer than any key of ours
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
