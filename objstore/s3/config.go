package s3

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

// Config names a bucket and how to reach it. Only Bucket is needed.
type Config struct {
	Bucket string
	// Region of the bucket. Default: that of the SDK's profile, else us-east-1. Servers
	// other than Amazon's mostly do not care; R2 wants "auto".
	Region string
	// Endpoint is the URL of a server other than Amazon's. Default: Amazon's of the region.
	// The bucket is then the first element of the path, unless VirtualHosted.
	Endpoint      string
	VirtualHosted bool // the bucket is part of the host name, with an Endpoint too
	PathStyle     bool // the bucket is part of the path, without an Endpoint too

	// Keys. Default: the SDK's chain of environment, shared files (Profile), web identity,
	// container and instance role, refreshed before they expire.
	AccessKeyID, SecretAccessKey, SessionToken string
	Profile                                    string
	// RoleARN is taken on with the token in WebIdentityTokenFile, when both are set.
	RoleARN, WebIdentityTokenFile, RoleSessionName string
	// Credentials, when set, wins over all of the above.
	Credentials aws.CredentialsProvider
	// SkipSignature sends requests without any, to a public bucket.
	SkipSignature bool
	// MetadataEndpoint replaces the address of the instance metadata service.
	MetadataEndpoint string

	// UnsignedPayload leaves the body out of the signature, which saves its SHA-256. TLS
	// still guards it on the way.
	UnsignedPayload bool
	// Checksum is sent with every body: SHA256, SHA1, CRC32, CRC32C or CRC64NVME. Default:
	// none, since many servers know none, and the signature covers the body.
	Checksum string
	// ServerSideEncryption is AES256, aws:kms or aws:kms:dsse; KMSKeyID and BucketKey go with
	// the latter two. Default: as the bucket is set up.
	ServerSideEncryption, KMSKeyID string
	BucketKey                      bool
	// CustomerKey is a key of 32 bytes that the server encrypts with and does not keep.
	CustomerKey []byte
	// RequesterPays agrees to pay for requests to somebody else's bucket.
	RequesterPays bool

	// NoConditionalPut says that the server does not honour conditions. The engine cannot
	// write then.
	NoConditionalPut bool
	// NoProbe vouches for the server: opening a database does not try what it can do (see
	// package objstore/probe). Servers that ignore conditions exist, and two writers on one of
	// them would destroy the database in silence.
	NoProbe bool

	// Multipart is the size above which Put sends a body in parts. Default 16 MiB.
	Multipart int64
	// PartSize is the size of a part, at least 5 MiB. Default 8 MiB. An object has at most
	// 10,000 parts, so an Upload ends at 10,000 times this; a Put uses larger parts.
	PartSize int64
	// Parallel is how many parts of one object are sent at once. An Upload holds as many
	// part buffers. Default 4.
	Parallel int

	HTTP cloud.HTTP
	Env  *seam.Env // goroutines of parallel parts; nil: the system's
}

// Open opens the bucket of a URL. Registered for s3 and s3a.
func Open(ctx context.Context, u *url.URL) (objstore.Store, error) {
	c, err := ConfigOf(u)
	if err != nil {
		return nil, err
	}
	return New(ctx, c)
}

func init() {
	objstore.Register("s3", Open)
	objstore.Register("s3a", Open)
}

// ConfigOf reads a URL and the environment. A query parameter is named like the variable in
// lower case, with or without aws_, and wins over it.
func ConfigOf(u *url.URL) (Config, error) {
	s := cloud.NewSettings(u, "AWS_")
	c := Config{
		Bucket:               u.Host,
		Region:               s.String("AWS_REGION", "AWS_DEFAULT_REGION"),
		Endpoint:             s.String("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
		VirtualHosted:        s.Bool("AWS_VIRTUAL_HOSTED_STYLE_REQUEST"),
		PathStyle:            s.Bool("AWS_PATH_STYLE"),
		AccessKeyID:          s.String("AWS_ACCESS_KEY_ID"),
		SecretAccessKey:      s.String("AWS_SECRET_ACCESS_KEY"),
		SessionToken:         s.String("AWS_SESSION_TOKEN", "AWS_TOKEN"),
		Profile:              s.String("AWS_PROFILE"),
		RoleARN:              s.String("AWS_ROLE_ARN"),
		WebIdentityTokenFile: s.String("AWS_WEB_IDENTITY_TOKEN_FILE"),
		RoleSessionName:      s.String("AWS_ROLE_SESSION_NAME"),
		SkipSignature:        s.Bool("AWS_SKIP_SIGNATURE"),
		MetadataEndpoint:     s.String("AWS_METADATA_ENDPOINT"),
		UnsignedPayload:      s.Bool("AWS_UNSIGNED_PAYLOAD"),
		Checksum:             s.String("AWS_CHECKSUM_ALGORITHM"),
		ServerSideEncryption: s.String("AWS_SERVER_SIDE_ENCRYPTION"),
		KMSKeyID:             s.String("AWS_SSE_KMS_KEY_ID"),
		BucketKey:            s.Bool("AWS_SSE_BUCKET_KEY_ENABLED"),
		RequesterPays:        s.Bool("AWS_REQUEST_PAYER"),
		NoProbe:              s.Bool("AWS_SKIP_CONDITIONAL_PUT_PROBE"),
		Multipart:            s.Int("AWS_MULTIPART_THRESHOLD"),
		PartSize:             s.Int("AWS_PART_SIZE"),
		Parallel:             int(min(s.Int("AWS_UPLOAD_PARALLEL"), 1000)),
		HTTP:                 s.HTTP(),
	}
	s.Ignore("AWS_BUCKET", "AWS_BUCKET_NAME", "AWS_COPY_IF_NOT_EXISTS", "AWS_DISABLE_TAGGING", "AWS_DISABLE_BULK_DELETE",
		"AWS_IMDSV1_FALLBACK", "AWS_S3_EXPRESS", "AWS_EC2_METADATA_DISABLED")
	if v := s.String("AWS_CONDITIONAL_PUT"); strings.EqualFold(v, "disabled") {
		c.NoConditionalPut = true
	} else if v != "" && !strings.EqualFold(v, "etag") {
		return Config{}, fmt.Errorf("s3: AWS_CONDITIONAL_PUT is etag or disabled: %w", kv.ErrInvalid)
	}
	if v := s.String("AWS_SSE_CUSTOMER_KEY_BASE64"); v != "" {
		key, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			return Config{}, fmt.Errorf("s3: AWS_SSE_CUSTOMER_KEY_BASE64 is not base64: %w", kv.ErrInvalid)
		}
		c.CustomerKey = key
	}
	if u.User != nil || u.Port() != "" {
		return Config{}, fmt.Errorf("s3: a bucket takes neither user nor port; the server is named by ?endpoint=: %w", kv.ErrInvalid)
	}
	if err := s.Err(); err != nil {
		return Config{}, fmt.Errorf("s3: %w", err)
	}
	return c, nil
}

// resolve checks c and fills defaults in.
func (c *Config) resolve() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("s3: "+format+": %w", append(args, kv.ErrInvalid)...)
	}
	if c.Bucket == "" {
		return bad("no bucket")
	}
	if (c.AccessKeyID == "") != (c.SecretAccessKey == "") {
		return bad("AccessKeyID and SecretAccessKey come together")
	}
	if c.VirtualHosted && c.PathStyle {
		return bad("VirtualHosted and PathStyle exclude each other")
	}
	if len(c.CustomerKey) != 0 && len(c.CustomerKey) != 32 {
		return bad("CustomerKey has %d bytes, want 32", len(c.CustomerKey))
	}
	c.Checksum = strings.ToUpper(c.Checksum)
	switch c.Checksum {
	case "", "SHA256", "SHA1", "CRC32", "CRC32C", "CRC64NVME":
	default:
		return bad("Checksum is SHA256, SHA1, CRC32, CRC32C or CRC64NVME")
	}
	if c.Multipart <= 0 {
		c.Multipart = 16 << 20
	}
	c.Multipart = min(c.Multipart, 5<<30) // more is no single PUT
	if c.PartSize <= 0 {
		c.PartSize = 8 << 20
	}
	if c.PartSize < minPart || c.PartSize > 5<<30 {
		return bad("PartSize is %d, want 5 MiB to 5 GiB", c.PartSize)
	}
	if c.Parallel <= 0 {
		c.Parallel = 4
	}
	if c.Env == nil {
		c.Env = seam.New(seam.Env{})
	}
	return nil
}

const (
	minPart  = 5 << 20 // of every part but the last; a rule of S3
	maxParts = 10_000
)
