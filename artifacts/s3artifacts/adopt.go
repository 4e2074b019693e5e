package s3artifacts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
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

// Objects are what is adopted: in a bucket that keeps versions, of the store or of
// somebody else, whom the role of the store must be allowed to read.
type Objects struct {
	Bucket string // that of the store if empty
	// Key is an object, each version of which becomes a version.
	Key string
	// Prefix is what the keys of objects begin with that together become one version.
	// Their paths are what comes after it. One of Key and Prefix is needed.
	Prefix string
}

// AdoptOptions adjusts an Adopt. A nil *AdoptOptions means the zero value.
type AdoptOptions struct {
	// Publish says what the versions are; what it says of IDs, ranks, media types and
	// progress does not count. Where several versions are made, With is applied with
	// the last.
	Publish artifacts.PublishOptions
	// At adopts what was below Prefix at a time, to the second. Zero means now.
	At time.Time
	// Last adopts only so many of the newest versions of Key. Zero means all.
	Last int
	// Lifecycle reads the lifecycle rules of the bucket, to warn of those that delete
	// what is adopted. Nil does not look. *s3.Client is one.
	Lifecycle LifecycleClient
}

// A LifecycleClient reads what a bucket deletes by itself.
type LifecycleClient interface {
	GetBucketLifecycleConfiguration(context.Context, *s3.GetBucketLifecycleConfigurationInput, ...func(*s3.Options)) (*s3.GetBucketLifecycleConfigurationOutput, error)
}

// An Adoption is what an Adopt did.
type Adoption struct {
	Versions []artifacts.Publication // in the order that they were written
	Read     int64                   // bytes that were read to know their digests
	Warnings []string                // of what deletes the objects without asking the store
}

// Adopt makes versions of objects that are there already, without copying a byte: a
// version names the version of each object, which nothing that is written or deleted
// later under the same key can change. With Key each version of an object becomes a
// version, oldest first; with Prefix all objects below it become one.
//
// Each object is read once, to know the digest that everybody who reads it later
// verifies; one that an earlier Adopt under this name has read is not. It may be
// repeated, after an error and whenever there may be something new: what was adopted
// before is published once.
//
// The objects stay their owner's. What their owner deletes, version and all, is
// gone: reading it is [artifacts.ErrCorrupt], and warnings say which lifecycle rules
// may do that. A collector never deletes them, and no other version is made of their
// bytes. An object that has no version of its own, because its bucket kept none when
// it was written, is [artifacts.ErrInvalid].
//
// It needs s3:ListBucketVersions and s3:GetObjectVersion on the bucket.
func (s *Store) Adopt(ctx context.Context, name artifacts.Name, from Objects, options *AdoptOptions) (Adoption, error) {
	if err := firstError(ctx.Err(), name.Validate(), from.validate(), options.validate()); err != nil {
		return Adoption{}, wrap("adopt", name, err)
	}
	a := &adopting{Store: s, from: from}
	if options != nil {
		a.opts = *options
	}
	a.from.Bucket = cmp.Or(from.Bucket, s.bucket)
	err := a.adopt(ctx, name)
	return a.done, wrap("adopt", name, err)
}

func (o Objects) validate() error {
	if (o.Key == "") == (o.Prefix == "") || strings.ContainsAny(o.Bucket, "/ ") || strings.HasSuffix(o.Key, "/") {
		return fmt.Errorf("%w: adopt a Key, not one that ends in a slash, or a Prefix, of a bucket: %.300q", artifacts.ErrInvalid, o)
	}
	return nil
}

func (o *AdoptOptions) validate() error {
	switch {
	case o == nil:
		return nil
	case o.Last < 0:
		return fmt.Errorf("%w: Last is %d: 0 or more", artifacts.ErrInvalid, o.Last)
	}
	p := o.Publish
	p.Ranks, p.Rank = 0, 0
	return p.Validate()
}

type adopting struct {
	*Store
	from   Objects
	opts   AdoptOptions
	ledger *ledger
	known  map[string]file // that were adopted before, by the object and its version
	done   Adoption
}

// A native version is one that S3 keeps of an object.
type nativeVersion struct {
	key, id  string
	size     int64
	modified time.Time
	marker   bool
	latest   bool
}

func (v nativeVersion) text() string { return v.key + "?versionId=" + v.id }

func (a *adopting) adopt(ctx context.Context, name artifacts.Name) (err error) {
	if a.ledger, err = a.current(ctx, name); err != nil {
		return err
	}
	if err := a.remember(ctx); err != nil {
		return err
	}
	var found []nativeVersion
	for v, err := range a.history(ctx) {
		if err != nil {
			return err
		}
		found = append(found, v)
	}
	var sets [][]nativeVersion
	if a.from.Key != "" {
		sets = a.each(found)
	} else if all := a.snapshot(found); len(all) > 0 {
		sets = [][]nativeVersion{all}
	}
	if len(sets) == 0 {
		return fmt.Errorf("%s: %w", place{a.from.Bucket, a.from.Key + a.from.Prefix}.uri(), artifacts.ErrNotFound)
	}
	for i, set := range sets {
		opts := a.opts.Publish
		if i < len(sets)-1 {
			opts.With = nil
		}
		p, err := a.publish(ctx, set, opts)
		if err != nil {
			return err
		}
		a.done.Versions = append(a.done.Versions, p)
	}
	return a.warn(ctx)
}

// history yields versions and delete markers of what is adopted, those of each key
// from the newest on.
func (a *adopting) history(ctx context.Context) iter.Seq2[nativeVersion, error] {
	prefix := a.from.Key + a.from.Prefix
	return paging.Seq(func(from versionMarker) ([]nativeVersion, versionMarker, error) {
		in := &s3.ListObjectVersionsInput{Bucket: &a.from.Bucket, Prefix: &prefix}
		if from.key != "" {
			in.KeyMarker = &from.key
		}
		if from.version != "" {
			in.VersionIdMarker = &from.version
		}
		meter.Add(ctx, meter.Cost{Requests: 1})
		out, err := a.client.ListObjectVersions(ctx, in)
		if err != nil {
			return nil, versionMarker{}, classify(place{a.from.Bucket, prefix}.uri(), err)
		}
		return natives(out), versionMarker{value(out.NextKeyMarker), value(out.NextVersionIdMarker)}, nil
	})
}

// natives returns what is in a page.
func natives(page *s3.ListObjectVersionsOutput) []nativeVersion {
	all := make([]nativeVersion, 0, len(page.Versions)+len(page.DeleteMarkers))
	for _, v := range page.Versions {
		all = append(all, nativeVersion{
			key: value(v.Key), id: value(v.VersionId), size: known(v.Size), modified: known(v.LastModified), latest: known(v.IsLatest),
		})
	}
	for _, m := range page.DeleteMarkers {
		all = append(all, nativeVersion{key: value(m.Key), id: value(m.VersionId), modified: known(m.LastModified), marker: true, latest: known(m.IsLatest)})
	}
	return all
}

// known is what S3 said, or nothing.
func known[T any](said *T) T {
	if said == nil {
		return *new(T)
	}
	return *said
}

// each returns the versions of the key, oldest first, each by itself.
func (a *adopting) each(found []nativeVersion) [][]nativeVersion {
	var sets [][]nativeVersion
	for _, v := range found {
		if v.key == a.from.Key && !v.marker && (a.opts.Last == 0 || len(sets) < a.opts.Last) {
			sets = append(sets, []nativeVersion{v})
		}
	}
	slices.Reverse(sets)
	return sets
}

// snapshot returns the version that each key had at the time, without the keys that
// had been deleted, and without folders that consoles make.
func (a *adopting) snapshot(found []nativeVersion) []nativeVersion {
	best := map[string]nativeVersion{}
	for _, v := range found {
		if !a.opts.At.IsZero() && v.modified.After(a.opts.At) || strings.HasSuffix(v.key, "/") {
			continue
		}
		old, has := best[v.key]
		// What S3 lists first of versions is newer; of a version and a marker of the same
		// second the latest is.
		if !has || v.modified.After(old.modified) || v.modified.Equal(old.modified) && v.latest {
			best[v.key] = v
		}
	}
	var all []nativeVersion
	for _, v := range best {
		if !v.marker {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(x, y nativeVersion) int { return strings.Compare(x.key, y.key) })
	return all
}

// remember finds what was adopted under this name before.
func (a *adopting) remember(ctx context.Context) error {
	a.known = map[string]file{}
	var live []int64
	_ = a.ledger.look(func(f *fold) error {
		for v := range f.log.Versions() {
			live = append(live, v.ID.Number)
		}
		return nil
	})
	for _, version := range live {
		files, err := a.files(ctx, a.ledger, version)
		if errors.Is(err, artifacts.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		for _, f := range files {
			if f.From != "" {
				a.known[f.From+"?versionId="+f.Version] = f
			}
		}
	}
	return nil
}

// publish makes a version of objects.
func (a *adopting) publish(ctx context.Context, set []nativeVersion, opts artifacts.PublishOptions) (artifacts.Publication, error) {
	opts.Ranks, opts.Rank, opts.MediaTypes, opts.Progress = 0, 0, nil, nil
	opts.ID = a.id(set)
	if a.from.Key != "" {
		opts.Lineage.Inputs = append(slices.Clone(opts.Lineage.Inputs), artifacts.Input{URI: place{a.from.Bucket, a.from.Key}.uri(), VersionID: set[0].id})
	} else {
		opts.Lineage.Inputs = append(slices.Clone(opts.Lineage.Inputs), artifacts.Input{URI: place{a.from.Bucket, a.from.Prefix}.uri(), Digest: opts.ID})
	}
	p := &publishing{Store: a.Store, ledger: a.ledger, opts: opts.WithDefaults(), named: true, found: []artifacts.FileInfo{}}
	if err := p.opts.Validate(); err != nil {
		return artifacts.Publication{}, err
	}
	if out, err := p.before(ctx); err != nil || out.Again {
		return out, err
	}
	own := part{base: a.ledger.seq(), opts: p.opts, own: true}
	var err error
	if own.files, err = a.adopted(ctx, set); err != nil {
		return artifacts.Publication{}, err
	}
	p.parts = []part{own}
	out, err := p.finish(ctx)
	if err == nil && !out.Again {
		out.Reused = out.Version.Bytes
	}
	return out, err
}

// id is the same for the same versions of the same objects.
func (a *adopting) id(set []nativeVersion) string {
	var all strings.Builder
	for _, v := range set {
		all.WriteString(place{a.from.Bucket, v.text()}.uri() + "\n")
	}
	return "adopt " + contentSum([]byte(a.from.Prefix+"\n"+all.String()))
}

// adopted returns the files that the objects are, sorted by path.
func (a *adopting) adopted(ctx context.Context, set []nativeVersion) ([]file, error) {
	if len(set) > artifacts.MaxFiles {
		return nil, fmt.Errorf("%w: %d objects: at most %d in a version", artifacts.ErrInvalid, len(set), artifacts.MaxFiles)
	}
	out := make([]file, len(set))
	read := make([]int64, len(set))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(a.Store.opts.Concurrency)
	for i, v := range set {
		out[i].Path = strings.TrimPrefix(v.key, a.from.Prefix)
		if a.from.Key != "" {
			out[i].Path = path.Base(v.key)
		}
		if v.id == "" || v.id == "null" {
			return nil, fmt.Errorf("%s: %w: it has no version of its own, and could be overwritten: enable versioning and write it again, or publish it", place{a.from.Bucket, v.key}.uri(), artifacts.ErrInvalid)
		}
		at := place{a.from.Bucket, v.key}
		if f, has := a.known[at.bucket+"/"+v.text()]; has {
			f.Path = out[i].Path
			out[i] = f
			continue
		}
		g.Go(func() (err error) {
			out[i], err = a.read(each, out[i].Path, v)
			read[i] = v.size
			return err
		})
	}
	if err := cmp.Or(g.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	for i, f := range out {
		a.done.Read += read[i]
		a.known[f.From+"?versionId="+f.Version] = f
	}
	slices.SortFunc(out, func(x, y file) int { return strings.Compare(x.Path, y.Path) })
	if _, err := artifacts.NewTree(infos(out), time.Time{}, nil); err != nil {
		return nil, err
	}
	return out, nil
}

// read reads an object to know its digest.
func (a *adopting) read(ctx context.Context, path string, v nativeVersion) (file, error) {
	at := place{a.from.Bucket, v.key}
	out := file{artifacts.FileInfo{Path: path, Size: v.size, MediaType: artifacts.MediaType(path)}, &blob{Version: v.id, From: at.bucket + "/" + at.key}}
	d := artifacts.NewDigest()
	room := min(v.size, artifacts.LeafSize, a.Store.opts.Memory)
	if err := a.memory.Acquire(ctx, room); err != nil {
		return file{}, err
	}
	defer a.memory.Release(room)
	sum := uint32(0)
	for offset := int64(0); offset < v.size; offset += artifacts.LeafSize {
		length := min(v.size-offset, artifacts.LeafSize)
		got, err := a.getAt(ctx, at, v.id, span{offset, length}, unchecked)
		if err != nil {
			return file{}, err
		}
		if int64(len(got.data)) != length {
			return file{}, fmt.Errorf("%s: %w: %d bytes, not %d", at.uri(), artifacts.ErrCorrupt, len(got.data), length)
		}
		_, _ = d.Write(got.data) // never fails
		sum = castagnoli(sum, got.data)
	}
	out.Digest, out.CRC = d.String(), checksum(sum)
	return out, a.table(ctx, a.ledger, out.blob, out.Digest, d.Leaves())
}

// warn says which lifecycle rules may delete what was adopted.
func (a *adopting) warn(ctx context.Context) error {
	if a.opts.Lifecycle == nil {
		return nil
	}
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := a.opts.Lifecycle.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &a.from.Bucket})
	if absence(err, "NoSuchLifecycleConfiguration") || unknown(err) {
		return nil
	}
	if err != nil {
		return classify(a.from.Bucket, err)
	}
	for _, rule := range out.Rules {
		if text := a.threat(rule); text != "" {
			a.done.Warnings = append(a.done.Warnings, fmt.Sprintf("rule %q of bucket %s deletes %s: what was adopted may be among them", value(rule.ID), a.from.Bucket, text))
		}
	}
	return nil
}

// threat says what a rule deletes that may be below what was adopted.
func (a *adopting) threat(rule types.LifecycleRule) string {
	prefix := ""
	if rule.Filter != nil {
		prefix = value(rule.Filter.Prefix)
		if rule.Filter.And != nil {
			prefix = value(rule.Filter.And.Prefix)
		}
	}
	ours := a.from.Key + a.from.Prefix
	if rule.Status != types.ExpirationStatusEnabled || !strings.HasPrefix(ours, prefix) && !strings.HasPrefix(prefix, ours) {
		return ""
	}
	if n := rule.NoncurrentVersionExpiration; n != nil && n.NoncurrentDays != nil {
		return fmt.Sprintf("versions %d days after they were replaced", *n.NoncurrentDays)
	}
	return ""
}

// placed says whether it is known where a blob is.
func (b *blob) placed() bool {
	if b.From == "" {
		_, key, _ := strings.Cut(b.Hot, "/")
		return strings.HasPrefix(b.Key, "b/") || b.Key == "" && strings.HasPrefix(key, "b/")
	}
	bucket, key, _ := strings.Cut(b.From, "/")
	return b.Key == "" && b.Version != "" && bucket != "" && key != ""
}

// place is where the bytes of a file are.
func (s *Store) place(l *ledger, b *blob) place {
	switch {
	case b.Key != "":
		return place{s.bucket, l.base + b.Key}
	case b.Hot != "":
		return b.hotPlace(l)
	}
	bucket, key, _ := strings.Cut(b.From, "/")
	return place{bucket, key}
}
