package embed_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/embed"
	"github.com/genaistore/genaistore/vectors/embed/embedtest"
)

// A counting embedder makes vectors that only the content and purpose decide, and
// counts what it is asked for.
type counting struct {
	id        string
	dimension int

	mu       sync.Mutex
	calls    int
	contents []string
	fail     error // once one of the contents is "fails"
}

func (c *counting) Model() embed.Model { return embed.Model{ID: c.id, Dimension: c.dimension} }

func (c *counting) vectors(ctx context.Context, purpose string, inputs []embed.Input) ([][]float32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	vectors := make([][]float32, len(inputs))
	for i, input := range inputs {
		if err := errors.Join(ctx.Err(), embed.CheckInput(input)); err != nil {
			return nil, fmt.Errorf("embed %s %d: %w", purpose, i, err)
		}
		if input.Text == "fails" {
			return nil, fmt.Errorf("embed %s %d: %w", purpose, i, c.fail)
		}
		c.contents = append(c.contents, input.Text+string(input.Image))
		vectors[i] = make([]float32, c.dimension)
		for j := range vectors[i] {
			vectors[i][j] = float32(int8(sha256.Sum256(fmt.Append(nil, j, purpose, input.Text, input.Image))[0])) / 128
		}
	}
	return vectors, nil
}

func texts(of []string) []embed.Input {
	inputs := make([]embed.Input, len(of))
	for i, text := range of {
		inputs[i].Text = text
	}
	return inputs
}

func (c *counting) Documents(ctx context.Context, of []string) ([][]float32, error) {
	return c.vectors(ctx, "document", texts(of))
}

func (c *counting) Query(ctx context.Context, text string) ([]float32, error) {
	found, err := c.vectors(ctx, "query", texts([]string{text}))
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

func (c *counting) Inputs(ctx context.Context, inputs []embed.Input) ([][]float32, error) {
	return c.vectors(ctx, "document", inputs)
}

func (c *counting) QueryInput(ctx context.Context, input embed.Input) ([]float32, error) {
	found, err := c.vectors(ctx, "query", []embed.Input{input})
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// caches are the kinds of cache, each empty.
func caches(t *testing.T) map[string]embed.Cache {
	t.Helper()
	index, err := vectors.NewInMemory(vectors.Schema{Dimension: 8})
	require.NoError(t, err)
	return map[string]embed.Cache{"in memory": new(embed.InMemoryCache), "in an index": embed.OnIndex(index)}
}

func withCache(t *testing.T, m embed.Multimodal, cache embed.Cache, opts *embed.CacheOptions) *embed.CachedMultimodal {
	t.Helper()
	c, err := embed.NewCachedMultimodal(m, cache, opts)
	require.NoError(t, err)
	return c
}

func TestACachedEmbedderKeepsThePromises(t *testing.T) {
	for _, name := range []string{"in memory", "in an index"} {
		t.Run(name, func(t *testing.T) {
			embedtest.RunMultimodal(t, func(t *testing.T) embed.Multimodal {
				return withCache(t, &counting{id: "m", dimension: 8}, caches(t)[name], &embed.CacheOptions{Batch: 3})
			})
		})
	}
}

func TestWhatIsInTheCacheIsNotAskedFor(t *testing.T) {
	for name, cache := range caches(t) {
		t.Run(name, func(t *testing.T) {
			e := &counting{id: "m", dimension: 8}
			c := withCache(t, e, cache, nil)
			first, err := c.Documents(t.Context(), []string{"one", "two", "one"})
			require.NoError(t, err)
			require.Equal(t, []string{"one", "two"}, e.contents, "of equal texts one is embedded")
			require.Equal(t, first[0], first[2])
			again, err := c.Documents(t.Context(), []string{"three", "two", "one"})
			require.NoError(t, err)
			require.Equal(t, []string{"one", "two", "three"}, e.contents)
			require.Equal(t, [][]float32{first[1], first[0]}, again[1:])
			plain, err := e.Documents(t.Context(), []string{"one", "two"})
			require.NoError(t, err)
			require.Equal(t, plain, first[:2], "what was cached is what the model made, to the bit")

			asked := &counting{id: "m", dimension: 8}
			other := withCache(t, asked, cache, nil)
			_, err = other.Documents(t.Context(), []string{"one", "two", "three"})
			require.NoError(t, err)
			require.Zero(t, asked.calls, "another program with the same store has nothing to ask")
		})
	}
}

func TestAKeyIsOfModelPurposeAndContent(t *testing.T) {
	cache := new(embed.InMemoryCache)
	png := []byte("\x89PNG\r\n\x1a\n")
	ask := func(e *counting, call func(c *embed.CachedMultimodal) error) int {
		c := withCache(t, e, cache, nil)
		before := e.calls
		require.NoError(t, call(c))
		return e.calls - before
	}
	document := func(text string) func(c *embed.CachedMultimodal) error {
		return func(c *embed.CachedMultimodal) error { _, err := c.Documents(t.Context(), []string{text}); return err }
	}
	search := func(text string) func(c *embed.CachedMultimodal) error {
		return func(c *embed.CachedMultimodal) error { _, err := c.Query(t.Context(), text); return err }
	}
	input := func(in embed.Input) func(c *embed.CachedMultimodal) error {
		return func(c *embed.CachedMultimodal) error { _, err := c.Inputs(t.Context(), []embed.Input{in}); return err }
	}
	m := func() *counting { return &counting{id: "m", dimension: 8} }
	require.Equal(t, 1, ask(m(), document("a")))
	require.Equal(t, 0, ask(m(), document("a")))
	require.Equal(t, 0, ask(m(), input(embed.Input{Text: "a"})), "an input of text alone is that text")
	require.Equal(t, 1, ask(m(), search("a")), "a question is no passage")
	require.Equal(t, 1, ask(&counting{id: "m2", dimension: 8}, document("a")), "another model")
	require.Equal(t, 1, ask(&counting{id: "m", dimension: 16}, document("a")), "another dimension")
	require.Equal(t, 1, ask(m(), input(embed.Input{Text: "a", Image: png})))
	require.Equal(t, 1, ask(m(), input(embed.Input{Image: append(png, 'a')})))
	require.Equal(t, 0, ask(m(), input(embed.Input{Image: append(png, 'a')})))
	require.Equal(t, 1, ask(m(), input(embed.Input{Text: "a", Image: []byte("GIF89a")})))
	require.Equal(t, 1, ask(m(), input(embed.Input{Text: "aGIF89a"})), "where the text ends and the image begins")
	require.Equal(t, 8, cache.Len())
}

func TestAnErrorKeepsWhatCameBefore(t *testing.T) {
	busy := fmt.Errorf("busy: %w", embed.ErrThrottled)
	e := &counting{id: "m", dimension: 8, fail: busy}
	cache := new(embed.InMemoryCache)
	c := withCache(t, e, cache, &embed.CacheOptions{Batch: 2})
	vectors, err := c.Documents(t.Context(), []string{"a", "b", "c", "fails", "e"})
	require.ErrorIs(t, err, embed.ErrThrottled)
	require.ErrorContains(t, err, "of those not in the cache, which are 2 to 3 of all: embed document 1: busy")
	require.Nil(t, vectors)
	require.Equal(t, 2, cache.Len())
	e.fail, e.contents = nil, nil
	_, err = c.Documents(t.Context(), []string{"a", "b", "c", "e"})
	require.NoError(t, err)
	require.Equal(t, []string{"c", "e"}, e.contents)
}

// A damaged embedding must not find its way into an index.
func TestWhatNoModelMadeIsAskedForAgain(t *testing.T) {
	for name, damaged := range map[string][]float32{
		"of another dimension": {1, 2}, "of nothing": {}, "zero": make([]float32, 8),
		"not finite": {1, 2, 3, 4, 5, 6, 7, float32(math.Inf(1))}, "no number": {1, 2, 3, 4, 5, 6, 7, float32(math.NaN())},
	} {
		e := &counting{id: "m", dimension: 8}
		store := &oneAnswer{vector: damaged}
		got, err := withCache(t, e, store, nil).Documents(t.Context(), []string{"a"})
		require.NoError(t, err, name)
		require.Equal(t, 1, e.calls, name)
		require.Len(t, got[0], 8, name)
		require.Len(t, store.kept, 1, name)
	}
}

// oneAnswer has the same vector for every key.
type oneAnswer struct {
	vector   []float32
	kept     map[string][]float32
	bad, sad error
}

func (o *oneAnswer) Load(_ context.Context, keys []string) (map[string][]float32, error) {
	found := map[string][]float32{}
	for _, key := range keys {
		found[key] = o.vector
	}
	return found, o.bad
}

func (o *oneAnswer) Store(_ context.Context, embeddings map[string][]float32) error {
	o.kept = embeddings
	return o.sad
}

func TestAnErrorOfTheCacheIsOneOfTheCall(t *testing.T) {
	broken := errors.New("the disk is gone")
	_, err := withCache(t, &counting{id: "m", dimension: 8}, &oneAnswer{bad: broken}, nil).Query(t.Context(), "a")
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "read the cache of embeddings")
	_, err = withCache(t, &counting{id: "m", dimension: 8}, &oneAnswer{sad: broken}, nil).Query(t.Context(), "a")
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "write the cache of embeddings")
	_, err = embed.NewCached(&counting{}, new(embed.InMemoryCache), &embed.CacheOptions{Batch: -1})
	require.ErrorIs(t, err, embed.ErrInvalid)
}

func TestTheCacheInMemoryForgetsWhatWasUsedLongestAgo(t *testing.T) {
	cache := &embed.InMemoryCache{Most: 2}
	store := func(key string, x float32) {
		require.NoError(t, cache.Store(t.Context(), map[string][]float32{key: {x}}))
	}
	load := func(keys ...string) map[string][]float32 {
		found, err := cache.Load(t.Context(), keys)
		require.NoError(t, err)
		return found
	}
	store("a", 1)
	store("b", 2)
	require.Len(t, load("a"), 1)
	store("c", 3)
	require.Equal(t, map[string][]float32{"a": {1}, "c": {3}}, load("a", "b", "c"))
	load("a")["a"][0] = 9
	require.Equal(t, map[string][]float32{"a": {1}}, load("a"), "what is returned is the caller's")
	store("a", 4)
	require.Equal(t, map[string][]float32{"a": {4}, "c": {3}}, load("a", "c"))
	require.Equal(t, 2, cache.Len())
}

func TestImagesAreKnownByTheirFirstBytes(t *testing.T) {
	for image, want := range map[string]string{
		"\x89PNG\r\n\x1a\n....": "png", "\xff\xd8\xff\xe0": "jpeg", "GIF87a": "gif", "GIF89a": "gif", "RIFF\x10\x00\x00\x00WEBPVP8 ": "webp",
	} {
		format, err := embed.ImageFormat([]byte(image))
		require.NoError(t, err)
		require.Equal(t, want, format)
		require.NoError(t, embed.CheckInput(embed.Input{Image: []byte(image)}))
		require.NoError(t, embed.CheckInput(embed.Input{Image: []byte(image), Text: "a photograph"}))
		require.ErrorIs(t, embed.CheckInput(embed.Input{Image: []byte(image), Text: "?"}), embed.ErrInvalid)
	}
	for _, image := range []string{"", "BM....", "RIFF....WAVE", "<svg", strings.Repeat("x", 100)} {
		_, err := embed.ImageFormat([]byte(image))
		require.ErrorIs(t, err, embed.ErrInvalid, image)
		require.ErrorIs(t, embed.CheckInput(embed.Input{Image: []byte(image)}), embed.ErrInvalid, image)
	}
}
