// Package pull hands a version of an artifact to somebody who has no account where it
// is: a pull list is a text with a URL for each file and all that is needed to verify
// it. Whoever has the list opens it as an artifacts.Store with that one version, and
// uses it like any other: artifacts.Checkout brings it into a folder, artifacts.FS and
// artifacts.Rows read what they need of it.
//
//	list, err := pull.Open(file, nil)
//	done, err := artifacts.Checkout(ctx, list, list.Version().ID, folder, nil)
//
// Package s3artifacts writes lists with URLs that S3 signed. A list is a secret for as
// long as its URLs live.
package pull

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

const (
	schema   = "genaistore/artifacts/pull/v1"
	maxLine  = 64 << 20 // bytes: the digests of the leaves of 50 TB are 137 MB, of 20 TB they fit
	attempts = 3        // of a request
)

// A File is a file of a list.
type File struct {
	Path      string `json:"path"`
	Size      int64  `json:"size"`
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	URL       string `json:"url"`
	// Leaves are the digests of its leaves one after the other, see artifacts.Digest;
	// empty of one leaf or none.
	Leaves []byte `json:"leaves,omitempty"`
}

type header struct {
	Schema  string            `json:"schema"`
	Version artifacts.Version `json:"version"`
	Expires time.Time         `json:"expires"`
}

// Write writes a list of the files of v, whose URLs live until expires: JSON Lines.
func Write(w io.Writer, v artifacts.Version, expires time.Time, files iter.Seq2[File, error]) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(header{schema, v, expires.UTC().Truncate(time.Second)}); err != nil {
		return fmt.Errorf("pull list of %s: %w", v.ID, err)
	}
	for f, err := range files {
		if err == nil {
			err = lines.Encode(f)
		}
		if err != nil {
			return fmt.Errorf("pull list of %s: %w", v.ID, err)
		}
	}
	return nil
}

// A Store is an artifacts.Store that has the version of a list and nothing else.
// Publish, Apply and History are artifacts.ErrDenied.
type Store struct {
	client  *http.Client
	version artifacts.Version
	expires time.Time
	files   []File
	tree    *artifacts.Tree
}

var _ artifacts.Store = (*Store)(nil)

// Open reads a list to its end. A nil client means http.DefaultClient. ErrCorrupt
// reports a list that is cut off or was changed: its files together are not the
// version that it says; ErrInvalid one of a newer form.
func Open(list io.Reader, client *http.Client) (*Store, error) {
	s := &Store{client: cmp.Or(client, http.DefaultClient)}
	if err := s.read(list); err != nil {
		return nil, fmt.Errorf("pull list: %w", err)
	}
	return s, nil
}

func (s *Store) read(list io.Reader) error {
	lines := bufio.NewScanner(list)
	lines.Buffer(nil, maxLine)
	var head header
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &head) != nil {
		return fmt.Errorf("%w: it does not begin as one: %w", artifacts.ErrCorrupt, cmp.Or(lines.Err(), io.ErrUnexpectedEOF))
	}
	if head.Schema != schema {
		return fmt.Errorf("%w: schema %.80q, and this release reads %s", artifacts.ErrInvalid, head.Schema, schema)
	}
	s.version, s.expires = head.Version, head.Expires
	for lines.Scan() {
		var f File
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return fmt.Errorf("%w: %w", artifacts.ErrCorrupt, err)
		}
		if err := f.validate(); err != nil {
			return err
		}
		s.files = append(s.files, f)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", artifacts.ErrCorrupt, err)
	}
	return s.check()
}

// validate reports a file whose leaves are not those of its digest, or a URL that
// leads to no server.
func (f File) validate() error {
	at, err := url.Parse(f.URL)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" {
		return fmt.Errorf("%w: the URL of %.200q", artifacts.ErrCorrupt, f.Path)
	}
	leaves := (f.Size + artifacts.LeafSize - 1) / artifacts.LeafSize
	if f.Size < 0 || leaves < 2 && len(f.Leaves) == 0 {
		return nil
	}
	if int64(len(f.Leaves)) != leaves*sha256.Size || artifacts.TreeDigest(f.Size, split(f.Leaves)) != f.Digest {
		return fmt.Errorf("%w: the leaves of %.200q are not those of its digest", artifacts.ErrCorrupt, f.Path)
	}
	return nil
}

func split(leaves []byte) [][sha256.Size]byte {
	var out [][sha256.Size]byte
	for leaf := range slices.Chunk(leaves, sha256.Size) {
		out = append(out, [sha256.Size]byte(leaf))
	}
	return out
}

// check holds the files to the digest of the version.
func (s *Store) check() error {
	if err := s.version.ID.Validate(); err != nil {
		return fmt.Errorf("%w: %w", artifacts.ErrCorrupt, err)
	}
	slices.SortFunc(s.files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	infos := make([]artifacts.FileInfo, len(s.files))
	for i, f := range s.files {
		infos[i] = artifacts.FileInfo{Path: f.Path, Size: f.Size, Digest: f.Digest, MediaType: f.MediaType} // a URL is a secret, and no URI to show
	}
	if artifacts.ContentDigest(infos) != s.version.Digest {
		return fmt.Errorf("%w: its %d files are not those of version %s: it was cut off or changed", artifacts.ErrCorrupt, len(s.files), s.version.ID)
	}
	tree, err := artifacts.NewTree(infos, s.version.Created, func(info artifacts.FileInfo) (artifacts.Content, error) {
		i, _ := slices.BinarySearchFunc(s.files, info.Path, func(f File, path string) int { return strings.Compare(f.Path, path) })
		return &content{client: s.client, file: s.files[i]}, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", artifacts.ErrCorrupt, err)
	}
	s.tree = tree
	return nil
}

// Version returns the version of the list, as it was when the list was written.
func (s *Store) Version() artifacts.Version { return s.version }

// Expires returns until when the URLs live.
func (s *Store) Expires() time.Time { return s.expires }

// Resolve implements [artifacts.Store].
func (s *Store) Resolve(ctx context.Context, ref artifacts.Ref) (artifacts.Version, error) {
	if err := cmp.Or(ctx.Err(), ref.Validate()); err != nil {
		return artifacts.Version{}, fmt.Errorf("resolve: %w", err)
	}
	v := s.version
	is := ref.Name == v.ID.Name && (ref.Number == 0 || ref.Number == v.ID.Number) &&
		(ref.Digest == "" || ref.Digest == v.Digest) && (ref.Alias == "" || slices.Contains(v.Aliases, ref.Alias))
	if !is {
		return artifacts.Version{}, fmt.Errorf("resolve %s: %w: the list has %s alone", ref, artifacts.ErrNotFound, v.ID)
	}
	return v, nil
}

// Open implements [artifacts.Store].
func (s *Store) Open(ctx context.Context, id artifacts.ID, path string) (artifacts.File, error) {
	if err := cmp.Or(ctx.Err(), id.Validate()); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if id != s.version.ID {
		return nil, fmt.Errorf("open %s: %w: the list has %s alone", id, artifacts.ErrNotFound, s.version.ID)
	}
	return s.tree.Open(ctx, path)
}

// List implements [artifacts.Store].
func (s *Store) List(ctx context.Context, query artifacts.Query) iter.Seq2[artifacts.Version, error] {
	return func(yield func(artifacts.Version, error) bool) {
		if err := cmp.Or(ctx.Err(), query.Validate()); err != nil {
			yield(artifacts.Version{}, fmt.Errorf("list: %w", err))
			return
		}
		if query.Match(s.version) {
			yield(s.version, nil)
		}
	}
}

func (s *Store) denied(what string) error {
	return fmt.Errorf("%s %s: %w: a pull list is for reading", what, s.version.ID.Name, artifacts.ErrDenied)
}

// History implements [artifacts.Store].
func (s *Store) History(context.Context, artifacts.Name, *artifacts.HistoryOptions) iter.Seq2[artifacts.Record, error] {
	return func(yield func(artifacts.Record, error) bool) { yield(artifacts.Record{}, s.denied("history of")) }
}

// Publish implements [artifacts.Store].
func (s *Store) Publish(context.Context, artifacts.Name, fs.FS, *artifacts.PublishOptions) (artifacts.Publication, error) {
	return artifacts.Publication{}, s.denied("publish")
}

// Apply implements [artifacts.Store].
func (s *Store) Apply(context.Context, artifacts.Name, ...artifacts.Change) (artifacts.Record, error) {
	return artifacts.Record{}, s.denied("apply")
}

// errAgain says that a request may go better another time.
var errAgain = errors.New("try again")
