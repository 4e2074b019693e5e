package s3artifacts

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/artifacts"
)

// Resolve implements [artifacts.Store].
func (s *Store) Resolve(ctx context.Context, ref artifacts.Ref) (artifacts.Version, error) {
	if err := firstError(ctx.Err(), ref.Validate()); err != nil {
		return artifacts.Version{}, fmt.Errorf("resolve: %w", err)
	}
	v, err := s.resolve(ctx, ref)
	return v, wrap("resolve", ref, err)
}

func (s *Store) resolve(ctx context.Context, ref artifacts.Ref) (v artifacts.Version, err error) {
	l, err := s.recent(ctx, ref.Name)
	if err != nil {
		return v, err
	}
	err = l.look(func(f *fold) (err error) {
		v, err = f.log.Resolve(ref)
		return err
	})
	return v, err
}

// Open implements [artifacts.Store]. A file holds the 16 MiB of it that were read
// last, so that each is fetched once by a reader who goes from end to end.
func (s *Store) Open(ctx context.Context, id artifacts.ID, path string) (artifacts.File, error) {
	if err := firstError(ctx.Err(), id.Validate()); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	f, err := s.open(ctx, id, path)
	if err != nil {
		return nil, wrap("open", id, err)
	}
	return f, nil
}

func (s *Store) open(ctx context.Context, id artifacts.ID, path string) (artifacts.File, error) {
	l, err := s.recent(ctx, id.Name)
	if err != nil {
		return nil, err
	}
	var v artifacts.Version
	err = l.look(func(f *fold) (err error) {
		v, err = f.log.Resolve(artifacts.Ref{Name: id.Name, Number: id.Number})
		return err
	})
	if err != nil {
		return nil, err
	}
	tree, err := s.tree(ctx, l, v)
	if err != nil {
		return nil, err
	}
	return tree.Open(ctx, path)
}

// tree returns the files of a version. Those of the versions that were opened last
// are kept.
func (s *Store) tree(ctx context.Context, l *ledger, v artifacts.Version) (*artifacts.Tree, error) {
	const kept = 4
	key := treeKey{version: v.ID.Number}
	l.mu.Lock()
	if at := l.fold.manifests[key.version]; at != nil {
		key.list = at.Digest
	}
	tree := l.trees[key]
	l.mu.Unlock()
	if tree != nil {
		return tree, nil
	}
	files, err := s.files(ctx, l, v.ID.Number)
	if err != nil {
		return nil, err
	}
	tree, err = artifacts.NewTree(s.located(l, files), v.Created, func(info artifacts.FileInfo) (artifacts.Content, error) {
		i, _ := slices.BinarySearchFunc(files, info.Path, func(f file, path string) int { return strings.Compare(f.Path, path) })
		return &content{Store: s, ledger: l, file: files[i], version: v.ID.Number}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", artifacts.ErrCorrupt, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.trees) >= kept || l.trees == nil {
		l.trees = map[treeKey]*artifacts.Tree{}
	}
	l.trees[key] = tree
	return tree, nil
}

// located says of each file where its bytes lie.
func (s *Store) located(l *ledger, files []file) []artifacts.FileInfo {
	out := infos(files)
	for i := range out {
		out[i].URI = s.place(l, files[i].blob).uri()
	}
	return out
}

// A content reads the object of a file, a leaf at a time, and verifies each.
type content struct {
	*Store
	ledger  *ledger
	file    file
	version int64

	mu     sync.Mutex
	leaves []byte // digests; read when they are needed
	last   []byte // the leaf that was read last
	number int64
}

// ReadAt implements [artifacts.Content].
func (c *content) ReadAt(ctx context.Context, p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		leaf := (offset + int64(n)) / artifacts.LeafSize
		data, err := c.leaf(ctx, leaf)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], data[offset+int64(n)-leaf*artifacts.LeafSize:])
	}
	return n, nil
}

func (c *content) leaf(ctx context.Context, number int64) ([]byte, error) {
	c.mu.Lock()
	last, at := c.last, c.number
	c.mu.Unlock()
	if last != nil && at == number {
		return last, nil
	}
	from := span{offset: number * artifacts.LeafSize}
	from.length = min(c.file.Size-from.offset, artifacts.LeafSize)
	whole := from.length == c.file.Size
	got := from
	if whole {
		got = span{} // a whole object can be read where a range of it cannot
	}
	o, err := c.fetch(ctx, got)
	if errors.Is(err, artifacts.ErrNotFound) || errors.Is(err, artifacts.ErrArchived) {
		if err = c.moved(ctx, err); err == nil {
			o, err = c.fetch(ctx, got)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case int64(len(o.data)) != from.length:
		return nil, fmt.Errorf("%s: %w: %d bytes, not %d", c.file.Path, artifacts.ErrCorrupt, len(o.data), from.length)
	}
	if err := c.verify(ctx, number, o.data); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.number = o.data, number
	return o.data, nil
}

// blob is where the bytes are, as far as is known.
func (c *content) blob() *blob {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file.blob
}

// moved finds where bytes are that are not where they were. It tells those that
// somebody deleted from those of a version that was deleted, and collected while the
// file was open.
func (c *content) moved(ctx context.Context, cause error) error {
	if err := c.refresh(ctx, c.ledger); err != nil {
		return err
	}
	if files, err := c.files(ctx, c.ledger, c.version); err == nil {
		i, _ := slices.BinarySearchFunc(files, c.file.Path, func(f file, path string) int { return strings.Compare(f.Path, path) })
		if !slices.Equal(blobKeys(files[i:i+1]), blobKeys([]file{{blob: c.blob()}})) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.file.blob = files[i].blob
			return nil
		}
	}
	if errors.Is(cause, artifacts.ErrArchived) {
		return cause
	}
	err := c.ledger.look(func(f *fold) error {
		_, err := f.log.Resolve(artifacts.Ref{Name: c.ledger.name, Number: c.version})
		return err
	})
	if err != nil {
		return fmt.Errorf("version %d was deleted: %w", c.version, err)
	}
	return fmt.Errorf("%w: the bytes of %s are gone: %w", artifacts.ErrCorrupt, c.file.Path, cause)
}

// verify compares a leaf with its digest, which is verified by that of the file.
func (c *content) verify(ctx context.Context, number int64, data []byte) error {
	sum := sha256.Sum256(data)
	if c.file.Size <= artifacts.LeafSize {
		if artifacts.TreeDigest(c.file.Size, [][sha256.Size]byte{sum}) != c.file.Digest {
			return c.corrupt(number)
		}
		return nil
	}
	leaves, err := c.table(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(leaves[number*sha256.Size:(number+1)*sha256.Size], sum[:]) {
		return c.corrupt(number)
	}
	return nil
}

func (c *content) corrupt(number int64) error {
	return fmt.Errorf("%s: %w: bytes from %d on are not those of %s", c.file.Path, artifacts.ErrCorrupt, number*artifacts.LeafSize, c.file.Digest)
}

// table returns the digests of all leaves.
func (c *content) table(ctx context.Context) ([]byte, error) {
	c.mu.Lock()
	leaves := c.leaves
	c.mu.Unlock()
	if leaves != nil {
		return leaves, nil
	}
	leaves = c.blob().Leaves
	if table := c.blob().Table; table != "" {
		o, err := c.get(ctx, c.ledger.base+table, "", span{})
		if err != nil {
			return nil, err
		}
		leaves = o.data
	}
	if len(leaves)%sha256.Size != 0 {
		return nil, fmt.Errorf("%s: %w: digests of leaves that are cut off", c.file.Path, artifacts.ErrCorrupt)
	}
	var sums [][sha256.Size]byte
	for sum := range slices.Chunk(leaves, sha256.Size) {
		sums = append(sums, [sha256.Size]byte(sum))
	}
	if artifacts.TreeDigest(c.file.Size, sums) != c.file.Digest || int64(len(sums)) != (c.file.Size+artifacts.LeafSize-1)/artifacts.LeafSize {
		return nil, fmt.Errorf("%s: %w: digests of leaves that are not those of %s", c.file.Path, artifacts.ErrCorrupt, c.file.Digest)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaves = leaves
	return leaves, nil
}

// History implements [artifacts.Store]. It verifies each record against the one
// before, and the newest against what the process has read of the log.
func (s *Store) History(ctx context.Context, name artifacts.Name, opts *artifacts.HistoryOptions) iter.Seq2[artifacts.Record, error] {
	return func(yield func(artifacts.Record, error) bool) {
		if err := firstError(ctx.Err(), name.Validate()); err != nil {
			yield(artifacts.Record{}, fmt.Errorf("history: %w", err))
			return
		}
		for r, err := range s.history(ctx, name, cmp.Or(opts, &artifacts.HistoryOptions{})) {
			if err = firstError(err, ctx.Err()); err != nil {
				yield(artifacts.Record{}, wrap("history of", name, err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (s *Store) history(ctx context.Context, name artifacts.Name, opts *artifacts.HistoryOptions) iter.Seq2[artifacts.Record, error] {
	return func(yield func(artifacts.Record, error) bool) {
		l, err := s.current(ctx, name)
		if err != nil {
			yield(artifacts.Record{}, err)
			return
		}
		h := &chain{Store: s, ledger: l, after: max(opts.After, 0)}
		_ = l.look(func(f *fold) error {
			h.newest, h.link = f.log.Last().Seq, f.link
			return nil
		})
		if opts.Backward {
			h.backward(ctx, yield)
		} else {
			h.forward(ctx, yield)
		}
	}
}

// A chain is records from after a Seq to the newest, whose digest is known.
type chain struct {
	*Store
	ledger        *ledger
	after, newest int64
	link          string
}

// batch reads records from seq to last, and the one before them.
func (h *chain) batch(ctx context.Context, first, last int64) ([]reading, error) {
	before := max(first-1, 1)
	got, err := h.entries(ctx, h.ledger, before, int(last-before+1))
	if err != nil {
		return nil, err
	}
	if first == 1 {
		got = slices.Insert(got, 0, reading{entry: &entry{}})
	}
	for i, e := range got {
		switch {
		case e.entry == nil:
			return nil, fmt.Errorf("record %d: %w: it is gone", first-1+int64(i), artifacts.ErrCorrupt)
		case i > 0:
			if err := e.follows(got[i-1].digest, got[i-1].Record); err != nil {
				return nil, err
			}
		}
	}
	if last == h.newest && got[len(got)-1].digest != h.link {
		return nil, fmt.Errorf("record %d: %w: it is not the one that was read before", last, artifacts.ErrCorrupt)
	}
	return got[1:], nil
}

func (h *chain) forward(ctx context.Context, yield func(artifacts.Record, error) bool) {
	for first := h.after + 1; first <= h.newest; first += readAhead {
		got, err := h.batch(ctx, first, min(first+readAhead-1, h.newest))
		if !each(slices.Values(got), err, yield) {
			return
		}
	}
}

func (h *chain) backward(ctx context.Context, yield func(artifacts.Record, error) bool) {
	for last := h.newest; last > h.after; last -= readAhead {
		got, err := h.batch(ctx, max(last-readAhead+1, h.after+1), last)
		slices.Reverse(got)
		if !each(slices.Values(got), err, yield) {
			return
		}
	}
}

func each(got iter.Seq[reading], err error, yield func(artifacts.Record, error) bool) bool {
	if err != nil {
		yield(artifacts.Record{}, err)
		return false
	}
	for e := range got {
		if !yield(e.Record, nil) {
			return false
		}
	}
	return true
}

// List implements [artifacts.Store]. Names are found in a directory of small
// objects, one for each; what each has is read from its log, several at a time.
func (s *Store) List(ctx context.Context, query artifacts.Query) iter.Seq2[artifacts.Version, error] {
	query.Tags = maps.Clone(query.Tags)
	return func(yield func(artifacts.Version, error) bool) {
		if err := firstError(ctx.Err(), query.Validate()); err != nil {
			yield(artifacts.Version{}, fmt.Errorf("list: %w", err))
			return
		}
		for v, err := range s.selected(ctx, query) {
			if err = firstError(err, ctx.Err()); err != nil {
				yield(artifacts.Version{}, fmt.Errorf("list: %w", err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (s *Store) selected(ctx context.Context, query artifacts.Query) iter.Seq2[artifacts.Version, error] {
	return func(yield func(artifacts.Version, error) bool) {
		names, err := s.covered(ctx, query)
		if err != nil {
			yield(artifacts.Version{}, err)
			return
		}
		for some := range slices.Chunk(names, s.opts.Concurrency) {
			found, err := s.versions(ctx, some, query)
			if err != nil {
				yield(artifacts.Version{}, err)
				return
			}
			for _, v := range found {
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}

// covered returns the names that a query may select from, by path.
func (s *Store) covered(ctx context.Context, query artifacts.Query) ([]artifacts.Name, error) {
	if query.Path != "" {
		return []artifacts.Name{{Tenant: query.Tenant, Path: query.Path}}, nil
	}
	tenant := s.rooted("n", tenantSegment(query.Tenant)) + "/"
	prefix := tenant
	if query.Prefix != "" {
		prefix += escapedPath(query.Prefix) + "/"
	}
	var names []artifacts.Name
	for o, err := range s.list(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		name, err := nameOf(query.Tenant, strings.TrimPrefix(value(o.Key), tenant))
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b artifacts.Name) int { return strings.Compare(a.Path, b.Path) })
	return names, nil
}

// versions returns what a query selects of some names, in their order.
func (s *Store) versions(ctx context.Context, names []artifacts.Name, query artifacts.Query) ([]artifacts.Version, error) {
	found := make([][]artifacts.Version, len(names))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(s.opts.Concurrency)
	for i, name := range names {
		g.Go(func() error {
			l, err := s.current(each, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return l.look(func(f *fold) error {
				found[i] = f.selected(name, query)
				return nil
			})
		})
	}
	err := cmp.Or(ctx.Err(), g.Wait())
	return slices.Concat(found...), err
}

func (f *fold) selected(name artifacts.Name, query artifacts.Query) []artifacts.Version {
	latest, err := f.log.Resolve(artifacts.Ref{Name: name})
	none := err != nil
	var out []artifacts.Version
	for v := range f.log.Versions() {
		if !query.Match(v) || query.Latest && (none || v.ID.Number != latest.ID.Number) {
			continue
		}
		if whole, err := f.log.Resolve(artifacts.Ref{Name: name, Number: v.ID.Number}); err == nil {
			out = append(out, whole) // a copy
		}
	}
	return out
}
