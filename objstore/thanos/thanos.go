// Package thanos makes a Store of any bucket of github.com/thanos-io/objstore, for clouds
// that have no store of their own here (Alibaba, Tencent, Huawei, Baidu, Oracle, Swift):
//
//	bucket, err := oss.NewBucket(...)   // of thanos-io/objstore/providers/...
//	store := thanos.Wrap(bucket)
//
// Such a bucket has no conditional writes, no versions and no metadata. Conditions give
// objstore.ErrNotSupported, and Properties say so: the engine's protocol stands on them, so a
// database cannot be written there; it can be copied, backed up and read. WrapWith takes the
// conditions from another store and keeps only the tables in the bucket.
//
// Nor does it tell sizes in listings or attributes with a body, so Get costs one request more
// and List one request more per object.
//
// A Store is safe for concurrent use as far as its bucket is, and leaves closing to whoever
// made that.
package thanos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	tobj "github.com/thanos-io/objstore"

	"github.com/slatedb/slatedb-go/objstore"
)

// Wrap returns bucket as a Store. Buckets of the filesystem provider can only be read: their
// uploads are not atomic and their Delete removes whole folders; objstore.NewDir does better.
//
// Retries of the provider's client stay on; no write here minds being sent twice.
func Wrap(bucket tobj.Bucket) objstore.Store { return &store{b: bucket} }

type store struct{ b tobj.Bucket }

// Properties implements objstore.Store.
func (s *store) Properties() objstore.Properties {
	return objstore.Properties{Name: "thanos " + strings.ToLower(string(s.b.Provider()))}
}

// Get implements objstore.Store.
func (s *store) Get(ctx context.Context, key string) (objstore.Object, error) {
	a, err := s.Head(ctx, key)
	if err != nil {
		return objstore.Object{}, err
	}
	r, err := s.b.Get(ctx, key)
	if err != nil {
		return objstore.Object{}, s.fail(ctx, "get", key, err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		return objstore.Object{}, s.fail(ctx, "get", key, err)
	}
	if int64(len(body)) != a.Size { // cut off, or overwritten between the two requests
		return objstore.Object{}, fmt.Errorf("get %s: body of %d bytes, %d promised: %w", key, len(body), a.Size, io.ErrUnexpectedEOF)
	}
	return objstore.Object{Attributes: a, Body: body}, nil
}

// ReadAt implements objstore.Store.
func (s *store) ReadAt(ctx context.Context, key string, p []byte, off int64) (int, error) {
	if err := check(ctx, "read", key); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("read %s: %w", key, objstore.ErrRange)
	}
	if len(p) == 0 {
		return 0, nil // providers differ in what an empty range is
	}
	n := 0
	r, err := s.b.GetRange(ctx, key, off, int64(len(p)))
	if err == nil {
		defer r.Close()
		if n, err = io.ReadFull(r, p); err == nil {
			return n, nil
		}
	}
	if s.b.IsObjNotFoundErr(err) {
		return 0, s.fail(ctx, "read", key, err)
	}
	// Providers tell the end of the object in as many ways as there are.
	if a, herr := s.Head(ctx, key); herr == nil && off+int64(n) >= a.Size {
		return n, fmt.Errorf("read %s: %w", key, objstore.ErrRange)
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, s.fail(ctx, "read", key, err)
}

// Put implements objstore.Store.
func (s *store) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	return s.upload(ctx, "put", key, bytes.NewReader(body), c)
}

// Upload implements objstore.Store. Whether a stream that breaks off leaves nothing behind is
// up to the provider; those of thanos-io/objstore that keep to its contract do.
func (s *store) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	return s.upload(ctx, "upload", key, body, c)
}

func (s *store) upload(ctx context.Context, op, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	if err := check(ctx, op, key); err != nil {
		return "", err
	}
	if !c.IsAlways() {
		return "", fmt.Errorf("%s %s under a condition: %w", op, key, objstore.ErrNotSupported)
	}
	if err := s.checkFilesystem(op, key); err != nil {
		return "", err
	}
	if err := s.b.Upload(ctx, key, body); err != nil {
		return "", s.fail(ctx, op, key, err)
	}
	return "", nil
}

func (s *store) checkFilesystem(op, key string) error {
	if s.b.Provider() == tobj.FILESYSTEM {
		return fmt.Errorf("%s %s: the filesystem bucket is read only here, see objstore.NewDir: %w", op, key, objstore.ErrNotSupported)
	}
	return nil
}

// Head implements objstore.Store.
func (s *store) Head(ctx context.Context, key string) (objstore.Attributes, error) {
	if err := check(ctx, "head", key); err != nil {
		return objstore.Attributes{}, err
	}
	a, err := s.b.Attributes(ctx, key)
	if err != nil {
		return objstore.Attributes{}, s.fail(ctx, "head", key, err)
	}
	return objstore.Attributes{Key: key, Size: a.Size, Modified: a.LastModified}, nil
}

// Delete implements objstore.Store.
func (s *store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, "delete", key); err != nil {
		return err
	}
	if err := s.checkFilesystem("delete", key); err != nil {
		return err
	}
	err := s.b.Delete(ctx, key)
	if err == nil || s.b.IsObjNotFoundErr(err) {
		return nil
	}
	return s.fail(ctx, "delete", key, err)
}

// List implements objstore.Store. The names below the prefix's folder are held in memory,
// since providers neither begin behind a key nor agree on an order. An object that goes away
// meanwhile is left out.
func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Attributes, error] {
	return func(yield func(objstore.Attributes, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(objstore.Attributes{}, fmt.Errorf("list %s: %w", prefix, err))
			return
		}
		dir := ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			dir = prefix[:i]
			if objstore.ValidKey(dir) != nil {
				return // no key begins so
			}
		}
		var names []string
		err := s.b.Iter(ctx, dir, func(name string) error {
			if strings.HasPrefix(name, prefix) && name > after && objstore.ValidKey(name) == nil {
				names = append(names, name)
			}
			return ctx.Err()
		}, tobj.WithRecursiveIter())
		if err != nil {
			yield(objstore.Attributes{}, s.fail(ctx, "list", prefix, err))
			return
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			a, err := s.Head(ctx, name)
			if errors.Is(err, objstore.ErrNotFound) {
				continue
			}
			if !yield(a, err) || err != nil {
				return
			}
		}
	}
}

func check(ctx context.Context, op, key string) error {
	if err := objstore.ValidKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}

func (s *store) fail(ctx context.Context, op, key string, err error) error {
	switch {
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("%s %s: %w (%v)", op, key, ctx.Err(), err)
	case s.b.IsObjNotFoundErr(err):
		return fmt.Errorf("%s %s: %w: %w", op, key, objstore.ErrNotFound, err)
	case s.b.IsAccessDeniedErr(err):
		return objstore.Permanent(objstore.NoEffect(fmt.Errorf("%s %s: %w", op, key, err)))
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}
