package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warmstart-ml/warmstart/internal/s3store"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

const (
	// racers and raceRounds are enough to show each race that servers were found to have.
	racers, raceRounds = 16, 8
	// largeObject is beyond where S3 clients split uploads.
	largeObject = 24 << 20
)

// store looks at the object store and returns the runs that it holds specs of; nil where it could not be asked.
func (e *examiner) store(ctx context.Context) (runs []string) {
	if e.Store.Dir != "" && e.Store.S3 == "" {
		return e.folder(ctx)
	}
	s, err := e.look()
	if err != nil {
		e.refuse("s3 address", err, "give --s3 http(s)://host:port/bucket and both keys")
		return nil
	}
	e.storeClock(ctx, s)
	if !e.bucket(ctx, s) {
		return nil
	}
	e.writes(ctx, s)
	return e.listed(ctx, "s3 objects", s)
}

// look gives the S3 store to be looked at.
func (e *examiner) look() (*s3store.Store, error) {
	config, err := e.Store.Config(e.Log)
	if err != nil {
		return nil, err
	}
	config.Timeout = max(e.Common.Wait, time.Second)
	return s3store.Look(config)
}

// bucket tells what keeps the bucket from being used.
func (e *examiner) bucket(ctx context.Context, s *s3store.Store) bool {
	err := s.CheckBucket(ctx)
	if err == nil || errors.Is(err, s3store.ErrNoBucket) || errors.Is(err, s3store.ErrCredentials) || errors.Is(err, s3store.ErrClock) {
		e.ok("s3 reach", "a server answers at %s", s.Where())
	}
	switch {
	case err == nil:
		e.ok("s3 login", "keys accepted")
		return true
	case errors.Is(err, s3store.ErrNoBucket):
		e.warn("s3 bucket", "nothing to do: a coordinator makes it when it starts, where its keys may", "%s is not there", s.Where())
	case errors.Is(err, s3store.ErrCredentials), errors.Is(err, s3store.ErrClock):
		e.refuse("s3 login", err, "check the keys")
	default:
		e.refuse("s3 reach", err, "check --s3, and the log of the S3 server")
	}
	return false
}

// writes tries what the store rests on.
func (e *examiner) writes(ctx context.Context, s *s3store.Store) {
	if err := s.CheckReadAfterWrite(ctx); err != nil {
		e.refuse("s3 read after write", err, "use a server that shows at once what was written: state is read back at every start")
		return
	}
	e.ok("s3 read after write", "an object shows at once, in listings too, and goes at once")
	if err := s.CheckConditional(ctx); err != nil {
		e.refuse("s3 conditional put", err, "use an S3 server or release with conditional puts (If-None-Match)")
	} else {
		e.ok("s3 conditional put", "honoured")
	}
	e.race(ctx, s)
	put, get, err := s.CheckLarge(ctx, largeObject)
	if err != nil {
		e.refuse("s3 large object", err, "raise the limits of the S3 server and of proxies before it")
		return
	}
	e.ok("s3 large object", "%d MiB put in %v, read in %v", largeObject>>20, put.Round(time.Millisecond), get.Round(time.Millisecond))
}

func (e *examiner) race(ctx context.Context, s *s3store.Store) {
	switch err := s.Race(ctx, racers, raceRounds); {
	case errors.Is(err, s3store.ErrRaces):
		e.warn("s3 race", "use a server or release without it; nothing rests on this: keys name their bytes, and etcd decides", "%v", err)
	case err != nil:
		e.refuse("s3 race", err, "see the log of the S3 server")
	default:
		e.ok("s3 race", "one of %d writers wins a key, %d times of %d", racers, raceRounds, raceRounds)
	}
}

// folder looks at a directory store.
func (e *examiner) folder(ctx context.Context) []string {
	dir, err := checkpoint.OpenDir(e.Store.Dir)
	if err != nil {
		e.refuse("store folder", err, "name a folder that can be written by --store-dir")
		return nil
	}
	key, data := fmt.Sprintf("doctor/%d", time.Now().UnixNano()), []byte("probe")
	err = dir.Put(ctx, key, data)
	if err == nil {
		_, err = dir.Get(ctx, key)
	}
	if err == nil {
		err = dir.Delete(ctx, key)
	}
	if err != nil {
		e.refuse("store folder", err, "name a folder that can be written by --store-dir")
		return nil
	}
	e.ok("store folder", "%s can be written and read", e.Store.Dir)
	return e.listed(ctx, "store objects", dir)
}

// listed counts what is there.
func (e *examiner) listed(ctx context.Context, name string, s checkpoint.Store) []string {
	objects, err := s.List(ctx, "")
	if err != nil {
		e.refuse(name, err, "see the log of the store")
		return nil
	}
	runs, size, models := []string{}, int64(0), 0
	for _, o := range objects {
		size += o.Size
		part := strings.Split(o.Key, "/")
		switch {
		case len(part) == 3 && part[0] == "runs" && part[2] == "spec.yaml":
			runs = append(runs, part[1])
		case len(part) == 4 && part[0] == "models" && part[3] == checkpoint.ManifestFile:
			models++
		}
	}
	if id, err := s.Get(ctx, metatrain.ClusterObject); err == nil {
		e.bound = id
	}
	e.ok(name, "%d of %d MiB: %d runs, %d versions of models", len(objects), size>>20, len(runs), models)
	return runs
}

// agree compares the runs that etcd knows with those that the store holds. nil: not asked.
func (e *examiner) agree(known, stored []string) {
	if known == nil || stored == nil {
		return
	}
	e.oneCluster()
	missing := 0
	for _, run := range stored {
		if !slices.Contains(known, run) {
			missing++
		}
	}
	switch {
	case missing > 0 && len(known) == 0:
		e.warn("state", "if etcd was lost, stop all coordinators and run `warmstart doctor rebuild` with the same flags", "etcd knows none of the %d runs in the store", len(stored))
	case missing > 0:
		e.warn("state", "nothing to do where their creation came to nothing; etcd restored from an old copy is the other cause", "etcd knows %d runs and not %d of those in the store", len(known), missing)
	default:
		e.ok("state", "etcd knows every run in the store, %d of them", len(known))
	}
}

// oneCluster holds etcd and the store to belong together, as a coordinator does before it leads.
func (e *examiner) oneCluster() {
	switch b, err := metatrain.BindCluster(e.truth, e.bound, metatrain.ClusterRecord{}); {
	case err != nil:
		e.refuse("cluster", err, "see docs/operations.md")
	case b.ID == "":
		e.ok("cluster", "no coordinator of this release has led yet")
	default:
		e.ok("cluster", "etcd and the store are cluster %s's", b.ID)
	}
}
