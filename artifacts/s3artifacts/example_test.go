package s3artifacts_test

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/meter"
)

func Example() {
	ctx := context.Background()
	client := awsfake.NewS3("models").Client() // or s3.NewFromConfig(cfg)
	store, err := s3artifacts.New(client, "models", &s3artifacts.Options{By: "trainer"})
	if err != nil {
		fmt.Println(err)
		return
	}
	name := artifacts.Name{Tenant: "acme", Path: "llm/ranker"}
	for _, weights := range []string{"good", "bad"} {
		_, err := store.Publish(ctx, name, artifacts.Files(map[string][]byte{"weights.bin": []byte(weights)}),
			&artifacts.PublishOptions{With: []artifacts.Change{artifacts.SetAlias{Alias: "production"}}})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	var m meter.Meter
	r, err := store.Apply(meter.With(ctx, &m), name, artifacts.Rollback{Alias: "production", Reason: "answers got worse"})
	fmt.Println(r.Moved, err)
	fmt.Println(m.Cost().Requests, "requests, one of them for the hint")

	v, err := store.Resolve(ctx, artifacts.Ref{Name: name, Alias: "production"})
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := fs.ReadFile(artifacts.FS(ctx, store, v.ID), "weights.bin")
	fmt.Printf("%s has %s %v\n", v.ID, data, err)
	// Output:
	// [{production 2 1}] <nil>
	// 3 requests, one of them for the hint
	// llm/ranker@1 has good <nil>
}

// A collector deletes what no version needs, in two steps: it condemns, and a day
// later it deletes.
func ExampleStore_Collect() {
	ctx := context.Background()
	store, err := s3artifacts.New(awsfake.NewS3("models").Client(), "models", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	name := artifacts.Name{Path: "llm/ranker"}
	for _, weights := range []string{"old", "new"} {
		if _, err := store.Publish(ctx, name, artifacts.Files(map[string][]byte{"weights.bin": []byte(weights)}), nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	if _, err := store.Apply(ctx, name, artifacts.Delete{Version: 1, Reason: "superseded"}); err != nil {
		fmt.Println(err)
		return
	}
	// At once, for the example; a job in production leaves both to their defaults.
	done, err := store.Collect(ctx, name, &s3artifacts.CollectOptions{Age: s3artifacts.Never, Grace: s3artifacts.Never})
	fmt.Printf("%+v %v\n", done, err)
	// Output:
	// {Objects:2 Condemned:1 Deleted:1 Bytes:3 Uploads:0} <nil>
}
