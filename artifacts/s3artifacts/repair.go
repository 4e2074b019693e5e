package s3artifacts

import (
	"context"

	"github.com/genaistore/genaistore/artifacts"
)

// Repair brings records of a name back that somebody deleted by hand in a bucket
// with versions: it removes the delete markers that hide them, and returns how many
// records it uncovered. Run it when a log is reported as [artifacts.ErrCorrupt]
// because a record is gone. The files of a version need no repair: they are read by
// the version that was published.
//
// A record that somebody overwrote is left alone, because only people can know
// which one is right; so is everything where the bucket has no versions, and what a
// lifecycle rule has removed for good. It needs s3:ListBucketVersions and
// s3:DeleteObjectVersion on the log, which [Policy] denies: an administrator runs it.
// It costs 1 LIST for 1,000 versions, and 1 DELETE for each marker.
func (s *Store) Repair(ctx context.Context, name artifacts.Name) (int, error) {
	if err := firstError(ctx.Err(), name.Validate()); err != nil {
		return 0, wrap("repair", name, err)
	}
	n, err := s.repair(ctx, s.base(name)+"log/")
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name) // what was read may end before what is there again
	return n, wrap("repair", name, err)
}

// A hidden record has markers over its only version.
type hidden struct {
	markers []string
	objects int
}

func (s *Store) repair(ctx context.Context, prefix string) (uncovered int, err error) {
	versioned, err := s.versioned(ctx)
	if err != nil || !versioned {
		return 0, err
	}
	found, err := s.markers(ctx, prefix)
	if err != nil {
		return 0, err
	}
	for key, h := range found {
		if len(h.markers) == 0 || h.objects != 1 {
			continue
		}
		for _, version := range h.markers {
			if err := s.remove(ctx, key, version); err != nil {
				return uncovered, err
			}
		}
		uncovered++
	}
	return uncovered, nil
}

func (s *Store) markers(ctx context.Context, prefix string) (map[string]*hidden, error) {
	found := map[string]*hidden{}
	for v, err := range s.listVersions(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		h := found[value(v.Key)]
		if h == nil {
			h = &hidden{}
			found[value(v.Key)] = h
		}
		if isMarker(v) {
			h.markers = append(h.markers, value(v.VersionId))
		} else {
			h.objects++
		}
	}
	return found, nil
}
