package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

var (
	errOrder  = errors.New("the account does not list keys in the order of their bytes (a hierarchical namespace?)")
	errNoETag = errors.New("the server answered without an ETag")
)

// brief is an error of the SDK without its page of text.
type brief struct {
	*azcore.ResponseError
	id string
}

func (b *brief) Error() string {
	return fmt.Sprintf("%d %s, request id %s", b.StatusCode, b.ErrorCode, b.id)
}

func (b *brief) Unwrap() error { return b.ResponseError }

// parse reads what the SDK says of a failed request.
func parse(op, key string, err error) *cloud.Error {
	e := &cloud.Error{Op: op, Key: key, Err: err}
	var re *azcore.ResponseError
	if errors.As(err, &re) {
		b := &brief{ResponseError: re}
		e.Status, e.Code, e.Err = re.StatusCode, re.ErrorCode, b
		if re.RawResponse != nil {
			e.After = cloud.RetryAfter(re.RawResponse.Header)
			b.id = re.RawResponse.Header.Get("X-Ms-Request-Id")
		}
	}
	return e
}

// class is what an error means whatever the operation was.
func class(ctx context.Context, e *cloud.Error) error {
	switch e.Code {
	case "Md5Mismatch", "Crc64Mismatch": // damaged on the way
		return objstore.NoEffect(e)
	case "InvalidBlockList":
		// Another upload of the same key was committed first, which drops everybody's blocks.
		return objstore.NoEffect(e)
	}
	return e.Class(ctx)
}

// noBlob reports whether the blob, and not its container or account, is what is missing.
func noBlob(e *cloud.Error) bool {
	return e.Status == http.StatusNotFound && (e.Code == "" || e.Code == "BlobNotFound" || e.Code == "ResourceNotFound" || e.Code == "PathNotFound")
}

func readError(ctx context.Context, op, key string, err error) error {
	e := parse(op, key, err)
	switch {
	case noBlob(e):
		return e.Answer(objstore.ErrNotFound)
	case e.Status == http.StatusRequestedRangeNotSatisfiable:
		return e.Answer(objstore.ErrRange)
	}
	return class(ctx, e)
}

func readErrorOrNil(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	return readError(ctx, op, key, err)
}

func listError(ctx context.Context, prefix string, err error) error {
	return class(ctx, parse("list", prefix, err))
}

// writeError is the error of Put Blob or Put Block List under condition c.
func writeError(ctx context.Context, op, key string, c objstore.Condition, err error) error {
	e := parse(op, key, err)
	_, update := c.OldVersion()
	switch {
	case c.IsAlways():
	case e.Status == http.StatusPreconditionFailed,
		c.IsAbsent() && e.Status == http.StatusConflict && (e.Code == "BlobAlreadyExists" || e.Code == "PathAlreadyExists"),
		update && noBlob(e):
		return e.Answer(objstore.ErrPrecondition)
	}
	return class(ctx, e)
}
