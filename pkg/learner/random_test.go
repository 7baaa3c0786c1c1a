package learner

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// learners are those that seeds draw from. One that comes later gets seeds of its
// own: a longer list changes what every seed draws.
var learners = []string{"maml", "fomaml", "anil", "metasgd", "mamlpp", "reptile", "imaml", "ridge", "protonet", "pooled"}

// randomWork is a model, a learner and tasks, all drawn from a seed by exact
// arithmetic alone.
type randomWork struct {
	net    nn.Config
	shape  nn.Shape
	config Config
	model  *nn.Model
	theta  []float32
	tasks  []*Task[float32]
	alike  bool // tasks that a group takes
}

// String is what someone needs to see the fault by hand.
func (w *randomWork) String() string {
	net, _ := json.Marshal(w.net)
	c, _ := json.Marshal(w.config)
	var shots []int
	for _, t := range w.tasks {
		shots = append(shots, t.Support.N)
	}
	return fmt.Sprintf("%s on %s of %+v, supports of %d", c, net, w.shape, shots)
}

// learner is a new one: the work space of one goroutine.
func (w *randomWork) learner(t testing.TB) Learner[float32] {
	t.Helper()
	l, err := New[float32](w.config, w.model)
	if err != nil {
		t.Fatalf("%v: %v", w, err)
	}
	return l
}

// randomWorkOf draws until the model's list of layers fits its input.
func randomWorkOf(t testing.TB, seed uint64) *randomWork {
	t.Helper()
	d := drawing{rand.New(rand.NewPCG(seed, 61))}
	for range 1000 {
		w := &randomWork{}
		var classes bool
		w.config, w.shape.Out, classes = d.learner()
		w.net = d.model(&w.shape)
		w.net.InnerSteps = w.config.InnerSteps()
		m, err := nn.Build(w.net, w.shape)
		if err != nil || m.Activations() > 4096 {
			continue
		}
		w.model = m
		l := w.learner(t)
		w.theta = make([]float32, l.NumParams())
		l.Init(seed, w.theta)
		d.shake(w.theta, l.Params())
		d.work(w, classes)
		return w
	}
	t.Fatalf("seed %d: none of 1000 drawn models could be built", seed)
	return nil
}

// drawing draws from a seed.
type drawing struct{ *rand.Rand }

// of is one of a list.
func (d drawing) of(list ...string) string { return list[d.IntN(len(list))] }

// from is lo to hi, both included.
func (d drawing) from(lo, hi int) int { return lo + d.IntN(hi-lo+1) }

// once is true one time in n.
func (d drawing) once(n int) bool { return d.IntN(n) == 0 }

// learner is a learner, the outputs of its model, and whether its tasks have classes.
func (d drawing) learner() (c Config, out int, classes bool) {
	c.Name, out = d.of(learners...), d.from(1, 3)
	steps := takesSteps(c.Name) || c.Name == "reptile" || c.Name == "imaml"
	if classes = c.Name == "protonet" || d.once(4); classes {
		out = d.from(2, 4)
	}
	switch {
	case c.Name == "protonet":
		return c, out, classes
	case classes && c.Name == "ridge":
		c.OuterLoss = d.of("softmax", "bce")
	case classes:
		c.InnerLoss, c.OuterLoss = d.of("softmax", "bce"), d.of("softmax", "bce")
	default:
		c.OuterLoss, c.HuberDelta = d.of("mse", "huber", "abs"), 0.5
		if c.Name != "ridge" {
			c.InnerLoss = d.of("mse", "huber")
		}
	}
	if c.Name != "ridge" && !classes && d.once(6) {
		c.InnerLoss, c.OuterLoss, c.Quantiles, out = "pinball", "pinball", []float32{0.1, 0.75}, 2*out
	}
	if c.Name != "reptile" && d.once(2) {
		c.ZeroWeight = 0.25
	}
	if !steps {
		return c, out, classes
	}
	c.Steps, c.Rate = d.from(1, 3), 0.02
	if takesSteps(c.Name) {
		d.options(&c)
	}
	switch {
	case c.Name == "reptile" && d.once(2):
		c.InnerOptimizer = "sgd"
	case c.Name == "reptile" && d.once(2):
		c.Beta1 = 0.5
	case c.Name == "reptile":
		c.InnerBatch = 2
	}
	return c, out, classes
}

// options sets those of maml's family.
func (d drawing) options(c *Config) {
	switch {
	case c.Name == "mamlpp":
		c.MSLSteps = 4
	case c.Name == "metasgd":
		c.RateMax = 0.05
	case d.once(3):
		c.Rates = LayerRates
	case d.once(3):
		c.Rates = ParameterRates
	}
	if d.once(4) {
		c.FirstOrderSteps = 2
	}
	if c.Name != "mamlpp" && d.once(3) {
		for range c.Steps {
			c.StepWeights = append(c.StepWeights, []float32{0, 0.5, 1}[d.IntN(3)])
		}
	}
}

// model is a model, which may or may not fit, and the input it is for.
func (d drawing) model(s *nn.Shape) nn.Config {
	axes := d.IntN(3)
	s.In = []int{d.from(1, 12)}
	if axes > 0 {
		s.In, s.Extra = nil, d.IntN(3)
		for range axes {
			s.In = append(s.In, d.from(2, 9-axes))
		}
		s.In = append(s.In, d.from(1, 3))
	}
	c := nn.Config{Name: "layers", Skip: d.once(4), Init: d.of("", "he", "glorot")}
	switch d.IntN(6 - axes) {
	case 0:
		d.named(&c, s, axes)
	case 1:
		c.Name, c.Activation = "mlp", d.activation()
		for range d.from(1, 3) {
			c.Hidden = append(c.Hidden, d.width())
		}
		d.norm(&c)
	default:
		c.Layers = d.layers(axes)
	}
	return c
}

// named makes c a conv4, tcn or gru, or a linear model over plain features.
func (d drawing) named(c *nn.Config, s *nn.Shape, axes int) {
	switch {
	case axes == 0:
		c.Name, c.Skip = "mlp", false
	case axes == 2:
		c.Name, c.Activation, c.Filters = "conv4", d.activation(), d.from(1, 5)
		if d.once(4) {
			c.Pool, s.In[0], s.In[1], c.Filters = "max", 16, 17, 2
		}
		d.norm(c)
	case d.once(2):
		c.Name, c.Units = "gru", d.from(1, 9)
	default:
		c.Name, c.Activation, c.Channels, c.Kernel, c.Levels = "tcn", d.activation(), d.from(1, 9), d.from(1, 3), d.from(1, 3)
		d.norm(c)
	}
}

func (d drawing) norm(c *nn.Config) {
	if c.Norm = d.of("", "none", "batch", "layer"); c.Norm == "batch" {
		c.Statistics, c.PerStep = d.of("batch", "stored"), d.once(2)
	}
}

func (d drawing) activation() string { return d.of("relu", "relu", "tanh", "sigmoid", "gelu") }

// width is a number of channels or units, at times of more than one tile.
func (d drawing) width() int {
	if d.once(8) {
		return d.from(17, 40)
	}
	return d.from(1, 9)
}

// layers is a list for an input of so many axes beside its channels.
func (d drawing) layers(axes int) (list []nn.LayerSpec) {
	if axes > 0 {
		for range d.from(1, 4) {
			list = append(list, d.layer(axes, 0))
		}
		switch end := d.of("flatten", "avgpool", "maxpool", "last"); {
		case end == "last" && axes == 1 || end == "flatten":
			list = append(list, nn.LayerSpec{Kind: end})
		case end == "last":
			list = append(list, nn.LayerSpec{Kind: "flatten"})
		default:
			list = append(list, nn.LayerSpec{Kind: end, Global: true})
		}
	}
	for range d.from(1, 4) - axes {
		list = append(list, d.layer(0, 0))
	}
	return list
}

// layer is one over axes, of which a residual has layers of its own.
func (d drawing) layer(axes, depth int) nn.LayerSpec {
	kinds := []string{"linear", "linear", "activation", "activation", "batchnorm", "layernorm"}
	if axes > 0 {
		kinds = append(kinds, "linear", "maxpool", "avgpool")
	}
	if axes == 1 {
		kinds = append(kinds, "gru")
	}
	if depth < 2 {
		kinds = append(kinds, "residual")
	}
	l := nn.LayerSpec{Kind: d.of(kinds...)}
	switch l.Kind {
	case "linear":
		return d.linear(axes)
	case "activation":
		l.Kind = d.activation()
	case "batchnorm":
		l.Statistics, l.PerStep = d.of("batch", "stored"), d.once(3)
	case "gru":
		l.Units = d.from(1, 6)
	case "maxpool", "avgpool":
		l.Kernel, l.Padding = d.dims(axes, 1, 3), d.dims(axes, 0, 1)
		if d.once(2) {
			l.Stride = d.dims(axes, 1, 2)
		}
	case "residual":
		for range d.from(1, 3) {
			l.Layers = append(l.Layers, d.layer(axes, depth+1))
		}
	}
	return l
}

// linear is a dense layer or a convolution.
func (d drawing) linear(axes int) nn.LayerSpec {
	if axes == 0 {
		l := nn.LayerSpec{Kind: "dense", Units: d.width()}
		if d.once(16) {
			l.Units = 270 // sums of more than one block follow
		}
		return l
	}
	l := nn.LayerSpec{Kind: fmt.Sprintf("conv%dd", axes), Filters: d.width(), Kernel: d.dims(axes, 1, 3), Stride: d.dims(axes, 1, 2), Dilation: d.dims(axes, 1, 2)}
	if l.Causal = axes == 1 && d.once(2); !l.Causal {
		l.Padding = d.dims(axes, 0, 2)
	}
	return l
}

// dims is one number for all axes, or one each.
func (d drawing) dims(axes, lo, hi int) nn.Dims {
	dims := nn.Dims{d.from(lo, hi)}
	if axes == 2 && d.once(2) {
		dims = append(dims, d.from(lo, hi))
	}
	return dims
}

// shake moves parameters off what they start from, zeros above all.
func (d drawing) shake(theta []float32, params []nn.Param) {
	for _, p := range params {
		if p.Track {
			continue // a variance must stay above 0
		}
		part := theta[p.Offset:][:p.Size()]
		for i, x := range draw(d.Rand, len(part)) {
			by := float32(0.1 * x)
			part[i] += by
		}
	}
}

// work draws tasks: most times with supports of one size, as groups need them.
func (d drawing) work(w *randomWork, classes bool) {
	least := 0
	if w.config.Name == "protonet" {
		least = 1
	}
	batch := func(n int) Batch[float32] {
		if classes {
			return uniformClasses(d.Rand, w.model.In(), w.model.Out(), n)
		}
		return uniform(d.Rand, n, w.model.In(), w.model.Out()/max(len(w.config.Quantiles), 1))
	}
	w.alike = !d.once(3)
	shots, query := d.from(least, 7), d.from(1, 4)
	if d.once(25) && w.model.Activations() < 100 {
		shots = 270
	}
	step, most := int64(d.IntN(6)), nn.Lanes
	if w.model.Activations() > 1000 {
		most = 3 // a case takes a few tenths of a second at most
	}
	for range d.from(2, most) {
		if !w.alike {
			shots = d.from(least, 7)
		}
		w.tasks = append(w.tasks, &Task[float32]{batch(shots), batch(query), step})
	}
}
