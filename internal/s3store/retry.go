package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// Retry tells of a try that failed and will be repeated.
type Retry struct {
	Op    string
	Where string
	Err   error // of this try
	Tries int   // so far
	Since time.Time
	Until time.Time // when the operation gives up
}

func (r Retry) String() string {
	return fmt.Sprintf("%s %s: failing since %s, trying until %s: %v", r.Op, r.Where,
		r.Since.UTC().Format(time.RFC3339), r.Until.UTC().Format(time.RFC3339), r.Err)
}

// Waits between tries double from the first to the last.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 5 * time.Second
)

// attempt is one try of an operation. It calls alive whenever bytes move.
type attempt func(ctx context.Context, alive func()) error

// do runs one operation: tries until one succeeds, fails for good, or time is
// up. The error is an *Error.
func (s *Store) do(ctx context.Context, op, key string, try attempt) error {
	failure := &Error{Op: op, Where: s.config.where(key)}
	if ctx.Err() != nil {
		return failure.ended(ctx.Err())
	}
	since := time.Now()
	until := since.Add(s.config.Timeout)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		err := tryOnce(ctx, s.config.Silence, try)
		if err == nil {
			return nil
		}
		failure.Tries, failure.Since = failure.Tries+1, since
		if ctx.Err() != nil {
			return failure.ended(ctx.Err())
		}
		v := judge(err)
		failure.Kind, failure.Err, failure.Hint = v.kind, err, v.hint
		if !v.retry || time.Now().Add(wait).After(until) {
			return failure
		}
		if s.config.OnRetry != nil {
			s.config.OnRetry(Retry{op, failure.Where, err, failure.Tries, since, until})
		}
		// Half of it by chance, lest all come back at once.
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
			return failure.ended(ctx.Err())
		}
	}
}

var errSilent = errors.New("no byte moved")

// tryOnce ends the try when it has been silent for too long.
func tryOnce(ctx context.Context, silence time.Duration, try attempt) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer timer.Stop()
	err := try(ctx, func() { timer.Reset(silence) })
	if err != nil && context.Cause(ctx) == errSilent {
		return fmt.Errorf("%w for %v", errSilent, silence)
	}
	return err
}

// liveReader tells of every read of an answer.
type liveReader struct {
	io.Reader
	alive func()
}

func (r liveReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.alive()
	return n, err
}

// progress tells of bytes sent: the client reads from it what it has read from
// the body.
type progress func()

func (alive progress) Read(p []byte) (int, error) {
	alive()
	return len(p), nil
}

// ended returns the failure at the end of the context: the last reason known
// and the end itself, so that errors.Is finds both.
func (e *Error) ended(cause error) error {
	if e.Err == nil {
		e.Err = cause
	} else {
		e.Err = fmt.Errorf("%w (%w)", e.Err, cause)
	}
	return e
}
