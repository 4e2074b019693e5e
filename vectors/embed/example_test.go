package embed_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/genaistore/genaistore/vectors/embed"
)

// The tags of an index say what filled it. Check them before the first query,
// and a change of the model shows as an error instead of as bad answers.
func ExampleModel_Check() {
	index := embed.Model{ID: "amazon.titan-embed-text-v2:0", Dimension: 1024}.Tags()
	configured := embed.Model{ID: "cohere.embed-v4:0", Dimension: 1024}
	err := configured.Check(index)
	fmt.Println(errors.Is(err, embed.ErrInvalid))
	fmt.Println(err)
	// Output:
	// true
	// model cohere.embed-v4:0/1024: invalid: the index holds vectors of amazon.titan-embed-text-v2:0/1024
}

// Texts that were embedded before are not embedded again. In memory the cache is of
// one process; OnIndex keeps it in an index, which others share.
func ExampleNewCached() {
	ctx := context.Background()
	model := &counting{id: "amazon.titan-embed-text-v2:0", dimension: 1024} // or one of package bedrock
	embedder, err := embed.NewCached(model, new(embed.InMemoryCache), nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, chunks := range [][]string{{"Cats purr.", "Dogs bark."}, {"Cats purr.", "Dogs bark loudly."}} {
		if _, err := embedder.Documents(ctx, chunks); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(len(model.contents), "of 4 were embedded")
	// Output: 3 of 4 were embedded
}
