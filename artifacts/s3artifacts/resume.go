package s3artifacts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/internal/paging"
	"github.com/genaistore/genaistore/meter"
)

// An upload that nobody ended is its own journal: its key says what content it is of,
// and S3 lists its parts with their checksums. So a Publish goes on where another one
// stopped, on any machine, and nothing has to be kept beside the bucket. A part that is
// there is taken if it has the length and the checksum of what would be sent; the
// checksum of the whole is compared again when the upload ends. Where two go on with
// one upload at once, they send the same bytes, and whoever comes too late for a part or
// for the end finds the object that the other one made.

// resume returns an open upload of this content that has parts of this size, or nil.
// A store that cannot list uploads, or does not let the role do so, has none.
func (p *sender) resume(ctx context.Context, digest string, size, partSize int64) (*multipart, error) {
	if p.landing() != p.bucket {
		return nil, nil //nolint:nilnil // a directory bucket lists uploads in another way
	}
	key := p.blobKey(digest)
	folder, name := key[:strings.LastIndexByte(key, '/')+1], key[:strings.LastIndexByte(key, '.')+1]
	if name == "" {
		return nil, nil //nolint:nilnil // there is nothing to go on with
	}
	for u, err := range p.uploads(ctx, p.ledger.base+folder) {
		if errors.Is(err, artifacts.ErrDenied) || unknown(err) {
			break
		}
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(value(u.Key), p.ledger.base+name) {
			continue
		}
		up := &multipart{Store: p.Store, bucket: p.bucket, key: value(u.Key), id: value(u.UploadId), size: partSize, data: make([]byte, 0, partSize)}
		fits, err := up.recall(ctx, size)
		if err != nil {
			return nil, err
		}
		if fits {
			return up, nil
		}
	}
	return nil, nil //nolint:nilnil // the same
}

// uploads yields the uploads below a prefix, which ends in a slash, that nobody ended.
func (s *Store) uploads(ctx context.Context, prefix string) iter.Seq2[types.MultipartUpload, error] {
	return paging.Seq(func(from versionMarker) ([]types.MultipartUpload, versionMarker, error) {
		in := &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &prefix}
		if from.key != "" {
			in.KeyMarker = &from.key
		}
		if from.version != "" {
			in.UploadIdMarker = &from.version
		}
		meter.Add(ctx, meter.Cost{Requests: 1})
		out, err := s.client.ListMultipartUploads(ctx, in)
		if err != nil {
			return nil, versionMarker{}, classify(prefix, err)
		}
		next := versionMarker{}
		if known(out.IsTruncated) {
			next = versionMarker{value(out.NextKeyMarker), value(out.NextUploadIdMarker)}
		}
		return out.Uploads, next, nil
	})
}

// recall reads which parts an upload has, and says whether they are of its size.
func (up *multipart) recall(ctx context.Context, size int64) (fits bool, err error) {
	up.sent = map[int32]types.Part{}
	for part, err := range up.listed(ctx) {
		if errors.Is(err, artifacts.ErrNotFound) || errors.Is(err, artifacts.ErrDenied) || unknown(err) {
			return false, nil // ended meanwhile, or nobody may know
		}
		if err != nil {
			return false, err
		}
		number := known(part.PartNumber)
		if known(part.Size) != min(up.size, size-int64(number-1)*up.size) {
			return false, nil // of somebody who sends parts of another size
		}
		up.sent[number] = part
	}
	return true, nil
}

// listed yields the parts that an upload has.
func (up *multipart) listed(ctx context.Context) iter.Seq2[types.Part, error] {
	return paging.Seq(func(after string) ([]types.Part, string, error) {
		in := &s3.ListPartsInput{Bucket: &up.bucket, Key: &up.key, UploadId: &up.id}
		if after != "" {
			in.PartNumberMarker = &after
		}
		meter.Add(ctx, meter.Cost{Requests: 1})
		out, err := up.client.ListParts(ctx, in)
		if err != nil {
			return nil, "", classify(up.key, err)
		}
		if !known(out.IsTruncated) {
			return out.Parts, "", nil
		}
		return out.Parts, value(out.NextPartNumberMarker), nil
	})
}

// has says whether a part that was sent before is this one.
func (up *multipart) has(number int32, sum string, size int64) (types.CompletedPart, bool) {
	part, is := up.sent[number]
	if !is || known(part.Size) != size || value(part.ChecksumCRC32C) != sum {
		return types.CompletedPart{}, false
	}
	return types.CompletedPart{PartNumber: &number, ETag: part.ETag, ChecksumCRC32C: &sum}, true
}

// attempts is how often an upload is begun that somebody else ends.
const attempts = 3

// again reads a large file a second time, and sends what is not there of it.
func (p *sender) again(ctx context.Context, path string, size int64, digest string) (*blob, error) {
	partSize := max(p.Store.opts.PartSize, (size/fewParts/mebibyte+1)*mebibyte)
	room := min(partSize, p.Store.opts.Memory)
	if err := p.memory.Acquire(ctx, room); err != nil {
		return nil, err
	}
	defer p.memory.Release(room)
	var gone error
	for range attempts {
		up, err := p.resume(ctx, digest, size, partSize)
		if err != nil {
			return nil, err
		}
		if up == nil {
			if up, err = p.beginUpload(ctx, path, p.blobKey(digest), partSize); err != nil {
				return nil, err
			}
		}
		b, err := p.parts(ctx, path, digest, up)
		if !errors.Is(err, errUploadGone) {
			return b, err
		}
		gone = err
		if b, err := p.ended(ctx, path, digest, up); b != nil || err != nil {
			return b, err
		}
	}
	return nil, gone
}

// ended returns what somebody else made of an upload, or nil where it was aborted, or
// goes on.
func (p *sender) ended(ctx context.Context, path, digest string, up *multipart) (*blob, error) {
	meter.Add(ctx, meter.Cost{Requests: 1})
	head, err := p.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &up.bucket, Key: &up.key, ChecksumMode: types.ChecksumModeEnabled})
	if err = classify(up.key, err); errors.Is(err, artifacts.ErrNotFound) {
		return nil, nil //nolint:nilnil // it was aborted
	}
	if err != nil {
		return nil, err
	}
	d, sum := artifacts.NewDigest(), uint32(0)
	_, err = artifacts.ReadFile(ctx, p.files, path, make([]byte, readBlock), func(piece []byte) error {
		sum = castagnoli(sum, piece)
		_, err := d.Write(piece)
		return err
	})
	if err != nil {
		return nil, err
	}
	b := p.landed(strings.TrimPrefix(up.key, p.ledger.base))
	b.CRC, b.Version = checksum(sum), realVersion(head.VersionId)
	if d.String() != digest || value(head.ChecksumCRC32C) != b.CRC {
		return nil, nil //nolint:nilnil // nobody can tell what it is
	}
	return b, p.table(ctx, p.ledger, b, digest, d.Leaves())
}

// errUploadGone says that an upload was changed or ended while it was used.
var errUploadGone = errors.New("somebody else changed or ended the upload")

// parts sends a file as the parts of an upload. What fails for a reason that is not the
// file leaves the upload for the next Publish.
func (p *sender) parts(ctx context.Context, path, digest string, up *multipart) (*blob, error) {
	d := artifacts.NewDigest()
	_, err := artifacts.ReadFile(ctx, p.files, path, make([]byte, readBlock), func(piece []byte) error {
		_, _ = d.Write(piece) // never fails
		return up.write(ctx, piece)
	})
	if err == nil && d.String() != digest {
		err = fmt.Errorf("%s: %w: it changed while it was read", path, artifacts.ErrConflict)
	}
	if err != nil {
		return nil, up.failed(ctx, err)
	}
	b := p.landed(strings.TrimPrefix(up.key, p.ledger.base))
	if err := up.end(ctx, b); err != nil {
		return nil, up.failed(ctx, err)
	}
	return b, p.table(ctx, p.ledger, b, digest, d.Leaves())
}

// failed decides what becomes of an upload: one of bytes that are not those of its key
// is aborted, one that somebody else has changed or ended is looked at again, and any
// other waits for whoever goes on with it.
func (up *multipart) failed(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, artifacts.ErrConflict), errors.Is(err, artifacts.ErrCorrupt):
		return errors.Join(err, up.abort(ctx))
	case absence(err, "NoSuchUpload", "InvalidPart"), confused(err):
		return errors.Join(errUploadGone, err)
	}
	return err
}

// confused says that a server failed where it should have said that an upload is gone,
// as some do.
func confused(err error) bool {
	response, is := errors.AsType[*smithyhttp.ResponseError](err)
	return is && response.HTTPStatusCode() == http.StatusInternalServerError
}

// abandon aborts uploads of a name that are older than age, and returns how many.
func (s *Store) abandon(ctx context.Context, base string, age time.Duration) (n int, err error) {
	for u, err := range s.uploads(ctx, base) {
		if unknown(err) || errors.Is(err, artifacts.ErrDenied) {
			return n, nil // the bucket's lifecycle rule does it
		}
		if err != nil {
			return n, err
		}
		if u.Initiated == nil || time.Since(*u.Initiated) < age {
			continue
		}
		up := &multipart{Store: s, bucket: s.bucket, key: value(u.Key), id: value(u.UploadId)}
		if err := up.abort(ctx); err != nil {
			return n, cmp.Or(ctx.Err(), err)
		}
		n++
	}
	return n, nil
}
