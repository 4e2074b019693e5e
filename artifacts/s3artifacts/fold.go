package s3artifacts

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

const foldSchema = "genaistore/artifacts/fold/v1"

// A fold is what a log comes to.
type fold struct {
	log       artifacts.Log
	link      string          // digest of the newest object
	manifests map[int64]*list // of the versions that are live, without the text
	condemned map[string]int64
	lists     map[int64]condemnation // by the record that condemned, until it is swept
	// forgotten is the newest record whose condemned keys are not in condemned any
	// more, because they were swept. Who began before it reads the records after.
	forgotten int64
	// cooled is the newest record that gave keys to an archive: as with forgotten.
	cooled   int64
	archived map[int64]time.Time // versions that are not ready, until when they are after all
}

// A condemnation is a record that condemned keys.
type condemnation struct {
	At   time.Time
	Keys []string
}

func newFold() *fold {
	return &fold{manifests: map[int64]*list{}, condemned: map[string]int64{}, lists: map[int64]condemnation{}, archived: map[int64]time.Time{}}
}

// add takes the next entry, whose condemned keys were read. What is wrong with it
// is ErrCorrupt and changes nothing.
func (f *fold) add(e *entry, condemned []string) error {
	r := e.Record
	if err := e.follows(f.link, f.log.Last()); err != nil {
		return err
	}
	if err := f.log.Append(r, e.Version); err != nil {
		return err
	}
	f.link = e.digest
	if e.Manifest != nil {
		m := *e.Manifest
		m.Text = ""
		f.manifests[r.Publish] = &m
	}
	if e.Condemn != nil {
		f.lists[r.Seq] = condemnation{r.Time, condemned}
		for _, key := range condemned {
			f.condemned[key] = r.Seq
		}
	}
	for _, seq := range e.Swept {
		for _, key := range f.lists[seq].Keys {
			delete(f.condemned, key)
		}
		if _, was := f.lists[seq]; was {
			f.forgotten = max(f.forgotten, seq)
		}
		delete(f.lists, seq)
	}
	f.place(e)
	if len(r.Changes) > 0 {
		f.prune()
	}
	return nil
}

// place takes from an entry where the bytes of versions are.
func (f *fold) place(e *entry) {
	if e.Archive != nil {
		f.cooled = e.Record.Seq
	}
	for _, version := range e.Archived {
		if f.manifests[version] != nil {
			f.archived[version] = time.Time{}
		}
	}
	if w := e.Warmed; w != nil && w.Until.IsZero() {
		delete(f.archived, w.Version)
		f.mark(w.Version, time.Now())
	} else if w != nil && f.manifests[w.Version] != nil {
		f.archived[w.Version] = w.Until
	}
	for version, at := range e.Moved {
		if f.manifests[version] != nil {
			f.manifests[version] = at
			f.mark(version, time.Now())
		}
	}
}

// mark says of a version whether it is settled and can be read at a time.
func (f *fold) mark(version int64, now time.Time) {
	until, archived := f.archived[version]
	f.log.Mark(version, !f.manifests[version].unsettled(), !archived || now.Before(until))
}

// remark marks the versions that are archived, which depends on the time.
func (f *fold) remark(now time.Time) {
	for version := range f.archived {
		f.mark(version, now)
	}
}

// prune drops the manifests of versions that were deleted.
func (f *fold) prune() {
	live := make(map[int64]bool, len(f.manifests))
	for v := range f.log.Versions() {
		live[v.ID.Number] = true
	}
	maps.DeleteFunc(f.manifests, func(n int64, _ *list) bool { return !live[n] })
	maps.DeleteFunc(f.archived, func(n int64, _ time.Time) bool { return !live[n] })
}

type foldJSON struct {
	Schema    string                 `json:"schema"`
	Link      string                 `json:"link"`
	Log       *artifacts.Log         `json:"log"`
	Manifests map[int64]*list        `json:"manifests,omitempty"`
	Lists     map[int64]condemnation `json:"lists,omitempty"`
	Forgotten int64                  `json:"forgotten,omitempty"`
	Cooled    int64                  `json:"cooled,omitempty"`
	Archived  map[int64]time.Time    `json:"archived,omitempty"`
}

type sealed struct {
	Schema string          `json:"schema"`
	Seq    int64           `json:"seq"`
	Sum    string          `json:"sum,omitempty"`
	Fold   json.RawMessage `json:"fold,omitempty"` // left out of a hint that would be too long
}

const sealSchema = "genaistore/artifacts/head/v1"

// seal writes a fold with its checksum. With a limit of bytes that it exceeds, only
// the number of the newest record is there.
func (f *fold) seal(limit int) ([]byte, error) {
	text, err := json.Marshal(foldJSON{foldSchema, f.link, &f.log, f.manifests, f.lists, f.forgotten, f.cooled, f.archived})
	if err != nil {
		return nil, err
	}
	out := sealed{Schema: sealSchema, Seq: f.log.Last().Seq}
	if limit == 0 || len(text) <= limit {
		out.Sum, out.Fold = contentSum(text), text
	}
	return json.Marshal(out)
}

// unseal reads a fold, which is nil where there is only the number of a record.
func unseal(text []byte, name artifacts.Name) (seq int64, f *fold, err error) {
	var in sealed
	if err := checkSchema(text, sealSchema); err != nil {
		return 0, nil, err
	}
	if err := strict(text, &in); err != nil {
		return 0, nil, err
	}
	if in.Fold == nil {
		return in.Seq, nil, nil
	}
	if contentSum(in.Fold) != in.Sum {
		return 0, nil, fmt.Errorf("%w: a fold fails its checksum", artifacts.ErrCorrupt)
	}
	if err := checkSchema(in.Fold, foldSchema); err != nil {
		return 0, nil, err
	}
	f = newFold()
	folded := foldJSON{Log: &f.log}
	if err := strict(in.Fold, &folded); err != nil {
		return 0, nil, err
	}
	f.link, f.forgotten, f.cooled = folded.Link, folded.Forgotten, folded.Cooled
	maps.Copy(f.manifests, folded.Manifests)
	maps.Copy(f.archived, folded.Archived)
	maps.Copy(f.lists, folded.Lists)
	for seq, c := range f.lists {
		for _, key := range c.Keys {
			f.condemned[key] = seq
		}
	}
	for v := range f.log.Versions() {
		if v.ID.Name != name || f.manifests[v.ID.Number] == nil {
			return 0, nil, fmt.Errorf("%w: a fold of another name, or without the files of version %d", artifacts.ErrCorrupt, v.ID.Number)
		}
	}
	return in.Seq, f, nil
}
