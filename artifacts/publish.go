package artifacts

import (
	"cmp"
	"fmt"
	"io/fs"
)

// PublishOptions adjusts a Publish. A nil *PublishOptions means the zero value.
type PublishOptions struct {
	// ID makes the Publish happen once: a job and a step, an execution id. Needed
	// with Ranks. Empty means a fresh one. At most [MaxText] bytes.
	ID string
	// IfNext asks that the version gets this number: nobody published since the
	// caller looked. ErrConflict otherwise. Zero asks nothing.
	IfNext int64
	// Ranks is how many processes publish parts of this version, Rank which of
	// them this is, from 0. Zero means one. A rank may have no files. Two parts
	// with the same path and different content are ErrConflict, and so are parts
	// that disagree on Ranks. A rank that comes again before the version is
	// visible replaces its part.
	Ranks, Rank int
	Kind        Kind   // [Model] if empty; of rank 0
	Owner       string // the user or system whose data this is, for [Forget]; of rank 0
	Lineage     Lineage
	Metrics     map[string]Metric
	Tags        map[string]string
	MediaTypes  map[string]string // by path; guessed from the extension otherwise
	// With is applied in the same record: a version of 0 in it means the one being
	// published. Of the rank that commits; all ranks give the same.
	With []Change
	// Progress is called as bytes are hashed and sent, from one goroutine at a time.
	Progress func(Progress)
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
	case len(opts.Lineage.Parents)+len(opts.Lineage.Inputs) > MaxFiles:
		return fmt.Errorf("%w: a lineage of more than %d", ErrInvalid, MaxFiles)
	}
	for path, media := range opts.MediaTypes {
		if !fs.ValidPath(path) || validateText("media type", media) != nil {
			return fmt.Errorf("%w: media type %.80q of path %.80q", ErrInvalid, media, path)
		}
	}
	if err := cmp.Or(
		validateText("publish id", opts.ID), validateText("owner", opts.Owner),
		Name{Path: string(opts.Kind)}.Validate(), validateTags(opts.Tags), validateMetrics(opts.Metrics),
	); err != nil {
		return err
	}
	if len(opts.With) == 0 {
		return nil
	}
	return ValidateChanges(opts.With, true)
}

// Progress tells how far a Publish is.
type Progress struct{ Files, FilesDone, Bytes, BytesHashed, BytesSent, BytesReused int64 }

// A Publication is what a Publish did.
type Publication struct {
	Version Version // zero while Pending
	Record  Record  // zero while Pending
	Pending []int   // ranks whose part is still missing, ascending; empty when visible
	Reused  int64   // bytes that were there already
	Sent    int64
	Again   bool // the ID was published before
}
