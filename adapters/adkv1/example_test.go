// Code generated from ../adk/example_test.go by go test -update; DO NOT EDIT.

package adkv1_test

import (
	"context"
	"fmt"
	"iter"
	"log"

	"google.golang.org/adk/agent"
	"google.golang.org/adk/artifact"
	"google.golang.org/adk/model"
	"google.golang.org/adk/runner"
	"google.golang.org/adk/session"
	"google.golang.org/genai"

	"github.com/genaistore/genaistore/adapters/adkv1"
	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/memory"
)

// An agent of the kit remembers what it was told, here in this process; with the
// DynamoDB backend of package memory it does so from any machine.
func Example() {
	ctx := context.Background()
	store := &memory.InMemory{}

	counter, err := agent.New(agent.Config{Name: "counter", Run: func(ctx agent.InvocationContext) iter.Seq2[*session.Event, error] {
		return func(yield func(*session.Event, error) bool) {
			event := session.NewEventWithContext(ctx, ctx.InvocationID())
			event.LLMResponse = model.LLMResponse{Content: genai.NewContentFromText(fmt.Sprintf("I know %d events.", ctx.Session().Events().Len()), genai.RoleModel)}
			yield(event, nil)
		}
	}})
	if err != nil {
		log.Fatal(err)
	}
	r, err := runner.New(runner.Config{AppName: "travel", Agent: counter, SessionService: adkv1.NewSessions(store, nil), AutoCreateSession: true})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		for event, err := range r.Run(ctx, "ada", "s1", genai.NewContentFromText("What do you know?", genai.RoleUser), agent.RunConfig{}) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(event.Content.Parts[0].Text)
		}
	}

	window, err := store.Open(ctx, memory.Key{App: "travel", User: "ada", Session: "s1"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range window.Messages() {
		fmt.Printf("%s: %s\n", m.Name, m.Parts[0].Text)
	}
	// Output:
	// I know 1 events.
	// I know 3 events.
	// user: What do you know?
	// counter: I know 1 events.
	// user: What do you know?
	// counter: I know 3 events.
}

// What agents save are versions in an artifacts.Store: with package s3artifacts they are
// in a bucket, and two agents that save at once do not overwrite each other.
func ExampleNewArtifacts() {
	ctx := context.Background()
	store := &artifacts.InMemory{}
	service := adkv1.NewArtifacts(store, &adkv1.ArtifactOptions{Tenant: "acme"})
	for _, text := range []string{"draft", "final"} {
		saved, err := service.Save(ctx, &artifact.SaveRequest{
			AppName: "travel", UserID: "ada", SessionID: "s1", FileName: "plan.md", Part: genai.NewPartFromText(text),
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("saved version", saved.Version)
	}
	loaded, err := service.Load(ctx, &artifact.LoadRequest{AppName: "travel", UserID: "ada", SessionID: "s1", FileName: "plan.md"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(loaded.Part.Text)

	// All that a user saved is erased with one call.
	gone, err := artifacts.Forget(ctx, store, "acme", "ada")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(gone, "versions erased")
	// Output:
	// saved version 1
	// saved version 2
	// final
	// 2 versions erased
}
