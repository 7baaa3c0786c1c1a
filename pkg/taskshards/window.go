package taskshards

import (
	"fmt"
	"math"
	"slices"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Numbers of the window-scaled residual.
const (
	// Clip bounds targets and forecasts, in units of s.
	Clip = 4

	// levelFloor is the least s in units of the window's level.
	levelFloor = 1e-4

	// memory of the long-run means, in windows
	memory = 4
)

// Windower turns a series into windows: one step ahead, scaled by the window
// itself, so that a model sees no unit and no level.
//
// For a window v[0..L-1] and the value after it, `next`:
//
//	last = v[L-1]
//	s    = max(RMS of v[j]-v[j-1], 1e-4 * mean |v[j]|), and 0 if all v are equal
//	x    = (v[j] - last) / s, j = 0..L-2, then the features
//	y    = clip((next - last) / s, +-Clip)
//	forecast = last + s * clip(f, +-Clip)
//
// A constant window has x = 0 and y = 0, weighs nothing, and forecasts last
// exactly. Clipping y changes no gradient of an absolute loss for f within the
// clip, and keeps one burst from ruling a support set.
type Windower struct {
	lags     int
	features []string
	in       int
}

// NewWindower reads Lags and Features.
func NewWindower(c Config) (*Windower, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Name != "load" {
		return nil, fmt.Errorf("build windows: found family %q, expected load", c.Name)
	}
	w := &Windower{lags: c.Lags, in: c.Lags - 1}
	for _, name := range FeatureNames() { // in this order, whatever the user's
		if slices.Contains(c.Features, name) {
			w.features = append(w.features, name)
			w.in += featureWidth(name)
		}
	}
	return w, nil
}

// In returns the number of inputs: Lags - 1 differences to the last value (its
// own would always be 0), then the features.
func (w *Windower) In() int { return w.in }

// Lags returns the number of values in a window.
func (w *Windower) Lags() int { return w.lags }

// framed is a series ready to be cut: its segments end to end, and where windows
// may be taken.
type framed struct {
	values  []float64
	targets []int32   // positions of values that windows may have as target
	begins  []int32   // for each target, the first position of its segment
	square  []float64 // exponential mean of squared differences up to here
	mean    []float64 // exponential mean of values up to here
	day     int       // values in a day; 0 where that is no whole number of 2 or more
}

// frame lays a series out. The long-run means are computed only where a feature
// asks for them.
func (w *Windower) frame(s *Series) *framed {
	f := &framed{values: make([]float64, 0, s.Len())}
	if day := 86400 / s.Interval; day >= 2 && day == math.Trunc(day) && day <= math.MaxInt32 {
		f.day = int(day)
	}
	for _, g := range s.Segments {
		begin, held := len(f.values), g.Held
		f.values = append(f.values, g.Values...)
		for i := range g.Values {
			if len(held) > 0 && held[0] == i {
				held = held[1:]
				continue
			}
			if i >= w.lags {
				f.targets = append(f.targets, int32(begin+i))
				f.begins = append(f.begins, int32(begin))
			}
		}
		if slices.Contains(w.features, "volatility") || slices.Contains(w.features, "mean") {
			f.addMeans(begin, w.lags*memory)
		}
	}
	return f
}

// addMeans extends the exponential means over the segment that starts at begin.
func (f *framed) addMeans(begin, window int) {
	rate := 1 / float64(window)
	var square, mean float64
	for i := begin; i < len(f.values); i++ {
		v, d := f.values[i], 0.0
		if i == begin {
			mean = v
		} else {
			d = v - f.values[i-1]
		}
		// A plain mean at first, until as many values have passed as it remembers.
		r := max(rate, 1/float64(i-begin+1))
		mean += float64(r * (v - mean))
		square += float64(max(rate, 1/float64(max(i-begin, 1))) * (float64(d*d) - square))
		f.square, f.mean = append(f.square, square), append(f.mean, mean)
	}
}

// residual is one window's scaling and raw target.
type residual struct {
	scale, last, next float64
}

// target returns the clipped y.
func (r residual) target() float64 {
	if r.scale == 0 {
		return 0
	}
	return clip((r.next-r.last)/r.scale, Clip)
}

// forecast returns the value that an output f stands for.
func (r residual) forecast(f float64) float64 {
	if r.scale == 0 {
		return r.last
	}
	return r.last + float64(r.scale*clip(f, Clip))
}

func clip(v, bound float64) float64 { return max(-bound, min(bound, v)) }

// cut fills x with the window that ends before position end, in a segment that
// starts at begin; next is left 0.
func (w *Windower) cut(f *framed, begin, end int, x []float32) residual {
	v := f.values[end-w.lags : end]
	last := v[len(v)-1]
	var largest, level float64
	still := 0
	for j, a := range v {
		level += math.Abs(a)
		if j == 0 {
			continue
		}
		d := a - v[j-1]
		largest = max(largest, math.Abs(d))
		if d == 0 {
			still++
		}
	}
	r := residual{last: last}
	level /= float64(len(v))
	if still == len(v)-1 {
		clear(x)
		return r
	}
	var square float64 // of the differences over the largest, so that no square vanishes or overflows
	for j, a := range v[1:] {
		d := (a - v[j]) / largest
		square += float64(d * d)
	}
	r.scale = max(float64(largest*math.Sqrt(square/float64(len(v)-1))), levelFloor*level)
	for j, a := range v[:len(v)-1] {
		x[j] = float32((a - last) / r.scale)
	}
	if len(w.features) > 0 {
		w.addFeatures(f, begin, end, r.scale, level, float64(still)/float64(len(v)-1), x[w.lags-1:])
	}
	return r
}

// addFeatures fills x with the features in the order of FeatureNames.
func (w *Windower) addFeatures(f *framed, begin, end int, scale, level, still float64, x []float32) {
	now := end - 1
	for _, name := range w.features {
		switch name {
		case "scale":
			x[0] = float32(clip(kernel.Log(scale/max(level, scale*1e-9)), 10))
		case "volatility":
			x[0] = float32(clip(kernel.Log(max(math.Sqrt(f.square[now])/scale, 1e-3)), 4))
		case "mean":
			x[0] = float32(clip((f.mean[now]-f.values[now])/scale, 8))
		case "still":
			x[0] = float32(still)
		case "season":
			f.change(begin, end, f.day, scale, x)
		case "cycle":
			f.cycle(begin, end, scale, x)
		case "week":
			f.change(begin, end, 7*f.day, scale, x)
		}
		x = x[featureWidth(name):]
	}
}

// change sets x to the change from now to next so many values ago, and to 1 where
// that is known; else to 0 and 0.
func (f *framed) change(begin, end, ago int, scale float64, x []float32) {
	x[0], x[1] = 0, 0
	if now := end - 1; ago > 0 && now-ago >= begin {
		x[0], x[1] = float32(clip((f.values[end-ago]-f.values[now-ago])/scale, Clip)), 1
	}
}

// cycleReach is how far the slope of the day before reaches on either side of the
// change it stands for, and shortestCycle the least number of values in a day for
// which that is a small part of it.
const (
	cycleReach    = 2
	shortestCycle = 8
)

// cycle sets x as FeatureNames says.
func (f *framed) cycle(begin, end int, scale float64, x []float32) {
	clear(x[:3])
	now, day := end-1, f.day
	if day >= shortestCycle && now-day-cycleReach >= begin {
		slope := (f.values[end-day+cycleReach] - f.values[now-day-cycleReach]) / (2*cycleReach + 1)
		x[0], x[1] = float32(clip(slope/scale, Clip)), 1
	}
	if day > 0 && now-day >= begin {
		x[2] = float32(clip((f.values[now-day]-f.values[now])/scale, 2*Clip))
	}
	f.change(begin, end, 2*day, scale, x[3:])
}

// Windows are all windows of a series in order of time.
type Windows struct {
	N, In   int
	X       []float32 // [N][In]
	Y       []float32 // [N] clipped residuals
	Scale   []float64 // [N] s; 0 for a constant window
	Last    []float64 // [N] last value of the window
	Target  []float64 // [N] the value after it
	Index   []int     // [N] position of the target in the series, segments end to end
	Segment []int     // [N] its segment
	Time    []int64   // [N] its time, Unix milliseconds
}

// Windows returns every window of the series, none of which crosses a segment or
// has a held value as target. A series shorter than a window and a target has
// none.
func (w *Windower) Windows(s *Series) *Windows {
	f := w.frame(s)
	n := len(f.targets)
	out := &Windows{
		N: n, In: w.in,
		X: make([]float32, n*w.in), Y: make([]float32, n),
		Scale: make([]float64, n), Last: make([]float64, n), Target: make([]float64, n),
		Index: make([]int, n), Segment: make([]int, n), Time: make([]int64, n),
	}
	segment, begin := 0, 0
	for i, t := range f.targets {
		for int(f.begins[i]) != begin {
			begin += len(s.Segments[segment].Values)
			segment++
		}
		r := w.window(f, 0, i, out.X[i*w.in:(i+1)*w.in])
		out.Y[i], out.Scale[i], out.Last[i], out.Target[i] = float32(r.target()), r.scale, r.last, r.next
		out.Index[i], out.Segment[i] = int(t), segment
		out.Time[i] = s.Segments[segment].Start + int64(math.Round(float64(int(t)-begin)*s.Interval*1000))
	}
	return out
}

// window cuts window i and reads its target. Its view of earlier days ends at
// birth, a position.
func (w *Windower) window(f *framed, birth, i int, x []float32) residual {
	t := int(f.targets[i])
	r := w.cut(f, max(int(f.begins[i]), birth), t, x)
	r.next = f.values[t]
	return r
}

// Forecast returns the value that output f of window i stands for.
func (ws *Windows) Forecast(i int, f float32) float64 {
	return residual{scale: ws.Scale[i], last: ws.Last[i]}.forecast(float64(f))
}

// Batch fills b with windows lo to hi-1, weighted as a support set is.
func (ws *Windows) Batch(lo, hi int, b *Batch) {
	b.Resize(hi-lo, ws.In, 1)
	copy(b.X, ws.X[lo*ws.In:hi*ws.In])
	copy(b.Y, ws.Y[lo:hi])
	for i := range b.W {
		b.W[i] = supportWeight(ws.Scale[lo+i], hi-lo)
	}
}

// supportWeight is 1/n for a window that can be learned from.
func supportWeight(scale float64, n int) float32 {
	if scale == 0 {
		return 0
	}
	return 1 / float32(n)
}

// Next is the window at the end of a series, whose next value is not known yet.
type Next struct {
	X           []float32 // [In]
	Scale, Last float64
}

// Next returns the window at the end of the last segment; false where that is
// shorter than a window.
func (w *Windower) Next(s *Series) (Next, bool) {
	f := w.frame(s)
	if len(s.Segments) == 0 || len(s.Segments[len(s.Segments)-1].Values) < w.lags {
		return Next{}, false
	}
	begin := len(f.values) - len(s.Segments[len(s.Segments)-1].Values)
	n := Next{X: make([]float32, w.in)}
	r := w.cut(f, begin, len(f.values), n.X)
	n.Scale, n.Last = r.scale, r.last
	return n, true
}

// Forecast returns the value that output f stands for.
func (n Next) Forecast(f float32) float64 {
	return residual{scale: n.Scale, last: n.Last}.forecast(float64(f))
}
