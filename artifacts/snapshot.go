package artifacts

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const snapshotSchema = "genaistore/artifacts/snapshot/v1"

// A snapshot is JSON Lines: a header, an artifact a line, and the SHA-256 of all
// lines before the last.
type snapshotHeader struct {
	Schema string `json:"schema"`
}

type snapshotTrailer struct {
	SHA256 string `json:"sha256"`
}

type artifactJSON struct {
	Name      Name
	Records   []Record
	Published []Version
	Trees     map[int64][]FileInfo
	Blobs     map[string][]byte // by digest
	Pending   map[string]pendingJSON
}

type pendingJSON struct {
	Ranks int
	Parts map[int]partJSON
}

type partJSON struct {
	Kind    Kind
	Owner   string
	Lineage Lineage
	Metrics map[string]Metric
	Tags    map[string]string
	With    []changeJSON
	Files   []FileInfo
}

// Snapshot writes everything in m to w, in a form that [InMemory.Restore] reads.
// It is what m was at one moment for each artifact.
func (m *InMemory) Snapshot(w io.Writer) error {
	sum := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(w, sum))
	if err := lines.Encode(snapshotHeader{snapshotSchema}); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	for _, name := range m.all() {
		if err := lines.Encode(m.artifact(name)); err != nil {
			return fmt.Errorf("snapshot of %s: %w", name, err)
		}
	}
	if err := lines.Encode(snapshotTrailer{hex.EncodeToString(sum.Sum(nil))}); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

func (m *InMemory) all() []Name {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(m.names), func(a, b Name) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Path, b.Path))
	})
}

// artifact collects what is under a name. What it refers to never changes.
func (m *InMemory) artifact(name Name) artifactJSON {
	m.mu.RLock()
	defer m.mu.RUnlock()
	a := cmp.Or(m.names[name], &artifact{})
	out := artifactJSON{
		Name: name, Records: a.records, Published: a.published,
		Trees: map[int64][]FileInfo{}, Blobs: map[string][]byte{}, Pending: map[string]pendingJSON{},
	}
	for n, t := range a.trees {
		out.Trees[n] = infos(t.files)
	}
	for digest, b := range a.blobs {
		out.Blobs[digest] = b.data
	}
	for id, p := range a.pending {
		parts := map[int]partJSON{}
		for rank, one := range p.parts {
			o := one.opts
			with := make([]changeJSON, 0, len(o.With))
			for _, c := range o.With {
				with = append(with, encodeChange(c))
			}
			parts[rank] = partJSON{o.Kind, o.Owner, o.Lineage, o.Metrics, o.Tags, with, infos(one.files)}
		}
		out.Pending[id] = pendingJSON{p.ranks, parts}
	}
	return out
}

// Restore replaces everything in m by a snapshot. It is read and verified as a
// whole before: ErrCorrupt reports one that is damaged or of another schema, and
// leaves m as it was, as an error of r does. Files that are open keep their bytes.
func (m *InMemory) Restore(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	names, err := restore(text)
	if err != nil {
		return fmt.Errorf("restore: %w: %w", ErrCorrupt, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = names
	return nil
}

func restore(text []byte) (map[Name]*artifact, error) {
	body, found := bytes.CutSuffix(text, []byte("\n"))
	last := bytes.LastIndexByte(body, '\n') + 1
	var trailer snapshotTrailer
	if err := strict(body[last:], &trailer); err != nil || !found {
		return nil, fmt.Errorf("the checksum at the end is missing: cut off? %w", cmp.Or(err, io.ErrUnexpectedEOF))
	}
	if sum := sha256.Sum256(body[:last]); hex.EncodeToString(sum[:]) != trailer.SHA256 {
		return nil, fmt.Errorf("%w: the bytes are not those of the checksum %.80q", ErrCorrupt, trailer.SHA256)
	}
	head, rest, _ := bytes.Cut(body[:last], []byte("\n"))
	var header snapshotHeader
	if err := strict(head, &header); err != nil || header.Schema != snapshotSchema {
		return nil, fmt.Errorf("%w: schema %.80q, not %s", cmp.Or(err, ErrCorrupt), header.Schema, snapshotSchema)
	}
	names := map[Name]*artifact{}
	for line := range bytes.Lines(rest) {
		var in artifactJSON
		if err := strict(line, &in); err != nil {
			return nil, err
		}
		if names[in.Name] != nil {
			return nil, fmt.Errorf("%w: artifact %s is there twice", ErrCorrupt, in.Name)
		}
		a, err := in.restore()
		if err != nil {
			return nil, fmt.Errorf("artifact %.200q: %w", in.Name, err)
		}
		names[in.Name] = a
	}
	return names, nil
}

// strict decodes one JSON value with no field that out does not have.
func strict(text []byte, out any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: more than one value in a line", ErrCorrupt)
	}
	return nil
}

// restore makes an artifact the way it came to be: its records are applied one
// after the other, so that nothing is taken on trust but their times.
func (in artifactJSON) restore() (*artifact, error) {
	if err := in.Name.Validate(); err != nil {
		return nil, err
	}
	blobs, err := in.verified()
	if err != nil {
		return nil, err
	}
	a := &artifact{trees: map[int64]tree{}}
	for _, r := range in.Records {
		var v *Version
		if n := r.Publish; n > 0 && n <= int64(len(in.Published)) {
			v = &in.Published[n-1]
			if err := in.check(*v, r); err != nil {
				return nil, err
			}
		}
		if err := a.log.Append(r, v); err != nil {
			return nil, err
		}
	}
	a.records, a.published = in.Records, in.Published
	if n := a.log.Next() - 1; n != int64(len(in.Published)) {
		return nil, fmt.Errorf("%w: %d versions, and records publish %d", ErrCorrupt, len(in.Published), n)
	}
	if err := cmp.Or(a.plant(in.Trees, blobs), a.wait(in.Pending, blobs)); err != nil {
		return nil, err
	}
	if len(a.blobs) != len(blobs) {
		return nil, fmt.Errorf("%w: %d blobs, and %d are used", ErrCorrupt, len(blobs), len(a.blobs))
	}
	return a, nil
}

// plant restores the files of all live versions.
func (a *artifact) plant(trees map[int64][]FileInfo, blobs map[string]*blob) error {
	live := 0
	for v := range a.log.Versions() {
		t, err := files(trees[v.ID.Number], blobs, v.Created)
		if err != nil {
			return fmt.Errorf("version %d: %w", v.ID.Number, err)
		}
		if err := describes(v, t); err != nil {
			return err
		}
		a.admit(t.files)
		a.trees[v.ID.Number] = t
		live++
	}
	if live != len(trees) {
		return fmt.Errorf("%w: files of %d versions, and %d are live", ErrCorrupt, len(trees), live)
	}
	return nil
}

// verified returns the blobs, whose bytes have the digests they are said to have.
func (in artifactJSON) verified() (map[string]*blob, error) {
	out := make(map[string]*blob, len(in.Blobs))
	for digest, data := range in.Blobs {
		d := NewDigest()
		_, _ = d.Write(data) // never fails
		if d.String() != digest {
			return nil, fmt.Errorf("%w: a blob has the digest %s, not %.100q", ErrCorrupt, d, digest)
		}
		out[digest] = &blob{data, d.Leaves()}
	}
	return out, nil
}

// check reports what a published version says that a Publish would not have let
// it say.
func (in artifactJSON) check(v Version, r Record) error {
	opts := PublishOptions{ID: r.ID, Owner: v.Owner, Kind: v.Kind, Lineage: v.Lineage, Metrics: v.Metrics, Tags: v.Tags}
	switch {
	case v.ID.Name != in.Name || r.ID == "" || v.Kind == "" || v.Digest != r.Content || v.Files < 1 || v.Files > MaxFiles || v.Bytes < 0 || !v.Durable || !v.Ready:
		return fmt.Errorf("%w: version %d is not what its record publishes", ErrCorrupt, r.Publish)
	case len(r.Changes) > 0:
		opts.With = r.Changes
	}
	return opts.Validate()
}

// wait restores the publications that wait for more ranks.
func (a *artifact) wait(all map[string]pendingJSON, blobs map[string]*blob) error {
	if len(all) > 0 {
		a.pending = make(map[string]*pending, len(all))
	}
	for id, in := range all {
		p := &pending{in.Ranks, map[int]part{}}
		if _, _, err := a.log.Published(id); err == nil || len(in.Parts) == 0 || len(in.Parts) >= in.Ranks {
			return fmt.Errorf("%w: publication %.80q has no rank to wait for", ErrCorrupt, id)
		}
		for rank, one := range in.Parts {
			opts, err := one.options(id, rank, in.Ranks)
			if err != nil {
				return err
			}
			t, err := files(one.Files, blobs, time.Time{})
			if err != nil {
				return err
			}
			a.admit(t.files)
			p.parts[rank] = part{opts.WithDefaults(), t.files}
		}
		a.pending[id] = p
	}
	return nil
}

func (p partJSON) options(id string, rank, ranks int) (*PublishOptions, error) {
	opts := &PublishOptions{
		ID: id, Ranks: ranks, Rank: rank, Kind: p.Kind, Owner: p.Owner, Lineage: p.Lineage, Metrics: p.Metrics, Tags: p.Tags,
	}
	for _, c := range p.With {
		change, err := decodeChange(c)
		if err != nil {
			return nil, err
		}
		opts.With = append(opts.With, change)
	}
	return opts, opts.Validate()
}

// files makes a tree of files whose bytes are among blobs.
func files(list []FileInfo, blobs map[string]*blob, created time.Time) (tree, error) {
	out := make([]leafFile, len(list))
	for i, f := range list {
		b := blobs[f.Digest]
		if b == nil || f.Size != int64(len(b.data)) || f.MediaType == "" || f.URI != "" {
			return tree{}, fmt.Errorf("%w: file %.200q of %d bytes has no such blob", ErrCorrupt, f.Path, f.Size)
		}
		out[i] = leafFile{f, b}
	}
	return newTree(out, created)
}

// describes reports an error unless v is a version with the files of t.
func describes(v Version, t tree) error {
	var size int64
	for _, f := range t.files {
		size += f.Size
	}
	if v.Files != len(t.files) || v.Bytes != size || v.Digest != ContentDigest(infos(t.files)) {
		return fmt.Errorf("%w: version %d has other files than its digest %s says", ErrCorrupt, v.ID.Number, v.Digest)
	}
	return nil
}
