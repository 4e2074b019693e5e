package artifacts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// A Record is one entry in the log of a name. Seq counts from 1 without gaps.
// Digest is [Record.Sum], and Prev the Digest of the record before, empty in the
// first: whoever has the newest Digest can prove every record before it.
type Record struct {
	Seq    int64
	Time   time.Time
	By     string // a role or a job, from the store's configuration
	ID     string // that of the Publish, or one that the store made up
	Digest string
	Prev   string
	// Content is the Digest of the version published in it, or of what a backend
	// keeps in its log for itself; empty if neither.
	Content string
	Publish int64    // the version published in it, or 0
	Changes []Change // with every version 0 that means the published one filled in
	// Moved says what the changes did to aliases, in their order, rollbacks
	// included. A change that left its alias where it was is not in it.
	Moved []Move
}

// A Move is an alias that came to point elsewhere; 0 is nowhere.
type Move struct {
	Alias string `json:"alias"`
	From  int64  `json:"from"`
	To    int64  `json:"to"`
}

// Sum returns the digest that a record with these fields has: "sha256:" and 64
// hexadecimal digits, of SHA-256 over its JSON without the Digest.
func (r Record) Sum() (string, error) {
	r.Digest = ""
	text, err := r.MarshalJSON()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return digestPrefix + hex.EncodeToString(sum[:]), nil
}

// Follows reports an error that matches [ErrCorrupt] unless r is as it was
// written, right after prev. A zero prev is before the first.
func (r Record) Follows(prev Record) error {
	sum, err := r.Sum()
	switch {
	case err != nil:
		return fmt.Errorf("record %d: %w: %w", r.Seq, ErrCorrupt, err)
	case sum != r.Digest:
		return fmt.Errorf("record %d: %w: its digest is %s, not %s", r.Seq, ErrCorrupt, sum, r.Digest)
	case r.Seq != prev.Seq+1 || r.Prev != prev.Digest:
		return fmt.Errorf("record %d: %w: it follows %q, and record %d is %q", r.Seq, ErrCorrupt, r.Prev, prev.Seq, prev.Digest)
	}
	return nil
}

func (r Record) clone() Record {
	r.Changes = withVersion(r.Changes, 0)
	r.Moved = append([]Move(nil), r.Moved...)
	return r
}

// The JSON forms have their fields in the order of names, so that the text of a
// record is the same from every encoder that sorts them.
type recordJSON struct {
	By      string       `json:"by,omitempty"`
	Changes []changeJSON `json:"changes,omitempty"`
	Content string       `json:"content,omitempty"`
	Digest  string       `json:"digest,omitempty"`
	ID      string       `json:"id,omitempty"`
	Moved   []Move       `json:"moved,omitempty"`
	Prev    string       `json:"prev,omitempty"`
	Publish int64        `json:"publish,omitempty"`
	Seq     int64        `json:"seq"`
	Time    time.Time    `json:"time"`
}

type changeJSON struct {
	Alias    string                `json:"alias,omitempty"`
	By       string                `json:"by,omitempty"`
	Evidence []sampleJSON          `json:"evidence,omitempty"`
	Metrics  map[string]metricJSON `json:"metrics,omitempty"`
	Op       string                `json:"op"`
	Reason   string                `json:"reason,omitempty"`
	Tags     map[string]string     `json:"tags,omitempty"`
	Version  int64                 `json:"version,omitempty"`
}

type sampleJSON struct {
	At     time.Time `json:"at"`
	Metric string    `json:"metric"`
	N      int64     `json:"n,omitempty"`
	Value  float64   `json:"value"`
}

type metricJSON struct {
	Better Better  `json:"better,omitempty"`
	N      int64   `json:"n,omitempty"`
	Value  float64 `json:"value"`
}

// MarshalJSON implements json.Marshaler. The text is compact, has its fields in
// the order of their names and its times in UTC.
func (r Record) MarshalJSON() ([]byte, error) {
	out := recordJSON{
		By: r.By, Content: r.Content, Digest: r.Digest, ID: r.ID, Moved: r.Moved,
		Prev: r.Prev, Publish: r.Publish, Seq: r.Seq, Time: r.Time.UTC(),
	}
	for _, c := range r.Changes {
		out.Changes = append(out.Changes, encodeChange(c))
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// UnmarshalJSON implements json.Unmarshaler. It does not verify the digest; see
// [Record.Follows]. A field or a change that is not known is ErrCorrupt: a record
// that is understood in part must not be acted on.
func (r *Record) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var in recordJSON
	if err := dec.Decode(&in); err != nil {
		return fmt.Errorf("record: %w: %w", ErrCorrupt, err)
	}
	out := Record{
		Seq: in.Seq, Time: in.Time, By: in.By, ID: in.ID, Digest: in.Digest, Prev: in.Prev,
		Content: in.Content, Publish: in.Publish, Moved: in.Moved,
	}
	for _, c := range in.Changes {
		change, err := decodeChange(c)
		if err != nil {
			return fmt.Errorf("record %d: %w", in.Seq, err)
		}
		out.Changes = append(out.Changes, change)
	}
	*r = out
	return nil
}

func encodeChange(c Change) changeJSON {
	switch c := c.(type) {
	case SetAlias:
		return changeJSON{Op: "alias", Alias: c.Alias, Version: c.Version, Reason: c.Reason}
	case RemoveAlias:
		return changeJSON{Op: "unalias", Alias: c.Alias, Reason: c.Reason}
	case Rollback:
		out := changeJSON{Op: "rollback", Alias: c.Alias, Reason: c.Reason}
		for _, s := range c.Evidence {
			out.Evidence = append(out.Evidence, sampleJSON{At: s.At.UTC(), Metric: s.Metric, N: s.N, Value: s.Value})
		}
		return out
	case Quarantine:
		return changeJSON{Op: "quarantine", Version: c.Version, Reason: c.Reason}
	case Release:
		return changeJSON{Op: "release", Version: c.Version, Reason: c.Reason}
	case Pin:
		return changeJSON{Op: "pin", Version: c.Version, By: c.By}
	case Unpin:
		return changeJSON{Op: "unpin", Version: c.Version, By: c.By}
	case Delete:
		return changeJSON{Op: "delete", Version: c.Version, Reason: c.Reason}
	case Note:
		metrics := convert(c.Metrics, func(m Metric) metricJSON { return metricJSON{Better: m.Better, N: m.N, Value: m.Value} })
		return changeJSON{Op: "note", Version: c.Version, Tags: c.Tags, Metrics: metrics}
	case Expect:
		return changeJSON{Op: "expect", Alias: c.Alias, Version: c.Version}
	}
	return changeJSON{}
}

func convert[From, To any](in map[string]From, one func(From) To) map[string]To {
	if in == nil {
		return nil
	}
	out := make(map[string]To, len(in))
	for key, value := range in {
		out[key] = one(value)
	}
	return out
}

func decodeChange(c changeJSON) (Change, error) {
	switch c.Op {
	case "alias":
		return SetAlias{c.Alias, c.Version, c.Reason}, nil
	case "unalias":
		return RemoveAlias{c.Alias, c.Reason}, nil
	case "rollback":
		out := Rollback{Alias: c.Alias, Reason: c.Reason}
		for _, s := range c.Evidence {
			out.Evidence = append(out.Evidence, Sample{Metric: s.Metric, Value: s.Value, N: s.N, At: s.At})
		}
		return out, nil
	case "quarantine":
		return Quarantine{c.Version, c.Reason}, nil
	case "release":
		return Release{c.Version, c.Reason}, nil
	case "pin":
		return Pin{c.Version, c.By}, nil
	case "unpin":
		return Unpin{c.Version, c.By}, nil
	case "delete":
		return Delete{c.Version, c.Reason}, nil
	case "note":
		metrics := convert(c.Metrics, func(m metricJSON) Metric { return Metric{Value: m.Value, N: m.N, Better: m.Better} })
		return Note{Version: c.Version, Tags: c.Tags, Metrics: metrics}, nil
	case "expect":
		return Expect{c.Alias, c.Version}, nil
	}
	return nil, fmt.Errorf("%w: change %.80q is not known", ErrCorrupt, c.Op)
}
