package gcs

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/iterator"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

// Get implements objstore.Store.
func (s *store) Get(ctx context.Context, key string) (objstore.Object, error) {
	if err := cloud.Check(ctx, "get", key); err != nil {
		return objstore.Object{}, err
	}
	r, err := s.object(key).ReadCompressed(true).NewReader(ctx)
	if err != nil {
		return objstore.Object{}, readError(ctx, "get", key, err)
	}
	defer r.Close()
	body, err := cloud.ReadBody(r, r.Attrs.Size)
	if err != nil {
		return objstore.Object{}, cloud.BodyError(ctx, "get", key, err)
	}
	o := objstore.Object{Body: body, Attributes: objstore.Attributes{
		Key: key, Size: int64(len(body)), Modified: r.Attrs.LastModified, Version: version(r.Attrs.Generation),
	}}
	o.PutID = putID(r.Metadata())
	return o, nil
}

// ReadAt implements objstore.Store.
func (s *store) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if done, err := cloud.CheckRead(ctx, key, p, off); done || err != nil {
		return 0, err
	}
	r, err := s.object(key).ReadCompressed(true).NewRangeReader(ctx, off, int64(len(p)))
	if err != nil {
		return 0, readError(ctx, "read", key, err)
	}
	defer r.Close()
	n, err := cloud.ReadRange(r, p, off, max(r.Attrs.StartOffset, 0), r.Attrs.Size)
	return n, cloud.BodyError(ctx, "read", key, err)
}

// Head implements objstore.Store.
func (s *store) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	if err := cloud.Check(ctx, "head", key); err != nil {
		return objstore.Attributes{}, err
	}
	a, err := s.object(key).Attrs(ctx)
	if err != nil {
		return objstore.Attributes{}, readError(ctx, "head", key, err)
	}
	return attributes(a), nil
}

func attributes(a *storage.ObjectAttrs) objstore.Attributes {
	return objstore.Attributes{
		Key: a.Name, Size: a.Size, Modified: a.Updated, Version: version(a.Generation), PutID: putID(a.Metadata),
	}
}

func version(generation int64) objstore.Version {
	if generation <= 0 {
		return ""
	}
	return objstore.Version(strconv.FormatInt(generation, 10))
}

func putID(meta map[string]string) string {
	for k, v := range meta {
		if strings.EqualFold(k, objstore.PutIDKey) {
			return v
		}
	}
	return ""
}

// Delete implements objstore.Store.
func (s *store) Delete(ctx context.Context, key string) error {
	if err := cloud.Check(ctx, "delete", key); err != nil {
		return err
	}
	err := s.object(key).Delete(ctx)
	if err == nil {
		return nil
	}
	if err = readError(ctx, "delete", key, err); errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	return err
}

// List implements objstore.Store. Keys that no store of ours would take (the placeholders of
// folders that consoles make) are left out.
func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(objstore.Attributes{}, cloud.Fail("list", prefix, err))
			return
		}
		if cloud.Exhausted(prefix, after) {
			return
		}
		q := &storage.Query{Prefix: prefix, Projection: storage.ProjectionNoACL}
		if after != "" && after >= prefix {
			q.StartOffset = after + "\x00" // it is inclusive
		}
		_ = q.SetAttrSelection([]string{"Name", "Size", "Updated", "Generation"})
		last := after
		for it := s.bucket.Objects(ctx, q); ; {
			o, err := it.Next()
			if errors.Is(err, iterator.Done) {
				return
			}
			if err != nil {
				yield(objstore.Attributes{}, listError(ctx, prefix, err))
				return
			}
			if !strings.HasPrefix(o.Name, prefix) || o.Name <= after || objstore.ValidKey(o.Name) != nil {
				continue
			}
			if o.Name <= last && last != "" {
				yield(objstore.Attributes{}, objstore.Permanent(cloud.Fail("list", prefix, errOrder)))
				return
			}
			last = o.Name
			if !yield(attributes(o), nil) {
				return
			}
		}
	}
}
