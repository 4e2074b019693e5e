package s3artifacts

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/internal/paging"
	"github.com/genaistore/genaistore/meter"
)

// Never is the age of nothing: see [CollectOptions].
const Never = time.Duration(-1)

// CollectOptions adjusts a Collect. A nil *CollectOptions means the zero value.
type CollectOptions struct {
	// Age is how old an object without a version must be before it is condemned, by
	// the clock of S3: 7 days if zero, no age at all if [Never]. A shorter one loses
	// nothing, but writers that are slower send again what they sent.
	Age time.Duration
	// Grace is how long after it was condemned an object is deleted, so that readers of
	// a version that was deleted may end: 24 hours if zero, none if [Never]. So it is
	// another Collect that deletes.
	Grace time.Duration
	// DryRun says what would be condemned and deleted, and changes nothing.
	DryRun bool
}

// WithDefaults returns what a Collect acts on. It accepts a nil receiver.
func (o *CollectOptions) WithDefaults() CollectOptions {
	var opts CollectOptions
	if o != nil {
		opts = *o
	}
	opts.Age = max(cmp.Or(opts.Age, 7*24*time.Hour), 0)
	opts.Grace = max(cmp.Or(opts.Grace, 24*time.Hour), 0)
	return opts
}

// A Collection is what a Collect did.
type Collection struct {
	Objects   int   // that were there, but for log and snapshots
	Condemned int   // objects that nothing refers to, and nothing will
	Deleted   int   // objects that were condemned long enough ago
	Bytes     int64 // of what was deleted
	Uploads   int   // that nobody ended, and were aborted
}

// Collect deletes what no version of a name needs: the files of versions that
// were deleted, and what writers uploaded and never committed. It may be run
// beside writers and other collectors, and again after an error or a crash.
//
// It is safe without a lock and without a clock, because what it wants to delete
// it first condemns by a record of the log. A Publish that uses one of the keys
// either committed before, and then the collector sees that it is in use, or finds
// the record when it commits, and sends again.
//
// Uploads in parts that nobody has ended for Age are aborted, as the lifecycle rule of
// the bucket does too.
//
// It costs 1 LIST for 1,000 objects of the name and 1 for uploads, what Apply costs for each of two
// records, and a DELETE for each object that it deletes. In a bucket with versions
// the versions are listed, and deleted for good.
func (s *Store) Collect(ctx context.Context, name artifacts.Name, options *CollectOptions) (Collection, error) {
	if err := firstError(ctx.Err(), name.Validate()); err != nil {
		return Collection{}, wrap("collect", name, err)
	}
	c := &collector{Store: s, opts: options.WithDefaults()}
	err := c.collect(ctx, name)
	return c.done, wrap("collect", name, err)
}

type collector struct {
	*Store
	opts   CollectOptions
	ledger *ledger
	found  map[string]*found // by key below the base
	done   Collection
}

// found is an object of a name: in a bucket with versions, all of them.
type found struct {
	size     int64
	newest   time.Time
	versions []string
}

func (c *collector) collect(ctx context.Context, name artifacts.Name) (err error) {
	c.ledger = c.Store.ledger(name)
	// Listed before the log is read: what is there and not in use by then was
	// uploaded by somebody who has yet to commit.
	if err := c.look(ctx); err != nil {
		return err
	}
	if err := c.refresh(ctx, c.ledger); err != nil {
		return err
	}
	if err := c.condemn(ctx); err != nil {
		return err
	}
	if err := c.sweep(ctx); err != nil || c.opts.DryRun {
		return err
	}
	c.done.Uploads, err = c.abandon(ctx, c.ledger.base, c.opts.Age)
	return err
}

// collected are the folders of what is condemned and deleted. Lists of condemned
// keys stay: whoever reads the log from its first record on needs them.
func collected(key string) bool {
	if rest, is := strings.CutPrefix(key, hotMark); is {
		_, key, _ = strings.Cut(rest, "/")
	}
	folder, _, _ := strings.Cut(key, "/")
	return folder == "b" || folder == "m" || folder == "t" || folder == "x"
}

// look lists what there is.
func (c *collector) look(ctx context.Context) error {
	c.found = map[string]*found{}
	if err := c.lookHot(ctx); err != nil {
		return err
	}
	versioned, err := c.versioned(ctx)
	if err != nil {
		return err
	}
	if !versioned {
		for o, err := range c.list(ctx, c.ledger.base) {
			if err != nil {
				return err
			}
			c.add(value(o.Key), "", o.Size, o.LastModified)
		}
		return nil
	}
	for v, err := range c.listVersions(ctx, c.ledger.base) {
		if err != nil {
			return err
		}
		c.add(value(v.Key), value(v.VersionId), v.Size, v.LastModified)
	}
	return nil
}

func (c *collector) add(key, version string, size *int64, modified *time.Time) {
	key = strings.TrimPrefix(key, c.ledger.base)
	if !collected(key) {
		return
	}
	f := c.found[key]
	if f == nil {
		f = &found{}
		c.found[key] = f
		c.done.Objects++
	}
	if size != nil {
		f.size += *size
	}
	if modified != nil && modified.After(f.newest) {
		f.newest = *modified
	}
	f.versions = append(f.versions, version)
}

// versioned asks whether the bucket has versions. Directory buckets do not know the
// question.
func (s *Store) versioned(ctx context.Context) (bool, error) {
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := s.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &s.bucket})
	if unknown(err) {
		return false, nil
	}
	if err != nil {
		return false, classify(s.bucket, err)
	}
	return out.Status != "", nil
}

type versionMarker struct{ key, version string }

// isMarker tells a delete marker in what listVersions yields.
func isMarker(v types.ObjectVersion) bool { return v.Size == nil }

// listVersions yields all versions below a prefix, and delete markers, which have
// no size.
func (s *Store) listVersions(ctx context.Context, prefix string) iter.Seq2[types.ObjectVersion, error] {
	return paging.Seq(func(from versionMarker) ([]types.ObjectVersion, versionMarker, error) {
		in := &s3.ListObjectVersionsInput{Bucket: &s.bucket, Prefix: &prefix}
		if from.key != "" {
			in.KeyMarker = &from.key
		}
		if from.version != "" {
			in.VersionIdMarker = &from.version
		}
		meter.Add(ctx, meter.Cost{Requests: 1})
		out, err := s.client.ListObjectVersions(ctx, in)
		if err != nil {
			return nil, versionMarker{}, classify(prefix, err)
		}
		for _, m := range out.DeleteMarkers {
			out.Versions = append(out.Versions, types.ObjectVersion{Key: m.Key, VersionId: m.VersionId, LastModified: m.LastModified})
		}
		return out.Versions, versionMarker{value(out.NextKeyMarker), value(out.NextVersionIdMarker)}, nil
	})
}

// condemn commits a record of what nothing refers to.
func (c *collector) condemn(ctx context.Context) error {
	waiting, err := c.waiting(ctx)
	if err != nil {
		return err
	}
	for {
		// The number comes first: a record that others read meanwhile must not hide
		// behind it what it uses.
		seq := c.ledger.seq()
		used, err := c.used(ctx)
		if err != nil {
			return err
		}
		if c.skip.number {
			seq = c.ledger.seq()
		}
		var chosen []string
		_ = c.ledger.look(func(f *fold) error {
			chosen = c.choose(f, used, waiting)
			return nil
		})
		c.done.Condemned = len(chosen)
		if len(chosen) == 0 || c.opts.DryRun || seq == 0 {
			return nil
		}
		if err := c.commitTo(ctx, seq, chosen); !errors.Is(err, errUnchecked) {
			return err
		}
	}
}

// commitTo commits that keys are condemned, right after a record.
func (c *collector) commitTo(ctx context.Context, seq int64, chosen []string) error {
	at, err := c.keyList(ctx, c.ledger, chosen)
	if err != nil {
		return err
	}
	_, err = c.commit(ctx, c.ledger, func(f *fold) (*entry, error) {
		if f.log.Last().Seq != seq && !c.skip.fenced {
			return nil, errUnchecked // what was chosen may be in use by now
		}
		r := c.record(rand.Text(), nil)
		r.Content = at.Digest
		r, err := f.own(r)
		return &entry{Record: r, Condemn: at}, err
	})
	return err
}

// choose returns the keys that are old enough, and that nothing refers to.
func (c *collector) choose(f *fold, used, waiting map[string]bool) []string {
	var chosen []string
	for key, is := range c.found {
		if !used[key] && !waiting[key] && f.condemned[key] == 0 && time.Since(is.newest) >= c.opts.Age {
			chosen = append(chosen, key)
		}
	}
	slices.Sort(chosen)
	return chosen
}

// keyList puts a list of keys where a record finds it.
func (s *Store) keyList(ctx context.Context, l *ledger, chosen []string) (at *list, err error) {
	text := []byte(strings.Join(chosen, "\n"))
	at = &list{Digest: contentSum(text), Size: int64(len(text))}
	if len(text) <= inlineLimit {
		at.Text = string(text)
		return at, nil
	}
	at.Key = s.fresh("c", at.Digest)
	at.Version, err = s.put(ctx, l.base+at.Key, text, nil)
	return at, err
}

// used returns every key that a live version, or the log itself, refers to.
func (c *collector) used(ctx context.Context) (map[string]bool, error) {
	used := map[string]bool{}
	var live []int64
	_ = c.ledger.look(func(f *fold) error {
		live = slices.Collect(maps.Keys(f.manifests))
		for _, m := range f.manifests {
			used[m.Key] = true
		}
		return nil
	})
	for _, version := range live {
		files, err := c.files(ctx, c.ledger, version)
		if errors.Is(err, artifacts.ErrNotFound) {
			continue // deleted meanwhile, by a record that the commit will meet
		}
		if err != nil {
			return nil, err
		}
		for _, key := range blobKeys(files) {
			used[key] = true
		}
	}
	return used, nil
}

// waiting returns the keys of parts of publications that wait for others, and of
// the parts themselves. A part that was published, or is older than Age, is not
// among them.
func (c *collector) waiting(ctx context.Context) (map[string]bool, error) {
	waiting := map[string]bool{}
	var published map[string]bool
	_ = c.ledger.look(func(f *fold) error {
		published = map[string]bool{}
		for id := range f.log.IDs() {
			published[ranksPrefix(id)] = true
		}
		return nil
	})
	for key, is := range c.found {
		if !strings.HasPrefix(key, "x/") || time.Since(is.newest) >= c.opts.Age || published[key[:strings.LastIndexByte(key, '/')+1]] {
			continue
		}
		got, err := c.get(ctx, c.ledger.base+key, "", span{})
		if errors.Is(err, artifacts.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		one, err := decodePart(got.data, 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		waiting[key] = true
		for _, key := range blobKeys(one.files) {
			waiting[key] = true
		}
	}
	return waiting, nil
}

// sweep deletes what was condemned long enough ago, and says so in the log.
func (c *collector) sweep(ctx context.Context) error {
	due := map[int64]condemnation{}
	_ = c.ledger.look(func(f *fold) error {
		for seq, list := range f.lists {
			if time.Since(list.At) >= c.opts.Grace {
				due[seq] = list
			}
		}
		return nil
	})
	if len(due) == 0 {
		return nil
	}
	if err := c.delete(ctx, due); err != nil || c.opts.DryRun {
		return err
	}
	_, err := c.commit(ctx, c.ledger, func(f *fold) (*entry, error) {
		left := maps.Clone(due)
		maps.DeleteFunc(left, func(seq int64, _ condemnation) bool { _, is := f.lists[seq]; return !is })
		if len(left) == 0 {
			return nil, errNothing // another collector was first
		}
		r, err := f.own(c.record(rand.Text(), nil))
		return &entry{Record: r, Swept: slices.Sorted(maps.Keys(left))}, err
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// delete deletes every version of the keys that are due.
func (c *collector) delete(ctx context.Context, due map[int64]condemnation) error {
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(readAhead)
	for _, list := range due {
		for _, key := range list.Keys {
			for _, version := range c.due(key, list.At) {
				g.Go(func() error { return c.removeAt(each, c.whole(key), version) })
			}
		}
	}
	return cmp.Or(ctx.Err(), g.Wait())
}

// due counts a key, and returns its versions that were found. What was not found
// is deleted by its key, because it may have been written after. The part of a rank
// that came again since it was condemned stays: its key is not a fresh one.
func (c *collector) due(key string, condemned time.Time) []string {
	f := c.found[key]
	switch {
	case f == nil:
		f = &found{versions: []string{""}}
	case strings.HasPrefix(key, "x/") && !f.newest.Before(condemned.Truncate(time.Second)):
		return nil
	default:
		c.done.Deleted++
		c.done.Bytes += f.size
	}
	if c.opts.DryRun {
		return nil
	}
	return f.versions
}
