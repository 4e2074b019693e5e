package artifacts_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/genaistore/genaistore/artifacts"
)

// A directory is staged after each run of a job; only what changed becomes a version.
func ExampleSync() {
	ctx := context.Background()
	var store artifacts.InMemory
	name := artifacts.Name{Tenant: "acme", Path: "lake/clicks"}
	day := fstest.MapFS{"2026-11-23.jsonl": {Data: []byte("{}\n")}} // os.DirFS("/data/clicks")
	for run := range 3 {
		if run == 2 {
			day["2026-11-24.jsonl"] = &fstest.MapFile{Data: []byte("{}\n{}\n")}
		}
		done, err := artifacts.Sync(ctx, &store, name, day, &artifacts.SyncOptions{Publish: artifacts.PublishOptions{Kind: artifacts.Dataset}})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(done.Version.ID, done.Published, len(done.Changes))
	}
	// Output:
	// lake/clicks@1 true 1
	// lake/clicks@1 false 0
	// lake/clicks@2 true 1
}

// Two workers read a dataset of any size, each its own shards, and go on after the
// last row of a checkpoint.
func ExampleRows() {
	ctx := context.Background()
	var store artifacts.InMemory
	p, err := store.Publish(ctx, artifacts.Name{Path: "train"}, artifacts.Files(map[string][]byte{
		"part-0.jsonl": []byte("{\"x\":0}\n{\"x\":1}\n"), "part-1.jsonl": []byte("{\"x\":2}\n"), "README.md": []byte("not a shard"),
	}), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	opts := &artifacts.ShardOptions{Pattern: "part-*.jsonl", Workers: 2, Worker: 0}
	var last artifacts.RowID
	for row, err := range artifacts.Rows(ctx, &store, p.Version.ID, opts) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s\n", row.Data)
		last = row.ID
		break // a crash
	}
	opts.After = last
	for row, err := range artifacts.Rows(ctx, &store, p.Version.ID, opts) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s after the crash\n", row.Data)
	}
	// Output:
	// {"x":0}
	// {"x":1} after the crash
}

// An index follows the documents of a name: it embeds again what is new, and nothing
// else.
func ExampleChangedDocuments() {
	ctx := context.Background()
	var store artifacts.InMemory
	name := artifacts.Name{Path: "handbook"}
	publish := func(texts map[string]artifacts.Metadata, files map[string][]byte) artifacts.ID {
		described, err := artifacts.DescribeFiles(artifacts.Files(files), texts)
		if err != nil {
			fmt.Println(err)
		}
		p, err := store.Publish(ctx, name, described, &artifacts.PublishOptions{Kind: artifacts.Documents})
		if err != nil {
			fmt.Println(err)
		}
		return p.Version.ID
	}
	indexed := publish(map[string]artifacts.Metadata{"leave.md": {"year": 2025.0}}, map[string][]byte{"leave.md": []byte("25 days"), "old.md": []byte("x"), "same.md": []byte("y")})
	now := publish(map[string]artifacts.Metadata{"leave.md": {"year": 2026.0}}, map[string][]byte{"leave.md": []byte("25 days"), "new.md": []byte("z"), "same.md": []byte("y")})

	for c, err := range artifacts.ChangedDocuments(ctx, &store, indexed, now) {
		switch {
		case err != nil:
			fmt.Println(err)
		case c.Removed:
			fmt.Println("remove", c.Path)
		case c.Content:
			fmt.Println("embed", c.Path)
		default:
			fmt.Println("describe", c.Path, c.Metadata)
		}
	}
	// Output:
	// describe leave.md map[year:2026]
	// embed new.md
	// remove old.md
}
