package artifacts

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// PublishOptions adjusts a Publish. A nil *PublishOptions means the zero value.
type PublishOptions struct {
	// ID makes the Publish happen once: a job and a step, an execution id. It is
	// remembered as long as the name has a log, also when the version is deleted.
	// Needed with Ranks; where a job that was started again writes other bytes, the
	// count of its starts belongs into it, or parts of two lives become one version.
	// Empty means a fresh one. At most [MaxText] bytes.
	ID string
	// IfNext asks that the version gets this number: nobody published since the
	// caller looked. ErrConflict otherwise. Zero asks nothing. Each rank asks for
	// itself, when it comes.
	IfNext int64
	// Ranks is how many processes publish parts of this version, Rank which of
	// them this is, from 0. Zero means one. A rank may have no files. Parts that
	// disagree on Ranks are ErrConflict. So are two parts that have the same path
	// with different content, as a file and as a directory, or in two forms that are not
	// [Distinct]: whoever comes last,
	// if not before, gets the error, and nothing becomes visible. A rank that comes
	// again before the version is visible replaces its part, after such an error
	// too. Parts wait for the others for a week at least.
	Ranks, Rank int
	// MediaTypes are by path, of the files of this rank. What is missing is guessed
	// by [MediaType].
	MediaTypes map[string]string
	// Progress is called as bytes are hashed and sent, from one goroutine at a time,
	// and, if the Publish succeeds, last with all of it done. A Publish that was
	// done before by its ID reads nothing and calls it never.
	Progress func(Progress)

	// What follows is taken from rank 0.

	Kind    Kind   // [Model] if empty
	Owner   string // the user or system whose data this is, for [Forget]
	Lineage Lineage
	Metrics map[string]Metric // at most [MaxTags]
	Tags    map[string]string // at most [MaxTags]; a tag without a value is left out
	// With is applied in the same record, after the version is there: a version of 0
	// in it means the one being published. If it fails, so does the Publish.
	With []Change
}

// WithDefaults returns what a Store acts on. It accepts a nil receiver.
func (o *PublishOptions) WithDefaults() PublishOptions {
	var opts PublishOptions
	if o != nil {
		opts = *o
	}
	opts.Ranks = cmp.Or(opts.Ranks, 1)
	opts.Kind = cmp.Or(opts.Kind, Model)
	return opts
}

// Validate reports an error that matches [ErrInvalid] unless a Store can act on
// o. It accepts a nil receiver.
func (o *PublishOptions) Validate() error {
	opts := o.WithDefaults()
	switch {
	case opts.IfNext < 0:
		return fmt.Errorf("%w: IfNext is %d: versions start at 1, and 0 expects nothing", ErrInvalid, opts.IfNext)
	case opts.Ranks < 1 || opts.Ranks > MaxRanks || opts.Rank < 0 || opts.Rank >= opts.Ranks:
		return fmt.Errorf("%w: rank %d of %d: ranks count from 0, at most %d", ErrInvalid, opts.Rank, opts.Ranks, MaxRanks)
	case opts.Ranks > 1 && opts.ID == "":
		return fmt.Errorf("%w: ranks publish under one ID, which is empty", ErrInvalid)
	}
	for path, media := range opts.MediaTypes {
		if !fs.ValidPath(path) || validateText("media type", media) != nil {
			return fmt.Errorf("%w: media type %.80q of path %.80q", ErrInvalid, media, path)
		}
	}
	if err := cmp.Or(
		validateText("publish id", opts.ID), validateText("owner", opts.Owner),
		opts.Kind.validate(), opts.Lineage.Validate(), validateTags(opts.Tags), validateMetrics(opts.Metrics),
	); err != nil || len(opts.With) == 0 {
		return err
	}
	if slices.ContainsFunc(opts.With, func(c Change) bool { d, is := c.(Delete); return is && d.Version == 0 }) {
		return fmt.Errorf("%w: With has a Delete of every version, which has the published one among them", ErrInvalid)
	}
	return ValidateChanges(withVersion(opts.With, 1)...)
}

// clone copies what o points to, so that a caller may change it.
func (o PublishOptions) clone() PublishOptions {
	o.MediaTypes, o.Metrics, o.Tags = maps.Clone(o.MediaTypes), maps.Clone(o.Metrics), maps.Clone(o.Tags)
	o.Lineage, o.With = o.Lineage.clone(), withVersion(o.With, 0)
	return o
}

// Progress tells how far a Publish is. Bytes is what the files say their sizes
// are, and grows where one does not say. In the end all of them are hashed, and
// each was sent or reused.
type Progress struct{ Files, FilesDone, Bytes, BytesHashed, BytesSent, BytesReused int64 }

// A Publication is what a Publish did.
type Publication struct {
	Version Version // as it is now; zero while Pending
	Record  Record  // that published it; zero while Pending
	Pending []int   // ranks whose part is still missing, ascending; empty when visible
	Reused  int64   // bytes of this call's files that were there already, or twice among them
	Sent    int64   // the others
	Again   bool    // the ID was published before, by another call
}
