package s3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
)

type store struct {
	api     *s3.Client
	conf    Config
	bucket  *string
	sse     types.ServerSideEncryption
	kmsKey  *string
	bktKey  *bool
	sum     types.ChecksumAlgorithm
	headers []func(*s3.Options)
	prices  string // the table of this server
}

// New returns the store of a bucket. It looks for keys, and fails when there are none; the
// bucket is not touched. Wrong settings are kv.ErrInvalid.
//
// Wrap the result in objstore/retry; slatedb.Open does so.
func New(ctx context.Context, c Config) (objstore.Store, error) {
	if err := c.resolve(); err != nil {
		return nil, err
	}
	transport, err := c.HTTP.Options()
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	conf, err := c.load(ctx, transport)
	if err != nil {
		return nil, err
	}
	api := s3.NewFromConfig(conf, func(o *s3.Options) {
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
		o.UsePathStyle = c.PathStyle || (o.BaseEndpoint != nil && !c.VirtualHosted)
		o.Retryer = aws.NopRetryer{}
		o.DisableLogOutputChecksumValidationSkipped = true
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		if c.UnsignedPayload {
			o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
		}
		if c.HTTP.UserAgent != "" {
			o.APIOptions = append(o.APIOptions, awsmiddleware.AddUserAgentKey(c.HTTP.UserAgent))
		}
		if c.RequesterPays {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amz-Request-Payer", "requester"))
		}
	})
	tariff := prices(c.Bucket, "")
	if ep := api.Options().BaseEndpoint; ep != nil {
		u, err := c.HTTP.CheckEndpoint(*ep, "AWS_ALLOW_HTTP=true (?allow_http=true)")
		if err != nil {
			return nil, fmt.Errorf("s3: %w", err)
		}
		tariff = prices(c.Bucket, u.Hostname())
	}
	if p := api.Options().Credentials; !c.SkipSignature {
		if p == nil {
			return nil, fmt.Errorf("s3: no credentials: %w", kv.ErrInvalid)
		}
		if _, err := p.Retrieve(ctx); err != nil {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("s3: credentials: %w", ctx.Err())
			}
			return nil, fmt.Errorf("s3: no credentials: %w: %w", err, kv.ErrInvalid)
		}
	}
	s := &store{api: api, conf: c, bucket: aws.String(c.Bucket), sum: types.ChecksumAlgorithm(c.Checksum)}
	s.sse = types.ServerSideEncryption(c.ServerSideEncryption)
	if c.KMSKeyID != "" {
		s.kmsKey = aws.String(c.KMSKeyID)
	}
	if c.BucketKey {
		s.bktKey = aws.Bool(true)
	}
	s.headers = customerKey(c.CustomerKey)
	s.prices = tariff
	return s, nil
}

// prices names the table of objstore/prices for a bucket on a host, "" for Amazon's own. A
// server that is nobody's product costs nothing by the request.
func prices(bucket, host string) string {
	switch host = strings.ToLower(host); {
	case host == "", strings.HasSuffix(host, ".amazonaws.com"), strings.HasSuffix(host, ".amazonaws.com.cn"):
		if strings.HasSuffix(bucket, "--x-s3") {
			return "s3-express"
		}
		return "s3"
	case strings.HasSuffix(host, ".r2.cloudflarestorage.com"):
		return "r2"
	}
	return ""
}

// load runs the SDK's own search for region and credentials.
func (c *Config) load(ctx context.Context, transport func(*http.Transport)) (aws.Config, error) {
	// This kind of client follows no redirect (one says that the region is wrong, and would
	// need a new signature), and takes the certificates of AWS_CA_BUNDLE.
	client := awshttp.NewBuildableClient().WithTransportOptions(transport)
	opts := []func(*config.LoadOptions) error{config.WithHTTPClient(client), config.WithDefaultRegion("us-east-1")}
	if c.Region != "" {
		opts = append(opts, config.WithRegion(c.Region))
	}
	if c.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(c.Profile))
	}
	if c.MetadataEndpoint != "" {
		opts = append(opts, config.WithEC2IMDSEndpoint(c.MetadataEndpoint))
	}
	switch {
	case c.SkipSignature:
		opts = append(opts, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	case c.Credentials != nil:
		opts = append(opts, config.WithCredentialsProvider(aws.NewCredentialsCache(c.Credentials)))
	case c.AccessKeyID != "":
		static := credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)
		opts = append(opts, config.WithCredentialsProvider(static))
	}
	conf, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return conf, fmt.Errorf("s3: settings of the SDK: %w: %w", err, kv.ErrInvalid)
	}
	if c.RoleARN != "" && c.WebIdentityTokenFile != "" && !c.SkipSignature && c.Credentials == nil && c.AccessKeyID == "" {
		p := stscreds.NewWebIdentityRoleProvider(sts.NewFromConfig(conf), c.RoleARN, stscreds.IdentityTokenFile(c.WebIdentityTokenFile),
			func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = c.RoleSessionName })
		conf.Credentials = aws.NewCredentialsCache(p)
	}
	return conf, nil
}

// customerKey are the headers of every request that touches a body or its attributes.
func customerKey(key []byte) []func(*s3.Options) {
	if len(key) == 0 {
		return nil
	}
	sum := md5.Sum(key) // the protocol's check of the key, no protection
	return []func(*s3.Options){func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions,
			smithyhttp.SetHeaderValue("X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256"),
			smithyhttp.SetHeaderValue("X-Amz-Server-Side-Encryption-Customer-Key", base64.StdEncoding.EncodeToString(key)),
			smithyhttp.SetHeaderValue("X-Amz-Server-Side-Encryption-Customer-Key-Md5", base64.StdEncoding.EncodeToString(sum[:])))
	}}
}

// Properties implements objstore.Store.
func (s *store) Properties() objstore.Properties {
	return objstore.Properties{
		Name:        "s3",
		IfAbsent:    !s.conf.NoConditionalPut,
		IfVersion:   !s.conf.NoConditionalPut,
		PutID:       true,
		MaxPut:      5 << 40,
		UploadParts: s.conf.PartSize,
		NoProbe:     s.conf.NoProbe,
		Prices:      s.prices,
	}
}
