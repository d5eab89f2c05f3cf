package gcs

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

var (
	errOrder        = errors.New("the server does not list keys in the order of their bytes")
	errNoGeneration = errors.New("the server answered without a generation")
)

// parse reads what the SDK says of a failed request.
func parse(op, key string, err error) *cloud.Error {
	e := &cloud.Error{Op: op, Key: key, Err: err}
	var api *googleapi.Error
	if errors.As(err, &api) {
		e.Status = api.Code
		e.After = cloud.RetryAfter(api.Header)
		if len(api.Errors) > 0 {
			e.Code = api.Errors[0].Reason
		}
		if noBucket(api) {
			e.Code = "NoSuchBucket"
		}
	} else if errors.Is(err, storage.ErrObjectNotExist) || errors.Is(err, storage.ErrBucketNotExist) {
		e.Status = http.StatusNotFound
	}
	if errors.Is(err, storage.ErrBucketNotExist) {
		e.Code = "NoSuchBucket"
	}
	return e
}

// noBucket reads the text, since the code is the same for a missing object. (Of a GET of a
// body the SDK keeps not even that; it then looks like a missing object.)
func noBucket(api *googleapi.Error) bool {
	return api.Code == http.StatusNotFound && strings.Contains(api.Message, "bucket does not exist")
}

func noObject(e *cloud.Error) bool {
	return e.Status == http.StatusNotFound && e.Code != "NoSuchBucket"
}

func readError(ctx context.Context, op, key string, err error) error {
	e := parse(op, key, err)
	switch {
	case noObject(e):
		return e.Answer(objstore.ErrNotFound)
	case e.Status == http.StatusRequestedRangeNotSatisfiable:
		return e.Answer(objstore.ErrRange)
	}
	return e.Class(ctx)
}

func listError(ctx context.Context, prefix string, err error) error {
	return parse("list", prefix, err).Class(ctx)
}

// writeError is the error of an upload under condition c.
func writeError(ctx context.Context, op, key string, c objstore.Condition, err error) error {
	e := parse(op, key, err)
	_, update := c.OldVersion()
	if !c.IsAlways() && (e.Status == http.StatusPreconditionFailed || update && noObject(e)) {
		return e.Answer(objstore.ErrPrecondition)
	}
	return e.Class(ctx)
}
