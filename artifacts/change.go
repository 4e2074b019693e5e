package artifacts

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// A Change is one of [SetAlias], [RemoveAlias], [Rollback], [Quarantine],
// [Release], [Pin], [Unpin], [Delete], [Note] and [Expect], by value: a pointer to
// one is ErrInvalid. Where one names a version that does not exist or was deleted,
// it is ErrNotFound unless its documentation says otherwise.
type Change interface {
	// Validate reports an error that matches ErrInvalid unless the change is well
	// formed. A version of 0 is for [ValidateChanges] to judge.
	Validate() error
	change()
}

type (
	// SetAlias points an alias at a version. A quarantined one is ErrConflict.
	SetAlias struct {
		Alias   string
		Version int64
		Reason  string
	}
	// RemoveAlias removes an alias; an absent one is no error.
	RemoveAlias struct{ Alias, Reason string }
	// Rollback points the alias at its most recent earlier version that is live,
	// not quarantined and ready, see [Previous], and quarantines the one it pointed
	// at. It takes back the moves that it undoes: what it leaves and what it passes
	// over is not earlier any more, so that repeating it goes further back and never
	// to and fro. Give an [Expect] to roll back one version only once. An absent alias
	// is ErrNotFound; one that was removed and set again remembers where it was.
	Rollback struct {
		Alias, Reason string // the reason is needed: it becomes that of the quarantine
		Evidence      []Sample
	}
	// Quarantine keeps a version out of Latest, SetAlias and Rollback. Aliases
	// that point at it stay. A Reason is needed; the newest counts.
	Quarantine struct {
		Version int64
		Reason  string
	}
	// Release ends a quarantine; where there is none it changes nothing.
	Release struct {
		Version int64
		Reason  string
	}
	// Pin keeps a version from Delete and from collection, until Unpin by all who
	// pinned it. By is needed.
	Pin struct {
		Version int64
		By      string
	}
	// Unpin removes the pin of By; an absent one is no error, also on a version
	// that was deleted.
	Unpin struct {
		Version int64
		By      string
	}
	// Delete makes versions unreachable; their space is collected later. A pinned
	// or aliased version is ErrConflict. Version 0 means every version (not in
	// [PublishOptions.With], where it is ErrInvalid); one that was deleted before is
	// no error.
	Delete struct {
		Version int64
		Reason  string
	}
	// Note adds or replaces metrics and tags of a version. An empty tag value
	// removes the tag. More than [MaxTags] of either afterwards is ErrInvalid.
	Note struct {
		Version int64
		Metrics map[string]Metric
		Tags    map[string]string
	}
	// Expect changes nothing: Apply fails with ErrConflict unless Alias points at
	// Version when the Apply begins. Version 0 means that there is no such alias.
	Expect struct {
		Alias   string
		Version int64
	}
)

func (SetAlias) change()    {}
func (RemoveAlias) change() {}
func (Rollback) change()    {}
func (Quarantine) change()  {}
func (Release) change()     {}
func (Pin) change()         {}
func (Unpin) change()       {}
func (Delete) change()      {}
func (Note) change()        {}
func (Expect) change()      {}

// Validate implements [Change].
func (c SetAlias) Validate() error { return validateAlias(c.Alias, c.Version, c.Reason) }

// Validate implements [Change].
func (c RemoveAlias) Validate() error { return validateAlias(c.Alias, 0, c.Reason) }

// Validate implements [Change].
func (c Rollback) Validate() error {
	if c.Reason == "" || len(c.Evidence) > MaxTags {
		return fmt.Errorf("%w: a rollback needs a reason, and at most %d samples of evidence", ErrInvalid, MaxTags)
	}
	for _, s := range c.Evidence {
		if err := s.Validate(); err != nil {
			return err
		}
	}
	return validateAlias(c.Alias, 0, c.Reason)
}

// Validate implements [Change].
func (c Quarantine) Validate() error {
	return cmp.Or(validateNeeded("the reason of a quarantine", c.Reason), validateVersion(c.Version, c.Reason))
}

// Validate implements [Change].
func (c Release) Validate() error { return validateVersion(c.Version, c.Reason) }

// Validate implements [Change].
func (c Pin) Validate() error {
	return cmp.Or(validateNeeded("the owner of a pin", c.By), validateVersion(c.Version, c.By))
}

// Validate implements [Change].
func (c Unpin) Validate() error {
	return cmp.Or(validateNeeded("the owner of a pin", c.By), validateVersion(c.Version, c.By))
}

// Validate implements [Change].
func (c Delete) Validate() error { return validateVersion(c.Version, c.Reason) }

// Validate implements [Change].
func (c Note) Validate() error {
	return cmp.Or(validateVersion(c.Version, ""), validateMetrics(c.Metrics), validateTags(c.Tags))
}

// Validate implements [Change].
func (c Expect) Validate() error { return validateAlias(c.Alias, c.Version, "") }

func validateAlias(alias string, version int64, reason string) error {
	return cmp.Or(ValidateAlias(alias), validateVersion(version, reason))
}

func validateVersion(version int64, text string) error {
	if version < 0 {
		return fmt.Errorf("%w: version %d: versions start at 1", ErrInvalid, version)
	}
	return validateText("reason", text)
}

func validateNeeded(what, text string) error {
	if text == "" {
		return fmt.Errorf("%w: %s is empty", ErrInvalid, what)
	}
	return nil
}

// ValidateChanges reports an error that matches [ErrInvalid] unless changes may
// be applied: the rules of [Store.Apply] that need no store. Version 0 has a
// meaning in Delete and Expect alone.
func ValidateChanges(changes ...Change) error {
	if len(changes) == 0 || len(changes) > MaxChanges {
		return fmt.Errorf("%w: %d changes: from 1 to %d", ErrInvalid, len(changes), MaxChanges)
	}
	for _, c := range changes {
		if !known(c) {
			return fmt.Errorf("%w: change %T is not one of package artifacts, by value", ErrInvalid, c)
		}
		if err := c.Validate(); err != nil {
			return fmt.Errorf("%T: %w", c, err)
		}
		if version := versionOf(c); version != nil && *version == 0 {
			return fmt.Errorf("%T: %w: version 0: versions start at 1", c, ErrInvalid)
		}
	}
	return nil
}

// known says whether c is one of the changes above, by value.
func known(c Change) bool {
	switch c.(type) {
	case SetAlias, RemoveAlias, Rollback, Quarantine, Release, Pin, Unpin, Delete, Note, Expect:
		return true
	}
	return false
}

// versionOf returns the version that c is about, or nil where 0 has a meaning of
// its own.
func versionOf(c Change) *int64 {
	switch c := c.(type) {
	case SetAlias:
		return &c.Version
	case Quarantine:
		return &c.Version
	case Release:
		return &c.Version
	case Pin:
		return &c.Version
	case Unpin:
		return &c.Version
	case Note:
		return &c.Version
	}
	return nil
}

// withVersion returns copies of changes in which a version of 0 is published,
// except where 0 has a meaning of its own.
func withVersion(changes []Change, published int64) []Change {
	if len(changes) == 0 {
		return nil
	}
	out := make([]Change, 0, len(changes))
	for _, c := range changes {
		switch c := c.(type) {
		case SetAlias:
			c.Version = cmp.Or(c.Version, published)
			out = append(out, c)
		case Quarantine:
			c.Version = cmp.Or(c.Version, published)
			out = append(out, c)
		case Release:
			c.Version = cmp.Or(c.Version, published)
			out = append(out, c)
		case Pin:
			c.Version = cmp.Or(c.Version, published)
			out = append(out, c)
		case Unpin:
			c.Version = cmp.Or(c.Version, published)
			out = append(out, c)
		case Note:
			c.Version = cmp.Or(c.Version, published)
			c.Metrics, c.Tags = maps.Clone(c.Metrics), maps.Clone(c.Tags)
			out = append(out, c)
		case Rollback:
			c.Evidence = slices.Clone(c.Evidence)
			out = append(out, c)
		default:
			out = append(out, c)
		}
	}
	return out
}

// A Sample is one measurement that led to a decision.
type Sample struct {
	Metric string
	Value  float64
	N      int64
	At     time.Time
}

// Validate reports an error that matches [ErrInvalid] unless s is well formed.
func (s Sample) Validate() error {
	if year := s.At.UTC().Year(); s.Metric == "" || math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || s.N < 0 || year < 0 || year > 9999 {
		return fmt.Errorf("%w: sample of %.80q: a metric, a finite value, N of 0 or more, a year of four digits", ErrInvalid, s.Metric)
	}
	return validateText("metric", s.Metric)
}
