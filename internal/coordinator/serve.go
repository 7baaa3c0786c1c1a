package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// serve answers requests under this term. Everything a message claims is checked here or in the machine.
func (d *driver) serve(ctx context.Context) (stop func(), err error) {
	lead := metatrain.Subject(d.cfg.Prefix, "lead", d.term.String(), "*")
	stopLead, err := d.bus.Serve(lead, func(subject, from string, data []byte, reply func([]byte)) {
		d.receive(ctx, request{op: subject[strings.LastIndexByte(subject, '.')+1:], from: from, data: data, reply: reply})
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", lead, err)
	}
	me := metatrain.EncodeFrame(metatrain.Announce{Term: d.term, Leader: d.cfg.ID, Cluster: d.cluster}, nil)
	stopFind, err := d.bus.Serve(metatrain.Subject(d.cfg.Prefix, "find"), func(_, _ string, _ []byte, reply func([]byte)) { reply(me) })
	if err != nil {
		stopLead()
		return nil, fmt.Errorf("serve find: %w", err)
	}
	if err := d.bus.Publish(metatrain.Subject(d.cfg.Prefix, "leader"), me); err != nil {
		d.log.Warn("announce leadership", "err", err) // those who missed it will ask
	}
	return func() { stopFind(); stopLead() }, nil
}

// request is one as it came.
type request struct {
	op    string
	from  string // tells connections apart
	data  []byte
	reply func([]byte)
}

// answer sends an answer.
func (r request) answer(msg any, payload []byte) { r.reply(metatrain.EncodeFrame(msg, payload)) }

// receive decodes one request and hands it on; what is malformed is answered at once.
func (d *driver) receive(ctx context.Context, r request) {
	switch r.op {
	case "lease":
		hand(ctx, d, r, func(why string) any { return metatrain.LeaseReply{Term: d.term, Refused: why} }, straight[metatrain.Hello])
	case "beat":
		hand(ctx, d, r, func(string) any { return metatrain.Ack{Term: d.term} }, straight[metatrain.Beat])
	case "fail":
		hand(ctx, d, r, func(string) any { return metatrain.Ack{Term: d.term} }, straight[metatrain.Failure])
	case "result":
		hand(ctx, d, r, d.refused, straight[metatrain.Result])
	case "fetch":
		hand(ctx, d, r, d.noChunk, d.fetch)
	case "upload":
		hand(ctx, d, r, d.noAnswer, d.upload)
	case "submit":
		hand(ctx, d, r, d.noAnswer, straight[metatrain.Submit])
	case "control":
		hand(ctx, d, r, d.noAnswer, straight[metatrain.Control])
	case "question":
		hand(ctx, d, r, d.noAnswer, straight[metatrain.Question])
	default:
		d.refusals.note(r, "found an unknown request")
		r.answer(d.noAnswer("unknown request "+r.op), nil)
	}
}

func (d *driver) noAnswer(why string) any { return metatrain.Answer{Term: d.term, Error: why} }
func (d *driver) noChunk(why string) any  { return metatrain.Chunk{Term: d.term, Error: why} }
func (d *driver) refused(why string) any {
	return metatrain.ResultReply{Term: d.term, Verdict: metatrain.Refused, Reason: why}
}

// turn takes a decoded message, which is the machine's to answer, or not: then it answers by itself.
type turn[M any] func(ctx context.Context, r request, msg M, payload []byte) (machines bool)

// straight hands a message to the machine.
func straight[M any](context.Context, request, M, []byte) bool { return true }

func hand[M any](ctx context.Context, d *driver, r request, refuse func(string) any, take turn[M]) {
	var msg M
	payload, err := metatrain.DecodeFrame(r.data, &msg)
	if err != nil {
		d.refusals.note(r, err.Error())
		r.answer(refuse(err.Error()), nil)
		return
	}
	if !take(ctx, r, msg, payload) {
		return
	}
	select {
	case d.inbox <- inbound{msg, payload, r}:
	case <-ctx.Done():
	}
}

// upload brings a data set into the store once all its chunks are there and hash to its digest.
func (d *driver) upload(ctx context.Context, r request, up metatrain.Upload, payload []byte) bool {
	answer := func(a metatrain.Answer, err error) {
		if a.Term = d.term; err != nil {
			a.Error = "upload: " + err.Error()
			if !a.Retry {
				d.refusals.note(r, err.Error())
			}
		}
		r.answer(a, nil)
	}
	whole, next, err := d.uploads.add(up.Digest, up.Offset, up.Total, payload)
	if err != nil || whole == nil {
		answer(metatrain.Answer{Offset: next, Retry: errors.Is(err, errNoRoom)}, err)
		return false
	}
	go func() {
		defer d.uploads.free(whole)
		if found := metatrain.Digest(whole); found != up.Digest {
			answer(metatrain.Answer{}, fmt.Errorf("data with SHA-256 %.12s, announced %.12s", found, up.Digest))
			return
		}
		if err := d.store.Put(ctx, metatrain.DataObject(up.Digest), whole); err != nil {
			answer(metatrain.Answer{Retry: !errors.Is(err, checkpoint.ErrExists)}, err)
			return
		}
		answer(metatrain.Answer{Offset: next, Durable: true}, nil)
	}()
	return false
}

// fetch serves objects of the store; parameters and specs are the machine's to serve.
func (d *driver) fetch(ctx context.Context, r request, f metatrain.Fetch, _ []byte) bool {
	if f.Object == "" && f.List == "" {
		return true
	}
	select {
	case d.fetches <- struct{}{}:
	default:
		d.refusals.note(r, fmt.Sprintf("left unanswered: found %d fetches under way, expected fewer", maxFetches))
		return false
	}
	go func() {
		defer func() { <-d.fetches }()
		ctx, cancel := context.WithTimeout(ctx, d.cfg.StorePatience)
		defer cancel()
		data, err := d.object(ctx, f)
		if err != nil {
			absent := errors.Is(err, checkpoint.ErrNotFound)
			r.answer(metatrain.Chunk{Term: d.term, Error: err.Error(), Absent: absent}, nil)
			return
		}
		offset := min(max(f.Offset, 0), len(data))
		part := data[offset:min(len(data), offset+metatrain.MaxChunk)]
		r.answer(metatrain.Chunk{Term: d.term, Total: len(data)}, part)
	}()
	return false
}

// faults are keys of work that stopped a run.
var faults = regexp.MustCompile("^" + metatrain.FaultFolder("[^/]+"))

// open to everyone on the bus: data sets, published models, work that stopped a run, and nothing else of the store (G8).
func open(key string) bool {
	return strings.HasPrefix(key, "tasks/") || strings.HasPrefix(key, "models/") || faults.MatchString(key)
}

func (d *driver) object(ctx context.Context, f metatrain.Fetch) ([]byte, error) {
	if f.Object != "" && f.List != "" {
		return nil, fmt.Errorf("fetch of object %q and list %q, expected one of them", f.Object, f.List)
	}
	if key := f.Object + f.List; !open(key) {
		return nil, fmt.Errorf("object %q is not served, expected a key below tasks/, models/ or runs/<run>/faults/", key)
	}
	if f.Object != "" {
		return d.shelf.get(ctx, f.Object)
	}
	objects, err := d.store.List(ctx, f.List)
	if err != nil {
		return nil, err
	}
	return json.Marshal(objects)
}
