package gcs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/storage"
	"google.golang.org/api/option"
	htransport "google.golang.org/api/transport/http"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

type store struct {
	bucket *storage.BucketHandle
	conf   Config
}

const scope = "https://www.googleapis.com/auth/devstorage.read_write"

// New returns the store of a bucket. It looks for credentials, and fails when there are none;
// the bucket is not touched. Wrong settings are kv.ErrInvalid.
//
// Wrap the result in objstore/retry; slatedb.Open does so.
func New(ctx context.Context, c Config) (objstore.Store, error) {
	if err := c.resolve(); err != nil {
		return nil, err
	}
	transport, err := c.HTTP.Transport()
	if err != nil {
		return nil, fmt.Errorf("gcs: %w", err)
	}
	var base http.RoundTripper = transport
	if c.HTTP.UserAgent != "" {
		base = cloud.UserAgent{Base: transport, Agent: c.HTTP.UserAgent}
	}
	creds := option.WithoutAuthentication()
	if !c.SkipSignature {
		found, err := c.credentials()
		if err != nil {
			return nil, fmt.Errorf("gcs: no credentials: %w: %w", err, kv.ErrInvalid)
		}
		if _, err := found.Token(ctx); err != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("gcs: credentials: %w", ctx.Err())
			}
			return nil, fmt.Errorf("gcs: no credentials: %w: %w", err, kv.ErrInvalid)
		}
		creds = option.WithAuthCredentials(found)
	}
	// The process outlives ctx, and so does what refreshes tokens.
	signed, err := htransport.NewTransport(context.WithoutCancel(ctx), base, creds)
	if err != nil {
		return nil, fmt.Errorf("gcs: %w: %w", err, kv.ErrInvalid)
	}
	opts := []option.ClientOption{option.WithHTTPClient(&http.Client{Transport: signed}), storage.WithDisabledClientMetrics()}
	if c.Endpoint != "" {
		opts = append(opts, option.WithEndpoint(strings.TrimSuffix(c.Endpoint, "/")+"/storage/v1/"))
	}
	client, err := storage.NewClient(context.WithoutCancel(ctx), opts...)
	if err != nil {
		return nil, fmt.Errorf("gcs: %w: %w", err, kv.ErrInvalid)
	}
	client.SetRetry(storage.WithPolicy(storage.RetryNever))
	s := &store{bucket: client.Bucket(c.Bucket), conf: c}
	if c.UserProject != "" {
		s.bucket = s.bucket.UserProject(c.UserProject)
	}
	return s, nil
}

func (c *Config) credentials() (*auth.Credentials, error) {
	opts := &credentials.DetectOptions{Scopes: []string{scope}}
	text := c.CredentialsJSON
	switch {
	case c.Credentials != nil:
		return c.Credentials, nil
	case c.CredentialsFile != "":
		var err error
		if text, err = os.ReadFile(c.CredentialsFile); err != nil {
			return nil, err
		}
	case len(text) > 0:
	case c.Token != "":
		return auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: fixedToken(c.Token)}), nil
	default:
		return credentials.DetectDefault(opts)
	}
	var file struct {
		Type credentials.CredType `json:"type"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("the credentials are not JSON") // the cause may quote the key
	}
	switch file.Type {
	case credentials.ServiceAccount, credentials.AuthorizedUser, credentials.ImpersonatedServiceAccount,
		credentials.ExternalAccount, credentials.ExternalAccountAuthorizedUser:
		return credentials.NewCredentialsFromJSON(file.Type, text, opts)
	}
	return nil, fmt.Errorf("the credentials' type is %q", file.Type)
}

type fixedToken string

func (t fixedToken) Token(context.Context) (*auth.Token, error) {
	return &auth.Token{Value: string(t), Type: "Bearer"}, nil
}

func (s *store) object(key string) *storage.ObjectHandle { return s.bucket.Object(key) }

// Properties implements objstore.Store.
func (s *store) Properties() objstore.Properties {
	return objstore.Properties{
		Name:        "gcs",
		IfAbsent:    true,
		IfVersion:   true,
		PutID:       true,
		MaxPut:      5 << 40,
		UploadParts: s.conf.PartSize,
		Prices:      "gcs",
	}
}
