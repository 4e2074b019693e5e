package s3artifacts_test

import (
	"context"
	"io/fs"
	"iter"
	"testing"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
)

// A forgetful store is a new one for each call.
type forgetful struct {
	client s3artifacts.Client
	t      testing.TB
}

func (f *forgetful) new() artifacts.Store { return open(f.t, f.client, nil) }

func (f *forgetful) Publish(ctx context.Context, name artifacts.Name, files fs.FS, opts *artifacts.PublishOptions) (artifacts.Publication, error) {
	return f.new().Publish(ctx, name, files, opts)
}

func (f *forgetful) Resolve(ctx context.Context, ref artifacts.Ref) (artifacts.Version, error) {
	return f.new().Resolve(ctx, ref)
}

func (f *forgetful) Open(ctx context.Context, id artifacts.ID, path string) (artifacts.File, error) {
	return f.new().Open(ctx, id, path)
}

func (f *forgetful) Apply(ctx context.Context, name artifacts.Name, changes ...artifacts.Change) (artifacts.Record, error) {
	return f.new().Apply(ctx, name, changes...)
}

func (f *forgetful) History(ctx context.Context, name artifacts.Name, opts *artifacts.HistoryOptions) iter.Seq2[artifacts.Record, error] {
	return f.new().History(ctx, name, opts)
}

func (f *forgetful) List(ctx context.Context, query artifacts.Query) iter.Seq2[artifacts.Version, error] {
	return f.new().List(ctx, query)
}
