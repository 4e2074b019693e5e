package s3artifacts

import (
	"context"
	"fmt"
	"iter"
	"path"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/genaistore/genaistore/artifacts"
)

// A Presigner signs requests for others. *s3.PresignClient is one.
type Presigner interface {
	PresignGetObject(context.Context, *s3.GetObjectInput, ...func(*s3.PresignOptions)) (*v4.PresignedHTTPRequest, error)
}

var _ Presigner = (*s3.PresignClient)(nil)

// A Download is a file that somebody without credentials may read for a while.
type Download struct {
	artifacts.FileInfo
	URL string
	// CRC32C is the checksum of the bytes as S3 has it, base64 of four bytes, for a
	// client that cannot compute the digest.
	CRC32C string
}

// maxPresigned is how long a URL of S3 can live.
const maxPresigned = 7 * 24 * time.Hour

// Downloads yields every file of a version with a URL that reads it, until expires
// has passed, in the order of paths. S3 ends a URL with the credentials that signed
// it, if those end first. Whoever reads must compare the digest: nothing verifies
// what a URL returns. A collector deletes the files of a version that was deleted
// while URLs live, after its Grace.
func (s *Store) Downloads(ctx context.Context, id artifacts.ID, presigner Presigner, expires time.Duration) iter.Seq2[Download, error] {
	return func(yield func(Download, error) bool) {
		for d, err := range s.downloads(ctx, id, presigner, expires) {
			if err = firstError(err, ctx.Err()); err != nil {
				yield(Download{}, wrap("downloads of", id, err))
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (s *Store) downloads(ctx context.Context, id artifacts.ID, presigner Presigner, expires time.Duration) iter.Seq2[Download, error] {
	return func(yield func(Download, error) bool) {
		l, files, err := s.downloadable(ctx, id, presigner, expires)
		if err != nil {
			yield(Download{}, err)
			return
		}
		located := s.located(l, files)
		for i, f := range files {
			url, err := s.presign(ctx, presigner, l, f, expires)
			if !yield(Download{located[i], url, f.CRC}, err) || err != nil {
				return
			}
		}
	}
}

func (s *Store) downloadable(ctx context.Context, id artifacts.ID, presigner Presigner, expires time.Duration) (*ledger, []file, error) {
	if err := firstError(ctx.Err(), id.Validate()); err != nil {
		return nil, nil, err
	}
	if presigner == nil || expires < time.Second || expires > maxPresigned {
		return nil, nil, fmt.Errorf("%w: URLs live from a second to %v, not %v, and need a presigner", artifacts.ErrInvalid, maxPresigned, expires)
	}
	l, err := s.recent(ctx, id.Name)
	if err != nil {
		return nil, nil, err
	}
	files, err := s.files(ctx, l, id.Number)
	return l, files, err
}

func (s *Store) presign(ctx context.Context, presigner Presigner, l *ledger, f file, expires time.Duration) (string, error) {
	at := s.place(l, f.blob)
	in := &s3.GetObjectInput{
		Bucket: &at.bucket, Key: &at.key, ResponseContentType: &f.MediaType,
		ResponseContentDisposition: new(fmt.Sprintf("attachment; filename*=UTF-8''%s", escapeHeader(path.Base(f.Path)))),
	}
	if f.Version != "" {
		in.VersionId = &f.Version
	}
	out, err := presigner.PresignGetObject(ctx, in, s3.WithPresignExpires(expires))
	if err != nil {
		return "", err
	}
	return out.URL, nil
}

// escapeHeader writes a file name as RFC 5987 has it in a header.
func escapeHeader(name string) string {
	return strings.ReplaceAll(escape(name), "=", "%")
}
