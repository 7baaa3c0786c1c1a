//go:build linux

package e2e

import (
	"encoding/binary"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// flooder is somebody on NATS who hears everything and says anything, in anyone's name, but for what is a right of whoever
// may use NATS at all: to submit, pause and cancel runs, and as the worker that a lease was given to (which the flooder
// would have to be) to report on it. Against a worker that lies about its own work stand audits.
type flooder struct {
	t   *testing.T
	nc  *nats.Conn
	rng *rand.Rand

	mu    sync.Mutex
	heard map[string][][]byte // the latest of each kind, by what listens
	term  metatrain.Term      // of the leader
	lies  int                 // answers forged
}

// ears are the subjects that coordinators, workers and the command line listen to, but for the answers to what they ask.
// lead stands for one subject for each operation.
var ears = []string{"find", "lead", "leader", "theta"}

// forgeries make, of what was heard of an operation, what claims to be of it.
var forgeries = map[string]func(f *flooder, heard []byte) []byte{
	"lease": func(f *flooder, heard []byte) []byte {
		return altered(heard, func(h *metatrain.Hello, _ []byte) { h.Holding, h.WaitMS = []uint64{1, 1 << 60, f.rng.Uint64()}, 1 })
	},
	"beat": func(f *flooder, heard []byte) []byte {
		return altered(heard, func(b *metatrain.Beat, _ []byte) { b.Leases, b.Leaving = []uint64{f.rng.Uint64()}, f.rng.IntN(2) == 0 })
	},
	"fail": func(f *flooder, heard []byte) []byte {
		return metatrain.EncodeFrame(metatrain.Failure{Worker: f.worker(), Lease: f.rng.Uint64(), Work: f.work(), Task: f.rng.IntN(9), Digest: strings.Repeat("d", 64), Text: "forged"}, nil)
	},
	"result": func(f *flooder, heard []byte) []byte {
		return altered(heard, func(r *metatrain.Result, payload []byte) { // under no lease of theirs
			r.Lease = f.rng.Uint64()
			if len(payload) > 0 {
				payload[f.rng.IntN(len(payload))] ^= 0x40
			} else {
				r.SHA256 = strings.Repeat("0", 64)
			}
		})
	},
	"fetch": func(f *flooder, _ []byte) []byte {
		return metatrain.EncodeFrame(metatrain.Fetch{Object: []string{"runs/x", "models/../cluster/id", "tasks/none"}[f.rng.IntN(3)], Offset: f.rng.IntN(1 << 40)}, nil)
	},
	"upload": func(f *flooder, _ []byte) []byte {
		return metatrain.EncodeFrame(metatrain.Upload{Digest: strings.Repeat("a", 64), Total: 3}, []byte("abc"))
	},
	"submit": func(f *flooder, heard []byte) []byte { // no spec: a right one is anyone's to send
		return metatrain.EncodeFrame(metatrain.Submit{}, []byte("{}"))
	},
	"control": func(f *flooder, _ []byte) []byte {
		return metatrain.EncodeFrame(metatrain.Control{Run: "nobody's", Action: "cancel"}, nil)
	},
	"question": func(f *flooder, _ []byte) []byte {
		return metatrain.EncodeFrame(metatrain.Question{Run: strings.Repeat("r", 5000)}, nil)
	},
	"find": func(f *flooder, _ []byte) []byte { return []byte("who?") },
	"leader": func(f *flooder, _ []byte) []byte {
		return metatrain.EncodeFrame(metatrain.Announce{Term: metatrain.Term{Epoch: 99, Revision: f.rng.Int64N(1 << 40)}, Leader: "forged"}, nil)
	},
	"theta": func(f *flooder, heard []byte) []byte {
		return altered(heard, func(h *metatrain.Theta, chunk []byte) {
			if len(chunk) > 0 {
				chunk[f.rng.IntN(len(chunk))] ^= 1
			}
		})
	},
}

// altered changes a frame that was heard; nil where none was, or it is of another form.
func altered[M any](heard []byte, change func(m *M, payload []byte)) []byte {
	var m M
	payload, err := metatrain.DecodeFrame(heard, &m)
	if err != nil {
		return nil
	}
	payload = slices.Clone(payload)
	change(&m, payload)
	return metatrain.EncodeFrame(m, payload)
}

// work is some work that was heard of.
func (f *flooder) work() (w metatrain.Work) {
	var r metatrain.Result
	if all := f.heard["result"]; len(all) > 0 {
		_, _ = metatrain.DecodeFrame(all[0], &r)
	}
	return r.Work
}

func (f *flooder) worker() string {
	var h metatrain.Hello
	if all := f.heard["lease"]; len(all) > 0 {
		_, _ = metatrain.DecodeFrame(all[f.rng.IntN(len(all))], &h)
	}
	return h.Worker
}

// newFlooder listens to everything on the cluster's prefix, and forges the answer to one request in forty.
func newFlooder(t *testing.T, c *cluster) *flooder {
	t.Helper()
	nc, err := nats.Connect(c.nats.URL, nats.UserInfo(natsUser, natsPassword), nats.Name("flooder"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	f := &flooder{t: t, nc: nc, rng: rand.New(rand.NewPCG(5, 7)), heard: map[string][][]byte{}}
	if _, err := nc.Subscribe("warmstart.>", f.overhear); err != nil {
		t.Fatal(err)
	}
	return f
}

const keptOfEach = 20

func (f *flooder) overhear(m *nats.Msg) {
	if m.Header.Get("Flood") != "" {
		return
	}
	part := strings.Split(m.Subject, ".")
	f.mu.Lock()
	defer f.mu.Unlock()
	ear := part[len(part)-1]
	if f.heard[ear] = append(f.heard[ear], m.Data); len(f.heard[ear]) > keptOfEach {
		f.heard[ear] = f.heard[ear][1:]
	}
	if part[1] != "lead" || m.Reply == "" || f.rng.IntN(40) > 0 {
		return
	}
	var lie []byte
	switch f.rng.IntN(4) {
	case 0:
		lie = f.junk()
	case 1: // of a leader before
		lie = metatrain.EncodeFrame(metatrain.ResultReply{Verdict: metatrain.Accepted}, nil)
	case 2: // of no leader there ever was
		lie = metatrain.EncodeFrame(metatrain.LeaseReply{Term: metatrain.Term{Epoch: 77, Revision: 1}}, nil)
	default: // of the leader: the result is lost with whom it was taken from, and computed again
		if ear != "result" {
			return
		}
		lie = metatrain.EncodeFrame(metatrain.ResultReply{Term: f.term, Verdict: metatrain.Accepted}, nil)
	}
	if err := f.nc.Publish(m.Reply, lie); err == nil {
		f.lies++
	}
}

// junk is no frame of anything.
func (f *flooder) junk() []byte {
	switch f.rng.IntN(6) {
	case 0:
		return nil
	case 1:
		return []byte{255, 255, 255, 255, '{'}
	case 2:
		return append([]byte{4, 0, 0, 0}, "oops"...)
	case 3:
		return metatrain.EncodeFrame([]string{"a list"}, nil)
	case 4:
		return metatrain.EncodeFrame(struct{}{}, make([]byte, metatrain.MaxChunk+1)) // oversized
	}
	junk := make([]byte, 1+f.rng.IntN(300))
	for i := range junk {
		junk[i] = byte(f.rng.Uint32())
	}
	junk[0], junk[len(junk)/2] = 0, 255 // never the length of a head
	return junk
}

// spoilt is a frame that was heard, cut short or with a bit of its head turned.
func (f *flooder) spoilt(heard []byte) []byte {
	if len(heard) < 8 {
		return f.junk()
	}
	if f.rng.IntN(2) == 0 {
		return heard[:f.rng.IntN(len(heard)-4)]
	}
	out := slices.Clone(heard)
	head := int(min(uint32(len(out)-4), binary.LittleEndian.Uint32(out)))
	out[4+f.rng.IntN(max(1, head))] ^= 0x80 // no JSON is left of it
	return out
}

// subject is where an operation, or another ear, listens.
func (f *flooder) subject(ear string) string {
	if !slices.Contains(ears, ear) {
		return metatrain.Subject("warmstart", "lead", f.term.String(), ear)
	}
	return metatrain.Subject("warmstart", ear)
}

// say sends a message with an answer asked for to an inbox that nobody reads, one for each source.
func (f *flooder) say(ear, source string, data []byte) {
	if data == nil {
		data = []byte{}
	}
	msg := &nats.Msg{Subject: f.subject(ear), Reply: "_INBOX.flood-" + source + ".x", Data: data, Header: nats.Header{"Flood": {"1"}}}
	if err := f.nc.PublishMsg(msg); err != nil {
		f.t.Errorf("flood: %v", err)
	}
}

// nonsense sends n messages that are none to an ear, as one source.
func (f *flooder) nonsense(ear string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		data := f.junk()
		if len(data) > 1<<16 { // a few of them are enough
			data = data[:1<<10]
		}
		f.say(ear, "nonsense", data)
	}
	_ = f.nc.Flush()
}

// round sends one of each kind to an ear.
func (f *flooder) round(ear string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var heard []byte
	if all := f.heard[ear]; len(all) > 0 {
		heard = all[f.rng.IntN(len(all))]
	}
	f.say(ear, "junk", f.junk())
	f.say(ear, "spoilt", f.spoilt(heard))
	if forged := forgeries[ear](f, heard); forged != nil {
		f.say(ear, "forged", forged)
	}
	if heard != nil && ear != "submit" {
		f.say(ear, "replayed", heard)
	}
}

// learn finds the leader's term.
func (f *flooder) learn() {
	f.t.Helper()
	msg, err := f.nc.Request("warmstart.find", nil, 10*time.Second)
	if err != nil {
		f.t.Fatal(err)
	}
	var a metatrain.Announce
	if _, err := metatrain.DecodeFrame(msg.Data, &a); err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	f.term = a.Term
	f.mu.Unlock()
}

// subscriptions asks the NATS server which of the cluster's subjects anyone but the flooder listens to.
func subscriptions(t *testing.T, monitor string) []string {
	t.Helper()
	resp, err := http.Get(monitor + "/connz?subs=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var found struct {
		Connections []struct {
			Name string   `json:"name"`
			Subs []string `json:"subscriptions_list"`
		} `json:"connections"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&found); err != nil {
		t.Fatal(err)
	}
	subjects := map[string]bool{}
	for _, c := range found.Connections {
		for _, s := range c.Subs {
			if part := strings.Split(s, "."); part[0] == "warmstart" && c.Name != "flooder" {
				subjects[part[1]] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(subjects))
}

// operations are those that a coordinator tells apart, from its source.
func operations(t *testing.T) (ops []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../coordinator/serve.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "receive" {
			ast.Inspect(f, func(n ast.Node) bool {
				if c, ok := n.(*ast.CaseClause); ok {
					for _, e := range c.List {
						if lit, ok := e.(*ast.BasicLit); ok {
							op, _ := strconv.Unquote(lit.Value)
							ops = append(ops, op)
						}
					}
				}
				return true
			})
		}
	}
	if len(ops) < 5 {
		t.Fatalf("found operations %v, expected those that receive tells apart", ops)
	}
	return ops
}
