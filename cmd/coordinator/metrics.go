package main

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/warmstart-ml/warmstart/internal/wiring"
)

// serveMetrics serves the pages at addr under /metrics until stop. Who asks slowly, or never ends to
// ask, is left.
func serveMetrics(addr string, pages http.Handler, log *slog.Logger) (stop func(), err error) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", pages)
	server := &http.Server{
		Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return wiring.ServePages("metrics", "metrics", addr, "/metrics", server, log)
}
