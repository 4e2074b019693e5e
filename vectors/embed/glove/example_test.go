package glove_test

import (
	"context"
	"fmt"

	"github.com/genaistore/genaistore/vectors/embed/glove"
)

func Example() {
	ctx := context.Background()
	e := glove.New()
	passages := []string{"Oil makes up most of what the country exports.", "Snow covers the mountains all year."}
	stored, err := e.Documents(ctx, passages)
	if err != nil {
		fmt.Println(err)
		return
	}
	asked, err := e.Query(ctx, "petroleum shipments")
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, v := range stored {
		var cosine float32
		for j := range v {
			cosine += v[j] * asked[j]
		}
		fmt.Printf("%.1f %s\n", cosine, passages[i])
	}
	// Output:
	// 0.5 Oil makes up most of what the country exports.
	// 0.2 Snow covers the mountains all year.
}
