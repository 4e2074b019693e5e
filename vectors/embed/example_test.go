package embed_test

import (
	"errors"
	"fmt"

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
