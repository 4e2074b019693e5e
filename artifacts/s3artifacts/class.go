package s3artifacts

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/meter"
)

// tierTag is the key of the tag that lifecycle rules go by: see [BucketOptions].
const tierTag = "genaistore-tier"

const (
	tierKey    = "tier.json"
	tierSchema = "genaistore/artifacts/tier/v1"
	// leastMoved is the size below which lifecycle rules of S3 leave an object where
	// it is: it would cost more elsewhere.
	leastMoved = 128 << 10
)

// A temperature says how far down an object may go. The zero value is hot.
type temperature int

const (
	hot     temperature = iota
	cold                // read at once, for more than from where it was
	archive             // to be restored first
)

func (t temperature) String() string { return [...]string{"hot", "cold", "archive"}[t] }

// A Tiering says how warm the versions of a name are kept. A nil *Tiering means the
// zero value.
//
// Hot is what an alias points at, what is pinned, the newest versions, and what is
// young. Older versions are cold: they can be read at once, and a rollback may go to
// them. What is older still goes to an archive, but for what a rollback is likely to
// need. An object is as warm as the warmest version that has it.
type Tiering struct {
	// Last is how many of the newest versions stay hot: 1 if zero.
	Last int
	// Cold is how long after it was published a version is hot: 30 days if zero, no
	// time at all if [Never].
	Cold time.Duration
	// Archive is how long after it was published a version goes to an archive. Zero
	// means that none does.
	Archive time.Duration
	// Back is to how many versions before it each alias can be rolled back at once: that
	// many are not archived. 1 if zero.
	Back int
	// DryRun says what would be, and changes nothing.
	DryRun bool
}

// WithDefaults returns what a Tier acts on. It accepts a nil receiver.
func (t *Tiering) WithDefaults() Tiering {
	var out Tiering
	if t != nil {
		out = *t
	}
	out.Last, out.Back = cmp.Or(out.Last, 1), cmp.Or(out.Back, 1)
	out.Cold = max(cmp.Or(out.Cold, 30*day), 0)
	return out
}

// Validate reports an error that matches [artifacts.ErrInvalid] unless a Tier can act
// on t. It accepts a nil receiver.
func (t *Tiering) Validate() error {
	out := t.WithDefaults()
	if out.Last < 1 || out.Back < 1 || out.Archive < 0 || out.Archive > 0 && out.Archive < out.Cold || t != nil && t.Cold < Never {
		return fmt.Errorf("%w: tiering of the last %d, %d back, cold after %v, an archive after %v: at least 1 of each, and no archive before it is cold",
			artifacts.ErrInvalid, out.Last, out.Back, out.Cold, out.Archive)
	}
	return nil
}

// Tiered is what a Tier found and did.
type Tiered struct {
	Hot, Cold, Archived          int   // versions
	HotBytes, ColdBytes, Archive int64 // bytes of objects, each counted once
	Tagged                       int   // objects whose tag changed
}

// Tier says by tags how warm each object of a name is to be. Lifecycle rules, which
// [EnsureBucket] makes of [BucketOptions.Cold] and [BucketOptions.Archive], move the
// objects at the end of the day; without them it changes nothing but tags. Run it
// once a day for each name, beside writers. Two at a time find each other out, and
// one of them ends with [artifacts.ErrConflict].
//
// Before an object is tagged for an archive the log says so: the versions that need
// it are not Ready any more, so that a rollback goes past them, and a Publish that
// has the same content sends it again. [Store.EnsureWarm] brings them back. What
// becomes hot again is read where it lies by then: nothing moves up by itself.
// Objects of less than 128 KiB stay where they are.
//
// It costs 1 GET more than Apply, a GET for each list of files that was not read
// before, a PUT for each object whose tag changes, and 2 PUT where there are any. It
// needs s3:PutObjectTagging, and with versions s3:PutObjectVersionTagging. A
// directory bucket has no tags: that is ErrInvalid.
func (s *Store) Tier(ctx context.Context, name artifacts.Name, tiering *Tiering) (Tiered, error) {
	if err := firstError(ctx.Err(), name.Validate(), tiering.Validate()); err != nil {
		return Tiered{}, wrap("tier", name, err)
	}
	t := &tierer{Store: s, want: tiering.WithDefaults(), touched: map[string]bool{}}
	err := t.tier(ctx, name)
	return t.done, wrap("tier", name, err)
}

type tierer struct {
	*Store
	want    Tiering
	ledger  *ledger
	objects map[string]*tempered
	notes   notes
	touched map[string]bool // keys whose tag nobody can be sure of
	done    Tiered
}

// A tempered object is one with the temperature that it is to have.
type tempered struct {
	temperature
	size    int64
	version string
}

// notes are which objects have a tag, in an object of their own. They are written
// before the tags and after, so that they never miss one.
type notes struct {
	Schema string                 `json:"schema"`
	Tags   map[string]temperature `json:"tags"` // by key; hot is left out
	etag   string
}

func (t *tierer) tier(ctx context.Context, name artifacts.Name) error {
	t.ledger = t.Store.ledger(name)
	for range 8 {
		if err := t.refresh(ctx, t.ledger); err != nil {
			return err
		}
		// As a collector does: the number first, then what is in use.
		seq := t.ledger.seq()
		archived, err := t.judge(ctx)
		if err != nil {
			return err
		}
		if t.notes, err = t.noted(ctx, t.ledger); err != nil {
			return err
		}
		if t.want.DryRun || seq == 0 {
			t.done.Tagged = len(t.changes())
			return nil
		}
		if err = t.announce(ctx, seq, archived); err == nil {
			err = t.apply(ctx)
		}
		if !errors.Is(err, errUnchecked) {
			return err
		}
	}
	return fmt.Errorf("%w: others change its log or its tags at the same time", artifacts.ErrConflict)
}

// temperatures returns how warm each version is to be.
func (t Tiering) temperatures(f *fold, now time.Time) map[int64]temperature {
	out := map[int64]temperature{}
	aliases := map[string]bool{}
	newer := 0
	for v := range f.log.Versions() {
		age := now.Sub(v.Created)
		switch {
		case len(v.Aliases)+len(v.Pins) > 0 || newer < t.Last || age < t.Cold:
			out[v.ID.Number] = hot
		case t.Archive == 0 || age < t.Archive:
			out[v.ID.Number] = cold
		default:
			out[v.ID.Number] = archive
		}
		newer++
		for _, alias := range v.Aliases {
			aliases[alias] = true
		}
	}
	for alias := range aliases {
		n := 0
		for v := range f.log.Back(alias) {
			if n++; n > t.Back {
				break
			}
			out[v.ID.Number] = min(out[v.ID.Number], cold)
		}
	}
	return out
}

// judge finds how warm each object is to be, and which versions need one that is to
// be archived.
func (t *tierer) judge(ctx context.Context) (archived []int64, err error) {
	var versions map[int64]temperature
	_ = t.ledger.look(func(f *fold) error {
		versions = t.want.temperatures(f, time.Now())
		return nil
	})
	t.objects, t.done = map[string]*tempered{}, Tiered{}
	lists := map[int64][]file{}
	for n, warm := range versions {
		files, err := t.files(ctx, t.ledger, n)
		if errors.Is(err, artifacts.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		lists[n] = slices.DeleteFunc(slices.Clone(files), func(f file) bool { return !t.movable(f) })
		t.need(lists[n], warm)
	}
	for n, files := range lists {
		coldest := hot
		for _, f := range files {
			coldest = max(coldest, t.objects[f.Key].temperature)
		}
		*[...]*int{&t.done.Hot, &t.done.Cold, &t.done.Archived}[coldest]++
		if coldest == archive {
			archived = append(archived, n)
		}
	}
	for _, o := range t.objects {
		*[...]*int64{&t.done.HotBytes, &t.done.ColdBytes, &t.done.Archive}[o.temperature] += o.size
	}
	slices.Sort(archived)
	return archived, nil
}

// need notes that a version that is so warm has these files.
func (t *tierer) need(files []file, warm temperature) {
	for _, f := range files {
		if o := t.objects[f.Key]; o != nil {
			o.temperature = min(o.temperature, warm)
		} else {
			t.objects[f.Key] = &tempered{warm, f.Size, f.Version}
		}
	}
}

// movable says whether lifecycle rules move the object of a file: it is our own, in
// the home bucket, and not too small.
func (s *Store) movable(f file) bool { return f.Key != "" && f.Size >= s.least }

// noted reads the notes. Those that are not there or cannot be read are none: then
// every tag is written again.
func (s *Store) noted(ctx context.Context, l *ledger) (notes, error) {
	out := notes{Tags: map[string]temperature{}}
	got, err := s.get(ctx, l.base+tierKey, "", span{})
	if errors.Is(err, artifacts.ErrNotFound) && !isNoBucket(err) {
		return out, nil
	}
	if err != nil {
		return out, explained(err)
	}
	out.etag = got.etag
	if err := checkSchema(got.data, tierSchema); err != nil {
		return out, err
	}
	return out, strict(got.data, &out)
}

// note writes the notes in place of those that were read. That somebody else wrote
// them meanwhile is errUnchecked.
func (s *Store) note(ctx context.Context, l *ledger, n *notes) error {
	n.Schema = tierSchema
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	out, err := s.send(ctx, l.base+tierKey, text, func(in *s3.PutObjectInput) {
		asJSON(in)
		in.IfMatch, in.IfNoneMatch = expecting(n.etag)
	})
	switch {
	case errors.Is(err, artifacts.ErrConflict), errors.Is(err, artifacts.ErrNotFound) && !isNoBucket(err):
		return fmt.Errorf("%w: %w", errUnchecked, err)
	case err != nil:
		return err
	}
	n.etag = value(out.ETag)
	return nil
}

// announce says in the log which versions go to an archive, before any object does.
func (t *tierer) announce(ctx context.Context, seq int64, archived []int64) error {
	var keys []string
	for key, o := range t.objects {
		if o.temperature == archive && t.notes.Tags[key] != archive {
			keys = append(keys, key)
		}
	}
	var ready []int64
	_ = t.ledger.look(func(f *fold) error {
		for _, n := range archived {
			if _, is := f.archived[n]; !is {
				ready = append(ready, n)
			}
		}
		return nil
	})
	if len(keys) == 0 && len(ready) == 0 {
		return nil
	}
	slices.Sort(keys)
	at, err := t.keyList(ctx, t.ledger, keys)
	if err != nil {
		return err
	}
	_, err = t.commit(ctx, t.ledger, func(f *fold) (*entry, error) {
		if f.log.Last().Seq != seq && !t.skip.fenced {
			return nil, errUnchecked // a version may need by now what was to be archived
		}
		r := t.record(rand.Text(), nil)
		r.Content = at.Digest
		r, err := f.own(r)
		return &entry{Record: r, Archive: at, Archived: archived}, err
	})
	return err
}

// changes returns the objects whose tag is not what it is to be.
func (t *tierer) changes() map[string]*tempered {
	out := map[string]*tempered{}
	for key, o := range t.objects {
		if t.notes.Tags[key] != o.temperature || t.touched[key] {
			out[key] = o
		}
	}
	return out
}

// apply writes the tags.
func (t *tierer) apply(ctx context.Context) error {
	changes := t.changes()
	next := notes{Tags: maps.Clone(t.notes.Tags), etag: t.notes.etag}
	gone := len(next.Tags)
	maps.DeleteFunc(next.Tags, func(key string, _ temperature) bool { return t.objects[key] == nil })
	if gone -= len(next.Tags); len(changes) == 0 && gone == 0 {
		return nil
	}
	for key, o := range changes {
		t.touched[key] = true
		next.Tags[key] = max(o.temperature, next.Tags[key])
	}
	if err := t.note(ctx, t.ledger, &next); err != nil {
		return err
	}
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(readAhead)
	for key, o := range changes {
		g.Go(func() error { return t.tag(each, t.ledger.base+key, o.version, o.temperature) })
	}
	if err := cmp.Or(ctx.Err(), g.Wait()); err != nil {
		return err
	}
	for key, o := range changes {
		next.Tags[key] = o.temperature
	}
	maps.DeleteFunc(next.Tags, func(_ string, warm temperature) bool { return warm == hot })
	if err := t.note(ctx, t.ledger, &next); err != nil {
		return err
	}
	t.done.Tagged = len(t.touched)
	return nil
}

// tag says how far down an object may go. One that was never anything but hot has no
// tag, and one that is hot again says so: that needs no right to delete tags.
func (s *Store) tag(ctx context.Context, key, version string, warm temperature) error {
	in := &s3.PutObjectTaggingInput{Bucket: &s.bucket, Key: &key, Tagging: &types.Tagging{
		TagSet: []types.Tag{{Key: new(tierTag), Value: new(warm.String())}},
	}}
	if version != "" {
		in.VersionId = &version
	}
	meter.Add(ctx, meter.Cost{Requests: 1})
	_, err := s.client.PutObjectTagging(ctx, in)
	if unknown(err) {
		return fmt.Errorf("%w: the bucket has no tags, so nothing in it can be tiered: %w", artifacts.ErrInvalid, err)
	}
	return classify(key, err)
}
