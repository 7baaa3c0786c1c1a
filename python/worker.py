#!/usr/bin/env python3
"""A warmstart worker in one file: Python 3 and numpy, by docs/PROTOCOL.md. It does the training of family sinusoid on
an mlp by MAML, first or second order, with an autodiff of its own; Go workers do the rest. Its sums run in an order of
their own, so it declares `bits: none`: only runs whose spec says `bits: any` are leased to it.

    python3 worker.py --nats nats://USER:PASSWORD@127.0.0.1:4222 [--prefix warmstart]
"""
import argparse, hashlib, json, math, os, select, socket, struct, sys, time
from urllib.parse import unquote, urlparse
import numpy as np

CHUNK = 448 << 10


class Var:
    """A matrix and how it came about. Gradients are Vars too, so that they can be differentiated again."""
    def __init__(self, x, *parents, leaf=False):
        self.x, self.parents = np.asarray(x, np.float32), [p for p in parents if p[0].live]
        self.live = leaf or bool(self.parents)
    def __add__(a, b): return Var(a.x + b.x, (a, lambda g: g), (b, lambda g: g))
    def __mul__(a, b): return Var(a.x * b.x, (a, lambda g: g * b), (b, lambda g: g * a))
    def __matmul__(a, b): return Var(a.x @ b.x, (a, lambda g: g @ b.t()), (b, lambda g: a.t() @ g))
    def t(a): return Var(a.x.T, (a, lambda g: g.t()))
    def scale(a, s): return Var(a.x * np.float32(s), (a, lambda g: g.scale(s)))
    def sum(a): return Var(np.ones((1, len(a.x)))) @ a


def grad(y, wrt):
    """The gradients of y (1 x 1) for each Var of wrt, as Vars."""
    order, seen = [], set()
    def visit(v):
        if id(v) not in seen:
            seen.add(id(v))
            for parent, _ in v.parents: visit(parent)
            order.append(v)
    visit(y)
    found = {id(y): Var([[1]])}
    for v in reversed(order):
        for parent, pull in v.parents if id(v) in found else ():
            g = pull(found[id(v)])
            found[id(parent)] = found[id(parent)] + g if id(parent) in found else g
    return [found.get(id(w)) or Var(np.zeros_like(w.x)) for w in wrt]


class Stream:
    """The random numbers of one key: docs/PROTOCOL.md, "Random numbers"."""
    M, G = (1 << 64) - 1, 0x9e3779b97f4a7c15
    def __init__(self, seed, domain, step, task):
        f = 0xcbf29ce484222325
        for c in domain.encode(): f = (f ^ c) * 0x100000001b3 & self.M
        h = self.mix(self.mix(seed + self.G) ^ self.mix(f))
        for key in (step, task): h = self.mix(h + self.G & self.M ^ key)
        self.s = [self.mix(h + (i + 1) * self.G) for i in range(4)]
    def mix(self, z):
        z &= self.M
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & self.M
        z = (z ^ z >> 27) * 0x94d049bb133111eb & self.M
        return z ^ z >> 31
    def bits(self):
        rot = lambda x, k: (x << k | x >> 64 - k) & self.M
        a, b, c, d = self.s
        out = rot(a + d & self.M, 23) + a & self.M
        c, d = c ^ a, d ^ b
        self.s = [a ^ d, b ^ c, c ^ (self.s[1] << 17 & self.M), rot(d, 45)]
        return out
    def uniform(self, lo, hi): return lo + (hi - lo) * ((self.bits() >> 11) * 2.0 ** -53)
    def below(self, n):
        while True:
            wide = self.bits() * n
            if wide & self.M >= (1 << 64) % n: return wide >> 64


class Engine:
    """The training of one run. `unable` says what of its spec is not known here, "" where nothing is."""
    KNOWN = {"family": {"shots", "test_shots", "query"}, "model": {"hidden", "init"}, "learner": {"steps", "rate", "zero_weight"}, "inner": {"delta"}, "outer": {"delta"}}
    def __init__(self, spec):
        self.spec, self.opt = spec, {part: dict(spec[part].get("options") or spec[part]) for part in self.KNOWN}
        odd = [f"{part}.{k} {v}" for part in self.KNOWN for k, v in self.opt[part].items() if v and k not in self.KNOWN[part] and v not in ("mse", "relu", "none", "scalar")]
        self.unable = "not known here: " + ", ".join(odd) if odd else ""
        sizes, self.cuts = [1, *self.opt["model"]["hidden"], 1], [0]
        self.shapes = [shape for rows, out in zip(sizes, sizes[1:]) for shape in ((rows, out), (1, out))]
        for rows, out in self.shapes: self.cuts.append(self.cuts[-1] + rows * out)

    def loss(self, ws, batch):
        x, t = batch
        h, ones = Var(x), Var(np.ones((len(x), 1)))
        for w, b in zip(ws[::2], ws[1::2]):
            y = h @ w + ones @ b
            h = y * Var(y.x > 0)  # relu
        r = y + Var(-t)
        return (r * r).sum().scale(1 / len(x))

    def sample(self, step, task):
        st, o = Stream(self.spec["seed"], "sinusoid/train", step, task), self.opt["family"]
        a, p = st.uniform(0.1, 5), st.uniform(0, math.pi)
        def wave(n):
            x = np.array([[st.uniform(-5, 5)] for _ in range(n)], np.float32)
            return x, (a * np.sin(x.astype(np.float64) - p)).astype(np.float32)
        return wave(o["shots"][st.below(len(o["shots"]))]), wave(o["query"])

    def gradient(self, theta, step, task):
        """One task's outer loss and its gradient, as long as theta."""
        support, query = self.sample(step, task)
        o, first = self.opt["learner"], self.spec["learner"]["name"] == "fomaml"
        start = at = [Var(theta[lo:hi].reshape(shape), leaf=True) for lo, hi, shape in zip(self.cuts, self.cuts[1:], self.shapes)]
        for _ in range(o["steps"]):
            gs = grad(self.loss(at, support), at)
            at = [w + (Var(g.x) if first else g).scale(-o["rate"]) for w, g in zip(at, gs)]
        total = self.loss(at, query)
        if o.get("zero_weight"): total = total + self.loss(start, query).scale(o["zero_weight"])
        return float(total.x[0, 0]), np.concatenate([g.x.ravel() for g in grad(total, start)])


class Nats:
    """As much of a NATS client as a worker needs: requests, one at a time, and one subscription."""
    def __init__(self, url, name):
        u = urlparse(url if "//" in url else "nats://" + url)
        self.sock, self.buf, self.n, self.box = socket.create_connection((u.hostname, u.port or 4222), 10), b"", 0, "_INBOX." + os.urandom(8).hex()
        user, password = u.username or os.environ.get("WARMSTART_NATS_USER"), u.password or os.environ.get("WARMSTART_NATS_PASSWORD", "")
        login = {"user": unquote(user), "pass": unquote(password)} if user else {}
        self.line(time.time() + 10)  # INFO
        self.send(f"CONNECT {json.dumps({'verbose': False, 'headers': True, 'no_responders': True, 'name': name, 'lang': 'python', 'version': '1', **login})}\r\nSUB {self.box}.* 1\r\nPING\r\n")
        while self.line(time.time() + 10) != b"PONG": pass
    def send(self, text, data=b""): self.sock.sendall(text.encode() + data)
    def publish(self, subject, data, reply=""): self.send(f"PUB {subject} {reply} {len(data)}\r\n", data + b"\r\n")
    def fill(self, until):
        if not select.select([self.sock], [], [], max(0, until - time.time()))[0]: raise TimeoutError("no answer")
        got = self.sock.recv(1 << 16)
        if not got: raise ConnectionError("NATS closed the connection")
        self.buf += got
    def line(self, until):
        while b"\r\n" not in self.buf: self.fill(until)
        line, self.buf = self.buf.split(b"\r\n", 1)
        if line.startswith(b"-ERR"): raise ConnectionError(line.decode())
        if line == b"PING": self.send("PONG\r\n")
        return line
    def request(self, subject, data, patience):
        self.n += 1
        mine, until = f"{self.box}.{self.n}", time.time() + patience
        self.publish(subject, data, mine)
        while True:
            part = self.line(until).decode().split(" ")
            if part[0] not in ("MSG", "HMSG"): continue
            size, head = int(part[-1]), int(part[-2]) if part[0] == "HMSG" else 0
            while len(self.buf) < size + 2: self.fill(time.time() + 10)
            body, self.buf = self.buf[:size], self.buf[size + 2:]
            if part[1] == mine:
                if b" 503" in body[:head].split(b"\r\n")[0]: raise TimeoutError("nobody leads")
                return body[head:]


def frame(header, payload=b""):
    head = json.dumps(header).encode()
    return struct.pack("<I", len(head)) + head + payload

def unframe(data):
    n = struct.unpack("<I", data[:4])[0]
    return json.loads(data[4:4 + n]), data[4 + n:]


class Worker:
    def __init__(self, url, prefix):
        self.id = f"{socket.gethostname()}-py-{os.getpid()}-{os.urandom(3).hex()}"
        self.nats, self.prefix, self.term, self.engines, self.seq, self.theta = Nats(url, "worker " + self.id), prefix, None, {}, 0, ("", None)

    def subject(self, op): return f"{self.prefix}.lead.{self.term['epoch']}-{self.term['revision']}.{op}"

    def beat(self, lease):
        self.beaten = time.time()
        self.nats.publish(self.subject("beat"), frame({"worker": self.id, "leases": [lease["id"]]}))

    def ask(self, op, header, payload=b"", patience=5):
        """Asks whoever leads until there is an answer."""
        wait = 0.02
        while True:
            try:
                if not self.term: self.term = unframe(self.nats.request(self.prefix + ".find", b"", 2))[0]["term"]
                return unframe(self.nats.request(self.subject(op), frame(header, payload), patience))
            except TimeoutError as why:
                self.term, wait = None, min(2 * wait, 1)
                if wait == 1: print(f"waiting for the leader: {why}", file=sys.stderr)
                time.sleep(wait)

    def fetch(self, **what):
        whole = b""
        while True:
            head, part = self.ask("fetch", {**what, "offset": len(whole)})
            if head.get("absent") or head.get("error"): raise LookupError(head.get("error") or "not there any more")
            whole += part
            if len(whole) >= head["total"] or not part: return whole

    def run(self):
        can = {"kinds": ["train"], "families": ["sinusoid"], "models": ["mlp"], "learners": ["maml", "fomaml"]}
        while True:
            self.seq += 1
            reply, _ = self.ask("lease", {"worker": self.id, "host": socket.gethostname(), "protocol": 1, "contract": "", "bits": "none", "skills": can, "class": "cpu", "engine": "python", "seq": self.seq, "wait_ms": 5000}, patience=8)
            if reply.get("refused"): sys.exit("the leader gives this worker no work: " + reply["refused"])
            for lease in reply.get("leases") or []: self.work(lease)

    def fail(self, lease, text, task=-1, digest="", **how):
        print(f"cannot do {lease['work']['kind']} of step {lease['work']['step']}: {text}", file=sys.stderr)
        self.ask("fail", {"worker": self.id, "lease": lease["id"], "work": lease["work"], "task": task, "digest": digest, "text": text, **how})

    def work(self, lease):
        w, began = lease["work"], time.time()
        try:
            if w["spec"] not in self.engines: self.engines[w["spec"]] = Engine(json.loads(self.fetch(spec=w["run"])))
            if self.theta[0] != w["theta"]:
                data = self.fetch(theta=w["theta"])
                if hashlib.sha256(data).hexdigest() != w["theta"]: raise LookupError("theta of another digest")
                self.theta = w["theta"], np.frombuffer(data, "<f4")
        except LookupError as why: return self.fail(lease, str(why), transient=True)
        engine, self.beaten = self.engines[w["spec"]], time.time()
        if engine.unable: return self.fail(lease, engine.unable, transient=True, unable=True)
        total, loss, count, node = np.zeros_like(self.theta[1]), 0.0, 0, w["node"]
        for task in range(node["i"] << node["l"], min(node["i"] + 1 << node["l"], lease["tasks"])):
            if task in lease.get("skip", []): continue
            if time.time() - self.beaten > 0.3: self.beat(lease)
            value, g = engine.gradient(self.theta[1], w["step"], task)
            if not (math.isfinite(value) and np.isfinite(g).all()):
                return self.fail(lease, "diverged", task, hashlib.sha256(f"{w['kind']} {w['step']} {task} diverged".encode()).hexdigest())
            total, loss, count = total + g, loss + value, count + 1
        payload = total.astype("<f4").tobytes() if count else b""
        result = {"worker": self.id, "lease": lease["id"], "work": w, "metrics": [loss] if count else [], "bits": "none", "tasks": count, "micros": int(1e6 * (time.time() - began)), "offset": 0, "total": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
        while True:
            reply, _ = self.ask("result", result, payload[result["offset"]:][:CHUNK])
            if reply["verdict"] == "more": result["offset"] = reply.get("offset", 0)
            elif reply["verdict"] == "hold":
                time.sleep(min(max(reply.get("retry_ms", 0), 5), 1000) / 1000)
                self.beat(lease)
            else: break
        if reply["verdict"] == "refused": print(f"refused: {reply.get('reason')}", file=sys.stderr)


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--nats", default=os.environ.get("WARMSTART_NATS", "nats://127.0.0.1:4222"), help="where NATS listens; a user and password stand in it")
    args.add_argument("--prefix", default=os.environ.get("WARMSTART_PREFIX", "warmstart"), help="of all subjects")
    args = args.parse_args()
    while True:  # each connection is a life of its own
        try: Worker(args.nats, args.prefix).run()
        except OSError as why: print(f"NATS at {args.nats.split('@')[-1]}: {why}; trying again", file=sys.stderr)
        except KeyboardInterrupt: sys.exit(130)
        time.sleep(1)
