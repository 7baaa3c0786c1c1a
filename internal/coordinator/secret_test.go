package coordinator

import (
	"bytes"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// What is audited can be foretold by nobody: each coordinator draws a key of its own.
func TestAuditSecretsAreOfChance(t *testing.T) {
	secret := func(c Config) []byte { return c.withDefaults().Machine.AuditSecret }
	one, two := secret(Config{}), secret(Config{})
	if len(one) != 32 || bytes.Equal(one, two) || bytes.Count(one, []byte{0}) > 16 {
		t.Errorf("found %x and %x, expected 32 bytes of chance each", one, two)
	}
	given := Config{Machine: metatrain.Config{AuditSecret: []byte("mine")}}
	if found := secret(given); string(found) != "mine" {
		t.Errorf("found %q, expected the one that was given", found)
	}
}
