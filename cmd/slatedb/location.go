package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/slatedb/slatedb-go"
	"github.com/slatedb/slatedb-go/objstore"
	"github.com/slatedb/slatedb-go/objstore/retry"
)

// globals reads what stands in front of the command: the form of the Rust tool. It returns
// the location that this names, "" when nothing does.
func globals(args []string) (place string, rest []string, err error) {
	set := flag.NewFlagSet("slatedb", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	var file, path string
	set.StringVar(&file, "env-file", "", "")
	set.StringVar(&file, "e", "", "")
	set.StringVar(&path, "path", "", "")
	set.StringVar(&path, "p", "", "")
	if err := set.Parse(args); err != nil {
		return "", nil, err
	}
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case given["e"] || given["env-file"]:
		if err := loadEnv(file); err != nil {
			return "", nil, err
		}
	case given["p"] || given["path"]:
		if err := loadEnv(".env"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
	}
	if given["p"] || given["path"] {
		if place, err = locate(path, os.Getenv); err != nil {
			return "", nil, err
		}
	}
	return place, set.Args(), nil
}

// locate turns a path into a location, with the store that the environment names.
func locate(path string, env func(string) string) (string, error) {
	bucket := func(scheme string, names ...string) (string, error) {
		for _, name := range names {
			if v := env(name); v != "" {
				u := url.URL{Scheme: scheme, Host: v, Path: "/" + strings.TrimPrefix(path, "/")}
				return u.String(), nil
			}
		}
		return "", fmt.Errorf("CLOUD_PROVIDER is %q, which needs %s", env("CLOUD_PROVIDER"), names[0])
	}
	switch p := strings.ToLower(env("CLOUD_PROVIDER")); p {
	case "local":
		root := env("LOCAL_PATH")
		if root == "" {
			return "", errors.New("CLOUD_PROVIDER is local, which needs LOCAL_PATH")
		}
		root, err := filepath.Abs(root)
		if err != nil {
			return "", err
		}
		// Not a URL: a folder may have any name. The root is the store's, as in Rust.
		return filepath.Join(root, filepath.FromSlash(path)) + "?root=" + root, nil
	case "memory":
		return (&url.URL{Scheme: "memory", Path: "/" + strings.TrimPrefix(path, "/")}).String(), nil
	case "aws":
		return bucket("s3", "AWS_BUCKET", "AWS_BUCKET_NAME")
	case "azure":
		return bucket("az", "AZURE_CONTAINER", "AZURE_CONTAINER_NAME")
	case "gcp", "gcs":
		return bucket("gs", "GOOGLE_BUCKET", "GCP_BUCKET")
	case "":
		return "", errors.New("-p needs the variable CLOUD_PROVIDER: local, memory, aws, azure or gcp")
	default:
		return "", fmt.Errorf("CLOUD_PROVIDER is %q, want local, memory, aws, azure or gcp", p)
	}
}

// loadEnv sets the variables that a file of NAME=value lines holds. What the environment has
// already wins.
func loadEnv(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		k, v, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if !ok || k == "" {
			return fmt.Errorf("%s:%d: want NAME=value", name, n)
		}
		if l := len(v); l >= 2 && (v[0] == '"' || v[0] == '\'') && v[l-1] == v[0] {
			v = v[1 : l-1]
		} else if at := strings.Index(v, " #"); at >= 0 {
			v = strings.TrimSpace(v[:at])
		}
		if _, set := os.LookupEnv(k); !set {
			if err := os.Setenv(k, v); err != nil {
				return fmt.Errorf("%s:%d: %w", name, n, err)
			}
		}
	}
	return s.Err()
}

// shown is a location for messages and reports: without its parameters, which may hold keys.
func shown(location string) string {
	location, _, _ = strings.Cut(location, "?")
	return location
}

// openStore returns the store and path of a location, for what looks at objects directly. Requests to a
// cloud are sent again when they get no answer.
func openStore(ctx context.Context, location string) (objstore.Store, string, error) {
	s, root, err := objstore.Resolve(ctx, location)
	if err != nil {
		return nil, "", fmt.Errorf("open %s: %w", shown(location), err)
	}
	if !s.Properties().Local {
		s = retry.New(s, retry.Options{MaxRetries: retries})
	}
	return s, root, nil
}

// retries of a request to a cloud that gets no answer: about ten seconds, then a person wants
// to know.
const retries = 12

// openAdmin opens the database for looking after it.
func openAdmin(location string, o *slatedb.AdminOptions) (*slatedb.Admin, error) {
	a, err := slatedb.NewAdmin(location, o)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", shown(location), err)
	}
	return a, nil
}

// withAdmin runs f on an Admin with default options.
func withAdmin(location string, f func(a *slatedb.Admin) error) error {
	a, err := openAdmin(location, nil)
	if err != nil {
		return err
	}
	return errors.Join(f(a), a.Close())
}

// objectKey returns the key of an object of the database at root.
func objectKey(root, name string) string {
	if root == "" {
		return name
	}
	return root + "/" + name
}
