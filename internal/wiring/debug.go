package wiring

import (
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
)

// Debug are the flags of a daemon's debugging pages.
type Debug struct{ Addr string }

// Flags adds them to fs.
func (d *Debug) Flags(fs *flag.FlagSet) {
	fs.StringVar(&d.Addr, "debug", "", "`address`, as in 127.0.0.1:6060, that serves profiles under /debug/pprof/; it asks for no password: loopback only. Empty serves none")
}

// Serve serves the pages, where there is an address, until stop.
func (d *Debug) Serve(log *slog.Logger) (stop func(), err error) {
	if d.Addr == "" {
		return func() {}, nil
	}
	pages := http.NewServeMux()
	pages.HandleFunc("/debug/pprof/", pprof.Index)
	pages.HandleFunc("/debug/pprof/profile", pprof.Profile)
	return ServePages("debug", "profiles", d.Addr, "/debug/pprof/", &http.Server{Handler: pages}, log)
}

// ServePages has server answer at addr, which that flag gave, until stop, and says in the log where what lies below path.
func ServePages(flag, what, addr, path string, server *http.Server, log *slog.Logger) (stop func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	go func() { _ = server.Serve(l) }()
	log.Info(what, "at", "http://"+l.Addr().String()+path)
	return func() { _ = server.Close() }, nil
}
