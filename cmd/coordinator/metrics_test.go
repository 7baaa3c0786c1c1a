package main

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
)

// Metrics are served beside who is connected and says nothing, and not once stopped; an address that is taken is refused
// by the flag's name.
func TestMetricsAreServedUntilStop(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	pages := (&coordinator.Watch{}).Metrics()
	stop, err := serveMetrics("127.0.0.1:0", pages, log)
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`http://([^"/\s]+)/metrics`).FindStringSubmatch(said.String())
	silent, err := net.Dial("tcp", url[1])
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	resp, err := http.Get(url[0])
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(page), "warmstart_leading 0") {
		t.Errorf("found %.200q (%v), expected that it leads not", page, err)
	}
	if _, err := serveMetrics(url[1], pages, log); err == nil || !strings.Contains(err.Error(), "--metrics") {
		t.Errorf("found %v, expected an error that names --metrics", err)
	}
	stop()
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("found a connection open after stop")
	}
	if resp, err := http.Get(url[0]); err == nil {
		resp.Body.Close()
		t.Error("found the page there after stop")
	}
}
