package s3artifacts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

const entrySchema = "genaistore/artifacts/log/v1"

// An entry is one object of the log: a record of the contract, and what only this
// backend needs to know. Link is the SHA-256 of the whole object before it, so
// that nothing in a log can be changed unseen.
type entry struct {
	Schema   string             `json:"schema"`
	Nonce    string             `json:"nonce"` // of the attempt, so that a writer knows its own
	Link     string             `json:"link,omitempty"`
	Record   artifacts.Record   `json:"record"`
	Version  *artifacts.Version `json:"version,omitempty"` // as it was published
	Manifest *list              `json:"manifest,omitempty"`
	Condemn  *list              `json:"condemn,omitempty"`
	Swept    []int64            `json:"swept,omitempty"`    // records whose condemned keys are gone
	Archive  *list              `json:"archive,omitempty"`  // keys that no version may use from here on
	Archived []int64            `json:"archived,omitempty"` // versions that need one of them
	Warmed   *warmed            `json:"warmed,omitempty"`
	Moved    map[int64]*list    `json:"moved,omitempty"` // lists of files of versions whose bytes are elsewhere now

	digest string // of the object
}

// A warmed version can be read until a time, or for good if that is zero.
type warmed struct {
	Version int64     `json:"version"`
	Until   time.Time `json:"until,omitzero"`
}

// A list is text that lies in a record, or in an object of its own if it is long.
type list struct {
	Digest  string `json:"digest"`
	Size    int64  `json:"size"`
	Key     string `json:"key,omitempty"`
	Version string `json:"version,omitempty"` // of the object, where the bucket has versions
	Text    string `json:"text,omitempty"`
	Hot     bool   `json:"hot,omitempty"` // of files some of which are in a hot tier alone
}

// unsettled says that losing a hot tier would lose files of a list.
func (at *list) unsettled() bool { return at != nil && at.Hot }

func contentSum(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// strict decodes one JSON value without a field that out does not have.
func strict(text []byte, out any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		return fmt.Errorf("%w: %w", artifacts.ErrCorrupt, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: more than one JSON value", artifacts.ErrCorrupt)
	}
	return nil
}

// schemaOf tells a newer form from a broken one.
func checkSchema(text []byte, want string) error {
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return fmt.Errorf("%w: %w", artifacts.ErrCorrupt, err)
	}
	if head.Schema != want {
		return fmt.Errorf("%w: schema %.80q, and this release reads %s", artifacts.ErrCorrupt, head.Schema, want)
	}
	return nil
}

func (e *entry) encode() ([]byte, error) {
	e.Schema = entrySchema
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	e.digest = contentSum(text)
	return text, nil
}

func decodeEntry(text []byte) (*entry, error) {
	if err := checkSchema(text, entrySchema); err != nil {
		return nil, err
	}
	var e entry
	if err := strict(text, &e); err != nil {
		return nil, err
	}
	e.digest = contentSum(text)
	r := e.Record
	switch {
	case e.Nonce == "",
		(r.Publish != 0) != (e.Version != nil), (e.Version != nil) != (e.Manifest != nil),
		e.Version != nil && e.Version.Digest != r.Content,
		e.Condemn != nil && (e.Version != nil || e.Condemn.Digest != r.Content),
		(e.Archive != nil) != (len(e.Archived) > 0), e.Archive != nil && (e.Version != nil || e.Condemn != nil || e.Archive.Digest != r.Content),
		len(e.Moved) > 0 && (e.Version != nil || e.Condemn != nil || e.Archive != nil), slices.Contains(slices.Collect(maps.Values(e.Moved)), nil):
		return nil, fmt.Errorf("record %d: %w: its parts do not fit together", r.Seq, artifacts.ErrCorrupt)
	}
	return &e, nil
}

// follows reports an error that matches ErrCorrupt unless e is what was written
// after the object with this digest.
func (e *entry) follows(digest string, prev artifacts.Record) error {
	if e.Link != digest {
		return fmt.Errorf("record %d: %w: it was written after another record %d than there is", e.Record.Seq, artifacts.ErrCorrupt, prev.Seq)
	}
	return e.Record.Follows(prev)
}

// keys returns the condemned keys of a list.
func keys(text []byte) []string {
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
}
