package s3artifacts

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/genaistore/genaistore/artifacts"
)

// Repaired is what a Repair did and found.
type Repaired struct {
	Records int // of the log that were uncovered
	Objects int // of versions that are what their keys have again
	// Lost are keys below the name that a version needs and that are gone for good, and
	// objects of others that were adopted, as s3://bucket/key, are not looked for.
	Lost []string
}

// Repair brings back what somebody deleted or overwrote by hand in a bucket with
// versions. Records of the log: it removes the delete markers that hide them; run it
// when a log is reported as [artifacts.ErrCorrupt] because a record is gone. Files of
// versions that were not deleted: they are read by the version that was published, so
// that nothing is lost at first, but a lifecycle rule removes what is not current after
// a while; it removes what hides them, markers and objects that others wrote under
// the same key. And it says what is gone for good, in a bucket without versions too.
//
// A record that somebody overwrote is left alone, because only people can know which
// one is right. It needs s3:ListBucketVersions and s3:DeleteObjectVersion, on the log
// too, which [Policy] denies: an administrator runs it. It costs 1 LIST for 1,000
// versions, and 1 DELETE for each version that it removes.
func (s *Store) Repair(ctx context.Context, name artifacts.Name) (Repaired, error) {
	if err := firstError(ctx.Err(), name.Validate()); err != nil {
		return Repaired{}, wrap("repair", name, err)
	}
	r := &repairing{Store: s, base: s.base(name)}
	err := r.repair(ctx, name)
	return r.done, wrap("repair", name, err)
}

type repairing struct {
	*Store
	base      string
	versioned bool
	done      Repaired
}

// forget drops what was read, which may end before what is there again.
func (s *Store) forget(name artifacts.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name)
}

func (r *repairing) repair(ctx context.Context, name artifacts.Name) (err error) {
	if r.versioned, err = r.Store.versioned(ctx); err != nil {
		return err
	}
	if r.versioned {
		err := r.records(ctx)
		r.forget(name)
		if err != nil {
			return err
		}
	}
	needed, err := r.needed(ctx, name)
	if err != nil {
		return err
	}
	return r.objects(ctx, needed)
}

// records uncovers those that have markers over their only version.
func (r *repairing) records(ctx context.Context) error {
	found, err := r.found(ctx, "log/")
	if err != nil {
		return err
	}
	for key, h := range found {
		if len(h.markers) == 0 || len(h.objects) != 1 {
			continue
		}
		if err := r.uncover(ctx, key, h.markers); err != nil {
			return err
		}
		r.done.Records++
	}
	return nil
}

// A keyHistory is what S3 has of a key: versions from the newest on, and markers.
type keyHistory struct {
	markers []string
	objects []types.ObjectVersion
}

func (r *repairing) found(ctx context.Context, folder string) (map[string]*keyHistory, error) {
	found := map[string]*keyHistory{}
	for v, err := range r.listVersions(ctx, r.base+folder) {
		if err != nil {
			return nil, err
		}
		h := found[value(v.Key)]
		if h == nil {
			h = &keyHistory{}
			found[value(v.Key)] = h
		}
		if isMarker(v) {
			h.markers = append(h.markers, value(v.VersionId))
		} else {
			h.objects = append(h.objects, v)
		}
	}
	return found, nil
}

func (r *repairing) uncover(ctx context.Context, key string, versions []string) error {
	for _, version := range versions {
		if err := r.remove(ctx, key, version); err != nil {
			return err
		}
	}
	return nil
}

// anyVersion is what is known of the version of a table.
const anyVersion = "?"

// needed returns the keys that live versions need, with the version of each.
func (r *repairing) needed(ctx context.Context, name artifacts.Name) (map[string]string, error) {
	l, err := r.current(ctx, name)
	if err != nil {
		return nil, err
	}
	needed := map[string]string{} // by key below the base
	var live []int64
	_ = l.look(func(f *fold) error {
		for version, m := range f.manifests {
			live = append(live, version)
			if m.Key != "" {
				needed[m.Key] = m.Version
			}
		}
		return nil
	})
	for _, version := range live {
		files, err := r.files(ctx, l, version)
		switch {
		case errors.Is(err, artifacts.ErrNotFound), errors.Is(err, artifacts.ErrCorrupt):
			continue // deleted meanwhile, or its list is lost, which is found below
		case err != nil:
			return nil, err
		}
		need(needed, files)
	}
	return needed, nil
}

// need adds the objects that files are in.
func need(needed map[string]string, files []file) {
	for _, f := range files {
		if f.Key != "" {
			needed[f.Key] = f.Version
		}
		if f.Table != "" {
			needed[f.Table] = anyVersion
		}
	}
}

func (r *repairing) objects(ctx context.Context, needed map[string]string) error {
	found := map[string]*keyHistory{}
	if !r.versioned {
		for o, err := range r.list(ctx, r.base) {
			if err != nil {
				return err
			}
			found[value(o.Key)] = &keyHistory{objects: []types.ObjectVersion{{IsLatest: new(true)}}}
		}
	}
	for _, folder := range []string{"b/", "m/", "t/"} {
		if !r.versioned {
			break
		}
		some, err := r.found(ctx, folder)
		if err != nil {
			return err
		}
		maps.Copy(found, some)
	}
	for key, version := range needed {
		if err := r.object(ctx, r.base+key, version, found[r.base+key]); err != nil {
			return err
		}
	}
	slices.Sort(r.done.Lost)
	return nil
}

// object makes a version of a key the one that the key has.
func (r *repairing) object(ctx context.Context, key, version string, h *keyHistory) error {
	if h == nil {
		h = &keyHistory{}
	}
	i := slices.IndexFunc(h.objects, func(o types.ObjectVersion) bool {
		return !r.versioned || version == anyVersion && len(h.objects) == 1 || realVersion(o.VersionId) == version
	})
	if i < 0 {
		if version != anyVersion || len(h.objects) == 0 {
			r.done.Lost = append(r.done.Lost, key[len(r.base):])
		}
		return nil
	}
	if latest := h.objects[i].IsLatest; latest != nil && *latest {
		return nil
	}
	hiding := slices.Clone(h.markers)
	for _, newer := range h.objects[:i] {
		hiding = append(hiding, value(newer.VersionId))
	}
	if len(hiding) == 0 {
		return nil
	}
	if err := r.uncover(ctx, key, hiding); err != nil {
		return err
	}
	r.done.Objects++
	return nil
}
