package artifacts

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// A Change is one of [SetAlias], [RemoveAlias], [Rollback], [Quarantine],
// [Release], [Pin], [Unpin], [Delete], [Note] and [Expect].
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
	// not quarantined and ready, and quarantines the one it pointed at. Repeating
	// it goes further back and never to and fro. Give an [Expect] to roll back one
	// version only once. An absent alias is ErrNotFound.
	Rollback struct {
		Alias, Reason string // the reason is needed: it becomes that of the quarantine
		Evidence      []Sample
	}
	// Quarantine keeps a version out of Latest, SetAlias and Rollback. Aliases
	// that point at it stay. A Reason is needed.
	Quarantine struct {
		Version int64
		Reason  string
	}
	// Release ends a quarantine.
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
	// Unpin removes the pin of By; an absent one is no error.
	Unpin struct {
		Version int64
		By      string
	}
	// Delete makes versions unreachable; their space is collected later. A pinned
	// or aliased version is ErrConflict. Version 0 means every version; one that
	// was deleted before is no error.
	Delete struct {
		Version int64
		Reason  string
	}
	// Note adds or replaces metrics and tags of a version. An empty tag value
	// removes the tag.
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
func (c Quarantine) Validate() error { return validateVersion(c.Version, c.Reason, true) }

// Validate implements [Change].
func (c Release) Validate() error { return validateVersion(c.Version, c.Reason, false) }

// Validate implements [Change].
func (c Pin) Validate() error { return validateVersion(c.Version, c.By, true) }

// Validate implements [Change].
func (c Unpin) Validate() error { return validateVersion(c.Version, c.By, true) }

// Validate implements [Change].
func (c Delete) Validate() error { return validateVersion(c.Version, c.Reason, false) }

// Validate implements [Change].
func (c Note) Validate() error {
	return cmp.Or(validateVersion(c.Version, "", false), validateMetrics(c.Metrics), validateTags(c.Tags))
}

// Validate implements [Change].
func (c Expect) Validate() error { return validateAlias(c.Alias, c.Version, "") }

func validateAlias(alias string, version int64, reason string) error {
	return cmp.Or(ValidateAlias(alias), validateVersion(version, reason, false))
}

func validateVersion(version int64, text string, needed bool) error {
	if version < 0 {
		return fmt.Errorf("%w: version %d: versions start at 1", ErrInvalid, version)
	}
	if needed && text == "" {
		return fmt.Errorf("%w: a quarantine needs a reason, a pin needs to say by whom", ErrInvalid)
	}
	return validateText("reason", text)
}

// ValidateChanges reports an error that matches [ErrInvalid] unless changes may
// be applied: the rules of [Store.Apply] that need no store. Version 0 is
// allowed where it has a meaning, in Delete and Expect, and with publishing,
// where it is the version being published.
func ValidateChanges(changes []Change, publishing bool) error {
	if len(changes) == 0 || len(changes) > MaxChanges {
		return fmt.Errorf("%w: %d changes: from 1 to %d", ErrInvalid, len(changes), MaxChanges)
	}
	for i, c := range changes {
		if c == nil {
			return fmt.Errorf("%w: change %d is nil", ErrInvalid, i)
		}
		if err := c.Validate(); err != nil {
			return fmt.Errorf("%T: %w", c, err)
		}
		if version, has := versionOf(c); has && version == 0 && !publishing {
			return fmt.Errorf("%T: %w: version 0: versions start at 1", c, ErrInvalid)
		}
	}
	return nil
}

// versionOf returns the version that c is about, where 0 has no meaning of its
// own.
func versionOf(c Change) (version int64, has bool) {
	switch c := c.(type) {
	case SetAlias:
		return c.Version, true
	case Quarantine:
		return c.Version, true
	case Release:
		return c.Version, true
	case Pin:
		return c.Version, true
	case Unpin:
		return c.Version, true
	case Note:
		return c.Version, true
	}
	return 0, false
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
	if s.Metric == "" || math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || s.N < 0 {
		return fmt.Errorf("%w: sample of %q: a metric, a finite value, N of 0 or more", ErrInvalid, s.Metric)
	}
	return validateText("metric", s.Metric)
}

// A Record is one entry in the log of a name. Seq counts from 1 without gaps.
// Prev is the Digest of the record before, empty in the first, so that History
// can verify the chain.
type Record struct {
	Seq     int64
	Time    time.Time
	By      string // a role or a job, from the store's configuration
	Digest  string
	Prev    string
	Publish int64    // the version published in it, or 0
	Changes []Change // with every version 0 that means the published one filled in
	// Moved says what the record did to aliases, rollbacks included.
	Moved []Move
}

// A Move is an alias that came to point elsewhere; 0 is nowhere.
type Move struct {
	Alias    string
	From, To int64
}
