package embed

import (
	"context"
	"maps"
	"slices"

	"github.com/genaistore/genaistore/vectors"
)

// An IndexCache is a [Cache] in an index. Build one with [OnIndex].
type IndexCache struct{ index vectors.Index }

var _ Cache = (*IndexCache)(nil)

// OnIndex returns a [Cache] that keeps embeddings in an index of the model's
// dimension, where they outlive the process and others share them: one on S3
// Vectors, or in memory. The index should hold nothing else; it is not searched.
func OnIndex(index vectors.Index) *IndexCache { return &IndexCache{index} }

// Load implements [Cache].
func (c *IndexCache) Load(ctx context.Context, keys []string) (map[string][]float32, error) {
	stored, err := c.index.Get(ctx, keys, &vectors.GetOptions{Fields: vectors.KeysAndData})
	if err != nil {
		return nil, err
	}
	found := make(map[string][]float32, len(stored))
	for _, v := range stored {
		found[v.Key] = v.Data
	}
	return found, nil
}

// Store implements [Cache].
func (c *IndexCache) Store(ctx context.Context, embeddings map[string][]float32) error {
	keys := slices.Sorted(maps.Keys(embeddings))
	_, err := c.index.Put(ctx, func(yield func(vectors.Vector, error) bool) {
		for _, key := range keys {
			if !yield(vectors.Vector{Key: key, Data: embeddings[key]}, nil) {
				return
			}
		}
	}, nil)
	return err
}
