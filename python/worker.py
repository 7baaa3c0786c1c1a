#!/usr/bin/env python3
"""A warmstart worker in one file: Python 3 and numpy, by docs/PROTOCOL.md. It does the training of family sinusoid on
an mlp by MAML, first or second order; Go workers do the rest. Its sums run in an order of their own, so it declares
`bits: none`: only runs whose spec says `bits: any` are leased to it.

    python3 worker.py --nats nats://USER:PASSWORD@127.0.0.1:4222 [--prefix warmstart]
"""
import argparse, hashlib, json, math, os, socket, struct, sys, time
from urllib.parse import unquote, urlparse
import numpy as np

CHUNK, MASK, GOLDEN = 448 << 10, (1 << 64) - 1, 0x9e3779b97f4a7c15


def mix(z):
    z &= MASK
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & MASK
    z = (z ^ z >> 27) * 0x94d049bb133111eb & MASK
    return z ^ z >> 31

class Stream:
    """The random numbers of one key: docs/PROTOCOL.md, "Random numbers"."""
    def __init__(self, seed, domain, step, task):
        f = 0xcbf29ce484222325
        for c in domain.encode(): f = (f ^ c) * 0x100000001b3 & MASK
        h = mix(mix(seed + GOLDEN) ^ mix(f))
        for key in (step, task): h = mix(h + GOLDEN & MASK ^ key)
        self.s = [mix(h + (i + 1) * GOLDEN) for i in range(4)]
    def bits(self):
        rot = lambda x, k: (x << k | x >> 64 - k) & MASK
        a, b, c, d = self.s
        self.s = [a ^ d ^ b, b ^ c ^ a, c ^ a ^ b << 17 & MASK, rot(d ^ b, 45)]
        return rot(a + d & MASK, 23) + a & MASK
    def uniform(self, lo, hi): return lo + (hi - lo) * ((self.bits() >> 11) * 2.0 ** -53)
    def below(self, n):
        while True:
            wide = self.bits() * n
            if wide & MASK >= (1 << 64) % n: return wide >> 64


class Engine:
    """The training of one run. `unable` says what of its spec is not known here, "" where nothing is."""
    KNOWN = {"family": {"shots", "test_shots", "query"}, "model": {"hidden", "init"},
             "learner": {"steps", "rate", "zero_weight"}, "inner": {"delta"}, "outer": {"delta"}}
    def __init__(self, spec):
        self.spec, self.opt = spec, {part: spec[part].get("options") or spec[part] for part in self.KNOWN}
        odd = [f"{part}.{k} {v}" for part, known in self.KNOWN.items() for k, v in self.opt[part].items()
               if v and k not in known and v not in ("mse", "relu", "none", "scalar")]
        if spec.get("results"): odd.append(f"results {spec['results']}")
        self.unable = "not known here: " + ", ".join(odd) if odd else ""
        sizes = [1, *self.opt["model"]["hidden"], 1]
        self.shapes = list(zip(sizes, sizes[1:]))

    def layers(self, theta):
        """Weights and bias of each layer of a vector of parameters."""
        for n, m in self.shapes:
            yield theta[:n * m].reshape(n, m), theta[n * m:(n + 1) * m]
            theta = theta[(n + 1) * m:]

    def passes(self, theta, batch, v=None):
        """The loss of a batch, its gradient, and its Hessian's product with v by Pearlmutter's R-operator."""
        x, t = batch
        kept, h, rh = [], x, np.zeros_like(x)
        for (w, b), (vw, vb) in zip(self.layers(theta), self.layers(np.zeros_like(theta) if v is None else v)):
            y, ry = h @ w + b, rh @ w + h @ vw + vb
            kept.append((w, vw, h, rh))
            h, rh = np.maximum(y, 0), ry * (y > 0)
        d, rd, grad, product = 2 * (y - t) / np.float32(len(x)), 2 * ry / np.float32(len(x)), [], []
        for w, vw, h, rh in reversed(kept):
            grad[:0] = (h.T @ d).ravel(), d.sum(0)
            product[:0] = (rh.T @ d + h.T @ rd).ravel(), rd.sum(0)
            d, rd = d @ w.T * (h > 0), (rd @ w.T + d @ vw.T) * (h > 0)  # of the input, last, nobody asks
        return float(((y - t) ** 2).sum()) / len(x), np.concatenate(grad), np.concatenate(product)

    def sample(self, step, task):
        st, o = Stream(self.spec["seed"], "sinusoid/train", step, task), self.opt["family"]
        amplitude, phase = st.uniform(0.1, 5), st.uniform(0, math.pi)
        def wave(n):
            x = np.array([st.uniform(-5, 5) for _ in range(n)], np.float32).reshape(n, 1)
            return x, (amplitude * np.sin(x.astype(np.float64) - phase)).astype(np.float32)
        return wave(o["shots"][st.below(len(o["shots"]))]), wave(o["query"])

    def gradient(self, theta, step, task):
        """One task's outer loss and its gradient, as long as theta."""
        support, query = self.sample(step, task)
        o, path = self.opt["learner"], [theta]
        rate, zero = np.float32(o["rate"]), np.float32(o.get("zero_weight", 0))
        for _ in range(o["steps"]):
            path.append(path[-1] - rate * self.passes(path[-1], support)[1])
        loss, grad, _ = self.passes(path.pop(), query)
        while path and self.spec["learner"]["name"] != "fomaml":
            grad = grad - self.passes(path.pop(), support, rate * grad)[2]
        if zero:
            before, more, _ = self.passes(theta, query)
            loss, grad = loss + float(zero) * before, grad + zero * more
        return loss, grad


class Nats:
    """As much of a NATS client as a worker needs: requests, one at a time. What goes wrong is an OSError."""
    def __init__(self, url, name):
        u, env = urlparse(url if "//" in url else "nats://" + url), os.environ.get
        user, password = u.username or env("WARMSTART_NATS_USER"), u.password or env("WARMSTART_NATS_PASSWORD", "")
        login = {"user": unquote(user), "pass": unquote(password)} if user else {}
        self.sock, self.n, self.box = socket.create_connection((u.hostname, u.port or 4222), 10), 0, "_INBOX." + os.urandom(8).hex()
        self.file = self.sock.makefile("rb")
        self.line()  # INFO
        options = {"verbose": False, "headers": True, "no_responders": True, "name": name, "lang": "python", "version": "1", **login}
        self.sock.sendall(f"CONNECT {json.dumps(options)}\r\nSUB {self.box}.* 1\r\nPING\r\n".encode())
        while self.line() != "PONG": pass
    def line(self):
        line = self.file.readline().decode().strip()
        if not line or line.startswith("-ERR"): raise ConnectionError(line or "NATS closed the connection")
        if line == "PING": self.sock.sendall(b"PONG\r\n")
        return line
    def publish(self, subject, data, reply=""):
        self.sock.sendall(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")
    def request(self, subject, data, patience):
        self.n += 1
        self.sock.settimeout(patience)
        self.publish(subject, data, f"{self.box}.{self.n}")
        while True:
            part = self.line().split(" ")
            if part[0] not in ("MSG", "HMSG"): continue
            body, head = self.file.read(int(part[-1]) + 2)[:-2], int(part[-2]) if part[0] == "HMSG" else 0
            if b" 503" in body[:head]: raise ConnectionError("nobody leads")
            return body[head:]


def frame(header, payload=b""):
    head = json.dumps(header).encode()
    return struct.pack("<I", len(head)) + head + payload

def unframe(data):
    n, = struct.unpack("<I", data[:4])
    return json.loads(data[4:4 + n]), data[4 + n:]


class Worker:
    def __init__(self, url, prefix):
        self.url, self.prefix, self.id = url, prefix, f"{socket.gethostname()}-py-{os.getpid()}-{os.urandom(3).hex()}"
        self.nats, self.engines, self.theta, self.beaten = None, {}, ("", None), 0

    def ask(self, op, header, payload=b"", patience=5):
        """Asks whoever leads until there is an answer."""
        for n in range(sys.maxsize):
            try:
                if not self.nats:
                    self.nats = Nats(self.url, "worker " + self.id)
                    term = unframe(self.nats.request(self.prefix + ".find", b"", 2))[0]["term"]
                    self.lead = f"{self.prefix}.lead.{term['epoch']}-{term['revision']}."
                return unframe(self.nats.request(self.lead + op, frame({"worker": self.id, **header}, payload), patience))
            except OSError as why:
                self.nats = None
                if n > 5: print(f"NATS at {self.url.split('@')[-1]}: {why}; trying again", file=sys.stderr)
                time.sleep(min(0.02 * 2 ** n, 1))

    def beat(self, lease):
        self.beaten = time.time()
        try: self.nats.publish(self.lead + "beat", frame({"worker": self.id, "leases": [lease["id"]]}))
        except (OSError, AttributeError): self.nats = None  # the next question connects anew

    def fetch(self, **what):
        whole, total = b"", 1
        while len(whole) < total:
            head, part = self.ask("fetch", {**what, "offset": len(whole)})
            if head.get("absent") or head.get("error") or not part: raise LookupError(head.get("error") or "not there any more")
            whole, total = whole + part, head["total"]
        return whole

    def run(self):
        skills = {"kinds": ["train"], "families": ["sinusoid"], "models": ["mlp"], "learners": ["maml", "fomaml"]}
        hello = {"host": socket.gethostname(), "protocol": 1, "contract": "", "bits": "none", "skills": skills,
                 "class": "cpu", "engine": "python", "wait_ms": 5000}
        for seq in range(1, sys.maxsize):
            reply, _ = self.ask("lease", {**hello, "seq": seq}, patience=8)
            if reply.get("refused"): sys.exit("the leader gives this worker no work: " + reply["refused"])
            for lease in reply.get("leases") or []: self.work(lease)

    def fail(self, lease, text, **how):
        w = lease["work"]
        print(f"cannot do {w['kind']} of step {w['step']}: {text}", file=sys.stderr)
        self.ask("fail", {"lease": lease["id"], "work": w, "task": -1, "digest": "", "text": text, **how})

    def work(self, lease):
        w, began, skip = lease["work"], time.time(), lease.get("skip", [])
        try:
            if w["spec"] not in self.engines: self.engines[w["spec"]] = Engine(json.loads(self.fetch(spec=w["run"])))
            if self.theta[0] != w["theta"]:
                data = self.fetch(theta=w["theta"])
                if hashlib.sha256(data).hexdigest() != w["theta"]: raise LookupError("theta of another digest")
                self.theta = w["theta"], np.frombuffer(data, "<f4")
        except LookupError as why: return self.fail(lease, str(why), transient=True)
        engine, theta, node = self.engines[w["spec"]], self.theta[1], w["node"]
        if engine.unable: return self.fail(lease, engine.unable, transient=True, unable=True)
        tasks = [t for t in range(node["i"] << node["l"], min(node["i"] + 1 << node["l"], lease["tasks"])) if t not in skip]
        total, loss = np.zeros_like(theta), 0.0
        for task in tasks:
            if time.time() - self.beaten > 0.3: self.beat(lease)
            value, g = engine.gradient(theta, w["step"], task)
            if not (math.isfinite(value) and np.isfinite(g).all()):
                digest = hashlib.sha256(f"{w['kind']} {w['step']} {task} diverged".encode()).hexdigest()
                return self.fail(lease, "diverged; lower learner.rate or optimizer.rate", task=task, digest=digest)
            total, loss = total + g, loss + value
        self.offer(lease, total.astype("<f4").tobytes() if tasks else b"", {
            "lease": lease["id"], "work": w, "metrics": [loss] if tasks else [], "bits": "none", "tasks": len(tasks),
            "micros": int(1e6 * (time.time() - began))})

    def offer(self, lease, payload, result):
        """Offers a result until there is a final verdict; a large one is announced, and sent in chunks once it is asked for."""
        result.update(offset=0, total=len(payload), sha256=hashlib.sha256(payload).hexdigest())
        chunk = first = payload if len(payload) <= CHUNK else b""
        while True:
            reply, _ = self.ask("result", result, chunk)
            if reply["verdict"] == "more":
                result["offset"] = reply.get("offset", 0)
                chunk = payload[result["offset"]:][:CHUNK]
            elif reply["verdict"] == "hold":
                result["offset"], chunk = 0, first
                time.sleep(min(max(reply.get("retry_ms", 0), 5), 1000) / 1000)
                self.beat(lease)
            else: break
        if reply["verdict"] == "refused": print(f"refused: {reply.get('reason')}", file=sys.stderr)


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--nats", default=os.environ.get("WARMSTART_NATS", "nats://127.0.0.1:4222"), help="where NATS listens; a user and password stand in it")
    args.add_argument("--prefix", default=os.environ.get("WARMSTART_PREFIX", "warmstart"), help="of all subjects")
    args = args.parse_args()
    try: Worker(args.nats, args.prefix).run()
    except KeyboardInterrupt: sys.exit(130)
