package s3artifacts

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/meter"
)

const (
	maxParts    = 10_000
	inlineTable = 4 << 10  // bytes of leaf digests that lie beside the file in its list
	readBlock   = 1 << 20  // of a file that is only hashed
	fewParts    = 9_500    // so that a file whose size is known fits
	startBuffer = 64 << 10 // of a stream
)

// A sender sends the files of one Publish.
type sender struct {
	*Store
	ledger *ledger
	have   *index
	files  fs.FS
	opts   artifacts.PublishOptions
	shown  *progress

	mu     sync.Mutex
	wanted map[string]*sending // by digest
	sent   int64
	reused int64
}

// A sending is content that somebody sends, and others wait for.
type sending struct {
	once sync.Once
	blob *blob
	err  error
}

// send reads the files that Scan found, sends what is new, and returns what a
// version has of them.
func (p *sender) send(ctx context.Context, found []artifacts.FileInfo) ([]file, error) {
	p.wanted = map[string]*sending{}
	out := make([]file, len(found))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(p.Store.opts.Concurrency)
	for i, f := range found {
		if each.Err() != nil {
			break
		}
		g.Go(func() error {
			one := file{FileInfo: f}
			one.MediaType = cmp.Or(p.opts.MediaTypes[f.Path], artifacts.MediaType(f.Path))
			if err := p.one(each, &one); err != nil {
				return err
			}
			out[i] = one
			p.shown.file()
			return nil
		})
	}
	return out, cmp.Or(g.Wait(), ctx.Err())
}

// one sends a file, and fills in what it is: what fits into a part from memory,
// what is longer in parts.
func (p *sender) one(ctx context.Context, f *file) (err error) {
	if f.Size > p.Store.opts.PartSize {
		return p.large(ctx, f)
	}
	room := p.Store.opts.PartSize
	if f.Size >= 0 {
		room = f.Size
	}
	if err := p.memory.Acquire(ctx, room); err != nil {
		return err
	}
	release := sync.OnceFunc(func() { p.memory.Release(room) })
	defer release()
	st := &stream{sender: p, ctx: ctx, path: f.Path, known: f.Size >= 0, digest: artifacts.NewDigest(), release: release}
	block := make([]byte, min(max(f.Size, startBuffer)+1, readBlock))
	if _, err := artifacts.ReadFile(ctx, p.files, f.Path, block, st.take); err != nil {
		return errors.Join(err, st.abort())
	}
	f.Size, f.Digest = st.size, st.digest.String()
	f.blob, err = st.end()
	return err
}

// share has content sent by whoever needs it first, unless it is there.
func (p *sender) share(digest string, size int64, send func() (*blob, error)) (*blob, error) {
	p.mu.Lock()
	w := p.wanted[digest]
	switch b := p.have.blobs[digest]; {
	case b != nil:
		p.reused += size
		p.mu.Unlock()
		return b, nil
	case w != nil:
		p.reused += size
	default:
		p.sent += size
		w = &sending{}
		p.wanted[digest] = w
	}
	p.mu.Unlock()
	w.once.Do(func() { w.blob, w.err = send() })
	return w.blob, w.err
}

// whole sends content that is in memory.
func (p *sender) whole(ctx context.Context, path, digest string, data []byte, leaves [][sha256.Size]byte) (*blob, error) {
	key := p.blobKey(digest)
	b := p.landed(key)
	b.CRC = checksum(castagnoli(0, data))
	version, err := p.put(ctx, p.ledger.base+key, data, func(in *s3.PutObjectInput) {
		in.ContentType = new(cmp.Or(p.opts.MediaTypes[path], artifacts.MediaType(path)))
		p.land(in)
	})
	if err != nil {
		return nil, err
	}
	b.Version = version
	return b, p.table(ctx, p.ledger, b, digest, leaves)
}

// table puts the digests of leaves where a reader of a range finds them. Of one
// leaf or none the digest of the file is enough.
func (s *Store) table(ctx context.Context, l *ledger, b *blob, digest string, leaves [][sha256.Size]byte) error {
	if len(leaves) < 2 {
		return nil
	}
	var text []byte
	for _, leaf := range leaves {
		text = append(text, leaf[:]...)
	}
	if len(text) <= inlineTable {
		b.Leaves = text
		return nil
	}
	b.Table = s.fresh("t", digest)
	_, err := s.put(ctx, l.base+b.Table, text, nil)
	return err
}

// large sends a file of known size that does not fit into a part. It is read once
// to know whether its content is there, and once more to send it.
func (p *sender) large(ctx context.Context, f *file) error {
	d := artifacts.NewDigest()
	_, err := artifacts.ReadFile(ctx, p.files, f.Path, make([]byte, readBlock), func(piece []byte) error {
		_, err := d.Write(piece)
		p.shown.hashed(int64(len(piece)), f.Size)
		return err
	})
	if err != nil {
		return err
	}
	f.Digest = d.String()
	f.blob, err = p.share(f.Digest, f.Size, func() (*blob, error) { return p.again(ctx, f.Path, f.Size, f.Digest) })
	return err
}

// A stream is a file that is sent as it is read: from memory if it fits into a
// part, else in parts, under a key without its digest, which nobody knows yet.
type stream struct {
	*sender
	ctx    context.Context //nolint:containedctx // of one call of ReadFile, whose callback takes none
	path   string
	known  bool // the size
	digest *artifacts.Digest
	size   int64
	data   []byte
	upload *multipart
	blob   *blob

	release func() // of its memory
}

func (st *stream) take(piece []byte) error {
	_, _ = st.digest.Write(piece) // never fails
	st.size += int64(len(piece))
	known := int64(-1)
	if st.known {
		known = 0
	}
	st.shown.hashed(int64(len(piece)), known)
	if st.upload == nil && st.size > st.Store.opts.PartSize {
		key := st.fresh("b/00", "stream")
		st.blob = st.landed(key)
		var err error
		if st.upload, err = st.beginUpload(st.ctx, st.path, key, st.Store.opts.PartSize); err != nil {
			return err
		}
		if err := st.upload.write(st.ctx, st.data); err != nil {
			return err
		}
		st.data = nil
	}
	if st.upload != nil {
		return st.upload.write(st.ctx, piece)
	}
	st.data = append(st.data, piece...)
	return nil
}

func (st *stream) abort() error {
	if st.upload == nil {
		return nil
	}
	return st.upload.abort(st.ctx)
}

// end sends what is in memory, or completes the upload, unless the content is there.
func (st *stream) end() (*blob, error) {
	digest := st.digest.String()
	if st.upload == nil {
		return st.share(digest, st.size, func() (*blob, error) { return st.whole(st.ctx, st.path, digest, st.data, st.digest.Leaves()) })
	}
	if err := st.upload.flush(st.ctx); err != nil {
		return nil, errors.Join(err, st.abort())
	}
	// Whoever sends the same content may be waiting for memory: none is held here.
	st.release()
	completed := false
	b, err := st.share(digest, st.size, func() (*blob, error) {
		completed = true
		if err := st.upload.end(st.ctx, st.blob); err != nil {
			return nil, errors.Join(err, st.abort())
		}
		return st.blob, st.table(st.ctx, st.ledger, st.blob, digest, st.digest.Leaves())
	})
	if err == nil && !completed {
		err = st.abort()
	}
	return b, err
}

// A multipart is an upload in parts, one after the other.
type multipart struct {
	*Store
	bucket string
	key    string // with the base of the name
	id     string
	size   int64 // of a part
	data   []byte
	sum    uint32 // CRC-32C of all parts
	parts  []types.CompletedPart
	sent   map[int32]types.Part // by somebody before, of an upload that goes on
	class  string               // STANDARD if empty
}

func (p *sender) beginUpload(ctx context.Context, path, key string, size int64) (*multipart, error) {
	up := &multipart{Store: p.Store, bucket: p.landing(), key: p.ledger.base + key, size: size, data: make([]byte, 0, size)}
	if up.bucket == p.bucket {
		up.class = p.Store.opts.Class
	}
	if err := up.begin(ctx, cmp.Or(p.opts.MediaTypes[path], artifacts.MediaType(path))); err != nil {
		return nil, err
	}
	return up, nil
}

func (up *multipart) begin(ctx context.Context, mediaType string) error {
	in := &s3.CreateMultipartUploadInput{
		Bucket: &up.bucket, Key: &up.key, ContentType: &mediaType,
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject,
		StorageClass: types.StorageClass(up.class),
	}
	if up.opts.KMSKeyID != "" && up.bucket == up.Store.bucket {
		in.ServerSideEncryption, in.SSEKMSKeyId, in.BucketKeyEnabled = types.ServerSideEncryptionAwsKms, &up.opts.KMSKeyID, new(true)
	}
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := up.client.CreateMultipartUpload(ctx, in)
	if err != nil {
		return classify(up.key, err)
	}
	up.id = value(out.UploadId)
	return nil
}

func (up *multipart) write(ctx context.Context, piece []byte) error {
	for len(piece) > 0 {
		n := min(int64(len(piece)), up.size-int64(len(up.data)))
		up.data = append(up.data, piece[:n]...)
		piece = piece[n:]
		if int64(len(up.data)) == up.size {
			if err := up.part(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (up *multipart) part(ctx context.Context) error {
	number := int32(len(up.parts)) + 1
	if number > maxParts {
		return fmt.Errorf("%w: a stream of more than %d parts of %d bytes", artifacts.ErrInvalid, maxParts, up.size)
	}
	sum := checksum(castagnoli(0, up.data))
	if part, has := up.has(number, sum, int64(len(up.data))); has {
		up.add(part)
		return nil
	}
	meter.Add(ctx, meter.Cost{Requests: 1, BytesSent: int64(len(up.data))})
	out, err := up.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &up.bucket, Key: &up.key, UploadId: &up.id, PartNumber: &number,
		Body: bytes.NewReader(up.data), ContentLength: new(int64(len(up.data))), ChecksumCRC32C: &sum,
	})
	if err != nil {
		return classify(up.key, err)
	}
	up.add(types.CompletedPart{PartNumber: &number, ETag: out.ETag, ChecksumCRC32C: &sum})
	return nil
}

// add notes that the bytes at hand are a part.
func (up *multipart) add(part types.CompletedPart) {
	up.sum = castagnoli(up.sum, up.data)
	up.parts = append(up.parts, part)
	up.data = up.data[:0]
}

// flush sends what is left, and lets go of the memory.
func (up *multipart) flush(ctx context.Context) error {
	if len(up.data) == 0 {
		return nil
	}
	err := up.part(ctx)
	up.data = nil
	return err
}

// end completes the upload. S3 compares the checksum of the whole with ours; where
// it says its own, we do too. An answer that got lost is looked up.
func (up *multipart) end(ctx context.Context, b *blob) error {
	if err := up.flush(ctx); err != nil {
		return err
	}
	b.CRC = checksum(up.sum)
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := up.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &up.bucket, Key: &up.key, UploadId: &up.id, ChecksumCRC32C: &b.CRC, ChecksumType: types.ChecksumTypeFullObject,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: up.parts},
	})
	if err == nil {
		b.Version = realVersion(out.VersionId)
		if got := value(out.ChecksumCRC32C); got != "" && got != b.CRC {
			return fmt.Errorf("%s: %w: S3 has the CRC-32C %s, not %s", up.key, artifacts.ErrCorrupt, got, b.CRC)
		}
		return nil
	}
	if ctx.Err() == nil {
		meter.Add(ctx, meter.Cost{Requests: 1})
		head, herr := up.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &up.bucket, Key: &up.key, ChecksumMode: types.ChecksumModeEnabled})
		if herr == nil && value(head.ChecksumCRC32C) == b.CRC {
			b.Version = realVersion(head.VersionId)
			return nil
		}
	}
	return classify(up.key, err)
}

// abort frees the parts. It goes on where the context of the upload was cancelled:
// what it cannot do, the lifecycle rule of the bucket does.
func (up *multipart) abort(ctx context.Context) error {
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	meter.Add(after, meter.Cost{Requests: 1})
	_, err := up.client.AbortMultipartUpload(after, &s3.AbortMultipartUploadInput{Bucket: &up.bucket, Key: &up.key, UploadId: &up.id})
	if err = classify(up.key, err); errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	return err
}
