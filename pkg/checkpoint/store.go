package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrNotFound is wrapped by Get when there is no object under the key.
var ErrNotFound = errors.New("object not found")

// ErrExists is wrapped by Put when other bytes are under the key already.
var ErrExists = errors.New("object exists with other content")

// Object is one entry of a listing.
type Object struct {
	Key  string
	Size int64 // bytes
}

// Store keeps immutable objects under slash-separated keys (see CheckKey).
// All methods are safe for concurrent use, within a process and between
// processes. No key may name what is a folder to another one: with "a/b" in
// the store "a" is refused or lost, depending on the store.
type Store interface {
	// Put stores data, which is not empty, under key: whole or not at all,
	// durable once Put has returned. The same bytes again are success, so
	// that an outcome that was not seen can be retried; other bytes are
	// ErrExists and change nothing.
	Put(ctx context.Context, key string, data []byte) error
	// Rewrite stores data under a checkpoint's key as Put does, but in place
	// of whatever is there, which readers see until they see data: the key is
	// never without an object. It takes only the bytes whose SHA-256 stands
	// in the key, so that one that arrives arbitrarily late, from whoever led
	// once, can write nothing else.
	Rewrite(ctx context.Context, key string, data []byte) error
	// Get returns the object's bytes, the caller's to keep, or ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)
	// List returns the objects whose keys begin with prefix, which may end
	// within a segment or be empty, sorted by the bytes of their keys.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Delete removes the object. An absent one is success.
	Delete(ctx context.Context, key string) error
}

// Getter is all of a Store that reading a version takes, so that a
// coordinator can stand between.
type Getter interface {
	Get(ctx context.Context, key string) ([]byte, error)
}

// Reader is what finding versions needs beside reading them: a Store, or a
// coordinator that relays one.
type Reader interface {
	Getter
	// List is Store.List.
	List(ctx context.Context, prefix string) ([]Object, error)
}

// maxKey is the length limit of a key in bytes. S3 takes 1,024 with the
// store's own prefix; this leaves room for that.
const maxKey = 512

// CheckKey refuses what is not a key: segments of letters, digits, '.', '_'
// and '-', joined by single slashes, none beginning with a dot (so neither
// "..", nor a store's own hidden files), at most 512 bytes together.
func CheckKey(key string) error {
	if key == "" {
		return errors.New("key is empty; expected segments joined by slashes")
	}
	if len(key) > maxKey {
		return fmt.Errorf("key of %d bytes; expected at most %d", len(key), maxKey)
	}
	for segment := range strings.SplitSeq(key, "/") {
		if err := CheckName(segment); err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
	}
	return nil
}

// CheckPrefix refuses a prefix with which no key can begin. The empty prefix
// is one of every key.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	// Whatever is a prefix of a key is one itself, but for a slash at its end.
	return CheckKey(strings.TrimSuffix(prefix, "/"))
}

// CheckName refuses what is not one segment of a key; the names of runs,
// models and files are segments.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("name is empty")
	case name[0] == '.':
		return fmt.Errorf("name %q begins with a dot", name)
	}
	for i := range len(name) {
		if !nameByte(name[i]) {
			return fmt.Errorf("name %q holds %q; expected letters, digits, '.', '_', '-' only", name, name[i])
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '.' || c == '_' || c == '-'
}

// CheckPut refuses arguments that no store takes. An empty object would be
// taken for a folder marker by some readers and for a torn write by others.
func CheckPut(key string, data []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if len(data) == 0 {
		return fmt.Errorf("key %q: no bytes; expected at least one", key)
	}
	return nil
}

// CheckRewrite refuses what is not a checkpoint's key with its own bytes.
func CheckRewrite(key string, data []byte) error {
	_, _, sha, err := ParseCheckpointKey(key)
	if err != nil {
		return err
	}
	if Digest(data) != sha {
		return fmt.Errorf("checkpoint %s: found %s, expected the SHA-256 in its name", key, Describe(data))
	}
	return nil
}

// Describe names bytes by length and digest, for errors.
func Describe(data []byte) string {
	return fmt.Sprintf("%d bytes with sha256 %.12s", len(data), Digest(data))
}

// Digest is the SHA-256 of data in lower-case hexadecimal.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
