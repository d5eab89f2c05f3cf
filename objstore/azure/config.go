package azure

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/slatedb/slatedb-go/internal/kv"
	"github.com/slatedb/slatedb-go/internal/seam"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/cloud"
)

// Config names a container and how to reach it. Container and Account are enough, or
// Container and ConnectionString.
type Config struct {
	Container string
	Account   string
	// Endpoint is the URL of the blob service. Default: https://ACCOUNT.blob.core.windows.net.
	Endpoint string
	// ConnectionString, as the portal shows it, wins over everything else here.
	ConnectionString string
	// Emulator is Azurite with its well-known account, at Endpoint or 127.0.0.1:10000.
	Emulator bool

	// The first of these that is set counts. Default: the SDK's chain of environment,
	// workload identity, managed identity and command line tools.
	Credential azcore.TokenCredential
	AccountKey string // base64
	SAS        string // the query of a shared access signature
	Token      string // a bearer token; it is not refreshed
	// TenantID and ClientID with ClientSecret, or with FederatedTokenFile.
	TenantID, ClientID, ClientSecret, FederatedTokenFile, AuthorityHost string
	UseCLI                                                              bool // what `az login` left
	SkipSignature                                                       bool // a public container, read only

	// Multipart is the size above which Put sends a body in blocks. Default 16 MiB.
	Multipart int64
	// PartSize is the size of a block, at most 4000 MiB. Default 8 MiB. A blob has at most
	// 50,000 blocks.
	PartSize int64
	// Parallel is how many blocks of one blob are sent at once. An Upload holds as many
	// buffers. Default 4.
	Parallel int

	HTTP cloud.HTTP
	Env  *seam.Env // names of blocks, goroutines of parallel ones; nil: the system's
}

// Open opens the container of a URL. Registered for all schemes of this package.
func Open(ctx context.Context, u *url.URL) (objstore.Store, error) {
	c, err := ConfigOf(u)
	if err != nil {
		return nil, err
	}
	return New(ctx, c)
}

func init() {
	for _, scheme := range []string{"az", "azure", "adl", "abfs", "abfss"} {
		objstore.Register(scheme, Open)
	}
}

// ConfigOf reads a URL and the environment. A query parameter is named like the variable in
// lower case, with or without azure_ or azure_storage_, and wins over it. A container may be
// written container@account.dfs.core.windows.net.
func ConfigOf(u *url.URL) (Config, error) {
	s := cloud.NewSettings(u, "AZURE_")
	c := Config{
		Container:          u.Host,
		Account:            s.String(both("ACCOUNT_NAME")...),
		Endpoint:           s.String(append(both("ENDPOINT"), "AZURE_BLOB_ENDPOINT")...),
		AccountKey:         s.String(append(both("ACCOUNT_KEY", "ACCESS_KEY"), "AZURE_STORAGE_MASTER_KEY", "AZURE_MASTER_KEY")...),
		SAS:                s.String(both("SAS_TOKEN", "SAS_KEY")...),
		Token:              s.String("AZURE_STORAGE_TOKEN", "AZURE_BEARER_TOKEN", "AZURE_TOKEN"),
		TenantID:           s.String(both("TENANT_ID", "AUTHORITY_ID")...),
		ClientID:           s.String(both("CLIENT_ID")...),
		ClientSecret:       s.String(both("CLIENT_SECRET")...),
		FederatedTokenFile: s.String("AZURE_FEDERATED_TOKEN_FILE"),
		AuthorityHost:      s.String("AZURE_AUTHORITY_HOST", "AZURE_STORAGE_AUTHORITY_HOST"),
		UseCLI:             s.Bool("AZURE_USE_AZURE_CLI"),
		SkipSignature:      s.Bool("AZURE_SKIP_SIGNATURE"),
		Emulator:           s.Bool("AZURE_STORAGE_USE_EMULATOR", "AZURE_USE_EMULATOR"),
		Multipart:          s.Int("AZURE_MULTIPART_THRESHOLD"),
		PartSize:           s.Int("AZURE_PART_SIZE"),
		Parallel:           int(min(s.Int("AZURE_UPLOAD_PARALLEL"), 1000)),
		HTTP:               s.HTTP(),
	}
	conn := s.String("AZURE_STORAGE_CONNECTION_STRING")
	azurite := s.String("AZURITE_BLOB_STORAGE_URL")
	fabric := s.Bool("AZURE_USE_FABRIC_ENDPOINT")
	s.Ignore("AZURE_CONTAINER_NAME", "AZURE_STORAGE_CONTAINER_NAME", "AZURE_DISABLE_TAGGING",
		"AZURE_MSI_ENDPOINT", "AZURE_IDENTITY_ENDPOINT", "AZURE_OBJECT_ID", "AZURE_MSI_RESOURCE_ID")
	// A URL that names an account means that one, whatever the environment says.
	named := s.InQuery(append(both("ACCOUNT_NAME", "ENDPOINT"), "AZURE_BLOB_ENDPOINT")...)
	if u.User != nil { // container@account.dfs.core.windows.net
		if _, hasPassword := u.User.Password(); hasPassword {
			return Config{}, fmt.Errorf("azure: keys do not belong into the URL's user: %w", kv.ErrInvalid)
		}
		named = true
		c.Container = u.User.Username()
		c.Account, _, _ = strings.Cut(u.Hostname(), ".")
		if !s.InQuery(both("ENDPOINT")...) {
			c.Endpoint = "https://" + strings.Replace(u.Host, ".dfs.", ".blob.", 1)
		}
	}
	if !named || s.InQuery("AZURE_STORAGE_CONNECTION_STRING") {
		c.ConnectionString = conn
	}
	if c.Emulator && c.Endpoint == "" {
		c.Endpoint = azurite
	}
	if fabric && c.Endpoint == "" {
		c.Endpoint = "https://" + c.Account + ".blob.fabric.microsoft.com"
	}
	if s.String("AZURE_STORAGE_ENCRYPTION_KEY") != "" {
		return Config{}, fmt.Errorf("azure: AZURE_STORAGE_ENCRYPTION_KEY is not supported: %w", kv.ErrInvalid)
	}
	if err := s.Err(); err != nil {
		return Config{}, fmt.Errorf("azure: %w", err)
	}
	return c, nil
}

// both are the two ways that the names of Azure are written in.
func both(names ...string) (all []string) {
	for _, n := range names {
		all = append(all, "AZURE_STORAGE_"+n, "AZURE_"+n)
	}
	return all
}

// resolve checks c and fills defaults in.
func (c *Config) resolve() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("azure: "+format+": %w", append(args, kv.ErrInvalid)...)
	}
	if c.Container == "" {
		return bad("no container")
	}
	if c.ConnectionString != "" {
		if err := c.readConnectionString(); err != nil {
			return bad("%v", err)
		}
	} else if c.Emulator {
		c.Account, c.AccountKey = emulatorAccount, emulatorKey
		if c.Endpoint == "" {
			c.Endpoint = "http://127.0.0.1:10000"
		}
		c.HTTP.AllowHTTP = true
		if !strings.HasSuffix(strings.TrimSuffix(c.Endpoint, "/"), "/"+c.Account) {
			c.Endpoint = strings.TrimSuffix(c.Endpoint, "/") + "/" + c.Account
		}
	}
	if c.Endpoint == "" {
		if c.Account == "" {
			return bad("no account: set AZURE_STORAGE_ACCOUNT_NAME or ?account_name=")
		}
		c.Endpoint = "https://" + c.Account + ".blob.core.windows.net"
	}
	if _, err := c.HTTP.CheckEndpoint(c.Endpoint, "AZURE_ALLOW_HTTP=true (?allow_http=true)"); err != nil {
		return fmt.Errorf("azure: %w", err)
	}
	if c.AccountKey != "" && c.Account == "" {
		return bad("a key, and no account that it is of")
	}
	if c.Multipart <= 0 {
		c.Multipart = 16 << 20
	}
	c.Multipart = min(c.Multipart, 4000<<20)
	if c.PartSize <= 0 {
		c.PartSize = 8 << 20
	}
	if c.PartSize > 4000<<20 {
		return bad("PartSize is %d, want at most 4000 MiB", c.PartSize)
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
	maxBlocks = 50_000
	// Azurite's, the same on every machine and published by Microsoft.
	emulatorAccount = "devstoreaccount1"
	emulatorKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

func (c *Config) readConnectionString() error {
	fields := map[string]string{}
	for f := range strings.SplitSeq(c.ConnectionString, ";") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			return fmt.Errorf("the connection string is not a list of name=value")
		}
		fields[strings.ToLower(name)] = value
	}
	if fields["usedevelopmentstorage"] == "true" {
		c.ConnectionString, c.Emulator = "", true
		return c.resolve()
	}
	c.Account, c.AccountKey, c.SAS = fields["accountname"], fields["accountkey"], fields["sharedaccesssignature"]
	c.Endpoint = fields["blobendpoint"]
	if c.Endpoint == "" {
		scheme, suffix := fields["defaultendpointsprotocol"], fields["endpointsuffix"]
		if scheme == "" {
			scheme = "https"
		}
		if suffix == "" {
			suffix = "core.windows.net"
		}
		if c.Account == "" {
			return fmt.Errorf("the connection string has neither AccountName nor BlobEndpoint")
		}
		c.Endpoint = scheme + "://" + c.Account + ".blob." + suffix
	}
	return nil
}
