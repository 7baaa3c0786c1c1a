package doctor

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"time"
)

// credentials looks at this machine's own files and flags.
func (e *examiner) credentials(now time.Time) {
	if strings.Contains(e.NATS.URL, "@") {
		e.warn("credentials", "give them by --nats-user and --nats-password @FILE, or --nats-creds", "the NATS address carries credentials, which every user of this machine can see")
	}
	if e.NATS.Creds == "" {
		return
	}
	data, err := os.ReadFile(e.NATS.Creds)
	if err != nil {
		e.fail("credentials", "check --nats-creds", "%v", err)
		return
	}
	if info, err := os.Stat(e.NATS.Creds); err == nil && info.Mode().Perm()&0o044 != 0 {
		e.warn("credentials", "chmod 600 "+e.NATS.Creds, "%s can be read by others (%v)", e.NATS.Creds, info.Mode().Perm())
	}
	end, ok := expiry(data)
	switch left := end.Sub(now); {
	case !ok:
		e.fail("credentials", "ask for a file as `nsc generate creds` makes it", "%s holds no user token", e.NATS.Creds)
	case end.IsZero():
		e.ok("credentials", "%s, without an end", e.NATS.Creds)
	case left <= 0:
		e.fail("credentials", "ask for new ones", "%s ended %v ago", e.NATS.Creds, (-left).Round(time.Minute))
	case left < 7*24*time.Hour:
		e.warn("credentials", "ask for new ones", "%s ends in %v", e.NATS.Creds, left.Round(time.Minute))
	default:
		e.ok("credentials", "%s, until %s", e.NATS.Creds, end.Format(time.DateOnly))
	}
}

var tokenForm = regexp.MustCompile(`[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+`)

// expiry reads the end of the user token in a credentials file; zero: it has none. false: there is no token.
func expiry(creds []byte) (time.Time, bool) {
	m := tokenForm.FindSubmatch(creds)
	if m == nil {
		return time.Time{}, false
	}
	claims, err := base64.RawURLEncoding.DecodeString(string(m[1]))
	var c struct {
		Expires int64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(claims, &c) != nil {
		return time.Time{}, false
	}
	if c.Expires == 0 {
		return time.Time{}, true
	}
	return time.Unix(c.Expires, 0), true
}

// redacted is an address without what secrets it carries.
func redacted(address string) string {
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		return address[at+1:]
	}
	return address
}
