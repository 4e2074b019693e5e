package s3artifacts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/genaistore/genaistore/artifacts"
)

// Capabilities are what a Probe found.
type Capabilities struct {
	// Conditions says that If-None-Match: * is honoured. Without it two writers
	// overwrite each other's records: do not write to such a store.
	Conditions bool
	// MissingIsNotFound says that a key that is not there is answered with 404. S3
	// answers 403 to those who lack s3:ListBucket.
	MissingIsNotFound bool
	// ReadsWrites says that what was written is read at once.
	ReadsWrites bool
	// Ranges says that a part of an object can be read.
	Ranges bool
	// Lists says that what was written is listed at once.
	Lists bool
	// Checksums says that bytes are refused that do not have the CRC-32C sent with them.
	Checksums bool
	// Versioned says that the bucket keeps versions. It needs them for nothing, and
	// with them files are read by the version that was published.
	Versioned bool
}

// Err reports an error that matches [artifacts.ErrInvalid] unless a Store works on
// what was probed.
func (c Capabilities) Err() error {
	for _, need := range []struct {
		has  bool
		what string
	}{
		{c.Conditions, "it ignores If-None-Match: two writers would overwrite each other"},
		{c.MissingIsNotFound, "a key that is not there is denied: the role needs s3:ListBucket"},
		{c.ReadsWrites, "it does not answer with what was just written"},
		{c.Ranges, "it ignores ranges"},
		{c.Lists, "it does not list what was just written"},
	} {
		if !need.has {
			return fmt.Errorf("%w: the bucket cannot be a store: %s", artifacts.ErrInvalid, need.what)
		}
	}
	return nil
}

// Probe tries what the store relies on, with small objects below {root}/probe that
// it deletes, and says what it found. Run it once before a store that is not
// Amazon's own is written to. It costs about ten requests. An error says that the
// probe could not end, not that something is missing; see [Capabilities.Err].
func (s *Store) Probe(ctx context.Context) (Capabilities, error) {
	c, err := s.probe(ctx)
	if err != nil {
		return Capabilities{}, fmt.Errorf("probe %s: %w", s.bucket, err)
	}
	return c, nil
}

func (s *Store) probe(ctx context.Context) (c Capabilities, err error) {
	if c.Versioned, err = s.versioned(ctx); err != nil && !errors.Is(err, artifacts.ErrDenied) {
		return c, err
	}
	prefix := s.rooted("probe", rand.Text()) + "/"
	key := prefix + "object"
	_, err = s.get(ctx, key, "", span{})
	c.MissingIsNotFound = errors.Is(err, artifacts.ErrNotFound)
	if isNoBucket(err) || err != nil && !c.MissingIsNotFound && !errors.Is(err, artifacts.ErrDenied) {
		return c, err
	}
	first, err := s.put(ctx, key, []byte("first"), asNew)
	if err != nil {
		return c, err
	}
	versions := []string{first}
	defer func() {
		for _, version := range versions {
			err = errors.Join(err, s.remove(ctx, key, version))
		}
	}()
	second, err := s.put(ctx, key, []byte("second"), asNew)
	switch c.Conditions = errors.Is(err, artifacts.ErrConflict); {
	case err == nil:
		versions = append(versions, second)
	case !c.Conditions:
		return c, err
	}
	return c, s.probeReads(ctx, &c, prefix, key)
}

func (s *Store) probeReads(ctx context.Context, c *Capabilities, prefix, key string) error {
	want := "first"
	if !c.Conditions {
		want = "second"
	}
	whole, err := s.get(ctx, key, "", span{})
	if err != nil {
		return err
	}
	c.ReadsWrites = string(whole.data) == want
	some, err := s.get(ctx, key, "", span{1, 2})
	c.Ranges = err == nil && string(some.data) == want[1:3]
	for o, err := range s.list(ctx, prefix) {
		if err != nil && !errors.Is(err, artifacts.ErrDenied) {
			return err
		}
		c.Lists = c.Lists || value(o.Key) == key
	}
	wrong := checksum(1)
	other := prefix + "wrong"
	version, err := s.put(ctx, other, []byte("wrong"), func(in *s3.PutObjectInput) { in.ChecksumCRC32C = &wrong })
	if c.Checksums = err != nil; !c.Checksums || errors.Is(err, artifacts.ErrCorrupt) {
		return s.remove(ctx, other, version)
	}
	return nil
}
