package azure

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

type store struct {
	api  *container.Client
	conf Config
}

// New returns the store of a container. It looks for credentials, and fails when there are
// none; the container is not touched. Wrong settings are kv.ErrInvalid.
//
// Wrap the result in objstore/retry; slatedb.Open does so.
func New(ctx context.Context, c Config) (objstore.Store, error) {
	if err := c.resolve(); err != nil {
		return nil, err
	}
	transport, err := c.HTTP.Transport()
	if err != nil {
		return nil, fmt.Errorf("azure: %w", err)
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.HTTP.UserAgent != "" {
		client.Transport = cloud.UserAgent{Base: transport, Agent: c.HTTP.UserAgent}
	}
	opts := &container.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport:                       client,
		Retry:                           policy.RetryOptions{MaxRetries: -1},
		InsecureAllowCredentialWithHTTP: c.HTTP.AllowHTTP,
	}}
	at := strings.TrimSuffix(c.Endpoint, "/") + "/" + url.PathEscape(c.Container)
	s := &store{conf: c}
	switch {
	case c.Credential == nil && c.AccountKey != "":
		key, err := container.NewSharedKeyCredential(c.Account, c.AccountKey)
		if err != nil {
			return nil, fmt.Errorf("azure: the account key is not base64: %w", kv.ErrInvalid)
		}
		s.api, err = container.NewClientWithSharedKeyCredential(at, key, opts)
		if err != nil {
			return nil, fmt.Errorf("azure: %w: %w", err, kv.ErrInvalid)
		}
		return s, nil
	case c.Credential == nil && c.SAS != "":
		at += "?" + strings.TrimPrefix(c.SAS, "?")
		fallthrough
	case c.Credential == nil && c.SkipSignature:
		if s.api, err = container.NewClientWithNoCredential(at, opts); err != nil {
			return nil, fmt.Errorf("azure: the container's address cannot be used: %w", kv.ErrInvalid)
		}
		return s, nil
	}
	cred, err := c.credential(client)
	if err != nil {
		return nil, fmt.Errorf("azure: credentials: %w: %w", err, kv.ErrInvalid)
	}
	if _, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}}); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("azure: credentials: %w", ctx.Err())
		}
		return nil, fmt.Errorf("azure: no credentials: %w: %w", err, kv.ErrInvalid)
	}
	if s.api, err = container.NewClient(at, cred, opts); err != nil {
		return nil, fmt.Errorf("azure: %w: %w", err, kv.ErrInvalid)
	}
	return s, nil
}

// credential returns what gives tokens.
func (c *Config) credential(client *http.Client) (azcore.TokenCredential, error) {
	opts := policy.ClientOptions{Transport: client}
	if c.AuthorityHost != "" {
		opts.Cloud = azcloud.Configuration{ActiveDirectoryAuthorityHost: c.AuthorityHost}
	}
	switch {
	case c.Credential != nil:
		return c.Credential, nil
	case c.Token != "":
		return fixedToken(c.Token), nil
	case c.ClientSecret != "":
		return azidentity.NewClientSecretCredential(c.TenantID, c.ClientID, c.ClientSecret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: opts})
	case c.FederatedTokenFile != "":
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: opts, ClientID: c.ClientID, TenantID: c.TenantID, TokenFilePath: c.FederatedTokenFile,
		})
	case c.UseCLI:
		return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: c.TenantID})
	}
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: opts, TenantID: c.TenantID})
}

type fixedToken string

func (t fixedToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	never := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	return azcore.AccessToken{Token: string(t), ExpiresOn: never}, nil
}

func (s *store) blob(key string) *blockblob.Client { return s.api.NewBlockBlobClient(key) }

// Properties implements objstore.Store.
func (s *store) Properties() objstore.Properties {
	return objstore.Properties{
		Name:        "azure",
		IfAbsent:    true,
		IfVersion:   true,
		PutID:       true,
		MaxPut:      maxBlocks * 4000 << 20,
		UploadParts: s.conf.PartSize,
		Prices:      "azure",
	}
}
