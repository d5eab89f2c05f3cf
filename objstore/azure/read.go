package azure

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

// Get implements objstore.Store.
func (s *store) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := cloud.Check(ctx, "get", key); err != nil {
		return objstore.Object{}, err
	}
	out, err := s.blob(key).DownloadStream(ctx, nil)
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
	out, err := s.blob(key).DownloadStream(ctx, &blob.DownloadStreamOptions{
		Range: blob.HTTPRange{Offset: off, Count: int64(len(p))}, // a count of 0 would be the rest
	})
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
	out, err := s.blob(key).GetProperties(ctx, nil)
	if err != nil {
		return objstore.Attributes{}, readError(ctx, "head", key, err)
	}
	var size int64
	if out.ContentLength != nil {
		size = *out.ContentLength
	}
	return attributes(key, size, out.LastModified, out.ETag, out.Metadata), nil
}

func attributes(key string, size int64, modified *time.Time, etag *azcore.ETag, meta map[string]*string) objstore.Attributes {
	a := objstore.Attributes{Key: key, Size: size, Version: version(etag)}
	if modified != nil {
		a.Modified = *modified
	}
	for k, v := range meta {
		if v != nil && strings.EqualFold(k, objstore.PutIDKey) {
			a.PutID = *v
		}
	}
	return a
}

// version is an ETag without its quotes: headers have them, listings do not.
func version(etag *azcore.ETag) objstore.Version {
	if etag == nil {
		return ""
	}
	return objstore.Version(strings.Trim(string(*etag), `"`))
}

// Delete implements objstore.Store. Snapshots of the blob go with it.
func (s *store) Delete(ctx context.Context, key string) error {
	if err := cloud.Check(ctx, "delete", key); err != nil {
		return err
	}
	snapshots := blob.DeleteSnapshotsOptionTypeInclude
	_, err := s.blob(key).Delete(ctx, &blob.DeleteOptions{DeleteSnapshots: &snapshots})
	if err = readErrorOrNil(ctx, "delete", key, err); errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	return err
}

// List implements objstore.Store. The service cannot begin behind a key, so pages that lie
// before after are fetched and dropped: 5,000 keys each. Folders, and keys that no store of
// ours would take, are left out.
func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		opts := &container.ListBlobsFlatOptions{}
		if prefix != "" {
			opts.Prefix = &prefix
		}
		if cloud.Exhausted(prefix, after) && ctx.Err() == nil {
			return
		}
		last := after
		for pages := s.api.NewListBlobsFlatPager(opts); pages.More(); {
			if err := ctx.Err(); err != nil {
				yield(objstore.Attributes{}, cloud.Fail("list", prefix, err))
				return
			}
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(objstore.Attributes{}, listError(ctx, prefix, err))
				return
			}
			if page.Segment == nil {
				continue
			}
			for _, item := range page.Segment.BlobItems {
				a, ok := listed(item, prefix, after)
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
		}
	}
}

// listed turns an entry into attributes; not ok: it is none of ours.
func listed(b *container.BlobItem, prefix, after string) (a objstore.Attributes, ok bool) {
	if b == nil || b.Name == nil || b.Properties == nil {
		return a, false
	}
	if t := b.Properties.ResourceType; t != nil && *t == "directory" { // of a hierarchical account
		return a, false
	}
	key := *b.Name
	if !strings.HasPrefix(key, prefix) || key <= after || objstore.ValidKey(key) != nil {
		return a, false
	}
	var size int64
	if b.Properties.ContentLength != nil {
		size = *b.Properties.ContentLength
	}
	return attributes(key, size, b.Properties.LastModified, b.Properties.ETag, nil), true
}
