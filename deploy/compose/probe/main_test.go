package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestProbe(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ok" {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	if err := probe(addr, "/ok"); err != nil {
		t.Error(err)
	}
	if err := probe(addr, "/starting"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("found %v, expected an error that names 503", err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent.Close()
	if err := probe(silent.Addr().String(), "/ok"); err == nil {
		t.Error("found a server where none listens")
	}
}
