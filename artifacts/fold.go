package artifacts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

type foldJSON struct {
	Last     Record
	Versions []foldedVersion
	Aliases  map[string]int64
	Past     map[string][]int64
}

type foldedVersion struct {
	Version Version
	Publish string // the ID of its Publish
	Seq     int64
	Deleted bool `json:",omitempty"`
}

// MarshalJSON implements json.Marshaler. A backend may store a log in this form,
// to begin with it in place of the first record. It is as large as all versions
// together, and says nothing that the records do not say.
func (l *Log) MarshalJSON() ([]byte, error) {
	out := foldJSON{Last: l.last, Aliases: l.aliases, Past: l.past, Versions: make([]foldedVersion, len(l.versions))}
	for i, e := range l.versions {
		out.Versions[i] = foldedVersion{Version: e.Version, Seq: e.seq, Deleted: e.deleted}
	}
	for id, n := range l.ids {
		out.Versions[n-1].Publish = id
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler. ErrCorrupt reports a text that no log
// has, and leaves l as it was. That it is the log of certain records only their
// digests can tell: the next one must follow [Log.Last].
func (l *Log) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var in foldJSON
	if err := dec.Decode(&in); err != nil {
		return fmt.Errorf("log: %w: %w", ErrCorrupt, err)
	}
	out := Log{last: in.Last, aliases: in.Aliases, past: in.Past, ids: map[string]int64{}}
	if out.aliases == nil {
		out.aliases = map[string]int64{}
	}
	if out.past == nil {
		out.past = map[string][]int64{}
	}
	for i, v := range in.Versions {
		if v.Version.ID.Number != int64(i)+1 || v.Publish == "" || out.ids[v.Publish] != 0 || v.Seq < 1 || v.Seq > in.Last.Seq {
			return fmt.Errorf("log: %w: version %d is out of its place", ErrCorrupt, i+1)
		}
		out.ids[v.Publish] = v.Version.ID.Number
		out.versions = append(out.versions, entry{Version: v.Version, seq: v.Seq, deleted: v.Deleted})
	}
	if err := out.consistent(); err != nil {
		return err
	}
	*l = out
	return nil
}

// consistent reports an alias that points where none can.
func (l *Log) consistent() error {
	if l.last.Seq > 0 {
		if sum, err := l.last.Sum(); err != nil || sum != l.last.Digest {
			return fmt.Errorf("log: %w: record %d has another digest than it says", ErrCorrupt, l.last.Seq)
		}
	}
	for alias, n := range l.aliases {
		if n < 1 || n >= l.Next() || l.versions[n-1].deleted || !slices.Contains(l.versions[n-1].Aliases, alias) {
			return fmt.Errorf("log: %w: alias %.140q points at version %d", ErrCorrupt, alias, n)
		}
	}
	for _, n := range slices.Concat(slices.Collect(maps.Values(l.past))...) {
		if n < 1 || n >= l.Next() {
			return fmt.Errorf("log: %w: an alias pointed at version %d", ErrCorrupt, n)
		}
	}
	return nil
}
