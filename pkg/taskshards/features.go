package taskshards

// FeatureNames returns the inputs that Config.Features may add to a window, in
// the order in which they stand behind it. Each is a pure number without unit,
// so that it means the same for every job, and is defined for every sampling and
// from the first window on:
//
//	scale       log of s over the window's level, -10 to 10
//	volatility  log of the long-run RMS of differences over s, -4 to 4
//	mean        (long-run mean - last) / s, -8 to 8
//	still       share of the window's differences that are exactly 0
//	season      2 inputs: (change from now to next, one day ago) / s, -4 to 4,
//	            and 1 if that day is known; 0 and 0 otherwise
//	cycle       5 inputs: the slope of five differences around that change, over s,
//	            -4 to 4, and 1 if known; (value one day ago - last) / s, -8 to 8;
//	            the change two days ago as in season, and 1 if known
//	week        2 inputs: as season, one week ago
//
// The slope says how the day goes where single changes drown in noise; changes of
// more than one day tell what returns from what happened once.
//
// The long run is an exponential mean with a memory of four windows, reset at
// each segment. A day counts as known where it holds a whole number of values
// and lies in the same segment.
func FeatureNames() []string {
	return []string{"scale", "volatility", "mean", "still", "season", "cycle", "week"}
}

func featureWidth(name string) int {
	switch name {
	case "season", "week":
		return 2
	case "cycle":
		return 5
	}
	return 1
}
