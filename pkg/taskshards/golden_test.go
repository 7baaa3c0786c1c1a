package taskshards

import "testing"

// Pinned bits: the same on every processor and with every compiler setting (run
// it with GOAMD64=v3 and on arm64, where Go fuses what is not rounded in
// between). A change here changes every base model.
func TestG1_TaskBitsArePinned(t *testing.T) {
	wave, err := NewSinusoid(Config{Name: "sinusoid", Shots: []int{5, 10}, Query: 10})
	if err != nil {
		t.Fatal(err)
	}
	generated, err := NewLoad(Config{
		Name: "load", Lags: 12, Features: FeatureNames(), Shots: []int{0, 5, 20}, Query: 20,
		Generator: GeneratorConfig{Share: 0.5, Series: 64, Seed: 1}, Mixture: MixtureConfig{Share: 0.5, Series: 64},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		family     Family
	}{
		{"sinusoid", "c64c1db330cacfbdcd780d2881adc59574e3010ca5df12d2c1f5c3fd699c8647", wave},
		{"load", "e2fbf395a8b6574ccd4b4f393c1d580d9d25e74dc0afe6805f12ac5d1a4096c6", generated},
	} {
		if got := familyDigest(t, c.family); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
