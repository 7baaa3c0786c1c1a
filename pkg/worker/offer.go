package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// offer sends each result until the leader, whoever that is by then, has given a final verdict. Each waits by itself: one
// that the leader has no room for must not stand in the way of the next, which may be what makes room. A refused one ends
// this life: whether the work or this process is at fault shows in another.
func (w *worker) offer(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var offers sync.WaitGroup
	defer offers.Wait()
	defer cancel(nil)
	for {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); errors.Is(err, ErrRestart) {
				return err
			}
			return nil
		case j := <-w.done:
			offers.Go(func() {
				if err := w.deliver(ctx, j); err != nil {
					cancel(err)
				}
			})
		}
	}
}

// deliver offers one result, again and again, until it is settled.
func (w *worker) deliver(ctx context.Context, j *job) error {
	for {
		settled, err := w.settle(ctx, j)
		if settled || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(j.retry):
		}
	}
}

// settle offers a result once; false: it is to be offered again after j.retry.
func (w *worker) settle(ctx context.Context, j *job) (bool, error) {
	if j.unwanted() {
		w.forget(j)
		return true, nil
	}
	reply, err := w.send(ctx, j)
	if err != nil {
		return true, nil // this life ends
	}
	switch reply.Verdict {
	case metatrain.Hold:
		j.retry = time.Duration(min(max(reply.RetryMS, 5), 5000)) * time.Millisecond
		return false, nil
	case metatrain.Refused:
		err = fmt.Errorf("%w: %s of step %d: the leader refused the result: %s", ErrRestart, j.lease.Work.Kind, j.lease.Work.Step, reply.Reason)
		w.cfg.Log.Error("result refused", "run", j.lease.Work.Run, "err", err)
	}
	w.forget(j)
	return true, err
}

// send offers a result until there is a verdict on the whole. A small one comes along; a larger one is announced, without
// any of its bytes, and sent chunk by chunk once the leader has room for it.
func (w *worker) send(ctx context.Context, j *job) (metatrain.ResultReply, error) {
	res := j.result
	res.Bits = metatrain.Contract
	res.Worker, res.Process, res.Work, res.Total, res.SHA256 = w.cfg.ID, w.cfg.Process, j.lease.Work, len(j.payload), metatrain.Digest(j.payload)
	var chunk []byte
	if len(j.payload) <= metatrain.MaxChunk {
		chunk = j.payload
	}
	reply, err := w.push(ctx, j, res, chunk)
	for err == nil && reply.Verdict == metatrain.More {
		if j.unwanted() {
			return metatrain.ResultReply{Verdict: metatrain.Stale}, nil
		}
		res.Offset = min(max(reply.Offset, 0), len(j.payload))
		reply, err = w.volley(ctx, j, res)
	}
	return reply, err
}

// chunksAtOnce are under way together, since each is answered: more make a transfer faster where answers take long.
const chunksAtOnce = 4

// volley sends the next chunks side by side, and gives the answer that tells most: a verdict, or else the furthest place to
// go on from.
func (w *worker) volley(ctx context.Context, j *job, res metatrain.Result) (metatrain.ResultReply, error) {
	var all sync.WaitGroup
	var replies [chunksAtOnce]metatrain.ResultReply
	var errs [chunksAtOnce]error
	n := 0
	for ; n < chunksAtOnce && (n == 0 || res.Offset < len(j.payload)); n++ {
		i, part, chunk := n, res, j.payload[res.Offset:min(len(j.payload), res.Offset+metatrain.MaxChunk)]
		all.Go(func() { replies[i], errs[i] = w.push(ctx, j, part, chunk) })
		res.Offset += len(chunk)
	}
	all.Wait()
	best := replies[0]
	for _, r := range replies[1:n] {
		if best.Verdict == metatrain.More && (r.Verdict != metatrain.More || r.Offset > best.Offset) || r.Verdict == metatrain.Accepted {
			best = r
		}
	}
	return best, errors.Join(errs[:n]...)
}

// push sends one message about a result.
func (w *worker) push(ctx context.Context, j *job, res metatrain.Result, chunk []byte) (metatrain.ResultReply, error) {
	res.Lease = w.leaseOf(j)
	w.spoke.Store(time.Now().UnixNano())
	reply, _, err := client.Ask[metatrain.ResultReply](ctx, w.client, "result", res, chunk, 5*time.Second)
	return reply, err
}

func (w *worker) leaseOf(j *job) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return j.lease.ID
}

// fail reports work that could not be done and lets it go.
func (w *worker) fail(ctx context.Context, j *job, err error, transient bool) {
	f := metatrain.Failure{Worker: w.cfg.ID, Lease: w.leaseOf(j), Work: j.lease.Work, Task: -1, Text: err.Error(), Transient: transient, Unable: errors.Is(err, errUnable)}
	var own *TaskError
	if errors.As(err, &own) {
		f.Task, f.Text = own.Task, own.Err.Error()
	}
	if !transient {
		f.Digest = metatrain.Digest(fmt.Appendf(nil, "%s %d %d %s", f.Work.Kind, f.Work.Step, f.Task, f.Text))
	}
	f.Text = f.Text[:min(len(f.Text), maxText)]
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, _, err := client.Ask[metatrain.Ack](ctx, w.client, "fail", f, nil, 2*time.Second); err != nil {
		w.cfg.Log.Warn("report failure", "err", err) // silence frees the lease all the same
	}
	w.forget(j)
}

// maxText is how much, in bytes, of an error travels: it comes from families of any making.
const maxText = 8 << 10
