package taskshards

import (
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Generate returns one generated stream load: a rate with daily and weekly
// cycles, noise, bursts, shifts and the marks of measurement, 24 to 288 values a
// day. It is a function of its arguments alone; the domain keeps training,
// validation and test series apart.
//
// Each ingredient is there or not by chance and spans orders of magnitude, so
// that between them the series cover smooth rates of large systems, noisy ones,
// bursty ones, and counts near zero.
func Generate(seed uint64, domain string, index uint64) Series {
	st := NewStream(seed, domain, 0, index)
	perDay := [...]int{24, 48, 72, 96, 144, 288}[st.Intn(6)]
	v := make([]float64, 768+st.Intn(768))
	g := generator{st: &st, perDay: perDay, v: v}
	g.cycles()
	g.trend()
	g.shifts()
	g.noise()
	g.bursts()
	g.pulses()
	g.spells()
	g.bounds()
	g.measure()
	return Series{
		Name: domain, Group: domain, Interval: 86400 / float64(perDay),
		Segments: []Segment{{Values: v}},
	}
}

// generator builds one series in place. Its mean is about 1 until measure.
type generator struct {
	st     *Stream
	perDay int
	v      []float64
}

// cycles writes the daily and weekly shape: harmonics of the day whose strength
// falls with their order, weekends and single weekdays that differ, either as a
// sum or as the exponential of one, which has sharp peaks.
func (g *generator) cycles() {
	day := make([]float64, g.perDay)
	if g.st.Chance(0.85) {
		g.harmonics(day)
	}
	var week [7]float64
	if g.st.Chance(0.5) {
		depth := g.st.Uniform(0, 0.8)
		for d := range week {
			week[d] = float64(0.1 * depth * g.st.Normal())
			if d >= 5 {
				week[d] -= depth
			}
		}
	}
	strength := g.st.LogUniform(0.03, 1.5)
	sharp := g.st.Chance(0.5)
	phase := g.st.Intn(7 * g.perDay)
	for t := range g.v {
		p := t + phase
		c := float64(strength * (day[p%g.perDay] + week[p/g.perDay%7]))
		if sharp {
			g.v[t] = kernel.Exp(c)
		} else {
			g.v[t] = max(0, 1+c)
		}
	}
}

// harmonics fills a day with a periodic shape of unit variance, or nearly so.
func (g *generator) harmonics(day []float64) {
	n := 1 + g.st.Intn(8)
	fall := g.st.Uniform(0.5, 2)
	var power float64
	for h := 1; h <= n; h++ {
		a := g.st.Normal() * kernel.Exp(-fall*kernel.Log(float64(h)))
		p := g.st.Uniform(0, 2*math.Pi)
		power += float64(a*a) / 2
		for t := range day {
			day[t] += float64(a * kernel.Sin(2*math.Pi*float64(h*t%len(day))/float64(len(day))+p))
		}
	}
	for t := range day {
		day[t] /= math.Sqrt(power) + 1e-3
	}
}

// trend multiplies by a straight line or a slow exponential.
func (g *generator) trend() {
	if !g.st.Chance(0.3) {
		return
	}
	slope := g.st.Uniform(-0.8, 1.5) / float64(len(g.v))
	for t := range g.v {
		g.v[t] *= 1 + float64(slope*float64(t))
	}
}

// shifts multiplies everything from some points on by a factor: a deployment, a
// new customer, a partition that moved.
func (g *generator) shifts() {
	if !g.st.Chance(0.3) {
		return
	}
	for range 1 + g.st.Intn(4) {
		factor := kernel.Exp(0.5 * g.st.Normal())
		for t := g.st.Intn(len(g.v)); t < len(g.v); t++ {
			g.v[t] *= factor
		}
	}
}

// noise multiplies by 1 plus coloured noise that drives the load (first-order
// autoregressive, up to a near random walk) and adds white noise of the
// measurement; their sizes span three orders of magnitude, independently. Tails
// are normal or heavy (a normal of log-normal size).
func (g *generator) noise() {
	colour := [...]float64{0, g.st.Uniform(0, 0.9), 1 - g.st.LogUniform(0.002, 0.1)}[g.st.Intn(3)]
	driven := g.st.LogUniform(0.001, 0.6)
	white := g.st.LogUniform(0.001, 0.6)
	if g.st.Chance(0.4) {
		white = 0
	}
	heavy := 0.0
	if g.st.Chance(0.4) {
		heavy = g.st.Uniform(0.3, 1.2)
	}
	step := driven * math.Sqrt(1-float64(colour*colour))
	a := driven * g.st.Normal()
	for t := range g.v {
		a = float64(colour*a) + float64(step*g.tailed(heavy))
		g.v[t] = float64(g.v[t]*max(0, 1+a)) + float64(white*g.tailed(heavy))
	}
}

// tailed returns a normal number, or one whose size is itself random.
func (g *generator) tailed(heavy float64) float64 {
	z := g.st.Normal()
	if heavy == 0 {
		return z
	}
	return z * kernel.Exp(float64(heavy*g.st.Normal())-float64(heavy*heavy))
}

// bursts adds load that comes at once, at random times, and dies away over one
// to thirty values.
func (g *generator) bursts() {
	if !g.st.Chance(0.35) {
		return
	}
	rate := g.st.LogUniform(0.001, 0.05)
	size := g.st.LogUniform(0.2, 5)
	decay := kernel.Exp(-1 / g.st.LogUniform(0.3, 30))
	level := 0.0
	for t := range g.v {
		level = float64(level * decay)
		if g.st.Chance(rate) {
			level += -float64(size * kernel.Log(1-g.st.Float64()))
		}
		g.v[t] += level
	}
}

// pulses adds work that a timer starts: every 2 to 60 values, one to a few long.
func (g *generator) pulses() {
	if !g.st.Chance(0.15) {
		return
	}
	period := int(g.st.LogUniform(2, 61))
	width := 1 + g.st.Intn(max(1, period/3))
	size := g.st.LogUniform(0.05, 3)
	phase := g.st.Intn(period)
	for t := range g.v {
		if (t+phase)%period < width {
			g.v[t] += size
		}
	}
}

// spells adds work that runs off and on (batch jobs), both for times without
// memory. A run holds its level until it ends, unlike a burst; whoever has seen
// bursts alone takes it to die away. Levels reach far above the rest of the load.
func (g *generator) spells() {
	if !g.st.Chance(0.25) {
		return
	}
	begin, end := 1/g.st.LogUniform(3, 200), 1/g.st.LogUniform(1.2, 40)
	size := g.st.LogUniform(0.1, 300)
	vary, wobble := g.st.LogUniform(0.02, 1), g.st.LogUniform(0.01, 0.4)
	level := 0.0 // 0: off
	for t := range g.v {
		switch {
		case level == 0 && g.st.Chance(begin):
			level = size * kernel.Exp(float64(vary*g.st.Normal()))
		case level > 0 && g.st.Chance(end):
			level = 0
		}
		if level > 0 {
			g.v[t] += float64(level * max(0, 1+float64(wobble*g.st.Normal())))
		}
	}
}

// bounds applies a floor (housekeeping traffic, or no traffic at all) and a
// ceiling (saturation).
func (g *generator) bounds() {
	floor, ceiling := 0.0, math.Inf(1)
	if g.st.Chance(0.15) {
		floor = g.st.Uniform(0.1, 1)
	}
	if g.st.Chance(0.1) {
		ceiling = g.st.Uniform(1, 2)
	}
	for t, v := range g.v {
		g.v[t] = min(max(v, floor), ceiling)
	}
}

// measure sets the unit: a rate of any size, counts (Poisson, from less than one
// event to ten thousand), or a value rounded to a few hundred steps.
func (g *generator) measure() {
	switch u := g.st.Float64(); {
	case u < 0.4:
		unit := g.st.LogUniform(0.3, 1e4)
		for t, v := range g.v {
			g.v[t] = g.st.poisson(float64(unit * v))
		}
	case u < 0.5:
		step := g.st.LogUniform(0.002, 0.1)
		for t, v := range g.v {
			g.v[t] = math.Round(v / step)
		}
	default:
		unit := g.st.LogUniform(1e-2, 1e6)
		for t, v := range g.v {
			g.v[t] = unit * v
		}
	}
}

// poisson returns a Poisson number of the given mean: by multiplication (Knuth)
// up to 20, above that a rounded normal.
func (st *Stream) poisson(mean float64) float64 {
	if mean > 20 {
		return max(0, math.Round(mean+float64(math.Sqrt(mean)*st.Normal())))
	}
	bound, p := kernel.Exp(-mean), st.Float64()
	k := 0.0
	for p > bound {
		p *= st.Float64()
		k++
	}
	return k
}
