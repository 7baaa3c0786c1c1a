package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// way is how a process is disturbed.
type way string

const (
	kill    way = "kill"    // SIGKILL; started again afterwards
	suspend way = "stop"    // SIGSTOP, then SIGCONT
	wipe    way = "wipe"    // SIGKILL, its data deleted
	cut     way = "cut"     // connections closed and refused
	silence way = "silence" // connections open and nothing delivered, until the end
)

var ways = []way{kill, suspend, wipe, cut, silence}

// fault is one disturbance of the cluster.
type fault struct {
	way     way
	victims []string      // mostly one
	from    []string      // cut and silence: off from these; empty: from everybody
	lasts   time.Duration // then the victims are restored
}

func (f fault) String() string {
	s := fmt.Sprintf("%s %s", f.way, list(f.victims))
	if len(f.from) > 0 {
		s += " off from " + list(f.from)
	}
	return s + fmt.Sprintf(" for %.1f s", f.lasts.Seconds())
}

func list(names []string) string {
	s := names[0]
	for _, n := range names[1:] {
		s += "," + n
	}
	return s
}

// kind is a row of the table of faults: one of the victims, or all at once, is disturbed in that way.
type kind struct {
	weight      int
	way         way
	victims     []string
	all         bool
	from        []string
	least, most time.Duration
}

var (
	theNATS         = []string{"nats-1", "nats-2", "nats-3"}
	theEtcd         = []string{"etcd-1", "etcd-2", "etcd-3"}
	theS3           = []string{"s3"}
	theCoordinators = []string{"coordinator-1", "coordinator-2"}
	theWorkers      = []string{"worker-1", "worker-2", "worker-3", "worker-4"}
)

// kinds is what happens, and how often. A coordinator is suspended for long enough to lose its lease of 4 s and wake up
// deposed, more often than not.
var kinds = []kind{
	{18, kill, theWorkers, false, nil, 300 * time.Millisecond, 4 * time.Second},
	{8, suspend, theWorkers, false, nil, 500 * time.Millisecond, 5 * time.Second},
	{4, cut, theWorkers, false, nil, 500 * time.Millisecond, 5 * time.Second},
	{4, silence, theWorkers, false, nil, 500 * time.Millisecond, 8 * time.Second},
	{12, kill, theCoordinators, false, nil, 300 * time.Millisecond, 5 * time.Second},
	{6, suspend, theCoordinators, false, nil, 2 * time.Second, 8 * time.Second},
	{3, cut, theCoordinators, false, theNATS, 500 * time.Millisecond, 5 * time.Second},
	{3, silence, theCoordinators, false, theNATS, 500 * time.Millisecond, 6 * time.Second},
	{3, cut, theCoordinators, false, theEtcd, 500 * time.Millisecond, 5 * time.Second},
	{3, silence, theCoordinators, false, theEtcd, 500 * time.Millisecond, 6 * time.Second},
	{2, cut, theCoordinators, false, theS3, 500 * time.Millisecond, 5 * time.Second},
	{2, silence, theCoordinators, false, nil, 500 * time.Millisecond, 6 * time.Second},
	{8, kill, theNATS, false, nil, 300 * time.Millisecond, 4 * time.Second},
	{4, suspend, theNATS, false, nil, 500 * time.Millisecond, 4 * time.Second},
	{4, wipe, theNATS, false, nil, 300 * time.Millisecond, 4 * time.Second},
	{3, cut, theNATS, false, nil, 500 * time.Millisecond, 4 * time.Second},
	{2, silence, theNATS, false, nil, 500 * time.Millisecond, 4 * time.Second},
	{8, kill, theEtcd, false, nil, 300 * time.Millisecond, 4 * time.Second},
	{4, suspend, theEtcd, false, nil, 500 * time.Millisecond, 4 * time.Second},
	{3, wipe, theEtcd, false, nil, 300 * time.Millisecond, 4 * time.Second},
	{3, cut, theEtcd, false, nil, 500 * time.Millisecond, 4 * time.Second},
	{2, silence, theEtcd, false, nil, 500 * time.Millisecond, 4 * time.Second},
	{6, kill, theS3, false, nil, 300 * time.Millisecond, 5 * time.Second},
	{3, suspend, theS3, false, nil, 500 * time.Millisecond, 5 * time.Second},
	{2, silence, theS3, false, nil, 500 * time.Millisecond, 5 * time.Second},
	// Longer than it takes to notice that a server is silent (NATS clients: 9 s; a try at S3: 10 s), and than a lease.
	{1, suspend, theNATS, false, nil, 10 * time.Second, 14 * time.Second},
	{1, silence, theCoordinators, false, theNATS, 10 * time.Second, 14 * time.Second},
	{1, silence, theS3, false, nil, 10 * time.Second, 16 * time.Second},
	{1, suspend, theEtcd, true, nil, 5 * time.Second, 9 * time.Second},
	{2, kill, theWorkers, true, nil, 300 * time.Millisecond, 2 * time.Second},
	{1, kill, theCoordinators, true, nil, 300 * time.Millisecond, 2 * time.Second},
	{1, kill, theNATS, true, nil, 300 * time.Millisecond, 2 * time.Second},
	{1, kill, theEtcd, true, nil, 300 * time.Millisecond, 2 * time.Second},
}

// plan draws n faults, all of one way where only is not "": always the same from one seed.
func plan(seed uint64, n int, only way) []fault {
	chance := rand.New(rand.NewPCG(seed, 0))
	table := slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return only != "" && k.way != only })
	sum := 0
	for _, k := range table {
		sum += k.weight
	}
	faults := make([]fault, 0, n)
	for range n {
		faults = append(faults, draw(chance, table, chance.IntN(sum)))
	}
	return faults
}

// draw makes a fault of the kind that a number below the sum of the table's weights falls to.
func draw(chance *rand.Rand, table []kind, at int) fault {
	for _, k := range table {
		if at -= k.weight; at >= 0 {
			continue
		}
		f := fault{way: k.way, victims: k.victims, from: k.from}
		if !k.all {
			i := chance.IntN(len(k.victims))
			f.victims = k.victims[i : i+1]
		}
		f.lasts = k.least + time.Duration(chance.Int64N(int64(k.most-k.least))).Truncate(100*time.Millisecond)
		return f
	}
	panic("a number beyond the weights")
}
