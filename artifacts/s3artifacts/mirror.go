package s3artifacts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/meter"
)

// MirrorFile is what lies beside the files of a mirror, see [Manifest].
const MirrorFile = "MANIFEST.json"

const (
	mirrorSchema = "genaistore/artifacts/mirror/v1"
	largestCopy  = 5 << 30 // bytes that CopyObject takes
	maxKey       = 1024    // bytes of a key
	maxMirrors   = 10      // times that somebody else was in the way
)

// MirrorOptions adjusts a Mirror. A nil *MirrorOptions means the zero value.
type MirrorOptions struct {
	// Bucket is where the mirror is: the bucket of the store if empty.
	Bucket string
	// Prefix is what its keys begin with, with a slash at its end; all that is below it
	// belongs to the mirror. Empty means {root}/mirror/{tenant}/{path}/=/{alias}/, each
	// segment escaped as in other keys of the store.
	Prefix string
}

// A Manifest is the object [MirrorFile] of a mirror. It is written last, so that what
// it lists is there when it says that it is Complete.
type Manifest struct {
	Schema   string         `json:"schema"`
	Name     string         `json:"name"`
	Alias    string         `json:"alias"`
	Version  int64          `json:"version"`
	Digest   string         `json:"digest"`   // of the version
	Complete bool           `json:"complete"` // else somebody is about to change the files
	Files    []MirroredFile `json:"files,omitempty"`
}

// A MirroredFile is an object of a mirror.
type MirroredFile struct {
	Path      string `json:"path"`
	Size      int64  `json:"size"`
	Digest    string `json:"digest"`
	ETag      string `json:"etag"`
	VersionID string `json:"versionId,omitempty"` // where the bucket has versions: what to read for a whole version
}

// A Mirroring is what a Mirror did.
type Mirroring struct {
	Version   artifacts.Version // that the mirror has now
	Bucket    string
	Prefix    string
	Copied    int // files
	Unchanged int
	Removed   int // that the version does not have
	Bytes     int64
}

// Mirror brings the files that an alias points at under keys that never change, for
// consumers that need a fixed place: S3 copies what differs, and nothing passes
// through the process. It may be repeated, and is, after every change of the alias: a
// rollback copies back what differs. A Mirror that ends without an error ends with
// what the alias meant then.
//
// S3 changes one object at a time, so a mirror is not atomic, as the alias is. Its
// [Manifest] says which version it is, and, while files change, that it is none. A
// consumer that reads the manifest, then the files, then the manifest again, and
// finds it Complete and the same, has read one version; in a bucket with versions it
// is enough to read each file by its VersionID. Two mirrors at once do not mix
// versions: whoever is second begins again. A process that dies leaves a manifest
// that is not Complete, and the next Mirror goes on.
//
// It costs 2 GET, a LIST for 1,000 objects, a COPY for each file that differs (more
// above 5 GB), 2 PUT, and a DELETE for each file that is no more. In the bucket of the
// store a [Collector] may do it.
func (s *Store) Mirror(ctx context.Context, name artifacts.Name, alias string, options *MirrorOptions) (Mirroring, error) {
	ref := artifacts.Ref{Name: name, Alias: alias}
	if alias == "" {
		return Mirroring{}, fmt.Errorf("mirror %s: %w: the alias is empty", name, artifacts.ErrInvalid)
	}
	if err := firstError(ctx.Err(), ref.Validate()); err != nil {
		return Mirroring{}, wrap("mirror", ref, err)
	}
	m := &mirror{Store: s, ref: ref}
	if options != nil {
		m.bucket, m.prefix = options.Bucket, options.Prefix
	}
	m.bucket = cmp.Or(m.bucket, s.bucket)
	if m.prefix == "" {
		m.prefix = s.rooted("mirror", tenantSegment(name.Tenant), escapedPath(name.Path), marker, escape(alias)) + "/"
	}
	if !strings.HasSuffix(m.prefix, "/") || strings.HasPrefix(m.prefix, "/") || strings.ContainsAny(m.bucket, "/ ") {
		return Mirroring{}, fmt.Errorf("mirror %s: %w: bucket %.80q, prefix %.200q: one that ends in a slash", ref, artifacts.ErrInvalid, m.bucket, m.prefix)
	}
	out, err := m.run(ctx)
	return out, wrap("mirror", ref, err)
}

// A mirror is one Mirror.
type mirror struct {
	*Store
	ref            artifacts.Ref
	bucket, prefix string
}

// errOvertaken says that somebody else changed the mirror meanwhile.
var errOvertaken = fmt.Errorf("another mirror was in the way (%w)", artifacts.ErrConflict)

func (m *mirror) run(ctx context.Context) (Mirroring, error) {
	total := Mirroring{Bucket: m.bucket, Prefix: m.prefix}
	for round := range maxMirrors {
		if round > 0 {
			if err := pause(ctx, round+4); err != nil {
				return total, err
			}
		}
		v, err := m.resolve(ctx, m.ref)
		if err != nil {
			return total, err
		}
		err = m.bring(ctx, v, &total)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil {
			return total, err
		}
		total.Version = v
		now, err := m.resolve(ctx, m.ref)
		if err != nil || now.ID == v.ID {
			return total, err
		}
	}
	return total, fmt.Errorf("%w: %d times", errOvertaken, maxMirrors)
}

// A bringing is what a mirror has to become.
type bringing struct {
	ledger *ledger
	files  []file
	want   []MirroredFile
	todo   []int             // of files that differ
	there  map[string]string // entity tags by key
}

// bring makes the mirror be a version.
func (m *mirror) bring(ctx context.Context, v artifacts.Version, total *Mirroring) error {
	l, err := m.recent(ctx, v.ID.Name)
	if err != nil {
		return err
	}
	files, err := m.files(ctx, l, v.ID.Number)
	if err != nil {
		return err
	}
	old, etag, err := m.manifest(ctx)
	if err != nil {
		return err
	}
	there, err := m.there(ctx)
	if err != nil {
		return err
	}
	b := &bringing{ledger: l, files: files, there: there}
	if err := m.plan(b, old); err != nil {
		return err
	}
	total.Unchanged = len(files) - len(b.todo)
	stray := m.stray(b)
	if len(b.todo)+len(stray) == 0 && old.Complete && old.Version == v.ID.Number && old.Digest == v.Digest {
		return nil
	}
	next := Manifest{Schema: mirrorSchema, Name: v.ID.Name.String(), Alias: m.ref.Alias, Version: v.ID.Number, Digest: v.Digest}
	if etag, err = m.write(ctx, next, etag); err != nil {
		return err
	}
	if err := m.copyAll(ctx, b); err != nil {
		return err
	}
	next.Complete, next.Files = true, b.want
	if _, err := m.write(ctx, next, etag); err != nil {
		return err
	}
	for _, i := range b.todo {
		total.Copied++
		total.Bytes += b.files[i].Size
	}
	for _, key := range stray {
		if err := m.drop(ctx, key, there[key]); err != nil {
			return err
		}
		total.Removed++
	}
	return nil
}

// manifest reads what the mirror says it is. One that cannot be read says nothing.
func (m *mirror) manifest(ctx context.Context) (Manifest, string, error) {
	got, err := m.getAt(ctx, place{m.bucket, m.prefix + MirrorFile}, "", span{})
	switch {
	case errors.Is(err, artifacts.ErrNotFound) && !isNoBucket(err):
		return Manifest{}, "", nil
	case err != nil:
		return Manifest{}, "", explained(err)
	}
	var old Manifest
	err = json.Unmarshal(got.data, &old)
	if err != nil || old.Schema != mirrorSchema {
		old = Manifest{}
	}
	return old, got.etag, nil
}

// there returns the entity tags of all objects of the mirror, by key.
func (m *mirror) there(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for o, err := range m.listAt(ctx, place{m.bucket, m.prefix}) {
		if err != nil {
			return nil, err
		}
		out[value(o.Key)] = value(o.ETag)
	}
	delete(out, m.prefix+MirrorFile)
	return out, nil
}

// plan decides what the mirror is to hold, and which of the files have to be copied.
func (m *mirror) plan(b *bringing, old Manifest) error {
	before := make(map[string]MirroredFile, len(old.Files))
	for _, f := range old.Files {
		before[f.Path] = f
	}
	for i, f := range b.files {
		key := m.prefix + f.Path
		if f.Path == MirrorFile || len(key) > maxKey {
			return fmt.Errorf("%w: file %.200q cannot be in a mirror: its key is taken, or longer than %d bytes", artifacts.ErrInvalid, f.Path, maxKey)
		}
		was := before[f.Path]
		if was.Digest == f.Digest && was.ETag != "" && was.ETag == b.there[key] {
			b.want = append(b.want, was)
			continue
		}
		b.want = append(b.want, MirroredFile{Path: f.Path, Size: f.Size, Digest: f.Digest})
		b.todo = append(b.todo, i)
	}
	return nil
}

// stray returns what is in the mirror and should not be.
func (m *mirror) stray(b *bringing) []string {
	wanted := make(map[string]bool, len(b.want))
	for _, f := range b.want {
		wanted[m.prefix+f.Path] = true
	}
	var out []string
	for key := range b.there {
		if !wanted[key] {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// write writes the manifest, in the place of the one with this tag.
func (m *mirror) write(ctx context.Context, manifest Manifest, etag string) (string, error) {
	key := m.prefix + MirrorFile
	text, err := json.Marshal(manifest)
	if err != nil {
		return "", err
	}
	sum := checksum(castagnoli(0, text))
	in := &s3.PutObjectInput{
		Bucket: &m.bucket, Key: &key, Body: strings.NewReader(string(text)), ContentLength: new(int64(len(text))), ChecksumCRC32C: &sum, ContentType: new("application/json"),
	}
	if m.opts.KMSKeyID != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = types.ServerSideEncryptionAwsKms, &m.opts.KMSKeyID, new(true)
	}
	in.IfMatch, in.IfNoneMatch = expecting(etag)
	meter.Add(ctx, meter.Cost{Requests: 1, BytesSent: int64(len(text))})
	out, err := m.client.PutObject(ctx, in)
	if err != nil {
		return "", overtaken(key, err)
	}
	return value(out.ETag), nil
}

// expecting returns the conditions that an object has a tag, or that there is none.
func expecting(etag string) (match, noneMatch *string) {
	if etag == "" {
		return nil, new("*")
	}
	return &etag, nil
}

// overtaken tells a condition that did not hold.
func overtaken(key string, err error) error {
	err = classify(key, err)
	if errors.Is(err, artifacts.ErrConflict) {
		return fmt.Errorf("%w: %w", errOvertaken, err)
	}
	return err
}

func (m *mirror) copyAll(ctx context.Context, b *bringing) error {
	var mu sync.Mutex
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(m.opts.Concurrency)
	for _, i := range b.todo {
		if each.Err() != nil {
			break
		}
		g.Go(func() error {
			key := m.prefix + b.files[i].Path
			c := &copying{mirror: m, from: m.place(b.ledger, b.files[i].blob), file: b.files[i], key: key, etag: b.there[key]}
			etag, version, err := c.copy(each)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			b.want[i].ETag, b.want[i].VersionID = etag, version
			return nil
		})
	}
	return cmp.Or(g.Wait(), ctx.Err())
}

// drop removes an object, unless it is another one by now.
func (m *mirror) drop(ctx context.Context, key, etag string) error {
	meter.Add(ctx, meter.Cost{Requests: 1})
	_, err := m.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &m.bucket, Key: &key, IfMatch: &etag})
	if err = overtaken(key, err); errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	return err
}

// A copying is one file on its way into a mirror.
type copying struct {
	*mirror
	from place
	file file
	key  string
	etag string // of the object that it replaces, or empty

	class string // of the copy; STANDARD if empty
}

// source is where S3 copies from.
func (c *copying) source() *string {
	source := c.from.bucket + "/" + (&url.URL{Path: c.from.key}).EscapedPath()
	source = strings.ReplaceAll(source, "+", "%2B")
	if c.file.Version != "" {
		source += "?versionId=" + url.QueryEscape(c.file.Version)
	}
	return &source
}

func (c *copying) copy(ctx context.Context) (etag, version string, err error) {
	if c.file.Size > c.copies {
		return c.parts(ctx)
	}
	in := &s3.CopyObjectInput{Bucket: &c.bucket, Key: &c.key, CopySource: c.source(), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, StorageClass: types.StorageClass(c.class)}
	if c.opts.KMSKeyID != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = types.ServerSideEncryptionAwsKms, &c.opts.KMSKeyID, new(true)
	}
	in.IfMatch, in.IfNoneMatch = expecting(c.etag)
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := c.client.CopyObject(ctx, in)
	if err != nil {
		return "", "", c.failed(err)
	}
	if out.CopyObjectResult == nil {
		return "", "", fmt.Errorf("%s: %w: S3 does not say what it copied", c.key, artifacts.ErrCorrupt)
	}
	if err := c.same(out.CopyObjectResult.ChecksumCRC32C); err != nil {
		return "", "", err
	}
	return value(out.CopyObjectResult.ETag), realVersion(out.VersionId), nil
}

// same compares the checksum that S3 says with the one of the file.
func (c *copying) same(sum *string) error {
	if got := value(sum); got != "" && c.file.CRC != "" && got != c.file.CRC {
		return fmt.Errorf("%s: %w: the copy has the CRC-32C %s, not %s", c.key, artifacts.ErrCorrupt, got, c.file.CRC)
	}
	return nil
}

// failed tells a source that is gone from a mirror that has changed.
func (c *copying) failed(err error) error {
	err = overtaken(c.key, err)
	if errors.Is(err, artifacts.ErrNotFound) && c.etag != "" && !isNoBucket(err) {
		return fmt.Errorf("%w: %w", errOvertaken, err) // what was to be replaced is gone
	}
	return err
}

// parts copies what is too large for one request.
func (c *copying) parts(ctx context.Context) (etag, version string, err error) {
	up := &multipart{Store: c.Store, bucket: c.bucket, key: c.key, class: c.class}
	if err := up.begin(ctx, c.file.MediaType); err != nil {
		return "", "", err
	}
	size := max(c.copies/10, leastPart, (c.file.Size/fewParts/mebibyte+1)*mebibyte)
	for offset := int64(0); offset < c.file.Size; offset += size {
		number := int32(len(up.parts)) + 1
		meter.Add(ctx, meter.Cost{Requests: 1})
		out, err := c.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
			Bucket: &c.bucket, Key: &c.key, UploadId: &up.id, PartNumber: &number, CopySource: c.source(),
			CopySourceRange: new(fmt.Sprintf("bytes=%d-%d", offset, min(offset+size, c.file.Size)-1)),
		})
		if err != nil {
			return "", "", errors.Join(c.failed(err), up.abort(ctx))
		}
		up.parts = append(up.parts, types.CompletedPart{PartNumber: &number, ETag: out.CopyPartResult.ETag, ChecksumCRC32C: out.CopyPartResult.ChecksumCRC32C})
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &c.bucket, Key: &c.key, UploadId: &up.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: up.parts},
	}
	if c.file.CRC != "" {
		in.ChecksumCRC32C, in.ChecksumType = &c.file.CRC, types.ChecksumTypeFullObject
	}
	in.IfMatch, in.IfNoneMatch = expecting(c.etag)
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := c.client.CompleteMultipartUpload(ctx, in)
	if err != nil {
		return "", "", errors.Join(c.failed(err), up.abort(ctx))
	}
	return value(out.ETag), realVersion(out.VersionId), c.same(out.ChecksumCRC32C)
}
