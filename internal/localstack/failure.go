package localstack

import (
	"fmt"
	"log"
	"runtime"
	"sync"

	"go.uber.org/zap/zapcore"
)

// failure keeps the first fatal error of the embedded servers. Left to themselves
// they end the process by os.Exit or a panic, without a word to the user.
type failure struct {
	mu   sync.Mutex
	err  error
	done chan struct{} // closed when err is set
}

func newFailure() *failure { return &failure{done: make(chan struct{})} }

func (f *failure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		close(f.done)
	}
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// fatalHook takes the place of os.Exit and panic in etcd's logger: it keeps the
// error and ends the goroutine that logged it, and with it etcd's work.
type fatalHook struct{ *failure }

// OnWrite implements zapcore.CheckWriteHook.
func (h fatalHook) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := fmt.Errorf("embedded etcd: %s", entry.Message)
	for _, field := range fields {
		if cause, ok := field.Interface.(error); ok {
			err = fmt.Errorf("embedded etcd: %s: %w", entry.Message, cause)
		}
	}
	h.set(err)
	runtime.Goexit()
}

// natsLog is the logger of the embedded NATS server. Its Fatalf returns, where the
// server's own would end the process.
type natsLog struct {
	*log.Logger
	*failure
}

// Noticef and its siblings implement server.Logger.
func (l natsLog) Noticef(format string, v ...any) { l.Printf("INFO "+format, v...) }

// Warnf logs what may be wrong.
func (l natsLog) Warnf(format string, v ...any) { l.Printf("WARN "+format, v...) }

// Errorf logs what went wrong.
func (l natsLog) Errorf(format string, v ...any) { l.Printf("ERROR "+format, v...) }

// Fatalf logs what the server cannot go on after, and keeps it.
func (l natsLog) Fatalf(format string, v ...any) {
	l.Printf("FATAL "+format, v...)
	l.set(fmt.Errorf("embedded NATS: "+format, v...))
}

// Debugf is off.
func (l natsLog) Debugf(string, ...any) {}

// Tracef is off.
func (l natsLog) Tracef(string, ...any) {}
