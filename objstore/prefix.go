package objstore

import (
	"context"
	"io"
	"iter"
	"strings"
)

// WithPrefix returns the part of s whose keys begin with prefix and a slash, under the keys
// that remain behind it. An empty prefix is s itself. Errors name the full key.
func WithPrefix(s Store, prefix string) Store {
	if prefix == "" {
		return s
	}
	return &prefixed{s, strings.TrimSuffix(prefix, "/") + "/"}
}

type prefixed struct {
	Store
	dir string // ends in a slash
}

func (p *prefixed) Get(ctx context.Context, key string) (Object, error) {
	o, err := p.Store.Get(ctx, p.dir+key)
	o.Key = p.cut(o.Key)
	return o, err
}

func (p *prefixed) ReadAt(ctx context.Context, key string, b []byte, off int64) (int, error) {
	return p.Store.ReadAt(ctx, p.dir+key, b, off)
}

func (p *prefixed) Put(ctx context.Context, key string, body []byte, c Condition) (Version, error) {
	return p.Store.Put(ctx, p.dir+key, body, c)
}

func (p *prefixed) Upload(ctx context.Context, key string, body io.Reader, c Condition) (Version, error) {
	return p.Store.Upload(ctx, p.dir+key, body, c)
}

func (p *prefixed) Head(ctx context.Context, key string) (Attributes, error) {
	a, err := p.Store.Head(ctx, p.dir+key)
	a.Key = p.cut(a.Key)
	return a, err
}

func (p *prefixed) Delete(ctx context.Context, key string) error {
	return p.Store.Delete(ctx, p.dir+key)
}

func (p *prefixed) List(ctx context.Context, prefix, after string) iter.Seq2[Attributes, error] {
	if after != "" {
		after = p.dir + after
	}
	return func(yield func(Attributes, error) bool) {
		for a, err := range p.Store.List(ctx, p.dir+prefix, after) {
			a.Key = p.cut(a.Key)
			if !yield(a, err) {
				return
			}
		}
	}
}

func (p *prefixed) cut(key string) string { return strings.TrimPrefix(key, p.dir) }
