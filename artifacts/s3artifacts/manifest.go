package s3artifacts

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/artifacts"
)

const (
	manifestSchema = "genaistore/artifacts/manifest/v1"
	keptFiles      = 200_000 // in lists of files that a process keeps
)

// A file is one of a version.
type file struct {
	artifacts.FileInfo
	*blob
}

// A blob is an object that has the bytes of a file. It never changes.
type blob struct {
	Key     string `json:"k"`
	Version string `json:"v,omitempty"` // of the object, where the bucket has versions
	CRC     string `json:"c,omitempty"` // CRC-32C, of an object in the form that S3 has it
	Leaves  []byte `json:"l,omitempty"` // digests of leaves, where there are few but not one
	Table   string `json:"t,omitempty"` // the key of an object with them, where there are many
	From    string `json:"f,omitempty"` // bucket/key of an object that was adopted, in place of Key
	Hot     string `json:"h,omitempty"` // bucket/key in a hot tier, beside Key or before there is one
}

type fileJSON struct {
	Path   string `json:"p"`
	Size   int64  `json:"s"`
	Digest string `json:"d"`
	Media  string `json:"m"`
	*blob
}

// encodeFiles writes files, which are sorted by path, a line each. The same files
// under the same keys are the same bytes.
func encodeFiles(files []file) ([]byte, error) {
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(map[string]string{"schema": manifestSchema}); err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := lines.Encode(fileJSON{f.Path, f.Size, f.Digest, f.MediaType, f.blob}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

func decodeFiles(text []byte) ([]file, error) {
	head, rest, _ := bytes.Cut(text, []byte("\n"))
	if err := checkSchema(head, manifestSchema); err != nil {
		return nil, err
	}
	files := make([]file, 0, bytes.Count(rest, []byte("\n")))
	media := map[string]string{}
	for line := range bytes.Lines(rest) {
		in := fileJSON{blob: &blob{}}
		if err := strict(line, &in); err != nil {
			return nil, err
		}
		if in.Size < 0 || !in.placed() || len(in.Leaves)%sha256.Size != 0 ||
			len(files) > 0 && files[len(files)-1].Path >= in.Path {
			return nil, fmt.Errorf("%w: file %.200q of a list of files", artifacts.ErrCorrupt, in.Path)
		}
		if media[in.Media] == "" {
			media[in.Media] = in.Media
		}
		files = append(files, file{artifacts.FileInfo{Path: in.Path, Size: in.Size, Digest: in.Digest, MediaType: media[in.Media]}, in.blob})
	}
	return files, nil
}

func infos(files []file) []artifacts.FileInfo {
	out := make([]artifacts.FileInfo, len(files))
	for i, f := range files {
		out[i] = f.FileInfo
	}
	return out
}

// blobKeys returns every key below the name that a version with these files needs.
func blobKeys(files []file) []string {
	out := make([]string, 0, len(files))
	for _, f := range files {
		if f.Key != "" {
			out = append(out, f.Key)
		}
		if f.Table != "" {
			out = append(out, f.Table)
		}
		if f.Hot != "" {
			out = append(out, hotMark+f.Hot)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// lists keeps lists of files that were read, the newest ones up to a number of
// files.
type lists struct {
	mu    sync.Mutex
	order []string
	files map[string][]file
	total int
}

func (c *lists) get(digest string) []file {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.files[digest]
}

func (c *lists) keep(digest string, files []file) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files[digest] != nil {
		return
	}
	if c.files == nil {
		c.files = map[string][]file{}
	}
	c.files[digest] = files
	c.order = append(c.order, digest)
	c.total += len(files)
	for c.total > keptFiles && len(c.order) > 1 {
		c.total -= len(c.files[c.order[0]])
		delete(c.files, c.order[0])
		c.order = c.order[1:]
	}
}

// files returns the files of a version that is live.
func (s *Store) files(ctx context.Context, l *ledger, version int64) ([]file, error) {
	var (
		at  *list
		v   artifacts.Version
		seq int64
	)
	err := l.look(func(f *fold) (err error) {
		if v, err = f.log.Resolve(artifacts.Ref{Name: l.name, Number: version}); err != nil {
			return err
		}
		at, seq = f.manifests[version], f.log.SeqOf(version)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if files := s.lists.get(at.Digest); files != nil {
		return files, nil
	}
	whole := at
	if at.Key == "" {
		e, err := s.entry(ctx, l, seq)
		if err != nil {
			return nil, err
		}
		if e.entry == nil || e.Manifest == nil {
			return nil, fmt.Errorf("%w: record %d is gone, or publishes nothing", artifacts.ErrCorrupt, seq)
		}
		whole = &list{Digest: at.Digest, Text: e.Manifest.Text}
	}
	text, err := s.text(ctx, l, whole)
	if err != nil {
		return nil, err
	}
	files, err := decodeFiles(text)
	if err != nil {
		return nil, err
	}
	if artifacts.ContentDigest(infos(files)) != v.Digest {
		return nil, fmt.Errorf("%w: version %d has other files than its digest %s says", artifacts.ErrCorrupt, version, v.Digest)
	}
	s.lists.keep(at.Digest, files)
	return files, nil
}

// An index is what content the live versions of a name have.
type index struct {
	lists map[string]bool  // digests of the lists of files that are in it
	blobs map[string]*blob // by digest
}

// known returns the content of all versions that are live. It reads the lists of
// files that it has not read before.
func (s *Store) known(ctx context.Context, l *ledger) (*index, error) {
	old, next, missing := l.indexed()
	if len(missing) == 0 {
		return old, nil
	}
	var mu sync.Mutex
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(s.opts.Concurrency)
	for digest, version := range missing {
		g.Go(func() error {
			files, err := s.files(each, l, version)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, artifacts.ErrNotFound) {
				delete(next.lists, digest) // deleted meanwhile
				return nil
			}
			for _, f := range files {
				if f.From == "" { // what others own is not what a new version is made of
					next.blobs[f.Digest] = f.blob
				}
			}
			return err
		})
	}
	if err := cmp.Or(ctx.Err(), g.Wait()); err != nil {
		return nil, err
	}
	_ = l.look(func(*fold) error { l.index = next; return nil })
	return next, nil
}

// indexed returns the index there is, one that is to be made from it, and which
// lists of files are missing in that, with a version each. Where a list is not
// live any more the index is made anew: its blobs may be condemned.
func (l *ledger) indexed() (old, next *index, missing map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old = cmp.Or(l.index, &index{})
	missing = map[string]int64{}
	next = &index{map[string]bool{}, map[string]*blob{}}
	for n, m := range l.fold.manifests {
		if _, is := l.fold.archived[n]; is {
			continue // what has to be restored first is not what a new version is made of
		}
		next.lists[m.Digest] = true
		missing[m.Digest] = n
	}
	for digest := range old.lists {
		if !next.lists[digest] {
			return next, next, missing
		}
	}
	maps.DeleteFunc(missing, func(digest string, _ int64) bool { return old.lists[digest] })
	if len(missing) > 0 {
		maps.Copy(next.blobs, old.blobs)
	}
	return old, next, missing
}
