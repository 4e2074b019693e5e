package s3artifacts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/genaistore/genaistore/artifacts"
)

const (
	// storeKey is the object below the root that says what wrote the store.
	storeKey    = "_store.json"
	storeSchema = "genaistore/artifacts/store/v1"
)

// A storeFormat is what every writer of a store must know.
type storeFormat struct {
	Schema string `json:"schema"`
	// Needs are what a release must be able to do that writes here. This one knows none.
	Needs []string `json:"needs,omitempty"`
	// SingleWriter says that the server ignores If-None-Match, so that one process at a
	// time may write.
	SingleWriter bool   `json:"singleWriter,omitempty"`
	By           string `json:"by,omitempty"` // who made it
}

// A formatCheck is made once in a process, or by each of several calls that begin at a
// time: none waits for another.
type formatCheck struct{ done atomic.Bool }

// formatted makes sure that this release may write to the store, before the first
// version of a name. Where there is no store yet it begins one, and finds out whether
// the server honours If-None-Match: two records with one number would be the end of a
// log. It costs 1 GET in a process, and 2 PUT in the life of a store.
func (s *Store) formatted(ctx context.Context) error {
	if s.format.done.Load() {
		return nil
	}
	err := s.checkFormat(ctx)
	s.format.done.Store(err == nil)
	return err
}

func (s *Store) checkFormat(ctx context.Context) error {
	key := s.rooted(storeKey)
	got, err := s.get(ctx, key, "", span{})
	switch {
	case err == nil:
		return s.mayWrite(got.data)
	case !errors.Is(err, artifacts.ErrNotFound) || isNoBucket(err):
		return explained(err)
	}
	mine := storeFormat{Schema: storeSchema, By: s.opts.By}
	text, err := json.Marshal(mine)
	if err != nil {
		return err
	}
	version, err := s.put(ctx, key, text, asNew)
	if errors.Is(err, artifacts.ErrConflict) {
		if got, err = s.get(ctx, key, "", span{}); err != nil {
			return err
		}
		return s.mayWrite(got.data) // another process was first
	}
	if err != nil {
		return err
	}
	second, err := s.put(ctx, key, text, asNew)
	if errors.Is(err, artifacts.ErrConflict) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.careless(ctx, key, mine, []string{version, second})
}

// careless decides about a server that ignores conditions.
func (s *Store) careless(ctx context.Context, key string, mine storeFormat, versions []string) error {
	if !s.opts.SingleWriter {
		var left error
		for _, version := range versions {
			left = errors.Join(left, s.remove(ctx, key, version))
		}
		return errors.Join(errCareless(), left)
	}
	mine.SingleWriter = true
	text, err := json.Marshal(mine)
	if err != nil {
		return err
	}
	_, err = s.put(ctx, key, text, asJSON)
	return err
}

func errCareless() error {
	return fmt.Errorf("%w: the server ignores If-None-Match, so that two writers would overwrite each other: set Options.SingleWriter only if there will never be two", artifacts.ErrInvalid)
}

// mayWrite reports a store that this release, or this process, must not write to.
func (s *Store) mayWrite(text []byte) error {
	var there storeFormat
	if err := json.Unmarshal(text, &there); err != nil {
		return fmt.Errorf("%s: %w: %w", s.rooted(storeKey), artifacts.ErrCorrupt, err)
	}
	switch {
	case there.Schema != storeSchema:
		return fmt.Errorf("%w: the store has the format %.80q, and this release writes %s: use a newer release", artifacts.ErrInvalid, there.Schema, storeSchema)
	case len(there.Needs) > 0:
		return fmt.Errorf("%w: the store needs %.200q, which this release does not know: use a newer release", artifacts.ErrInvalid, strings.Join(there.Needs, ", "))
	case there.SingleWriter && !s.opts.SingleWriter:
		return errCareless()
	}
	return nil
}
