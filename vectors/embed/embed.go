// Package embed turns text into the vectors that package vectors stores.
//
// Code that embeds depends on [Embedder]. Package glove is one that works
// offline, for examples, tests and small corpora; embed/bedrock has the
// model families of Amazon Bedrock. Every implementation passes the suite in
// package embedtest.
//
// A passage and the question that it answers are embedded by two different
// methods, because most models want to be told which of them they see, and lose
// quality when they are not.
package embed

import (
	"context"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/genaistore/genaistore/internal/fault"
)

// The kinds of error that an Embedder reports, the same values as in the other
// packages of this module.
var (
	// ErrNotFound reports that an index names no model: see [Model.Check].
	ErrNotFound = fault.NotFound
	// ErrInvalid reports a text that cannot be embedded or a wrong model. The
	// message says what would be right.
	ErrInvalid = fault.Invalid
	// ErrThrottled reports that the model's service asks to retry later.
	ErrThrottled = fault.Throttled
	// ErrCorrupt reports model data or an answer that breaks its own format.
	ErrCorrupt = fault.Corrupt
	// ErrDenied reports that the caller may not use the model.
	ErrDenied = fault.Denied
)

// An Embedder turns text into vectors of one model. It is safe for concurrent
// use.
//
// Vectors are finite, not all zero, and have Model().Dimension elements, so an
// index of either metric accepts them. The same text gives the same vector, as
// far as the model's service promises that. The caller owns what is returned.
//
// A text without a single letter or digit has no meaning to embed: it gives
// [ErrInvalid], whatever the model would have made of it. A cancelled context
// stops both methods with an error that matches the context's.
type Embedder interface {
	// Documents embeds passages that will be stored. It returns one vector for
	// each text, in the order of texts, or an error and no vectors at all; the
	// error names the position of a text that was refused. Any number of texts
	// is allowed: an implementation splits them as its service demands. No
	// texts give no vectors and no error.
	Documents(ctx context.Context, texts []string) ([][]float32, error)

	// Query embeds a question that will be searched with.
	Query(ctx context.Context, text string) ([]float32, error)

	// Model names the vector space. Vectors of different models must not meet
	// in one index.
	Model() Model
}

// MaxDimension is the largest dimension of an Amazon S3 vector index.
const MaxDimension = 4096

// maxID is the length that the value of an AWS tag may have, in characters.
const maxID = 256

// A Model identifies a vector space. Two Embedders whose Models are equal give
// vectors that can be compared.
type Model struct {
	// ID names the model and everything else that changes its vectors, such as
	// its version or a normalisation: "amazon.titan-embed-text-v2:0". It has 1
	// to 256 characters: letters, digits, spaces and _ . : / = + - @, which is
	// what the tag of an AWS resource can hold.
	ID string
	// Dimension is the number of elements of each vector, 1 to [MaxDimension].
	Dimension int
}

// The tags that record a Model at an index.
const (
	TagModel     = "genaistore:embed-model"
	TagDimension = "genaistore:embed-dimension"
)

// String returns the model in the form id/dimension.
func (m Model) String() string { return m.ID + "/" + strconv.Itoa(m.Dimension) }

// Validate reports an error that matches [ErrInvalid] unless the model can be
// recorded at an index.
func (m Model) Validate() error {
	if n := utf8.RuneCountInString(m.ID); n < 1 || n > maxID {
		return fmt.Errorf("model %s: %w: id has %d characters, want 1 to %d", m, ErrInvalid, n, maxID)
	}
	for _, r := range m.ID {
		if !taggable(r) {
			return fmt.Errorf("model %s: %w: id has %q, want letters, digits, spaces and _.:/=+-@", m, ErrInvalid, r)
		}
	}
	if m.Dimension < 1 || m.Dimension > MaxDimension {
		return fmt.Errorf("model %s: %w: dimension %d, want 1 to %d", m, ErrInvalid, m.Dimension, MaxDimension)
	}
	return nil
}

func taggable(r rune) bool {
	switch r {
	case '_', '.', ':', '/', '=', '+', '-', '@':
		return true
	case utf8.RuneError:
		return false
	}
	return unicode.In(r, unicode.L, unicode.Z, unicode.N)
}

// Tags returns the tags that record the model at an index when it is created.
func (m Model) Tags() map[string]string {
	return map[string]string{TagModel: m.ID, TagDimension: strconv.Itoa(m.Dimension)}
}

// Check compares the model with the tags of an index, so that a query with
// another model is refused instead of answered with noise. It returns an error
// that matches [ErrInvalid] when the index was filled by another model, and one
// that matches [ErrNotFound] when its tags name none.
func (m Model) Check(tags map[string]string) error {
	id, ok := tags[TagModel]
	dimension, ok2 := tags[TagDimension]
	if !ok || !ok2 {
		return fmt.Errorf("model %s: %w: the index has no tags %s and %s", m, ErrNotFound, TagModel, TagDimension)
	}
	if id != m.ID || dimension != strconv.Itoa(m.Dimension) {
		return fmt.Errorf("model %s: %w: the index holds vectors of %s/%s", m, ErrInvalid, id, dimension)
	}
	return nil
}

// CheckText reports an error that matches [ErrInvalid] unless the text is valid
// UTF-8 with at least one letter or digit. Implementations call it first, so
// that all of them refuse the same texts.
func CheckText(text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%w: text is not valid UTF-8", ErrInvalid)
	}
	for _, r := range text {
		if unicode.In(r, unicode.L, unicode.N) {
			return nil
		}
	}
	return fmt.Errorf("%w: text has no letter or digit", ErrInvalid)
}
