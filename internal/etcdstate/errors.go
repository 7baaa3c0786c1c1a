package etcdstate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

var (
	// ErrDeposed means that another leader has been elected, or none leads: the
	// commit had no effect and none of this leadership will.
	ErrDeposed = metatrain.ErrDeposed

	// ErrConflict means that an expectation of the transaction does not hold: the
	// commit had no effect. The error is a *ConflictError.
	ErrConflict = metatrain.ErrConflict

	// ErrAmbiguous means that the commit may or may not have had effect: etcd did
	// not say. Load tells.
	ErrAmbiguous = metatrain.ErrAmbiguous

	// ErrCredentials means that etcd refused the user, the password, the
	// certificate or the permission; trying again does not help.
	ErrCredentials = errors.New("credentials refused")
)

// ConflictError says which expectation of a transaction did not hold.
type ConflictError struct {
	Key             string
	Found, Expected int64 // revision of the key's last change; 0 = absent
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("key %s: found %s, expected %s; load the state and decide anew", e.Key, revision(e.Found), revision(e.Expected))
}

// Is makes errors.Is(err, ErrConflict) hold.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

func revision(r int64) string {
	if r == 0 {
		return "it absent"
	}
	return fmt.Sprintf("revision %d", r)
}

// UnreachableError says that etcd does not answer: where, since when, and until
// when it is, or was, still tried.
type UnreachableError struct {
	Endpoints []string
	Since     time.Time
	Until     time.Time
	Cause     error
}

func (e *UnreachableError) Error() string {
	const clock = "15:04:05"
	return fmt.Sprintf("reach etcd at %s: no answer since %s, tried until %s: %v; check that it runs there and that the address is right",
		strings.Join(e.Endpoints, ", "), e.Since.Format(clock), e.Until.Format(clock), e.Cause)
}

// Unwrap returns the last attempt's error.
func (e *UnreachableError) Unwrap() error { return e.Cause }

// credentialsError recognises refusals that no further attempt will change, and
// words them for the person who set the credentials. It returns nil for others.
func credentialsError(err error, user, prefix string) error {
	who := "without a user"
	if user != "" {
		who = fmt.Sprintf("as user %q", user)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return fmt.Errorf("log in %s: %w: found the user name or the password wrong; check both", who, ErrCredentials)
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return fmt.Errorf("log in %s: %w: found that etcd asks for one; set user name and password", who, ErrCredentials)
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("use prefix %s/ %s: %w: found no permission; grant the user read and write on it", prefix, who, ErrCredentials)
	}
	text := err.Error()
	if strings.Contains(text, "x509:") || strings.Contains(text, "tls:") || strings.Contains(text, "remote error:") {
		return fmt.Errorf("secure the connection: %w: %w; check the certificate files and the http or https of the address", ErrCredentials, err)
	}
	return nil
}

// hadNoEffect reports whether etcd, or the client, refused a request outright.
// Any other failure can have come after the request took effect.
func hadNoEffect(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var e rpctypes.EtcdError
	code := status.Code(err)
	if errors.As(err, &e) {
		code = e.Code()
	}
	switch code {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.ResourceExhausted:
		return true
	}
	return false
}
