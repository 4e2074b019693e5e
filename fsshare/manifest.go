package fsshare

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	filesDir     = "files"
	manifestName = "MANIFEST"
	retired      = "RETIRED"

	manifestSchema = 1
	ringSchema     = 1
)

// A Manifest is what a [Release] consists of.
type Manifest struct {
	Release Release
	Files   []Entry // by Path
}

// An Entry is one file of a [Manifest].
type Entry struct {
	Path   string // below the release's Dir
	Mode   fs.FileMode
	Size   int64
	SHA256 [sha256.Size]byte
}

// Manifest returns what a release consists of. It is ErrNotFound if there is no
// such release, ErrCorrupt if the manifest is not the one that the id names.
func (t Tree) Manifest(ctx context.Context, id string) (Manifest, error) {
	if err := t.Validate(); err != nil {
		return Manifest{}, wrap("manifest of", t.Name, err)
	}
	m, err := t.manifest(ctx, id)
	if err != nil {
		return Manifest{}, wrap("manifest of", t.Name, err)
	}
	return m, nil
}

func (t Tree) manifest(ctx context.Context, id string) (Manifest, error) {
	if err := validateID(id); err != nil {
		return Manifest{}, err
	}
	data, err := fs.ReadFile(t.Share.FS(ctx), t.dir(id)+"/"+manifestName)
	if err != nil {
		return Manifest{}, err
	}
	if idOf(data) != id {
		return Manifest{}, fmt.Errorf("%w: the manifest of release %s is not the one published", ErrCorrupt, id)
	}
	files, err := decodeManifest(data)
	if err != nil {
		return Manifest{}, err
	}
	return Manifest{t.release(id), files}, nil
}

type wireManifest struct {
	Schema int         `json:"schema"`
	Files  []wireEntry `json:"files"`
}

type wireEntry struct {
	Path   string      `json:"path"`
	Mode   fs.FileMode `json:"mode"`
	Size   int64       `json:"size"`
	SHA256 string      `json:"sha256"`
}

func encodeManifest(files []Entry) ([]byte, error) {
	wire := wireManifest{Schema: manifestSchema, Files: make([]wireEntry, 0, len(files))}
	for _, f := range files {
		wire.Files = append(wire.Files, wireEntry{f.Path, f.Mode, f.Size, hex.EncodeToString(f.SHA256[:])})
	}
	return json.Marshal(wire)
}

func decodeManifest(data []byte) ([]Entry, error) {
	var wire wireManifest
	if err := decodeStrict(data, &wire); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrCorrupt, err)
	}
	if wire.Schema != manifestSchema {
		return nil, fmt.Errorf("%w: manifest of schema %d: this version reads %d", ErrCorrupt, wire.Schema, manifestSchema)
	}
	files := make([]Entry, 0, len(wire.Files))
	for i, w := range wire.Files {
		sum, err := hex.DecodeString(w.SHA256)
		switch {
		case err != nil || len(sum) != sha256.Size,
			validateFile(w.Path) != nil,
			i > 0 && w.Path <= wire.Files[i-1].Path,
			w.Mode == 0 || w.Mode != w.Mode.Perm(),
			w.Size < 0:
			return nil, fmt.Errorf("%w: manifest: entry %d, %.300q", ErrCorrupt, i, w.Path)
		}
		files = append(files, Entry{w.Path, w.Mode, w.Size, [sha256.Size]byte(sum)})
	}
	return files, nil
}

// decodeStrict refuses what it would not have written itself: unknown fields, and
// anything after the value.
func decodeStrict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows the value")
	}
	return nil
}

func idOf(manifest []byte) string {
	sum := sha256.Sum256(manifest)
	return hex.EncodeToString(sum[:])
}

func validateID(id string) error {
	if sum, err := hex.DecodeString(id); err != nil || len(sum) != sha256.Size || id != strings.ToLower(id) {
		return fmt.Errorf("%w: release %.80q: %d hexadecimal digits in lower case", ErrInvalid, id, 2*sha256.Size)
	}
	return nil
}

// encodeRing packs ids, so that 13 of them fit where 6 would in hexadecimal.
func encodeRing(ids []string) []byte {
	data := []byte{ringSchema}
	for _, id := range ids {
		data, _ = hex.AppendDecode(data, []byte(id)) // validateID accepted it
	}
	return data
}

// decodeRing returns no ids for what was never committed.
func decodeRing(data []byte) ([]string, error) {
	if data == nil {
		return nil, nil
	}
	if len(data) == 0 || data[0] != ringSchema || len(data) == 1 || (len(data)-1)%sha256.Size != 0 {
		return nil, fmt.Errorf("%w: what is committed under the tree's lock is no list of releases", ErrCorrupt)
	}
	var ids []string
	for sum := range slices.Chunk(data[1:], sha256.Size) {
		id := hex.EncodeToString(sum)
		if slices.Contains(ids, id) {
			return nil, fmt.Errorf("%w: release %s is twice in the tree's list", ErrCorrupt, id)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// describe reads the files to be published.
func describe(ctx context.Context, files fs.FS, below string, parallel int) ([]Entry, error) {
	var entries []Entry
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err := ended(ctx); err != nil {
			return err
		}
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%w: %.300q is %v: a release has files and directories only", ErrInvalid, name, d.Type())
		}
		if err := ValidateName(path.Join(below, name)); err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm()
		if mode == 0 {
			mode = (*WriteOptions)(nil).WithDefaults().Mode
		}
		entries = append(entries, Entry{Path: name, Mode: mode})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%w: nothing to publish: no file", ErrInvalid)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries, each(ctx, parallel, entries, func(ctx context.Context, e *Entry) (err error) {
		e.Size, e.SHA256, err = digest(ctx, files, e.Path)
		return err
	})
}

func digest(ctx context.Context, files fs.FS, name string) (size int64, sum [sha256.Size]byte, err error) {
	f, err := files.Open(name)
	if err != nil {
		return 0, sum, err
	}
	h := sha256.New()
	size, err = io.Copy(h, heedful{ctx, f})
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return size, [sha256.Size]byte(h.Sum(nil)), err
}
