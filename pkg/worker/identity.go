package worker

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"time"
)

func (c Config) withDefaults() Config {
	if c.Host == "" {
		c.Host, _ = os.Hostname()
	}
	if c.Process == "" {
		c.Process = fmt.Sprintf("%s-%d", c.Host, os.Getpid())
	}
	if c.ID == "" {
		c.ID = newID(c.Host)
	}
	if c.Class == "" {
		c.Class = "cpu"
	}
	if c.BeatEvery == 0 {
		c.BeatEvery = 500 * time.Millisecond
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// newID names one life of one process. Chance here never reaches a parameter.
func newID(host string) string {
	var b [4]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}
