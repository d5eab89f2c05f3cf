package s3

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

var (
	errOrder   = errors.New("the server does not list keys in the order of their bytes (a directory bucket?)")
	errNoToken = errors.New("the server broke off a listing without saying where to go on")
	errNoETag  = errors.New("the server answered without an ETag")
)

// parse reads what the SDK says of a failed request.
func parse(op, key string, err error) *cloud.Error {
	e := &cloud.Error{Op: op, Key: key, Err: err}
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) && re.Response != nil && re.Response.Response != nil {
		e.Status = re.HTTPStatusCode()
		e.After = cloud.RetryAfter(re.Response.Header)
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code = api.ErrorCode()
	}
	return e
}

// class is what an error means whatever the operation was.
func class(ctx context.Context, e *cloud.Error) error {
	switch e.Code {
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "BandwidthLimitExceeded",
		"RequestTimeTooSkewed",                                     // the SDK has now learnt the server's clock
		"BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", // damaged on the way
		"ConditionalRequestConflict", "OperationAborted", "ConflictException": // another request is under way; not a lost race
		return objstore.NoEffect(e)
	case "RequestTimeout", "InternalError", "ServiceUnavailable":
		return e
	}
	var bad *smithy.InvalidParamsError
	var ser *smithy.SerializationError
	if e.Status == 0 && (errors.As(e, &bad) || errors.As(e, &ser)) {
		return objstore.Permanent(objstore.NoEffect(e))
	}
	return e.Class(ctx)
}

// noKey reports whether the object, and not the bucket or an account, is what is missing.
// The answer to a HEAD has no code of its own.
func noKey(e *cloud.Error) bool {
	return e.Status == http.StatusNotFound && (e.Code == "" || e.Code == "NoSuchKey" || e.Code == "NotFound")
}

func readError(ctx context.Context, op, key string, err error) error {
	e := parse(op, key, err)
	switch {
	case noKey(e):
		return e.Answer(objstore.ErrNotFound)
	case e.Status == http.StatusRequestedRangeNotSatisfiable:
		return e.Answer(objstore.ErrRange)
	}
	return class(ctx, e)
}

func listError(ctx context.Context, prefix string, err error) error {
	return class(ctx, parse("list", prefix, err))
}

func deleteError(ctx context.Context, key string, err error) error {
	if err == nil {
		return nil
	}
	e := parse("delete", key, err)
	if noKey(e) {
		return nil
	}
	return class(ctx, e)
}

// writeError is the error of a PUT or of the completion of an upload under condition c.
func writeError(ctx context.Context, op, key string, c objstore.Condition, err error) error {
	e := parse(op, key, err)
	_, update := c.OldVersion()
	switch {
	case e.Code == "NoSuchUpload":
		// Completed by a request that was sent twice, or aborted by a rule of the bucket.
		return e
	case c.IsAlways():
	case e.Status == http.StatusPreconditionFailed, e.Code == "PreconditionFailed", update && noKey(e):
		return e.Answer(objstore.ErrPrecondition)
	}
	return class(ctx, e)
}
