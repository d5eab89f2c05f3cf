package s3

import (
	"context"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

// Put implements objstore.Store.
func (s *store) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	if err := s.checkWrite(ctx, "put", key, c); err != nil {
		return "", err
	}
	if int64(len(body)) <= s.conf.Multipart {
		return s.put(ctx, "put", key, body, c)
	}
	parts := s.parts()
	// A body of known length always fits: its parts grow.
	const step = 1 << 20
	parts.Size = max(parts.Size, (int64(len(body))/maxParts/step+1)*step)
	return s.multipart(ctx, "put", key, c, func(ctx context.Context, send cloud.PartFunc) (int, error) {
		return parts.SendBytes(ctx, body, send)
	})
}

// Upload implements objstore.Store. A stream that fits into one part is one PUT.
func (s *store) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	if err := s.checkWrite(ctx, "upload", key, c); err != nil {
		return "", err
	}
	parts := s.parts()
	first, whole, err := parts.ReadFirst(body)
	if err != nil {
		return "", objstore.NoEffect(cloud.Fail("upload", key, err))
	}
	if whole {
		return s.put(ctx, "upload", key, first, c)
	}
	return s.multipart(ctx, "upload", key, c, func(ctx context.Context, send cloud.PartFunc) (int, error) {
		return parts.SendStream(ctx, first, body, send)
	})
}

func (s *store) parts() cloud.Parts {
	return cloud.Parts{Env: s.conf.Env, Size: s.conf.PartSize, Parallel: s.conf.Parallel, Max: maxParts}
}

func (s *store) checkWrite(ctx context.Context, op, key string, c objstore.Condition) error {
	if err := cloud.Check(ctx, op, key); err != nil {
		return err
	}
	if !c.IsAlways() && s.conf.NoConditionalPut {
		return cloud.Fail(op, key, objstore.ErrNotSupported)
	}
	if v, update := c.OldVersion(); update && v == "" {
		return cloud.Fail(op, key, objstore.ErrPrecondition) // no object has it
	}
	return nil
}

// put is one PUT.
func (s *store) put(ctx context.Context, op, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	guarded := cloud.NewBody(body)
	defer guarded.Release()
	in := &s3.PutObjectInput{
		Bucket: s.bucket, Key: &key, Body: guarded, ContentLength: aws.Int64(int64(len(body))),
		ChecksumAlgorithm: s.sum, ServerSideEncryption: s.sse, SSEKMSKeyId: s.kmsKey, BucketKeyEnabled: s.bktKey,
		Metadata: metadata(c),
	}
	in.IfNoneMatch, in.IfMatch = headers(c)
	out, err := s.api.PutObject(ctx, in, s.headers...)
	if err != nil {
		return "", writeError(ctx, op, key, c, err)
	}
	if v := version(out.ETag); v != "" {
		return v, nil
	}
	return "", cloud.Fail(op, key, errNoETag)
}

func metadata(c objstore.Condition) map[string]string {
	if c.PutID() == "" {
		return nil
	}
	return map[string]string{objstore.PutIDKey: c.PutID()}
}

func headers(c objstore.Condition) (ifNoneMatch, ifMatch *string) {
	if c.IsAbsent() {
		return aws.String("*"), nil
	}
	if v, ok := c.OldVersion(); ok {
		return nil, quoted(v)
	}
	return nil, nil
}
