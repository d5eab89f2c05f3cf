package s3

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

// multipart runs one upload in parts; send sends them all through the function it is given.
// The condition is on the completion: S3 looks at it nowhere else.
func (s *store) multipart(
	ctx context.Context, op, key string, c objstore.Condition, send func(context.Context, cloud.PartFunc) (int, error),
) (objstore.Version, error) {
	made, err := s.api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: s.bucket, Key: &key, ChecksumAlgorithm: s.sum, Metadata: metadata(c),
		ServerSideEncryption: s.sse, SSEKMSKeyId: s.kmsKey, BucketKeyEnabled: s.bktKey,
	}, s.headers...)
	if err != nil {
		// Nothing of the object exists before the completion.
		return "", objstore.NoEffect(writeError(ctx, op, key, objstore.Always, err))
	}
	id := made.UploadId
	var mu sync.Mutex
	var sent []types.CompletedPart
	n, err := send(ctx, func(ctx context.Context, n int, p []byte) error {
		part, err := s.sendPart(ctx, op, key, id, n, p)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for len(sent) < n {
			sent = append(sent, types.CompletedPart{})
		}
		sent[n-1] = part
		return nil
	})
	if err != nil {
		s.abort(ctx, key, id)
		return "", objstore.NoEffect(cloud.Fail(op, key, err))
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: s.bucket, Key: &key, UploadId: id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: sent[:n]},
	}
	in.IfNoneMatch, in.IfMatch = headers(c)
	out, err := s.api.CompleteMultipartUpload(ctx, in, s.headers...)
	if err != nil {
		// Should the completion have taken effect after all, there is nothing to abort. Should
		// it still be on its way, it cannot any more.
		err = writeError(ctx, op, key, c, err)
		s.abort(ctx, key, id)
		return "", err
	}
	if v := version(out.ETag); v != "" {
		return v, nil
	}
	s.abort(ctx, key, id)
	return "", cloud.Fail(op, key, errNoETag)
}

// partAttempts is how often a part is sent. A stream cannot be read twice, so one lost part
// would cost the whole upload; and a part that is sent twice is stored once.
const partAttempts = 5

func (s *store) sendPart(ctx context.Context, op, key string, id *string, n int, p []byte) (types.CompletedPart, error) {
	body := cloud.NewBody(p)
	defer body.Release()
	again := func(o *s3.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = partAttempts })
	}
	out, err := s.api.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: s.bucket, Key: &key, UploadId: id, PartNumber: aws.Int32(int32(n)),
		Body: body, ContentLength: aws.Int64(int64(len(p))), ChecksumAlgorithm: s.sum,
	}, append([]func(*s3.Options){again}, s.headers...)...)
	if err != nil {
		e := parse(op, key, err)
		if e.Code == "NoSuchUpload" { // a rule of the bucket aborted it: another try is a new one
			return types.CompletedPart{}, e
		}
		return types.CompletedPart{}, class(ctx, e)
	}
	return types.CompletedPart{
		PartNumber: aws.Int32(int32(n)), ETag: out.ETag,
		ChecksumCRC32: out.ChecksumCRC32, ChecksumCRC32C: out.ChecksumCRC32C, ChecksumCRC64NVME: out.ChecksumCRC64NVME,
		ChecksumSHA1: out.ChecksumSHA1, ChecksumSHA256: out.ChecksumSHA256,
	}, nil
}

// abort frees what the parts take up. Where that fails, too, a lifecycle rule of the bucket
// has to; the guide says which.
func (s *store) abort(ctx context.Context, key string, id *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, _ = s.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: s.bucket, Key: &key, UploadId: id})
}
