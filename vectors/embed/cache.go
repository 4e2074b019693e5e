package embed

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
)

// A Cache keeps embeddings by key. It is safe for concurrent use. [InMemoryCache]
// is one, and [OnIndex] makes one of an index; two methods make one of any store.
//
// A key is 64 hexadecimal digits that only the model, the purpose and the content
// decide, so what is under it never changes: nothing has to be invalidated, and
// several programs can share a store.
type Cache interface {
	// Load returns the embeddings of those keys that it has.
	Load(ctx context.Context, keys []string) (map[string][]float32, error)
	// Store keeps embeddings, for as long as it can.
	Store(ctx context.Context, embeddings map[string][]float32) error
}

// CacheOptions adjusts a [Cached]. A nil *CacheOptions means the defaults.
type CacheOptions struct {
	// Batch is how many contents are embedded before they are stored: what an error
	// ends keeps what came before. 0 means 960.
	Batch int
}

// WithDefaults returns what a Cached acts on.
func (o *CacheOptions) WithDefaults() CacheOptions {
	var opts CacheOptions
	if o != nil {
		opts = *o
	}
	opts.Batch = cmp.Or(opts.Batch, 960)
	return opts
}

// A Cached is an [Embedder] that asks another only for what is not in its cache,
// and of equal texts once. Build one with [NewCached].
//
// What the cache has is checked: an embedding that no model of that dimension could
// have made counts as absent. An error of the cache is an error of the call.
type Cached struct {
	embedder Embedder
	cache    Cache
	batch    int
}

var _ Embedder = (*Cached)(nil)

// NewCached returns e with a cache. An error matches [ErrInvalid].
func NewCached(e Embedder, cache Cache, opts *CacheOptions) (*Cached, error) {
	o := opts.WithDefaults()
	if o.Batch < 1 {
		return nil, fmt.Errorf("cache of embeddings: %w: batches of %d: at least 1", ErrInvalid, o.Batch)
	}
	return &Cached{embedder: e, cache: cache, batch: o.Batch}, nil
}

// Model implements [Embedder].
func (c *Cached) Model() Model { return c.embedder.Model() }

// The purposes that keys tell apart.
const (
	stored   = "document"
	searched = "query"
)

// Documents implements [Embedder].
func (c *Cached) Documents(ctx context.Context, texts []string) ([][]float32, error) {
	return cached(ctx, c, texts, use[string]{stored, checkDocument, textInput, c.embedder.Documents})
}

// Query implements [Embedder].
func (c *Cached) Query(ctx context.Context, text string) ([]float32, error) {
	return one(cached(ctx, c, []string{text}, use[string]{searched, checkQuery, textInput, func(ctx context.Context, texts []string) ([][]float32, error) {
		vector, err := c.embedder.Query(ctx, texts[0])
		return [][]float32{vector}, err
	}}))
}

// A CachedMultimodal is a [Cached] that embeds images too. Build one with
// [NewCachedMultimodal].
type CachedMultimodal struct {
	*Cached

	embedder Multimodal
}

var _ Multimodal = (*CachedMultimodal)(nil)

// NewCachedMultimodal returns m with a cache. An error matches [ErrInvalid].
func NewCachedMultimodal(m Multimodal, cache Cache, opts *CacheOptions) (*CachedMultimodal, error) {
	c, err := NewCached(m, cache, opts)
	return &CachedMultimodal{Cached: c, embedder: m}, err
}

// Inputs implements [Multimodal].
func (c *CachedMultimodal) Inputs(ctx context.Context, inputs []Input) ([][]float32, error) {
	return cached(ctx, c.Cached, inputs, use[Input]{stored, checkStored, itself, c.embedder.Inputs})
}

// QueryInput implements [Multimodal].
func (c *CachedMultimodal) QueryInput(ctx context.Context, input Input) ([]float32, error) {
	return one(cached(ctx, c.Cached, []Input{input}, use[Input]{searched, checkSearched, itself, func(ctx context.Context, inputs []Input) ([][]float32, error) {
		vector, err := c.embedder.QueryInput(ctx, inputs[0])
		return [][]float32{vector}, err
	}}))
}

func one(vectors [][]float32, err error) ([]float32, error) {
	if err != nil {
		return nil, err
	}
	return vectors[0], nil
}

func textInput(text string) Input { return Input{Text: text} }
func itself(input Input) Input    { return input }

func checkDocument(i int, text string) error {
	if err := CheckText(text); err != nil {
		return fmt.Errorf("embed document %d: %w", i, err)
	}
	return nil
}

func checkQuery(_ int, text string) error {
	if err := CheckText(text); err != nil {
		return fmt.Errorf("embed query: %w", err)
	}
	return nil
}

func checkStored(i int, input Input) error {
	if err := CheckInput(input); err != nil {
		return fmt.Errorf("embed input %d: %w", i, err)
	}
	return nil
}

func checkSearched(_ int, input Input) error {
	if err := CheckInput(input); err != nil {
		return fmt.Errorf("embed query: %w", err)
	}
	return nil
}

// A use is one of the ways to embed contents of type T.
type use[T any] struct {
	purpose string
	check   func(i int, content T) error
	input   func(T) Input
	embed   func(context.Context, []T) ([][]float32, error)
}

// cached embeds what is not in the cache of c.
func cached[T any](ctx context.Context, c *Cached, contents []T, u use[T]) ([][]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	keys := make([]string, len(contents))
	for i, content := range contents {
		if err := u.check(i, content); err != nil {
			return nil, err
		}
		keys[i] = c.key(u.purpose, u.input(content))
	}
	known, err := c.load(ctx, keys)
	if err != nil {
		return nil, err
	}
	m := &missing[T]{cache: c, use: u, known: known}
	for i, key := range keys {
		if _, ok := known[key]; ok {
			continue
		}
		known[key] = nil // until it is embedded; and so no other asks for it
		if m.add(i, key, contents[i]); len(m.keys) == c.batch {
			if err := m.embed(ctx); err != nil {
				return nil, err
			}
		}
	}
	if err := m.embed(ctx); err != nil {
		return nil, err
	}
	vectors := make([][]float32, len(contents))
	for i, key := range keys {
		vectors[i] = slices.Clone(known[key]) // equal contents are of one caller, but vectors are not shared
	}
	return vectors, nil
}

// key says what decides an embedding, with the length of each part, so that no two
// make the same.
func (c *Cached) key(purpose string, input Input) string {
	model := c.Model()
	hash := sha256.New()
	for _, part := range [][]byte{[]byte(model.String()), []byte(purpose), []byte(input.Text), input.Image} {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// load returns what the cache has and is sound.
func (c *Cached) load(ctx context.Context, keys []string) (map[string][]float32, error) {
	known := make(map[string][]float32, len(keys))
	if len(keys) == 0 {
		return known, nil
	}
	asked := slices.Clone(keys)
	slices.Sort(asked)
	found, err := c.cache.Load(ctx, slices.Compact(asked))
	if err != nil {
		return nil, fmt.Errorf("read the cache of embeddings: %w", err)
	}
	for _, key := range keys {
		if vector, ok := found[key]; ok && sound(vector, c.Model().Dimension) {
			known[key] = vector
		}
	}
	return known, nil
}

func sound(vector []float32, dimension int) bool {
	zero := true
	for _, x := range vector {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return false
		}
		zero = zero && x == 0
	}
	return len(vector) == dimension && !zero
}

// missing collects what is to be embedded.
type missing[T any] struct {
	cache    *Cached
	use      use[T]
	known    map[string][]float32
	keys     []string
	contents []T
	places   []int // in what the caller gave
}

func (m *missing[T]) add(i int, key string, content T) {
	m.keys, m.contents, m.places = append(m.keys, key), append(m.contents, content), append(m.places, i)
}

// embed embeds and stores what was collected.
func (m *missing[T]) embed(ctx context.Context) error {
	if len(m.keys) == 0 {
		return nil
	}
	vectors, err := m.use.embed(ctx, m.contents)
	if err != nil {
		return m.located(err)
	}
	if len(vectors) != len(m.keys) {
		return fmt.Errorf("%w: %d embeddings of %d contents", ErrCorrupt, len(vectors), len(m.keys))
	}
	store := make(map[string][]float32, len(vectors))
	for i, key := range m.keys {
		m.known[key] = vectors[i]
		store[key] = slices.Clone(vectors[i])
	}
	m.keys, m.contents, m.places = nil, nil, nil
	if err := m.cache.cache.Store(ctx, store); err != nil {
		return fmt.Errorf("write the cache of embeddings: %w", err)
	}
	return nil
}

// located says where what an error numbers is among what the caller gave.
func (m *missing[T]) located(err error) error {
	for n, place := range m.places {
		if n != place {
			return fmt.Errorf("of those not in the cache, which are %s of all: %w", ranges(m.places), err)
		}
	}
	return err
}

// ranges writes places that ascend, at most a few of them.
func ranges(places []int) string {
	var text []byte
	for i := 0; i < len(places); {
		end := i
		for end+1 < len(places) && places[end+1] == places[end]+1 {
			end++
		}
		if len(text) > 0 {
			text = append(text, ", "...)
		}
		if len(text) > 60 {
			return string(append(text, "…"...))
		}
		text = fmt.Append(text, places[i])
		if end > i {
			text = fmt.Appendf(text, " to %d", places[end])
		}
		i = end + 1
	}
	return string(text)
}
