// Package metatrain is the outer loop of warmstart: RunSpec, the machine that leases work and folds results, the
// reduction tree, optimizers, and the wire form. It is pure: no I/O, no clock, no goroutine, no randomness.
//
// # The caller's duties
//
// A driver that owns a Machine must keep these, or the guarantees of ARCHITECTURE.md do not hold:
//
//  1. Build it with NewMachine from the truth read, linearizably, after winning the leadership that Term names.
//  2. Call Step from one goroutine, with a Clock whose Mono never goes back, and send a Tick at least every 100 ms.
//  3. Carry effects out in the order given. PutObject, Share, LoadCheckpoint and Commit may run side by side, and each ends
//     in exactly one Done with its ID, fed back to the machine that asked.
//  4. Report a PutObject as OK only when the object is durable, as a Conflict where its key holds other bytes; a Commit
//     as OK only when the transaction happened, with the comparison of the leader key's create revision in it (G4).
//  5. When Stopped, or when leadership ends, drop the machine: nothing it says afterwards may have effect. Where its
//     Reload says Resign, end the leadership; else build the next one from the truth with AfterID set to LastID.
//  6. Give Config.AuditSecret bytes of chance that nobody else knows.
//  7. Never write to the Data of an effect. Delete checkpoints by DropCheckpoints.Plan alone, parameters
//     by DropThetas.Plan.
package metatrain
