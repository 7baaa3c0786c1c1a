// Package checkpoint holds what a run leaves behind: checkpoints to resume
// from, published versions of a base model, and the stores that keep them.
//
// Guarantee G3 (whole or not there) rests on three rules, which a caller has
// to keep too:
//
//  1. Objects are immutable. A key names its bytes for ever: a checkpoint by
//     the digest in its key, a version by its number. A late or repeated write
//     can only write what is there already; anything else is ErrExists.
//  2. Put returns after the bytes are durable. Whatever points to an object
//     (the pointer in etcd, a manifest) is written after its Put returned.
//  3. The last object of a group says that the group is whole: manifest.json
//     of a version is put last and names every file with size and digest.
//
// The package reads no clock and no randomness: the same input gives the same
// bytes, so that a retry after an error of unknown outcome is harmless.
package checkpoint
