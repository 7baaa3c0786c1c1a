package doctor

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/etcdstate"
)

func only(t *testing.T, judge func(*Report)) Check {
	t.Helper()
	var r Report
	judge(&r)
	if len(r.Checks) != 1 {
		t.Fatalf("found %+v, expected one check", r.Checks)
	}
	return r.Checks[0]
}

func TestClocksAreJudged(t *testing.T) {
	at := func(who string, off time.Duration) reading { return reading{who, off, time.Second} }
	for _, c := range []struct {
		all   []reading
		level Level
		words string
	}{
		{nil, Warn, "no other clock"},
		{[]reading{at("S3", 900*time.Millisecond)}, OK, "agrees with S3"},
		{[]reading{at("S3", 10*time.Second)}, Warn, "S3 is 10s ahead of this machine's: one of the two is off"},
		{[]reading{at("S3", -time.Hour), at("etcd", 0)}, Fail, "S3 is 1h0m0s behind this machine's, which others agree with: it is the one that is off"},
		{[]reading{at("S3", time.Hour), at("etcd", time.Hour+time.Second)}, Fail, "this machine's clock is the one that is off: 2 others agree that it is 1h0m0s behind theirs"},
		{[]reading{at("S3", time.Hour), at("etcd", -time.Hour)}, Fail, "no two clocks agree"},
	} {
		found := only(t, func(r *Report) { r.judgeClocks(c.all) })
		if found.Level != c.level || !strings.Contains(found.Found, c.words) {
			t.Errorf("%v: found %+v, expected %s: %s", c.all, found, c.level, c.words)
		}
	}
}

func TestEtcdIsJudged(t *testing.T) {
	member := etcdstate.Member{Size: 900, Quota: 1000}
	for _, c := range []struct {
		judge func(*Report)
		level Level
		words string
	}{
		{func(r *Report) { r.etcdVersion([]string{"3.4.9"}) }, Fail, "3.4.9"},
		{func(r *Report) { r.etcdVersion([]string{"3.5.0", "3.7.3"}) }, Warn, "different releases"},
		{func(r *Report) { r.etcdVersion([]string{"3.7.3"}) }, OK, "3.7.3"},
		{func(r *Report) { r.latency(etcdstate.Facts{Write: time.Second}) }, Fail, "leaderships will be lost"},
		{func(r *Report) { r.latency(etcdstate.Facts{Write: 200 * time.Millisecond}) }, Warn, "write 200ms"},
		{func(r *Report) { r.latency(etcdstate.Facts{Write: time.Millisecond}) }, OK, "write 1ms"},
		{func(r *Report) { r.space(etcdstate.Facts{Members: []etcdstate.Member{member}}) }, Warn, "nearly full"},
		{func(r *Report) { r.space(etcdstate.Facts{Revision: 1_000_000}) }, Warn, "none ever compacted"},
		{func(r *Report) { r.space(etcdstate.Facts{Revision: 1_000_000, Compacted: true}) }, OK, "revision 1000000"},
	} {
		if found := only(t, c.judge); found.Level != c.level || !strings.Contains(found.Found, c.words) {
			t.Errorf("found %+v, expected %s: %s", found, c.level, c.words)
		}
	}
}

func TestCredentialsAreJudged(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	creds := func(mode os.FileMode, claims string) string {
		path := filepath.Join(t.TempDir(), "user.creds")
		text := "-----BEGIN NATS USER JWT-----\nh." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s\n------END NATS USER JWT------\n"
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		path, url string
		level     Level
		words     string
	}{
		{creds(0o600, "{}"), "", OK, "without an end"},
		{creds(0o600, fmt.Sprintf(`{"exp":%d}`, now.Unix()-3600)), "", Fail, "ended 1h0m0s ago"},
		{creds(0o600, fmt.Sprintf(`{"exp":%d}`, now.Unix()+3600)), "", Warn, "ends in 1h0m0s"},
		{creds(0o600, fmt.Sprintf(`{"exp":%d}`, now.Unix()+3600*1000)), "", OK, "until 20"},
		{creds(0o600, "junk"), "", Fail, "holds no user token"},
		{filepath.Join(t.TempDir(), "none"), "", Fail, "no such file"},
		{"", "nats://u:p@host", Warn, "address carries credentials"},
	} {
		e := &examiner{}
		e.NATS.Creds, e.NATS.URL = c.path, c.url
		e.credentials(now)
		if len(e.Checks) != 1 || e.Checks[0].Level != c.level || !strings.Contains(e.Checks[0].Found, c.words) {
			t.Errorf("%s%s: found %+v, expected %s: %s", c.path, c.url, e.Checks, c.level, c.words)
		}
	}
	e := &examiner{}
	e.NATS.Creds = creds(0o644, "{}")
	e.credentials(now)
	if len(e.Checks) != 2 || e.Checks[0].Level != Warn || !strings.Contains(e.Checks[0].Remedy, "chmod 600") {
		t.Errorf("found %+v of a file others can read", e.Checks)
	}
	if redacted("nats://u:p@host:1") != "host:1" || redacted("host:1") != "host:1" {
		t.Error("an address shows what it carries")
	}
}
