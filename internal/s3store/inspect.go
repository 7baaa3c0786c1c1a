package s3store

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Look gives a store to be looked at: it asks the server nothing yet and makes no
// bucket. To keep objects in, Open one.
func Look(config Config) (*Store, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("look at S3 store: %w", err)
	}
	client, err := minio.NewCore(config.Endpoint, &minio.Options{
		Creds:  credentials.NewStaticV4(config.AccessKey, config.SecretKey, ""),
		Secure: config.Secure, Region: config.Region, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("look at S3 store: %w", err)
	}
	return &Store{config: config, client: *client}, nil
}

// CheckBucket looks for the bucket. ErrNoBucket: it is not there.
func (s *Store) CheckBucket(ctx context.Context) error {
	return s.do(ctx, "look for bucket", "", func(ctx context.Context, _ func()) error {
		for o := range s.client.ListObjectsIter(ctx, s.config.Bucket, minio.ListObjectsOptions{Prefix: s.config.Prefix, MaxKeys: 1}) {
			return o.Err
		}
		return ctx.Err()
	})
}

// Where names the store's place.
func (s *Store) Where() string { return s.config.where("") }

// scratch is the name of an object to try things on: no key, so that no listing
// shows it.
func scratch() string { return ".doctor-" + rand.Text() }

// CheckReadAfterWrite puts an object, reads it, finds it listed, deletes it, and
// finds it gone: each must show at once.
func (s *Store) CheckReadAfterWrite(ctx context.Context) error {
	key, data := scratch(), []byte(rand.Text())
	return s.do(ctx, "read after write", key, func(ctx context.Context, alive func()) error {
		if err := s.putOnce(ctx, key, data, alive); err != nil {
			return err
		}
		found, err := s.getOnce(ctx, key, alive)
		if err != nil {
			return err
		}
		if !bytes.Equal(found, data) {
			return fmt.Errorf("found %s, expected %s", checkpoint.Describe(found), checkpoint.Describe(data))
		}
		if !s.listed(ctx, key) {
			return errors.New("found an object written just now not listed")
		}
		if err := s.remove(ctx, key); err != nil {
			return err
		}
		if _, err := s.getOnce(ctx, key, alive); minio.ToErrorResponse(err).Code != minio.NoSuchKey {
			return fmt.Errorf("found an object deleted just now still there (%v)", err)
		}
		return nil
	})
}

func (s *Store) listed(ctx context.Context, key string) bool {
	for o := range s.client.ListObjectsIter(ctx, s.config.Bucket, minio.ListObjectsOptions{Prefix: s.config.Prefix + key}) {
		if o.Err == nil && o.Key == s.config.Prefix+key {
			return true
		}
	}
	return false
}

func (s *Store) remove(ctx context.Context, key string) error {
	return s.client.RemoveObject(ctx, s.config.Bucket, s.config.Prefix+key, minio.RemoveObjectOptions{})
}

// CheckConditional puts twice under one key, the second time on condition that
// nothing is there, which the server has to refuse: ErrUnfit where it does not.
func (s *Store) CheckConditional(ctx context.Context) error {
	key := scratch()
	defer func() { _ = s.remove(context.WithoutCancel(ctx), key) }()
	return s.do(ctx, "conditional put", key, func(ctx context.Context, alive func()) error {
		if err := s.putOnce(ctx, key, []byte("first"), alive); err != nil && !isTaken(err) {
			return err
		}
		switch err := s.putOnce(ctx, key, []byte("second"), alive); {
		case isTaken(err):
			return nil
		case err != nil:
			return err
		}
		return errReplaced
	})
}

// errReplaced: a server that does not know of conditional puts.
var errReplaced = errors.New("it replaced an object in spite of If-None-Match")

// Race lets writers put different bytes under one key at the same time, each on
// condition that nothing is there, for a number of rounds. Exactly one must win each,
// and its bytes must stay: the error says otherwise, and wraps ErrRaces.
func (s *Store) Race(ctx context.Context, writers, rounds int) error {
	for range rounds {
		if err := s.raceOnce(ctx, writers); err != nil {
			return err
		}
	}
	return nil
}

// ErrRaces: conditional puts at the same time both succeed.
var ErrRaces = errors.New("conditional puts race")

func (s *Store) raceOnce(ctx context.Context, writers int) error {
	key := scratch()
	defer func() { _ = s.remove(context.WithoutCancel(ctx), key) }()
	start := make(chan struct{})
	results := make([]error, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			<-start
			results[i] = tryOnce(ctx, s.config.Silence, func(ctx context.Context, alive func()) error {
				return s.putOnce(ctx, key, body(i), alive)
			})
		})
	}
	close(start)
	all.Wait()
	won := -1
	for i, err := range results {
		switch {
		case err == nil && won >= 0:
			return fmt.Errorf("%w: found that writers %d and %d of %d both won one key", ErrRaces, won, i, writers)
		case err == nil:
			won = i
		case !isTaken(err) && judge(err).kind != nil: // a refusal under load is no win
			return fmt.Errorf("race of %d conditional puts: %w", writers, err)
		}
	}
	if won < 0 {
		return fmt.Errorf("%w: found that none of %d writers won one key", ErrRaces, writers)
	}
	found, err := s.getOnce(ctx, key, func() {})
	if err != nil {
		return fmt.Errorf("race of %d conditional puts: read what won: %w", writers, err)
	}
	if !bytes.Equal(found, body(won)) {
		return fmt.Errorf("%w: found the bytes of another writer than the one that won", ErrRaces)
	}
	return nil
}

// body is what a writer of a race puts.
func body(writer int) []byte { return bytes.Repeat([]byte{byte('a' + writer%26)}, 1024+writer) }

// CheckLarge writes and reads an object of so many bytes, and says how long each took.
func (s *Store) CheckLarge(ctx context.Context, size int) (put, get time.Duration, err error) {
	data := bytes.Repeat([]byte(rand.Text()), size/26+1)[:size]
	key := scratch()
	defer func() { _ = s.remove(context.WithoutCancel(ctx), key) }()
	err = s.do(ctx, "large object", key, func(ctx context.Context, alive func()) error {
		began := time.Now()
		if err := s.putOnce(ctx, key, data, alive); err != nil && !isTaken(err) {
			return err
		}
		put, began = time.Since(began), time.Now()
		found, err := s.getOnce(ctx, key, alive)
		get = time.Since(began)
		if err == nil && !bytes.Equal(found, data) {
			err = fmt.Errorf("found %s, expected %s", checkpoint.Describe(found), checkpoint.Describe(data))
		}
		return err
	})
	return put, get, err
}

// Clock is the server's, by the Date of an answer, this side's when it was read, and what
// the two may differ by for that.
// It needs no credentials, so that it is told though clocks are too far apart to sign.
func (s *Store) Clock(ctx context.Context) (theirs, ours time.Time, slop time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Silence)
	defer cancel()
	scheme := "http"
	if s.config.Secure {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+s.config.Endpoint+"/", nil)
	if err != nil {
		return theirs, ours, 0, fmt.Errorf("read clock: %w", err)
	}
	asked := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return theirs, ours, 0, fmt.Errorf("read clock: %w", err)
	}
	half := time.Since(asked) / 2
	_ = resp.Body.Close()
	theirs, err = http.ParseTime(resp.Header.Get("Date"))
	return theirs, asked.Add(half), half + time.Second, err
}
