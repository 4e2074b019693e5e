package memory

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/genaistore/genaistore/internal/hlc"
)

// snapshotSchema is the version of what Snapshot writes.
const snapshotSchema = 1

// A snapshotFile is a JSON document. Content is an image, whose bytes the sum is of.
type snapshotFile struct {
	Schema  int
	SHA256  string
	Content json.RawMessage
}

type image struct {
	Latest   string
	Sessions []sessionImage
	States   []stateImage
}

type sessionImage struct {
	Key      Key
	Head     Head
	State    State
	Gist     Gist
	Records  []*Record
	Requests []requestImage
}

type requestImage struct {
	RequestID string
	Record    RecordID
	Version   int64
	Until     time.Time
}

type stateImage struct {
	Key   Key
	State State
}

// Snapshot writes the whole content of the store to w, as it is at one moment: a
// JSON document with a schema version and a checksum, equal bytes for equal
// content. Expired sessions and request ids are left out. It holds no lock while
// it writes; its errors are w's.
func (m *InMemory) Snapshot(w io.Writer) error {
	content, err := json.Marshal(m.image())
	if err == nil {
		sum := sha256.Sum256(content)
		err = json.NewEncoder(w).Encode(snapshotFile{snapshotSchema, hex.EncodeToString(sum[:]), content})
	}
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

func (m *InMemory) image() image {
	now := time.Now()
	m.mu.RLock()
	defer m.mu.RUnlock()
	img := image{Latest: string(bookmark(m.latest))}
	for key, s := range m.sessions {
		if s.head.expired(now) {
			continue
		}
		si := sessionImage{Key: key, Head: s.head, State: s.state, Gist: s.gist, Records: s.records}
		for name, r := range s.requests {
			if now.Before(r.until) {
				si.Requests = append(si.Requests, requestImage{name, r.record, r.version, r.until.UTC()})
			}
		}
		slices.SortFunc(si.Requests, func(a, b requestImage) int { return cmp.Compare(a.RequestID, b.RequestID) })
		img.Sessions = append(img.Sessions, si)
	}
	for key, state := range m.shared {
		img.States = append(img.States, stateImage{key, state})
	}
	slices.SortFunc(img.Sessions, func(a, b sessionImage) int { return a.Key.compare(b.Key) })
	slices.SortFunc(img.States, func(a, b stateImage) int { return a.Key.compare(b.Key) })
	return img
}

func (k Key) compare(other Key) int {
	return cmp.Or(
		cmp.Compare(k.Tenant, other.Tenant), cmp.Compare(k.App, other.App),
		cmp.Compare(k.User, other.User), cmp.Compare(k.Session, other.Session),
	)
}

// Restore replaces the whole content of the store by what Snapshot wrote, after it
// has read and checked all of it. Bytes that Snapshot did not write, or that have
// changed since, are [ErrCorrupt]; a snapshot from more than a minute in the future
// is [ErrClockSkew]; an error of r is returned. On any error the store is as it was.
// Bookmarks that were issued after the snapshot are not valid any more.
func (m *InMemory) Restore(r io.Reader) error {
	if err := m.restore(r); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

func (m *InMemory) restore(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	img, err := readImage(raw)
	if err != nil {
		return err
	}
	next, err := img.store()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if next.latest != (hlc.ID{}) {
		if err := m.clock.Observe(next.latest, time.Now()); err != nil {
			return err
		}
	}
	m.latest, m.sessions, m.shared, m.due, m.sweepAt = next.latest, next.sessions, next.shared, next.due, 0
	return nil
}

func readImage(raw []byte) (image, error) {
	var file snapshotFile
	if err := strictJSON(raw, &file); err != nil {
		return image{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if file.Schema != snapshotSchema {
		return image{}, fmt.Errorf("%w: schema %d: this version of the library reads %d", ErrCorrupt, file.Schema, snapshotSchema)
	}
	if sum := sha256.Sum256(file.Content); hex.EncodeToString(sum[:]) != file.SHA256 {
		return image{}, fmt.Errorf("%w: the content does not have the sum %.64q", ErrCorrupt, file.SHA256)
	}
	var img image
	if err := strictJSON(file.Content, &img); err != nil {
		return image{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return img, nil
}

// store builds what img shows, in a store that nobody else has.
func (img image) store() (*InMemory, error) {
	m := &InMemory{sessions: map[Key]*session{}, shared: map[Key]State{}}
	var err error
	if m.latest, err = Bookmark(img.Latest).id(); err != nil {
		return nil, err
	}
	for _, si := range img.Sessions {
		if _, ok := m.sessions[si.Key]; ok {
			return nil, fmt.Errorf("session %q is there twice", si.Key)
		}
		s, err := si.session(m.latest)
		if err != nil {
			return nil, fmt.Errorf("session %q: %w", si.Key, err)
		}
		m.sessions[si.Key] = s
		for name, r := range s.requests {
			m.due = append(m.due, due{r.until, s.requests, name})
		}
	}
	slices.SortFunc(m.due, func(a, b due) int { return a.until.Compare(b.until) })
	for _, st := range img.States {
		if _, ok := m.shared[st.Key]; ok || st.Key.Session != "" || len(st.State) == 0 {
			return nil, fmt.Errorf("state of %q: there twice, empty or of a session", st.Key)
		}
		state, err := st.State.normalValues()
		if err = cmp.Or(st.Key.ValidateScope(), err); err != nil {
			return nil, err
		}
		m.shared[st.Key] = state
	}
	return m, nil
}

func (si sessionImage) session(latest hlc.ID) (*session, error) {
	state, err := si.State.normalValues()
	if err != nil {
		return nil, err
	}
	h := si.Head
	err = cmp.Or(
		si.Key.Validate(), checkText("title", h.Title, MaxTitle), checkLabels(h.Labels),
		checkTime("created", h.Created), checkTime("active", h.Active), checkTime("expires", h.Expires),
		checkName("parent", h.Parent.Session, MaxKeyPart), h.Parent.UpTo.validateOptional(),
		si.Gist.UpTo.validateOptional(), checkText("gist", si.Gist.Text, MaxGist),
	)
	if err != nil {
		return nil, err
	}
	if h.Version < 1 || si.Gist.Tokens < 0 {
		return nil, errors.New("its version or its gist counts below what there can be")
	}
	s := &session{head: h.utc(), state: state, gist: si.Gist, requests: map[string]request{}}
	last := RecordID("")
	for _, r := range si.Records {
		if r == nil || r.ID <= last {
			return nil, fmt.Errorf("the record after %q is out of order", last)
		}
		if err := r.restore(latest); err != nil {
			return nil, fmt.Errorf("record %q: %w", r.ID, err)
		}
		last, s.records = r.ID, append(s.records, r)
	}
	return s, s.remember(si.Requests)
}

func (s *session) remember(requests []requestImage) error {
	for _, q := range requests {
		_, twice := s.requests[q.RequestID]
		if _, err := hlc.Parse(string(q.Record)); twice || q.RequestID == "" || err != nil {
			return fmt.Errorf("request id %q: empty, there twice or without a record id", q.RequestID)
		}
		if err := cmp.Or(checkName("request id", q.RequestID, MaxKeyPart), checkTime("request", q.Until)); err != nil {
			return err
		}
		s.requests[q.RequestID] = request{q.Record, q.Version, q.Until}
	}
	return nil
}

// restore checks r and brings it into the form in which Append keeps it.
func (r *Record) restore(latest hlc.ID) error {
	id, err := hlc.Parse(string(r.ID))
	if err != nil {
		return err
	}
	if id.Compare(latest) > 0 || !r.Time.Equal(id.Time()) {
		return errors.New("its id does not agree with its time or is later than the store")
	}
	if err := cmp.Or(checkName("request id", r.RequestID, MaxKeyPart), r.Notes.Validate()); err != nil {
		return err
	}
	entry, err := r.Normal()
	if err != nil {
		return err
	}
	r.Time, r.Entry = id.Time(), entry
	return nil
}

func (h Head) utc() Head {
	h.Created, h.Active, h.Expires = h.Created.UTC(), h.Active.UTC(), h.Expires.UTC()
	h.Labels = maps.Clone(h.Labels)
	if h.Labels == nil {
		h.Labels = map[string]string{}
	}
	return h
}

// strictJSON decodes one document that has nothing unknown in it and nothing after it.
func strictJSON(raw []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}
