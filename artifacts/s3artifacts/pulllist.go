package s3artifacts

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/pull"
)

// WritePullList writes a list by which somebody in another account, or in none, reads
// a version until expires has passed: see package pull. What holds for [Store.Downloads]
// holds for its URLs, but whoever opens the list need not compare digests: it does. It
// costs what opening the version costs, and a GET for each file above 2 GiB.
func (s *Store) WritePullList(ctx context.Context, w io.Writer, id artifacts.ID, presigner Presigner, expires time.Duration) error {
	l, files, err := s.downloadable(ctx, id, presigner, expires)
	if err != nil {
		return wrap("pull list of", id, err)
	}
	v, err := s.Resolve(ctx, artifacts.Ref{Name: id.Name, Number: id.Number})
	if err != nil {
		return err
	}
	return pull.Write(w, v, time.Now().Add(expires), s.pullable(ctx, l, files, presigner, expires))
}

func (s *Store) pullable(ctx context.Context, l *ledger, files []file, presigner Presigner, expires time.Duration) iter.Seq2[pull.File, error] {
	return func(yield func(pull.File, error) bool) {
		for _, f := range files {
			one, err := s.pullFile(ctx, l, f, presigner, expires)
			if !yield(one, firstError(err, ctx.Err())) || err != nil {
				return
			}
		}
	}
}

func (s *Store) pullFile(ctx context.Context, l *ledger, f file, presigner Presigner, expires time.Duration) (pull.File, error) {
	out := pull.File{Path: f.Path, Size: f.Size, Digest: f.Digest, MediaType: f.MediaType}
	var err error
	if out.URL, err = s.presign(ctx, presigner, l, f, expires); err != nil {
		return out, err
	}
	if f.Size > artifacts.LeafSize {
		out.Leaves, err = (&content{Store: s, ledger: l, file: f}).table(ctx)
	}
	return out, err
}
