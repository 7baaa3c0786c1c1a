package localstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// InUseError says that another process uses the data dir, and who it is.
type InUseError struct {
	Dir    string
	Holder Holder // empty where the holder had not yet written itself down
}

// Holder is a process that uses a data dir.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Started time.Time `json:"started"`
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.Holder.PID != 0 {
		who = fmt.Sprintf("process %d (%s), started %s", e.Holder.PID, e.Holder.Command, e.Holder.Started.Local().Format(time.DateTime))
	}
	return fmt.Sprintf("data dir %s is in use by %s; use another --data-dir, or wait until it has ended", e.Dir, who)
}

// lockDir takes the data dir for this process, or returns an *InUseError. The kernel
// lets go of the lock when the process dies, however it dies.
func lockDir(dir string) (*fileLock, error) {
	path := filepath.Join(dir, "lock")
	lock, err := tryLock(path)
	if err != nil {
		return nil, fmt.Errorf("lock data dir: %w", err)
	}
	if lock == nil {
		return nil, &InUseError{Dir: dir, Holder: readHolder(path)}
	}
	if err := writeHolder(path); err != nil {
		return nil, errors.Join(fmt.Errorf("lock data dir: %w", err), lock.release())
	}
	return lock, nil
}

func writeHolder(path string) error {
	data, err := json.Marshal(Holder{PID: os.Getpid(), Command: strings.Join(os.Args, " "), Started: time.Now()})
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// readHolder returns what can be read: it serves an error message alone.
func readHolder(path string) Holder {
	var h Holder
	if data, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(data, &h)
	}
	return h
}
