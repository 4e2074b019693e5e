package collection_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/collection"
)

func Example() {
	type Doc struct {
		Year int      `vectors:"year"`
		Lang string   `vectors:"lang"`
		Tags []string `vectors:"tags,omitempty"`
		Text string   `vectors:"text,nofilter"`
	}
	ctx := context.Background()
	schema, err := collection.Schema[Doc](vectors.Schema{Dimension: 2})
	if err != nil {
		log.Fatal(err)
	}
	index, err := vectors.NewInMemory(schema) // or s3index.EnsureIndex and s3index.New
	if err != nil {
		log.Fatal(err)
	}
	docs, err := collection.New[Doc](ctx, index)
	if err != nil {
		log.Fatal(err)
	}
	_, err = docs.Put(ctx, collection.Of(
		collection.Item[Doc]{Key: "a", Data: []float32{1, 0}, Metadata: Doc{Year: 2019, Lang: "en", Text: "old"}},
		collection.Item[Doc]{Key: "b", Data: []float32{1, 1}, Metadata: Doc{Year: 2024, Lang: "en", Text: "new", Tags: []string{"draft"}}},
	), nil)
	if err != nil {
		log.Fatal(err)
	}

	year, err := collection.OrderedOf(func(d *Doc) *int { return &d.Year })
	if err != nil {
		log.Fatal(err)
	}
	for match, err := range docs.Query(ctx, vectors.Query{Vector: []float32{1, 0}, Filter: year.AtLeast(2020)}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %d %s %v %.2f\n", match.Key, match.Metadata.Year, match.Metadata.Text, match.Metadata.Tags, match.Distance)
	}
	budget, err := docs.Budget(ctx, Doc{Text: strings.Repeat("long ", 1000)})
	fmt.Println(schema.NonFilterable, budget.Bytes, budget.FilterableBytes, budget.Fits(), err)
	// Output:
	// b 2024 new [draft] 0.29
	// [text] 5030 20 true <nil>
}

type lang string

type everything struct {
	Name    string
	Count   int32    `vectors:"count"`
	Big     uint64   `vectors:"big,omitempty"`
	Ratio   float32  `vectors:"ratio"`
	Live    bool     `vectors:"live"`
	Lang    lang     `vectors:"lang"`
	Tags    []string `vectors:"tags"`
	Numbers []int    `vectors:"numbers,omitempty"`
	Text    string   `vectors:"text,nofilter"`
	Skipped []byte   `vectors:"-"`
	hidden  map[string]int
}

func newCollection(t *testing.T) (*collection.Collection[everything], vectors.Index) {
	t.Helper()
	schema, err := collection.Schema[everything](vectors.Schema{Dimension: 2})
	require.NoError(t, err)
	require.Equal(t, []string{"text"}, schema.NonFilterable)
	index, err := vectors.NewInMemory(schema)
	require.NoError(t, err)
	c, err := collection.New[everything](t.Context(), index)
	require.NoError(t, err)
	return c, index
}

func TestItemsComeBackAsTheyWerePut(t *testing.T) {
	c, index := newCollection(t)
	want := collection.Item[everything]{
		Key: "k", Data: []float32{1, 2},
		Metadata: everything{Name: "n", Count: -3, Big: 1 << 50, Ratio: 0.5, Live: true, Lang: "de", Tags: []string{"a", "b"}, Numbers: []int{1, 2}, Text: "t"},
	}
	report, err := c.Put(t.Context(), collection.Of(want), nil)
	require.NoError(t, err)
	require.Equal(t, 1, report.Done)
	got, err := c.Get(t.Context(), []string{"k"}, &vectors.GetOptions{Fields: vectors.Everything})
	require.NoError(t, err)
	require.Equal(t, []collection.Item[everything]{want}, got)
	for item, err := range c.List(t.Context(), nil) {
		require.NoError(t, err)
		require.Equal(t, want.Metadata, item.Metadata)
	}
	for match, err := range c.Query(t.Context(), vectors.Query{Vector: []float32{1, 2}}) {
		require.NoError(t, err)
		require.Equal(t, want.Metadata, match.Metadata)
		require.InDelta(t, 0, match.Distance, 1e-6)
	}
	raw, err := index.Get(t.Context(), []string{"k"}, nil)
	require.NoError(t, err)
	require.NotContains(t, raw[0].Metadata, "Skipped")
	require.NotContains(t, raw[0].Metadata, "hidden")
	require.Nil(t, want.Metadata.hidden)
}

func TestFiltersAreMadeOfFields(t *testing.T) {
	count, err := collection.OrderedOf(func(e *everything) *int32 { return &e.Count })
	require.NoError(t, err)
	name, err := collection.TextOf(func(e *everything) *string { return &e.Name })
	require.NoError(t, err)
	language, err := collection.TextOf(func(e *everything) *lang { return &e.Lang })
	require.NoError(t, err)
	live, err := collection.FieldOf(func(e *everything) *bool { return &e.Live })
	require.NoError(t, err)
	tags, err := collection.ListOf(func(e *everything) *[]string { return &e.Tags })
	require.NoError(t, err)
	for _, pair := range [][2]vectors.Filter{
		{count.Less(1), vectors.Less("count", 1)},
		{count.AtMost(1), vectors.AtMost("count", 1)},
		{count.More(1), vectors.More("count", 1)},
		{count.AtLeast(1), vectors.AtLeast("count", 1)},
		{count.In(1, 2), vectors.In("count", 1, 2)},
		{name.StartsWith("a"), vectors.StartsWith("Name", "a")},
		{language.Equal("de"), vectors.Equal("lang", "de")},
		{language.NotIn("de"), vectors.NotIn("lang", "de")},
		{live.NotEqual(true), vectors.NotEqual("live", true)},
		{tags.Equal("x"), vectors.Equal("tags", "x")},
		{tags.Exists(), vectors.Exists("tags")},
		{tags.Missing(), vectors.Missing("tags")},
	} {
		require.Equal(t, pair[1], pair[0])
	}
	require.Equal(t, "tags", tags.Name())

	other := 0
	for what, err := range map[string]error{
		"a field that is tagged nofilter": second(collection.TextOf(func(e *everything) *string { return &e.Text })),
		"what is no field":                second(collection.OrderedOf(func(*everything) *int { return &other })),
		"nil":                             second(collection.OrderedOf(func(*everything) *int32 { return nil })),
	} {
		require.ErrorIs(t, err, vectors.ErrInvalid, what)
	}
}

func second[T any](_ T, err error) error { return err }

func TestTypesThatCannotBeStoredAreInvalid(t *testing.T) {
	type embedded struct{ A string }
	for what, err := range map[string]error{
		"no struct":       second(collection.Schema[string](vectors.Schema{})),
		"a map":           second(collection.Schema[struct{ A map[string]string }](vectors.Schema{})),
		"a struct":        second(collection.Schema[struct{ A struct{} }](vectors.Schema{})),
		"a list of lists": second(collection.Schema[struct{ A [][]string }](vectors.Schema{})),
		"an embedded struct": second(collection.Schema[struct {
			embedded `vectors:"e"`
		}](vectors.Schema{})),
		"two of a name": second(collection.Schema[struct {
			A string `vectors:"x"`
			B string `vectors:"x"`
		}](vectors.Schema{})),
		"an unknown option": second(collection.Schema[struct {
			A string `vectors:"a,nofliter"`
		}](vectors.Schema{})),
		"a tagged field that is not exported": second(collection.Schema[struct {
			a string `vectors:"a"`
		}](vectors.Schema{})),
		"eleven fields that are not filtered on": second(collection.Schema[struct {
			A, B, C, D, E, F, G, H, I, J, K string `vectors:",nofilter"`
		}](vectors.Schema{})),
	} {
		require.ErrorIs(t, err, vectors.ErrInvalid, what)
	}
}

func TestAnIndexMadeForOtherFieldsIsAConflict(t *testing.T) {
	index, err := vectors.NewInMemory(vectors.Schema{Dimension: 2, NonFilterable: []string{"lang", "count", "nobodys"}})
	require.NoError(t, err)
	_, err = collection.New[everything](t.Context(), index)
	require.ErrorIs(t, err, vectors.ErrConflict)
	for _, says := range []string{`does not filter on "lang"`, `does not filter on "count"`, `filters on "text"`, "Schema"} {
		require.ErrorContains(t, err, says)
	}
	require.NotContains(t, err.Error(), "nobodys")

	// What the error says to do.
	schema, err := collection.Schema[everything](vectors.Schema{Dimension: 2})
	require.NoError(t, err)
	better, err := vectors.NewInMemory(schema)
	require.NoError(t, err)
	_, err = better.Put(t.Context(), index.List(t.Context(), &vectors.ListOptions{Fields: vectors.Everything}), nil)
	require.NoError(t, err)
	_, err = collection.New[everything](t.Context(), better)
	require.NoError(t, err)
}

func TestDeleteIsThatOfTheIndex(t *testing.T) {
	c, index := newCollection(t)
	_, err := c.Put(t.Context(), collection.Of(collection.Item[everything]{Key: "k", Data: []float32{1, 2}}), nil)
	require.NoError(t, err)
	report, err := c.Delete(t.Context(), vectors.Selection{Keys: []string{"k"}}, &vectors.DeleteOptions{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, 1, report.Done)
	_, err = c.Delete(t.Context(), vectors.Selection{All: true}, nil)
	require.NoError(t, err)
	left, err := index.Get(t.Context(), []string{"k"}, nil)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestNumbersThatJSONDoesNotKeepMakeNoFilter(t *testing.T) {
	big, err := collection.OrderedOf(func(e *everything) *uint64 { return &e.Big })
	require.NoError(t, err)
	require.Equal(t, vectors.AtLeast("big", 1<<53), big.AtLeast(1<<53))
	require.NoError(t, big.AtLeast(1<<53).Validate(vectors.Schema{}))
	for _, f := range []vectors.Filter{big.Less(1<<53 + 1), big.AtMost(1<<53 + 1), big.More(1<<53 + 1), big.AtLeast(1<<53 + 1), big.Equal(1<<53 + 1), big.In(1, 1<<63)} {
		require.ErrorIs(t, f.Validate(vectors.Schema{}), vectors.ErrInvalid)
	}
}

func TestStoredValuesOfAnotherTypeAreCorrupt(t *testing.T) {
	for name, bad := range map[string]vectors.Metadata{
		"a number for a string":  {"Name": 1},
		"a string for a number":  {"count": "1"},
		"a fraction":             {"count": 1.5},
		"a number too great":     {"count": 1e12},
		"a negative for uint":    {"big": -1},
		"a string for a boolean": {"live": "true"},
		"a boolean for a string": {"Name": true},
		"a scalar for a list":    {"tags": "a"},
		"a list for a scalar":    {"Name": []string{"a"}},
		"an element of a list":   {"numbers": []any{1, "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, index := newCollection(t)
			_, err := index.Put(t.Context(), vectors.Of(vectors.Vector{Key: "k", Data: []float32{1, 2}, Metadata: bad}), nil)
			require.NoError(t, err)
			_, err = c.Get(t.Context(), []string{"k"}, nil)
			require.ErrorIs(t, err, vectors.ErrCorrupt)
			for _, err := range c.List(t.Context(), nil) {
				require.ErrorIs(t, err, vectors.ErrCorrupt)
			}
			for _, err := range c.Query(t.Context(), vectors.Query{Vector: []float32{1, 2}}) {
				require.ErrorIs(t, err, vectors.ErrCorrupt)
			}
		})
	}
}

func TestWhatIsMissingStaysZero(t *testing.T) {
	c, index := newCollection(t)
	_, err := c.Put(t.Context(), collection.Of(collection.Item[everything]{Key: "k", Data: []float32{1, 2}}), nil)
	require.NoError(t, err)
	raw, err := index.Get(t.Context(), []string{"k"}, nil)
	require.NoError(t, err)
	require.NotContains(t, raw[0].Metadata, "numbers", "it says omitempty")
	require.Contains(t, raw[0].Metadata, "count")
	got, err := c.Get(t.Context(), []string{"k"}, &vectors.GetOptions{Fields: vectors.KeysOnly})
	require.NoError(t, err)
	require.Equal(t, []collection.Item[everything]{{Key: "k"}}, got)
}

func TestErrorsOfTheIndexAndTheSequencePassThrough(t *testing.T) {
	c, index := newCollection(t)
	boom := errors.New("boom")
	report, err := c.Put(t.Context(), func(yield func(collection.Item[everything], error) bool) {
		_ = yield(collection.Item[everything]{Key: "k", Data: []float32{1, 2}}, nil) && yield(collection.Item[everything]{}, boom)
	}, nil)
	require.ErrorIs(t, err, boom)
	require.Equal(t, 1, report.Done)
	_, err = c.Put(t.Context(), nil, nil)
	require.NoError(t, err)
	n := 0
	for range c.List(t.Context(), nil) {
		n++
		break
	}
	require.Equal(t, 1, n)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Get(ctx, []string{"k"}, nil)
	require.ErrorIs(t, err, context.Canceled)
	for _, err := range c.Query(ctx, vectors.Query{Vector: []float32{1, 2}}) {
		require.ErrorIs(t, err, context.Canceled)
	}
	_, err = c.Budget(ctx, everything{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = collection.New[everything](ctx, index)
	require.ErrorIs(t, err, context.Canceled)
}
