package s3index

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/internal/paging"
	"github.com/genaistore/genaistore/vectors"
)

// listVectors is the most vectors of a page of a list. The service ends one at a
// megabyte too.
const listVectors = 1000

// List implements [vectors.Index]. S3 Vectors does not list by prefix or filter:
// each is a pass over the whole index, of which this reads the metadata where
// there is a filter. Of an index that has more than a page, several segments are
// read at a time, each of which is ahead of the loop by a page.
func (x *Index) List(ctx context.Context, opts *vectors.ListOptions) iter.Seq2[vectors.Vector, error] {
	o := opts.WithDefaults()
	o.Filter = cloned(o.Filter)
	return func(yield func(vectors.Vector, error) bool) {
		err := x.list(ctx, o, func(v vectors.Vector) bool { return yield(v, nil) })
		if err != nil {
			yield(vectors.Vector{}, x.wrap("list", err))
		}
	}
}

// list calls each for what o selects until it returns false.
func (x *Index) list(ctx context.Context, o vectors.ListOptions, each func(vectors.Vector) bool) error {
	schema, err := x.schema(ctx)
	if err != nil {
		return err
	}
	if err := o.Validate(schema); err != nil || o.Filter.Simplified().IsNone() {
		return err
	}
	fields := o.Fields
	if !o.Filter.IsZero() {
		fields = withMetadata(fields)
	}
	var stopped error
	err = x.scan(ctx, fields, func(v vectors.Vector) bool {
		if stopped = ctx.Err(); stopped != nil {
			return false
		}
		if !strings.HasPrefix(v.Key, o.Prefix) || !o.Filter.Match(v.Metadata) {
			return true
		}
		if !o.Fields.Metadata() {
			v.Metadata = nil
		}
		return each(v)
	})
	return first(err, stopped)
}

func withMetadata(f vectors.Fields) vectors.Fields {
	if f.Data() {
		return vectors.Everything
	}
	return vectors.KeysAndMetadata
}

func withData(f vectors.Fields) vectors.Fields {
	if f.Metadata() {
		return vectors.Everything
	}
	return vectors.KeysAndData
}

// scan calls each for every vector until it returns false.
func (x *Index) scan(ctx context.Context, fields vectors.Fields, each func(vectors.Vector) bool) error {
	whole := part{x, fields, 0, 0}
	if x.opts.Segments == 1 {
		for p, err := range whole.pages(ctx) {
			if err != nil || !all(p, each) {
				return err
			}
		}
		return nil
	}
	// Most indexes that are listed have one page. Of others it is read twice.
	p, err := whole.page(ctx, "")
	if err != nil || !all(p.matches, each) || p.next == "" {
		return err
	}
	seen := make(map[string]bool, len(p.matches))
	for _, m := range p.matches {
		seen[m.Key] = true
	}
	return x.segments(ctx, fields, func(v vectors.Vector) bool { return seen[v.Key] || each(v) })
}

func all(matches []vectors.Match, each func(vectors.Vector) bool) bool {
	for _, m := range matches {
		if !each(m.Vector) {
			return false
		}
	}
	return true
}

// segments reads all segments at a time, and calls each from one goroutine.
func (x *Index) segments(ctx context.Context, fields vectors.Fields, each func(vectors.Vector) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(x.opts.Segments)
	pages := make(chan []vectors.Match)
	for i := range x.opts.Segments {
		group.Go(func() error { return part{x, fields, x.opts.Segments, i}.send(ctx, pages) })
	}
	var ended error
	var end sync.WaitGroup
	end.Go(func() {
		ended = group.Wait()
		close(pages)
	})
	left := false
	for p := range pages {
		if left = left || !all(p, each); left {
			cancel() // and take what was on its way
		}
	}
	end.Wait()
	if left {
		return nil
	}
	return ended
}

// A part is a segment of an index, or, without a count, all of it.
type part struct {
	index          *Index
	fields         vectors.Fields
	count, segment int
}

func (p part) send(ctx context.Context, to chan<- []vectors.Match) error {
	for matches, err := range p.pages(ctx) {
		if err != nil {
			return err
		}
		select {
		case to <- matches:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p part) pages(ctx context.Context) iter.Seq2[[]vectors.Match, error] {
	return paging.Seq(func(token string) ([][]vectors.Match, string, error) {
		found, err := p.page(ctx, token)
		return [][]vectors.Match{found.matches}, found.next, err
	})
}

func (p part) page(ctx context.Context, token string) (page, error) {
	x := p.index
	r := x.request()
	r.MaxResults, r.NextToken, r.ReturnData, r.ReturnMetadata = listVectors, token, p.fields.Data(), p.fields.Metadata()
	if p.count > 0 {
		r.SegmentCount, r.SegmentIndex = p.count, &p.segment
	}
	found, err := x.exchangePage(ctx, r, func(option func(*s3vectors.Options)) error {
		_, err := x.client.ListVectors(ctx, &s3vectors.ListVectorsInput{VectorBucketName: &x.bucket, IndexName: &x.name}, option)
		return err
	})
	if token != "" && errors.Is(err, vectors.ErrInvalid) {
		err = fmt.Errorf("%w (if the token of the page has expired, the loop took too long: list again, and do in it what is quick)", err)
	}
	return found, err
}
