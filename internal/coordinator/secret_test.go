package coordinator

import (
	"bytes"
	"testing"
)

// What is audited can be foretold by nobody: each coordinator draws a key of its own.
func TestAuditSecretsAreOfChance(t *testing.T) {
	one, two := newSecret(), newSecret()
	if len(one) != 32 || bytes.Equal(one, two) || bytes.Count(one, []byte{0}) > 16 {
		t.Errorf("found %x and %x, expected 32 bytes of chance each", one, two)
	}
}
