package artifacts

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// InMemory is a [Store] that keeps artifacts in the process. Its zero value is an
// empty Store, ready to use. Everything in it is durable and ready for as long as
// the process lives; [InMemory.Snapshot] and [InMemory.Restore] carry it over to
// the next one. The bytes of a deleted version are freed when no open file has
// them.
type InMemory struct {
	// By is who writes, for Version.By and Record.By. It must not change once the
	// store is used.
	By string

	mu    sync.RWMutex
	names map[Name]*artifact
}

// An artifact is all there is under a name.
type artifact struct {
	log       Log
	records   []Record  // record n at n-1; they never change
	published []Version // as they were published, version n at n-1
	trees     map[int64]tree
	blobs     map[string]*shared // by digest
	pending   map[string]*pending
}

// A shared blob is kept while versions or parts use it.
type shared struct {
	*blob
	uses int
}

// A pending publication waits for more ranks.
type pending struct {
	ranks int
	parts map[int]part
}

// A part is what one rank published.
type part struct {
	opts  PublishOptions
	files []leafFile
}

var _ Store = (*InMemory)(nil)

// Resolve implements [Store].
func (m *InMemory) Resolve(ctx context.Context, ref Ref) (Version, error) {
	if err := cmp.Or(ctx.Err(), ref.Validate()); err != nil {
		return Version{}, fmt.Errorf("resolve: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var none artifact
	v, err := cmp.Or(m.names[ref.Name], &none).log.Resolve(ref)
	if err != nil {
		return Version{}, fmt.Errorf("resolve %s: %w", ref, err)
	}
	return v, nil
}

// Open implements [Store].
func (m *InMemory) Open(ctx context.Context, id ID, path string) (File, error) {
	if err := cmp.Or(ctx.Err(), id.Validate()); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	t, err := m.files(id)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", id, err)
	}
	f, err := t.open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id, err)
	}
	return f, nil
}

func (m *InMemory) files(id ID) (tree, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if a := m.names[id.Name]; a != nil && a.trees[id.Number].files != nil {
		return a.trees[id.Number], nil
	}
	return tree{}, ErrNotFound
}

// Apply implements [Store].
func (m *InMemory) Apply(ctx context.Context, name Name, changes ...Change) (Record, error) {
	if err := cmp.Or(ctx.Err(), name.Validate(), ValidateChanges(changes...)); err != nil {
		return Record{}, fmt.Errorf("apply %s: %w", name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.names[name]
	if a == nil {
		return Record{}, fmt.Errorf("apply %s: %w", name, ErrNotFound)
	}
	r, d, err := a.log.plan(m.record(newID(), changes), nil)
	if err != nil {
		return Record{}, fmt.Errorf("apply %s: %w", name, err)
	}
	if r.Seq > a.log.last.Seq {
		a.commit(r, d)
	}
	return r.clone(), nil
}

func (m *InMemory) record(id string, changes []Change) Record {
	return Record{Time: time.Now().Round(0).UTC(), By: m.By, ID: id, Changes: changes}
}

// commit makes the record and what it does visible.
func (a *artifact) commit(r Record, d *draft) {
	a.log.commit(r, d)
	a.records = append(a.records, r)
	for n, e := range d.versions {
		if e.deleted {
			a.release(a.trees[n].files)
			delete(a.trees, n)
		}
	}
}

// History implements [Store].
func (m *InMemory) History(ctx context.Context, name Name, opts *HistoryOptions) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := cmp.Or(ctx.Err(), name.Validate()); err != nil {
			yield(Record{}, fmt.Errorf("history: %w", err))
			return
		}
		for prev, r := range links(m.records(name), cmp.Or(opts, &HistoryOptions{})) {
			if err := cmp.Or(ctx.Err(), r.Follows(prev)); err != nil {
				yield(Record{}, fmt.Errorf("history of %s: %w", name, err))
				return
			}
			if !yield(r.clone(), nil) {
				return
			}
		}
	}
}

// links yields the records that opts select, each after the one before it in the
// log.
func links(records []Record, opts *HistoryOptions) iter.Seq2[Record, Record] {
	return func(yield func(prev, r Record) bool) {
		first := int(min(max(opts.After, 0), int64(len(records))))
		selected := slices.All(records[first:])
		if opts.Backward {
			selected = slices.Backward(records[first:])
		}
		for i, r := range selected {
			var prev Record
			if first+i > 0 {
				prev = records[first+i-1]
			}
			if !yield(prev, r) {
				return
			}
		}
	}
}

// records returns the records there are now. Later ones are added behind them.
func (m *InMemory) records(name Name) []Record {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if a := m.names[name]; a != nil {
		return a.records
	}
	return nil
}

// List implements [Store].
func (m *InMemory) List(ctx context.Context, query Query) iter.Seq2[Version, error] {
	query.Tags = maps.Clone(query.Tags)
	return func(yield func(Version, error) bool) {
		if err := cmp.Or(ctx.Err(), query.Validate()); err != nil {
			yield(Version{}, fmt.Errorf("list: %w", err))
			return
		}
		for _, name := range m.covered(query) {
			for _, v := range m.selected(name, query) {
				if err := ctx.Err(); err != nil {
					yield(Version{}, fmt.Errorf("list: %w", err))
					return
				}
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}

// covered returns the names that query may select from, in order.
func (m *InMemory) covered(query Query) []Name {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var names []Name
	for name := range m.names {
		if query.covers(name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b Name) int { return strings.Compare(a.Path, b.Path) })
	return names
}

func (m *InMemory) selected(name Name, query Query) []Version {
	m.mu.RLock()
	defer m.mu.RUnlock()
	a := m.names[name]
	if a == nil {
		return nil
	}
	latest := a.log.latest()
	var out []Version
	for v := range a.log.Versions() {
		if query.Match(v) && (!query.Latest || v.ID.Number == latest) {
			out = append(out, v.clone())
		}
	}
	return out
}

// admit adds files to what the name has, so that content of which it has a copy
// is kept once, and says how many bytes were there before.
func (a *artifact) admit(files []leafFile) (sent, reused int64) {
	if a.blobs == nil {
		a.blobs = map[string]*shared{}
	}
	for i, f := range files {
		have := a.blobs[f.Digest]
		if have == nil {
			have = &shared{blob: f.blob}
			a.blobs[f.Digest] = have
			sent += f.Size
		} else {
			reused += f.Size
		}
		have.uses++
		files[i].blob = have.blob
	}
	return sent, reused
}

func (a *artifact) release(files []leafFile) {
	for _, f := range files {
		have := a.blobs[f.Digest]
		if have.uses--; have.uses == 0 {
			delete(a.blobs, f.Digest)
		}
	}
}

// join puts the files of all parts together. A path that parts disagree about is
// ErrConflict.
func join(parts map[int]part, created time.Time) (tree, error) {
	byPath := map[string]leafFile{}
	for _, rank := range slices.Sorted(maps.Keys(parts)) {
		for _, f := range parts[rank].files {
			other, twice := byPath[f.Path]
			if twice && other.Digest != f.Digest {
				return tree{}, fmt.Errorf("%w: %s of rank %d is not that of another rank", ErrConflict, f.Path, rank)
			}
			if !twice {
				byPath[f.Path] = f
			}
		}
	}
	if len(byPath) == 0 || len(byPath) > MaxFiles {
		return tree{}, fmt.Errorf("%w: %d files: from 1 to %d in a version", ErrInvalid, len(byPath), MaxFiles)
	}
	t, err := newTree(slices.Collect(maps.Values(byPath)), created)
	if err == nil {
		err = Distinct(infos(t.files))
	}
	if err != nil {
		// Each part is well formed, so it is their union that is not.
		return tree{}, fmt.Errorf("%w: parts together: %w", ErrConflict, err)
	}
	return t, nil
}

func infos(files []leafFile) []FileInfo {
	out := make([]FileInfo, len(files))
	for i, f := range files {
		out[i] = f.FileInfo
	}
	return out
}

// readPart reads the files of a Publish, several at a time.
func readPart(ctx context.Context, files fs.FS, opts PublishOptions) (part, *progress, error) {
	found, err := Scan(ctx, files)
	if err != nil {
		return part{}, nil, err
	}
	p := part{opts: opts, files: make([]leafFile, len(found))}
	shown := newProgress(opts.Progress, found)
	err = inParallel(ctx, len(found), func(ctx context.Context, i int) error {
		b, digest, err := readFile(ctx, files, found[i].Path, func(n int64) { shown.hashed(n, found[i].Size) })
		if err != nil {
			return err
		}
		info := FileInfo{Path: found[i].Path, Size: int64(len(b.data)), Digest: digest}
		info.MediaType = cmp.Or(opts.MediaTypes[info.Path], MediaType(info.Path))
		p.files[i] = leafFile{info, b}
		shown.file()
		return nil
	})
	return p, shown, err
}
