package natsbus

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

var (
	// ErrNoResponders means that nobody serves the subject of a request.
	ErrNoResponders = errors.New("nobody answers there")

	// ErrDisconnected means that there is no connection to NATS now, or that the
	// one a request went out on was lost before the answer came.
	ErrDisconnected = errors.New("disconnected")

	// ErrCredentials means that NATS refused the login or the certificate; trying
	// again does not help.
	ErrCredentials = errors.New("credentials refused")

	// ErrPayload means that the server takes no messages of MaxMessage bytes.
	ErrPayload = errors.New("payload limit too low")

	// ErrTooLarge means that a message is larger than MaxMessage.
	ErrTooLarge = errors.New("message too large")
)

// UnreachableError says that NATS does not answer: where, since when, and until
// when it is, or was, still tried.
type UnreachableError struct {
	Addr  string
	Since time.Time
	Until time.Time // zero: without end
	Cause error
}

func (e *UnreachableError) Error() string {
	const clock = "15:04:05"
	tried := "still trying"
	if !e.Until.IsZero() {
		tried = "tried until " + e.Until.Format(clock)
	}
	return fmt.Sprintf("reach NATS at %s: no connection since %s, %s: %v; check that it runs there and that the address is right",
		e.Addr, e.Since.Format(clock), tried, e.Cause)
}

// Unwrap returns the last attempt's error.
func (e *UnreachableError) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, ErrDisconnected) hold.
func (e *UnreachableError) Is(target error) bool { return target == ErrDisconnected }

// credentialsError recognises refusals that no further attempt will change, and
// words them for the person who set the credentials. It returns nil for others.
func credentialsError(err error, who string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrAuthorization):
		return fmt.Errorf("log in %s: %w: found name, password, token or key not accepted; check them", who, ErrCredentials)
	case errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAccountAuthExpired):
		return fmt.Errorf("log in %s: %w: found them expired; ask for new ones", who, ErrCredentials)
	case errors.Is(err, nats.ErrAuthRevoked):
		return fmt.Errorf("log in %s: %w: found them revoked; ask for new ones", who, ErrCredentials)
	}
	if text := err.Error(); strings.Contains(text, "x509:") || strings.Contains(text, "tls:") || errors.Is(err, nats.ErrSecureConnRequired) || errors.Is(err, nats.ErrSecureConnWanted) {
		return fmt.Errorf("secure the connection: %w: %w; check the certificates and the nats or tls of the address", ErrCredentials, err)
	}
	return nil
}
