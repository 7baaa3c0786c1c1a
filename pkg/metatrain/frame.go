package metatrain

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Protocol is the version of the wire form. A peer of another major version is refused by name.
const Protocol = 1

// Limits of the wire form. Larger contents travel in chunks.
const (
	MaxHeader  = 512 << 10 // bytes of a frame's JSON header
	MaxContent = 1 << 30   // bytes of what travels in chunks
	MaxChunk   = 448 << 10 // bytes of payload in one frame, so that a message stays under NATS's 1 MiB
	maxText    = 300       // bytes of a text from outside that is kept
)

// ErrFrame is wrapped by every refusal of a frame.
var ErrFrame = errors.New("frame refused")

// EncodeFrame gives the wire form of a message: a 4-byte little-endian header length, a JSON header, then the
// payload to the end.
func EncodeFrame(header any, payload []byte) []byte {
	head, err := json.Marshal(header)
	if err != nil { // headers are our own plain structs
		panic(fmt.Sprintf("metatrain: marshal %T: %v", header, err))
	}
	out := make([]byte, 4, 4+len(head)+len(payload))
	binary.LittleEndian.PutUint32(out, uint32(len(head)))
	return append(append(out, head...), payload...)
}

// DecodeFrame reads a frame's header into header and returns the payload, which aliases data.
func DecodeFrame(data []byte, header any) ([]byte, error) {
	if len(data) < 4 {
		return nil, fmt.Errorf("%w: %d bytes, expected at least 4", ErrFrame, len(data))
	}
	n := binary.LittleEndian.Uint32(data)
	if n > MaxHeader || int(n) > len(data)-4 {
		return nil, fmt.Errorf("%w: header of %d bytes in a message of %d, expected at most %d", ErrFrame, n, len(data), min(MaxHeader, len(data)-4))
	}
	if head := data[4 : 4+n]; !decodeQuick(head, header) {
		if err := json.Unmarshal(head, header); err != nil {
			return nil, fmt.Errorf("%w: header: %v", ErrFrame, err)
		}
	}
	payload := data[4+n:]
	if len(payload) > MaxChunk {
		return nil, fmt.Errorf("%w: payload of %d bytes, expected at most %d", ErrFrame, len(payload), MaxChunk)
	}
	return payload, nil
}

// Notable says whether the n-th message refused from one source is worth a line in a log: the first, and each tenfold
// number, so that whoever sends nonsense does not fill it.
func Notable(n int) bool {
	for n > 0 && n%10 == 0 {
		n /= 10
	}
	return n == 1
}

// clip bounds a text that is kept, at a rune's border.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "..."
}

// EncodeFloats gives the little-endian bytes of a vector.
func EncodeFloats(v []float32) []byte {
	out := make([]byte, 4*len(v))
	if littleEndian {
		copy(out, memory(v))
		return out
	}
	for i, f := range v {
		binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(f))
	}
	return out
}

// DecodeFloats reads a vector of want values and refuses NaN and infinities, which must never reach a base model (G7).
func DecodeFloats(data []byte, want int) ([]float32, error) { return decodeFloats(data, want, nil) }

// decodeFloats is DecodeFloats into spare, where that is as long.
func decodeFloats(data []byte, want int, spare []float32) ([]float32, error) {
	if len(data)%4 != 0 || len(data)/4 != want {
		return nil, fmt.Errorf("%w: vector of %d bytes, expected %d (%d float32)", ErrFrame, len(data), 4*want, want)
	}
	out := spare
	if len(out) != want {
		out = make([]float32, want)
	}
	if littleEndian {
		copy(memory(out), data)
	} else {
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	}
	if i := infinite(out); i >= 0 {
		return nil, fmt.Errorf("%w: value %d is %v, expected a finite number", ErrFrame, i, out[i])
	}
	return out, nil
}

// littleEndian: vectors lie in memory as they travel, so that a million parameters are copied instead of converted.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// memory is a vector's own bytes.
func memory(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// infinite is the index of the first NaN or infinity, -1 where there is none.
func infinite(v []float32) int {
	if kernel.IsFinite(v) {
		return -1
	}
	return slices.IndexFunc(v, func(f float32) bool { return !kernel.IsFinite([]float32{f}) })
}
