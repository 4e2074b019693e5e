package artifacts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// SyncOptions adjusts a Sync. A nil *SyncOptions means the zero value.
type SyncOptions struct {
	// Publish is how a version is published, if one is. With its With an alias can be
	// moved to it.
	Publish PublishOptions
	// Alias is what the files are compared with: the latest version if empty.
	Alias string
}

// A Synced is what a Sync found and did.
type Synced struct {
	Version   Version // that has the files
	Published bool    // else they were those of Version already
	Changes   []Difference
	Sent      int64 // bytes that were not there yet
}

// Sync makes the files a version of name, unless the latest one, or the one that an
// alias points at, has just these: a directory that is staged again and again is a
// version for each state that it had. Files are compared by what is in them, not by
// their times; content that any version has is not sent again.
//
// The files are read once, and where something differs once more. Files of unknown
// size are ErrInvalid.
func Sync(ctx context.Context, store Store, name Name, files fs.FS, options *SyncOptions) (Synced, error) {
	opts := *cmp.Or(options, &SyncOptions{})
	if err := cmp.Or(ctx.Err(), Ref{Name: name, Alias: opts.Alias}.Validate(), opts.Publish.Validate()); err != nil {
		return Synced{}, fmt.Errorf("sync %s: %w", name, err)
	}
	s, err := opts.sync(ctx, store, name, files)
	if err != nil {
		return Synced{}, fmt.Errorf("sync %s: %w", name, err)
	}
	return s, nil
}

func (o SyncOptions) sync(ctx context.Context, store Store, name Name, files fs.FS) (Synced, error) {
	now, err := o.infos(ctx, files)
	if err != nil {
		return Synced{}, err
	}
	base, err := store.Resolve(ctx, Ref{Name: name, Alias: o.Alias})
	var before []FileInfo
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return Synced{}, err
	case base.Digest == ContentDigest(now):
		return Synced{Version: base}, nil
	default:
		if before, err = Manifest(ctx, store, base.ID); err != nil && !errors.Is(err, ErrNotFound) {
			return Synced{}, err
		}
	}
	s := Synced{Published: true}
	for d := range differences(before, now) {
		s.Changes = append(s.Changes, d)
	}
	p, err := store.Publish(ctx, name, files, &o.Publish)
	s.Version, s.Sent = p.Version, p.Sent
	return s, err
}

// infos reads files to know their digests.
func (o SyncOptions) infos(ctx context.Context, files fs.FS) ([]FileInfo, error) {
	if o.Publish.Ranks > 1 {
		return nil, fmt.Errorf("%w: one process syncs all files, not one of %d ranks", ErrInvalid, o.Publish.Ranks)
	}
	found, err := Scan(ctx, files)
	if err != nil {
		return nil, err
	}
	err = inParallel(ctx, len(found), func(ctx context.Context, i int) error {
		f := &found[i]
		if f.Size < 0 {
			return fmt.Errorf("%s: %w: a file of unknown size can be read only once", f.Path, ErrInvalid)
		}
		f.MediaType = cmp.Or(o.Publish.MediaTypes[f.Path], MediaType(f.Path))
		d := NewDigest()
		_, err := ReadFile(ctx, files, f.Path, make([]byte, min(max(f.Size, 512), 1<<20)), func(piece []byte) error {
			_, err := d.Write(piece)
			return err
		})
		f.Digest = d.String()
		return err
	})
	return found, err
}
