package artifacts

import (
	"context"
	"fmt"
	"iter"
	"strings"
)

// A Difference is a file that two versions do not have alike: its digest or its media
// type is another one.
type Difference struct {
	Path   string
	Before FileInfo // zero if the file is new
	After  FileInfo // zero if it is no more
}

// Added says that the file is new.
func (d Difference) Added() bool { return d.Before.Path == "" }

// Removed says that the file is no more.
func (d Difference) Removed() bool { return d.After.Path == "" }

// Diff yields in what the files of a version differ from those of another, in the
// order of paths. It reads lists of files and no file. A from with a Number of 0 has
// no files, so that everything is new. ErrNotFound reports a version that does not
// exist or was deleted: who follows a name from version to version begins again from
// nothing then.
func Diff(ctx context.Context, store Store, from, to ID) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		before, after, err := manifests(ctx, store, from, to)
		if err != nil {
			yield(Difference{}, fmt.Errorf("diff: %w", err))
			return
		}
		for d := range differences(before, after) {
			if err := ctx.Err(); err != nil {
				yield(Difference{}, fmt.Errorf("diff: %w", err))
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

func manifests(ctx context.Context, store Store, from, to ID) (before, after []FileInfo, err error) {
	if err := to.Validate(); err != nil {
		return nil, nil, err
	}
	if from.Number != 0 {
		if before, err = Manifest(ctx, store, from); err != nil {
			return nil, nil, err
		}
	}
	after, err = Manifest(ctx, store, to)
	return before, after, err
}

// first says which of two lists begins with the lower path: below 0 the one before.
func first(before, after []FileInfo) int {
	switch {
	case len(before) == 0:
		return 1
	case len(after) == 0:
		return -1
	}
	return strings.Compare(before[0].Path, after[0].Path)
}

// differences goes through two lists that are sorted by path.
func differences(before, after []FileInfo) iter.Seq[Difference] {
	return func(yield func(Difference) bool) {
		for len(before)+len(after) > 0 {
			d, order := Difference{}, first(before, after)
			if order <= 0 {
				d.Path, d.Before, before = before[0].Path, before[0], before[1:]
			}
			if order >= 0 {
				d.Path, d.After, after = after[0].Path, after[0], after[1:]
			}
			same := order == 0 && d.Before.Digest == d.After.Digest && d.Before.MediaType == d.After.MediaType
			if !same && !yield(d) {
				return
			}
		}
	}
}
