// Package builtin holds the base models that come with the binary. builtin/README.md says how each is trained again to
// its very bits.
package builtin

import "embed"

// Models holds one folder a model, with the files of a published version.
//
//go:embed load
var Models embed.FS
