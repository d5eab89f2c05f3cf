package s3

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

// Get implements objstore.Store.
func (s *store) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := cloud.Check(ctx, "get", key); err != nil {
		return objstore.Object{}, err
	}
	out, err := s.api.GetObject(ctx, &s3.GetObjectInput{Bucket: s.bucket, Key: &key}, s.headers...)
	if err != nil {
		return objstore.Object{}, readError(ctx, "get", key, err)
	}
	defer out.Body.Close()
	size := int64(-1)
	if out.ContentLength != nil {
		size = *out.ContentLength
	}
	body, err := cloud.ReadBody(out.Body, size)
	if err != nil {
		return objstore.Object{}, cloud.BodyError(ctx, "get", key, err)
	}
	return objstore.Object{Body: body, Attributes: attributes(key, int64(len(body)), out.LastModified, out.ETag, out.Metadata)}, nil
}

// ReadAt implements objstore.Store.
func (s *store) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if done, err := cloud.CheckRead(ctx, key, p, off); done || err != nil {
		return 0, err
	}
	span := fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)
	out, err := s.api.GetObject(ctx, &s3.GetObjectInput{Bucket: s.bucket, Key: &key, Range: &span}, s.headers...)
	if err != nil {
		return 0, readError(ctx, "read", key, err)
	}
	defer out.Body.Close()
	return cloud.Answer{Body: out.Body, Range: out.ContentRange, Length: out.ContentLength}.ReadAt(ctx, key, p, off)
}

// Head implements objstore.Store.
func (s *store) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	if err := cloud.Check(ctx, "head", key); err != nil {
		return objstore.Attributes{}, err
	}
	out, err := s.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket, Key: &key}, s.headers...)
	if err != nil {
		return objstore.Attributes{}, readError(ctx, "head", key, err)
	}
	return attributes(key, aws.ToInt64(out.ContentLength), out.LastModified, out.ETag, out.Metadata), nil
}

func attributes(key string, size int64, modified *time.Time, etag *string, meta map[string]string) objstore.Attributes {
	a := objstore.Attributes{Key: key, Size: size, Modified: aws.ToTime(modified), Version: version(etag)}
	for k, v := range meta {
		if strings.EqualFold(k, objstore.PutIDKey) {
			a.PutID = v
		}
	}
	return a
}

// version is an ETag without its quotes, which clients and servers treat differently.
func version(etag *string) objstore.Version {
	return objstore.Version(strings.Trim(aws.ToString(etag), `"`))
}

func quoted(v objstore.Version) *string { return aws.String(`"` + string(v) + `"`) }

// Delete implements objstore.Store.
func (s *store) Delete(ctx context.Context, key string) error {
	if err := cloud.Check(ctx, "delete", key); err != nil {
		return err
	}
	_, err := s.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket, Key: &key})
	return deleteError(ctx, key, err)
}

// List implements objstore.Store. Keys that no store of ours would take (the placeholders of
// folders that consoles make) are left out.
func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: s.bucket}
		if prefix != "" {
			in.Prefix = &prefix
		}
		if after != "" && after > prefix {
			in.StartAfter = &after
		}
		if cloud.Exhausted(prefix, after) && ctx.Err() == nil {
			return
		}
		last := after
		for {
			if err := ctx.Err(); err != nil {
				yield(objstore.Attributes{}, cloud.Fail("list", prefix, err))
				return
			}
			out, err := s.api.ListObjectsV2(ctx, in)
			if err != nil {
				yield(objstore.Attributes{}, listError(ctx, prefix, err))
				return
			}
			for i := range out.Contents {
				a, ok := listed(&out.Contents[i], prefix, after)
				if !ok {
					continue
				}
				if a.Key <= last && last != "" {
					yield(objstore.Attributes{}, objstore.Permanent(cloud.Fail("list", prefix, errOrder)))
					return
				}
				last = a.Key
				if !yield(a, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			if aws.ToString(out.NextContinuationToken) == "" {
				yield(objstore.Attributes{}, cloud.Fail("list", prefix, errNoToken))
				return
			}
			in.ContinuationToken = out.NextContinuationToken
		}
	}
}

// listed turns an entry into attributes; not ok: it is none of ours.
func listed(o *types.Object, prefix, after string) (a objstore.Attributes, ok bool) {
	key := aws.ToString(o.Key)
	if !strings.HasPrefix(key, prefix) || key <= after || objstore.ValidKey(key) != nil {
		return a, false
	}
	return attributes(key, aws.ToInt64(o.Size), o.LastModified, o.ETag, nil), true
}
