package metatrain

import "fmt"

// statisticsRate is OptimizerSpec.StatisticsRate where that is 0: the exponential mean of batch norm's stored
// statistics as MAML++ and most libraries have it.
const statisticsRate = 0.1

// Settle moves tracked statistics, which a layer normalises by and no gradient is for: where views are, grad holds the
// stored values less the observed ones, and theta takes a plain step against them at StatisticsRate. There grad becomes
// 0, so that a Step after this leaves them: a zero adds nothing to a norm, to moments that are zero, to theta.
func (s OptimizerSpec) Settle(views []View, theta, grad []float32) {
	rate := float32(s.StatisticsRate)
	if rate == 0 {
		rate = statisticsRate
	}
	for _, v := range views {
		for i := v.Offset; i < v.Offset+v.Len(); i++ {
			theta[i] -= float32(rate * grad[i])
			grad[i] = 0
		}
	}
}

// Tracked are the views of tracked statistics.
func Tracked(views []View) []View {
	var out []View
	for _, v := range views {
		if v.Tracked {
			out = append(out, v)
		}
	}
	return out
}

// statistics are the tracked views of the state's layout, decoded once.
func (s *State) statistics() ([]View, error) {
	if s.Layout == s.decoded {
		return s.tracked, nil
	}
	views, err := DecodeLayout(s.Layout)
	if err != nil {
		return nil, err
	}
	for _, v := range views {
		if v.Offset < 0 || v.Offset > len(s.Theta) || v.Len() > len(s.Theta)-v.Offset {
			return nil, fmt.Errorf("layout: %s of %d parameters at %d, expected within %d", v.Name, v.Len(), v.Offset, len(s.Theta))
		}
	}
	s.tracked, s.decoded = Tracked(views), s.Layout
	return s.tracked, nil
}
