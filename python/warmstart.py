#!/usr/bin/env python3
"""Use a published warmstart model from Python: one file, on numpy alone.

    python3 warmstart.py MODEL --data FILE --shots K [--to forecast.csv] [--json]

MODEL is a version's folder (config.json, model.safetensors), as `warmstart models pull` leaves it. For a model of family
load FILE is a trace, CSV of timestamp,value (.gz too): the model adapts to its latest K windows and forecasts, as
`warmstart adapt` does. For other families FILE is a CSV of samples, inputs then targets: the model adapts to the first K
rows and predicts the others, whose targets may be empty.

    import warmstart
    model = warmstart.load("models/load")
    job = warmstart.forecast(model, warmstart.read_trace("job.csv"), shots=50)
    adapted = model.adapt(x, y)          # any family: x [n][inputs], y [n][outputs]
    adapted.predict(x_new)

Models are mlp, learners maml, fomaml, ridge and pooled; others are refused by name. Numbers agree with warmstart's own to
float tolerance (pkg/coldstart tests that), not to the bit.
"""
import argparse, calendar, csv, datetime, gzip, hashlib, io, json, math, os, re, sys
try:
    import numpy as np
except ImportError:
    if __name__ != "__main__":
        raise
    sys.exit("warmstart.py: needs numpy: pip install numpy, or apt-get install python3-numpy")

CONTRACT = "lane/1"
ALL = -1  # shots: all samples there are


class Error(Exception):
    """What cannot be used: file, field, what was found and what was expected."""


def fail(where, found, expected):
    raise Error(f"{where}: found {found}, expected {expected}")


# Models


def load(folder):
    """Reads a published model."""
    def read(name):
        path = os.path.join(folder, name)
        try:
            with open(path, "rb") as f:
                return f.read()
        except OSError as why:
            raise Error(f"{path}: {why.strerror}") from None

    config, tensors = read("config.json"), read("model.safetensors")
    if os.path.exists(os.path.join(folder, "manifest.json")):
        files = {f["name"]: f["sha256"] for f in _json(read("manifest.json"), os.path.join(folder, "manifest.json")).get("files", [])}
        for name, data in (("config.json", config), ("model.safetensors", tensors)):
            digest = hashlib.sha256(data).hexdigest()
            if files.get(name) != digest:
                fail(os.path.join(folder, name), f"sha256 {digest[:12]}", f"{str(files.get(name))[:12]}, as manifest.json says: torn or corrupted")
    path = os.path.join(folder, "model.safetensors")
    meta, named = read_safetensors(tensors, path)
    if meta.get("contract") != CONTRACT:
        fail(f"{path}: contract", repr(meta.get("contract")), repr(CONTRACT))
    return Model(_json(config, os.path.join(folder, "config.json")), named, os.path.join(folder, "config.json"), path)


def _json(data, path):
    try:
        return json.loads(data)
    except ValueError as why:
        raise Error(f"{path}: {why}") from None


def read_safetensors(data, path):
    """The metadata and the float32 tensors of a safetensors file, by name."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        fail(path, f"{len(data)} bytes", f"a header of {size} bytes and its tensors: torn or corrupted")
    header, body, named = _json(data[8:8 + size], path), data[8 + size:], {}
    if not isinstance(header, dict):
        fail(f"{path}: header", type(header).__name__, "an object of tensors")
    meta = header.pop("__metadata__", {})
    for name, t in header.items():
        try:
            (lo, hi), shape = t["data_offsets"], [int(n) for n in t["shape"]]
            lo, hi, t = int(lo), int(hi), {"dtype": t["dtype"], "shape": shape}
        except (KeyError, TypeError, ValueError):
            fail(f"{path}: tensor {name}", json.dumps(t), "dtype, shape and two data_offsets")
        if t["dtype"] != "F32" or hi - lo != 4 * math.prod(t["shape"]) or not 0 <= lo <= hi <= len(body):
            fail(f"{path}: tensor {name}", f"{t['dtype']} {t['shape']} in bytes {lo} to {hi} of {len(body)}", "F32, whole")
        named[name] = np.frombuffer(body[lo:hi], "<f4").reshape(t["shape"]).astype(np.float64)
        if not np.isfinite(named[name]).all():
            fail(f"{path}: tensor {name}", "values that are not finite", "finite ones")
    return meta, named


class Model:
    """A base model. Its parameters are those of meta-training; adapt gives copies."""

    def __init__(self, config, tensors, config_path="config.json", tensors_path="model.safetensors"):
        def option(part, key, usual):
            return (config[part].get("options") or {}).get(key, usual)

        def known(field, found, expected):
            if found not in expected:
                fail(f"{config_path}: {field}", repr(found), " or ".join(map(repr, expected)))

        for part in ("contract", "family", "model", "learner", "inner", "outer"):
            if part not in config:
                fail(f"{config_path}: {part}", "nothing", "it to be there")
        if config.get("network"):  # the model's name is of a program's own; this is what it means
            config = {**config, "model": {"name": config["network"]["name"], "options": {k: v for k, v in config["network"].items() if k != "name"}}}
        known("contract", config["contract"], [CONTRACT])
        known("model.name", config["model"]["name"], ["mlp"])
        known("learner.name", config["learner"]["name"], ["maml", "fomaml", "ridge", "pooled"])
        known("inner.loss", config["inner"]["loss"], ["mse", "huber"])
        usual = {"model": {"hidden", "activation", "skip", "init"}, "learner": {"steps", "rate", "learn_rates", "rates", "precision", "outlier"}}
        training = {"zero_weight", "rate_max", "step_weights", "msl_steps", "first_order_steps"}  # of no meaning afterwards
        for part, keys in usual.items():
            for key, value in (config[part].get("options") or {}).items():
                if key not in keys | training and value and value not in ("none", "scalar"):
                    fail(f"{config_path}: {part}.{key}", json.dumps(value), "no such option: this reader does not know it")
        self.config, self.family, self.learner = config, config["family"]["name"], config["learner"]["name"]
        self.activation = option("model", "activation", "relu") or "relu"
        known("model.activation", self.activation, ["relu", "tanh"])
        self.skip, self.hidden = option("model", "skip", False), option("model", "hidden", []) or []
        known("learner.rates", option("learner", "rates", "") or "scalar", ["scalar", "layer"])
        learned = option("learner", "learn_rates", False) or option("learner", "rates", "") == "layer"
        self.steps, self.rate = option("learner", "steps", 1) or 1, option("learner", "rate", 0.01) or 0.01
        self.outlier = option("learner", "outlier", 0) or 0
        self.clip = CLIP if self.family == "load" else 0
        self.loss = config["inner"]["loss"]
        self.delta = config["inner" if self.loss == "huber" else "outer"].get("delta", 1)

        self.layers = [f"dense{i}" for i in range(len(self.hidden))] + ["head"]
        self.params = [tensors.pop(f"{n}.{p}", None) for n in self.layers for p in "wb"]
        shapes = self._shapes(self.params, tensors_path)
        for (name, shape), p in zip(shapes, self.params):
            if p is None or p.shape != shape:
                fail(f"{tensors_path}: tensor {name}", "none" if p is None else f"shape {list(p.shape)}", f"shape {list(shape)}")
        self.inputs, self.outputs = self.params[0].shape[0], self.params[-1].shape[0]
        self.rates = tensors.pop("rates", None) if learned else None
        self.log_precision = tensors.pop("log_precision", None) if self.learner == "ridge" else None
        own = {"rates": (self.rates, (self.steps, len(self.layers)), learned),
               "log_precision": (self.log_precision, (self.params[-2].shape[0] + 1,), self.learner == "ridge")}
        for name, (found, shape, needed) in own.items():
            if needed and (found is None or found.shape != shape):
                fail(f"{tensors_path}: tensor {name}", "none" if found is None else f"shape {list(found.shape)}", f"shape {list(shape)}")
        if tensors:
            fail(tensors_path, f"tensors {sorted(tensors)} too", "none but those of config.json")

    def _shapes(self, params, path):
        if params[0] is None or params[0].ndim != 2 or params[-1] is None:
            fail(f"{path}: tensor {self.layers[0]}.w", "none" if params[0] is None else f"shape {list(params[0].shape)}", "[inputs][outputs], and a head")
        inputs, out = params[0].shape[0], params[-1].size
        widths, shapes = [inputs, *self.hidden], []
        for i, name in enumerate(self.layers):
            rows = widths[i] + (inputs if name == "head" and self.skip else 0)
            cols = self.hidden[i] if name != "head" else out
            shapes += [(f"{name}.w", (rows, cols)), (f"{name}.b", (cols,))]
        return shapes

    def _forward(self, params, x):
        """The outputs, and the inputs of every layer."""
        h, kept = x, []
        for i in range(0, len(params) - 2, 2):
            kept.append(h)
            h = h @ params[i] + params[i + 1]
            h = np.tanh(h) if self.activation == "tanh" else np.maximum(h, 0)
        kept.append(np.hstack([h, x]) if self.skip else h)
        return kept[-1] @ params[-2] + params[-1], kept

    def _backward(self, params, kept, dy):
        """The gradients of the parameters, dy being that of the outputs."""
        grads = []
        for i in range(len(params) - 2, -1, -2):
            grads = [kept[i // 2].T @ dy, dy.sum(axis=0)] + grads
            if i:
                h = kept[i // 2] if i < len(params) - 2 else kept[-1][:, :self.hidden[-1]]
                dy = (dy @ params[i].T)[:, :h.shape[1]] * ((1 - h * h) if self.activation == "tanh" else (h > 0))
        return grads

    def _batch(self, x, y=None):
        x = np.asarray(x, np.float64).reshape(-1, self.inputs)
        y = None if y is None else np.asarray(y, np.float64).reshape(len(x), self.outputs)
        return x, y

    def predict(self, x):
        """The base model's outputs [n][outputs] for x [n][inputs], without adapting."""
        return Adapted(self, self.params).predict(x)

    def adapt(self, x, y, weights=None, steps=None):
        """Adapts to a support set: x [n][inputs], y [n][outputs], weights [n] (1/n each). steps: of maml, the learner's own."""
        x, y = self._batch(x, y)
        w = np.full(len(x), 1 / max(len(x), 1)) if weights is None else np.asarray(weights, np.float64)
        if len(x) == 0 or self.learner == "pooled":
            return Adapted(self, self.params)
        if self.learner == "ridge":
            return Adapted(self, self._ridge(x, y, w))
        params = self.params
        for k in range(self.steps if steps is None else steps):
            out, kept = self._forward(params, x)
            r = out - y
            slope = 2 * r if self.loss == "mse" else np.clip(r, -self.delta, self.delta)
            rates = np.full(len(self.layers), self.rate) if self.rates is None else self.rates[min(k, self.steps - 1)]
            params = [p - rates[i // 2] * g for i, (p, g) in enumerate(zip(params, self._backward(params, kept, slope * w[:, None])))]
            if not all((np.abs(p) <= np.finfo(np.float32).max).all() for p in params):
                fail(f"adapt: inner step {k + 1}", "parameters that are not finite in float32", "finite ones: the samples are larger than those of training, or the learner's rate is too high")
        return Adapted(self, params)

    def _ridge(self, x, y, w):
        """The head in closed form: argmin of sum w |y - phi (head + delta)|^2 + sum precision |delta|^2 (pkg/learner, ridge)."""
        if w.sum() == 0:
            return self.params
        out, kept = self._forward(self.params, x)
        d = np.exp(-5 * self.log_precision)  # precision^(-1/2); the learned number is a tenth of its logarithm
        root = np.sqrt(w * len(w) / w.sum())[:, None]
        r = y - out
        a = root * np.hstack([kept[-1], np.ones((len(x), 1))]) * d
        r = root * (np.clip(r, -self.outlier, self.outlier) if self.outlier else r)
        if a.shape[1] <= len(x):
            z = np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ r)
        else:
            z = a.T @ np.linalg.solve(a @ a.T + np.eye(len(x)), r)
        delta = d[:, None] * z
        return self.params[:-2] + [self.params[-2] + delta[:-1], self.params[-1] + delta[-1]]


class Adapted:
    """A model adapted to one member."""

    def __init__(self, model, params):
        self.model, self.params = model, params

    def predict(self, x):
        """The outputs [n][outputs] for x [n][inputs]."""
        y, _ = self.model._forward(self.params, self.model._batch(x)[0])
        return np.clip(y, -self.model.clip, self.model.clip) if self.model.clip else y


# Family load: traces, and windows that see neither unit nor level (pkg/taskshards)

CLIP, LEVEL_FLOOR, MEMORY, MAX_GAP = 4, 1e-4, 4, 3
FEATURES = {"scale": 1, "volatility": 1, "mean": 1, "still": 1, "season": 2, "cycle": 5, "week": 2}


class Series:
    """One job's values on an even grid: interval in milliseconds; segments of (start in ms, values, positions held)."""

    def __init__(self, name, interval, segments):
        self.name, self.interval, self.segments = name, interval, segments


def read_trace(path):
    """Reads a CSV of timestamp,value, as warmstart does: rows snap to the modal interval, equal slots average, a backward
    stamp or a gap of more than 3 slots begins a new segment, smaller gaps hold the value before."""
    try:
        with (gzip.open(path, "rb") if path.lower().endswith(".gz") else open(path, "rb")) as f:
            text = f.read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as why:
        raise Error(f"{path}: {why}") from None
    first = text.lstrip("\r\n").split("\n", 1)[0]
    try:
        table = [(n, r) for n, r in _numbered(csv.reader(io.StringIO(text), delimiter=next((d for d in "\t|;," if d in first), ","), skipinitialspace=True)) if r]
    except csv.Error as why:
        raise Error(f"{path}: {why}") from None
    if not table:
        fail(path, "no row", "timestamp,value")
    at, value, body = _columns(path, table)
    unit, rows = [0.0], []
    for line, r in body:
        if len(r) != len(table[0][1]):
            fail(f"{path}:{line}", f"{len(r)} fields", f"{len(table[0][1])}")
        stamp, v = _stamp(r[at], unit), _number(r[value])
        if stamp is None:
            fail(f"{path}:{line}: column {at + 1}", repr(r[at]), "a date and time as 2006-01-02 15:04:05, with or without zone, or seconds or milliseconds since 1970")
        if v is None or abs(v) > 1e100:
            fail(f"{path}:{line}: column {value + 1}", repr(r[value]), "a number")
        rows.append((stamp, v))
    return Series(re.sub(r"(?i)\.[ct]sv$", "", re.sub(r"(?i)\.gz$", "", os.path.basename(path))), *_grid(path, rows))


def _numbered(reader):
    for r in reader:
        yield reader.line_num, r


def _columns(path, table):
    """Where timestamp and value stand, and the rows below a header."""
    first = [c.strip().lower() for c in table[0][1]]
    if first[:4] == ["hashowner", "hashapp", "hashfunction", "trigger"]:
        fail(path, "the wide form", "one trace of timestamp,value; `warmstart adapt` reads the wide form")
    if _stamp(first[0], [0.0]) is not None:
        if len(first) != 2:
            fail(f"{path}:1", f"{len(first)} fields and no header", "2: timestamp,value")
        return 0, 1, table
    named = lambda names: next((first.index(n) for n in names if n in first), -1)
    at = named(["timestamp", "time", "datetime", "date", "ts", "ds", "epoch", "@timestamp"])
    value = named(["value", "values", "count", "rate", "events", "load", "y"])
    if at >= 0 and value >= 0:
        return at, value, table[1:]
    if len(first) != 2 or _number(first[1]) is not None:
        fail(f"{path}:1", f"columns {table[0][1]}", "timestamp,value")
    return 0, 1, table[1:]


def _number(s):
    try:
        v = float(s)
    except ValueError:
        return None
    return v if math.isfinite(v) else None


_DATE = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)(?:[ Tt](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)? ?(?:([Zz])|([+-])(\d\d):?(\d\d))?)?$")


def _stamp(s, unit):
    """Unix milliseconds of a timestamp, None where it is none. unit[0] keeps the unit of numbers, in milliseconds."""
    s = s.strip()
    v = _number(s)
    if v is not None:
        if not unit[0]:
            unit[0] = next((u for below, u in ((1e11, 1e3), (1e14, 1), (1e17, 1e-3)) if abs(v) < below), 1e-6)
        return math.floor(v * unit[0] + 0.5) if abs(v * unit[0]) <= 1e15 else None
    m = _DATE.match(s)
    if not m:
        return None
    try:
        t = datetime.datetime(*(int(g or 0) for g in m.groups()[:6]))
    except ValueError:
        return None
    zone = int((m[9] or "+") + "1") * (int(m[10] or 0) * 60 + int(m[11] or 0)) * 60
    return (calendar.timegm(t.timetuple()) - zone) * 1000 + int((m[7] or "0")[:3].ljust(3, "0"))


def _grid(path, rows):
    gaps = {}
    for (a, _), (b, _) in zip(rows, rows[1:]):
        if b > a:
            gaps[b - a] = gaps.get(b - a, 0) + 1
    if not gaps:
        fail(path, f"{len(rows)} rows at no more than one point in time", "rising timestamps")
    interval = min(gaps, key=lambda d: (-gaps[d], d))
    segments, slot, averaged = [], 0, 0
    for i, (at, v) in enumerate(rows):
        gap = MAX_GAP + 1
        if i and at >= rows[i - 1][0]:
            start, values, held = segments[-1]
            to = (at - start + interval // 2) // interval
            gap = to - slot
        if gap > MAX_GAP:
            segments.append((at, [v], []))
            slot, averaged = 0, 1
        elif gap == 0:
            averaged += 1
            values[-1] += (v - values[-1]) / averaged
        else:
            for _ in range(gap - 1):
                held.append(len(values))
                values.append(values[-1])
            values.append(v)
            slot, averaged = to, 1
    if len({v for _, values, _ in segments for v in values}) == 1:
        fail(path, "one value all the time", "a series that changes")
    return interval, segments


class Windower:
    """Cuts series into windows: x of the last `lags` values less the last, over s, then features; y the next, likewise."""

    def __init__(self, model):
        if model.family != "load":
            fail("config.json: family.name", repr(model.family), "'load', whose models read traces")
        options = model.config["family"].get("options") or {}
        self.lags = options.get("lags", 24)
        self.features = [f for f in FEATURES if f in options.get("features", list(FEATURES))]
        inputs = self.lags - 1 + sum(FEATURES[f] for f in self.features)
        odd = [f for f in options.get("features", []) if f not in FEATURES]
        if odd or inputs != model.inputs:
            fail("config.json: family.features", f"{odd or self.features} for a model of {model.inputs} inputs", f"some of {list(FEATURES)} that make as many")

    def cut(self, s):
        """Every window of a series: dicts of x, y, scale, last, target, time; and the one at its end, without target."""
        out, nxt = [], None
        for n, (start, values, held) in enumerate(s.segments):
            v, held = np.array(values), set(held)
            square, mean = self._means(v)
            for end in range(self.lags, len(v) + (n == len(s.segments) - 1)):
                if end in held:
                    continue
                w = self._window(v, end, square, mean, 86_400_000 / s.interval)
                w["time"] = start + end * s.interval
                if end == len(v):
                    nxt = w
                    continue
                w["target"] = v[end]
                w["y"] = np.clip((v[end] - w["last"]) / w["scale"], -CLIP, CLIP) if w["scale"] else 0.0
                out.append(w)
        return out, nxt

    def _means(self, v):
        """Exponential means of squared differences and of values, a plain mean at first."""
        rate, square, mean, squares, means = 1 / (self.lags * MEMORY), 0.0, v[0], [], []
        for i, a in enumerate(v):
            d = a - v[i - 1] if i else 0.0
            mean += max(rate, 1 / (i + 1)) * (a - mean)
            square += max(rate, 1 / max(i, 1)) * (d * d - square)
            squares.append(square)
            means.append(mean)
        return squares, means

    def _window(self, v, end, square, mean, day):
        w, now = v[end - self.lags:end], end - 1
        last, d, level = w[-1], np.diff(w), np.abs(w).mean()
        x = np.zeros(self.lags - 1 + sum(FEATURES[f] for f in self.features))
        largest = np.abs(d).max()
        if largest == 0:
            return {"x": x, "scale": 0.0, "last": last}
        s = max(largest * math.sqrt(np.mean((d / largest) ** 2)), LEVEL_FLOOR * level)
        x[:self.lags - 1] = (w[:-1] - last) / s
        day = int(day) if day >= 2 and day == int(day) else 0
        bound = lambda a, by: max(-by, min(by, a))

        def change(ago):  # from now to next, so many values ago
            known = ago > 0 and now >= ago
            return [bound((v[end - ago] - v[now - ago]) / s, CLIP), 1] if known else [0, 0]

        def cycle():
            slope = [0, 0]
            if day >= 8 and now >= day + 2:
                slope = [bound((v[end - day + 2] - v[now - day - 2]) / 5 / s, CLIP), 1]
            ago = bound((v[now - day] - last) / s, 2 * CLIP) if day and now >= day else 0
            return [*slope, ago, *change(2 * day)]

        made = {
            "scale": lambda: [bound(math.log(s / max(level, s * 1e-9)), 10)],
            "volatility": lambda: [bound(math.log(max(math.sqrt(square[now]) / s, 1e-3)), 4)],
            "mean": lambda: [bound((mean[now] - last) / s, 8)],
            "still": lambda: [np.mean(d == 0)],
            "season": lambda: change(day), "cycle": cycle, "week": lambda: change(7 * day),
        }
        x[self.lags - 1:] = [a for f in self.features for a in made[f]()]
        return {"x": x.astype(np.float32).astype(np.float64), "scale": s, "last": last}


def forecast(model, series, shots=ALL):
    """Adapts to the latest windows of a series and forecasts one step ahead: for the latest fifth by a model that has not
    seen it, and for the first value not known yet. The last value takes over where it does better on that fifth."""
    ws, nxt = Windower(model).cut(series)
    if nxt is None:
        fail(series.name, f"{len(series.segments[-1][1])} values in the last unbroken stretch", f"a window of {Windower(model).lags} or more")

    def adapt(end):
        some = ws[end - min(shots if shots >= 0 else end, end):end]
        weights = [1 / len(some) if w["scale"] else 0 for w in some]
        return model.adapt([w["x"] for w in some], [w["y"] for w in some], weights), len(some)

    def value(adapted, w):
        return w["last"] + w["scale"] * float(np.clip(adapted.predict(w["x"])[0, 0], -CLIP, CLIP)) if w["scale"] else w["last"]

    late = ws[len(ws) - len(ws) // 5:]
    moves = [abs(b - a) for _, v, held in series.segments for i, (a, b) in enumerate(zip(v, v[1:])) if i + 1 not in held]
    size = sum(moves) / max(len(moves), 1) or 1
    out = {"job": series.name, "fell_back": False, "scored": len(late), "mase": 0.0, "mase_last": 0.0, "forecasts": []}
    if late:
        before, _ = adapt(len(ws) - len(late))
        made = [value(before, w) for w in late]
        out["mase"] = float(np.mean([abs(w["target"] - f) for w, f in zip(late, made)]) / size)
        out["mase_last"] = float(np.mean([abs(w["target"] - w["last"]) for w in late]) / size)
        out["fell_back"] = out["mase"] > out["mase_last"]
        out["forecasts"] = [(w["time"], w["target"], w["last"] if out["fell_back"] else f) for w, f in zip(late, made)]
    adapted, out["shots"] = adapt(len(ws))
    out["adapted"] = adapted
    out["next_time"], out["next"] = nxt["time"], nxt["last"] if out["fell_back"] else value(adapted, nxt)
    out["forecasts"].append((nxt["time"], None, out["next"]))
    return out


# Command line


def _samples(model, path):
    """A CSV of samples: inputs, then targets, which may be empty where they are to be predicted."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as f:
            table = [(n, r) for n, r in _numbered(csv.reader(f)) if r]
    except (OSError, UnicodeDecodeError, csv.Error) as why:
        raise Error(f"{path}: {why}") from None
    if not table:
        fail(path, "no row", f"{model.inputs} inputs, then {model.outputs} targets, in each")
    if table and _number(table[0][1][0]) is None:
        table = table[1:]
    wide, xs, ys = model.inputs + model.outputs, [], []
    for line, r in table:
        if len(r) not in (model.inputs, wide):
            fail(f"{path}:{line}", f"{len(r)} fields", f"{model.inputs} inputs, then {model.outputs} targets")
        row = [_number(c) for c in r + [""] * (wide - len(r))]
        for i, v in enumerate(row):
            if v is None and (i < model.inputs or r[i:i + 1] not in ([], [""])):
                fail(f"{path}:{line}: column {i + 1}", repr(r[i]), "a number")
        xs.append(row[:model.inputs])
        ys.append(row[model.inputs:])
    return xs, ys


def _rfc(ms): return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def main(argv=None):
    p = argparse.ArgumentParser(prog="warmstart.py", description="Adapt a published warmstart model to a new member's samples, and forecast or predict.")
    p.add_argument("model", help="folder of a published version")
    p.add_argument("--data", required=True, help="family load: a trace, CSV of timestamp,value; others: a CSV of samples, inputs then targets")
    p.add_argument("--shots", type=int, default=ALL, help="adapt to this many samples: load the latest, others the first; -1 = all there are")
    p.add_argument("--to", help="also write the forecasts or predictions to this CSV file")
    p.add_argument("--json", action="store_true", help="print JSON, one line")
    args = p.parse_args(argv)
    if args.shots < ALL:
        p.error(f"--shots: found {args.shots}, expected a number from 0, or -1 for all")
    try:
        model = load(args.model)
        rows = _forecast(model, args) if model.family == "load" else _predict(model, args)
        if args.to:
            with open(args.to, "w", newline="") as f:
                csv.writer(f).writerows(rows)
    except (Error, OSError) as why:
        print(f"warmstart.py: {why}", file=sys.stderr)
        return 1
    return 0


def _forecast(model, args):
    f = forecast(model, read_trace(args.data), args.shots)
    said = {k: f[k] for k in ("job", "shots", "fell_back", "scored", "mase", "mase_last", "next")}
    said["next_time"] = _rfc(f["next_time"])
    if args.json:
        print(json.dumps(said))
    else:
        print(f"{f['job']}: adapted to {f['shots']} samples\n  on its latest {f['scored']} samples, adapted to what came before: MASE {f['mase']:.4f}, last value {f['mase_last']:.4f}")
        if f["fell_back"]:
            print("  that is worse than the last value, which forecasts instead")
        print(f"  next value, {said['next_time']}: {f['next']:.6g}")
    return [("timestamp", "actual", "forecast")] + [(_rfc(t), "" if a is None else repr(float(a)), repr(float(v))) for t, a, v in f["forecasts"]]


def _predict(model, args):
    xs, ys = _samples(model, args.data)
    shots = len([y for y in ys if None not in y]) if args.shots == ALL else args.shots
    if shots > len(xs) or any(None in y for y in ys[:shots]):
        fail(args.data, f"{len([y for y in ys if None not in y])} rows with targets", f"{shots} at the beginning, to adapt to")
    rest = xs[shots:]
    made = model.adapt(xs[:shots], ys[:shots]).predict(rest) if rest else np.zeros((0, model.outputs))
    if args.json:
        print(json.dumps({"shots": shots, "predictions": made.tolist()}))
    else:
        print(f"adapted to {shots} samples")
        for x, y in zip(rest, made):
            print(*(f"{v:.6g}" for v in [*x, *y]))
    return [(*x, *map(float, y)) for x, y in zip(rest, made)]


if __name__ == "__main__":
    sys.exit(main())
