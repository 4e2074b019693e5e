package s3index

import (
	"cmp"
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/vectors"
)

// getKeys is the most keys of a request to get vectors.
const getKeys = 100

// Get implements [vectors.Index], with a request for each 100 keys.
func (x *Index) Get(ctx context.Context, keys []string, opts *vectors.GetOptions) ([]vectors.Vector, error) {
	fields := opts.WithDefaults().Fields
	err := cmp.Or(ctx.Err(), fields.Validate())
	for _, key := range keys {
		err = cmp.Or(err, vectors.Schema{}.ValidateKey(key))
	}
	if err != nil {
		return nil, x.wrap("get", err)
	}
	found, err := x.getAll(ctx, unique(keys), fields)
	return found, x.wrap("get", err)
}

// unique returns keys in their order, each once.
func unique(keys []string) []string {
	seen := make(map[string]bool, len(keys))
	once := make([]string, 0, len(keys))
	for _, key := range keys {
		if !seen[key] {
			seen[key] = true
			once = append(once, key)
		}
	}
	return once
}

func (x *Index) getAll(ctx context.Context, keys []string, fields vectors.Fields) ([]vectors.Vector, error) {
	if len(keys) <= getKeys {
		return x.get(ctx, keys, fields)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(x.opts.Concurrency)
	parts := make([][]vectors.Vector, (len(keys)+getKeys-1)/getKeys)
	for i := range parts {
		group.Go(func() (err error) {
			parts[i], err = x.get(ctx, keys[i*getKeys:min(len(keys), (i+1)*getKeys)], fields)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(parts...), nil
}

// get is one request, whose answer it puts in the order of keys.
func (x *Index) get(ctx context.Context, keys []string, fields vectors.Fields) ([]vectors.Vector, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	r := x.request()
	r.Keys, r.ReturnData, r.ReturnMetadata = keys, fields.Data(), fields.Metadata()
	p, err := x.exchangePage(ctx, r, func(option func(*s3vectors.Options)) error {
		_, err := x.client.GetVectors(ctx, &s3vectors.GetVectorsInput{VectorBucketName: &x.bucket, IndexName: &x.name, Keys: keys[:1]}, option)
		return err
	})
	if err != nil {
		return nil, err
	}
	places := make(map[string]int, len(p.matches))
	for i, m := range p.matches {
		places[m.Key] = i
	}
	found := make([]vectors.Vector, 0, len(p.matches))
	for _, key := range keys {
		if i, ok := places[key]; ok {
			found = append(found, p.matches[i].Vector)
		}
	}
	return found, nil
}

// exchangePage asks for a page of vectors, with what r asks for of each.
func (x *Index) exchangePage(ctx context.Context, r request, call func(option func(*s3vectors.Options)) error) (page, error) {
	body, err := r.encode()
	if err != nil {
		return page{}, err
	}
	d, err := x.describe(ctx)
	if err != nil {
		return page{}, err
	}
	var p page
	e := &exchange{body: body, reply: func(body []byte) (err error) {
		p, err = decodePage(body, d.Dimension)
		return err
	}}
	if err := exchanged(ctx, e, call); err != nil {
		return page{}, err
	}
	for i := range p.matches {
		m := &p.matches[i]
		if m.Metadata == nil && r.ReturnMetadata {
			m.Metadata = vectors.Metadata{}
		}
	}
	return p, nil
}
