package s3artifacts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/genaistore/genaistore/artifacts"
)

// hotMark begins the keys of a hot tier, bucket/key, where those of the home bucket
// are keys below a name.
const hotMark = "//"

// landing is the bucket in which files land.
func (s *Store) landing() string {
	if s.opts.Hot != "" {
		return s.opts.Hot
	}
	return s.bucket
}

// landed returns a blob with a key in the bucket in which files land.
func (s *Store) landed(key string) *blob {
	if s.opts.Hot != "" {
		return &blob{Hot: s.opts.Hot + "/" + key}
	}
	return &blob{Key: key}
}

// land has an object be written where files land. A directory bucket has one class,
// and the key of its own configuration.
func (s *Store) land(in *s3.PutObjectInput) {
	if s.opts.Hot == "" {
		in.StorageClass = types.StorageClass(s.opts.Class)
		return
	}
	in.Bucket = &s.opts.Hot
	in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = "", nil, nil
}

// hotPlace is where a blob is in the hot tier.
func (b *blob) hotPlace(l *ledger) place {
	bucket, key, _ := strings.Cut(b.Hot, "/")
	return place{bucket, l.base + key}
}

// unsettled says whether some of the files are in a hot tier alone.
func unsettled(files []file) bool {
	for _, f := range files {
		if f.Hot != "" && f.Key == "" {
			return true
		}
	}
	return false
}

// whole is where an object is that a collector names.
func (c *collector) whole(key string) place {
	if rest, is := strings.CutPrefix(key, hotMark); is {
		bucket, key, _ := strings.Cut(rest, "/")
		return place{bucket, c.ledger.base + key}
	}
	return place{c.bucket, c.ledger.base + key}
}

// lookHot lists what there is in the hot tier.
func (c *collector) lookHot(ctx context.Context) error {
	if c.Store.opts.Hot == "" {
		return nil
	}
	for o, err := range c.listAt(ctx, place{c.Store.opts.Hot, c.ledger.base}) {
		if err != nil {
			return err
		}
		c.add(hotMark+c.Store.opts.Hot+"/"+strings.TrimPrefix(value(o.Key), c.ledger.base), "", o.Size, o.LastModified)
	}
	return nil
}

// fetch reads a file from the hot tier if it is there, and else from home, to which
// it also turns where the hot tier fails.
func (c *content) fetch(ctx context.Context, from span) (object, error) {
	b := c.blob()
	if b.Hot == "" {
		return c.getAt(ctx, c.place(c.ledger, b), b.Version, from, unchecked)
	}
	got, err := c.getAt(ctx, b.hotPlace(c.ledger), "", from, unchecked)
	if err == nil || b.Key == "" || ctx.Err() != nil {
		return got, err
	}
	return c.getAt(ctx, place{c.bucket, c.ledger.base + b.Key}, b.Version, from, unchecked)
}

// SettleOptions adjusts a Settle. A nil *SettleOptions means the zero value.
type SettleOptions struct {
	// Last is how many of the newest versions stay in the hot tier beside home: 2 if
	// zero. What an alias points at and what is pinned stays too.
	Last int
}

// Validate reports an error that matches [artifacts.ErrInvalid] unless a Settle can
// act on o. It accepts a nil receiver.
func (o *SettleOptions) Validate() error {
	if o != nil && o.Last < 0 {
		return fmt.Errorf("%w: settle and keep the last %d: 0 or more", artifacts.ErrInvalid, o.Last)
	}
	return nil
}

// Settled is what a Settle did.
type Settled struct {
	Versions int // that are Durable now and were not
	Objects  int // copied
	Released int // versions that the hot tier keeps no more
}

// Settle copies the files of a name that are in the hot tier alone to the bucket of
// the store, by requests that S3 carries out by itself, compares their checksums, and
// says in the log that the versions are Durable. Versions that are older than the
// last few it releases from the hot tier: [Store.Collect] of a store with the same
// Options.Hot deletes them there. Run it after each Publish, or from time to time,
// beside writers; what one does not finish the next one does.
//
// It costs what Resolve costs, a copy for each object, and 2 PUT and what Apply costs
// for each version. Without a hot tier there is nothing to do.
func (s *Store) Settle(ctx context.Context, name artifacts.Name, options *SettleOptions) (Settled, error) {
	if err := firstError(ctx.Err(), name.Validate(), options.Validate()); err != nil {
		return Settled{}, wrap("settle", name, err)
	}
	last := 2
	if options != nil && options.Last > 0 {
		last = options.Last
	}
	done, err := s.settle(ctx, name, last)
	return done, wrap("settle", name, err)
}

// A settling is one Settle.
type settling struct {
	*moving
	stays map[int64]bool // in the hot tier
	done  Settled
}

func (s *Store) settle(ctx context.Context, name artifacts.Name, last int) (Settled, error) {
	l, err := s.current(ctx, name)
	if err != nil {
		return Settled{}, err
	}
	var live []int64
	t := &settling{moving: s.moving(l, func(f file) bool { return f.Hot != "" && f.Key == "" }), stays: map[int64]bool{}}
	_ = l.look(func(f *fold) error {
		for v := range f.log.Versions() {
			live = append(live, v.ID.Number)
			t.stays[v.ID.Number] = len(live) <= last || len(v.Aliases)+len(v.Pins) > 0
		}
		return nil
	})
	for _, n := range live {
		err := t.one(ctx, n)
		if errors.Is(err, artifacts.ErrNotFound) && s.gone(l, n) {
			continue // deleted meanwhile
		}
		if err != nil {
			return t.done, err
		}
	}
	return t.done, nil
}

// one settles a version, or lets go of it.
func (t *settling) one(ctx context.Context, version int64) error {
	files, err := t.files(ctx, t.ledger, version)
	if err != nil {
		return err
	}
	settles := unsettled(files)
	releases := !t.stays[version] && slices.ContainsFunc(files, func(f file) bool { return f.Hot != "" })
	if !settles && !releases {
		return nil
	}
	t.leave = nil
	if releases {
		t.leave = released
	}
	err = t.move(ctx, version)
	t.done.Objects = t.count
	if err != nil {
		return err
	}
	if settles {
		t.done.Versions++
	}
	if releases {
		t.done.Released++
	}
	return nil
}

// gone says whether a version was deleted.
func (*Store) gone(l *ledger, version int64) (is bool) {
	_ = l.look(func(f *fold) error { is = f.manifests[version] == nil; return nil })
	return is
}

// released is a blob without its place in the hot tier.
func released(f file) *blob {
	b := *f.blob
	if b.Key != "" {
		b.Hot = ""
	}
	return &b
}
