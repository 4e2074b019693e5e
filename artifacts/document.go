package artifacts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

// MetadataSuffix is what the path of a file ends in that has the metadata of another
// one: those of "a/b.pdf" are in "a/b.pdf.metadata.json". It is the form that
// knowledge bases of Amazon Bedrock read beside documents in S3.
const MetadataSuffix = ".metadata.json"

// maxMetadata is how many bytes the metadata of a document have at most.
const maxMetadata = 1 << 20

// Metadata are what is known about a document, for filters of a search: strings,
// finite numbers as float64, bools, and lists of strings. Keys are not empty.
type Metadata map[string]any

// Validate reports an error that matches [ErrInvalid] unless m is well formed.
func (m Metadata) Validate() error {
	for key, value := range m {
		if err := cmp.Or(validateNeeded("a key of metadata", key), validateText("key of metadata", key)); err != nil {
			return err
		}
		switch v := value.(type) {
		case string, bool:
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%w: metadata %q is %v", ErrInvalid, key, v)
			}
		case []string:
		default:
			return fmt.Errorf("%w: metadata %q is a %T: a string, float64, bool or []string", ErrInvalid, key, value)
		}
	}
	return nil
}

type metadataJSON struct {
	Attributes Metadata `json:"metadataAttributes"`
}

func (m Metadata) encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(metadataJSON{m})
	if err == nil && len(text) > maxMetadata {
		err = fmt.Errorf("%w: metadata of %d bytes: at most %d", ErrInvalid, len(text), maxMetadata)
	}
	return text, err
}

func decodeMetadata(text []byte) (Metadata, error) {
	var in metadataJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for key, value := range in.Attributes {
		if list, is := value.([]any); is {
			texts, err := stringsOf(list)
			if err != nil {
				return nil, fmt.Errorf("metadata %q: %w", key, err)
			}
			in.Attributes[key] = texts
		}
	}
	return in.Attributes, in.Attributes.Validate()
}

func stringsOf(list []any) ([]string, error) {
	out := make([]string, len(list))
	for i, value := range list {
		text, is := value.(string)
		if !is {
			return nil, fmt.Errorf("%w: a list of %T: strings", ErrInvalid, value)
		}
		out[i] = text
	}
	return out, nil
}

// DescribeFiles returns files with a file of metadata beside each document that
// metadata has, by path, for a [Store.Publish]. A path that is no file among files, or
// has such a file already, is ErrInvalid.
func DescribeFiles(files fs.FS, metadata map[string]Metadata) (fs.FS, error) {
	beside := map[string][]byte{}
	for file, m := range metadata {
		stat, err := fs.Stat(files, file)
		if err != nil || !stat.Mode().IsRegular() {
			return nil, fmt.Errorf("metadata of %.200q: %w: there is no such file: %w", file, ErrInvalid, cmp.Or(err, fs.ErrInvalid))
		}
		if _, err := fs.Stat(files, file+MetadataSuffix); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("metadata of %.200q: %w: %s is there already", file, ErrInvalid, file+MetadataSuffix)
		}
		if beside[file+MetadataSuffix], err = m.encode(); err != nil {
			return nil, fmt.Errorf("metadata of %.200q: %w", file, err)
		}
	}
	list := make([]leafFile, 0, len(beside))
	for file, text := range beside {
		list = append(list, leafFile{FileInfo{Path: file, Size: int64(len(text)), MediaType: MediaType(file)}, &blob{data: text}})
	}
	t, err := newTree(list, time.Time{})
	return &overlay{files, memFS{t, err}, slices.Sorted(maps.Keys(beside))}, err
}

// An overlay is a file system with more files in its folders.
type overlay struct {
	base  fs.FS
	more  memFS
	paths []string
}

func (o *overlay) Open(name string) (fs.File, error) {
	if _, is := slices.BinarySearch(o.paths, name); is {
		return o.more.Open(name)
	}
	return o.base.Open(name)
}

// ReadDir implements fs.ReadDirFS, which is what walks a Publish.
func (o *overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.base, name)
	if err != nil {
		return entries, err
	}
	for _, file := range o.paths {
		if path.Dir(file) == name {
			stat, err := fs.Stat(o.more, file)
			if err != nil {
				return nil, err
			}
			entries = append(entries, fs.FileInfoToDirEntry(stat))
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// A Document is a file of a version with what is known about it.
type Document struct {
	FileInfo
	Metadata Metadata // nil if there is none
}

// DocumentsOf yields the documents of a version with their metadata, in the order of
// paths. Files of metadata are not documents. It reads no document.
func DocumentsOf(ctx context.Context, store Store, id ID) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for c, err := range ChangedDocuments(ctx, store, ID{}, id) {
			if !yield(c.Document, err) || err != nil {
				return
			}
		}
	}
}

// A DocumentChange is a document that came, changed or went.
type DocumentChange struct {
	Document      // as it is now; of one that went the path alone
	Removed  bool // it is no more
	Content  bool // its bytes or its media type are new; else only its metadata are
}

// ChangedDocuments yields what became of documents between two versions, in the order
// of paths: what an index has to embed again, to describe anew, or to remove. A from
// with a Number of 0 has none, so that all are new. ErrNotFound reports a version that
// does not exist or was deleted: whoever follows begins again from nothing then. It
// reads metadata and no document.
func ChangedDocuments(ctx context.Context, store Store, from, to ID) iter.Seq2[DocumentChange, error] {
	return func(yield func(DocumentChange, error) bool) {
		before, after, err := manifests(ctx, store, from, to)
		if err != nil {
			yield(DocumentChange{}, fmt.Errorf("documents: %w", err))
			return
		}
		for _, pair := range paired(before, after) {
			change, is, err := pair.change(ctx, store, to)
			if err = cmp.Or(ctx.Err(), err); err != nil {
				yield(DocumentChange{}, fmt.Errorf("documents of %s: %s: %w", to, pair.path, err))
				return
			}
			if is && !yield(change, nil) {
				return
			}
		}
	}
}

// A documentPair is a document in two versions, and its metadata.
type documentPair struct {
	path                string
	before, after       FileInfo
	metaBefore, metaNow FileInfo
}

// paired returns the documents of two versions, by path.
func paired(before, after []FileInfo) []*documentPair {
	all := map[string]*documentPair{}
	collect := func(files []FileInfo, document, metadata func(*documentPair) *FileInfo) {
		there := make(map[string]bool, len(files))
		for _, f := range files {
			there[f.Path] = true
		}
		for _, f := range files {
			// A file of metadata whose document is not there is a document itself.
			of, is := strings.CutSuffix(f.Path, MetadataSuffix)
			is = is && there[of]
			if !is {
				of = f.Path
			}
			p := all[of]
			if p == nil {
				p = &documentPair{path: of}
				all[of] = p
			}
			if is {
				*metadata(p) = f
			} else {
				*document(p) = f
			}
		}
	}
	collect(before, func(p *documentPair) *FileInfo { return &p.before }, func(p *documentPair) *FileInfo { return &p.metaBefore })
	collect(after, func(p *documentPair) *FileInfo { return &p.after }, func(p *documentPair) *FileInfo { return &p.metaNow })
	return slices.SortedFunc(maps.Values(all), func(a, b *documentPair) int { return strings.Compare(a.path, b.path) })
}

// change says what became of a document, if anything did.
func (p *documentPair) change(ctx context.Context, store Store, to ID) (c DocumentChange, is bool, err error) {
	if p.after.Path == "" {
		return DocumentChange{Document: Document{FileInfo: FileInfo{Path: p.path}}, Removed: true}, p.before.Path != "", nil
	}
	c.FileInfo = p.after
	c.Content = p.before.Digest != p.after.Digest || p.before.MediaType != p.after.MediaType
	if !c.Content && p.metaBefore.Digest == p.metaNow.Digest {
		return c, false, nil
	}
	if p.metaNow.Path == "" {
		return c, true, nil
	}
	if p.metaNow.Size > maxMetadata {
		return c, false, fmt.Errorf("%w: metadata of %d bytes: at most %d", ErrInvalid, p.metaNow.Size, maxMetadata)
	}
	text, err := fs.ReadFile(FS(ctx, store, to), p.metaNow.Path)
	if err == nil {
		c.Metadata, err = decodeMetadata(text)
	}
	return c, true, err
}
