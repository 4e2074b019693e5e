package s3artifacts

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/genaistore/genaistore/artifacts"
)

// Publish implements [artifacts.Store].
//
// A file that does not fit into Options.PartSize is read twice: once to know
// whether its content is there, once to send it. A stream that does not fit is
// sent before anybody can know.
//
// A Publish that dies, fails or is cancelled leaves the parts of such files, but not
// those of streams, where they are: the next one that has the same content, in any
// process and with the same Options.PartSize, sends only the parts that are missing.
// The lifecycle rule of [EnsureBucket] ends uploads that nobody goes on with.
func (s *Store) Publish(ctx context.Context, name artifacts.Name, files fs.FS, options *artifacts.PublishOptions) (artifacts.Publication, error) {
	if err := firstError(ctx.Err(), name.Validate(), options.Validate()); err != nil {
		return artifacts.Publication{}, wrap("publish", name, err)
	}
	p := &publishing{Store: s, files: files, opts: options.WithDefaults()}
	p.named = p.opts.ID != ""
	p.opts.ID = cmp.Or(p.opts.ID, rand.Text())
	out, err := p.publish(ctx, name)
	return out, wrap("publish", name, err)
}

// A publishing is one Publish.
type publishing struct {
	*Store
	ledger *ledger
	files  fs.FS
	opts   artifacts.PublishOptions
	named  bool // its ID is the caller's, so that others may have it too
	found  []artifacts.FileInfo

	parts []part
}

// A part is what a rank publishes: files whose keys were fresh, or of live
// versions, when the log was at Base.
type part struct {
	rank  int
	base  int64
	files []file
	opts  artifacts.PublishOptions
	own   bool // its files can be read again
}

func (p *publishing) publish(ctx context.Context, name artifacts.Name) (artifacts.Publication, error) {
	var err error
	if p.ledger, err = p.begin(ctx, name); err != nil {
		return artifacts.Publication{}, err
	}
	if out, err := p.before(ctx); err != nil || out.Again {
		return out, err
	}
	if p.found, err = artifacts.Scan(ctx, p.files); err != nil {
		return artifacts.Publication{}, err
	}
	if p.opts.Ranks == 1 && len(p.found) == 0 {
		return artifacts.Publication{}, fmt.Errorf("%w: a version without files", artifacts.ErrInvalid)
	}
	shown := newProgress(p.opts.Progress, p.found)
	own := part{rank: p.opts.Rank, opts: p.opts, own: true}
	sender, err := p.send(ctx, &own, p.found, shown)
	if err != nil {
		return artifacts.Publication{}, err
	}
	p.parts = []part{own}
	out := artifacts.Publication{}
	if p.opts.Ranks > 1 {
		if out.Pending, err = p.arrive(ctx); err != nil {
			return artifacts.Publication{}, err
		}
	}
	if len(out.Pending) == 0 {
		if out, err = p.finish(ctx); err != nil || out.Again {
			return out, err
		}
	}
	out.Sent, out.Reused = sender.sent, sender.reused
	shown.done(out.Sent, out.Reused)
	return out, nil
}

// begin reads the log. Where nothing is decided before the commit, what a hint says of
// it is enough.
func (p *publishing) begin(ctx context.Context, name artifacts.Name) (*ledger, error) {
	if p.named || p.opts.IfNext != 0 {
		return p.current(ctx, name)
	}
	return p.hinted(ctx, name)
}

// before finds what was published with this ID, or forbids another.
func (p *publishing) before(ctx context.Context) (artifacts.Publication, error) {
	out, err := p.look(ctx)
	if err != nil || out.Again || !p.named {
		return out, err
	}
	_, err = p.present(ctx)
	return out, err
}

// look finds the version that was published with this ID.
func (p *publishing) look(ctx context.Context) (artifacts.Publication, error) {
	var (
		v   artifacts.Version
		seq int64
	)
	err := p.ledger.look(func(f *fold) (err error) {
		v, seq, err = f.log.Published(p.opts.ID)
		if err != nil {
			err = p.expected(f)
		}
		return err
	})
	if err != nil || seq == 0 {
		return artifacts.Publication{}, err
	}
	e, err := p.entry(ctx, p.ledger, seq)
	if err != nil {
		return artifacts.Publication{}, err
	}
	if e.entry == nil {
		return artifacts.Publication{}, fmt.Errorf("%w: record %d is gone", artifacts.ErrCorrupt, seq)
	}
	return artifacts.Publication{Version: v, Record: e.Record, Again: true}, nil
}

// expected reports that the next version is not the one that is asked for.
func (p *publishing) expected(f *fold) error {
	if next := f.log.Next(); p.opts.IfNext != 0 && p.opts.IfNext != next {
		return fmt.Errorf("%w: the next version is %d, not %d", artifacts.ErrConflict, next, p.opts.IfNext)
	}
	return nil
}

// send reads files and sends what is new of them.
func (p *publishing) send(ctx context.Context, to *part, found []artifacts.FileInfo, shown *progress) (*sender, error) {
	to.base = p.ledger.seq()
	have, err := p.known(ctx, p.ledger)
	if err != nil {
		return nil, err
	}
	out := &sender{Store: p.Store, ledger: p.ledger, have: have, files: p.files, opts: p.opts, shown: shown}
	to.files, err = out.send(ctx, found)
	return out, err
}

// lostError says which keys a collector condemned before they were committed.
type lostError struct{ keys []string }

func (e *lostError) Error() string { return fmt.Sprintf("%d keys were condemned", len(e.keys)) }

// finish makes the version of all parts visible, again and again until no key of
// it was condemned meanwhile.
func (p *publishing) finish(ctx context.Context) (artifacts.Publication, error) {
	for {
		files, err := joined(p.parts)
		if err != nil {
			return artifacts.Publication{}, err
		}
		out, err := p.try(ctx, files)
		lost, is := errors.AsType[*lostError](err)
		if !is {
			return out, err
		}
		if pending, err := p.restore(ctx, lost.keys); err != nil || len(pending) > 0 {
			return artifacts.Publication{Pending: pending}, err
		}
	}
}

// try commits these files as a version. A lostError names keys that it cannot use.
func (p *publishing) try(ctx context.Context, files []file) (artifacts.Publication, error) {
	at, text, err := p.store(ctx, files)
	if err != nil {
		return artifacts.Publication{}, err
	}
	if err := p.mark(ctx); err != nil {
		return artifacts.Publication{}, err
	}
	v := p.version(files)
	checked := int64(-1) // up to which record no key was condemned
	for {
		e, err := p.attempt(ctx, v, &list{at.Digest, at.Size, at.Key, at.Version, text, at.Hot}, checked)
		switch {
		case err == nil:
			p.lists.keep(at.Digest, files)
			return p.published(e)
		case errors.Is(err, errNothing):
			return p.look(ctx)
		case !errors.Is(err, errUnchecked):
			return artifacts.Publication{}, err
		}
		if checked, err = p.check(ctx, at); err != nil {
			return artifacts.Publication{}, err
		}
	}
}

// attempt commits the record of v, unless a key was condemned after a record.
func (p *publishing) attempt(ctx context.Context, v artifacts.Version, at *list, checked int64) (*entry, error) {
	return p.commit(ctx, p.ledger, func(f *fold) (*entry, error) {
		if f.log.Last().Seq != checked {
			if err := p.usable(f, at); err != nil {
				return nil, err
			}
		}
		return p.plan(f, v, at)
	})
}

// version is what is published: files of all ranks, and what rank 0 says of them.
func (p *publishing) version(files []file) artifacts.Version {
	opts := p.parts[0].opts
	v := artifacts.Version{
		ID: artifacts.ID{Name: p.ledger.name}, Digest: artifacts.ContentDigest(infos(files)), Owner: opts.Owner, Kind: opts.Kind, Files: len(files),
		Lineage: opts.Lineage, Tags: opts.Tags, Metrics: opts.Metrics, Durable: !unsettled(files), Ready: true,
	}
	for _, f := range files {
		v.Bytes += f.Size
	}
	return v
}

// plan makes the record that publishes v, unless its ID was published.
func (p *publishing) plan(f *fold, v artifacts.Version, at *list) (*entry, error) {
	if _, _, err := f.log.Published(p.opts.ID); err == nil {
		return nil, errNothing
	}
	if err := p.expected(f); err != nil {
		return nil, err
	}
	r := p.record(p.opts.ID, p.parts[0].opts.With)
	r.Content = v.Digest
	r, err := f.log.Plan(r, &v)
	v.ID.Number, v.Created, v.By = r.Publish, r.Time, r.By
	return &entry{Record: r, Version: &v, Manifest: at}, err
}

// errUnchecked says that records came that may condemn keys.
var errUnchecked = errors.New("records to check")

// usable reports keys that were condemned since they were chosen: a lostError, or
// errUnchecked where the fold does not know.
func (p *publishing) usable(f *fold, at *list) error {
	var lost []string
	for _, one := range p.parts {
		gone, known := f.lost(one.base, one.keys(at))
		if !known && !p.skip.condemned && !p.skip.swept {
			return errUnchecked
		}
		lost = append(lost, gone...)
	}
	if len(lost) > 0 && !p.skip.condemned {
		return &lostError{lost}
	}
	return nil
}

// check does what usable does, with what can be read. It returns the record up to
// which it knows.
func (p *publishing) check(ctx context.Context, at *list) (int64, error) {
	seq := p.ledger.seq()
	var lost []string
	for _, one := range p.parts {
		gone, err := p.lost(ctx, p.ledger, one.base, one.keys(at))
		if err != nil {
			return 0, err
		}
		lost = append(lost, gone...)
	}
	if len(lost) > 0 {
		return 0, &lostError{lost}
	}
	return seq, nil
}

// keys returns the keys that a part needs; the list of all files is of the own one.
func (one part) keys(at *list) []string {
	keys := blobKeys(one.files)
	if one.own && at.Key != "" {
		keys = append(keys, at.Key)
	}
	return keys
}

// published is the result of a commit. What it holds is the caller's.
func (p *publishing) published(e *entry) (artifacts.Publication, error) {
	r, err := copied(e.Record)
	if err != nil {
		return artifacts.Publication{}, err
	}
	out := artifacts.Publication{Record: r}
	err = p.ledger.look(func(f *fold) (err error) {
		out.Version, _, err = f.log.Published(r.ID)
		return err
	})
	return out, err
}

// mark says that there is a name, before its first record.
func (p *publishing) mark(ctx context.Context) error {
	if p.ledger.seq() > 0 {
		return nil
	}
	if err := p.formatted(ctx); err != nil {
		return err
	}
	_, err := p.put(ctx, p.markerKey(p.ledger.name), nil, nil)
	return err
}

// store puts a list of files where a record finds it, unless a live version has
// the same one.
func (p *publishing) store(ctx context.Context, files []file) (at *list, text string, err error) {
	data, err := encodeFiles(files)
	if err != nil {
		return nil, "", err
	}
	at = &list{Digest: contentSum(data), Size: int64(len(data)), Hot: unsettled(files)}
	if len(data) <= inlineLimit {
		return at, string(data), nil
	}
	_ = p.ledger.look(func(f *fold) error {
		for _, m := range f.manifests {
			if m.Digest == at.Digest {
				at = m
			}
		}
		return nil
	})
	if at.Key != "" {
		return at, "", nil
	}
	at.Key = p.fresh("m", at.Digest)
	at.Version, err = p.put(ctx, p.ledger.base+at.Key, data, nil)
	return at, "", err
}

// restore sends again what was lost of the files that this process has. Parts of
// others that lost something are removed: they are missing, until their ranks come
// again.
func (p *publishing) restore(ctx context.Context, lost []string) (pending []int, err error) {
	if err := p.refresh(ctx, p.ledger); err != nil {
		return nil, err
	}
	gone := func(f file) bool {
		return slices.ContainsFunc(blobKeys([]file{f}), func(key string) bool { return slices.Contains(lost, key) })
	}
	for i := range p.parts {
		one := &p.parts[i]
		switch {
		case one.own:
			if err := p.resend(ctx, one, gone); err != nil {
				return nil, err
			}
		case slices.ContainsFunc(one.files, gone):
			if err := p.remove(ctx, p.ledger.base+rankKey(p.opts, one.rank), ""); err != nil {
				return nil, err
			}
			pending = append(pending, one.rank)
		}
	}
	return pending, nil
}

func (p *publishing) resend(ctx context.Context, own *part, gone func(file) bool) error {
	var again []artifacts.FileInfo
	for i, f := range own.files {
		if !gone(f) {
			continue
		}
		if p.files == nil {
			return fmt.Errorf("%s: %w: what belongs to it was collected before its version was visible", f.Path, artifacts.ErrConflict)
		}
		if p.found[i].Size < 0 {
			return fmt.Errorf("%s: %w: a stream that was sent was collected before its version was visible", f.Path, artifacts.ErrConflict)
		}
		again = append(again, p.found[i])
	}
	// Its other files keep the base of their keys: what holds for an older one holds.
	sent := part{}
	if _, err := p.send(ctx, &sent, again, newProgress(nil, nil)); err != nil {
		return err
	}
	kept := slices.Clone(own.files)
	for _, f := range sent.files {
		i, _ := slices.BinarySearchFunc(kept, f.Path, func(f file, path string) int { return bytes.Compare([]byte(f.Path), []byte(path)) })
		if kept[i].Digest != f.Digest {
			return fmt.Errorf("%s: %w: it changed since it was read", f.Path, artifacts.ErrConflict)
		}
		kept[i] = f
	}
	own.files = kept
	if p.opts.Ranks > 1 {
		return p.depart(ctx, *own)
	}
	return nil
}
