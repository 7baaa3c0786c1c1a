package wiring

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// The address serves profiles, and nothing once stopped; one that is taken is refused by the flag's name.
func TestDebugServesProfiles(t *testing.T) {
	var said bytes.Buffer
	d := Debug{Addr: "127.0.0.1:0"}
	stop, err := d.Serve(slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`http://[^"\s]+`).FindString(said.String())
	resp, err := http.Get(url + "goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.HasPrefix(string(page), "goroutine profile: total ") {
		t.Errorf("found %.80q (%v), expected the goroutines", page, err)
	}
	stop()
	if resp, err := http.Get(url); err == nil {
		resp.Body.Close()
		t.Error("found the pages there after stop")
	}
}

func TestDebugRefusesAnAddressThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := Debug{Addr: l.Addr().String()}
	if _, err := d.Serve(slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--debug") {
		t.Errorf("found %v, expected an error that names --debug", err)
	}
}
