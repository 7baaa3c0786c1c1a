package s3store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Store is a checkpoint.Store in a bucket. Its errors are *Error.
type Store struct {
	config Config
	client minio.Core
}

var _ checkpoint.Store = (*Store)(nil)

// Open connects, makes the bucket if it is not there, and makes sure that the
// server honours conditional puts.
func Open(ctx context.Context, config Config) (*Store, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open S3 store: %w", err)
	}
	client, err := minio.NewCore(config.Endpoint, &minio.Options{
		Creds:  credentials.NewStaticV4(config.AccessKey, config.SecretKey, ""),
		Secure: config.Secure,
		Region: config.Region,
		// Tries are ours to count, and to tell of.
		MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("open S3 store: %w", err)
	}
	s := &Store{config: config, client: *client}
	if err := s.makeBucket(ctx); err != nil {
		return nil, err
	}
	if err := s.probe(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// makeBucket looks for the bucket by a listing, whose answer has a body with
// the reason for a refusal, where that of a HEAD request has none.
func (s *Store) makeBucket(ctx context.Context) error {
	bucket := s.config.Bucket
	err := s.do(ctx, "open bucket", "", func(ctx context.Context, _ func()) error {
		for o := range s.client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: s.config.Prefix, MaxKeys: 1}) {
			return o.Err
		}
		return ctx.Err()
	})
	if !errors.Is(err, ErrNoBucket) {
		return err
	}
	err = s.do(ctx, "make bucket", "", func(ctx context.Context, _ func()) error {
		err := s.client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: s.config.Region})
		if code := minio.ToErrorResponse(err).Code; code == "BucketAlreadyOwnedByYou" {
			return nil // by another process, just now
		}
		return err
	})
	if errors.Is(err, ErrCredentials) {
		return fmt.Errorf("%w: %w", ErrNoBucket, err)
	}
	return err
}

// probeKey is no key, so that no object can be in its place.
const probeKey = ".probe"

// probe puts one small object twice, the second time with other bytes, which
// the server has to refuse. The object stays for the next probe.
func (s *Store) probe(ctx context.Context) error {
	for _, data := range []string{"warmstart", "WARMSTART"} {
		taken := false
		err := s.do(ctx, "probe", probeKey, func(ctx context.Context, alive func()) error {
			err := s.putOnce(ctx, probeKey, []byte(data), alive)
			taken = isTaken(err)
			if taken {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		if data == "WARMSTART" && !taken {
			return &Error{Op: "probe", Where: s.config.where(probeKey), Tries: 1, Kind: ErrUnfit,
				Hint: "it replaced an object in spite of If-None-Match: use a server or release with conditional puts"}
		}
	}
	return nil
}

// putOnce sends a conditional put. Multipart is off: the client drops the
// condition from multipart uploads, which it would use above 16 MiB.
func (s *Store) putOnce(ctx context.Context, key string, data []byte, alive func()) error {
	var condition minio.PutObjectOptions
	condition.SetMatchETagExcept("*")
	return s.sendOnce(ctx, key, data, condition, alive)
}

func (s *Store) sendOnce(ctx context.Context, key string, data []byte, options minio.PutObjectOptions, alive func()) error {
	options.DisableMultipart = true
	options.SendContentMd5 = true // over https the payload is not signed
	options.ContentType = "application/octet-stream"
	options.Progress = progress(alive)
	_, err := s.client.Client.PutObject(ctx, s.config.Bucket, s.config.Prefix+key,
		bytes.NewReader(data), int64(len(data)), options)
	return err
}

// isTaken reports whether the server says that there is an object already.
func isTaken(err error) bool { return minio.ToErrorResponse(err).Code == minio.PreconditionFailed }

// errFlicker: somebody deleted the object between the put and the look; or, if
// it stays so, the server died between an object's metadata and its data.
var errFlicker = errors.New("the key is taken, yet there is no object")

// isAmbiguous reports whether the request may have had effect all the same.
func isAmbiguous(err error) bool { return errors.Is(judge(err).kind, ErrUnreachable) }

// Put implements checkpoint.Store.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	if err := checkpoint.CheckPut(key, data); err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	return s.do(ctx, "put object", key, func(ctx context.Context, alive func()) error {
		err := s.putOnce(ctx, key, data, alive)
		if err == nil || !isTaken(err) && !isAmbiguous(err) {
			return err
		}
		// Ours of an earlier try, perhaps, or of another process. Without an
		// answer it may be either too: a server may refuse a large body and
		// hang up before it is sent.
		found, getErr := s.getOnce(ctx, key, alive)
		switch {
		case getErr != nil && isAmbiguous(err):
			return err
		case minio.ToErrorResponse(getErr).Code == minio.NoSuchKey:
			return errFlicker
		case getErr != nil:
			return getErr
		case !bytes.Equal(found, data):
			return fmt.Errorf("%w: found %s, expected %s", checkpoint.ErrExists,
				checkpoint.Describe(found), checkpoint.Describe(data))
		}
		return nil
	})
}

// Rewrite implements checkpoint.Store: a put without condition, which a server does as a whole.
func (s *Store) Rewrite(ctx context.Context, key string, data []byte) error {
	if err := checkpoint.CheckRewrite(key, data); err != nil {
		return fmt.Errorf("rewrite object: %w", err)
	}
	return s.do(ctx, "rewrite object", key, func(ctx context.Context, alive func()) error {
		return s.sendOnce(ctx, key, data, minio.PutObjectOptions{}, alive)
	})
}

// Get implements checkpoint.Store.
func (s *Store) Get(ctx context.Context, key string) (data []byte, err error) {
	if err := checkpoint.CheckKey(key); err != nil {
		return nil, fmt.Errorf("get object: %w", err)
	}
	err = s.do(ctx, "get object", key, func(ctx context.Context, alive func()) (err error) {
		data, err = s.getOnce(ctx, key, alive)
		return err
	})
	return data, err
}

func (s *Store) getOnce(ctx context.Context, key string, alive func()) ([]byte, error) {
	body, _, _, err := s.client.GetObject(ctx, s.config.Bucket, s.config.Prefix+key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(liveReader{body, alive}) // an error if it ends before its declared length
	if err != nil {
		return nil, err
	}
	return data, nil
}

// List implements checkpoint.Store. What has a name that is no key is not
// seen: folder markers, and the probe.
func (s *Store) List(ctx context.Context, prefix string) (objects []checkpoint.Object, err error) {
	if err := checkpoint.CheckPrefix(prefix); err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	err = s.do(ctx, "list objects", prefix, func(ctx context.Context, alive func()) (err error) {
		objects, err = s.listOnce(ctx, prefix, alive)
		return err
	})
	return objects, err
}

func (s *Store) listOnce(ctx context.Context, prefix string, alive func()) ([]checkpoint.Object, error) {
	ctx, cancel := context.WithCancel(ctx) // ends the lister if we return early
	defer cancel()
	var objects []checkpoint.Object
	for o := range s.client.ListObjectsIter(ctx, s.config.Bucket, minio.ListObjectsOptions{
		Prefix: s.config.Prefix + prefix, Recursive: true,
	}) {
		alive()
		if o.Err != nil {
			return nil, o.Err
		}
		key := o.Key[len(s.config.Prefix):]
		if checkpoint.CheckKey(key) == nil {
			objects = append(objects, checkpoint.Object{Key: key, Size: o.Size})
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(objects, func(a, b checkpoint.Object) int { return cmp.Compare(a.Key, b.Key) })
	return objects, nil
}

// Delete implements checkpoint.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := checkpoint.CheckKey(key); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	return s.do(ctx, "delete object", key, func(ctx context.Context, _ func()) error {
		return s.client.RemoveObject(ctx, s.config.Bucket, s.config.Prefix+key, minio.RemoveObjectOptions{})
	})
}

// Presign gives an address to read one object at, good for life (at most 7 days), for who has no credentials.
func (s *Store) Presign(ctx context.Context, key string, life time.Duration) (address string, err error) {
	if err := checkpoint.CheckKey(key); err != nil {
		return "", fmt.Errorf("presign object: %w", err)
	}
	err = s.do(ctx, "presign object", key, func(ctx context.Context, _ func()) error {
		u, err := s.client.PresignedGetObject(ctx, s.config.Bucket, s.config.Prefix+key, life, nil)
		if err == nil {
			address = u.String()
		}
		return err
	})
	return address, err
}
