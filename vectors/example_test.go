package vectors_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/genaistore/genaistore/vectors"
)

func Example() {
	ctx := context.Background()
	var index vectors.InMemory // or an s3index.Index: the code below stays the same

	_, err := index.Put(ctx, vectors.Of(
		vectors.Vector{Key: "cat", Data: []float32{0.9, 0.1, 0}, Metadata: vectors.Metadata{"kind": "animal", "legs": 4}},
		vectors.Vector{Key: "crow", Data: []float32{0.7, 0.2, 0.3}, Metadata: vectors.Metadata{"kind": "animal", "legs": 2}},
		vectors.Vector{Key: "car", Data: []float32{0.1, 0.9, 0.1}, Metadata: vectors.Metadata{"kind": "thing"}},
	), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	query := vectors.Query{Vector: []float32{1, 0, 0.1}, TopK: 2, Filter: vectors.Equal("kind", "animal")}
	for match, err := range index.Query(ctx, query) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %v %.2f\n", match.Key, match.Metadata["legs"], match.Distance)
	}
	// Output:
	// cat 4 0.01
	// crow 2 0.08
}

// NotEqual asks for a value that is there. Who means "anything but" adds
// OrMissing.
func ExampleOrMissing() {
	ctx := context.Background()
	var index vectors.InMemory
	_, err := index.Put(ctx, vectors.Of(
		vectors.Vector{Key: "published", Data: []float32{1}, Metadata: vectors.Metadata{"status": "published"}},
		vectors.Vector{Key: "draft", Data: []float32{1}, Metadata: vectors.Metadata{"status": "draft"}},
		vectors.Vector{Key: "old", Data: []float32{1}}, // from before there was a status
	), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	notDraft := vectors.NotEqual("status", "draft")
	for _, filter := range []vectors.Filter{notDraft, vectors.OrMissing(notDraft)} {
		var keys []string
		for v, err := range index.List(ctx, &vectors.ListOptions{Filter: filter}) {
			if err != nil {
				fmt.Println(err)
				return
			}
			keys = append(keys, v.Key)
		}
		slices.Sort(keys)
		fmt.Println(keys)
	}
	// Output:
	// [published]
	// [old published]
}

// Text of any length goes under a key that the index was made not to filter on:
// filterable metadata has at most 2 KB.
func ExampleSchema_nonFilterable() {
	ctx := context.Background()
	chunk := vectors.Vector{Key: "report#1", Data: []float32{0.1, 0.2}, Metadata: vectors.Metadata{
		"source": "report.pdf", "text": strings.Repeat("All of a paragraph. ", 200),
	}}

	var index vectors.InMemory // filters on every key
	_, err := index.Put(ctx, vectors.Of(chunk), nil)
	fmt.Println(err)

	better, err := vectors.NewInMemory(vectors.Schema{Dimension: 2, NonFilterable: []string{"text"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := better.Put(ctx, vectors.Of(chunk), nil)
	fmt.Println(report.Done, err)
	// Output:
	// put: 1 of the vectors rejected, the first "report#1": invalid: filterable metadata must have at most 2048 bytes, not 4033; largest keys: [text source]; text belongs under a non-filterable key of the index
	// 1 <nil>
}

// One bad vector keeps no other out; the report says which, and why.
func ExampleReport_rejected() {
	var index vectors.InMemory
	report, err := index.Put(context.Background(), vectors.Of(
		vectors.Vector{Key: "a", Data: []float32{1, 2, 3}},
		vectors.Vector{Key: "b", Data: []float32{1, 2}},
		vectors.Vector{Key: "c", Data: []float32{4, 5, 6}},
	), nil)
	fmt.Println(report.Done, "stored; invalid:", errors.Is(err, vectors.ErrInvalid))
	for _, r := range report.Rejected {
		fmt.Println(r.Key, "-", r.Err)
	}
	// Output:
	// 2 stored; invalid: true
	// b - invalid: vector must have length 3, but has length 2
}

// Tenants share an index and see only their own.
func ExampleTenant() {
	ctx := context.Background()
	var shared vectors.InMemory
	for _, name := range []string{"acme", "globex"} {
		index, err := vectors.Tenant(&shared, name)
		if err != nil {
			fmt.Println(err)
			return
		}
		// The same key: tenants need not know of each other.
		note := vectors.Vector{Key: "plan", Data: []float32{1, 0}, Metadata: vectors.Metadata{"title": "the plan of " + name}}
		if _, err := index.Put(ctx, vectors.Of(note), nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	acme, err := vectors.Tenant(&shared, "acme")
	if err != nil {
		fmt.Println(err)
		return
	}
	for match, err := range acme.Query(ctx, vectors.Query{Vector: []float32{1, 0}}) {
		fmt.Println(match.Key, match.Metadata, err)
	}
	report, err := acme.Delete(ctx, vectors.Selection{All: true}, nil)
	fmt.Println(report.Done, "deleted, all of acme's:", err)
	// Output:
	// plan map[title:the plan of acme] <nil>
	// 1 deleted, all of acme's: <nil>
}

// There are no pages: the loop ends when it has enough, up to TopK.
func ExampleIndex_query() {
	ctx := context.Background()
	var index vectors.InMemory
	var vs []vectors.Vector
	for i := range 500 {
		vs = append(vs, vectors.Vector{Key: fmt.Sprintf("%03d", i), Data: []float32{1000, float32(i)}, Metadata: vectors.Metadata{"document": i / 100}})
	}
	if _, err := index.Put(ctx, vectors.Of(vs...), nil); err != nil {
		fmt.Println(err)
		return
	}
	// The nearest passage of each of three documents.
	seen := make(map[any]bool)
	for match, err := range index.Query(ctx, vectors.Query{Vector: []float32{1, 0}, TopK: 500}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if document := match.Metadata["document"]; !seen[document] {
			seen[document] = true
			fmt.Println(match.Key, "of document", document)
		}
		if len(seen) == 3 {
			break
		}
	}
	// Output:
	// 000 of document 0
	// 100 of document 1
	// 200 of document 2
}

// A program that runs without AWS keeps its index in a file, and searches it where
// it lies.
func ExampleOpenSnapshot() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "vectors")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "index")

	var index vectors.InMemory
	if _, err := index.Put(ctx, vectors.Of(vectors.Vector{Key: "k", Data: []float32{1, 2}}, vectors.Vector{Key: "l", Data: []float32{2, 1}}), nil); err != nil {
		fmt.Println(err)
		return
	}
	if err := index.SnapshotFile(ctx, name); err != nil {
		fmt.Println(err)
		return
	}

	mapped, err := vectors.OpenSnapshot(ctx, name)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mapped.Close()
	for match, err := range mapped.Query(ctx, vectors.Query{Vector: []float32{1, 3}, TopK: 1}) {
		fmt.Printf("%s %.2f %v\n", match.Key, match.Distance, err)
	}
	_, err = mapped.Delete(ctx, vectors.Selection{Keys: []string{"k"}}, nil)
	fmt.Println(errors.Is(err, vectors.ErrDenied))
	// Output:
	// k 0.01 <nil>
	// true
}
