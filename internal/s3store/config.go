// Package s3store keeps a checkpoint.Store in a bucket of an S3-compatible
// server.
//
// Objects are immutable: a put is conditional (If-None-Match: *), and where the
// server says that the key is taken, or no answer came, what is there is read
// back and compared. Fencing between leaders is not left to S3: servers have
// had races in conditional puts, so keys name their bytes and etcd decides.
package s3store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Config says where the objects are and how long to try.
type Config struct {
	// Endpoint is host:port, or a URL http://host:port or https://host:port,
	// whose scheme then decides over Secure.
	Endpoint string
	// Bucket is made by Open if it is not there and the credentials allow it.
	Bucket string
	// Prefix is put before every key, so that a bucket can be shared. Empty
	// means none; a slash at its end is added.
	Prefix string
	// AccessKey and SecretKey sign every request.
	AccessKey, SecretKey string
	// Region is part of the signature. Empty asks the server for the bucket's.
	Region string
	// Secure means https.
	Secure bool
	// Timeout is how long after its start an operation may begin another try.
	// 0 means a minute: longer than a server's restart. The caller's context
	// bounds the operation besides.
	Timeout time.Duration
	// Silence is how long a try may go without a byte moving; then it has
	// failed. 0 means ten seconds. A large object that moves is not cut off.
	Silence time.Duration
	// OnRetry, if set, is told of each failed try before the wait for the
	// next, so that no wait is silent.
	OnRetry func(Retry)
}

// withDefaults fills in what is zero and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if rest, ok := strings.CutPrefix(c.Endpoint, "https://"); ok {
		c.Endpoint, c.Secure = rest, true
	} else if rest, ok := strings.CutPrefix(c.Endpoint, "http://"); ok {
		c.Endpoint, c.Secure = rest, false
	}
	c.Endpoint = strings.TrimSuffix(c.Endpoint, "/")
	switch {
	case c.Endpoint == "" || strings.Contains(c.Endpoint, "/"):
		return c, fmt.Errorf("endpoint %q: expected host:port or http(s)://host:port", c.Endpoint)
	case c.AccessKey == "" || c.SecretKey == "":
		return c, errors.New("access key or secret key is empty; expected both")
	case c.Timeout < 0 || c.Silence < 0:
		return c, fmt.Errorf("timeout %v, silence %v: expected 0 or more", c.Timeout, c.Silence)
	}
	if err := s3utils.CheckValidBucketNameStrict(c.Bucket); err != nil {
		return c, fmt.Errorf("bucket %q: %w", c.Bucket, err)
	}
	if err := checkpoint.CheckPrefix(c.Prefix); err != nil {
		return c, fmt.Errorf("prefix: %w", err)
	}
	if c.Prefix != "" && !strings.HasSuffix(c.Prefix, "/") {
		c.Prefix += "/"
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	if c.Silence == 0 {
		c.Silence = 10 * time.Second
	}
	return c, nil
}

// where names the place in errors: URL, bucket, and key if there is one.
func (c Config) where(key string) string {
	scheme := "http"
	if c.Secure {
		scheme = "https"
	}
	place := fmt.Sprintf("%s://%s/%s", scheme, c.Endpoint, c.Bucket)
	if full := c.Prefix + key; full != "" {
		place += "/" + full
	}
	return place
}
