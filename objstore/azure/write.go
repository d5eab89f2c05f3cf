package azure

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

// Put implements objstore.Store.
func (s *store) Put(ctx context.Context, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	if err := checkWrite(ctx, "put", key, c); err != nil {
		return "", err
	}
	if int64(len(body)) <= s.conf.Multipart {
		return s.put(ctx, "put", key, body, c)
	}
	parts := s.parts()
	// A body of known length always fits: its blocks grow.
	const step = 1 << 20
	parts.Size = max(parts.Size, (int64(len(body))/maxBlocks/step+1)*step)
	return s.blocks(ctx, "put", key, c, func(send cloud.PartFunc) (int, error) {
		return parts.SendBytes(ctx, body, send)
	})
}

// Upload implements objstore.Store. A stream that fits into one block is one Put Blob.
func (s *store) Upload(ctx context.Context, key string, body io.Reader, c objstore.Condition) (objstore.Version, error) {
	if err := checkWrite(ctx, "upload", key, c); err != nil {
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
	return s.blocks(ctx, "upload", key, c, func(send cloud.PartFunc) (int, error) {
		return parts.SendStream(ctx, first, body, send)
	})
}

func (s *store) parts() cloud.Parts {
	return cloud.Parts{Env: s.conf.Env, Size: s.conf.PartSize, Parallel: s.conf.Parallel, Max: maxBlocks}
}

func checkWrite(ctx context.Context, op, key string, c objstore.Condition) error {
	if err := cloud.Check(ctx, op, key); err != nil {
		return err
	}
	if v, update := c.OldVersion(); update && v == "" {
		return cloud.Fail(op, key, objstore.ErrPrecondition) // no object has it
	}
	return nil
}

// put is one Put Blob.
func (s *store) put(ctx context.Context, op, key string, body []byte, c objstore.Condition) (objstore.Version, error) {
	guarded := cloud.NewBody(body)
	defer guarded.Release()
	out, err := s.blob(key).Upload(ctx, guarded, &blockblob.UploadOptions{Metadata: metadata(c), AccessConditions: conditions(c)})
	if err != nil {
		return "", writeError(ctx, op, key, c, err)
	}
	return answer(op, key, out.ETag)
}

func answer(op, key string, etag *azcore.ETag) (objstore.Version, error) {
	if v := version(etag); v != "" {
		return v, nil
	}
	return "", cloud.Fail(op, key, errNoETag)
}

func metadata(c objstore.Condition) map[string]*string {
	id := c.PutID()
	if id == "" {
		return nil
	}
	return map[string]*string{objstore.PutIDKey: &id}
}

func conditions(c objstore.Condition) *blob.AccessConditions {
	m := &blob.ModifiedAccessConditions{}
	if c.IsAbsent() {
		any := azcore.ETagAny
		m.IfNoneMatch = &any
	} else if v, ok := c.OldVersion(); ok {
		etag := azcore.ETag(`"` + string(v) + `"`)
		m.IfMatch = &etag
	} else {
		return nil
	}
	return &blob.AccessConditions{ModifiedAccessConditions: m}
}

// blocks runs one upload in blocks; send sends them all through the function it is given.
// Their names are this upload's own: those of two uploads of one key lie side by side until
// one of them is committed, and must not be taken for each other.
func (s *store) blocks(ctx context.Context, op, key string, c objstore.Condition, send func(cloud.PartFunc) (int, error)) (objstore.Version, error) {
	upload := s.conf.Env.UUID()
	name := func(n int) string {
		return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%x-%06d", upload[:], n))
	}
	b := s.blob(key)
	n, err := send(func(ctx context.Context, n int, p []byte) error {
		// A stream cannot be read twice, so one lost block would cost the whole upload; and a
		// block that is sent twice is stored once.
		ctx = policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: 4})
		guarded := cloud.NewBody(p)
		defer guarded.Release()
		if _, err := b.StageBlock(ctx, name(n), guarded, nil); err != nil {
			return class(ctx, parse(op, key, err))
		}
		return nil
	})
	if err != nil {
		return "", objstore.NoEffect(cloud.Fail(op, key, err))
	}
	names := make([]string, n)
	for i := range names {
		names[i] = name(i + 1)
	}
	out, err := b.CommitBlockList(ctx, names, &blockblob.CommitBlockListOptions{Metadata: metadata(c), AccessConditions: conditions(c)})
	if err != nil {
		return "", writeError(ctx, op, key, c, err)
	}
	return answer(op, key, out.ETag)
}
