package gcs

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"strconv"

	"cloud.google.com/go/storage"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

// Put implements objstore.Store.
func (s *store) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	o, err := s.target(ctx, "put", key, c)
	if err != nil {
		return "", err
	}
	return s.putBytes(ctx, "put", key, o, body, c)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *store) putBytes(ctx context.Context, op, key string, o *storage.ObjectHandle, body []byte, c objstore.Condition) (objstore.Version, error) {
	return s.write(ctx, op, key, o, c, bytes.NewReader(body), func(w *storage.Writer) {
		// The service compares it with what it got.
		w.SendCRC32C, w.CRC32C = true, crc32.Checksum(body, castagnoli)
		if int64(len(body)) <= s.conf.Multipart {
			w.ChunkSize = 0 // one request
		}
	})
}

// Upload implements objstore.Store. A stream that fits into one chunk is one request.
func (s *store) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	o, err := s.target(ctx, "upload", key, c)
	if err != nil {
		return "", err
	}
	first, whole, err := cloud.Parts{Size: s.conf.PartSize}.ReadFirst(body)
	if err != nil {
		return "", objstore.NoEffect(cloud.Fail("upload", key, err))
	}
	if whole && int64(len(first)) <= s.conf.Multipart {
		return s.putBytes(ctx, "upload", key, o, first, c)
	}
	return s.write(ctx, "upload", key, o, c, io.MultiReader(bytes.NewReader(first), body), nil)
}

// target is the object under the condition of a write.
func (s *store) target(ctx context.Context, op, key string, c objstore.Condition) (*storage.ObjectHandle, error) {
	if err := cloud.Check(ctx, op, key); err != nil {
		return nil, err
	}
	o := s.object(key)
	if c.IsAbsent() {
		return o.If(storage.Conditions{DoesNotExist: true}), nil
	}
	if v, update := c.OldVersion(); update {
		generation, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil || generation <= 0 { // 0 would be no condition at all
			return nil, cloud.Fail(op, key, objstore.ErrPrecondition) // no object has it
		}
		return o.If(storage.Conditions{GenerationMatch: generation}), nil
	}
	return o, nil
}

// write sends body. The object appears when the last byte has arrived, or not at all.
func (s *store) write(
	ctx context.Context, op, key string, o *storage.ObjectHandle, c objstore.Condition, body io.Reader, set func(*storage.Writer),
) (objstore.Version, error) {
	wctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := o.NewWriter(wctx)
	w.ContentType = "application/octet-stream" // else the SDK guesses one
	w.ChunkSize = int(s.conf.PartSize)
	w.KMSKeyName = s.conf.KMSKeyName
	if id := c.PutID(); id != "" {
		w.Metadata = map[string]string{objstore.PutIDKey: id}
	}
	if set != nil {
		set(w)
	}
	src := &source{r: body}
	_, err := io.Copy(w, src)
	if src.err != nil {
		cancel() // before Close, which would finish the object
		_ = w.Close()
		return "", objstore.NoEffect(cloud.Fail(op, key, src.err))
	}
	if err != nil {
		cancel()
		_ = w.Close()
		return "", writeError(ctx, op, key, c, err)
	}
	if err := w.Close(); err != nil {
		return "", writeError(ctx, op, key, c, err)
	}
	if v := version(w.Attrs().Generation); v != "" {
		return v, nil
	}
	return "", cloud.Fail(op, key, errNoGeneration)
}

// source tells the failure of the stream from that of the store.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
