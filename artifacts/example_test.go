package artifacts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"strings"

	"github.com/genaistore/genaistore/artifacts"
)

// A checkpoint of several files is published whole, gets a number, and is read
// like a folder.
func Example() {
	ctx := context.Background()
	var store artifacts.Store = &artifacts.InMemory{}
	name := artifacts.Name{Tenant: "lab", Path: "llm/ranker"}

	p, err := store.Publish(ctx, name, artifacts.Files(map[string][]byte{
		"model.safetensors": []byte("weights"),
		"config.json":       []byte(`{"layers": 2}`),
	}), &artifacts.PublishOptions{
		Kind: artifacts.Checkpoint,
		With: []artifacts.Change{artifacts.SetAlias{Alias: "production", Reason: "first"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Version.ID, p.Version.Files, "files")

	ref, err := artifacts.ParseRef("lab", "llm/ranker@production")
	if err != nil {
		log.Fatal(err)
	}
	live, err := store.Resolve(ctx, ref)
	if err != nil {
		log.Fatal(err)
	}
	config, err := fs.ReadFile(artifacts.FS(ctx, store, live.ID), "config.json")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(config))
	// Output:
	// llm/ranker@1 2 files
	// {"layers": 2}
}

// promoted returns a store with three versions, each of which was production.
func promoted(ctx context.Context, name artifacts.Name) artifacts.Store {
	var store artifacts.InMemory
	for i, loss := range []float64{2, 1.5, 1.6} {
		_, err := store.Publish(ctx, name, artifacts.Files(map[string][]byte{"w": {byte(i)}}), &artifacts.PublishOptions{
			Metrics: map[string]artifacts.Metric{"loss": {Value: loss, Better: artifacts.Lower}},
			With:    []artifacts.Change{artifacts.SetAlias{Alias: "production"}},
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	return &store
}

// A rollback that is repeated goes further back: after a lost answer, or because
// two people press the button. Say from where it starts.
func ExampleRollback() {
	ctx := context.Background()
	name := artifacts.Name{Path: "llm/ranker"}
	store := promoted(ctx, name)

	rollback := func() {
		r, err := store.Apply(ctx, name,
			artifacts.Expect{Alias: "production", Version: 3},
			artifacts.Rollback{Alias: "production", Reason: "answers in the wrong language"})
		if errors.Is(err, artifacts.ErrConflict) {
			fmt.Println("somebody was faster")
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Moved)
	}
	rollback()
	rollback()

	bad, err := store.Resolve(ctx, artifacts.Ref{Name: name, Number: 3})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("version 3:", bad.Quarantined)
	// Output:
	// [{production 3 2}]
	// somebody was faster
	// version 3: answers in the wrong language
}

// Each rank publishes its own part. Nobody waits, none is special, and no reader
// sees a checkpoint that is not whole.
func ExampleStore_Publish_ranks() {
	ctx := context.Background()
	var store artifacts.InMemory
	name := artifacts.Name{Path: "llm/ranker"}

	for _, rank := range []int{2, 0, 1} {
		shard := artifacts.Files(map[string][]byte{fmt.Sprintf("shard-%d", rank): {1, 2, 3}})
		p, err := store.Publish(ctx, name, shard, &artifacts.PublishOptions{ID: "run-7/step-100", Rank: rank, Ranks: 3})
		if err != nil {
			log.Fatal(err)
		}
		if len(p.Pending) > 0 {
			fmt.Println("rank", rank, "waits for", p.Pending)
			continue
		}
		fmt.Println("rank", rank, "made", p.Version.ID, "of", p.Version.Files, "files")
	}
	// Output:
	// rank 2 waits for [0 1]
	// rank 0 waits for [1]
	// rank 1 made llm/ranker@1 of 3 files
}

// A job that dies after its Publish and before it could remember it must not
// publish twice. The ID says what is published: not when, and not by whom.
func ExamplePublishOptions_resume() {
	ctx := context.Background()
	var store artifacts.InMemory
	name := artifacts.Name{Path: "llm/ranker"}

	for _, attempt := range []string{"dies", "runs again"} {
		p, err := store.Publish(ctx, name, artifacts.Files(map[string][]byte{"w": {1}}), &artifacts.PublishOptions{ID: "run-7/step-100"})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(attempt, p.Version.ID, p.Again)
	}
	// Output:
	// dies llm/ranker@1 false
	// runs again llm/ranker@1 true
}

// All replicas of a service watch the same metric. Whoever sees it first rolls
// back, the others learn that it is done, and the log keeps the evidence.
func ExampleGuard() {
	ctx := context.Background()
	name := artifacts.Name{Path: "llm/ranker"}
	store := promoted(ctx, name)

	live, err := store.Resolve(ctx, artifacts.Ref{Name: name, Alias: "production"})
	if err != nil {
		log.Fatal(err)
	}
	baseline, err := artifacts.Previous(ctx, store, name, "production")
	if err != nil {
		log.Fatal(err)
	}
	guard := artifacts.Guard{Alias: "production", Metric: "loss", MaxRegression: 0.05, MinSamples: 100}
	for range 3 {
		verdict, err := guard.Check(ctx, store, live, baseline, artifacts.Sample{Metric: "loss", Value: 1.8, N: 500})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("worse by %.0f%%, rolled back: %t\n", 100*verdict.Regression, verdict.RolledBack)
	}
	for r, err := range store.History(ctx, name, &artifacts.HistoryOptions{After: 3}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Seq, r.Moved)
	}
	// Output:
	// worse by 20%, rolled back: true
	// worse by 20%, rolled back: true
	// worse by 20%, rolled back: true
	// 4 [{production 3 2}]
}

// What an encoder writes goes to the store as it is made, without a file and
// without its length. A stream can be read once: a retry needs a new one.
func ExampleStreams() {
	ctx := context.Background()
	var store artifacts.InMemory

	r, w := io.Pipe()
	go func() {
		rows := json.NewEncoder(w)
		for i := range 3 {
			if err := rows.Encode(map[string]int{"row": i}); err != nil {
				break
			}
		}
		w.Close()
	}()
	p, err := store.Publish(ctx, artifacts.Name{Path: "sft/rows"}, artifacts.Streams(map[string]io.Reader{"rows.jsonl": r}),
		&artifacts.PublishOptions{Kind: artifacts.Dataset})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Version.ID, p.Version.Bytes, "bytes")
	// Output: sft/rows@1 30 bytes
}

// "Not there" is the same error for a name, a version, an alias and a file, and
// package io/fs knows it.
func ExampleStore_notFound() {
	ctx := context.Background()
	var store artifacts.InMemory
	_, err := store.Resolve(ctx, artifacts.Ref{Name: artifacts.Name{Path: "llm/ranker"}, Alias: "production"})
	fmt.Println(errors.Is(err, artifacts.ErrNotFound), errors.Is(err, fs.ErrNotExist))
	fmt.Println(err)
	// Output:
	// true true
	// resolve llm/ranker@production: not found (file does not exist)
}

// A version is a file system, so what copies folders copies versions.
func ExampleFS() {
	ctx := context.Background()
	var store artifacts.InMemory
	p, err := store.Publish(ctx, artifacts.Name{Path: "prompts"}, artifacts.Files(map[string][]byte{"de/hello.txt": []byte("Guten Tag")}), nil)
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "prompts")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, artifacts.FS(ctx, &store, p.Version.ID)); err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(dir + "/de/hello.txt")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	// Output: Guten Tag
}

// Several changes of one Apply are one record: nobody sees the one without the
// other.
func ExampleStore_Apply() {
	ctx := context.Background()
	name := artifacts.Name{Path: "llm/ranker"}
	store := promoted(ctx, name)
	_, err := store.Apply(ctx, name,
		artifacts.SetAlias{Alias: "baseline", Version: 2, Reason: "paper"},
		artifacts.Pin{Version: 2, By: "paper"},
		artifacts.Delete{Version: 1, Reason: "space"})
	if err != nil {
		log.Fatal(err)
	}
	for v, err := range store.List(ctx, artifacts.Query{Path: name.Path}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(v.ID, v.Aliases, v.Pins)
	}
	// Output:
	// llm/ranker@3 [production] []
	// llm/ranker@2 [baseline] [paper]
}

// A store in memory is carried over to the next process.
func ExampleInMemory_Snapshot() {
	ctx := context.Background()
	name := artifacts.Name{Path: "notes"}
	var before, after artifacts.InMemory
	if _, err := before.Publish(ctx, name, artifacts.Files(map[string][]byte{"a.md": []byte("# A")}), nil); err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	if err := before.Snapshot(&file); err != nil {
		log.Fatal(err)
	}
	damaged := strings.NewReader(file.String()[1:])
	fmt.Println(errors.Is(after.Restore(damaged), artifacts.ErrCorrupt))
	if err := after.Restore(&file); err != nil {
		log.Fatal(err)
	}
	v, err := after.Resolve(ctx, artifacts.Ref{Name: name})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.ID)
	// Output:
	// true
	// notes@1
}
