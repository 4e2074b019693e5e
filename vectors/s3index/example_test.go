package s3index_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/vectors"
	"github.com/genaistore/genaistore/vectors/s3index"
)

func Example() {
	ctx := context.Background()
	client := awsfake.NewVectors().Client() // or s3vectors.NewFromConfig(cfg)

	schema := vectors.Schema{Dimension: 3, NonFilterable: []string{"text"}, Tags: map[string]string{"model": "amazon.titan-embed-text-v2:0"}}
	if _, err := s3index.EnsureBucket(ctx, client, "knowledge", nil); err != nil {
		log.Fatal(err)
	}
	if _, err := s3index.EnsureIndex(ctx, client, "knowledge", "docs", schema, nil); err != nil {
		log.Fatal(err)
	}
	index, err := s3index.New(client, "knowledge", "docs", nil)
	if err != nil {
		log.Fatal(err)
	}

	report, err := index.Put(ctx, vectors.Of(
		vectors.Vector{Key: "cats", Data: []float32{1, 0.1, 0}, Metadata: vectors.Metadata{"year": 2024, "text": "Cats purr."}},
		vectors.Vector{Key: "dogs", Data: []float32{0.8, 0.6, 0}, Metadata: vectors.Metadata{"year": 2025, "text": "Dogs bark."}},
		vectors.Vector{Key: "cars", Data: []float32{0, 0, 1}, Metadata: vectors.Metadata{"year": 2025, "text": "Cars honk."}},
		vectors.Vector{Key: "flat", Data: []float32{1, 2}},
	), nil)
	fmt.Println(report.Done, "stored;", report.Rejected[0].Key, "not:", report.Rejected[0].Err)
	fmt.Println(err)

	for match, err := range index.Query(ctx, vectors.Query{Vector: []float32{1, 0, 0}, TopK: 2, Filter: vectors.AtLeast("year", 2025)}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %.2f %s\n", match.Key, match.Distance, match.Metadata["text"])
	}
	// Output:
	// 3 stored; flat not: invalid: vector must have length 3, but has length 2
	// put knowledge/docs: 1 of the vectors rejected, the first "flat": invalid: vector must have length 3, but has length 2
	// dogs 0.20 Dogs bark.
	// cars 1.00 Cars honk.
}

// A policy for a Lambda function that answers questions and changes nothing.
func ExamplePolicy() {
	policy, err := s3index.Policy(s3index.ReadOnly, "arn:aws:s3vectors:us-east-1:123456789012:bucket/knowledge/index/docs", "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(policy)
	// Output:
	// {
	//   "Version": "2012-10-17",
	//   "Statement": [
	//     {
	//       "Sid": "Vectors",
	//       "Effect": "Allow",
	//       "Action": [
	//         "s3vectors:GetIndex",
	//         "s3vectors:GetVectors",
	//         "s3vectors:ListTagsForResource",
	//         "s3vectors:ListVectors",
	//         "s3vectors:QueryVectors"
	//       ],
	//       "Resource": [
	//         "arn:aws:s3vectors:us-east-1:123456789012:bucket/knowledge/index/docs"
	//       ]
	//     }
	//   ]
	// }
}

// What a deletion by filter would find and cost, before it is done, and how sure it
// is that nothing is left.
func ExampleIndex_Remove() {
	ctx := context.Background()
	index, err := exampleIndex(ctx)
	if err != nil {
		log.Fatal(err)
	}
	old := vectors.Selection{Filter: vectors.Less("year", 2025)}
	plan, err := index.Plan(ctx, old, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("by %s: %d of %d, %d to read, %d to delete\n", plan.Way, plan.Matches, plan.Vectors, plan.Reads, plan.Writes)
	removed, err := index.Remove(ctx, old, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(removed.Removed, "removed by", removed.Cost.Requests, "requests:", removed.Verdict())
	// Output:
	// by list: 1 of 3, 1 to read, 1 to delete
	// 1 removed by 2 requests: complete
}

// exampleIndex has three vectors.
func exampleIndex(ctx context.Context) (*s3index.Index, error) {
	client := awsfake.NewVectors().Client()
	if _, err := s3index.EnsureBucket(ctx, client, "knowledge", nil); err != nil {
		return nil, err
	}
	if _, err := s3index.EnsureIndex(ctx, client, "knowledge", "docs", vectors.Schema{Dimension: 3}, nil); err != nil {
		return nil, err
	}
	index, err := s3index.New(client, "knowledge", "docs", nil)
	if err != nil {
		return nil, err
	}
	_, err = index.Put(ctx, vectors.Of(
		vectors.Vector{Key: "cats", Data: []float32{1, 0.1, 0}, Metadata: vectors.Metadata{"year": 2024}},
		vectors.Vector{Key: "dogs", Data: []float32{0.8, 0.6, 0}, Metadata: vectors.Metadata{"year": 2025}},
		vectors.Vector{Key: "cars", Data: []float32{0, 0, 1}, Metadata: vectors.Metadata{"year": 2025}},
	), nil)
	return index, err
}

// A load that stops is resumed from the cursor that it saved last.
func ExampleIndex_Load() {
	ctx := context.Background()
	index, err := exampleIndex(ctx)
	if err != nil {
		log.Fatal(err)
	}
	disk := errors.New("the disk is away")
	source := func(from int64, end error) iter.Seq2[vectors.Vector, error] {
		return func(yield func(vectors.Vector, error) bool) {
			for n := from; n < 1200; n++ {
				if end != nil && n == 700 {
					yield(vectors.Vector{}, end)
					return
				}
				if !yield(vectors.Vector{Key: fmt.Sprint("doc-", n), Data: []float32{1, float32(n), 0}}, nil) {
					return
				}
			}
		}
	}
	var saved []byte // a file, an item or an object
	save := func(_ context.Context, c s3index.Cursor) (err error) {
		saved, err = json.Marshal(c)
		return err
	}
	_, err = index.Load(ctx, func(from int64) iter.Seq2[vectors.Vector, error] { return source(from, disk) }, &s3index.LoadOptions{Save: save})
	fmt.Println(err)

	var from s3index.Cursor
	if err := json.Unmarshal(saved, &from); err != nil {
		log.Fatal(err)
	}
	fmt.Println("resumed at", from.Next)
	end, err := index.Load(ctx, func(from int64) iter.Seq2[vectors.Vector, error] { return source(from, nil) }, &s3index.LoadOptions{From: from, Save: save})
	fmt.Println(end.Done, "of", end.Next, "stored:", err)
	// Output:
	// load knowledge/docs: the disk is away
	// resumed at 700
	// 1200 of 1200 stored: <nil>
}
