//go:build !linux

package dispatchbench

import (
	"math"
	"syscall"
	"time"
)

func dependent() *syscall.SysProcAttr { return nil }

func resident(int, string) float64 { return math.NaN() } // only Linux tells

func processCPU(int) time.Duration { return 0 }

func ownCPU() time.Duration { return 0 }
