package gcs

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"cloud.google.com/go/auth"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

// Config names a bucket and how to reach it. Only Bucket is needed.
type Config struct {
	Bucket string
	// Endpoint is the URL of a server other than Google's, without a path.
	Endpoint string

	// The first of these that is set counts. Default: the application default credentials
	// (GOOGLE_APPLICATION_CREDENTIALS, gcloud's, the metadata server).
	Credentials     *auth.Credentials
	CredentialsFile string
	CredentialsJSON []byte
	Token           string // a bearer token; it is not refreshed
	SkipSignature   bool   // a public bucket, or an emulator

	// UserProject pays for requests to a bucket whose requester pays.
	UserProject string
	// KMSKeyName encrypts what is written. Default: as the bucket is set up.
	KMSKeyName string

	// Multipart is the size above which Put uses a resumable upload. Default 16 MiB.
	Multipart int64
	// PartSize is the size of a chunk, a multiple of 256 KiB. An Upload holds one chunk.
	// Default 16 MiB.
	PartSize int64

	HTTP cloud.HTTP
}

// Open opens the bucket of a URL. Registered for gs.
func Open(ctx context.Context, u *url.URL) (objstore.Store, error) {
	c, err := ConfigOf(u)
	if err != nil {
		return nil, err
	}
	return New(ctx, c)
}

func init() { objstore.Register("gs", Open) }

// ConfigOf reads a URL and the environment. A query parameter is named like the variable in
// lower case, with or without google_, and wins over it.
func ConfigOf(u *url.URL) (Config, error) {
	s := cloud.NewSettings(u, "GOOGLE_")
	c := Config{
		Bucket:          u.Host,
		Endpoint:        s.String("GOOGLE_BASE_URL", "GOOGLE_ENDPOINT"),
		CredentialsFile: s.String("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_APPLICATION_CREDENTIALS"),
		Token:           s.String("GOOGLE_BEARER_TOKEN"),
		SkipSignature:   s.Bool("GOOGLE_SKIP_SIGNATURE"),
		UserProject:     s.String("GOOGLE_USER_PROJECT"),
		KMSKeyName:      s.String("GOOGLE_KMS_KEY_NAME"),
		Multipart:       s.Int("GOOGLE_MULTIPART_THRESHOLD"),
		PartSize:        s.Int("GOOGLE_PART_SIZE"),
		HTTP:            s.HTTP(),
	}
	s.Ignore("GOOGLE_BUCKET", "GOOGLE_BUCKET_NAME")
	if v := s.String("GOOGLE_SERVICE_ACCOUNT_KEY"); v != "" {
		c.CredentialsJSON = []byte(v)
		if !s.InQuery("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_APPLICATION_CREDENTIALS") {
			c.CredentialsFile = ""
		}
	}
	if host := s.String("STORAGE_EMULATOR_HOST"); host != "" && !s.InQuery("GOOGLE_BASE_URL", "GOOGLE_ENDPOINT") {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		c.Endpoint, c.SkipSignature, c.HTTP.AllowHTTP = host, true, true
	}
	if u.User != nil || u.Port() != "" {
		return Config{}, fmt.Errorf("gcs: a bucket takes neither user nor port; the server is named by ?base_url=: %w", kv.ErrInvalid)
	}
	if err := s.Err(); err != nil {
		return Config{}, fmt.Errorf("gcs: %w", err)
	}
	return c, nil
}

// resolve checks c and fills defaults in.
func (c *Config) resolve() error {
	if c.Bucket == "" {
		return fmt.Errorf("gcs: no bucket: %w", kv.ErrInvalid)
	}
	if c.Endpoint != "" {
		if _, err := c.HTTP.CheckEndpoint(c.Endpoint, "GOOGLE_ALLOW_HTTP=true (?allow_http=true)"); err != nil {
			return fmt.Errorf("gcs: %w", err)
		}
	}
	if c.Multipart <= 0 {
		c.Multipart = 16 << 20
	}
	if c.PartSize <= 0 {
		c.PartSize = 16 << 20
	}
	if c.PartSize%(256<<10) != 0 || c.PartSize > 1<<30 {
		return fmt.Errorf("gcs: PartSize is %d, want a multiple of 256 KiB, at most 1 GiB: %w", c.PartSize, kv.ErrInvalid)
	}
	c.HTTP.HTTP1Only = true
	return nil
}
