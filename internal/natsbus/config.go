package natsbus

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// MaxMessage is the size limit of one message, in bytes: 512 KiB and a
	// little for framing. NATS takes 1 MiB by default, but a large message holds
	// up all others on its connection.
	MaxMessage = 512<<10 + 64

	defaultPrefix      = "warmstart"
	defaultDialTimeout = 15 * time.Second
)

// Config says which NATS to use and how.
type Config struct {
	// URL is where NATS listens, as in nats://127.0.0.1:4222; several, separated
	// by commas, are members of one cluster. Required unless InProcess is set.
	URL string

	// CredsFile holds a user's JWT and seed. User and Password, or Token, are the
	// other ways to log in. At most one of the three; a URL may carry the last
	// two. Empty means no login.
	CredsFile, User, Password, Token string

	// Name is what the server shows for this connection, as in "worker host/17".
	Name string

	// Prefix is the first part of the subjects of events. Empty means "warmstart".
	Prefix string

	// InProcess connects to an embedded server without a socket.
	InProcess nats.InProcessConnProvider

	// DialTimeout is how long Connect goes on trying. 0 means 15 s.
	DialTimeout time.Duration

	// Waiting, if set, hears why there is no connection: when Connect's first
	// attempt has failed and every 5 s from then, and when a connection was lost.
	Waiting func(*UnreachableError)

	// Reconnected, if set, hears where a lost connection was found again, and how
	// long that took.
	Reconnected func(addr string, outage time.Duration)

	// Failed, if set, hears of errors that belong to no call: an answer that could
	// not be sent, messages dropped by a consumer that is too slow, a permission
	// that is lacking.
	Failed func(error)
}

func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.Waiting == nil {
		c.Waiting = func(*UnreachableError) {}
	}
	if c.Reconnected == nil {
		c.Reconnected = func(string, time.Duration) {}
	}
	if c.Failed == nil {
		c.Failed = func(error) {}
	}
	return c
}

func (c Config) validate() error {
	if c.URL == "" && c.InProcess == nil {
		return errors.New("found no address, expected one as in nats://127.0.0.1:4222")
	}
	ways := 0
	for _, way := range []string{c.CredsFile, c.User, c.Token} {
		if way != "" {
			ways++
		}
	}
	if ways > 1 {
		return errors.New("found more than one of credentials file, user and token, expected at most one")
	}
	if c.User == "" && c.Password != "" {
		return errors.New("found a password without a user name")
	}
	if c.CredsFile != "" {
		f, err := os.Open(c.CredsFile) // nats.go would say so only after connecting
		if err != nil {
			return fmt.Errorf("read credentials: %w", err)
		}
		_ = f.Close()
	}
	for _, part := range strings.Split(c.Prefix, ".") {
		if c.Prefix != "" && !isToken(part) {
			return fmt.Errorf("prefix %q: expected names without spaces and wildcards, joined by dots", c.Prefix)
		}
	}
	return nil
}

// isToken reports whether s can stand between the dots of a subject.
func isToken(s string) bool { return s != "" && !strings.ContainsAny(s, ". \t\r\n*>") }

func (c Config) login() nats.Option {
	switch {
	case c.CredsFile != "":
		return nats.UserCredentials(c.CredsFile)
	case c.User != "":
		return nats.UserInfo(c.User, c.Password)
	case c.Token != "":
		return nats.Token(c.Token)
	}
	return func(*nats.Options) error { return nil }
}

// who words the login for errors, without its secret.
func (c Config) who() string {
	switch {
	case c.CredsFile != "":
		return "with credentials file " + c.CredsFile
	case c.User != "":
		return fmt.Sprintf("as user %q", c.User)
	case c.Token != "":
		return "with a token"
	case strings.Contains(c.URL, "@"):
		return "with what the address carries"
	}
	return "without credentials"
}

// where words the address for errors, without what secrets it carries.
func (c Config) where() string {
	if c.InProcess != nil {
		return "the embedded server"
	}
	var shown []string
	for _, one := range strings.Split(c.URL, ",") {
		one = strings.TrimSpace(one)
		if u, err := url.Parse(one); err == nil && u.User != nil {
			u.User = nil
			one = u.String()
		} else if at := strings.LastIndexByte(one, '@'); at >= 0 {
			one = one[at+1:]
		}
		shown = append(shown, one)
	}
	return strings.Join(shown, ", ")
}
