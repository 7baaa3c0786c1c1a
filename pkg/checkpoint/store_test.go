package checkpoint

import (
	"strings"
	"testing"
)

func TestG7_CheckKey(t *testing.T) {
	for _, key := range []string{"a", "runs/r-1/ckpt/000000000010-ab.safetensors", "models/load/1/MLmodel", "a..b/c_d", strings.Repeat("a", 512)} {
		if err := CheckKey(key); err != nil {
			t.Errorf("key %q is refused: %v", key, err)
		}
	}
	for _, key := range []string{
		"", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".tmp/a", "a/.b",
		`a\b`, "a b", "a\x00", "a\n", "ä", "a:b", "a%2fb", "a*", "~", strings.Repeat("a", 513),
	} {
		if err := CheckKey(key); err == nil {
			t.Errorf("key %q is taken", key)
		}
	}
}

func TestG7_CheckPrefix(t *testing.T) {
	for _, prefix := range []string{"", "a", "a/", "a/b", "models/lo"} {
		if err := CheckPrefix(prefix); err != nil {
			t.Errorf("prefix %q is refused: %v", prefix, err)
		}
	}
	for _, prefix := range []string{"/", "a//", "../", "..", "a/../", `a\`} {
		if err := CheckPrefix(prefix); err == nil {
			t.Errorf("prefix %q is taken", prefix)
		}
	}
}

func TestG7_CheckPut(t *testing.T) {
	if err := CheckPut("a", []byte{1}); err != nil {
		t.Error(err)
	}
	if err := CheckPut("a", nil); err == nil {
		t.Error("an empty object is taken")
	}
}

func FuzzCheckKey(f *testing.F) {
	f.Add("models/load/1/manifest.json")
	f.Add("a/../b")
	f.Fuzz(func(t *testing.T, key string) {
		if CheckKey(key) != nil {
			return
		}
		for segment := range strings.SplitSeq(key, "/") {
			if segment == "" || strings.HasPrefix(segment, ".") || strings.ContainsAny(segment, "\\\x00: ") {
				t.Errorf("key %q holds segment %q", key, segment)
			}
		}
	})
}
