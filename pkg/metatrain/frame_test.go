package metatrain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFrame_RoundTrip(t *testing.T) {
	work := Work{Run: "r", Spec: "s", Kind: Train, Track: 1, Step: 9, Theta: "t", Decisions: "d", Node: Node{2, 3}}
	in := Result{Worker: "w", Lease: 1 << 60, Work: work, Metrics: []float64{0.1, 5e-324, 1e308}, Tasks: 4, Total: 3, SHA256: "x"}
	var out Result
	payload, err := DecodeFrame(EncodeFrame(in, []byte{1, 2, 3}), &out)
	if err != nil || !bytes.Equal(payload, []byte{1, 2, 3}) || out.Work != work || out.Lease != in.Lease {
		t.Fatalf("%+v, %v, %v", out, payload, err)
	}
	for i, v := range in.Metrics { // text carries every bit of a number
		if math.Float64bits(v) != math.Float64bits(out.Metrics[i]) {
			t.Errorf("metric %v came as %v", v, out.Metrics[i])
		}
	}
}

func TestG7_FrameIsRefused(t *testing.T) {
	good := EncodeFrame(Beat{Worker: "w"}, nil)
	for name, data := range map[string][]byte{
		"empty": nil, "short": good[:3], "torn": good[:len(good)-1],
		"header too long": binary.LittleEndian.AppendUint32(nil, math.MaxUint32),
		"not JSON":        append(binary.LittleEndian.AppendUint32(nil, 1), 'x'),
		"wrong type":      EncodeFrame(map[string]int{"worker": 1}, nil),
		"payload":         EncodeFrame(Beat{}, make([]byte, MaxChunk+1)),
	} {
		if _, err := DecodeFrame(data, &Beat{}); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClip(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("é", 400), strings.Repeat("x", 301)} {
		if got := clip(text); len(got) > maxText+3 || !utf8.ValidString(got) || len(text) <= maxText && got != text {
			t.Errorf("%d bytes become %q", len(text), got)
		}
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add(EncodeFrame(Hello{Worker: "w", Holding: []uint64{1}}, nil))
	f.Add(EncodeFrame(Result{Worker: "w", Metrics: []float64{1}}, []byte{1}))
	f.Add([]byte{4, 0, 0, 0, 'n', 'u', 'l', 'l'})
	f.Fuzz(func(t *testing.T, data []byte) {
		var res Result
		payload, err := DecodeFrame(data, &res)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Errorf("unnamed refusal: %v", err)
			}
			return
		}
		if !bytes.HasSuffix(data, payload) {
			t.Error("the payload is not the end of the frame")
		}
		var again Result
		if _, err := DecodeFrame(EncodeFrame(res, payload), &again); err != nil || again.Work != res.Work {
			t.Errorf("what was read does not come back: %v", err)
		}
	})
}

func FuzzDecodeFloats(f *testing.F) {
	f.Add(EncodeFloats([]float32{1, -2, 0}), 3)
	f.Add(EncodeFloats([]float32{float32(math.NaN())}), 1)
	f.Add([]byte{}, 1<<62)
	f.Fuzz(func(t *testing.T, data []byte, want int) {
		v, err := DecodeFloats(data, want)
		if err != nil {
			return
		}
		if len(v) != want || !bytes.Equal(EncodeFloats(v), data) {
			t.Errorf("%d bytes read as %v", len(data), v)
		}
		for _, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				t.Errorf("%v taken in", x)
			}
		}
	})
}
