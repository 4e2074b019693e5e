package s3artifacts_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

// Old versions go to an archive, but for what a rollback is likely to need. A rollback
// further back restores what it needs first, in as many calls as that takes.
func ExampleStore_Tier() {
	ctx := context.Background()
	fake := awsfake.NewS3() // which has a clock that can be moved
	client := fake.Client()
	if _, err := s3artifacts.EnsureBucket(ctx, client, "models", &s3artifacts.BucketOptions{Cold: "GLACIER_IR", Archive: "GLACIER"}); err != nil {
		fmt.Println(err)
		return
	}
	store, err := s3artifacts.New(client, "models", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	name := artifacts.Name{Path: "llm/ranker"}
	for _, weights := range []string{"one", "two", "six"} {
		files := artifacts.Files(map[string][]byte{"weights.bin": bytes.Repeat([]byte(weights), 64<<10)})
		if _, err := store.Publish(ctx, name, files, &artifacts.PublishOptions{With: []artifacts.Change{artifacts.SetAlias{Alias: "production"}}}); err != nil {
			fmt.Println(err)
			return
		}
	}
	// At once, for the example; a job in production runs each day with days in both.
	done, err := store.Tier(ctx, name, &s3artifacts.Tiering{Cold: s3artifacts.Never, Archive: time.Nanosecond})
	fmt.Println(done.Hot, "hot,", done.Cold, "cold,", done.Archived, "archived", err)
	fake.Jump(24 * time.Hour) // rules act at the end of the day

	worse := artifacts.Rollback{Alias: "production", Reason: "answers got worse"}
	r, _, err := store.Rollback(ctx, name, worse, nil)
	fmt.Println(r.Moved, err)
	_, warmth, err := store.Rollback(ctx, name, worse, &s3artifacts.WarmOptions{DryRun: true})
	fmt.Printf("%d object to restore, for $%.5f %v\n", warmth.Cold, warmth.Dollars, err)
	_, _, err = store.Rollback(ctx, name, worse, &s3artifacts.WarmOptions{Keep: true})
	fmt.Println("archived:", errors.Is(err, artifacts.ErrArchived))
	fake.Jump(5 * time.Hour)
	r, _, err = store.Rollback(ctx, name, worse, &s3artifacts.WarmOptions{Keep: true})
	fmt.Println(r.Moved, err)
	// Output:
	// 1 hot, 1 cold, 1 archived <nil>
	// [{production 3 2}] <nil>
	// 1 object to restore, for $0.00005 <nil>
	// archived: true
	// [{production 2 1}] <nil>
}
